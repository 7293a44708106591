// Sync with a server.

import { invalid } from './errors.js';
import { keySeen } from './backend.js';
import { ended, hold } from './held.js';
import { revive } from './values.js';
import { load } from './wasm.js';

const MOMENTS = ['lastSuccess', 'lastErrorAt', 'nextAttempt'];

/** Keeps a database in step with those of other devices, over a server, until it is stopped: one for all tabs, as this one uses it. */
export class Sync {
  #backend;
  #handle;
  #letGo;

  constructor(backend, handle) {
    this.#backend = backend;
    this.#handle = handle;
    this.#letGo = hold(handle);
  }

  /**
   * @param {StorageManager | StorexBackend} storage the backend of which was made with `sync: true`
   * @param {object} options
   * @param {string} options.server its address
   * @param {string | ((rejected: string | null) => Promise<string>)} options.token
   * @param {string} [options.deviceName] what people call this device
   * @param {string} [options.passphrase] end-to-end encryption
   * @param {Uint8Array} [options.keys] what `keys()` gave the last time, instead of the passphrase
   * @param {number} [options.shortestInterval] milliseconds
   * @param {number} [options.longestInterval] milliseconds
   * @param {string | URL} [options.worker] a module script that calls `serveSync`, in which sync runs for all tabs
   * @param {string} [options.version] of the application, with a worker: tabs of two versions do not share one
   */
  static async start(storage, options) {
    const backend = backendOf(storage);
    const database = await backend.database();
    return new Sync(backend, await database.start_sync(given(options)));
  }

  /** Where it runs for this tab: 'shared-worker', 'worker' (one of this tab's own), or 'tab'. */
  get place() {
    return this.#handle.place();
  }

