// Live queries of several tabs, and of a shared worker, on one database: right within 200 ms of each commit, whoever makes it.

import assert from 'node:assert/strict';
import { cpus, loadavg } from 'node:os';
import { launch } from './browser.mjs';
import { openTab, until } from './tab.mjs';

/** Milliseconds. A machine that has more to do than it can takes longer for everything. */
const limit = () => 200 * Math.max(1, loadavg()[0] / cpus().length);
const HOUR = 3_600_000;

export default async function (context) {
  // Each in a browser of its own: a shared worker that pages have left does not begin once more in one that is watched.
  for (const channels of [true, false]) {
    const { browser, problems, close } = await launch();
    try {
      await commitsAndSync({ ...context, browser }, channels);
      await beginsInTheMiddle({ ...context, browser }, channels);
    } finally {
      await close();
    }
    context.problems.push(...problems);
  }
  await hungWriter(context);
  await unheard(context);
  await cost(context);
}

/** A tab, or the shared worker: what is called is the same. */
function contextOf(call) {
  return { run: (...args) => call(...args) };
}

/** Opens devices on the database, where asked for in a world without BroadcastChannel. */
async function opened(device, database, channels) {
  await device.run('first', 'open', `${database}-first`);
  if (!channels) await device.run('first', 'without_channels');
  await device.run('first', 'close');
  await device.run('device', 'open', database);
}

/** Three tabs and a shared worker, which keeps the database in step with another one that a fourth tab has. */
async function commitsAndSync({ browser, url, long }, channels) {
  const name = channels ? 'told' : 'counted';
  const tabs = [];
  for (let n = 0; n < 4; n++) tabs.push(await openTab(browser, url));
  const worker = contextOf((...args) => tabs[0].call('inSharedWorker', ...args));
  const afar = tabs.pop();
  for (const one of [...tabs, worker]) await opened(one, name, channels);
  await opened(afar, `${name}-afar`, channels);
  for (const one of [...tabs, worker, afar]) await one.run('device', 'follow', 'all');

  const rounds = long ? 300 : 45;
  const here = new Slowest();
  for (let n = 0; n < rounds; n++) {
    const committed = await tabs[n % 3].run('device', 'commit', `${n}`);
    await here.seen([...tabs, worker], `${n}`, committed);
  }
  console.log(`          ${name}: ${here.say(`after ${rounds} commits by tabs`)}`);

  // An aborted transaction tells nothing: what comes next is what comes first.
  await tabs[0].run('device', 'give_up_many', 'given up', 2000);
  await here.seen([...tabs, worker], 'after it', await tabs[0].run('device', 'commit', 'after it'));
  for (const tab of tabs) {
    assert.equal(await tab.run('device', 'has_seen', 'all', 'given up 0'), false);
    assert.equal(await tab.run('device', 'follows', 'all'), rounds + 1);
  }

  // Nothing but changes wakes those who sync: what a tab writes is heard by the worker, what comes to the shared log by both.
  for (const one of [worker, afar]) {
    await one.run('device', 'join', `${name}-log`);
    await one.run('device', 'start_sync', HOUR);
  }
  const there = new Slowest();
  const applied = new Slowest();
  for (let n = 0; n < (long ? 50 : 10); n++) {
    const written = await tabs[n % 3].run('device', 'commit', `out ${n}`);
    there.note(await afar.run('device', 'saw', 'all', `out ${n}`) - written);
    await afar.run('device', 'commit', `in ${n}`);
    // The worker knows of its own commit at once.
    const committed = await worker.run('device', 'saw', 'all', `in ${n}`);
    await applied.seen(tabs, `in ${n}`, committed);
  }
  console.log(`          ${name}: ${applied.say('after what a shared worker has applied')}; `
    + `from tab over worker and log to another database ${there.most.toFixed(0)} ms at most`);
  for (const one of [worker, afar]) {
    const { rounds: exchanges } = await one.run('device', 'stop_sync');
    // No exchange follows from what another exchange has applied.
    assert.ok(exchanges <= 2 + 4 * (long ? 50 : 10), `${exchanges} exchanges`);
  }
  for (const tab of [...tabs, afar]) await tab.close();
  for (const slowest of [here, applied]) assert.ok(slowest.most <= limit(), slowest.say(name));
}

/** Live queries begin, one after another, while another tab writes 20,000 rows in one transaction: all of them have it all. */
async function beginsInTheMiddle({ browser, url }, channels) {
  const name = channels ? 'middle-told' : 'middle-counted';
  const rows = 20_000;
  const [a, b] = [await openTab(browser, url), await openTab(browser, url)];
  for (const tab of [a, b]) await opened(tab, name, channels);
  await a.run('device', 'commit', 'before');
  let committed;
  const writing = a.run('device', 'commit_many', 'row', rows).then(at => { committed = at; });
  const begun = [];
  while (committed === undefined) {
    const label = `${begun.length}`;
    const live = { label, from: Date.now() };
    begun.push(live);
    // The first result waits for the transaction, if it has begun.
    await b.run('device', 'follow', label);
  }
  await writing;
  const early = begun.filter(({ from }) => from < committed);
  assert.ok(early.length > 0, 'none began before the commit');
  for (const { label } of begun) {
    await until(`live query ${label} has all`, async () => await b.run('device', 'follows', label) === rows + 1);
  }
  console.log(`          ${name}: ${early.length} live queries began before the commit, and have all ${rows} rows`);
  for (const tab of [a, b]) await tab.close();
}

