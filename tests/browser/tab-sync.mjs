// Tabs whose sync is that of all tabs (pages/tabs.mjs), and another device on the same log.

import assert from 'node:assert/strict';
import { openTab as openPage, until } from './tab.mjs';

let databases = 0;

/** Settings of a database that nobody else has. */
export function fresh(more = {}) {
  databases += 1;
  return { database: `tabs-${databases}`, log: `tabs-log-${databases}`, version: '1', here: true, ...more };
}

/** A tab of the application, as `pages/tabs.mjs` makes it. */
export async function tab({ browser, url }, settings, without = []) {
  const { page: path = 'tabs.html', throttled = 0 } = settings;
  const { page, call, close } = await openPage(browser, url, `pages/${path}?without=${without}&throttled=${throttled}`);
  const run = (...args) => call('run', 'device', ...args);
  await call('openTab', 'device', settings);
  const ask = async name => {
    const { answer, error } = await run('tab_ask', name);
    if (error !== undefined) throw new Error(`${name}: ${error}`);
    return answer;
  };
  const write = title => run('create', 'member', { team: 1, size: 1, title, stars: 0 });
  const status = () => run('tab_status');
  return { page, call, run, ask, write, status, close };
}

/** A device elsewhere, with a database of its own, on the same log. */
export async function distant({ browser, url }, { database, log }) {
  const page = await openPage(browser, url);
  const run = (...args) => page.run('far', ...args);
  await page.run('far', 'open', `${database}-far`);
  await run('join', log);
  const titles = async () => {
    await run('sync_once');
    return titlesOf(await run('dump'));
  };
  const write = async title => {
    await run('create', 'member', { team: 2, size: 1, title, stars: 0 });
    await run('sync_once');
  };
  return { titles, write, close: () => page.close() };
}

/** The titles of what a device holds. */
export function titlesOf({ member }) {
  return member.map(({ title }) => title).sort();
}

/** How long it takes, in milliseconds, until a condition holds. */
export async function measured(what, condition, seconds) {
  const begin = Date.now();
  await until(what, condition, seconds);
  return Date.now() - begin;
}

/** Two exchanges of one database are never under way at once. */
export function neverOverlap(said) {
  const under = new Map();
  let most = 0;
  const inOrder = said.filter(({ what }) => what !== 'hangs').sort((one, other) => one.at - other.at);
  assert.ok(inOrder.length > 0, 'no exchange was heard of');
  for (const { what, by } of inOrder) {
    under.set(by, what === 'begins');
    most = Math.max(most, [...under.values()].filter(Boolean).length);
  }
  assert.ok(most <= 1, `${most} exchanges at once`);
}
