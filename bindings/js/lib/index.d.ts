// storex for JavaScript: what TypeScript knows of it.

/** What our errors are: `error instanceof Error && error.name === 'StorexError'`. */
export interface StorexError extends Error {
  name: 'StorexError';
  kind:
    | 'not-found' | 'conflict' | 'invalid' | 'unsupported' | 'busy' | 'closed' | 'corrupt' | 'read-only' | 'full' | 'io' | 'other';
  /** Whether the same call may succeed later, without any change to it. */
  retryable: boolean;
}

export type PrimitiveFieldType =
  | 'auto-pk' | 'foreign-key' | 'text' | 'json' | 'datetime' | 'timestamp' | 'string' | 'boolean' | 'float' | 'int' | 'blob' | 'binary';
/** Or the name of a type of the application's own; see {@link FieldTypeRegistry}. */
export type FieldType = PrimitiveFieldType | 'random-key' | 'url' | 'media' | (string & {});

export interface CollectionField {
  type: FieldType;
  /** May be left out, and is null then. */
  optional?: boolean;
}

export interface RelationshipReference {
  relationship: string;
}
export type IndexSource = string | RelationshipReference;

export interface IndexDefinition {
  field: IndexSource | IndexSource[];
  /** This is the primary key. */
  pk?: boolean;
  unique?: boolean;
  /** Of a primary key: an integer that is drawn when the object brings none. */
  autoInc?: boolean;
}

interface ChildNames {
  alias?: string;
  fieldName?: string;
  reverseAlias?: string;
  optional?: boolean;
}
export type Relationship =
  | ({ childOf: string } & ChildNames)
  | ({ singleChildOf: string } & ChildNames)
  | { connects: [string, string]; aliases?: [string, string]; fieldNames?: [string, string]; reverseAliases?: [string, string] };

export interface CollectionDefinition {
  version: Date;
  fields: { [name: string]: CollectionField };
  relationships?: Relationship[];
  indices?: IndexDefinition[];
  pkIndex?: IndexSource | IndexSource[];
}

/** What {@link StorageRegistry} makes of a definition. */
export interface RegisteredCollection extends CollectionDefinition {
  name: string;
  relationships: Relationship[];
  indices: IndexDefinition[];
  pkIndex: IndexSource | IndexSource[];
  fieldsWithCustomType: string[];
}

export class StorageRegistry {
  constructor(options?: { fieldTypes?: FieldTypeRegistry });
  readonly collections: { [name: string]: RegisteredCollection };
  readonly fieldTypes: FieldTypeRegistry;
  registerCollection(name: string, definitions: CollectionDefinition | CollectionDefinition[]): void;
  registerCollections(collections: { [name: string]: CollectionDefinition | CollectionDefinition[] }): void;
  getCollectionsByVersion(version: Date): { [name: string]: RegisteredCollection };
  getSchemaHistory(): { version: Date; collections: { [name: string]: RegisteredCollection } }[];
  finishInitialization(): Promise<void>;
  on(event: 'initialized' | 'registered-collection', listener: (...args: any[]) => unknown): this;
  off(event: 'initialized' | 'registered-collection', listener: (...args: any[]) => unknown): this;
}

/** A field type of the application's own. */
export class Field {
  primitiveType: PrimitiveFieldType;
  prepareForStorage(value: any): Promise<any>;
  prepareFromStorage(value: any): Promise<any>;
}
export class FieldTypeRegistry {
  registerType(name: string, type: new () => Field): this;
  registerTypes(types: { [name: string]: new () => Field }): this;
}

/** A filter: `{ field: value }`, `{ field: { $gte: 1 } }`, `{ $or: [..] }`; README.md has the list of operators. */
export type Where = { [field: string]: any };
/** Changes: `{ field: value }`, `{ field: { $inc: 1 } }`. */
export type Updates = { [field: string]: any };

export interface FindSingleOptions {
  fields?: string[];
  /** Fields in which case does not count. */
  ignoreCase?: string[];
  /** The other way round. */
  reverse?: boolean;
  order?: [field: string, direction: 'asc' | 'desc'][];
  /** Relations to follow, `author` or `comments.author`: the related objects are in the result. */
  with?: string[];
}
export interface FindManyOptions extends FindSingleOptions {
  limit?: number;
  skip?: number;
}
export interface CountOptions {
  ignoreCase?: string[];
}
export interface DeleteManyOptions {
  /** If more objects match, none is deleted. */
  limit?: number;
}

