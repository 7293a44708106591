// No space, and eviction: what a real browser does to a database that is in use (src/quota.rs).

import assert from 'node:assert/strict';
import { openTab, until } from './tab.mjs';

const MIB = 1 << 20;
/** A batch is 64 pieces of 16 KiB: 1 MiB. */
const BATCH = [64, 16 * 1024];

export default async function (context) {
  await noSpace(context);
  await eviction(context);
  await promise(context);
}

/** A page with the module: functions of it, and fillers by the names of their databases. */
async function openPage(browser, url) {
  const { page } = await openTab(browser, url);
  await page.evaluate(async () => {
    // As the page has it, which is ready: begun by two at once, the module would be there twice, and its callbacks lost.
    const module = await import('/pkg/storex_browser.js');
    globalThis.quota = { module, fillers: new Map() };
  });
  return {
    session: await page.createCDPSession(),
    module: name => page.evaluate(async name => {
      const result = await quota.module[name]();
      return ArrayBuffer.isView(result) ? [...result] : result;
    }, name),
    open: name => page.evaluate(async name => void quota.fillers.set(name, await quota.module.Filler.open(name)), name),
    run: (name, method, ...args) =>
      page.evaluate((name, method, args) => quota.fillers.get(name)[method](...args), name, method, args),
    close: () => page.close(),
  };
}

/**
 * Batches run into the quota while others are under way: those fail as `Full`, none is there in part, and when there is
 * more room all goes on.
 *
 * Chromium remembers for half a minute how much room there was, so each round allows a little more than there is, and
 * never more than it fills.
 */
async function noSpace({ browser, url, long }) {
  const page = await openPage(browser, url);
  const allow = quotaSize => page.session.send('Storage.overrideQuotaForOrigin', { origin: url, quotaSize });
  await allow(24 * MIB);
  await page.open('full');
  const stored = new Set();
  let number = 0;
  let refused = 0;
  const write = async () => {
    number += 1;
    const mine = number;
    const outcome = await page.run('full', 'write', mine, ...BATCH);
    if (outcome === 'ok') stored.add(mine);
    else assert.match(outcome, /^Full: .*no space is left for this site/);
    refused += outcome === 'ok' ? 0 : 1;
    return outcome === 'ok';
  };
  const audited = async what =>
    assert.deepEqual(JSON.parse(await page.run('full', 'audit')), [...stored].sort((a, b) => a - b), what);
  for (let round = 0; round < (long ? 20 : 3); round += 1) {
    const before = stored.size;
    await until('no space is left', async () => {
      const outcomes = await Promise.all(Array.from({ length: 8 }, write));
      return outcomes.includes(false);
    }, 60);
    assert.ok(stored.size > before, `round ${round}: there was space at first`);
    await audited(`round ${round}`);
    // Without space it can still be opened.
    await page.run('full', 'close');
    await page.run('full', 'reopen');
    await audited(`round ${round}, opened again`);
    const [usage] = await page.module('space');
    await allow(usage + 24 * MIB);
    await until('there is space again', write, 60);
    await audited(`round ${round}, with space`);
  }
  console.log(`    ${stored.size} batches found space, ${refused} did not`);
  await page.run('full', 'close');
  await allow(undefined);
  await page.close();
}

/** The browser throws everything away while the database is open, and in the middle of writes. */
async function eviction({ browser, url }) {
  const page = await openPage(browser, url);
  await page.open('evicted');
  const identity = await page.run('evicted', 'identity');
  assert.equal(await page.run('evicted', 'write', 1, ...BATCH), 'ok');
  const running = [2, 3, 4].map(number => page.run('evicted', 'write', number, ...BATCH));
  await page.session.send('Storage.clearDataForOrigin', { origin: url, storageTypes: 'indexeddb' });
  for (const outcome of await Promise.all(running)) assert.match(outcome, /^(ok$|Io: |Closed: |NotFound: )/);
  await until('the loss is told', async () => await page.run('evicted', 'lost') !== '[]');
  assert.match(await page.run('evicted', 'lost'), /^\[(ByBrowser|Deleted)\]$/);
  // Nothing is made in its place unasked.
  assert.match(await page.run('evicted', 'read'), /evicted|was deleted/);
  assert.match(await page.run('evicted', 'write', 5, ...BATCH), /evicted|was deleted/);
  await page.run('evicted', 'reopen');
  assert.notEqual(await page.run('evicted', 'identity'), identity);
  assert.deepEqual(JSON.parse(await page.run('evicted', 'audit')), []);
  assert.equal(await page.run('evicted', 'write', 6, ...BATCH), 'ok');
  assert.deepEqual(JSON.parse(await page.run('evicted', 'audit')), [6]);
  await page.run('evicted', 'close');
  await page.close();
}

/** Whether the browser keeps the data is as the user has it. */
async function promise({ browser, url }) {
  const page = await openPage(browser, url);
  const session = await browser.target().createCDPSession();
  const permission = setting =>
    session.send('Browser.setPermission', { permission: { name: 'persistent-storage' }, setting, origin: url });
  await permission('denied');
  assert.equal(await page.module('ask_to_persist'), false);
  assert.equal(await page.module('will_persist'), false);
  await permission('granted');
  assert.equal(await page.module('ask_to_persist'), true);
  assert.equal(await page.module('will_persist'), true);
  const [usage, quota] = await page.module('space');
  assert.ok(quota > usage && usage >= 0, `${usage} of ${quota}`);
  await page.close();
}
