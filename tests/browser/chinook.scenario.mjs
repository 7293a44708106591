// Chinook on three: a native device that works in the SQLite file of another program, `storex serve`, and a page with the same collections.
//
// The page gets all by a pairing code. Then both edit while the server and the network are cut at random, and in the end both hold the same, with
// each edit that was acknowledged in it. Where the file is not there, one of the same shape is made.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Editor } from './chinook-editor.mjs';
import { Ledger } from './ledger.mjs';
import { Network } from './network.mjs';
import { NativeDevices, Server, WIDE } from './programs.mjs';
import { random } from './random.mjs';
import { openTab } from './tab.mjs';
import { temporary } from './temporary.mjs';

const exporter = process.env.STOREX_EXPORT;

/** In milliseconds: what a device waits after some failures, and a busy machine. */
const SLACK = 60_000;

export default async function ({ browser, url, long }) {
  assert.ok(exporter, 'STOREX_EXPORT must name the program storex-e2e-export; `cargo xtask browser` does');
  const { folder, remove } = await temporary('chinook');
  const shop = new Shop(folder, Number(process.env.STOREX_SEED ?? 11));
  try {
    await shop.start(browser, url);
    await shop.pair();
    await shop.live(20);
    await shop.cut(long ? 300_000 : 20_000);
    await shop.asBefore();
  } catch (why) {
    why.message += `\nthe server has logged:\n${shop.server.log.join('\n')}`;
    throw why;
  } finally {
    await shop.end();
    await remove();
  }
}

/** The server, the two devices, and what is known of their edits. */
class Shop {
  #folder;
  #seed;
  #token = 'the-token-of-both';
  /** What SQLite finds before anything of storex is in the file. */
  #before;

  constructor(folder, seed) {
    this.#folder = folder;
    this.#seed = seed;
    this.server = new Server(folder);
  }

  async start(browser, url) {
    // One user makes the requests of two, as quickly as they can.
    await this.server.configure({ limits: WIDE, timeouts: { heartbeat: 1 } });
    await this.server.letIn({ [this.#token]: `ada-${randomUUID()}` });
    await this.server.start();
    this.devices = new NativeDevices();
    this.network = await Network.to(this.server.url, this.devices);

    const file = join(this.#folder, 'chinook.sqlite');
    this.own = await this.devices.call(['chinook', 'bring', file]);
    this.native = (...call) => this.devices.call(['native', ...call]);
    const original = join(this.#folder, 'original.sqlite');
    await this.devices.call(['chinook', 'bring', original]);
    await this.native('adopt', file, this.network.url, this.#token);
    const exported = JSON.parse(execFileSync(exporter, [original], { encoding: 'utf8', maxBuffer: 1 << 28 }));
    this.#before = await this.native('plain');
    this.ledger = new Ledger(exported);
    this.ledger.check(this.#before.rows);
    assert.equal(exported.collections.length, 11);

    this.tab = await openTab(browser, url);
    this.page = (...call) => this.tab.run('page', ...call);
    const collections = exported.collections.map(collection => ({ ...collection, rows: [] }));
    await this.page('openLike', { collections });
    await this.page('reach', this.network.url);
    await this.page('login', this.#token);
    this.all = [this.native, this.page];
    this.editors = this.all.map((device, at) => new Editor(device, this.ledger, random(this.#seed + at), (at + 1) * 1_000_000));
  }

  /** The page gets all that is in the file in a room of the server, for a code. */
  async pair() {
    const start = performance.now();
    let tell;
    const code = new Promise(resolve => (tell = resolve));
    const [{ objects }] = await Promise.all([
      code.then(code => this.page('receive_in_room', code)),
      this.devices.call(['native', 'send_in_room'], tell),
    ]);
    const seconds = (performance.now() - start) / 1000;
    const rows = Object.values(this.#before.rows).reduce((sum, of) => sum + of.length, 0);
    assert.equal(objects, rows);
    this.ledger.check(await this.page('all_rows'));
    const which = this.own ? 'Chinook' : 'a made-up database like Chinook, which is not here';
    console.log(`  ${which}: ${rows} rows by pairing code in ${seconds.toFixed(1)} s, ${Math.round(rows / seconds)} rows/s`);
    await this.native('connect');
    await this.page('connect', 'a page');
  }

  /** Edits of each are on the other at once, while all is well. */
  async live(rounds) {
    const took = [];
    for (let n = 0; n < rounds; n += 1) {
      const [from, to] = n % 2 === 0 ? [0, 1] : [1, 0];
      const start = performance.now();
      await this.#arrives(from, to);
      took.push(performance.now() - start);
    }
    took.sort((a, b) => a - b);
    console.log(`  ${rounds} edits, until one is on the other device: ${Math.round(took[rounds / 2])} ms, at most ${Math.round(took.at(-1))} ms`);
  }

  /** What one device makes now is on the other, and so is all that it has made before. */
  async #arrives(from, to) {
    const made = await this.editors[from].mark();
    await this.all[to]('has', 'Artist', made, 1);
  }

  /** Both edit for so long, while the server and the network are cut at random; then all is whole again. */
  async cut(milliseconds) {
    const end = performance.now() + milliseconds;
    const each = async work => {
      while (performance.now() < end) await work();
    };
    let cuts = 0;
    const below = ((next = random(this.#seed + 100)) => most => Math.floor(next() * most))();
    await Promise.all([
      this.network.breakFor(milliseconds, random(this.#seed + 200)),
      ...this.editors.map(editor => each(() => editor.edit())),
      each(async () => {
        await sleep(500 + below(4000));
        if (below(4) === 0) await this.server.stop();
        else await this.server.kill();
        await sleep(below(1500));
        await this.server.start();
        cuts += 1;
      }),
    ]);
    const healed = performance.now();
    await this.#same();
    const took = Math.round(performance.now() - healed);
    const { created, changed, increased, deleted } = this.ledger.counts;
    const { cut, refused } = await this.network.passed();
    console.log(`  ${created} rows created, ${changed} changed, ${increased} increased, ${deleted} deleted in ${Math.round(milliseconds / 1000)} s (seed ${this.#seed});`);
    console.log(`  ${cut} connections cut, ${refused} refused, the server ended ${cuts} times: the same ${took} ms after it`);
    // At worst all of it is still to be exchanged.
    assert.ok(took < SLACK + milliseconds, `the same only ${took} ms after server and network were whole again`);
    for (const count of [created, changed, increased, deleted]) assert.ok(count > 0, 'one kind of edit was not made');
  }

  /** Both hold the same, row by row, and it is what was acknowledged. */
  async #same() {
    await Promise.all([this.#arrives(0, 1), this.#arrives(1, 0)]);
    await Promise.all(this.all.map(device => device('in_step')));
    const page = await this.page('all_rows');
    this.ledger.check(page);
    const { collections } = await this.native('exported');
    assert.deepEqual(Object.fromEntries(collections.map(({ name, rows }) => [name, rows])), page);
    assert.equal(await this.page('digest'), await this.native('digest'));
    for (const device of this.all) {
      const { unsent, parked, rejected } = await device('status');
      assert.deepEqual({ unsent, parked, rejected }, { unsent: 0, parked: 0, rejected: 0 });
    }
  }

  /** To SQLite the file is what it was: its tables and indices, with the rows that the page holds too, each pointing to one that is there. */
  async asBefore() {
    const { rows, ...now } = await this.native('plain');
    assert.deepEqual(now, { schema: this.#before.schema, integrity: ['ok'], dangling: [] });
    assert.deepEqual(rows, await this.page('all_rows'));
  }

  async end() {
    await this.devices?.end();
    await this.server.kill();
  }
}
