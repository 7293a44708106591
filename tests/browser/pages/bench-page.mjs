// One round of `bench.mjs`: the same notes in Dexie and in storex, each in a database of its own, the order changing.

import Dexie from '/node_modules/dexie/dist/dexie.mjs';
import init, { Bench } from '/pkg/storex_browser.js';

const BATCHES = 10;
const SIZE = 1000;
const READS = 3;

await init();

/** The note that `src/bench.rs` makes, too. */
function note(n) {
  const random = crypto.getRandomValues(new Uint8Array(6));
  const tail = Array.from(random, byte => byte.toString(16).padStart(2, '0')).join('');
  const hex = (number, digits) => number.toString(16).padStart(digits, '0');
  const at = 1_700_000_000 + n;
  return {
    id: `${hex(1_700_000 + Math.floor(n / 65_536), 8)}-${hex(n % 65_536, 4)}-7000-8000-${tail}`,
    title: `Note number ${String(n).padStart(7)} on the kitchen table`,
    body: 'Milk, bread, two lemons, and whatever else the list on the door says. '.repeat(3),
    tags: ['kitchen', 'shopping', `week${n % 52}`],
    created_at: at,
    updated_at: at,
  };
}

async function timed(work) {
  const from = performance.now();
  const result = await work();
  return [performance.now() - from, result];
}

function check(found, wanted) {
  if (found !== wanted) throw new Error(`${found} objects instead of ${wanted}`);
}

async function dexie(name) {
  const db = new Dexie(name);
  db.version(1).stores({ note: 'id, created_at', log: '++seq' });
  await db.open();
  const [create] = await timed(async () => {
    for (let batch = 0; batch < BATCHES; batch++) {
      const notes = Array.from({ length: SIZE }, (_, n) => note(batch * SIZE + n));
      await db.transaction('rw', db.note, db.log, async () => {
        await db.note.bulkAdd(notes);
        // What a sync would need of each: where, what, when, and the values.
        await db.log.bulkAdd(notes.map(value => ({
          collection: 'note', pk: value.id, operation: 'create', at: Date.now(), device: 'a', value,
        })));
      });
    }
  });
  const read = await best(async () => check((await db.note.toArray()).length, BATCHES * SIZE));
  const range = await best(async () => check(
    (await db.note.where('created_at').between(1_700_002_000, 1_700_003_000).toArray()).length, 1000));
  db.close();
  await Dexie.delete(name);
  return { dexie_create: create, dexie_read: read, dexie_range: range };
}

async function storex(name) {
  const bench = await Bench.open(name, true);
  const [create] = await timed(async () => {
    for (let batch = 0; batch < BATCHES; batch++) await bench.create(SIZE);
  });
  const read = await best(async () => check(await bench.read(), BATCHES * SIZE));
  const range = await best(async () => check(await bench.range(1_700_002_000, 1000), 1000));
  await bench.close();
  await Dexie.delete(name);
  const plain = await Bench.open(`${name}-plain`, false);
  const [unlogged] = await timed(async () => {
    for (let batch = 0; batch < BATCHES; batch++) await plain.create(SIZE);
  });
  await plain.close();
  await Dexie.delete(`${name}-plain`);
  return { storex_create: create, storex_read: read, storex_range: range, storex_create_unlogged: unlogged };
}

/** The quickest of a few, so that a pause of the collector does not count. */
async function best(work) {
  const times = [];
  for (let n = 0; n < READS; n++) times.push((await timed(work))[0]);
  return Math.min(...times);
}

window.round = async (round) => {
  const both = [() => dexie(`dexie-${round}`), () => storex(`storex-${round}`)];
  if (round % 2 === 1) both.reverse();
  const result = {};
  for (const one of both) Object.assign(result, await one());
  return result;
};
window.ready = true;
