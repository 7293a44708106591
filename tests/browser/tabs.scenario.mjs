// Several tabs, and a shared worker, on one database at once.

import assert from 'node:assert/strict';
import { openTab } from './tab.mjs';

export default async function (context) {
  await oneCounter(context);
  await nextVersion(context);
  await sharedWorker(context);
}

/** Two tabs write the same counter, each write logged: none is lost, and the log has no gap. */
async function oneCounter({ browser, url, long }) {
  const times = long ? 2000 : 200;
  const [a, b] = [await openTab(browser, url), await openTab(browser, url)];
  await Promise.all([a, b].map(tab => tab.run('device', 'open', 'counter')));
  await Promise.all([a, b].map(tab => tab.run('device', 'count', 'both', times)));
  for (const tab of [a, b]) {
    assert.deepEqual((await tab.run('device', 'dump')).account, [{ name: 'both', balance: 2 * times }]);
    assert.equal(await tab.run('device', 'audit'), 2 * times);
  }
  // One goes on when the other has gone.
  await a.close();
  await b.run('device', 'count', 'both', 1);
  assert.equal(await b.run('device', 'audit'), 2 * times + 1);
  await b.close();
}

/** A tab with the next version of the application is not held up by one with the last version, which is told. */
async function nextVersion({ browser, url }) {
  const [a, b] = [await openTab(browser, url), await openTab(browser, url)];
  await a.run('old', 'open', 'versions');
  await a.run('old', 'count', 'kept', 3);
  await b.run('new', 'open', 'versions', { newer: true });
  await b.run('new', 'create', 'later', { note: 'from the next version' });
  const { account, later } = await b.run('new', 'dump');
  assert.deepEqual(account, [{ name: 'kept', balance: 3 }]);
  assert.equal(later.length, 1);
  await assert.rejects(a.run('old', 'count', 'kept', 1), /another tab has upgraded it/);
  await a.run('new', 'open', 'versions', { newer: true });
  await a.run('new', 'count', 'kept', 1);
  assert.equal((await a.run('new', 'dump')).later.length, 1);
  await a.close();
  await b.close();
}

/** A device in a shared worker serves two tabs, beside one that has the database open itself, and outlives a tab. */
async function sharedWorker({ browser, url, long }) {
  const times = long ? 1000 : 100;
  const [a, b, c] = [await openTab(browser, url), await openTab(browser, url), await openTab(browser, url)];
  const shared = tab => (...call) => tab.call('inSharedWorker', 'device', ...call);
  await shared(a)('open', 'in-shared-worker');
  await c.run('device', 'open', 'in-shared-worker');
  await Promise.all([
    shared(a)('count', 'all', times),
    shared(b)('count', 'all', times),
    c.run('device', 'count', 'all', times),
  ]);
  assert.equal(await shared(b)('audit'), 3 * times);
  await a.close();
  await shared(b)('count', 'all', times);
  assert.equal(await c.run('device', 'audit'), 4 * times);
  assert.deepEqual((await shared(b)('dump')).account, [{ name: 'all', balance: 4 * times }]);
  await b.close();
  await c.close();
}
