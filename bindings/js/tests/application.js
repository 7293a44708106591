// The application of the scenarios about sync: one collection. Tabs and workers set it up alike.

import { StorageManager, StorexBackend } from '/js/lib/index.js';

export function application(dbName) {
  const manager = new StorageManager({ backend: new StorexBackend({ dbName, sync: true }) });
  manager.registry.registerCollections({
    note: { version: new Date(2026, 10, 30), fields: { title: { type: 'string' }, at: { type: 'datetime' } } },
  });
  return manager;
}
