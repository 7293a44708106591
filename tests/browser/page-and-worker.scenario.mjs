// One device in a page and one in its worker, and two devices in one page: initial sync over a MessageChannel, then
// continuous sync over a shared log in a third database, which both contexts have open.

import assert from 'node:assert/strict';
import { openTab, until } from './tab.mjs';

export default async function ({ browser, url, long }) {
  const tab = await openTab(browser, url);
  const inPage = name => (...call) => tab.run(name, ...call);
  const inWorker = name => (...call) => tab.call('inWorker', name, ...call);
  const batches = long ? 400 : 40;

  await keepInStep(batches, 'shared-1', inPage('a'), inWorker('b'),
    () => tab.call('sendToWorker', 'a', 'b'), () => tab.call('receiveFromWorker', 'a', 'b'));
  await keepInStep(batches, 'shared-2', inPage('c'), inPage('d'),
    () => tab.call('sendHere', 'c', 'd'), () => tab.call('sendHere', 'd', 'c'));
}

async function keepInStep(batches, log, a, b, thither, hither) {
  await a('open');
  await b('open');
  await fill(a, batches);
  await copy(a, b, thither);
  await exchange(a, b, log);
  await follow(a, b);
  // Everything is there already, and stays as it is.
  const before = await a('dump');
  await hither();
  assert.deepEqual(await a('dump'), before);
  await inStep(a, b);
  for (const device of [a, b]) await device('close');
}

/** Teams that come, change and go, so that there are tombstones, too. */
async function fill(a, batches) {
  await a('write_quietly', batches, 7);
  assert.equal(await a('audit'), batches);
}

async function copy(a, b, thither) {
  await b('create', 'member', member(1, 'older than the copy'));
  const [sent, received] = await thither();
  assert.equal(sent.objects, received.objects);
  assert.ok(sent.objects > 0 && sent.tombstones > 0, JSON.stringify(sent));
  const [here, there] = [await a('dump'), await b('dump')];
  assert.equal(there.member.length, here.member.length + 1);
  there.member = there.member.filter(member => member.title !== 'older than the copy');
  assert.deepEqual(there, here);
}

/** Exchanges one by one: what is sent and received is known. */
async function exchange(a, b, log) {
  await a('join', log);
  await b('join', log);
  await a('sync_once');
  assert.equal((await b('sync_once')).sent, 1);
  assert.equal((await a('sync_once')).received, 1);
  await inStep(a, b);

  const { id } = await a('create', 'member', member(2, 'made on a'));
  await a('sync_once');
  assert.deepEqual(await b('sync_once'), { sent: 0, received: 1 });
  assert.equal(await b('update', 'member', { id }, { $set: { title: 'renamed on b' }, $inc: { stars: 3 } }), 1);
  assert.equal(await a('update', 'member', { id }, { $set: { body: 'written on a' } }), 1);
  await a('sync_once');
  await b('sync_once');
  await a('sync_once');
  await inStep(a, b);
  const edited = (await a('dump')).member.find(member => member.id === id);
  assert.deepEqual([edited.title, edited.stars, edited.body], ['renamed on b', 3, 'written on a']);

  assert.equal(await b('delete', 'member', { id }), 1);
  await b('sync_once');
  await a('sync_once');
  await inStep(a, b);
  assert.deepEqual(await a('sync_once'), { sent: 0, received: 0 });
}

/** Both write at once while continuous sync is running on both. */
async function follow(a, b) {
  await a('start_sync', 30);
  await b('start_sync', 30);
  const work = async (device, name) => {
    for (let n = 0; n < 20; n += 1) {
      await device('create', 'member', member(n, `by ${name}`));
      await device('update', 'member', { team: n }, { $set: { title: `edited by ${name}` } });
      await device('count', 'both', 1);
      await device('count', name, 2);
      if (n % 5 === 4) await device('delete', 'member', { team: n - 2 });
    }
  };
  await Promise.all([work(a, 'a'), work(b, 'b')]);
  await until('both devices hold the same', async () => same(await a('dump'), await b('dump')));
  for (const device of [a, b]) {
    const { rounds, error } = await device('stop_sync');
    assert.ok(rounds > 2 && error === null, `${rounds} exchanges, ${error}`);
  }
  await inStep(a, b);
  const { account } = await a('dump');
  const balance = name => account.find(account => account.name === name)?.balance;
  assert.deepEqual([balance('a'), balance('b')], [40, 40]);
}

function member(team, title) {
  return { team, size: 1, title, stars: 0 };
}

async function inStep(a, b) {
  assert.deepEqual(await b('dump'), await a('dump'));
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}
