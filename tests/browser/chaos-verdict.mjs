// What numbered writes (src/chaos.rs) must have come to. Of each life of a tab one number tells everything: how many of its writes
// there are. That number is the balance of its account.

import assert from 'node:assert/strict';

/** What the other device is called, and what all count on. */
export const OTHER = 'other';
export const COMMON = 'common';
export const SHARED = 'shared';

/** The members that `count` writes of a life leave. */
function left(name, team, count) {
  const members = [];
  for (let number = Math.max(1, count - 3); number <= count; number += 1) {
    members.push({ team, size: number, title: `${name}#${number}`, stars: number < count ? 1 : 0 });
  }
  return members;
}

/** How many writes there are of each life. What is there is what they have made, once. */
export function check({ account, member }, lives) {
  const counts = new Map(account.map(({ name, balance }) => [name, balance]));
  const there = new Map();
  let all = counts.get(OTHER);
  for (const { name, team, lastTold } of lives) {
    const count = counts.get(name) ?? 0;
    assert.ok(count >= lastTold, `${name} was told of ${lastTold} writes, and there are ${count}`);
    const members = member.filter(it => it.team === team).map(({ team, size, title, stars }) => ({ team, size, title, stars }));
    members.sort((a, b) => a.size - b.size);
    assert.deepEqual(members, left(name, team, count), `the members of ${name} after ${count} writes`);
    there.set(name, count);
    all += count;
  }
  assert.equal(counts.get(COMMON), all, 'what all have counted together');
  const others = member.filter(({ team }) => team === 0);
  assert.deepEqual(others.map(({ title }) => title), [SHARED]);
  // Whoever has written last has written it last.
  const last = [...there].filter(([, count]) => count > 0).map(([name, count]) => `${name}#${count}`);
  assert.ok(last.includes(others[0].body), `what all overwrite is ${others[0].body}, and not one of ${last}`);
  const known = new Set(lives.map(({ team }) => team)).add(0);
  assert.deepEqual(member.filter(({ team }) => !known.has(team)), [], 'members that nobody has made');
  assert.equal(account.length, lives.filter(({ name }) => there.get(name) > 0).length + 2, 'accounts that nobody has opened');
  return there;
}

/** What the log of the server holds (src/log_summary.rs) is each of the writes, once, in the order of its life. */
export function checkLog(log, counts, other) {
  assert.equal(log.length, 2, 'two devices, and neither took itself for another');
  const [device] = log.filter(({ created }) => !created.includes(SHARED));
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  assert.equal(device.transactions, all, 'transactions of the tabs');
  const next = new Map();
  for (const title of device.created) {
    const [name, number] = title.split('#');
    next.set(name, (next.get(name) ?? 0) + 1);
    assert.equal(Number(number), next.get(name), `${title} in the log`);
  }
  const existing = new Map([...counts].filter(([, count]) => count > 0));
  assert.deepEqual(new Map([...next].sort()), new Map([...existing].sort()), 'what was created, by the log');
  assert.deepEqual(device.counted, Object.fromEntries([...existing, [COMMON, all]]), 'what was counted, by the log');
  assert.equal(device.deleted, [...counts.values()].reduce((sum, count) => sum + Math.max(0, count - 4), 0));
  const [others] = log.filter(it => it !== device);
  assert.deepEqual(others.counted, { [COMMON]: other, [OTHER]: other }, 'what the other device has counted, by the log');
}

/**
 * How long it took until each tab has shown each write that was told, in milliseconds. `open` are the lives of the tabs that are open, and
 * were asked after `until`; writes up to then count. What a tab shows while it is frozen does not. `held`: another was frozen meanwhile,
 * perhaps in the middle of a transaction that all others have to wait for. (By itself a browser freezes no such tab.)
 */
export function delays(lives, open, from, until) {
  const found = [];
  for (const writer of lives) {
    const told = writer.told.filter(([, at]) => from < at && at <= until);
    for (const shows of open) {
      const seen = shows.news.filter(([, name]) => name === writer.name);
      let next = 0;
      for (const [number, at] of told) {
        if (at < shows.since) continue;
        while (next < seen.length && seen[next][2] < number) next += 1;
        assert.ok(next < seen.length, `${shows.name} has not shown write ${number} of ${writer.name}`);
        const [shown] = seen[next];
        const amidst = ({ frozen }) => frozen.some(([from, to]) => from <= shown && at <= to);
        if (amidst(shows)) continue;
        found.push({ took: Math.max(0, shown - at), held: lives.some(amidst) });
      }
    }
  }
  return found;
}

/** Why two exchanges that were under way at once are none that overlap; nothing when they do. */
export function excuse([earlier, later], lives, hung) {
  const life = lives.get(earlier.who);
  // It hangs with an exchange under way, of which it will never hear.
  if (hung.get(earlier.who) <= later.began) return 'hung';
  // Whoever has begun it is not there any more: the server may still be at it.
  if (life?.gone <= later.began) return 'gone';
  // It was stopped in the middle of it, and another has taken its place meanwhile.
  if (life?.wasFrozen(later.began)) return 'frozen';
  // It was given up: the page or worker is gone, and what tells so has come later than the next exchange.
  if (earlier.how === 'given up' && earlier.ended - later.began < 200) return 'given up';
  return undefined;
}
