// The sync of all tabs, in a worker of either kind. Its settings are in its address.

import init, { at_step, serve } from '/pkg/storex_browser.js';
import { lack, mayHang, tell } from './hooks.mjs';

const settings = JSON.parse(new URLSearchParams(location.search).get('settings'));
mayHang(at_step);
lack(settings.without ?? []);
if (settings.broken) throw new Error('this script is broken on purpose');
await init();
serve(JSON.stringify(settings), tell);