export interface StorageCollection<T = any> {
  createObject(object: any): Promise<{ object: T }>;
  rawCreateObjects(objects: any[], options?: { withNestedObjects?: false }): Promise<{ objects: T[] }>;
  findObject<U = T>(where?: Where, options?: FindSingleOptions): Promise<U | null>;
  findOneObject<U = T>(where?: Where, options?: FindSingleOptions): Promise<U | null>;
  findObjects<U = T>(where?: Where, options?: FindManyOptions): Promise<U[]>;
  findAllObjects<U = T>(where?: Where, options?: FindManyOptions): Promise<U[]>;
  countObjects(where?: Where, options?: CountOptions): Promise<number>;
  /** The object with the key of this one. */
  updateObject(object: any, updates: Updates): Promise<number>;
  updateOneObject(object: any, updates: Updates): Promise<number>;
  updateObjects(where: Where, updates: Updates): Promise<number>;
  updateAllObjects(where: Where, updates: Updates): Promise<number>;
  deleteObject(object: any): Promise<number>;
  deleteOneObject(object: any): Promise<number>;
  deleteObjects(where: Where, options?: DeleteManyOptions): Promise<number>;
  deleteAllObjects(where: Where, options?: DeleteManyOptions): Promise<number>;
}

export type BatchStep =
  | {
      operation: 'createObject';
      collection: string;
      args: any;
      placeholder?: string;
      /** Fields that get the key of the object that an earlier step has created. */
      replace?: { path: string; placeholder: string }[];
    }
  | { operation: 'updateObjects'; collection: string; where: Where; updates: Updates }
  | { operation: 'deleteObjects'; collection: string; where: Where };
export interface BatchResult {
  info: { [placeholder: string]: { object: any } };
}

export interface StorageMiddlewareContext {
  /** The name of the operation and its arguments. */
  operation: any[];
  /** What middleware further out has passed on. */
  extraData: { [key: string]: any };
  next: { process(context: { operation: any[]; extraData?: { [key: string]: any } }): Promise<any> };
}
export interface StorageMiddleware {
  process(context: StorageMiddlewareContext): any;
}

export type ChangeEvent =
  | {
      origin: 'local' | 'sync';
      changes: { type: 'create' | 'modify' | 'delete'; collection: string; pks: any[] }[];
    }
  /** Somebody else has written, and nobody knows what. */
  | { origin: 'elsewhere' };

export class StorageManager {
  constructor(options: { backend: StorexBackend; fieldTypes?: FieldTypeRegistry });
  readonly registry: StorageRegistry;
  readonly backend: StorexBackend;
  setMiddleware(middleware: StorageMiddleware[]): void;
  finishInitialization(): Promise<void>;
  collection<T = any>(name: string): StorageCollection<T>;
  operation(name: 'executeBatch', batch: BatchStep[]): Promise<BatchResult>;
  operation(name: string, ...args: any[]): Promise<any>;
  liveQuery: StorexBackend['liveQuery'];
  onChanges: StorexBackend['onChanges'];
}
export default StorageManager;

export interface StorexBackendOptions {
  /** The name of the database. */
  dbName: string;
  /** Whether what is written is logged, so that it can be sent to other devices. Without this it is not. */
  sync?: boolean;
  /** Whether a write is on the disk when it is acknowledged ("strict"), or soon ("relaxed", without this). */
  durability?: 'relaxed' | 'strict';
  /** Called when the browser takes the database away. */
  onLost?: (why: 'upgraded' | 'deleted' | 'closed-by-browser') => void;
  /** Where the module of Rust is, if not beside this package. */
  wasm?: ModuleSource;
}
export type ModuleSource = string | URL | Request | Response | BufferSource | WebAssembly.Module;

