// A database that Dexie made is adopted: both programs read and write it in turn, and it is kept in step with another
// device's. Dexie upgrades its schema in the end.

import assert from 'node:assert/strict';
import { openTab } from './tab.mjs';

const OWN = /^_storex_/;

export default async function ({ browser, url }) {
  const { page } = await openTab(browser, url);
  await page.addScriptTag({ type: 'module', url: '/pages/dexie.mjs' });
  await page.waitForFunction('globalThis.dexieReady');
  // What is put into brackets runs in the page.
  const here = (work, ...args) => page.evaluate(work, ...args);

  await here(fill, 'shop');
  await adopted(here);
  await inTurn(here);
  await inStep(here);
  await upgraded(here);
  await upgradedCarelessly(here);
  await page.close();
}

/** In the page: Dexie makes and fills the database. */
async function fill(name) {
  const db = shop(name);
  await db.table('customer').bulkAdd(Array.from({ length: 30 }, (_, at) => ({
    name: `customer ${at}`, email: `${at}@x.org`, city: `city ${at % 3}`, age: at % 7, tags: at % 2 ? ['odd', 'x'] : ['even'],
    since: new Date(at * 1000), address: { street: `street ${at}`, floors: [at, at + 0.5] }, ...at % 4 ? {} : { vip: true },
    picture: new Uint8Array([at, 255]), unknown: new Map([[at, at]]),
  })));
  await db.table('item').bulkAdd(Array.from({ length: 10 }, (_, at) => ({
    code: `code ${at} \u{1f600}`, price: at % 2 ? at : at + 0.25, stock: at, sizes: { s: at, m: null },
  })));
  await db.table('setting').put({ dark: true, size: 3 }, 'theme');
  db.close();
}

const foreign = stores => Object.fromEntries(Object.entries(stores).filter(([name]) => !OWN.test(name)));

/** Adopting changes nothing of Dexie's; a write changes the object that it is about. */
async function adopted(here) {
  const before = await here(() => dump('shop'));
  // Dexie, which has it open, lets storex in, and opens it again by itself.
  assert.equal(await here(async () => {
    const db = await shop('shop').open();
    await storex('shop', 'open', 'shop');
    const count = await db.table('customer').count();
    db.close();
    return count;
  }), 30);
  const opened = await here(() => dump('shop'));
  assert.deepEqual(foreign(opened), before);
  assert.ok(Object.keys(opened).filter(name => OWN.test(name)).length >= 3, Object.keys(opened).join());
  assert.equal(await here(() => nativeVersion('shop')), 11);

  const changed = await here(() =>
    storex('shop', 'update', 'customer', { email: '7@x.org' }, { $set: { city: 'Bern' }, $inc: { age: 30 } }));
  assert.equal(changed, 1);
  const made = await here(() => storex('shop', 'create', 'customer', {
    name: 'made by storex', email: 'new@x.org', city: 'Bern', age: 1, tags: ['new', 'x'], since: '2026-11-21T00:00:00Z',
    address: { street: 'new' }, picture: 'AQI=',
  }));
  assert.ok(made.id > 1e9, made.id);
  assert.equal(await here(() => storex('shop', 'delete', 'customer', { id: 3 })), 1);
  await here(() => storex('shop', 'update', 'item', { code: 'code 4 \u{1f600}' }, { $set: { price: 5 } }));
  await here(() => storex('shop', 'update', 'setting', { key: 'theme' }, { $set: { dark: false } }));
  await assert.rejects(here(() => storex('shop', 'create', 'customer', {
    name: 'x', email: '5@x.org', city: 'x', age: 1, tags: [], since: 0, address: {}, picture: '',
  })), /email/);

  const after = foreign(await here(() => dump('shop')));
  const expected = structuredClone(before);
  const line = (id, lines = expected.customer) => lines.findIndex(line => line.startsWith(`${id}: `));
  expected.customer[line(8)] = before.customer[line(8)].replace('city="city 1",age=0', 'city="Bern",age=30');
  expected.customer.splice(line(3), 1);
  const added = after.customer.pop();
  assert.match(added, /^\d{10,}: \{.*name="made by storex".*picture=Uint8Array 1,2/);
  assert.doesNotMatch(added, /vip/);
  expected.item[4] = before.item[4].replace('price=4.25', 'price=5');
  expected.setting = ['"theme": {dark=false,size=3}'];
  assert.deepEqual(after, expected);
}

/** Dexie opens it with its own version number, reads what storex wrote and writes; storex, which is open still, reads that. */
async function inTurn(here) {
  const read = await here(async () => {
    const db = await shop('shop').open();
    const customer = db.table('customer');
    const read = {
      made: (await customer.get({ email: 'new@x.org' })).since.getTime(),
      bern: await customer.where('[city+age]').between(['Bern', -1], ['Bern', 99]).count(),
      tagged: await customer.where('tags').equals('x').count(),
      gone: await customer.get(3) === undefined,
      kept: (await customer.get(8)).unknown.get(7),
      price: (await db.table('item').where('price').equals(5).toArray()).map(item => item.code).sort(),
      theme: await db.table('setting').get('theme'),
    };
    await customer.add({
      name: 'made by Dexie', email: 'dexie@x.org', city: 'Basel', age: 2, tags: [], since: new Date(5), address: {},
      picture: new Uint8Array(),
    });
    await customer.update(8, { city: 'Genf' });
    await db.table('item').delete('code 0 \u{1f600}');
    await db.table('setting').put({ dark: true, size: 4 }, 'menu');
    db.close();
    return read;
  });
  assert.deepEqual(read, {
    made: Date.parse('2026-11-21T00:00:00Z'), bern: 2, tagged: 16, gone: true, kept: 7,
    price: ['code 4 \u{1f600}', 'code 5 \u{1f600}'], theme: { dark: false, size: 3 },
  });
  const { customer, item, setting } = await here(() => storex('shop', 'dump'));
  assert.equal(customer.length, 31);
  assert.deepEqual(customer.find(it => it.email === 'dexie@x.org').since, '1970-01-01T00:00:00.005Z');
  assert.equal(customer.find(it => it.id === 8).city, 'Genf');
  assert.equal(item.length, 9);
  assert.deepEqual(setting.map(it => it.key), ['menu', 'theme']);
}

/** A second device, whose database Dexie made empty, gets everything, and both follow each other from then on. */
async function inStep(here) {
  await here(async () => {
    const db = await shop('shop-b').open();
    db.close();
    await storex('shop-b', 'open', 'shop');
  });
  const [sent, received] = await here(() => copy('shop', 'shop-b'));
  assert.equal(sent.objects, 31 + 9 + 2);
  assert.equal(received.objects, sent.objects);
  await equal(here);

  await here(async () => {
    await storex('shop', 'join', 'shared');
    await storex('shop-b', 'join', 'shared');
    await storex('shop', 'update', 'customer', { id: 8 }, { $set: { tags: ['moved'], address: { street: 'elsewhere' } } });
    await storex('shop-b', 'update', 'customer', { id: 8 }, { $set: { age: 77, vip: false } });
    await storex('shop-b', 'delete', 'customer', { id: 5 });
    await storex('shop-b', 'create', 'item', { code: 'on b', price: 1.5, stock: 0, sizes: {} });
    for (const device of ['shop', 'shop-b', 'shop', 'shop-b']) await storex(device, 'sync_once');
  });
  await equal(here);
  // Dexie's own indices know what came by sync.
  assert.deepEqual(await here(async () => {
    const db = await shop('shop-b').open();
    const moved = await db.table('customer').where('tags').equals('moved').primaryKeys();
    const codes = await db.table('item').where('price').equals(1.5).primaryKeys();
    db.close();
    return [moved, codes];
  }), [[8], ['on b']]);
}

/** Both databases hold the same; what storex has no type for stays where it was. */
async function equal(here) {
  const known = lines => lines.map(line => line.replace(/,unknown=Map [^,}]*/, ''));
  const [a, b] = await here(async () => [await dump('shop', true), await dump('shop-b', true)]);
  for (const store of ['customer', 'item', 'setting']) assert.deepEqual(known(b[store]), known(a[store]));
  assert.deepEqual(await here(() => storex('shop-b', 'dump')), await here(() => storex('shop', 'dump')));
}

