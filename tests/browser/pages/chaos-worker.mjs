// The sync of all tabs of chaos.html. Its settings are in its address.

import init, { at_step, serve_chaos } from '/pkg/storex_browser.js';
import { lack, mayHang } from './hooks.mjs';

const { database, server, token, lease, locks } = JSON.parse(new URLSearchParams(location.search).get('settings'));
mayHang(at_step);
if (!locks) lack(['locks']);
await init();
// Each worker by a name of its own.
serve_chaos(database, `${server}/worker-${crypto.randomUUID()}`, token, lease);
