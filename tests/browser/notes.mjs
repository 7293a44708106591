// The notes of examples/notes-web, as scenarios use them: the program that serves them, and pages that are used as people do.

import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { built, ended, spawned } from './child.mjs';
import { until } from './tab.mjs';

export const DESKTOP = { width: 1200, height: 780 };
export const PHONE = { width: 390, height: 844, deviceScaleFactor: 2, hasTouch: true, isMobile: true };

/** The program of notes-web. Wherever it is started again it has the same addresses, and the notes of before. */
export class NotesServer {
  #folder;
  #addresses = ['127.0.0.1:0', '127.0.0.1:0'];
  #child;
  /** What is opened on each device. */
  link;

  constructor(folder) {
    this.#folder = folder;
  }

  /** Where the page is, without what only the first visit needs. */
  get page() {
    return new URL('/', this.link).href;
  }

  /** Returns when it listens. */
  async start() {
    const [listen, sync] = this.#addresses;
    const args = ['--site', built('STOREX_NOTES_SITE'), '--data', this.#folder, '--listen', listen, '--sync', sync];
    const child = spawned(built('STOREX_NOTES_WEB'), args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    this.link = await new Promise((listening, failed) => {
      child.once('error', failed);
      child.once('exit', code => failed(new Error(`notes-web has ended with ${code}`)));
      createInterface({ input: child.stdout }).on('line', line => {
        const [, link] = /^notes-web: open (.*)$/.exec(line) ?? [];
        if (link) listening(link);
      });
    });
    const { host, hash } = new URL(this.link);
    this.#addresses = [host, new URL(new URLSearchParams(hash.slice(1)).get('server')).host];
  }

  /** It has time for nothing. */
  async kill() {
    const child = this.#child;
    this.#child = undefined;
    await ended(child);
  }

  /** Starts it again, with another token: that of before it does not take any more. */
  async changeToken() {
    await this.kill();
    await writeFile(join(this.#folder, 'token'), randomBytes(24).toString('hex'));
    await this.start();
  }
}

/** A tab with the notes. */
export class NotesTab {
  page;
  #name;

  static async open(context, address, name, viewport) {
    const tab = new NotesTab();
    tab.#name = name;
    tab.page = await context.newPage();
    tab.page.setDefaultTimeout(60_000);
    await tab.page.setViewport(viewport);
    await tab.colours('light');
    await tab.page.goto(address);
    await tab.page.waitForSelector('.welcome, .page');
    return tab;
  }

  /** `light` or `dark`; and nothing moves, so that pictures are of what is there in the end. */
  colours(scheme) {
    return this.page.emulateMediaFeatures([
      { name: 'prefers-color-scheme', value: scheme },
      { name: 'prefers-reduced-motion', value: 'reduce' },
    ]);
  }

  /** Only in a tab that is in front a click is waited for to get through. */
  async click(selector) {
    await this.page.bringToFront();
    await this.page.locator(selector).click();
  }

  /** Clicks what says this. */
  press(text) {
    return this.click(`::-p-xpath(//button[contains(normalize-space(.), "${text}")])`);
  }

  /** Types in place of what is there. */
  async fill(selector, text) {
    const field = await this.page.waitForSelector(selector);
    await field.evaluate(it => {
      it.focus();
      it.select();
    });
    if (text) await this.page.keyboard.sendCharacter(text);
    else await this.page.keyboard.press('Backspace');
  }

  text(selector) {
    return this.page.evaluate(selector => document.querySelector(selector)?.textContent.trim() ?? '', selector);
  }

  value(selector) {
    return this.page.evaluate(selector => document.querySelector(selector)?.value, selector);
  }

  titles() {
    return this.page.evaluate(() => [...document.querySelectorAll('.list .title')].map(it => it.textContent));
  }

  until(what, condition) {
    return until(`${this.#name}: ${what}`, condition, 60);
  }

  async says(selector, pattern) {
    let said;
    await this.until(`${selector} says ${pattern}`, async () => pattern.test(said = await this.text(selector)))
      .catch(why => { why.message += `; it says ${JSON.stringify(said)}`; throw why; });
  }

  async hasTitles(...titles) {
    await this.until(`has the notes ${titles}`, async () => {
      const found = await this.titles();
      return titles.every(title => found.includes(title));
    });
  }

  /** A new note; returns when it is written. */
  async write(title, body) {
    const { length } = await this.titles();
    await this.press('New note');
    await this.until('a new note is there', async () => (await this.titles()).length > length);
    await this.until('it has the keys', () => this.page.evaluate(() => document.activeElement?.id === 'title'));
    await this.fill('#title', title);
    await this.fill('#body', body);
    await this.hasTitles(title);
  }

  async openNote(title) {
    // On a phone it hides the list.
    if (await this.value('#title') === title) return;
    await this.click(`::-p-xpath(//ul//button[.//span[normalize-space(.)="${title}"]])`);
    await this.until(`${title} is open`, async () => await this.value('#title') === title);
  }

  inStep() {
    return this.says('#phase', /^(Up to date|In step by another tab)$/);
  }

  reload() {
    return this.page.reload().then(() => this.page.waitForSelector('.welcome, .page'));
  }
}

/** Pictures for people to look at, in target/screenshots. */
export class Pictures {
  #folder;
  #pages;

  static async in(folder, pages) {
    const pictures = new Pictures();
    pictures.#folder = folder;
    pictures.#pages = pages;
    await mkdir(folder, { recursive: true });
    return pictures;
  }

  async take(tab, name) {
    await this.keep(await shot(tab.page), name);
  }

  async keep(picture, name) {
    await writeFile(join(this.#folder, `${name}.png`), picture);
  }

  /** Whatever is open, each in a picture of its own. */
  async ofAll(name) {
    const pages = await Promise.all(this.#pages.browserContexts().map(context => context.pages()));
    for (const [number, page] of pages.flat().entries()) await this.keep(await shot(page), `${name}-${number}`);
  }

  /** Several tabs in one picture, side by side. */
  async together(tabs, name) {
    const shots = [];
    for (const { page } of tabs) {
      await page.bringToFront();
      shots.push(await page.screenshot({ encoding: 'base64' }));
    }
    const page = await this.#pages.newPage();
    await page.setViewport({ width: 1760, height: 660 });
    const images = shots.map(data => `<img src="data:image/png;base64,${data}">`).join('');
    const style = 'body{margin:24px;display:flex;gap:24px;justify-content:center;align-items:center;height:612px;background:#8a938f}'
      + 'img{max-height:100%;max-width:calc(50% - 12px);border-radius:10px;box-shadow:0 8px 30px #0006}';
    await page.setContent(`<style>${style}</style>${images}`);
    await page.evaluate(() => Promise.all([...document.images].map(it => it.decode())));
    await this.keep(await page.screenshot(), name);
    await page.close();
  }
}

/** A picture of what is in front. */
export async function shot(page) {
  await page.bringToFront();
  return page.screenshot();
}
