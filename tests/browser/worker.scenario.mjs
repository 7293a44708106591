// One sync for all tabs of a database: in a shared worker, in a worker of each tab, in the tabs themselves.

import assert from 'node:assert/strict';
import { until } from './tab.mjs';
import { distant, fresh, measured, neverOverlap, tab, titlesOf } from './tab-sync.mjs';

/** What the browser lacks, and where sync is to be then. */
const BROWSERS = [
  { without: [], place: 'shared worker' },
  { without: ['SharedWorker'], place: 'worker' },
  { without: ['SharedWorker', 'Worker'], place: 'tab' },
  { without: ['locks'], place: 'shared worker' },
  { without: ['BroadcastChannel'], place: 'shared worker' },
  { without: ['SharedWorker', 'locks'], place: 'worker' },
  { without: ['SharedWorker', 'BroadcastChannel'], place: 'worker' },
  { without: ['SharedWorker', 'Worker', 'locks', 'BroadcastChannel'], place: 'tab' },
];

/** It waits for clocks, most of the time. */
export const patient = true;

export default async function (context) {
  for (const lacking of BROWSERS) {
    try {
      await keepsInStep(context, lacking);
    } catch (why) {
      throw new Error(`without ${lacking.without.join(', ') || 'nothing'}: ${why.stack ?? why}`);
    }
  }
  await fallsBack(context);
  await losesItsFrame(context);
  await isRobbed(context);
  await isThrottled(context);
  await hangs(context);
  await twoVersions(context);
}

/** What is true of sync wherever it runs: the core of the suite of continuous sync. */
async function keepsInStep(context, { without, place }) {
  const settings = fresh();
  const far = await distant(context, settings);
  // A tab whose engine stands by knows of the one that syncs by a BroadcastChannel.
  const isTold = place === 'shared worker' || !without.includes('BroadcastChannel');
  const [a, b] = [await tab(context, settings, without), await tab(context, settings, without)];
  const telling = isTold ? [a, b] : [a];
  assert.deepEqual([(await a.status()).place, (await b.status()).place], [place, place]);

  // A write in any tab goes out, and whoever wrote it learns of it.
  for (const [it, title] of [[a, 'by a'], [b, 'by b']]) {
    await it.write(title);
    assert.equal(await it.ask('synced'), true);
  }
  assert.deepEqual(await far.titles(), ['by a', 'by b']);
  // What others write is in all tabs.
  await far.write('far away');
  for (const it of [a, b]) {
    await until('it is there', async () => titlesOf(await it.run('dump')).length === 3);
  }
  for (const it of telling) {
    await until('it is in step', async () => (await it.status()).inStep);
    assert.ok('sent' in await it.ask('sync_now'));
    const { rounds } = await it.status();
    assert.ok(rounds > 0, `${rounds} exchanges`);
  }
  if (!isTold) {
    assert.equal((await b.status()).phase, 'StandingBy');
    await assert.rejects(b.ask('sync_now'), /another program syncs/);
  }
  assert.ok((await a.status()).events > 0, 'no event was told');
  for (const call of ['unsent', 'parked', 'rejected']) {
    assert.deepEqual([await a.ask(call), await b.ask(call)], [0, 0], call);
  }
  assert.equal(await a.ask('digest'), await b.ask('digest'));
  assert.equal(await a.ask('device'), await b.ask('device'));

  // What one pauses is paused for all.
  await b.ask('pause');
  await until('it is paused', async () => (await a.status()).phase === 'Paused');
  await a.write('while it was paused');
  await assert.rejects(a.ask('sync_now'), /paused/);
  assert.equal(await b.ask('unsent'), 1);
  await a.ask('resume');
  assert.equal(await a.ask('synced'), true);
  if (isTold) await until('it goes on', async () => (await b.status()).phase === 'Waiting');

  const exchanges = await a.call('said');
  // When the first tab is closed, the second goes on.
  await a.close();
  await b.write('after the first tab');
  const took = await measured('it is sent', async () => (await far.titles()).includes('after the first tab'), 15);
  const limit = without.includes('locks') ? 10_000 : 5_000;
  assert.ok(took < limit, `${took} ms until the other tab went on`);
  console.log(`        without ${without.join(', ') || 'anything'}: goes on after ${took} ms`);
  neverOverlap(exchanges);
  await b.close();
  await far.close();
}

