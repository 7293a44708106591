// Kills pages in the middle of logged batches: tabs are closed, crash, or lose their process, and the whole browser is
// killed; at any time, and at each named step of a batch. After each, what is left is checked: every batch that was
// acknowledged is there, and each batch is there with its rows, its clocks and its log, or not at all (src/audit.rs).

import assert from 'node:assert/strict';
import { Victim } from './victim.mjs';

/** What kills at any time, and what kills a page that has stopped. */
const ANY_TIME = ['closeTab', 'killRenderers', 'crash', 'killBrowser'];
const AT_A_STEP = ['killRenderers', 'killBrowser'];

/** The named steps of a batch: those of src/writer.rs and src/steps.rs, and the backend's. */
const STEPS = [
  'batch.before',
  'indexeddb.begun',
  'batch.begun',
  'indexeddb.step',
  'batch.half',
  'batch.rows',
  'batch.logged',
  'indexeddb.before_commit',
  'indexeddb.after_commit',
  'batch.told',
];

/** After this step a batch is committed, and not acknowledged yet; at every other one it is neither, or both. */
const COMMITTED = 'indexeddb.after_commit';

/** So many rounds share a database: each step once. */
const ROUNDS = 2 * STEPS.length;

export default async function ({ url, long, problems }) {
  const victim = await Victim.make(url);
  try {
    await auditNotices(victim);
    let left = 0;
    for (let round = 0; round < (long ? 10 * ROUNDS : ROUNDS); round += 1) {
      left = await killOnce(victim, planned(round), round % ROUNDS === 0 ? 0 : left);
    }
    await syncsToAnother(victim);
  } finally {
    problems.push(...victim.problems);
    await victim.end();
  }
}

/** What a round does. It is the same each time: a failure can be looked at again. */
function planned(round) {
  const epoch = Math.floor(round / ROUNDS);
  const half = Math.floor(round / 2);
  const common = { round, database: `kill-${epoch}`, strict: epoch % 2 === 1 };
  if (round % 2 === 1) return { ...common, kill: ANY_TIME[half % ANY_TIME.length], after: (round * 73) % 400 };
  // Every step, with each way to kill in turn.
  const kill = AT_A_STEP[(half + epoch) % AT_A_STEP.length];
  return { ...common, kill, step: STEPS[half % STEPS.length], times: 1 + (round * 37) % 17 };
}

/** One round: how many batches are left of `before` and what was written. */
async function killOnce(victim, plan, before) {
  const { round, database, strict, kill, after, step, times } = plan;
  const tab = await victim.tab();
  await tab.run('device', 'open', database, { strict });
  const work = () => tab.call('write', 'device', 1e9, round + 1);
  if (step) await victim.killAt(tab, step, times, kill, work);
  else await victim.killAfter(tab, after, kill, work);

  const left = await audit(victim, database);
  const { told } = tab;
  const acknowledged = told.at(-1) ?? before;
  const what = `${JSON.stringify(plan)}: ${before} batches before, acknowledged up to ${acknowledged}, ${left} left`;
  assert.deepEqual(told, told.map((_, n) => before + n + 1), what);
  if (victim.takeLoss()) assert.equal(left, 0, what);
  else if (step) assert.equal(left, acknowledged + (step === COMMITTED ? 1 : 0), what);
  else assert.ok(left >= acknowledged, what);
  return left;
}

/** Opens the database again, as another tab, and checks it: how many batches are there. */
async function audit(victim, database) {
  const tab = await victim.tab();
  await tab.run('device', 'open', database);
  const left = await tab.run('device', 'audit');
  await tab.close();
  return left;
}

/** What the audit says can be trusted: whatever is taken away, it notices. */
async function auditNotices(victim) {
  const tab = await victim.tab();
  for (const collection of ['member', 'batch', 'account', '_storex_log', '_storex_clock']) {
    const name = `tampered-${collection}`;
    await tab.run(name, 'open');
    await tab.run(name, 'write_quietly', 10, 1);
    assert.equal(await tab.run(name, 'audit'), 10);
    await tab.run(name, 'tamper', collection);
    await assert.rejects(tab.run(name, 'audit'), `the audit misses no object of ${collection}`);
  }
  await tab.close();
}

/** In the end another device gets all of it. */
async function syncsToAnother(victim) {
  const tab = await victim.tab();
  for (const [device, database] of [['one', 'kill-0'], ['other', 'kill-copy']]) {
    await tab.run(device, 'open', database);
    await tab.run(device, 'join', 'kill-shared');
    await tab.run(device, 'sync_once');
  }
  assert.deepEqual(await tab.run('other', 'dump'), await tab.run('one', 'dump'));
  await tab.close();
}