export class StorexBackend {
  constructor(options: StorexBackendOptions);
  readonly type: 'storex';
  readonly dbName: string;
  readonly features: { [feature: string]: boolean };
  customFeatures: { [feature: string]: true };
  readonly pluggableOperations: Set<string>;
  configure(options: { registry: any }): void;
  createObject(collection: string, object: any): Promise<{ object: any }>;
  rawCreateObjects(collection: string, objects: any[], options?: { withNestedObjects?: false }): Promise<{ objects: any[] }>;
  findObject<T = any>(collection: string, where?: Where, options?: FindSingleOptions): Promise<T | null>;
  findObjects<T = any>(collection: string, where?: Where, options?: FindManyOptions): Promise<T[]>;
  countObjects(collection: string, where?: Where, options?: CountOptions): Promise<number>;
  updateObject(collection: string, object: any, updates: Updates): Promise<number>;
  updateObjects(collection: string, where: Where, updates: Updates): Promise<number>;
  deleteObject(collection: string, object: any): Promise<number>;
  deleteObjects(collection: string, where: Where, options?: DeleteManyOptions): Promise<number>;
  executeBatch(batch: BatchStep[]): Promise<BatchResult>;
  streamObjects<T = any>(collection: string): AsyncGenerator<T, void>;
  /** Calls back with the objects that match, now and whenever they have changed, here or in another tab. What it gives ends it. */
  liveQuery<T = any>(
    collection: string,
    where: Where,
    options: FindManyOptions | undefined,
    callback: (objects: T[]) => void,
    onError?: (error: unknown) => void,
  ): Promise<() => void>;
  /** Calls back after each commit, here or in another tab. What it gives ends it. */
  onChanges(callback: (event: ChangeEvent) => void): Promise<() => void>;
  migrate(options?: unknown): Promise<void>;
  /** Closes the database, for good: calls fail from then on, with the kind "closed". */
  cleanup(): Promise<void>;
  /** Closes the database and deletes it, with everything in it. */
  dropDatabase(): Promise<void>;
  use(plugin: { install(backend: any): void }): void;
  supports(feature: string): boolean;
  operation(name: string, ...args: any[]): Promise<any>;
  registerOperation(identifier: string, operation: (...args: any[]) => Promise<any>): void;
}

export class StorageBackendPlugin<Backend = StorexBackend> {
  backend: Backend;
  install(backend: Backend): void;
}

/** A token that does not change, or an async function from the one that the server did not accept, or null, to another one. */
export type TokenSource = string | ((rejected: string | null) => Promise<string> | string);

export interface SyncOptions {
  /** Its address. */
  server: string;
  token: TokenSource;
  /** What people call this device. */
  deviceName?: string;
  /** End-to-end encryption: all devices need the same one. */
  passphrase?: string;
  /** What {@link Sync.keys} gave the last time, instead of the passphrase. */
  keys?: Uint8Array;
  /** Milliseconds between two exchanges that nothing but the timer makes, after one that carried something; without this 15,000. */
  shortestInterval?: number;
  /** The most that this grows to while nothing happens; without this 120,000. */
  longestInterval?: number;
}

/** Where it runs, beside what it runs with. */
export interface SyncStartOptions extends SyncOptions {
  /**
   * The address of a module script that calls {@link serveSync}, absolute or relative to the page: sync runs in it, for all tabs. Without one,
   * and where there is none, in the tab.
   */
  worker?: string | URL | null;
  /** Of the application: tabs of two versions never share a worker. Change it whenever the worker's program changes. */
  version?: string | number | null;
}

export interface SyncStatus {
  phase:
    | 'waiting' | 'sending' | 'receiving' | 'offline' | 'paused' | 'needs-login' | 'backing-off' | 'standing-by' | 'stopped'
    | 'disconnected';
  /** Whether everything that was written here is on the server, and everything that is there is here, as far as is known. */
  inStep: boolean;
  rounds: number;
  /** In a row. */
  failures: number;
  /** Transactions; as of the last look. */
  unsent: number;
  parked: number;
  rejected: number;
  missing: number;
  lastSuccess: Date | null;
  lastError: string | null;
  lastErrorAt: Date | null;
  nextAttempt: Date | null;
  progress: { sent: number; toSend: number; received: number } | null;
}

export interface SyncReport {
  /** Transactions. */
  sent: number;
  received: number;
  conflicts: number;
  rejected: number;
}

export type SyncEvent =
  | { type: 'exchanged'; report: SyncReport }
  | { type: 'failed'; message: string; retryable: boolean; attempts: number }
  | { type: 'compacted' }
  | { type: 'other' };