/** A script that cannot be loaded, or fails, is no reason to have no sync; and when all fails, one is told why. */
async function fallsBack(context) {
  const reasons = [
    ['no script is named', { worker: false }],
    ['the script is not there', { script: 'nowhere.mjs' }],
    ['the script throws', { broken: true }],
    ['the script is of another origin', { script: 'https://elsewhere.example/worker.mjs' }],
    ['a policy forbids workers', { page: 'tabs-without-workers.html' }],
  ];
  for (const [why, settings] of reasons) {
    const it = await tab(context, fresh(settings));
    assert.equal((await it.status()).place, 'tab', why);
    await it.write('all the same');
    assert.equal(await it.ask('synced'), true, why);
    await it.close();
  }
  await assert.rejects(tab(context, fresh({ fails: true })), why => {
    const said = /shared worker: it fails on purpose; worker: it fails on purpose; tab: it fails on purpose/;
    return said.test(why.message);
  });
  const elsewhere = fresh({ fails: true, script: 'https://elsewhere.example/worker.mjs' });
  await assert.rejects(tab(context, elsewhere), /shared worker: SecurityError: .*; worker: SecurityError: .*; tab: it fails on purpose/);
  // The scripts that throw do so uncaught.
  const { problems } = context;
  const expected = problems.filter(problem => problem.includes('broken on purpose'));
  assert.ok(expected.length > 0);
  for (const problem of expected) problems.splice(problems.indexOf(problem), 1);
}

/** The frame from which a tab comes to the worker is not seen. A page that has removed it finds back, and nobody's worker is taken for one that hangs. */
async function losesItsFrame(context) {
  const settings = fresh({ patience: 4000 });
  const far = await distant(context, settings);
  const [a, b] = [await tab(context, settings), await tab(context, settings)];
  assert.deepEqual(await a.page.$$eval('iframe', frames => frames.map(({ offsetHeight }) => offsetHeight)), [0]);
  await a.page.evaluate(() => document.querySelector('iframe').remove());
  await a.write('without a frame');
  assert.equal(await a.ask('synced'), true);
  // Nobody keeps the worker then.
  await b.close();
  await until('it has found back', async () => (await a.page.$$('iframe')).length === 1, 60);
  await a.write('with another one');
  await until('both are sent', async () => (await far.titles()).length === 2, 60);
  assert.equal((await a.status()).place, 'shared worker');
  assert.deepEqual(await a.page.evaluate(database => Object.keys(localStorage).filter(key => key.includes(database)), settings.database), []);
  await a.close();
  await far.close();
}

/** A tab is kept in step by the first worker of its database: that was not taken for one that hangs. */
async function hasItsWorker(it, { database }) {
  await it.write('by and by');
  assert.equal(await it.ask('synced'), true);
  const names = await it.call('locks', 'storex-sync:');
  assert.deepEqual(names.filter(name => name.includes(`:${database}@`)).map(name => name.split('#').at(-1)), ['0']);
  assert.equal((await it.status()).place, 'shared worker');
}

/** The lock by which a tab is known is stolen: the worker lets go of the tab, and is well. */
async function isRobbed(context) {
  const settings = fresh();
  const it = await tab(context, settings);
  await it.write('before');
  assert.equal(await it.ask('synced'), true);
  const [former] = await it.call('locks', 'storex-tab:');
  await it.call('steal', former);
  await until('it has another lock', async () => (await it.call('locks', 'storex-tab:')).some(name => name !== former));
  await hasItsWorker(it, settings);
  await it.close();
}

