// Tabs of one browser that come and go: each is a page with a process of its own, and has a life from each load to the next.

import { setTimeout as sleep } from 'node:timers/promises';
import { launch } from './browser.mjs';
import { until } from './tab.mjs';

/** A spare process would make it impossible to tell which one is a tab's. */
const ARGS = ['--disable-features=SpareRendererForSitePerProcess'];

/** A tab from one load of its page to the next. */
class Life {
  /** `[number, time]` of each write that it has said to be through. */
  told = [];
  /** `[time, account, balance]`: when it has shown each balance first, as far as was asked. */
  news = [];
  /** `[from, to]`, or `[from]` as long as it lasts. */
  frozen = [];
  /** Since when it shows what there is, and from when on nothing is expected of it any more. */
  since;
  gone;

  constructor(number) {
    this.team = number;
    this.name = `tab-${number}`;
  }

  /** Whether it was frozen at a time, or not long before. */
  wasFrozen(at, grace = 0) {
    return this.frozen.some(([from, to = Infinity]) => from <= at && at <= to + grace);
  }

  get lastTold() {
    return this.told.at(-1)?.[0] ?? 0;
  }
}

export class Tabs {
  #running;
  #top;
  #options;
  /** Those that are open. */
  open = [];
  /** All that ever were, by their names. */
  lives = new Map();
  /** How many died because another one with the same process was killed. */
  diedAlong = 0;

  /** @param {{ url: string, database: string, mode: object, connection: object, pause: number }} options */
  static async launch(options) {
    const tabs = new Tabs();
    tabs.#options = options;
    tabs.#running = await launch({ args: ARGS });
    tabs.#top = await tabs.#running.browser.target().createCDPSession();
    return tabs;
  }

  get problems() {
    return this.#running.problems;
  }

  async #renderers() {
    const { processInfo } = await this.#top.send('SystemInfo.getProcessInfo');
    return processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
  }

  /** A page, and its process: the one that was not there before. Where that is not clear, a browser that starts has made others too. */
  async #pageOfItsOwn() {
    for (let tries = 0; tries < 5; tries += 1) {
      const before = await this.#renderers();
      const page = await this.#running.browser.newPage();
      page.setDefaultTimeout(120_000);
      await page.goto(`${this.#options.url}/pages/chaos.html`);
      const [mine, ...others] = (await this.#renderers()).filter(id => !before.includes(id));
      if (mine && others.length === 0) return { page, process: mine };
      await page.close();
    }
    throw new Error('it is never clear which process is that of a page');
  }

  /** Opens one, and lets it write. */
  async add() {
    const tab = await this.#pageOfItsOwn();
    const { page } = tab;
    page.once('error', () => this.#crashed(tab));
    tab.session = await page.createCDPSession();
    tab.session.on('Runtime.consoleAPICalled', ({ args: [{ value }] }) => {
      const [word, number, time] = String(value).split(' ');
      if (word === 'told') tab.life.told.push([Number(number), Number(time)]);
    });
    await tab.session.send('Runtime.enable');
    this.open.push(tab);
    await this.#begin(tab);
    return tab;
  }

  /** A life begins in a page that was loaded. */
  async #begin(tab) {
    const { database, mode, connection, pause } = this.#options;
    const life = new Life(this.lives.size + 1);
    this.lives.set(life.name, life);
    tab.life = life;
    await isReady(tab.page);
    const call = (name, ...args) => tab.page.evaluate((name, args) => globalThis[name](...args), name, args);
    tab.call = call;
    await call('begin', life.name, database, mode);
    life.since = Date.now();
    await call(mode.connect, { database, locks: mode.locks, ...connection });
    await call('run', 'tab', 'has', 'account', { name: 'common' }, 1);
    await call('startWriting', life.team, pause);
  }

  #crashed(tab) {
    tab.life.gone ??= Date.now();
    this.#forget(tab);
  }

  #forget(tab) {
    this.open = this.open.filter(other => other !== tab);
  }

  /** What it has shown since it was asked last. */
  async ask(tab) {
    tab.life.news.push(...await tab.call('news'));
  }

  async close(tab) {
    await this.ask(tab);
    tab.life.gone = Date.now();
    this.#forget(tab);
    await tab.page.close();
  }

  /** `kill -9` for its process, and for those that share it. */
  async kill(tab) {
    await this.ask(tab);
    const there = this.open.length;
    for (const other of this.open) if (other.process === tab.process) other.life.gone = Date.now();
    process.kill(tab.process, 'SIGKILL');
    await until(`${tab.life.name} crashes`, () => !this.open.includes(tab));
    this.diedAlong += there - this.open.length - 1;
    // What is left of it.
    await Promise.race([tab.page.close().catch(() => {}), sleep(2000)]);
  }

  async reload(tab) {
    await this.ask(tab);
    tab.life.gone = Date.now();
    await tab.page.reload();
    await this.#begin(tab);
  }

  /** It goes to another page, and back after a while: whether it was still there. */
  async away(tab, during) {
    await this.ask(tab);
    const { life } = tab;
    const away = [Date.now()];
    life.frozen.push(away);
    await tab.page.goto(`${this.#options.url}/pages/page.html`);
    await during();
    await tab.page.goBack();
    await isReady(tab.page);
    const kept = await tab.page.evaluate(() => globalThis.life()) === life.name;
    away.push(Date.now());
    if (kept) return true;
    life.gone = away[0];
    await this.#begin(tab);
    return false;
  }

  async freeze(tab, during) {
    const frozen = [Date.now()];
    tab.life.frozen.push(frozen);
    await tab.session.send('Page.setWebLifecycleState', { state: 'frozen' });
    await during();
    await tab.session.send('Page.setWebLifecycleState', { state: 'active' });
    frozen.push(Date.now());
  }

  async end() {
    await this.#running.close();
  }
}

/** Returns when a page is loaded. One that was frozen is not painted any more, so puppeteer's own way would wait in vain. */
function isReady(page) {
  return until('the page is loaded', () => page.evaluate('globalThis.ready'), 60);
}

/** Waits until something that is asked for is as it should be, and says what it was when it never is. */
export async function becomes(what, ask, check, seconds = 20) {
  let last;
  try {
    await until(what, async () => check(last = await ask()), seconds);
  } catch (why) {
    why.message += `: ${JSON.stringify(last).slice(0, 2000)}`;
    throw why;
  }
}