export interface ConflictSide {
  at: Date;
  device: string;
  deleted: boolean;
  fields: { [field: string]: any };
}
export interface Conflict {
  id: number;
  /** When it was noted here. */
  at: Date;
  collection: string;
  pk: any;
  /** Null: one side has deleted the object. */
  field: string | null;
  incomingWon: boolean;
  /** Whether something is gone that somebody may want back. */
  isLoss: boolean;
  won: ConflictSide;
  lost: ConflictSide;
}

export class Sync {
  private constructor();
  /**
   * The backend must have been made with `sync: true`. With a passphrase and no keys it needs the server: it rejects, `retryable`, where there
   * is no connection.
   */
  static start(storage: StorageManager | StorexBackend | { backend: any }, options: SyncStartOptions): Promise<Sync>;
  /** Where it runs for this tab, or ran last. "worker" is one of this tab's own, where the browser has no shared ones. */
  readonly place: 'shared-worker' | 'worker' | 'tab';
  readonly status: SyncStatus;
  /** Calls back with the status, now and whenever it changes. What it gives ends it. */
  subscribe(callback: (status: SyncStatus) => void): () => void;
  onEvent(callback: (event: SyncEvent) => void): () => void;
  syncNow(): Promise<SyncReport>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Ends the use of it by this tab. With the last tab it ends, after the exchange that is running. */
  stop(): Promise<void>;
  /** After the phase "needs-login": `token` is asked again. */
  loggedIn(): void;
  unsent(): Promise<number>;
  deviceId(): Promise<string>;
  /** A secret; undefined without encryption. Where sync runs in a worker the keys are there, and this and `unlock` fail as "unsupported". */
  keys(): Uint8Array | undefined;
  unlock(passphrase: string): Promise<void>;
  conflicts(options?: { limit?: number }): Promise<Conflict[]>;
  /** Puts back what was lost. */
  undo(conflict: { id: number }): Promise<void>;
  /** What has won is right. */
  forget(conflict: { id: number }): Promise<void>;
  parked(): Promise<{ write: string; reason: string; waitsFor: 'update' | 'change' | 'time' | 'initial-sync' }[]>;
  retryParked(): Promise<void>;
  discardParked(parked: { write: string }): Promise<void>;
  rejected(): Promise<{ write: string; reason: string }[]>;
  retryRejected(rejected: { write: string }): Promise<void>;
  discardRejected(rejected: { write: string }): Promise<void>;
}

/**
 * In the script of a worker: serves the tabs that have named it to {@link Sync.start}. `storage` has the same definitions and field types
 * as in the tabs, and need not be open. An async function that gives the options is asked whenever sync is started.
 */
export function serveSync(
  storage: StorageManager | StorexBackend | { backend: any },
  options: SyncOptions | (() => SyncOptions | Promise<SyncOptions>),
): Promise<void>;

export type InitialSyncEvent =
  | { type: 'prepared'; role: 'sender' | 'receiver'; objects: number; collections: number }
  | { type: 'progress'; role: 'sender' | 'receiver'; collection: string | null; done: number; total: number }
  | { type: 'roleSwitch'; before: 'sender' | 'receiver'; after: 'sender' | 'receiver' }
  | { type: 'stalled' }
  | { type: 'finished' };
export interface InitialSyncReport {
  /** Objects. */
  sent: number;
  received: number;
  /** Those that were newer here and stayed. */
  kept: number;
  parked: number;
}

/** Shows a code, waits for the device on which it is typed, and brings the contents of each to the other. */
export function offerInitialSync(
  storage: StorageManager | StorexBackend | { backend: any },
  options: { server: string; token: TokenSource; onCode: (code: string) => void; onEvent?: (event: InitialSyncEvent) => void },
): Promise<InitialSyncReport>;
/** The other side: `code` is what the first device shows. */
export function joinInitialSync(
  storage: StorageManager | StorexBackend | { backend: any },
  options: { server: string; token: TokenSource; code: string; onEvent?: (event: InitialSyncEvent) => void },
): Promise<InitialSyncReport>;

/** Loads the module of Rust ahead of need. */
export function load(source?: ModuleSource): Promise<unknown>;