/** The timers of a tab that is not seen come late, and all at once: that a question is not answered by then does not mean that the worker hangs. */
async function isThrottled(context) {
  const settings = fresh({ patience: 2000, throttled: 5000 });
  const it = await tab(context, settings);
  await hasItsWorker(it, settings);
  await it.close();
}

/**
 * A worker that hangs is ended and replaced while its tabs are open, and nothing is lost; also when somebody keeps it, as a tab does that is frozen, and it comes to
 * itself.
 */
async function hangs(context) {
  for (const without of [[], ['locks'], ['SharedWorker']]) {
    const patience = 4000;
    const settings = fresh({ patience });
    const far = await distant(context, settings);
    const [a, b] = [await tab(context, settings, without), await tab(context, settings, without)];
    const isKept = without.includes('locks');
    if (isKept) await a.call('keep', `${settings.database}@1#0`);
    await a.write('before');
    assert.equal(await a.ask('synced'), true);
    const until20 = Date.now() + 20_000;
    const begin = Date.now();
    await a.call('hang', `${settings.database}@1#0`, until20);
    await until('it hangs', async () => (await b.call('said')).some(({ what }) => what === 'hangs'));
    // Both go on writing, and both notice.
    await Promise.all([a.write('by a'), b.write('by b')]);
    await until('the next one sends', async () => (await far.titles()).length === 3, 60);
    const took = Date.now() - begin;
    console.log(`        without ${without.join(', ') || 'anything'}: one that hangs is replaced after ${took} ms (patience ${patience} ms)`);
    assert.ok(took < 18_000, `${took} ms until it was replaced`);
    for (const it of [a, b]) {
      await until('its status is right', async () => (await it.status()).inStep);
      assert.equal(await it.ask('unsent'), 0);
    }
    if (without.length === 0) {
      await until('the one that hangs is ended', () => workersOf(context, settings).length === 1);
      assert.ok(Date.now() < until20, 'it has come to itself before');
    } else if (isKept) {
      assert.equal(workersOf(context, settings).length, 2);
    }
    // A tab that comes now finds the next one.
    const c = await tab(context, settings, without);
    await c.write('by c');
    assert.equal(await c.ask('synced'), true);
    await until('the first one comes to itself', () => Date.now() > until20 + 1000, 30);
    await Promise.all([a.write('after it, by a'), c.write('after it, by c')]);
    await until('both are sent', async () => (await far.titles()).length === 6);
    await far.write('by another');
    await until('all have it', async () => titlesOf(await b.run('dump')).length === 7);
    neverOverlap(await b.call('said'));
    for (const it of [a, b, c, far]) await it.close();
  }
}

/** Tabs of two versions have two workers, of which one syncs at a time; the newer one's schema ends the sync of the older. */
async function twoVersions(context) {
  const settings = fresh();
  const far = await distant(context, settings);
  const a = await tab(context, settings);
  const b = await tab(context, { ...settings, version: '2' });
  assert.equal(workersOf(context, settings).length, 2);
  await Promise.all([a.write('by a'), b.write('by b')]);
  assert.deepEqual([await a.ask('synced'), await b.ask('synced')], [true, true]);
  await until('both are sent', async () => (await far.titles()).length === 2);
  neverOverlap(await b.call('said'));

  const c = await tab(context, { ...settings, version: '3', newer: true });
  for (const it of [a, b]) await until('it has ended', async () => (await it.status()).phase === 'Stopped');
  await c.write('by c');
  const took = await measured('the newest one syncs', async () => (await far.titles()).length === 3, 15);
  console.log(`        a newer schema's worker syncs after ${took} ms`);
  for (const it of [a, b, c, far]) await it.close();
}

/** The shared workers that there are for a database. */
function workersOf({ browser }, { database }) {
  return browser.targets().filter(target => target.type() === 'shared_worker' && decodeURIComponent(target.url()).includes(`"${database}"`));
}
