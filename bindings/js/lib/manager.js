// The storage manager: a registry, a backend, and the middleware between them.

import { StorageRegistry } from './registry.js';

/** What `collection(name)` has, and the operations that it stands for. */
const COLLECTION_OPERATIONS = {
  createObject: 'createObject',
  rawCreateObjects: 'rawCreateObjects',
  findObject: 'findObject',
  findOneObject: 'findObject',
  findObjects: 'findObjects',
  findAllObjects: 'findObjects',
  countObjects: 'countObjects',
  updateObject: 'updateObject',
  updateOneObject: 'updateObject',
  updateObjects: 'updateObjects',
  updateAllObjects: 'updateObjects',
  deleteObject: 'deleteObject',
  deleteOneObject: 'deleteObject',
  deleteObjects: 'deleteObjects',
  deleteAllObjects: 'deleteObjects',
};

export class StorageManager {
  #middleware = [];

  constructor({ backend, fieldTypes }) {
    this.registry = new StorageRegistry({ fieldTypes });
    this.backend = backend;
    this.backend.configure({ registry: this.registry });
  }

  /** The first one is the outermost: it sees an operation first, and its result last. */
  setMiddleware(middleware) {
    this.#middleware = [...middleware];
  }

  /** Opens the database, and brings it to the registered definitions. */
  async finishInitialization() {
    await this.registry.finishInitialization();
  }

  collection(name) {
    const operations = Object.entries(COLLECTION_OPERATIONS).map(([alias, operation]) =>
      [alias, (...args) => this.operation(operation, name, ...args)]);
    return Object.fromEntries(operations);
  }

  /** Sends an operation through the middleware to the backend. */
  async operation(name, ...args) {
    const middleware = this.#middleware;
    let known = {};
    const from = n => ({
      process: async ({ operation, extraData }) => {
        known = { ...known, ...extraData };
        if (n === middleware.length) return this.backend.operation(...operation);
        return middleware[n].process({ operation, extraData: known, next: from(n + 1) });
      },
    });
    return from(0).process({ operation: [name, ...args] });
  }

  /** As {@link StorexBackend.liveQuery}. */
  liveQuery(...args) {
    return this.backend.liveQuery(...args);
  }

  /** As {@link StorexBackend.onChanges}. */
  onChanges(callback) {
    return this.backend.onChanges(callback);
  }
}
