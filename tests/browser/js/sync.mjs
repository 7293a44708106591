// Two pages that know nothing of each other but a server (`storex serve`): the example, and what else an application does with sync.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { withServer } from '../programs.mjs';
import { until } from '../tab.mjs';
import { openPage } from './behaviour.mjs';
import { add, openExample, shown } from './example.mjs';

export async function sync({ browser, url }) {
  const tokens = { 'the-token-of-ada': 'ada', 'the-token-of-bob': 'bob', 'the-token-of-cleo': 'cleo', 'the-token-of-dan': 'dan' };
  await withServer('js-server', tokens, async server => {
    const devices = new Devices(browser, url, server);
    try {
      await example(devices);
      await conflicts(devices);
      await login(devices);
      await initialSync(devices);
      await encrypted(devices);
      await forgotten(devices);
      await frozen(devices);
    } finally {
      await devices.close();
      await server.stop();
    }
  });
}

/** Pages of one user each, in profiles of their own. */
class Devices {
  #browser;
  #url;
  #contexts = [];
  server;

  constructor(browser, url, server) {
    this.#browser = browser;
    this.#url = url;
    this.server = server;
  }

  async #context() {
    const context = await this.#browser.createBrowserContext();
    this.#contexts.push(context);
    return context;
  }

  /** A page with the example on it. */
  async example() {
    return openExample(await this.#context(), this.#url);
  }

  /** A page with an application of one collection, `manager`; further functions of it are given by `run`. */
  async application() {
    const [page] = await this.tabs(1);
    return page;
  }

  /** So many of them on one database. */
  async tabs(count) {
    const [context, dbName] = [await this.#context(), `application-${randomUUID()}`];
    const pages = [];
    for (let n = 0; n < count; n += 1) pages.push(await this.#tab(context, dbName));
    return pages;
  }

  async #tab(context, dbName) {
    const page = await openPage(context, this.#url);
    await page.evaluate(async (server, dbName) => {
      globalThis.server = server;
      globalThis.manager = new storex.StorageManager({ backend: new storex.StorexBackend({ dbName, sync: true }) });
      manager.registry.registerCollections({
        note: { version: new Date(2026, 10, 30), fields: { title: { type: 'string' }, at: { type: 'datetime' } } },
      });
      await manager.finishInitialization();
      globalThis.notes = manager.collection('note');
      globalThis.titles = async () => (await notes.findObjects({}, { order: [['title', 'asc']] })).map(it => it.title);
    }, this.server.url, dbName);
    return page;
  }

  async close() {
    await Promise.all(this.#contexts.map(context => context.close()));
  }
}

/** The page of plain JavaScript: two of them at a server, and one that is reloaded without it. */
async function example(devices) {
  const pages = [await devices.example(), await devices.example()];
  const [one, two] = pages;
  await add(one, '  milk ');
  await until('the title without blanks', async () => (await shown(one))[0] === 'milk');
  for (const page of pages) {
    await page.type('#sync [name=server]', devices.server.url);
    await page.type('#sync [name=token]', 'the-token-of-ada');
    await page.click('#sync button');
  }
  await until('the item on the other page', async () => (await shown(two)).length === 1);
  await two.click('#items input');
  await add(two, 'bread');
  await until('both on the first page', async () => String(await shown(one)) === 'donemilk,bread');
  await until('the count', async () => (await one.$eval('#count', it => it.textContent)) === '1 to be done');
  await until('in step', async () => (await one.$eval('#status', it => it.textContent)) === 'in step');

  await devices.server.stop();
  await one.reload();
  await one.waitForSelector('body[data-ready]');
  await until('the list without a server', async () => (await shown(one)).length === 2);
  await devices.server.start();
  await Promise.all(pages.map(page => page.close()));
}

const start = (page, options) => page.evaluate(async options => {
  globalThis.sync = await storex.Sync.start(manager, { server, ...options });
}, options);

const inStep = page => until('in step', () => page.evaluate(async () => sync.status.inStep && await sync.unsent() === 0));

/** What two have written at once is in the journal, and comes back. */
async function conflicts(devices) {
  const [one, two] = [await devices.application(), await devices.application()];
  for (const page of [one, two]) await start(page, { token: 'the-token-of-ada', deviceName: 'a page' });
  const id = await one.evaluate(async () => (await notes.createObject({ title: 'first', at: new Date(0) })).object.id);
  await until('the note on the other page', () => two.evaluate(async () => (await titles()).includes('first')));
  for (const [page, title] of [[one, 'of one'], [two, 'of two']]) {
    await page.evaluate(async (id, title) => {
      await sync.pause();
      await notes.updateOneObject({ id }, { title, at: new Date(7) });
    }, id, title);
    assert.equal(await page.evaluate(() => sync.unsent()), 1);
  }
  for (const page of [one, two]) {
    await page.evaluate(async () => {
      await sync.resume();
      await sync.syncNow();
    });
  }
  await one.evaluate(() => sync.syncNow());
  const found = await one.evaluate(async () => (await sync.conflicts()).map(it => ({
    ...it, at: it.at instanceof Date, won: it.won.fields, lost: { ...it.lost.fields }, isDate: it.lost.at instanceof Date,
  })));
  const [title] = found.filter(it => it.field === 'title');
  assert.deepEqual([title.collection, title.pk, title.isLoss, title.isDate], ['note', id, true, true]);
  assert.deepEqual([title.won, title.lost], [{ title: 'of two' }, { title: 'of one' }]);
  await one.evaluate(async id => sync.undo({ id }), title.id);
  await until('what was put back, on the other page', () => two.evaluate(async () => (await titles()).includes('of one')));
  await parked(two);
  const wrong = await one.evaluate(id => sync.undo({ id }).catch(it => [it.name, it.kind, it.retryable]), title.id);
  assert.equal(wrong[0], 'StorexError');
  await Promise.all([one, two].map(page => page.close()));
}

/** What the example has written for the same user is of a collection that this application does not have: it waits, and is in nobody's way. */
async function parked(page) {
  const before = await page.evaluate(() => sync.parked());
  assert.deepEqual(before.map(it => it.waitsFor), ['update', 'update', 'update']);
  assert.match(before[0].reason, /`item`/);
  await page.evaluate(async first => {
    await sync.retryParked();
    await sync.discardParked(first);
  }, before[0]);
  assert.deepEqual(await page.evaluate(() => sync.parked()), before.slice(1));
  assert.deepEqual(await page.evaluate(() => sync.rejected()), []);
}

/** An async function gives tokens; while it gives none, somebody has to log in, and nothing is lost. */
async function login(devices) {
  const page = await devices.application();
  await page.evaluate(async () => {
    globalThis.token = null;
    globalThis.asked = [];
    globalThis.phases = [];
    await notes.createObject({ title: 'written before the login', at: new Date() });
    globalThis.sync = await storex.Sync.start(manager, {
      server,
      async token(rejected) {
        asked.push(rejected);
        if (!token) throw new Error('nobody has logged in');
        return token;
      },
    });
    sync.subscribe(({ phase }) => phases.push(phase));
  });
  await until('the need of a login', () => page.evaluate(() => phases.at(-1) === 'needs-login'));
  assert.match(await page.evaluate(() => sync.status.lastError), /nobody has logged in/);
  assert.equal(await page.evaluate(() => sync.unsent()), 1);
  await page.evaluate(() => {
    token = 'the-token-of-bob';
    sync.loggedIn();
  });
  await inStep(page);
  assert.match(await page.evaluate(() => sync.deviceId()), /^[0-9a-f]{32}$/);
  await page.evaluate(() => sync.stop());
  await until('the end', () => page.evaluate(() => phases.at(-1) === 'stopped'));
  await page.close();
}

/** A new page gets everything by a code, and what it has goes the other way. */
async function initialSync(devices) {
  const [one, two] = [await devices.application(), await devices.application()];
  await one.evaluate(() => notes.rawCreateObjects(Array.from({ length: 300 }, (_, n) => ({ title: `a${n}`, at: new Date() }))));
  await two.evaluate(() => notes.createObject({ title: 'b', at: new Date() }));
  const code = await one.evaluate(() => new Promise((resolve, reject) => {
    globalThis.offered = storex.offerInitialSync(manager, { server, token: 'the-token-of-bob', onCode: resolve });
    offered.catch(reject);
  }));
  assert.match(code, /^\d{4,6}-\w{4}-\w{4}$/);
  const joined = await two.evaluate(async code => {
    const events = [];
    const report = await storex.joinInitialSync(manager, { server, token: 'the-token-of-bob', code: code.toLowerCase(), onEvent: it => events.push(it) });
    return { report, types: [...new Set(events.map(it => it.type))], progress: events.filter(it => it.type === 'progress' && it.role === 'receiver').at(-1) };
  }, code);
  // Whoever has more receives first: so what was sent comes back with the rest, and stays as it is.
  assert.deepEqual(joined.report, { sent: 1, received: 301, kept: 1, parked: 0 });
  assert.deepEqual([joined.progress.done, joined.progress.total], [301, 301]);
  assert.ok(['prepared', 'progress', 'finished'].every(type => joined.types.includes(type)), String(joined.types));
  assert.deepEqual(await one.evaluate('offered'), { sent: 301, received: 1, kept: 0, parked: 0 });
  for (const page of [one, two]) assert.equal(await page.evaluate(() => notes.countObjects({})), 301);
  await Promise.all([one, two].map(page => page.close()));
}

/** End to end: with the passphrase it is read, with kept keys too, and without it nothing is sent. */
async function encrypted(devices) {
  const [one, two] = [await devices.application(), await devices.application()];
  await one.evaluate(() => notes.createObject({ title: 'a secret', at: new Date() }));
  await start(one, { token: 'the-token-of-cleo', passphrase: 'correct horse battery staple' });
  await inStep(one);
  const refused = await two.evaluate(async () => storex.Sync.start(manager, { server, token: 'the-token-of-cleo', passphrase: 'wrong' })
    .catch(it => [it.name, it.kind, it.message]));
  assert.deepEqual(refused.slice(0, 2), ['StorexError', 'invalid']);
  assert.match(refused[2], /passphrase/);
  const keys = await one.evaluate(() => [...sync.keys()]);
  await two.evaluate(async keys => {
    globalThis.sync = await storex.Sync.start(manager, { server, token: 'the-token-of-cleo', keys: new Uint8Array(keys) });
  }, keys);
  await until('the secret on the other page', () => two.evaluate(async () => (await titles()).includes('a secret')));
  await Promise.all([one, two].map(page => page.close()));
}

/** Sync goes on until it is stopped, although the page has forgotten it; and without a log there is none. */
async function forgotten(devices) {
  const [one, two] = [await devices.application(), await devices.application()];
  await start(two, { token: 'the-token-of-bob' });
  await one.evaluate(async () => {
    await storex.Sync.start(manager, { server, token: 'the-token-of-bob' });
  });
  const session = await one.createCDPSession();
  for (let n = 0; n < 3; n += 1) await session.send('HeapProfiler.collectGarbage');
  await one.evaluate(() => notes.createObject({ title: 'sent by nobody', at: new Date() }));
  await until('what was sent, on the other page', () => two.evaluate(async () => (await titles()).includes('sent by nobody')));
  const refused = await one.evaluate(async () => {
    const unlogged = new storex.StorageManager({ backend: new storex.StorexBackend({ dbName: 'unlogged' }) });
    await unlogged.finishInitialization();
    return storex.Sync.start(unlogged, { server, token: 'the-token-of-bob' }).catch(it => [it.kind, it.message]);
  });
  assert.equal(refused[0], 'invalid');
  assert.match(refused[1], /`sync: true`/);
  await Promise.all([one, two].map(page => page.close()));
}

/** Of two tabs of one application that one is frozen which syncs: the other carries on. */
async function frozen(devices) {
  const [one, two] = await devices.tabs(2);
  const other = await devices.application();
  const options = { token: 'the-token-of-dan', deviceName: 'a page' };
  for (const page of [one, other]) await start(page, options);
  await inStep(one);
  await start(two, options);
  await until('the second tab stands by', () => two.evaluate(() => sync.status.phase === 'standing-by'));
  const session = await one.createCDPSession();
  await session.send('Page.setWebLifecycleState', { state: 'frozen' });
  await two.bringToFront();
  await two.evaluate(() => notes.createObject({ title: 'while the other tab is frozen', at: new Date(0) }));
  await until('the note on the other page', () => other.evaluate(async () => (await titles()).length === 1));
  await Promise.all([one, two, other].map(page => page.close()));
}
