// Tabs on one database that are closed, killed, frozen, reloaded and left while they write and sync. Nothing is lost and nothing is there
// twice, another device has the same, no two exchanges overlap, and each tab shows each write soon.
//
// A failure names its seed: `STOREX_SEED=<seed>` makes the same troubles again, `STOREX_MODE=<name>` in one of the modes only.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Tabs, becomes } from './chaos-tabs.mjs';
import { COMMON, OTHER, SHARED, check, checkLog, delays, excuse } from './chaos-verdict.mjs';
import { Exchanges } from './exchanges.mjs';
import { NativeDevices, Server, WIDE } from './programs.mjs';
import { random } from './random.mjs';
import { until } from './tab.mjs';
import { temporary } from './temporary.mjs';

/** How sync is made sure to run once: where the engine is, and what it holds. */
const MODES = [
  { name: 'lock', locks: true, connect: 'connectTab', troubles: [] },
  { name: 'lease', locks: false, connect: 'connectTab', troubles: [] },
  { name: 'worker', locks: true, connect: 'connectWorker', troubles: ['hang'] },
];

/** Here nothing makes sure of it, and that is to be noticed. */
const UNLOCKED = { name: 'unlocked', locks: true, connect: 'connectUnlocked', troubles: [] };

/** What befalls tabs, each in its turn; and how many of that, besides those of the mode, where it is not to take long. */
const TROUBLES = ['open', 'close', 'kill', 'freeze', 'reload', 'open', 'kill', 'away', 'freeze', 'close', 'kill', 'reload'];
const FEW = 8;
const [LEAST, MOST] = [2, 5];

/**
 * Half of the writes are shown by a tab within the first of these, 99 of a hundred within the second, and all within the third, in milliseconds.
 * The first is what is promised; where the machine has too much to do, some are late.
 */
const [SOON, LATE, NEVER] = [200, 2000, 10_000];

/** The pause between two writes of a tab, how long a lease lasts, and after what silence a worker is replaced, in milliseconds. */
const [PAUSE, LEASE, PATIENCE] = [150, 2000, 3000];

const DATABASE = 'chaos';

/** So long a worker would hang that is ended and replaced meanwhile; and by when it is, in milliseconds. */
const HANGS = 300_000;
const REPLACED = 20_000;

const [TOKEN, OTHERS_TOKEN] = ['the-token-of-all-tabs-of-it', 'the-token-of-the-other-device'];

export default async function ({ url, long, problems }) {
  const seed = Number(process.env.STOREX_SEED ?? (long ? Date.now() % 1e6 : 1));
  const modes = MODES.filter(({ name }) => name === (process.env.STOREX_MODE ?? name));
  assert.ok(modes.length > 0, 'STOREX_MODE names no mode');
  const site = mode => new Site(url, mode, seed);
  await site(UNLOCKED).live(problems, site => site.notices());
  for (const mode of modes) {
    await site(mode).live(problems, async site => {
      for (let n = 0; n < (long ? 100 : FEW + mode.troubles.length); n += 1) await site.trouble();
      await site.verdict();
      console.log(`  ${mode.name}: ${site.told}`);
    });
  }
}

class Site {
  #folder;
  #url;
  #mode;
  #random;
  #left = [];
  #checked = 0;
  #delays = [];
  #takeovers = [];
  #replaced = [];
  /** Workers that hang, and since when. */
  #hung = new Map();
  #other = { writes: 0, stopped: false };
  #seed;
  history = [];

  constructor(url, mode, seed) {
    this.#url = url;
    this.#mode = mode;
    this.#seed = seed;
    this.#random = random(seed);
  }

  /** Does something with all of it, which is taken away afterwards. */
  async live(problems, work) {
    const { folder, remove } = await temporary('tabs');
    this.#folder = folder;
    try {
      await this.#start();
      await work(this);
    } catch (why) {
      console.log(`  ${this.#mode.name}: ${this.told}`);
      console.log(`  after ${this.history.join(', ')}`);
      throw why;
    } finally {
      problems.push(...this.tabs?.problems ?? []);
      await this.#end();
      await remove();
    }
  }

  #below(most) {
    return Math.floor(this.#random() * most);
  }

