// What must be in a database in the end, after edits that several devices have made at once: each edit that was acknowledged, and nothing else.
//
// It knows nothing of how devices agree, only what is promised: what was deleted is gone; of two values of a field the one that was written later
// holds; increments add up. Values have the form of `storex-e2e-export`: `{ i: '1' }`, `{ f: '0.5' }`, a text, null.

import assert from 'node:assert/strict';

/** Of two edits that were made within this of each other, in milliseconds, either may be the later one. */
const AT_ONCE = 20;

export class Ledger {
  /** By collection: what is known of it, and its rows by key. */
  #collections = new Map();
  counts = { created: 0, changed: 0, increased: 0, deleted: 0 };

  /** @param exported what `storex-e2e-export` prints: where all begin */
  constructor({ collections }) {
    for (const { name, fields, key, rows } of collections) {
      const names = fields.map(([field]) => field);
      const collection = { names, key, keys: [], rows: new Map() };
      this.#collections.set(name, collection);
      for (const row of rows) this.#add(collection, Object.fromEntries(names.map((field, at) => [field, row[at]])));
    }
  }

  #add(collection, values) {
    const id = textOf(collection.key.map(field => values[field]));
    assert.ok(!collection.rows.has(id), `made twice: ${id}`);
    const fields = Object.fromEntries(collection.names.map(field => [field, { writes: [{ value: values[field] ?? null, began: 0, ended: -AT_ONCE }], more: 0 }]));
    collection.keys.push(Object.fromEntries(collection.key.map(field => [field, plain(values[field])])));
    collection.rows.set(id, { fields, deleted: false });
  }

  #row(name, key) {
    const collection = this.#collections.get(name);
    return collection.rows.get(textOf(collection.key.map(field => typed(key[field]))));
  }

  /** The keys of all rows that there ever were. */
  keys(name) {
    return this.#collections.get(name).keys;
  }

  created(name, object) {
    this.counts.created += 1;
    this.#add(this.#collections.get(name), Object.fromEntries(Object.entries(object).map(([field, value]) => [field, typed(value)])));
  }

  /** A device has changed these fields of a row, in this time. */
  changed(name, key, changes, began, ended) {
    this.counts.changed += 1;
    const { fields } = this.#row(name, key);
    for (const [field, value] of Object.entries(changes)) {
      const { writes } = fields[field];
      writes.push({ value: typed(value), began, ended });
      // What was overtaken for sure cannot hold any more; what was there before all edits is one of those.
      const last = Math.max(...writes.map(write => write.began));
      fields[field].writes = writes.filter(write => write.ended + AT_ONCE >= last);
    }
  }

  increased(name, key, field, by) {
    this.counts.increased += 1;
    this.#row(name, key).fields[field].more += by;
  }

  deleted(name, key) {
    this.counts.deleted += 1;
    this.#row(name, key).deleted = true;
  }

  /** @param found all rows of all collections: `{ Album: [[value..]..] }` */
  check(found) {
    const wrong = [];
    for (const [name, collection] of this.#collections) {
      const seen = new Set();
      for (const values of found[name]) {
        const row = Object.fromEntries(collection.names.map((field, at) => [field, values[at]]));
        const id = textOf(collection.key.map(field => row[field]));
        seen.add(id);
        const known = collection.rows.get(id);
        if (!known) wrong.push(`${name} ${id}: nobody has made it`);
        else if (known.deleted) wrong.push(`${name} ${id}: it was deleted`);
        else wrong.push(...wrongFields(known.fields, row).map(why => `${name} ${id}: ${why}`));
      }
      for (const [id, { deleted }] of collection.rows) {
        if (!deleted && !seen.has(id)) wrong.push(`${name} ${id}: it is missing`);
      }
    }
    assert.equal(wrong.length, 0, `${wrong.length} are wrong:\n${wrong.slice(0, 20).join('\n')}`);
  }
}

function wrongFields(fields, row) {
  const wrong = [];
  for (const [field, { writes, more }] of Object.entries(fields)) {
    const possible = writes.map(({ value }) => (more === 0 ? value : { i: String(Number(value.i) + more) }));
    if (!possible.some(value => textOf(value) === textOf(row[field]))) {
      wrong.push(`${field} is ${textOf(row[field])}, and not ${possible.map(textOf).join(' or ')}`);
    }
  }
  return wrong;
}

/** A value of JSON as SQLite keeps it in a column that is no text. */
function typed(value) {
  if (typeof value !== 'number') return value;
  return Number.isInteger(value) ? { i: String(value) } : { f: String(value) };
}

/** The other way round, of what a key may be. */
function plain(value) {
  return typeof value?.i === 'string' ? Number(value.i) : value;
}

function textOf(value) {
  return JSON.stringify(value);
}
