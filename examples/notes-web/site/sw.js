// The service worker: all files of one build, so that the application starts without network.
//
// `build.js` is made with the build: the names of all files, and a version that is another one as soon as any of them is. A browser looks
// whether this file or that one has changed. A new build is fetched whole, beside the one in use, and takes over when the last tab of that
// one is closed: no tab ever has files of two builds.

importScripts('build.js');

const { version, files } = self.BUILD;
const PREFIX = 'notes-';
const CACHE = PREFIX + version;

self.addEventListener('install', event => event.waitUntil(keep()));
self.addEventListener('activate', event => event.waitUntil(takeOver()));
self.addEventListener('fetch', event => {
  const { request } = event;
  const { origin } = new URL(request.url);
  // What goes to the sync server is none of ours.
  if (request.method === 'GET' && origin === self.location.origin) event.respondWith(answer(request));
});

/** All or nothing: a file that cannot be fetched fails the installation, and it is tried again at the next visit. */
async function keep() {
  const cache = await caches.open(CACHE);
  await cache.addAll(files.map(file => new Request(file, { cache: 'reload' })));
}

async function takeOver() {
  const names = await caches.keys();
  await Promise.all(names.filter(name => name.startsWith(PREFIX) && name !== CACHE).map(name => caches.delete(name)));
  // The tab of the very first visit, too.
  await self.clients.claim();
}

async function answer(request) {
  const cache = await caches.open(CACHE);
  const wanted = request.mode === 'navigate' ? 'index.html' : request;
  return await cache.match(wanted) ?? fetch(request);
}
