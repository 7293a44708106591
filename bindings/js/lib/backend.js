// The backend: what storex's StorageManager, or the one beside this file, sends its operations to.

import { storedBatch } from './batch.js';
import { invalid, storexError, unsupported } from './errors.js';
import { ended, hold } from './held.js';
import { parseIdentifier } from './identifiers.js';
import { findOptions, noOptions } from './options.js';
import { shapesOf, writtenSchema } from './schema.js';
import { jsonText, present, revive } from './values.js';
import { storedChanges, storedFilter, storedObject } from './writes.js';
import { load } from './wasm.js';

const OPERATIONS = new Set([
  'createObject', 'rawCreateObjects', 'findObject', 'findObjects', 'countObjects', 'updateObject', 'updateObjects',
  'deleteObject', 'deleteObjects', 'executeBatch', 'streamObjects',
]);

/** How many objects of a stream are read at once. */
const PAGE = 500;

/** A database in IndexedDB, as a storex backend. */
export class StorexBackend {
  type = 'storex';
  features = {
    count: true,
    ignoreCase: true,
    fullTextSearch: true,
    rawCreateObjects: true,
    createWithRelationships: true,
    relationshipFetching: true,
    crossRelationshipQueries: true,
    executeBatch: true,
    resultLimiting: true,
    singleFieldSorting: true,
    multiFieldSorting: true,
    sortWithIndependentRangeFilter: true,
    customFields: true,
    customFieldNames: true,
    streamObjects: true,
  };
  customFeatures = {};
  pluggableOperations = new Set();

  #options;
  #registry;
  #shapes = new Map();
  #opened; // a promise of the database
  #closed; // a promise of its end, from when it is asked for
  #letGo; // ends that the database is kept
  #operations = new Map();

  /**
   * @param {object} options
   * @param {string} options.dbName
   * @param {boolean} [options.sync] whether what is written is logged, so that it can be sent to other devices
   * @param {'relaxed' | 'strict'} [options.durability]
   * @param {(why: string) => void} [options.onLost] called when the browser takes the database away
   * @param {*} [options.wasm] where the module of Rust is, if not beside this package
   */
  constructor(options) {
    if (typeof options?.dbName !== 'string' || options.dbName === '') throw invalid('a backend needs a `dbName`');
    this.#options = { sync: false, durability: 'relaxed', ...options };
  }

  /** Called by the storage manager. The database is opened when its registry is finished. */
  configure({ registry }) {
    for (const feature of Object.keys(this.customFeatures)) {
      if (!feature.includes('.')) throw invalid(`the custom feature \`${feature}\` needs a dot in its name`);
    }
    this.#registry = registry;
    registry.on('initialized', () => this.database());
  }

