// storex for JavaScript.

export { StorageBackendPlugin, StorexBackend } from './backend.js';
export { Field, FieldTypeRegistry } from './fields.js';
export { StorageManager, StorageManager as default } from './manager.js';
export { StorageRegistry } from './registry.js';
export { Sync, joinInitialSync, offerInitialSync, serveSync } from './sync.js';
export { load } from './wasm.js';
