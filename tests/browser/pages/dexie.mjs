// What the scenario of Dexie calls in a page: Dexie and storex, in turn on the same databases.

import { Dexie } from '/node_modules/dexie/dist/dexie.mjs';
import init, { open_adopted } from '/pkg/storex_browser.js';

await init();
const devices = new Map();

/** The tables, as their application declares them. */
const TABLES = { customer: '++id, &email, [city+age], *tags', item: 'code, price', setting: '' };

/** Opens the application's database with Dexie; `open` waits for it. */
globalThis.shop = name => {
  const db = new Dexie(name);
  db.version(1).stores(TABLES);
  return db;
};

/** The next version of the application; `others` are stores that are not its own. */
globalThis.nextShop = (name, others) => {
  const db = globalThis.shop(name);
  db.version(2).stores({ ...TABLES, customer: `${TABLES.customer}, age`, visit: '++id', ...others })
    .upgrade(transaction => transaction.table('item').toCollection().modify(item => { item.upgraded = 1; }));
  return db;
};

/** storex's stores as a Dexie schema has them (see the documentation of `storex_indexeddb::adopt`). */
globalThis.storesOfStorex = async name => {
  const there = await new Dexie(name).open();
  const stores = Object.fromEntries(there.tables.filter(table => table.name.startsWith('_storex_'))
    .map(({ name, schema }) => [name, [schema.primKey, ...schema.indexes].map(it => it.src).join()]));
  there.close();
  return stores;
};

/** As `run` of host.mjs; `open` adopts. */
globalThis.storex = async (name, method, ...args) => {
  if (method === 'open') {
    devices.set(name, await open_adopted(name, ...args));
    return null;
  }
  const plain = value => typeof value === 'object' && !(value instanceof MessagePort);
  const result = await devices.get(name)[method](...args.map(it => plain(it) ? JSON.stringify(it) : it));
  return typeof result === 'string' ? JSON.parse(result) : result;
};

/** Initial sync between two devices. */
globalThis.copy = (from, to) => {
  const { port1, port2 } = new MessageChannel();
  return Promise.all([globalThis.storex(from, 'send', port1), globalThis.storex(to, 'receive', port2)]);
};

/** Everything that is stored, without Dexie and storex: by store, a line per object, with the kind of each value. */
globalThis.dump = async (name, sorted = false) => {
  const db = await asked(indexedDB.open(name));
  const stores = {};
  for (const store of db.objectStoreNames) {
    const objects = db.transaction(store).objectStore(store);
    const [keys, values] = await Promise.all([asked(objects.getAllKeys()), asked(objects.getAll())]);
    stores[store] = keys.map((key, at) => `${text(key, sorted)}: ${text(values[at], sorted)}`);
  }
  db.close();
  return stores;
};

globalThis.nativeVersion = async name => {
  const db = await asked(indexedDB.open(name));
  db.close();
  return db.version;
};

function asked(request) {
  return new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
}

function text(value, sorted) {
  if (value === undefined) return 'undefined';
  if (value instanceof Date) return `date ${value.getTime()}`;
  if (value instanceof ArrayBuffer) return `buffer ${new Uint8Array(value)}`;
  if (ArrayBuffer.isView(value)) return `${value.constructor.name} ${value}`;
  if (Array.isArray(value)) return `[${value.map(item => text(item, sorted)).join()}]`;
  if (value === null || typeof value !== 'object') return typeof value === 'bigint' ? `${value}n` : JSON.stringify(value);
  if (Object.getPrototypeOf(value) !== Object.prototype) return `${value.constructor.name} ${value}`;
  const entries = Object.entries(value);
  if (sorted) entries.sort(([a], [b]) => a < b ? -1 : 1);
  return `{${entries.map(([name, value]) => `${name}=${text(value, sorted)}`).join()}}`;
}

globalThis.dexieReady = true;