/** Dexie's next version, with storex's stores named in it: they stay, and the devices go on. */
async function upgraded(here) {
  const before = await here(() => dump('shop'));
  await here(async () => {
    await storex('shop', 'close');
    const db = nextShop('shop', await storesOfStorex('shop'));
    await db.open();
    await db.table('visit').add({ at: 1 });
    db.close();
  });
  assert.equal(await here(() => nativeVersion('shop')), 20);
  const after = await here(() => dump('shop'));
  for (const store of Object.keys(before).filter(name => OWN.test(name))) assert.deepEqual(after[store], before[store]);
  assert.ok(after.item.every(line => line.includes('upgraded=1')), after.item.join('\n'));

  await here(async () => {
    await storex('shop', 'open', 'shop-b');
    await storex('shop', 'join', 'shared');
    await storex('shop', 'update', 'customer', { id: 8 }, { $set: { name: 'after the upgrade' } });
    for (const device of ['shop', 'shop-b']) await storex(device, 'sync_once');
  });
  const [eight] = (await here(() => storex('shop-b', 'dump'))).customer.filter(it => it.id === 8);
  assert.equal(eight.name, 'after the upgrade');
  assert.equal(await here(() => nativeVersion('shop')), 20);
}

/** The same without: Dexie deletes them. The application's objects are there, and the device begins anew. */
async function upgradedCarelessly(here) {
  await here(fill, 'careless');
  await here(async () => {
    await storex('careless', 'open', 'careless');
    await storex('careless', 'close');
    const db = await nextShop('careless', {}).open();
    db.close();
  });
  const lost = await here(() => dump('careless'));
  assert.deepEqual(Object.keys(lost).filter(name => OWN.test(name)), []);
  await here(() => storex('careless', 'open', 'careless'));
  assert.equal((await here(() => storex('careless', 'dump'))).customer.length, 30);
  assert.deepEqual(foreign(await here(() => dump('careless'))), lost);
}
