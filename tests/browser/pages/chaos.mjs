// One of several tabs that come and go: it writes numbered writes, shows what there is, and says so. It says on the console
// `told NUMBER TIME` for each write that is through.

import { run } from './host.mjs';

let life;
let number = 0;
let writing = false;
let loop = Promise.resolve();
/** What the live queries have given last: by collection, as JSON. */
const shown = {};
/** The accounts as they were shown last. */
const balances = new Map();
/** When each balance was shown first, since that was asked: `[time, account, balance]`. */
let news = [];

globalThis.run = run;

/** Opens the database, and shows what is in it and what comes. */
globalThis.begin = async (tab, database, { locks }) => {
  life = tab;
  if (!locks) Object.defineProperty(navigator, 'locks', { value: undefined, configurable: true });
  await run('tab', 'open', database);
  const first = new Promise(done => run('tab', 'show', 'account', json => {
    note(json);
    done();
  }));
  await run('tab', 'show', 'member', json => (shown.member = json));
  await first;
};

/** Syncs in this tab, as long as no other does. */
globalThis.connectTab = ({ server, token, lease }) => run('tab', 'connect_as_tab', `${server}/${life}`, token, lease);

/** Syncs in this tab, whatever others do. */
globalThis.connectUnlocked = async ({ server, token }) => {
  await run('tab', 'reach', `${server}/${life}`);
  await run('tab', 'login', token);
  await run('tab', 'connect', life);
};

/** Is kept in step by the worker of all tabs. */
globalThis.connectWorker = ({ database, patience, ...settings }) => {
  const script = `chaos-worker.mjs?settings=${encodeURIComponent(JSON.stringify({ database, ...settings }))}`;
  return run('tab', 'connect_to_worker', database, script, patience);
};

/** The worker of all tabs hangs, until so many milliseconds from now: as soon as it has committed something, with no transaction open. */
globalThis.hangWorker = async (database, milliseconds) => {
  const { hang } = await import('./hooks.mjs');
  hang(`${database}@`, Date.now() + milliseconds, ['indexeddb.after_commit']);
};

function note(json) {
  const at = Date.now();
  shown.account = json;
  const accounts = JSON.parse(json);
  if (accounts.error) throw new Error(accounts.error);
  for (const { name, balance } of accounts) {
    if (balances.get(name) === balance) continue;
    balances.set(name, balance);
    news.push([at, name, balance]);
  }
}

/** Writes until it is told to stop, with a pause of at most so many milliseconds between two writes. */
globalThis.startWriting = (team, pause) => {
  writing = true;
  loop = (async () => {
    while (writing) {
      number += 1;
      await run('tab', 'write_numbered', life, team, number);
      console.log(`told ${number} ${Date.now()}`);
      await new Promise(done => setTimeout(done, Math.random() * pause));
    }
  })();
};

/** Stops, and tells how many writes there were. */
globalThis.stopWriting = async () => {
  writing = false;
  await loop;
  return number;
};

/** What was shown since this was asked last. */
globalThis.news = () => news.splice(0);
globalThis.shown = () => Object.fromEntries(Object.entries(shown).map(([name, json]) => [name, JSON.parse(json)]));
globalThis.life = () => life;

globalThis.ready = true;