  get status() {
    return readStatus(this.#handle.status());
  }

  /** Calls back with the status, now and whenever it changes. @returns {() => void} ends it */
  subscribe(callback) {
    return ended(this.#handle.on_status(text => callback(readStatus(text))));
  }

  /** Calls back with what has happened. @returns {() => void} ends it */
  onEvent(callback) {
    return ended(this.#handle.on_event(text => callback(JSON.parse(text))));
  }

  /** Makes an exchange now. */
  async syncNow() {
    return JSON.parse(await this.#handle.sync_now());
  }

  pause() {
    return this.#handle.pause();
  }

  resume() {
    return this.#handle.resume();
  }

  /** Ends the use of it by this tab. With the last tab it ends, after the exchange that is running. */
  async stop() {
    await this.#handle.stop();
    this.#letGo();
  }

  /** After the phase "needs-login": `token` is asked again. */
  loggedIn() {
    this.#handle.logged_in();
  }

  /** How many transactions are still to be sent. */
  unsent() {
    return this.#handle.unsent();
  }

  deviceId() {
    return this.#handle.device_id();
  }

  /**
   * The keys that the log is encrypted with, to start without a passphrase the next time: a secret. Undefined without encryption. Where
   * sync runs in a worker, the keys are there.
   */
  keys() {
    return this.#handle.keys();
  }

  /** Takes up keys that a new passphrase opens. */
  unlock(passphrase) {
    return this.#handle.unlock(passphrase);
  }

  /** What was lost when two devices had written at once, the newest first. */
  async conflicts({ limit = 100 } = {}) {
    const database = await this.#backend.database();
    return JSON.parse(await database.conflicts(limit)).map(conflict => this.#seen(conflict));
  }

  /** Puts back what was lost. */
  async undo({ id }) {
    await (await this.#backend.database()).undo_conflict(id);
  }

  /** What has won is right. */
  async forget({ id }) {
    await (await this.#backend.database()).forget_conflict(id);
  }

  /** What others have written and could not be applied yet. */
  async parked() {
    return JSON.parse(await (await this.#backend.database()).parked());
  }

  retryParked() {
    return this.#handle.retry_parked();
  }

  discardParked({ write }) {
    return this.#handle.discard_parked(write);
  }

  /** What was written here and the server refuses for good. */
  async rejected() {
    return JSON.parse(await (await this.#backend.database()).rejected());
  }

  retryRejected({ write }) {
    return this.#handle.retry_rejected(write);
  }

  discardRejected({ write }) {
    return this.#handle.discard_rejected(write);
  }

  #seen({ pk, won, lost, at, ...others }) {
    const shape = this.#backend.shape(others.collection);
    const object = fields => revive(new Map(), { ...shape, children: new Map(), parents: new Map() }, fields);
    const side = it => ({ ...it, at: new Date(it.at), fields: object(it.fields) });
    return { ...others, at: new Date(at), pk: keySeen(shape, object(pk)), won: side(won), lost: side(lost) };
  }
}

/**
 * In the script of a worker: serves the tabs that have named it to `Sync.start`. Sync is started with the first of them, and ends with the
 * last.
 *
 * @param {StorageManager | StorexBackend} storage with the same definitions as in the tabs. It need not be open: sync opens the database itself
 * @param {object | (() => Promise<object>)} options those of `Sync.start`, or what gives them, which is asked whenever sync is started
 */
export async function serveSync(storage, options) {
  const rust = await load((storage?.backend ?? storage)?.wasm);
  // What is wrong with either is told to the tabs, which run sync themselves then.
  rust.serve_sync(async () => {
    const { args: [name, schema, strict] } = await backendOf(storage).opening();
    // `onLost` is the page's.
    return { ...given(typeof options === 'function' ? await options() : options), name, schema, strict, lost() {} };
  });
}

/**
 * Shows a code, waits for the device on which it is typed, and brings the contents of each to the other.
 *
 * @param {object} options
 * @param {(code: string) => void} options.onCode
 * @param {(event: object) => void} [options.onEvent] how far it has come
 */
export async function offerInitialSync(storage, { server, token, onCode, onEvent = () => {} }) {
  const database = await backendOf(storage).database();
  const told = text => onEvent(JSON.parse(text));
  return JSON.parse(await database.offer_initial_sync(addressOf(server), tokens(token), onCode, told));
}

/** The other side: `code` is what the first device shows. */
export async function joinInitialSync(storage, { server, token, code, onEvent = () => {} }) {
  const database = await backendOf(storage).database();
  const told = text => onEvent(JSON.parse(text));
  return JSON.parse(await database.join_initial_sync(addressOf(server), tokens(token), code, told));
}

/** What Rust starts sync with (`src/engine.rs`). */
function given({ server, token, keys, worker, version, shortestInterval = 15_000, longestInterval = 120_000, ...options } = {}) {
  return {
    options: JSON.stringify({ server: addressOf(server), shortestInterval, longestInterval, ...options }),
    token: tokens(token),
    keys,
    // What is relative is so to the page as it is now, wherever the application goes from there.
    worker: isSaid(worker) ? String(new URL(worker, globalThis.document?.baseURI)) : undefined,
    version: isSaid(version) ? String(version) : undefined,
  };
}

function isSaid(value) {
  return value !== undefined && value !== null;
}

function backendOf(storage) {
  const backend = storage?.backend ?? storage;
  if (typeof backend?.database !== 'function') throw invalid('sync needs a StorexBackend, or a storage manager with one');
  if (!backend.isLogged) throw invalid('nothing was logged that sync could send: make the backend with `sync: true`');
  return backend;
}

function addressOf(server) {
  if (typeof server !== 'string') throw invalid('sync needs the address of a `server`');
  return server;
}

/** A token that does not change is one that cannot be renewed. */
function tokens(token) {
  if (typeof token === 'function') return token;
  if (typeof token !== 'string') throw invalid('sync needs a `token`: a text, or an async function that gives one');
  return rejected => {
    if (rejected !== null) throw invalid('the server does not accept the token');
    return token;
  };
}

function readStatus(text) {
  const status = JSON.parse(text);
  for (const name of MOMENTS) status[name] = status[name] === null ? null : new Date(status[name]);
  return status;
}
