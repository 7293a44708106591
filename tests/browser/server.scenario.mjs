// A page and two native devices at one server (`storex serve`), on SQLite; on PostgreSQL where STOREX_TEST_POSTGRES tells one.
//
// Whatever happens to the server, the page, the connection or the login: in the end all hold the same, and nothing twice.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Network } from './network.mjs';
import { NativeDevices, Server, WIDE } from './programs.mjs';
import { random } from './random.mjs';
import { openTab, toldBy, until } from './tab.mjs';
import { temporary } from './temporary.mjs';

/** An edit is on the other devices within this, in milliseconds. Single ones may be late where the machine has too much to do. */
const LIVE = 1000;

/** All have everything this long after the network is whole again, in milliseconds: what a device waits after some failures, and a busy machine. */
const HEALED = 60_000;

export default async function ({ browser, url, long }) {
  const { folder, remove } = await temporary('server');
  const site = new Site(folder, process.env.STOREX_TEST_POSTGRES);
  try {
    await site.start(browser, url);
    await site.crossOrigin();
    await site.live('at first', long ? 50 : 3);
    for (let round = 0; round < (long ? 10 : 2); round += 1) await site.killed();
    await site.goesAway();
    await site.live('after the server was away', 2);
    await site.reloaded();
    await site.loggedOut();
    await site.offline();
    await site.badNetwork(long ? 600_000 : 8_000);
    await site.workers();
    await site.live('after all that', 2);
    await site.large();
    await site.rooms();
    await site.revoked();
  } catch (why) {
    why.message += `\nthe server has logged:\n${site.server.log.join('\n')}`;
    throw why;
  } finally {
    await site.end();
    await remove();
  }
}

/** The server, the devices, and what is on them. */
class Site {
  #folder;
  /** Another one each time: a database may be used again. */
  #user = `ada-${randomUUID()}`;
  #tokens = { native: 'token-of-the-native-devices', page: 'the-first-token-of-the-page' };
  #titles = 0;
  /** How many objects there are, and how often was counted. */
  #made = { objects: 0, counted: 0 };

  constructor(folder, postgres) {
    this.#folder = folder;
    this.server = new Server(folder, postgres);
  }

  async start(browser, url) {
    // One user makes the requests of three, as quickly as they can; a login that has ended is to be noticed soon.
    const limits = WIDE;
    await this.server.configure({ limits, timeouts: { heartbeat: 1 } });
    await this.#letIn();
    await this.server.start();

    this.native = new NativeDevices();
    // All devices come by it.
    this.network = await Network.to(this.server.url, this.native);
    this.one = (...call) => this.native.call(['one', ...call]);
    this.two = (...call) => this.native.call(['two', ...call]);
    await this.#openNative('one');
    await this.#openNative('two');
    for (const device of [this.one, this.two]) await device('connect');
    await this.one('create', 'account', { name: 'counted', balance: 0 });

    this.tab = await openTab(browser, url);
    this.page = (...call) => this.tab.run('page', ...call);
    this.traffic = await Traffic.of(this.tab, () => this.network.url);
    await this.#openPage();
    // Nobody has logged in yet.
    await this.page('phase', 'NeedsLogin');
    await this.page('login', this.#tokens.page);
    this.all = [this.page, this.one, this.two];
    await Promise.all(this.all.map(device => device('has', 'account', { name: 'counted' }, 1)));
  }

  async #letIn() {
    await this.server.letIn(Object.fromEntries(Object.values(this.#tokens).map(token => [token, this.#user])));
  }

  #openNative(name) {
    const file = join(this.#folder, `${name}.db`);
    return this.native.call([name, 'open', file, this.network.url, this.#tokens.native]);
  }

  async #openPage() {
    await this.page('open');
    await this.page('reach', this.network.url);
    await this.page('connect', 'a page');
  }

  /** The page is of another origin, and the browser has asked the server whether that may be. */
  async crossOrigin() {
    assert.notEqual(await this.tab.page.evaluate(() => location.origin), this.network.url);
    assert.ok(this.traffic.preflights > 0, 'the browser has asked nothing beforehand');
  }

  /** Edits of each device are on the others at once, while all listen. */
  async live(when, rounds) {
    await until('all listen', async () => await this.#listeners() >= this.all.length);
    const took = [];
    for (let round = 0; round < rounds; round += 1) {
      for (const from of this.all) {
        const title = this.#title('live');
        await this.#arrives(took, from, { title }, () => from('create', 'member', this.#member(title)));
        const praised = { title, stars: 1 };
        await this.#arrives(took, from, praised, () => from('update', 'member', { title }, { stars: 1 }));
      }
    }
    live(`edits ${when}, until one is on another device`, took);
  }

  /** How many listen, as the server counts them. */
  async #listeners() {
    const metrics = await (await fetch(`${this.server.url}/metrics`)).text();
    return Number(/^storex_sockets ([0-9]+)/m.exec(metrics)[1]);
  }

  async #arrives(took, from, filter, edit) {
    const start = performance.now();
    const arrived = this.all.filter(device => device !== from).map(async device => {
      await device('has', 'member', filter, 1);
      took.push(performance.now() - start);
    });
    await edit();
    await Promise.all(arrived);
  }

  #title(what) {
    this.#titles += 1;
    return `${what} ${this.#titles}`;
  }

  #member(title) {
    this.#made.objects += 1;
    return { team: 1, size: 1, title, stars: 0 };
  }

  /** Each of these devices counts and makes an object, so many times. */
  async #write(times, devices = this.all) {
    await Promise.all(devices.map(async device => {
      for (let n = 0; n < times; n += 1) {
        this.#made.counted += 1;
        assert.equal(await device('update', 'account', { name: 'counted' }, { $inc: { balance: 1 } }), 1);
        await device('create', 'member', this.#member(this.#title('written')));
      }
    }));
  }

  /** All have everything, once. */
  async #same(devices = this.all) {
    const { objects, counted } = this.#made;
    // What a device has written before an object arrives before it, so that is all.
    await Promise.all(devices.map(device => device('has', 'member', {}, objects)));
    await Promise.all(devices.map(device => device('in_step')));
    const [first, ...others] = await Promise.all(devices.map(device => device('dump')));
    for (const other of others) assert.deepEqual(other, first);
    assert.deepEqual(first.account, [{ name: 'counted', balance: counted }]);
    assert.equal(new Set(first.member.map(({ title }) => title)).size, objects);
    const { unsent, parked, rejected } = await this.page('status');
    assert.deepEqual({ unsent, parked, rejected }, { unsent: 0, parked: 0, rejected: 0 });
  }

