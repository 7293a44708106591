// Two tabs on one database, each with the engine in itself or in a worker of its own, at a server (`storex serve`): the one that syncs is
// frozen in the middle of a push, and the other carries on. Then what else happens to pages: they are left and come back to, hidden and seen
// again, and lose their connection.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Exchanges } from './exchanges.mjs';
import { withServer } from './programs.mjs';
import { openTab, until } from './tab.mjs';
import { distant, fresh, measured, tab as openTabSync, titlesOf } from './tab-sync.mjs';

/** A lease without Web Locks lasts so long, in milliseconds, and who stands by looks every second. */
const LEASE = 6000;

/** What is exchanged is exchanged because of a write or of an event; in seconds. */
const RARELY = 3600;

/** An answer that is waited for in vain, in milliseconds. */
const NEVER = 600_000;

const TOKEN = 'the-token-of-ada';

/** Where the engine of a tab is, and what the browser lacks then. */
const PLACES = [
  { place: 'worker', without: ['SharedWorker'] },
  { place: 'tab', without: ['SharedWorker', 'Worker'] },
];

/** A worker that is silent for so long is replaced: nothing here is to wait for that. In milliseconds. */
const PATIENCE = 30_000;

/** What is seen at once is seen within this, in milliseconds, on a busy machine. */
const AT_ONCE = 5000;

export default async function (context) {
  const { browser, url } = context;
  for (const where of PLACES) await frozenWithItsEngine(context, where);
  await withServer('lifecycle', { [TOKEN]: 'ada' }, async server => {
    const site = new Site(browser, url, server);
    await site.start();
    for (const stage of ['Request', 'Response']) await site.frozenInAPush(stage);
    await site.frozenWithItsWorker();
    await site.frozenBetween();
    for (const written of [false, true]) await site.leftAndComeBackTo(written);
    await site.toldThatItIsKept();
    await site.withoutLocks();
    await site.hidden();
    await site.offline();
  });
}

/** Lets a tab be frozen, with what runs for it. */
async function mayFreeze(tab) {
  const session = await tab.page.createCDPSession();
  const become = state => session.send('Page.setWebLifecycleState', { state });
  const thaw = async () => {
    await tab.page.bringToFront();
    await become('active');
  };
  return Object.assign(tab, { session, freeze: () => become('frozen'), thaw });
}

/** The sync of all tabs, of which the one is frozen whose engine syncs; nothing is said to the engine by the application. */
async function frozenWithItsEngine(context, { place, without }) {
  const settings = fresh();
  const far = await distant(context, settings);
  const [a, b] = [await mayFreeze(await openTabSync(context, settings, without)), await openTabSync(context, settings, without)];
  await a.write('before');
  assert.equal(await a.ask('synced'), true);
  assert.equal((await a.status()).place, place);
  await a.freeze();
  await b.page.bringToFront();
  await b.write('by b');
  const took = await measured('the other tab carries on', async () => (await far.titles()).includes('by b'));
  console.log(`  frozen with its engine (${place}): the other tab has carried on after ${took} ms`);
  assert.ok(took < AT_ONCE, `${took} ms`);

  await a.thaw();
  await a.write('by a');
  await until('that is sent, too', async () => (await far.titles()).includes('by a'));
  // It takes over again.
  await b.close();
  await a.write('by a alone');
  assert.equal(await a.ask('synced'), true);
  const all = ['before', 'by a', 'by a alone', 'by b'];
  assert.deepEqual([await far.titles(), titlesOf(await a.run('dump')), await a.ask('unsent')], [all, all, 0]);
  await a.close();
  await far.close();
}

class Site {
  #made = 0;

  constructor(browser, url, server) {
    Object.assign(this, { browser, url, server });
  }

  /** A device of its own, which sees what is in the log. */
  async start() {
    const tab = await openTab(this.browser, this.url);
    this.witness = (...call) => tab.run('witness', ...call);
    await this.#reach(this.witness);
    await this.witness('connect', 'a witness');
    await this.witness('create', 'account', { name: 'counted', balance: 0 });
    await this.witness('in_step');
  }

