// The worker that keeps the notes in step, for all tabs: the same module as the page's, and another function of it.

import init, { serve } from './notes_web.js';

await init();
serve();
