// Starts the application, which is the module beside this file; and the service worker that keeps both for when there is no network.

import init, { start } from './notes_web.js';

if ('serviceWorker' in navigator) {
  // Without it everything works but a start without network.
  navigator.serviceWorker.register('sw.js').catch(why => console.warn('no service worker:', why));
}

try {
  await init();
  await start(self.BUILD.version);
} catch (why) {
  document.getElementById('app').textContent = `Notes cannot start: ${why?.message ?? why}`;
  throw why;
}