  async #start() {
    this.server = new Server(this.#folder);
    const limits = WIDE;
    await this.server.configure({ limits });
    await this.server.letIn({ [TOKEN]: 'ada', [OTHERS_TOKEN]: 'ada' });
    await this.server.start();
    this.native = new NativeDevices();
    this.other = (...call) => this.native.call([OTHER, ...call]);
    await this.other('open', join(this.#folder, 'other.db'), this.server.url, OTHERS_TOKEN);
    await this.other('connect');
    for (const name of [COMMON, OTHER]) await this.other('create', 'account', { name, balance: 0 });
    await this.other('create', 'member', { team: 0, size: 0, title: SHARED, stars: 0 });
    await this.other('in_step');

    // A network that takes its time: an exchange is under way often enough to be met by what comes.
    this.exchanges = await Exchanges.to(this.server.url, () => Math.random() * 150);
    const connection = { server: this.exchanges.url, token: TOKEN, lease: LEASE, patience: PATIENCE };
    const [url, mode] = [this.#url, this.#mode];
    this.tabs = await Tabs.launch({ url, database: DATABASE, mode, connection, pause: PAUSE });
    for (let n = 0; n < LEAST + 1; n += 1) await this.tabs.add();
    this.#checked = Date.now();
    this.#other.loop = this.#writeElsewhere();
    // A failure is one of the verdict's.
    this.#other.loop.catch(() => {});
  }

  /** The other device counts. */
  async #writeElsewhere() {
    while (!this.#other.stopped) {
      await sleep(100);
      const both = { name: { $in: [COMMON, OTHER] } };
      assert.equal(await this.other('update', 'account', both, { $inc: { balance: 1 } }), 2);
      this.#other.writes += 1;
    }
  }

  /** Where nothing keeps exchanges apart they overlap, and what is taken away is missed. */
  async notices() {
    const { open, lives } = this.tabs;
    await until('exchanges overlap', () => this.exchanges.overlaps.some(pair => !excuse(pair, lives, this.#hung)), 60);
    for (const { call } of open) await call('stopWriting');
    const [{ call }] = open;
    const ask = () => call('run', 'tab', 'dump');
    check(await ask(), [...lives.values()]);
    await call('run', 'tab', 'tamper', 'account');
    const dump = await ask();
    assert.throws(() => check(dump, [...lives.values()]), 'an account that is missing is not missed');
  }

  /** Something befalls a tab, and then everything is looked at. */
  async trouble() {
    await sleep(this.#below(600));
    if (this.#left.length === 0) this.#left = [...this.#mode.troubles, ...TROUBLES];
    const { open } = this.tabs;
    // The next one that leaves as many tabs as there are to be.
    const fits = what => (what !== 'open' || open.length < MOST) && (!['close', 'kill'].includes(what) || open.length > LEAST);
    const next = this.#left.findIndex(fits);
    if (next < 0) {
      this.#left = [];
      return this.trouble();
    }
    const [what] = this.#left.splice(next, 1);
    const tab = this.#aTab();
    this.history.push(`${what} ${what === 'open' ? '' : tab.life.name}`.trim());
    await this.#makeTrouble(what, tab);
    await this.#look();
  }

  /** Half of the time the one that was last seen to sync. */
  #aTab() {
    const { open } = this.tabs;
    const holder = open.find(({ life }) => life.name === this.exchanges.all.at(-1)?.who);
    const any = open[this.#below(open.length)];
    return this.#random() < 0.5 ? holder ?? any : any;
  }

  async #makeTrouble(what, tab) {
    const { who } = this.exchanges.all.at(-1) ?? {};
    const [begun, { life }] = [Date.now(), tab];
    const during = () => sleep(200 + this.#below(2300));
    switch (what) {
      case 'open': return void await this.tabs.add();
      case 'close': await this.tabs.close(tab); break;
      case 'kill': await this.tabs.kill(tab); break;
      case 'reload': await this.tabs.reload(tab); break;
      case 'away': this.history.push(await this.tabs.away(tab, during) ? 'which was kept' : 'which was not kept'); break;
      case 'freeze': await this.tabs.freeze(tab, during); break;
      case 'hang': return void await this.#hang(tab, who);
      default: assert.fail(what);
    }
    // In a worker it goes on wherever that was.
    if (this.#mode.connect === 'connectWorker') await this.#takenOver(begun, () => true);
    else if (life.gone && who === life.name) await this.#takenOver(begun, other => other !== who);
  }

  /** The worker of all tabs hangs, at any moment, and another takes its place while all tabs are open. */
  async #hang(tab, who) {
    const begun = Date.now();
    this.#hung.set(who, begun);
    await tab.call('hangWorker', DATABASE, HANGS);
    await this.#takenOver(begun, other => !this.#hung.has(other));
    const took = this.#takeovers.pop();
    this.#replaced.push(took);
    assert.ok(took < REPLACED, `a worker that hangs was replaced only after ${took} ms`);
  }

  /** Somebody goes on with what one that has gone was doing. */
  async #takenOver(since, fits) {
    const next = () => this.exchanges.all.find(({ who, began }) => began >= since && fits(who));
    await until('there are exchanges again', () => next(), 60);
    this.#takeovers.push(next().began - since);
  }

  /** Everybody stops writing. Each tab shows what there is, and that is what was written. */
  async #look() {
    const { open, lives } = this.tabs;
    for (const { life, call } of open) {
      const number = await call('stopWriting');
      await until(`${life.name} tells of ${number} writes`, () => life.lastTold === number);
    }
    const stopped = Date.now();
    for (const tab of open) await becomes(`${tab.life.name} shows what there is`, () => this.#shows(tab), isSame);
    await Promise.all(open.map(tab => this.tabs.ask(tab)));
    const living = open.map(({ life }) => life);
    this.#delays.push(...delays([...lives.values()], living, this.#checked, stopped));
    this.#checked = stopped;
    const counts = check(await open[0].call('run', 'tab', 'dump'), [...lives.values()]);
    for (const { name, lastTold } of living) assert.equal(counts.get(name), lastTold, `writes of ${name}`);
    for (const { life, call } of open) await call('startWriting', life.team, PAUSE);
  }

  async #shows(tab) {
    return tab.page.evaluate(async () => [globalThis.shown(), await globalThis.run('tab', 'dump')]);
  }

  async verdict() {
    const { open, lives } = this.tabs;
    this.#other.stopped = true;
    await this.#other.loop;
    for (const { call } of open) await call('stopWriting');
    await this.other('in_step');
    const [{ call }] = open;
    const both = async () => [await this.other('dump'), await call('run', 'tab', 'dump')];
    await becomes('the other device has the same', both, isSame, 60);
    const counts = check(await call('run', 'tab', 'dump'), [...lives.values()]);
    for (const tab of open) await becomes(`${tab.life.name} shows what there is`, () => this.#shows(tab), isSame);
    const log = await call('run', 'tab', 'summarise_log', this.server.url, TOKEN);
    checkLog(log, counts, this.#other.writes);

    const overlaps = this.exchanges.overlaps.filter(pair => !excuse(pair, lives, this.#hung));
    assert.deepEqual(overlaps, [], 'exchanges overlap');
    for (const held of [false, true]) {
      const [median, most, slowest] = this.#shown(held);
      assert.ok(median < SOON && most < (held ? NEVER : LATE) && slowest < NEVER, `shown after ${median}, ${most}, ${slowest} ms`);
    }
  }

  /** How soon writes are shown; `held`: those while another tab was frozen. */
  #shown(held) {
    return spread(this.#delays.filter(it => it.held === held).map(({ took }) => took));
  }

  /** What there is to tell of it. */
  get told() {
    const { lives, diedAlong } = this.tabs ?? { lives: new Map() };
    const { all, overlaps } = this.exchanges ?? { all: [], overlaps: [] };
    const writes = [...lives.values()].reduce((sum, { told }) => sum + told.length, 0);
    const excuses = {};
    for (const pair of overlaps) {
      const why = excuse(pair, lives, this.#hung) ?? 'none';
      excuses[why] = (excuses[why] ?? 0) + 1;
    }
    const taken = spread(this.#takeovers);
    return `${this.history.length} troubles (STOREX_SEED=${this.#seed}), ${lives.size} lives, ${writes} writes, ${all.length} exchanges by `
      + `${new Set(all.map(({ who }) => who)).size}; met at the server: ${JSON.stringify(excuses)}; ${diedAlong} died along; `
      + `of ${this.#delays.length} showings half, 99 of a hundred, and all `
      + `after ${this.#shown(false).join(', ')} ms, while another tab was frozen ${this.#shown(true).join(', ')} ms; taken over after ${taken.join(', ')} ms`
      + (this.#replaced.length > 0 ? `; a hanging worker replaced after ${this.#replaced.join(', ')} ms` : '');
  }

  async #end() {
    await this.tabs?.end();
    await this.exchanges?.close();
    await this.native?.end();
    await this.server?.kill();
  }
}

/** Within which half of them are, 99 of a hundred, and all. */
function spread(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const below = part => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  return [below(0.5), below(0.99), below(1)];
}

/** Whether two hold the same objects, in whatever order. */
function isSame([one, other]) {
  const plain = objects => objects.map(it => JSON.stringify(it, Object.keys(it).sort())).sort().join();
  return ['account', 'member'].every(name => one[name] && plain(one[name]) === plain(other[name]));
}
