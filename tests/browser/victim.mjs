// A browser to kill: its profile stays, and it is started again when it is needed next.
//
// A browser that is killed while it writes may leave half a record at the end of its LevelDB log. Chromium goes on
// writing behind it, takes that for damage when it is started the time after next, and throws away everything of the
// origin (seen with Chromium 148; durability `strict` changes nothing). It says so itself, and only then it counts.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { launch, profile } from './browser.mjs';
import { openTab, until } from './tab.mjs';

export class Victim {
  #url;
  #profile;
  #running;
  #launched = [];
  #loss;
  /** How often Chromium has thrown everything away. */
  losses = 0;

  constructor(url, home) {
    this.#url = url;
    this.#profile = home;
  }

  static async make(url) {
    return new Victim(url, await profile());
  }

  /** What nobody caught in its pages. */
  get problems() {
    return this.#launched.flatMap(({ problems }) => problems);
  }

  /** A new tab. `told` has the numbers, and `stopped` the step, that it has said on the console (pages/host.mjs). */
  async tab() {
    if (!this.#running) {
      this.#running = await launch({ folder: this.#profile.folder });
      this.#launched.push(this.#running);
      await this.#lookForLoss();
    }
    const tab = await openTab(this.#running.browser, this.#url);
    tab.told = [];
    tab.session = await tab.page.createCDPSession();
    tab.session.on('Runtime.consoleAPICalled', ({ args: [{ value }] }) => {
      const [word, what] = String(value).split(' ');
      if (word === 'told') tab.told.push(Number(what));
      if (word === 'stopped') tab.stopped = what;
    });
    await tab.session.send('Runtime.enable');
    return tab;
  }

  async #lookForLoss() {
    const tab = await openTab(this.#running.browser, this.#url);
    const loss = await tab.call('dataLoss');
    await tab.close();
    if (loss === 'none') return;
    console.log(`    Chromium has thrown everything away: ${loss}`);
    this.losses += 1;
    this.#loss = loss;
    assert.ok(this.losses <= 3, 'that is more often than can be put down to Chromium');
  }

  /** Whether Chromium has thrown everything away since this was asked last. */
  takeLoss() {
    const loss = this.#loss;
    this.#loss = undefined;
    return loss !== undefined;
  }

  /** Lets a page work, which never ends by itself, and kills it when it has stopped at a step. */
  async killAt(tab, step, times, kill, work) {
    await tab.call('stopAt', step, times);
    work().catch(() => {}); // it dies
    await until(`the page stops at ${step}`, () => tab.stopped === step);
    await this[kill](tab);
  }

  /** Lets a page work, which never ends by itself, and kills it after some milliseconds. */
  async killAfter(tab, milliseconds, kill, work) {
    work().catch(() => {}); // it dies
    await sleep(milliseconds);
    await this[kill](tab);
  }

  async closeTab(tab) {
    await tab.close();
  }

  async crash(tab) {
    const crashed = new Promise(done => tab.page.once('error', done));
    tab.session.send('Page.crash').catch(() => {}); // nobody is there to answer
    await crashed;
    await this.#bury(tab);
  }

  /** `kill -9` for the process of every page. */
  async killRenderers(tab) {
    const session = await this.#running.browser.target().createCDPSession();
    const { processInfo } = await session.send('SystemInfo.getProcessInfo');
    const renderers = processInfo.filter(({ type }) => type === 'renderer');
    assert.ok(renderers.length > 0);
    for (const { id } of renderers) process.kill(id, 'SIGKILL');
    await session.detach();
    await this.#bury(tab);
  }

  /** `kill -9` for the browser; its children end with it. */
  async killBrowser() {
    const browser = this.#running.browser.process();
    const exited = once(browser, 'exit');
    browser.kill('SIGKILL');
    await exited;
    this.#running = undefined;
  }

  /** Closes the browser and removes the profile. */
  async end() {
    await this.#running?.close();
    await this.#profile.remove();
  }

  /** Takes away what is left of a tab. */
  async #bury({ page }) {
    await Promise.race([page.close().catch(() => {}), sleep(2000)]);
  }
}