  async #reach(device, database) {
    await (database ? device('open', database) : device('open'));
    await device('reach', this.server.url);
    await device('login', TOKEN);
  }

  /** A tab that has the database open, and syncs it unless another does. */
  async #tab(database, { locks = true, news = true, seconds = RARELY } = {}) {
    const tab = await mayFreeze(await openTab(this.browser, this.url));
    if (!locks) await tab.page.evaluate(() => { Object.defineProperty(Navigator.prototype, 'locks', { value: undefined }); });
    tab.device = (...call) => tab.run('device', ...call);
    tab.begin = async () => {
      await this.#reach(tab.device, database);
      await tab.device('connect_in_tab', database, seconds, news);
    };
    await tab.begin();
    return tab;
  }

  /** Two of them, of which the first syncs. The second looks often, as nobody tells it of the writes of another tab. */
  async #tabs(database, options) {
    const first = await this.#tab(database, options);
    await first.device('has', 'account', {}, 1);
    await first.device('in_step');
    const second = await this.#tab(database, { ...options, seconds: 1 });
    await second.device('phase', 'StandingBy');
    return [first, second];
  }

  async #write(device) {
    this.#made += 1;
    assert.equal(await device('update', 'account', { name: 'counted' }, { $inc: { balance: 1 } }), 1);
    await device('create', 'member', { team: 1, size: 1, title: `written ${this.#made}`, stars: 0 });
  }

  /** All have everything, once. */
  async #same(...devices) {
    const all = [this.witness, ...devices];
    await Promise.all(all.map(device => device('has', 'member', {}, this.#made)));
    for (const device of all) {
      const { account, member } = await device('dump');
      assert.deepEqual(account, [{ name: 'counted', balance: this.#made }]);
      assert.equal(new Set(member.map(({ title }) => title)).size, this.#made);
    }
  }

  /** Freezes a tab while the server is sent something, before it has it or before it has answered; and tells how long the other takes. */
  async #freezeInAPush(first, second, stage) {
    const held = new Promise(resolve => first.session.once('Fetch.requestPaused', resolve));
    await first.session.send('Fetch.enable', { patterns: [{ urlPattern: `${this.server.url}/*`, requestStage: stage }] });
    await this.#write(first.device);
    await held;
    const start = performance.now();
    await first.freeze();
    await second.page.bringToFront();
    await this.witness('has', 'member', {}, this.#made);
    return performance.now() - start;
  }

  async #thaw(tab) {
    await tab.session.send('Fetch.disable');
    await tab.thaw();
  }

  async frozenInAPush(stage) {
    const [first, second] = await this.#tabs(`frozen-${stage}`);
    const took = await this.#freezeInAPush(first, second, stage);
    console.log(`  frozen in the middle of a push (${stage.toLowerCase()}): the other tab has carried on after ${Math.round(took)} ms`);
    assert.ok(took < LEASE + AT_ONCE, `${took} ms`);
    await this.#write(second.device);
    await this.#same(second.device);

    await this.#thaw(first);
    await this.#standsByAndTakesOver(first, second);
  }

  /** Nothing is under way, and the lock is held. */
  async frozenBetween() {
    const [first, second] = await this.#tabs('between');
    await first.freeze();
    await second.page.bringToFront();
    await this.#write(second.device);
    await second.device('in_step');
    await this.#same(second.device);
    await first.close();
    await second.close();
  }

  /** The engine is in a worker of each tab's own, which is frozen with its page while the server's answer is on its way. */
  async frozenWithItsWorker() {
    const database = 'in-a-worker';
    let held = Infinity;
    const exchanges = await Exchanges.to(this.server.url, ({ began }) => (began >= held ? NEVER : 0));
    const settings = { database, server: exchanges.url, token: TOKEN, lease: LEASE, locks: true };
    const open = async () => {
      const tab = await mayFreeze(await openTab(this.browser, this.url));
      await tab.page.evaluate(() => { delete globalThis.SharedWorker; });
      tab.device = (...call) => tab.run('device', ...call);
      await tab.device('open', database);
      const script = `chaos-worker.mjs?settings=${encodeURIComponent(JSON.stringify(settings))}`;
      await tab.device('connect_to_worker', database, script, PATIENCE);
      assert.equal((await tab.device('tab_status')).place, 'worker');
      return tab;
    };
    const first = await open();
    await first.device('has', 'account', {}, 1);
    const second = await open();
    const holder = () => exchanges.all.at(-1).who;
    const former = holder();
    await this.#write(first.device);
    held = Date.now();
    await until('a push is under way', () => exchanges.underWay.some(({ began }) => began >= held));
    held = Infinity;
    const start = performance.now();
    await first.freeze();
    await second.page.bringToFront();
    await until('the other one carries on', () => holder() !== former);
    await this.witness('has', 'member', {}, this.#made);
    const took = performance.now() - start;
    console.log(`  frozen with its worker in the middle of a push: the other tab has carried on after ${Math.round(took)} ms`);
    assert.ok(took < AT_ONCE, `${took} ms`);
    await this.#write(second.device);
    await this.#same(second.device);

    const again = performance.now();
    await first.thaw();
    await until('it is in step', async () => (await first.device('tab_status')).inStep);
    console.log(`  it runs again: in step after ${Math.round(performance.now() - again)} ms`);
    await this.#write(first.device);
    await this.#same(first.device, second.device);
    // And it takes over again.
    await second.close();
    await this.#write(first.device);
    await this.#same(first.device);
    assert.deepEqual(exchanges.overlaps, []);
    await first.close();
    await exchanges.close();
  }

  /**
   * Another page, and back by history: from the browser's cache, or loaded anew. Chromium throws a page out of its cache when a message comes
   * for it, and one does when another tab writes.
   */
  async leftAndComeBackTo(written) {
    const [first, second] = await this.#tabs(`left-${written}`);
    await first.page.evaluate(() => { globalThis.wasHere = true; });
    await first.page.goto(`${this.url}/pages/page.html?elsewhere`);
    await second.device('phase', 'Waiting');
    if (written) await this.#carriesOn('left', second);
    await first.page.goBack();
    await until('it is there again', () => first.page.evaluate('globalThis.ready'));
    const kept = await first.page.evaluate(() => globalThis.wasHere === true);
    console.log(`  come back to, ${written ? '' : 'not '}written to meanwhile: ${kept ? 'it was kept' : 'it is loaded anew'}`);
    if (!kept) await first.begin();
    await this.#standsByAndTakesOver(first, second);
  }

  /** As of a browser that keeps more: the page is not loaded anew, and hears that it is kept, and that it was. */
  async toldThatItIsKept() {
    const [first, second] = await this.#tabs('kept');
    const happens = name => first.page.evaluate(name => { dispatchEvent(new PageTransitionEvent(name, { persisted: true })); }, name);
    await happens('pagehide');
    await this.#carriesOn('kept', second);
    await happens('pageshow');
    await this.#standsByAndTakesOver(first, second);
  }

  /** The second of two tabs does, as the first one does not run. */
  async #carriesOn(what, second) {
    const start = performance.now();
    await second.page.bringToFront();
    await this.#write(second.device);
    await this.witness('has', 'member', {}, this.#made);
    const took = performance.now() - start;
    console.log(`  ${what}: the other tab has carried on after ${Math.round(took)} ms`);
    assert.ok(took < AT_ONCE, `${took} ms`);
    await this.#same(second.device);
  }

  /** The first of two tabs runs again. */
  async #standsByAndTakesOver(first, second) {
    await first.page.bringToFront();
    await first.device('phase', 'StandingBy');
    await this.#write(first.device);
    await this.#same(first.device, second.device);
    await second.close();
    await first.device('phase', 'Waiting');
    await this.#write(first.device);
    await this.#same(first.device);
    await first.close();
  }

  /** By a lease, where the browser has no Web Locks. */
  async withoutLocks() {
    const [first, second] = await this.#tabs('lease', { locks: false });
    const took = await this.#freezeInAPush(first, second, 'Request');
    console.log(`  the same by a lease: after ${Math.round(took)} ms`);
    assert.ok(took < LEASE + AT_ONCE, `${took} ms`);
    await this.#thaw(first);
    await first.device('phase', 'StandingBy');
    await this.#same(first.device, second.device);
    await first.close();
    await second.close();
  }

  /** Nothing tells of news here: what was missed is there as soon as somebody looks. */
  async hidden() {
    const tab = await this.#tab('hidden', { news: false });
    await tab.device('has', 'member', {}, this.#made);
    await tab.device('in_step');
    const front = await this.browser.newPage();
    await until('the tab is hidden', () => tab.page.evaluate(() => document.visibilityState === 'hidden'));
    await this.#write(this.witness);
    await this.witness('in_step');
    await sleep(1000);
    assert.equal((await tab.device('dump')).member.length, this.#made - 1, 'nobody looked');
    const start = performance.now();
    await tab.page.bringToFront();
    await tab.device('has', 'member', {}, this.#made);
    const took = performance.now() - start;
    console.log(`  seen again: everything is there after ${Math.round(took)} ms`);
    assert.ok(took < AT_ONCE, `${took} ms`);
    await front.close();
    await tab.close();
  }

  /** Both tabs lose the connection, and have it again. */
  async offline() {
    const [first, second] = await this.#tabs('offline');
    for (const tab of [first, second]) await tab.page.setOfflineMode(true);
    await first.device('phase', 'Offline');
    for (const device of [first.device, second.device, this.witness]) await this.#write(device);
    for (const tab of [first, second]) await tab.page.setOfflineMode(false);
    await this.#same(first.device, second.device);
    await first.close();
    await second.close();
  }
}
