// Kills a page, or the browser, at each named step of continuous and initial sync between two devices. Afterwards both
// are opened again and go on: nothing that was acknowledged is lost, and in the end they hold the same.

import assert from 'node:assert/strict';
import { Victim } from './victim.mjs';

const KILLS = ['killRenderers', 'killBrowser'];

const CONTINUOUS = [
  'sync.before_append',
  'sync.after_append',
  'sync.after_trim',
  'sync.before_apply',
  'sync.after_apply',
  'sync.after_acknowledge',
];

const INITIAL = ['initial.after_send', 'initial.after_commit'];

export default async function ({ url, long, problems }) {
  const victim = await Victim.make(url);
  try {
    let balance = 0;
    for (let round = 0; round < (long ? 10 : 1) * CONTINUOUS.length; round += 1) {
      balance = await killExchange(victim, round, balance);
    }
    for (let round = 0; round < (long ? 10 : 1) * INITIAL.length; round += 1) await killCopy(victim, round);
  } finally {
    problems.push(...victim.problems);
    await victim.end();
  }
}

/** One round of continuous sync: the balance that the second device has counted to in the end. */
async function killExchange(victim, round, before) {
  const step = CONTINUOUS[round % CONTINUOUS.length];
  const tab = await openBoth(victim);
  await victim.killAt(tab, step, 1 + round % 5, kill(round, CONTINUOUS), () => tab.page.evaluate(exchange, round));

  const next = await openBoth(victim);
  const idle = { sent: 0, received: 0 };
  for (const device of ['one', 'two', 'one', 'two']) await next.run(device, 'sync_once');
  for (const device of ['one', 'two']) assert.deepEqual(await next.run(device, 'sync_once'), idle);
  const [one, two] = [await next.run('one', 'dump'), await next.run('two', 'dump')];
  assert.deepEqual(two, one, `round ${round}, ${step}`);
  const balance = one.account.find(({ name }) => name === 'counted')?.balance ?? 0;
  const acknowledged = victim.takeLoss() ? 0 : before + tab.told.length;
  // The page has stopped in an exchange, and then nothing is under way.
  assert.equal(balance, acknowledged, `round ${round}, ${step}`);
  await next.close();
  return balance;
}

async function openBoth(victim) {
  const tab = await victim.tab();
  for (const device of ['one', 'two']) {
    await tab.run(device, 'open');
    await tab.run(device, 'join', 'shared');
  }
  return tab;
}

/** In the page: both devices write and exchange for ever. */
async function exchange(round) {
  for (let n = 0; ; n += 1) {
    await run('one', 'write_quietly', 3, 100 * round + n + 1);
    await run('two', 'count', 'counted', 1);
    console.log(`told ${n}`);
    await run('two', 'update', 'member', { stars: 0 }, { $inc: { stars: 1 } });
    await run('one', 'sync_once');
    await run('two', 'sync_once');
  }
}

/** One round of initial sync: what was interrupted goes through the next time. */
async function killCopy(victim, round) {
  const step = INITIAL[round % INITIAL.length];
  const [from, to] = [`from-${round}`, `to-${round}`];
  const tab = await victim.tab();
  await tab.run(from, 'open');
  await tab.run(from, 'write_quietly', 60, round + 1);
  await tab.run(to, 'open');
  await victim.killAt(tab, step, 1 + round % 3, kill(round, INITIAL), () => tab.call('sendHere', from, to));

  const next = await victim.tab();
  for (const device of [from, to]) await next.run(device, 'open');
  const [sent, received] = await next.call('sendHere', from, to);
  assert.equal(sent.objects, received.objects);
  assert.deepEqual(await next.run(to, 'dump'), await next.run(from, 'dump'), `round ${round}, ${step}`);
  await next.close();
}

/** Each step with each way to kill in turn. */
function kill(round, steps) {
  return KILLS[(round + Math.floor(round / steps.length)) % KILLS.length];
}
