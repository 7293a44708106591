// Two pages that find each other in a room of a server (`storex serve`) and connect directly: an initial sync by WebRTC, beside the
// same through the room; a connection that breaks in the middle; and a worker, which has no WebRTC.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { withServer } from './programs.mjs';
import { openTab, toldBy, until } from './tab.mjs';

const OBJECTS = 2500;

/** A direct way is looked for this long, in milliseconds: a busy machine is not what fails the scenario. */
const PATIENT = 60_000;

export default async function ({ browser, url, long }) {
  await withServer('webrtc', { 'the-token-of-ada': 'ada' }, async server => {
    const pages = new Pages(server);
    await pages.open(browser, url);
    await pages.initialSync();
    await pages.frames(long ? 256 : 32);
    await pages.broken();
    await pages.worker();
  });
}

class Pages {
  #server;

  constructor(server) {
    this.#server = server;
  }

  async open(browser, url) {
    this.here = await openTab(browser, url);
    this.there = await openTab(browser, url);
    this.full = (...call) => this.here.run('full', ...call);
    await this.#device(this.full);
    for (let made = 0; made < OBJECTS; made += 500) {
      const members = Array.from({ length: 500 }, (_, n) =>
        // Nothing that could be compressed much.
        ({ team: made + n, size: 1, title: `member ${made + n}`, stars: 0, body: randomBytes(1500).toString('base64') }));
      await this.full('create_many', 'member', members);
    }
    this.all = await this.full('dump');
  }

  async #device(device) {
    await device('open');
    await device('reach', this.#server.url);
    await device('login', 'the-token-of-ada');
    return device;
  }

  #inPage(name) {
    return this.#device((...call) => this.there.run(name, ...call));
  }

  /** One page opens a room, and the other comes into it: what both tell. */
  #meet(host, guest, ...args) {
    const code = toldBy(this.here);
    const hosting = this.here.call('host', 'full', host, ...args);
    return [hosting, code.then(guest)];
  }

  #copy(device, milliseconds) {
    return this.#meet('send_by', code => device('receive_by', code, milliseconds), milliseconds);
  }

  /** Everything arrives, and the direct way is printed beside the other. */
  async initialSync() {
    const took = {};
    for (const [name, milliseconds] of [['direct', PATIENT], ['relayed', 0]]) {
      const device = await this.#inPage(name);
      const [sent, received] = await Promise.all(this.#copy(device, milliseconds));
      const direct = milliseconds > 0;
      assert.deepEqual([sent.direct, received.direct], [direct, direct], `${sent.why}; ${received.why}`);
      assert.deepEqual([sent.objects, received.objects], [OBJECTS, OBJECTS]);
      assert.deepEqual(await device('dump'), this.all);
      took[name] = sent.milliseconds;
      await device('close');
    }
    const ratio = (took.relayed / took.direct).toFixed(2);
    console.log(`  an initial sync of ${OBJECTS} objects: ${took.direct} ms directly, ${took.relayed} ms through the room (${ratio} times as fast)`);
  }

  /** The channel alone, without databases. */
  async frames(count) {
    const device = await this.#inPage('frames');
    const rates = [];
    for (const milliseconds of [PATIENT, 0]) {
      const receive = code => device('receive_frames', code, milliseconds);
      const [sent, received] = await Promise.all(this.#meet('send_frames', receive, milliseconds, count));
      assert.deepEqual([sent.direct, received.direct], [milliseconds > 0, milliseconds > 0]);
      assert.equal(received.bytes, count << 20);
      rates.push(count / sent.milliseconds * 1000);
    }
    const [direct, relayed] = rates;
    console.log(`  frames of 1 MiB: ${direct.toFixed(1)} MiB/s directly, ${relayed.toFixed(1)} MiB/s through the room (${(direct / relayed).toFixed(2)} times as fast)`);
    await device('close');
  }

  /** The receiving page is loaded again in the middle: the sender notices, and the next one goes on from what has arrived. */
  async broken() {
    let device = await this.#inPage('broken');
    const [sending, receiving] = this.#copy(device, PATIENT);
    receiving.catch(() => {}); // it goes with its page
    const start = sending.then(() => assert.fail('it went through'), why => ({ why, at: performance.now() }));
    await until('some has arrived', async () => (await device('dump')).member.length > 0, 60);
    const reloaded = performance.now();
    await this.there.page.reload();
    await this.there.page.waitForFunction('globalThis.ready');
    const { why, at } = await start;
    assert.match(why.message, /cut|lost|closed|gone|answered/);
    device = await this.#inPage('broken');
    const before = (await device('dump')).member.length;
    assert.ok(before > 0 && before < OBJECTS, `${before} objects`);
    const [, received] = await Promise.all(this.#copy(device, PATIENT));
    assert.ok(received.direct, received.why);
    assert.ok(received.objects <= OBJECTS - before, `${received.objects} objects came, and ${before} were here`);
    assert.deepEqual(await device('dump'), this.all);
    console.log(`  cut with ${before} objects: noticed after ${Math.round(at - reloaded)} ms, and then ${received.objects} came`);
    await device('close');
  }

  /** A worker says why not, both go on through the room, and nobody waits for the deadline. */
  async worker() {
    const device = await this.#device((...call) => this.there.call('inWorker', 'worker', ...call));
    const [sent, received] = await Promise.all(this.#copy(device, PATIENT));
    for (const { direct, why } of [sent, received]) {
      assert.equal(direct, false);
      assert.match(why, /not in workers/);
    }
    assert.deepEqual(await device('dump'), this.all);
  }
}
