// Kills pages in the middle of an upgrade that migrates objects (src/upgrade.rs). Whenever it is killed, the database is
// whole, of the old version or of the new one; and the next page that opens it leaves what an upgrade leaves that nobody
// killed.

import assert from 'node:assert/strict';
import { Victim } from './victim.mjs';

/** Three pages of the migration. */
const PEOPLE = 1200;
/** Two. */
const VISITS = 600;

/** The named steps of the upgrade, and how often each is reached before the kill: before these it is not committed. */
const STEPS = [
  ['indexeddb.migrate.page', 1],
  ['indexeddb.migrate.page', 2],
  ['indexeddb.migrate.page', 5],
  ['indexeddb.migrate.before_commit', 1],
];

/** Kills after so many milliseconds. */
const ANY_TIME = [['closeTab', 20], ['killRenderers', 80], ['crash', 160], ['killBrowser', 320]];

export default async function ({ url, long, problems }) {
  const victim = await Victim.make(url);
  try {
    const expected = await undisturbed(victim);
    for (const plan of plans(long ? 10 : 1)) {
      // What Chromium has thrown away by itself says nothing: once more, from the beginning.
      let isThere = false;
      while (!isThere) isThere = await survives(victim, plan, expected);
    }
  } finally {
    problems.push(...victim.problems);
    await victim.end();
  }
}

/** A database each, with the kills that it gets one after another. They are the same each time. */
function plans(times) {
  const plans = [];
  for (let time = 0; time < times; time += 1) {
    for (const [at, [step, count]] of STEPS.entries()) {
      const [next, nextCount] = STEPS[(at + 1 + time) % STEPS.length];
      const kills = [{ kill: 'killRenderers', step, count }, { kill: 'killBrowser', step: next, count: nextCount }];
      plans.push({ database: `upgrade-${time}-${at}`, kills });
    }
    for (const [at, [kill, after]] of ANY_TIME.entries()) {
      plans.push({ database: `upgrade-${time}-any-${at}`, kills: [{ kill, after: after + 37 * time }] });
    }
  }
  return plans;
}

/** What there is before an upgrade, and after one that nobody kills. */
async function undisturbed(victim) {
  const tab = await victim.tab();
  await fill(tab, 'undisturbed');
  const before = await tab.call('contents', 'undisturbed');
  await tab.run('device', 'open', 'undisturbed', { version: 2 });
  const dump = await tab.run('device', 'dump');
  await tab.run('device', 'close');
  const after = await tab.call('contents', 'undisturbed');
  await tab.close();

  // What is compared below says what it should.
  assert.deepEqual(Object.keys(dump), ['person', 'visit']);
  assert.equal(dump.person.length, PEOPLE);
  assert.deepEqual(dump.person[7], {
    id: 'p0007', full_name: 'Zoe 7', age: 7, initial: 'Z', bio: 'likes number7 and all7',
  });
  assert.deepEqual(dump.visit.map(({ number }) => number), Array.from({ length: VISITS }, (_, at) => at + 1));
  assert.deepEqual(Object.keys(before.stores.people.indices).length, 1);
  assert.equal(Object.keys(after.stores.person.indices).length, 3);
  assert.ok(!after.stores.people && !after.stores.draft && before.stores.draft);
  assert.equal(after.counts._storex_log, before.counts._storex_log);
  return { before, after, dump };
}

/** Makes a database of the first version. */
async function fill(tab, database) {
  await tab.run('old', 'open', database, { version: 1 });
  const id = at => String(at).padStart(4, '0');
  await tab.run('old', 'create_many', 'people', Array.from({ length: PEOPLE }, (_, at) => ({
    id: `p${id(at)}`, name: `Zoe ${at}`, age: `${at % 90}`, fax: `fax ${at}`, bio: `likes number${at} and all${at % 9}`,
  })));
  await tab.run('old', 'create_many', 'visit', Array.from({ length: VISITS }, (_, at) => ({ id: `v${id(at)}`, number: at })));
  await tab.run('old', 'create_many', 'draft', [{ id: 'd', text: 'goes' }]);
  await tab.run('old', 'close');
}

/** Kills upgrades of one database, and lets one finish. False when Chromium has thrown the database away. */
async function survives(victim, { database, kills }, { before, after, dump }) {
  let tab = await victim.tab();
  victim.takeLoss();
  await tab.call('removeDatabase', database);
  await fill(tab, database);
  for (const { kill, step, count, after: milliseconds } of kills) {
    const upgrade = () => tab.run('new', 'open', database, { version: 2 });
    if (step) await victim.killAt(tab, step, count, kill, upgrade);
    else await victim.killAfter(tab, milliseconds, kill, upgrade);
    tab = await victim.tab();
    if (victim.takeLoss()) return tab.close().then(() => false);
    const left = await tab.call('contents', database);
    const what = `${database}: ${kill} at ${step ?? `${milliseconds} ms`}`;
    if (step || left.stores.people) assert.deepEqual(left, before, `${what}: it is as before the upgrade`);
    else assert.deepEqual(left.stores, after.stores, `${what}: it is upgraded`);
  }
  await tab.run('new', 'open', database, { version: 2 });
  assert.deepEqual(await tab.run('new', 'dump'), dump, `${database}: the next page finishes the upgrade`);
  assert.deepEqual(await tab.call('contents', database), after, `${database}: the next page finishes the upgrade`);
  // The new indices serve.
  const found = await tab.run('new', 'update', 'person', { bio: { $search: 'number7* all7' }, age: { $lt: 50 } }, { age: 1 });
  const expected = at => `${at}`.startsWith('7') && at % 9 === 7 && at % 90 < 50;
  assert.equal(found, Array.from({ length: PEOPLE }, (_, at) => at).filter(expected).length);
  await tab.run('new', 'close');
  await tab.close();
  return true;
}
