// What is in a database, without storex.

/**
 * Each store of the application with its indices, as digests of all objects, keys and entries; and how many objects
 * storex's own stores have.
 */
export async function contents(name) {
  const db = await asked(indexedDB.open(name));
  const stores = {};
  const counts = {};
  for (const store of db.objectStoreNames) {
    const objects = db.transaction(store).objectStore(store);
    if (store.startsWith('_storex_')) {
      counts[store] = await asked(objects.count());
      continue;
    }
    const { keyPath } = objects;
    const names = [...objects.indexNames];
    // All are asked before the first is awaited: a transaction without a request ends.
    const all = [objects.getAll(), objects.getAllKeys(), ...names.map(name => objects.index(name).getAllKeys())];
    const [values, keys, ...entries] = await Promise.all(all.map(asked));
    const indices = {};
    for (const [at, name] of names.entries()) indices[name] = await digest(entries[at]);
    stores[store] = { keyPath, count: keys.length, objects: await digest([keys, values]), indices };
  }
  db.close();
  return { stores, counts };
}

/** Deletes a database, if it is there. */
export function removeDatabase(name) {
  return asked(indexedDB.deleteDatabase(name)).then(() => null);
}

async function digest(value) {
  const plain = (_, it) => it instanceof ArrayBuffer ? [...new Uint8Array(it)] : it;
  const bytes = new TextEncoder().encode(JSON.stringify(value, plain));
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(hash, byte => byte.toString(16).padStart(2, '0')).join('');
}

function asked(request) {
  return new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
}
