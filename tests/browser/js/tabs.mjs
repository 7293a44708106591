// Tabs of one database: one sync for all of them, in a worker that the page names, or one tab at a time.

import assert from 'node:assert/strict';
import { until } from '../tab.mjs';
import { has, inStep, start, write } from './devices.mjs';

const TOKEN = 'the-token-of-dan';

/** Starts the sync of a tab in a worker. What the tab itself is asked for a token is counted, and is none. */
export async function startInWorker(page, { version = 1, ...settings } = {}) {
  await page.evaluate(async (version, settings) => {
    const worker = new URL('/tests/sync-worker.js', location.href);
    worker.search = new URLSearchParams({ dbName: manager.backend.dbName, server, ...settings });
    globalThis.asked = 0;
    globalThis.sync = await storex.Sync.start(manager, {
      server, worker, version,
      async token() {
        asked += 1;
        throw new Error('the tab was asked for a token');
      },
    });
    globalThis.phases = [];
    sync.subscribe(({ phase }) => phases.push(phase));
  }, version, { token: TOKEN, ...settings });
}

const place = page => page.evaluate(() => sync.place);

/** A worker syncs for two tabs, outlives one of them, and is there for whoever comes later; a database that was deleted is opened anew. */
export async function shared(devices) {
  const witness = await devices.application();
  await start(witness, { token: TOKEN });
  const one = await devices.application();
  const two = await devices.application(one);
  for (const page of [one, two]) await startInWorker(page);
  assert.deepEqual(await Promise.all([one, two].map(place)), ['shared-worker', 'shared-worker']);
  const workers = one.browserContext().targets().filter(target => target.type() === 'shared_worker');
  assert.equal(workers.length, 1, 'one worker for both');

  await write(one, 'of one');
  await write(two, 'of two');
  await Promise.all([has(witness, 'of one'), has(witness, 'of two')]);
  await write(witness, 'of the witness');
  await Promise.all([one, two].map(page => has(page, 'of the witness')));
  await Promise.all([one, two].map(inStep));
  const reports = await Promise.all([one, two].map(page => page.evaluate(() => sync.syncNow())));
  assert.deepEqual(reports.map(it => it.sent), [0, 0]);
  const [first, second] = await Promise.all([one, two].map(page => page.evaluate(() => sync.deviceId())));
  assert.equal(first, second);

  // What one of them does with it is seen by all.
  await one.evaluate(() => sync.pause());
  await until('the pause in the other tab', () => two.evaluate(() => sync.status.phase === 'paused'));
  await two.evaluate(() => sync.resume());
  await until('the end of the pause', () => one.evaluate(() => sync.status.phase === 'waiting'));
  assert.deepEqual(await two.evaluate(() => {
    try {
      return sync.keys();
    } catch (why) {
      return [why.name, why.kind];
    }
  }), ['StorexError', 'unsupported']);

  await one.close();
  await write(two, 'after one');
  await has(witness, 'after one');

  await two.evaluate(() => sync.stop());
  assert.equal(await two.evaluate(() => sync.status.phase), 'stopped');
  assert.equal(await two.evaluate(() => sync.syncNow().catch(why => why.kind)), 'closed');
  await two.evaluate(async () => {
    await manager.backend.dropDatabase();
    await setUp();
  });
  await startInWorker(two);
  await has(two, 'of one');
  assert.equal(await place(two), 'shared-worker');
  assert.equal(await two.evaluate('asked'), 0);
  await Promise.all([witness, two].map(page => page.close()));
}

/** The worker asks for a token itself; a tab tells it when somebody has logged in. */
export async function loginInWorker(devices) {
  const page = await devices.application();
  await write(page, 'before the login');
  await startInWorker(page, { token: '' });
  await until('the need of a login', () => page.evaluate(() => sync.status.phase === 'needs-login'));
  assert.match(await page.evaluate(() => sync.status.lastError), /nobody has logged in/);
  await page.evaluate(async token => {
    const logins = new BroadcastChannel(`logins of ${manager.backend.dbName}`);
    const known = new Promise(done => { logins.onmessage = done; });
    logins.postMessage(token);
    await known;
    sync.loggedIn();
  }, TOKEN);
  await inStep(page);
  assert.deepEqual(await page.evaluate(() => [sync.place, asked]), ['shared-worker', 0]);
  await page.close();
}

/** A script that is not there, and some that cannot start their sync: it runs in the tab, and soon. No shared workers: in one of the tab's own. */
export async function withoutShared(devices) {
  const page = await devices.application();
  await write(page, 'without a worker');
  const scripts = ['not-there.js', 'sync-worker.js?dbName=x&why=it+may+not', 'sync-worker.js?dbName=x&broken=1'];
  for (const worker of [...scripts.map(script => `/tests/${script}`), null]) {
    const began = performance.now();
    await start(page, { token: TOKEN, worker });
    assert.equal(await place(page), 'tab');
    assert.ok(performance.now() - began < 20_000, `${worker}: a tab has waited for it`);
    await inStep(page);
    await page.evaluate(() => sync.stop());
  }
  await page.evaluate(() => { globalThis.SharedWorker = undefined; });
  await startInWorker(page);
  assert.equal(await place(page), 'worker');
  await write(page, 'in a worker of its own');
  await inStep(page);
  assert.equal(await page.evaluate('asked'), 0);
  await page.close();
}

/** No worker: one of the tabs syncs, the other says what that one does, and takes over when it is frozen. */
export async function alone(devices) {
  const witness = await devices.application();
  await start(witness, { token: TOKEN });
  const one = await devices.application();
  await start(one, { token: TOKEN });
  await inStep(one);
  const two = await devices.application(one);
  await start(two, { token: TOKEN });
  assert.deepEqual(await Promise.all([one, two].map(place)), ['tab', 'tab']);
  await until('the status of the one that syncs', () => two.evaluate(() => sync.status.phase === 'waiting' && sync.status.inStep));
  assert.equal((await two.evaluate(() => sync.syncNow())).sent, 0);
  await write(two, 'of the other tab');
  await has(witness, 'of the other tab');

  // One that stands by tells of no exchanges.
  await two.evaluate(() => {
    globalThis.exchanged = 0;
    sync.onEvent(({ type }) => { if (type === 'exchanged') exchanged += 1; });
  });
  assert.equal(await two.evaluate('exchanged'), 0);
  const session = await one.createCDPSession();
  await session.send('Page.setWebLifecycleState', { state: 'frozen' });
  await two.bringToFront();
  await write(two, 'while one is frozen');
  await has(witness, 'while one is frozen');
  await until('the exchange of the one that is not frozen', () => two.evaluate('exchanged > 0'));
  await Promise.all([one, two, witness].map(page => page.close()));
}
