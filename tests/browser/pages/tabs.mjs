// A tab whose sync is that of all tabs.

import { hang, hear, lack, tell, throttle } from './hooks.mjs';
import { run } from './host.mjs';

const exchanges = [];
const asked = new URLSearchParams(location.search);
const without = asked.get('without');
const throttled = Number(asked.get('throttled'));
hear(said => exchanges.push(said));
if (throttled) throttle(throttled);
lack(without ? without.split(',') : []);

globalThis.run = run;
globalThis.hang = hang;

let script;

/** Opens a device with the sync of all tabs; `settings` see src/tabs.rs. */
globalThis.openTab = async (name, { worker = true, ...settings }) => {
  const { database, newer = false } = settings;
  const there = JSON.stringify({ ...settings, without: without ? without.split(',') : [] });
  ({ script = worker ? `sync-worker.mjs?settings=${encodeURIComponent(there)}` : undefined } = settings);
  await run(name, 'open', database, { newer });
  await run(name, 'use_tabs', { ...settings, script }, tell);
};

/** Holds on to the shared worker, as a tab does that is frozen. */
globalThis.keep = name => {
  globalThis.kept = new SharedWorker(script, { type: 'module', name: `storex-sync:${name.indexOf('@')}:${name}` });
};

/** What was said of exchanges elsewhere. */
globalThis.said = () => exchanges;

/** The names of the locks that are held, of those that begin so. */
globalThis.locks = async beginning => {
  const { held } = await navigator.locks.query();
  return held.map(({ name }) => name).filter(name => name.startsWith(beginning));
};

/** Takes a lock away from whoever holds it, and lets go of it. */
globalThis.steal = name => navigator.locks.request(name, { steal: true }, () => {});

globalThis.ready = true;