/** A tab hangs when its batch is committed and nobody is told yet, as one that is killed: the others have it all the same. */
async function hungWriter({ browser, url }) {
  const [a, b] = [await openTab(browser, url), await openTab(browser, url)];
  for (const tab of [a, b]) await tab.run('device', 'open', 'hung');
  await b.run('device', 'follow', 'all');
  const stopped = new Promise(resolve => a.page.on('console', line => {
    if (line.text() === 'stopped indexeddb.after_commit') resolve(Date.now());
  }));
  await a.call('stopAt', 'indexeddb.after_commit', 1);
  a.run('device', 'commit', 'untold').catch(() => {}); // it never answers
  const committed = await stopped;
  const took = await b.run('device', 'saw', 'all', 'untold') - committed;
  console.log(`          told by nobody: seen ${took.toFixed(0)} ms after the commit`);
  assert.ok(took <= limit(), `${took} ms`);
  await b.close();
  await a.close();
}

/** The worker hears nothing of what a tab writes: it goes out at the next poll. */
async function unheard({ browser, url }) {
  const [a, b] = [await openTab(browser, url), await openTab(browser, url)];
  const worker = contextOf((...args) => a.call('inSharedWorker', ...args));
  await a.page.evaluate(() => { BroadcastChannel.prototype.postMessage = () => {}; });
  await a.run('device', 'open', 'unheard');
  await worker.run('device', 'open', 'unheard');
  await b.run('device', 'open', 'unheard-afar');
  await b.run('device', 'follow', 'all');
  for (const one of [worker, b]) {
    await one.run('device', 'join', 'unheard-log');
    await one.run('device', 'start_sync', 500);
  }
  await a.run('device', 'commit', 'in silence');
  await b.run('device', 'saw', 'all', 'in silence');
  for (const one of [worker, b]) await one.run('device', 'stop_sync');
  await a.close();
  await b.close();
}

/** What it costs the one who writes that others are told, and that somebody listens. */
async function cost({ browser, url, long }) {
  const [singles, size] = [long ? 10_000 : 1000, 10_000];
  const [mute, alone, heard, listener] =
    [await openTab(browser, url), await openTab(browser, url), await openTab(browser, url), await openTab(browser, url)];
  // As if nothing were ever told.
  await mute.page.evaluate(() => {
    globalThis.BroadcastChannel = class { name = ''; postMessage() {} close() {} };
  });
  await mute.run('device', 'open', 'cost-mute');
  await alone.run('device', 'open', 'cost-alone');
  for (const tab of [heard, listener]) await tab.run('device', 'open', 'cost-heard');
  await listener.run('device', 'listen');
  const tabs = { mute, alone, heard };
  const took = Object.fromEntries(Object.keys(tabs).map(name => [name, { single: 0, batch: [] }]));
  const rounds = 10;
  for (let round = 0; round < rounds; round++) {
    const order = Object.keys(tabs);
    // Whoever comes first finds the machine otherwise.
    for (let n = 0; n < round % 3; n++) order.push(order.shift());
    for (const name of order) {
      took[name].single += await tabs[name].run('device', 'time_writes', `single ${round}`, singles / rounds, 1);
    }
    if (round % 4 > 0) continue;
    for (const name of order) {
      took[name].batch.push(await tabs[name].run('device', 'time_writes', `batch ${round}`, 1, size));
    }
  }
  const median = times => times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
  const ratio = (name, of) => (of(took[name]) / of(took.mute)).toFixed(3);
  const of = { single: it => it.single, batch: it => median(it.batch) };
  console.log(`          ${singles} single writes: ${(took.mute.single / singles).toFixed(3)} ms each; `
    + `told ${ratio('alone', of.single)}, told and heard ${ratio('heard', of.single)} times that`);
  console.log(`          a batch of ${size}: ${of.batch(took.mute).toFixed(0)} ms; `
    + `told ${ratio('alone', of.batch)}, told and heard ${ratio('heard', of.batch)} times that`);
  for (const tab of [mute, alone, heard, listener]) await tab.close();
}

/** How late the latest was. */
class Slowest {
  most = 0;
  count = 0;

  note(took) {
    this.most = Math.max(this.most, took);
    this.count += 1;
  }

  /** Waits until the live queries of all of them have it. */
  async seen(all, name, committed) {
    const times = await Promise.all(all.map(one => one.run('device', 'saw', 'all', name)));
    for (const at of times) this.note(at - committed);
  }

  say(what) {
    return `the slowest of ${this.count} results ${this.most.toFixed(0)} ms ${what}`;
  }
}
