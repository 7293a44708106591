// Devices of the scenarios about sync: pages that know nothing of each other, and tabs that share a database.

import { randomUUID } from 'node:crypto';
import { until } from '../tab.mjs';
import { openPage } from './behaviour.mjs';
import { openExample } from './example.mjs';

/** Pages of one user each, in profiles of their own. */
export class Devices {
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

  /** A page with an application of one collection, `manager`; as another tab, if it is given one, on the same database. */
  async application(beside) {
    const page = await openPage(beside ? beside.browserContext() : await this.#context(), this.#url);
    const dbName = beside ? await beside.evaluate(() => manager.backend.dbName) : `application-${randomUUID()}`;
    await page.evaluate(async (server, dbName) => {
      globalThis.server = server;
      globalThis.setUp = async () => {
        const { application } = await import('/tests/application.js');
        globalThis.manager = application(dbName);
        await manager.finishInitialization();
        globalThis.notes = manager.collection('note');
      };
      globalThis.titles = async () => (await notes.findObjects({}, { order: [['title', 'asc']] })).map(it => it.title);
      await setUp();
    }, this.server.url, dbName);
    return page;
  }

  async close() {
    await Promise.all(this.#contexts.map(context => context.close()));
  }
}

/** Starts the sync of a page: `sync`. */
export const start = (page, options) => page.evaluate(async options => {
  globalThis.sync = await storex.Sync.start(manager, { server, ...options });
}, options);

export const inStep = page => until('in step', () => page.evaluate(async () => sync.status.inStep && await sync.unsent() === 0));

/** Waits until a page has a note. */
export const has = (page, title) => until(`the note ${title}`, () => page.evaluate(async title => (await titles()).includes(title), title));

export const write = (page, title) => page.evaluate(title => notes.createObject({ title, at: new Date() }), title);
