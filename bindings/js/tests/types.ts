// Compiled, and not run: what TypeScript accepts of an application, and what it refuses.

import StorageManager, { Field, FieldTypeRegistry, StorexBackend, Sync, joinInitialSync, offerInitialSync, serveSync } from 'storex-js';
import type { BatchStep, Conflict, StorageMiddleware, StorexError, SyncStatus } from 'storex-js';

interface Note {
  id: string;
  title: string;
  at: Date;
}

class Upper extends Field {
  async prepareForStorage(value: string) {
    return value.toUpperCase();
  }
}

export async function application(): Promise<void> {
  const backend = new StorexBackend({ dbName: 'notes', sync: true });
  const fieldTypes = new FieldTypeRegistry().registerType('upper', Upper);
  const storageManager = new StorageManager({ backend, fieldTypes });
  storageManager.registry.registerCollections({
    note: {
      version: new Date(2026, 10, 30),
      fields: { title: { type: 'string' }, at: { type: 'datetime' }, code: { type: 'upper', optional: true } },
      indices: [{ field: 'at' }],
    },
    comment: {
      version: new Date(2026, 10, 30),
      fields: { text: { type: 'text' } },
      relationships: [{ childOf: 'note', reverseAlias: 'comments' }],
      indices: [{ field: { relationship: 'note' } }],
    },
  });
  const timed: StorageMiddleware = {
    async process({ operation, next }) {
      return next.process({ operation, extraData: { began: Date.now() } });
    },
  };
  storageManager.setMiddleware([timed]);
  await storageManager.finishInitialization();

  const notes = storageManager.collection<Note>('note');
  const { object } = await notes.createObject({ title: 'Milk', at: new Date() });
  const found: Note | null = await notes.findObject({ id: object.id });
  const titles: string[] = (await notes.findObjects({ at: { $lt: new Date() } }, { order: [['at', 'desc']], limit: 3 })).map(it => it.title);
  const changed: number = await notes.updateObjects({ title: 'Milk' }, { title: 'Bread' });
  const batch: BatchStep[] = [
    { operation: 'createObject', collection: 'note', placeholder: 'note', args: { title: 'Eggs', at: new Date() } },
    { operation: 'createObject', collection: 'comment', args: { text: 'six' }, replace: [{ path: 'note', placeholder: 'note' }] },
  ];
  const { info } = await storageManager.operation('executeBatch', batch);
  const stop = await storageManager.liveQuery<Note>('note', {}, { order: [['at', 'asc']] }, objects => objects.map(it => it.title));
  stop();

  const sync = await Sync.start(storageManager, { server: 'https://sync.example', token: async () => 'token' });
  const status: SyncStatus = sync.status;
  const conflicts: Conflict[] = await sync.conflicts();
  await Promise.all(conflicts.filter(it => it.isLoss).map(it => sync.undo(it)));
  await offerInitialSync(storageManager, { server: 'https://sync.example', token: 't', onCode: code => code.toLowerCase() });
  await joinInitialSync(backend, { server: 'https://sync.example', token: 't', code: '4821-7KMD-2XQP' });
  const shared = await Sync.start(storageManager, { worker: new URL('https://app.example/w.js'), version: '1', server: 'https://s.example', token: 't' });
  const place: 'shared-worker' | 'worker' | 'tab' = shared.place;
  await serveSync(storageManager, { server: 'https://sync.example', token: 't' });
  await serveSync(backend, async () => ({ server: 'https://sync.example', token: async rejected => rejected ?? 'first', keys: new Uint8Array(3) }));
  console.log(place, found, titles, changed, info['note']?.object, status.inStep);
}

export function whatWentWrong(error: unknown): string {
  const ours = error as StorexError;
  return ours.retryable ? 'later' : ours.kind;
}

// @ts-expect-error: a version is a date
export const noVersion = (manager: StorageManager) => manager.registry.registerCollection('x', { version: 1, fields: {} });

// @ts-expect-error: a direction is asc or desc
export const noDirection = (manager: StorageManager) => manager.collection('x').findObjects({}, { order: [['a', 'up']] });

// @ts-expect-error: without a filter nothing is deleted
export const noFilter = (manager: StorageManager) => manager.collection('x').deleteObjects();

// @ts-expect-error: a backend needs the name of a database
export const noName = () => new StorexBackend({});

// @ts-expect-error: a worker has no worker
export const noWorker = (backend: StorexBackend) => serveSync(backend, { worker: './other.js', server: 'https://sync.example', token: 't' });