  /** The open database. What is closed is not opened again: whoever comes late would hold up those who delete it. */
  async database() {
    if (this.#closed) throw storexError('closed', `the database \`${this.dbName}\` was closed here; a new backend opens it again`);
    this.#opened ??= this.#open().catch(why => {
      this.#opened = undefined;
      throw why;
    });
    return this.#opened;
  }

  async #open() {
    const { rust, args } = await this.opening();
    this.#shapes = shapesOf(this.#registry);
    const database = await rust.Database.open(...args, this.isLogged);
    this.#letGo = hold(database);
    return database;
  }

  /** What Rust opens the database with, and the module of Rust. */
  async opening() {
    if (!this.#registry) throw invalid('give the backend to a storage manager first');
    const { dbName, durability, onLost = () => {}, wasm } = this.#options;
    return { rust: await load(wasm), args: [dbName, writtenSchema(this.#registry), durability === 'strict', onLost] };
  }

  /** Where the module of Rust is, if not beside this package. */
  get wasm() {
    return this.#options.wasm;
  }

  /** The name of the database. */
  get dbName() {
    return this.#options.dbName;
  }

  /** Whether what is written is logged, for sync. */
  get isLogged() {
    return Boolean(this.#options.sync);
  }

  /** What is known of a collection. */
  shape(collection) {
    const shape = this.#shapes.get(collection);
    if (!shape) throw storexError('not-found', `there is no collection \`${collection}\``);
    return shape;
  }

  async createObject(collection, object, options) {
    noOptions('createObject', options);
    const [database, shape] = [await this.database(), this.shape(collection)];
    const stored = await storedObject(this.#shapes, shape, object);
    const created = this.#read(shape, await database.create(collection, jsonText(stored)));
    return { object: asGiven(shape, object, created) };
  }

  async rawCreateObjects(collection, objects, { withNestedObjects, ...options } = {}) {
    noOptions('rawCreateObjects', options);
    if (withNestedObjects) throw unsupported('`rawCreateObjects` with nested objects; `createObject` takes them');
    const [database, shape] = [await this.database(), this.shape(collection)];
    const stored = await Promise.all(objects.map(object => storedObject(this.#shapes, shape, object)));
    const created = this.#read(shape, await database.create_many(collection, jsonText(stored)));
    return { objects: created.map((object, n) => asGiven(shape, objects[n], object)) };
  }

  async findObjects(collection, where, options) {
    const [database, shape] = [await this.database(), this.shape(collection)];
    const asked = findOptions(shape, where, options);
    const filter = await storedFilter(this.#shapes, shape, asked.where);
    const found = await database.find(collection, jsonText(filter), jsonText(asked.options));
    return present(shape, this.#read(shape, found));
  }

  async findObject(collection, where, options) {
    const [found = null] = await this.findObjects(collection, where, { ...options, limit: 1 });
    return found;
  }

  async countObjects(collection, where, options) {
    const [database, shape] = [await this.database(), this.shape(collection)];
    const asked = findOptions(shape, where, options);
    return database.count(collection, jsonText(await storedFilter(this.#shapes, shape, asked.where)));
  }

  /** @returns {Promise<number>} how many were changed */
  async updateObjects(collection, where, updates, options) {
    noOptions('updateObjects', options);
    const [database, shape] = [await this.database(), this.shape(collection)];
    // Unlike a find, a write does not take `undefined` for "all objects".
    const filter = await storedFilter(this.#shapes, shape, where);
    return database.update(collection, jsonText(filter), jsonText(await storedChanges(shape, updates)));
  }

  async updateObject(collection, object, updates, options) {
    await this.database();
    return this.updateObjects(collection, this.#keyOf(collection, object), updates, options);
  }

  /** With a `limit`: if more objects match, none is deleted. @returns {Promise<number>} how many were deleted */
  async deleteObjects(collection, where, { limit, ...options } = {}) {
    noOptions('deleteObjects', options);
    if (limit !== undefined && !(Number.isInteger(limit) && limit >= 0)) {
      throw invalid(`\`limit\` of \`deleteObjects\` is a whole number of objects, and not ${limit}`);
    }
    const [database, shape] = [await this.database(), this.shape(collection)];
    return database.delete(collection, jsonText(await storedFilter(this.#shapes, shape, where)), limit);
  }

  async deleteObject(collection, object, options) {
    await this.database();
    return this.deleteObjects(collection, this.#keyOf(collection, object), options);
  }

  /** All steps or none. */
  async executeBatch(batch) {
    const database = await this.database();
    const steps = await storedBatch(this.#shapes, name => this.shape(name), batch);
    const info = JSON.parse(await database.execute_batch(jsonText(steps)));
    for (const { placeholder, collection, args } of batch) {
      if (placeholder === undefined || !info[placeholder]) continue;
      const shape = this.shape(collection);
      info[placeholder].object = asGiven(shape, args, revive(this.#shapes, shape, info[placeholder].object));
    }
    return { info };
  }

  /** All objects of a collection in the order of their keys, read in portions. */
  async *streamObjects(collection) {
    await this.database();
    const [key, ...others] = this.shape(collection).key;
    if (others.length > 0) throw unsupported(`a stream of \`${collection}\`, whose key has several fields`);
    let where = {};
    for (;;) {
      const page = await this.findObjects(collection, where, { order: [[key, 'asc']], limit: PAGE });
      yield* page;
      if (page.length < PAGE) return;
      where = { [key]: { $gt: page.at(-1)[key] } };
    }
  }

  /**
   * Calls back with the objects that the filter matches, now and whenever they have changed: in this tab, in another one, or by sync.
   * Nobody's middleware is asked. An error is given to `onError`; it goes on after one.
   *
   * @returns {Promise<() => void>} ends it
   */
  async liveQuery(collection, where, options, callback, onError = reportError) {
    const [database, shape] = [await this.database(), this.shape(collection)];
    const asked = findOptions(shape, where, options);
    const filter = await storedFilter(this.#shapes, shape, asked.where);
    let latest = 0;
    let isOver = false;
    const told = async ([error, text]) => {
      const mine = ++latest;
      try {
        if (error) throw error;
        const objects = await present(shape, this.#read(shape, text));
        // Field types may take their time: what is older than the last result is not shown after it.
        if (mine === latest && !isOver) callback(objects);
      } catch (why) {
        onError(why);
      }
    };
    const end = ended(database.live(collection, jsonText(filter), jsonText(asked.options), told));
    return () => {
      isOver = true;
      end();
    };
  }

  /**
   * Calls back after each commit, of another tab too: `{ origin: 'local' | 'sync', changes: [{ type, collection, pks }] }`, or
   * `{ origin: 'elsewhere' }` where nobody knows what was changed.
   *
   * @returns {Promise<() => void>} ends it
   */
  async onChanges(callback) {
    const database = await this.database();
    return ended(database.changes(text => {
      const event = JSON.parse(text);
      for (const change of event.changes ?? []) {
        const shape = this.shape(change.collection);
        change.pks = change.pks.map(key => keySeen(shape, revive(this.#shapes, shape, key)));
      }
      callback(event);
    }));
  }

  /** The schema is brought up to date when the database is opened. */
  async migrate() {
    await this.database();
  }

  /** Closes the database, for good. */
  cleanup() {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close() {
    // One that could not be opened is closed.
    const database = await this.#opened?.catch(() => undefined);
    await database?.close();
    this.#letGo?.();
  }

  /** Closes the database and deletes it, with everything in it. */
  async dropDatabase() {
    await this.cleanup();
    const { delete_database } = await load(this.#options.wasm);
    await delete_database(this.dbName);
  }

  use(plugin) {
    plugin.install(this);
  }

  supports(feature) {
    return OPERATIONS.has(feature) || Boolean(this.features[feature]) || Boolean(this.customFeatures[feature]) ||
      this.#operations.has(feature);
  }

  async operation(identifier, ...args) {
    const { project, backend, operation } = parseIdentifier(identifier);
    const registered = this.#operations.get(identifier);
    if (registered) return registered(...args);
    if (!project && !backend && OPERATIONS.has(operation)) return this[operation](...args);
    throw unsupported(`the operation \`${identifier}\` is neither one of this backend nor registered`);
  }

  registerOperation(identifier, operation) {
    const parsed = parseIdentifier(identifier);
    const isOpen = parsed.project || (parsed.backend ? this.pluggableOperations.has(parsed.operation) : identifier === 'alterSchema');
    if (!isOpen) throw invalid(`\`${identifier}\` cannot be registered; with a project in front, as in \`mine:${identifier}\`, it can`);
    this.#operations.set(identifier, operation);
  }

  #read(shape, text) {
    const read = JSON.parse(text);
    for (const object of [read].flat()) revive(this.#shapes, shape, object);
    return read;
  }

  #keyOf(collection, object) {
    const key = this.shape(collection).key.map(name => [name, object?.[name]]);
    for (const [name, value] of key) {
      if (value === undefined || value === null) {
        throw invalid(`collection \`${collection}\`: the object has no \`${name}\`, which is part of its key`);
      }
    }
    return Object.fromEntries(key);
  }
}

/** In what a create gives back the fields of the application's own types are as they were given, not as they are stored. */
function asGiven(shape, given, created) {
  for (const field of shape.fields.values()) {
    if (field.custom) created[field.name] = given[field.name] ?? null;
  }
  return created;
}

/** A key as applications have it: its value, or the values of its fields. */
export function keySeen(shape, key) {
  return shape.key.length === 1 ? key[shape.key[0]] : shape.key.map(name => key[name]);
}

/** A plug-in: `backend.use(plugin)` installs it. */
export class StorageBackendPlugin {
  install(backend) {
    this.backend = backend;
  }
}
