// The worker of all tabs hangs in the middle of a transaction of IndexedDB, which lets nobody else write. It is ended, and the transaction with it:
// Chromium itself would give that up after a minute.

import assert from 'node:assert/strict';
import { until } from './tab.mjs';
import { distant, fresh, measured, neverOverlap, tab, titlesOf } from './tab-sync.mjs';

/** It waits for clocks, most of the time. */
export const patient = true;

/** In the transaction that applies what has come from elsewhere: everything is written, and the commit is still to come. */
const APPLYING = ['sync.before_apply', 'indexeddb.before_commit'];

/** A worker that is silent for so long is replaced, by when the others can write, and how long it would hang, in milliseconds. */
const [PATIENCE, ENDED, HANGS] = [4000, 30_000, 300_000];

export default async function (context) {
  await hangsInATransaction(context, { without: [], place: 'shared worker' });
  await hangsInATransaction(context, { without: ['SharedWorker'], place: 'worker' });
}

async function hangsInATransaction(context, { without, place }) {
  const settings = fresh({ patience: PATIENCE });
  const far = await distant(context, settings);
  const [a, b] = [await tab(context, settings, without), await tab(context, settings, without)];
  await a.write('before');
  assert.equal(await a.ask('synced'), true);

  await a.call('hang', `${settings.database}@1#0`, Date.now() + HANGS, APPLYING);
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
  assert.ok(written >= PATIENCE && sent < ENDED, told);

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

  neverOverlap(await b.call('said'));
  for (const it of [a, b, far]) await it.close();
}
