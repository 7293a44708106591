// The worker of all tabs hangs in the middle of a transaction of IndexedDB, which lets nobody else write. A shared worker cannot be ended, so
// the browser has to give the transaction up: Chromium does after a minute, and only with `--long` that is waited for. A dedicated worker
// is ended, and its transaction with it.

import assert from 'node:assert/strict';
import { until } from './tab.mjs';
import { distant, fresh, measured, neverOverlap, tab, titlesOf } from './tab-sync.mjs';

/** It waits for clocks, most of the time. */
export const patient = true;

/** In the transaction that applies what has come from elsewhere: everything is written, and the commit is still to come. */
const APPLYING = ['sync.before_apply', 'indexeddb.before_commit'];

/** A worker that is silent for so long is replaced, and how long it hangs, in milliseconds. */
const [PATIENCE, HANGS] = [4000, 100_000];

export default async function (context) {
  await hangsInATransaction(context, { without: ['SharedWorker'], place: 'worker', atLeast: PATIENCE, atMost: 30_000 });
  if (context.long) await hangsInATransaction(context, { without: [], place: 'shared worker', atLeast: 20_000, atMost: 90_000 });
}

async function hangsInATransaction(context, { without, place, atLeast, atMost }) {
  const settings = fresh({ patience: PATIENCE });
  const far = await distant(context, settings);
  const [a, b] = [await tab(context, settings, without), await tab(context, settings, without)];
  await a.write('before');
  assert.equal(await a.ask('synced'), true);

  const comesToItself = Date.now() + HANGS;
  await a.call('hang', `${settings.database}@1#0`, comesToItself, APPLYING);
  await far.write('far away');
  await until('it hangs', async () => (await b.call('said')).some(({ what }) => what === 'hangs'));
  const begin = Date.now();
  // It alone.
  await a.call('hang', settings.database, 0, ['nowhere']);
  // Nobody closes anything.
  await Promise.all([a.write('by a'), b.write('by b')]);
  const written = Date.now() - begin;
  const titles = ['before', 'by a', 'by b', 'far away'];
  const sent = written + await measured('it is sent', async () => (await far.titles()).length === titles.length, 60);
  const told = `without ${without.join(', ') || 'anything'}: written after ${written} ms, sent after ${sent} ms`;
  console.log(`        a worker hangs in a transaction, ${told} (patience ${PATIENCE} ms)`);
  assert.ok(written >= atLeast && sent < atMost, told);

  await far.write('far away once more');
  titles.push('far away once more');
  for (const it of [a, b]) {
    await until('it has everything, once', async () => {
      const has = titlesOf(await it.run('dump'));
      return has.length >= titles.length && assert.deepEqual(has, titles) === undefined;
    });
    await until('its status is right', async () => (await it.status()).inStep);
    assert.deepEqual([(await it.status()).place, await it.ask('unsent')], [place, 0]);
  }
  assert.deepEqual(await far.titles(), titles);

  // One that was ended does not come to itself.
  if (place === 'shared worker') {
    await until('the first one comes to itself', () => Date.now() > comesToItself + 1000, HANGS / 1000);
    await Promise.all([a.write('z, by a'), b.write('z, by b')]);
    titles.push('z, by a', 'z, by b');
    await until('both are sent', async () => (await far.titles()).length === titles.length);
    assert.deepEqual(await far.titles(), titles);
    assert.equal(await a.ask('digest'), await b.ask('digest'));
  }
  neverOverlap(await b.call('said'));
  for (const it of [a, b, far]) await it.close();
}