  /** The server is killed while all write, and comes back while they write. */
  async killed() {
    const before = this.#write(20);
    await this.server.kill();
    await before;
    await this.page('phase', 'BackingOff');
    await this.#write(5);
    const after = this.#write(20);
    await this.server.start();
    await after;
    await this.#same();
  }

  /** The server closes the page's WebSocket, which notices and asks again. */
  async goesAway() {
    await until('the page listens', () => this.traffic.open > 0);
    const { closed, attempts } = this.traffic;
    await this.server.stop();
    await until('the WebSocket is closed', () => this.traffic.closed > closed);
    await this.server.start();
    await until('the page listens again', () => this.traffic.attempts > attempts && this.traffic.open > 0);
  }

  /** The page is loaded again in the middle of its writes, and goes on. */
  async reloaded() {
    const natives = this.#write(20, [this.one, this.two]);
    await this.#write(10, [this.page]);
    await this.tab.page.reload();
    await this.tab.page.waitForFunction('globalThis.ready');
    await this.#openPage();
    await this.#write(5, [this.page]);
    await natives;
    await this.#same();
  }

  /** The server does not accept the page's token any more: the page waits for a login, and goes on after it. */
  async loggedOut() {
    const { page, ...others } = this.#tokens;
    this.#tokens = others;
    await this.#letIn();
    await this.page('phase', 'NeedsLogin');
    await this.#write(5);
    await until('what the page has written is kept', async () => (await this.page('status')).unsent > 0);
    this.#tokens = { ...others, page: `another-${page}` };
    await this.#letIn();
    await until('the server knows the new token', () => this.#accepts(this.#tokens.page));
    await this.page('login', this.#tokens.page);
    await this.#same();
  }

  async #accepts(token) {
    const answer = await fetch(`${this.server.url}/v1/devices`, { headers: { authorization: `Bearer ${token}` } });
    return answer.ok;
  }

  /** Without a connection the page asks nothing, and as soon as there is one it has everything. */
  async offline() {
    const took = [];
    for (let n = 0; n < 3; n += 1) {
      await this.tab.page.setOfflineMode(true);
      await this.page('phase', 'Offline');
      await this.#write(3);
      const start = performance.now();
      await this.tab.page.setOfflineMode(false);
      await Promise.all(this.all.map(device => device('has', 'member', {}, this.#made.objects)));
      took.push(performance.now() - start);
    }
    await this.#same();
    live('times on-line again, until all have everything', took);
  }

  /** All write while the network breaks in every way, and the server is killed now and then. */
  async badNetwork(milliseconds) {
    const seed = Number(process.env.STOREX_SEED ?? 7);
    const end = performance.now() + milliseconds;
    let kills = 0;
    const each = async work => {
      while (performance.now() < end) await work();
    };
    await Promise.all([
      this.network.breakFor(milliseconds, random(seed)),
      each(() => this.#write(1)),
      each(async () => {
        await sleep(milliseconds / (milliseconds > 60_000 ? 60 : 3));
        await this.server.kill();
        await this.server.start();
        kills += 1;
      }),
    ]);
    const healed = performance.now();
    await this.#same();
    const took = Math.round(performance.now() - healed);
    const { cut, refused } = await this.network.passed();
    console.log(`  ${cut} connections cut, ${refused} refused, the server killed ${kills} times (seed ${seed}): the same ${took} ms after it`);
    assert.ok(took < HEALED, `the same only ${took} ms after the network was whole again`);
  }

  /** Large requests and answers, in both directions. */
  async large() {
    for (const device of [this.page, this.one]) {
      for (let n = 0; n < 3; n += 1) {
        // Nothing that could be compressed much.
        const body = randomBytes(500_000).toString('base64');
        await device('create', 'member', { ...this.#member(this.#title('large')), body });
      }
    }
    await this.#same();
  }

  /** The same transport in a dedicated and in a shared worker. */
  async workers() {
    const workers = ['inWorker', 'inSharedWorker'].map(where => (...call) => this.tab.call(where, where, ...call));
    for (const device of workers) {
      await device('open');
      await device('reach', this.network.url);
      await device('connect', 'a worker');
      await device('login', this.#tokens.page);
      await device('has', 'account', {}, 1);
    }
    await this.#write(2, [...this.all, ...workers]);
    await this.#same([...this.all, ...workers]);
    for (const device of workers) await device('stop_sync');
  }

  /** New devices get everything from another one in a room of the server, and go on with the log. */
  async rooms() {
    // A native device sends to a page.
    const fresh = (...call) => this.tab.run('fresh', ...call);
    await fresh('open');
    await fresh('reach', this.network.url);
    await fresh('login', this.#tokens.page);
    const code = deferred();
    const sending = this.native.call(['one', 'send_in_room'], code.resolve);
    const received = await fresh('receive_in_room', await code.promise);
    assert.equal(received.objects, (await sending).objects);
    assert.deepEqual(await fresh('dump'), await this.one('dump'));

    // A page sends to a native device.
    const third = (...call) => this.native.call(['three', ...call]);
    await this.#openNative('three');
    const told = toldBy(this.tab);
    const [sent, got] = await Promise.all([
      this.tab.call('host', 'page', 'send_in_room'),
      told.then(code => third('receive_in_room', code)),
    ]);
    assert.equal(sent.objects, got.objects);
    assert.deepEqual(await third('dump'), await this.page('dump'));

    await fresh('connect', 'a fresh page');
    await third('connect');
    const all = [...this.all, fresh, third];
    await this.#write(2, all);
    await this.#same(all);
    await fresh('stop_sync');
  }

  /** The page's device is shut out: it is told at once, and asks for nothing more. */
  async revoked() {
    await until('the page listens', () => this.traffic.open > 0);
    await this.one('revoke', await this.page('device_id'));
    const { error } = await this.page('phase', 'NeedsLogin');
    assert.match(error, /revoked|shut out/);
    const { requests } = this.traffic;
    await this.page('create', 'member', { team: 1, size: 1, title: 'too late', stars: 0 });
    await assert.rejects(this.page('sync_now'), /revoked|shut out/);
    assert.equal(this.traffic.requests, requests);
    // The others go on.
    this.all = [this.one, this.two];
    await this.live('without the page', 1);
    assert.equal(this.traffic.requests, requests);
    const devices = await this.one('devices');
    assert.deepEqual(devices.filter(({ revoked }) => revoked).map(({ name }) => name), ['a page']);
  }

  async end() {
    await this.native?.end();
    await this.server.kill();
  }
}

/** What goes between a page and a server. */
class Traffic {
  requests = 0;
  preflights = 0;
  attempts = 0;
  open = 0;
  closed = 0;

  static async of({ page }, url) {
    const traffic = new Traffic();
    const session = await page.createCDPSession();
    const opened = new Set();
    session.on('Network.requestWillBeSent', ({ request }) => {
      if (!request.url.startsWith(url())) return;
      if (request.method === 'OPTIONS') traffic.preflights += 1;
      else traffic.requests += 1;
    });
    session.on('Network.webSocketCreated', () => (traffic.attempts += 1));
    session.on('Network.webSocketHandshakeResponseReceived', ({ requestId }) => {
      opened.add(requestId);
      traffic.open = opened.size;
    });
    session.on('Network.webSocketClosed', ({ requestId }) => {
      if (opened.delete(requestId)) traffic.closed += 1;
      traffic.open = opened.size;
    });
    await session.send('Network.enable');
    return traffic;
  }
}

/** Prints how long it took, and fails if that was not live. */
function live(what, took) {
  took.sort((a, b) => a - b);
  const [median, slowest] = [took[Math.floor(took.length / 2)], took.at(-1)].map(Math.round);
  console.log(`  ${took.length} ${what}: ${median} ms, at most ${slowest} ms`);
  assert.ok(median < LIVE, `${what}: ${median} ms`);
}

function deferred() {
  const deferred = {};
  deferred.promise = new Promise((resolve, reject) => Object.assign(deferred, { resolve, reject }));
  return deferred;
}
