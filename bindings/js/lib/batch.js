// The steps of `executeBatch`.

import { invalid, unsupported } from './errors.js';
import { isPlain } from './values.js';
import { storedChanges, storedFilter, storedObject } from './writes.js';

export async function storedBatch(shapes, shapeOf, batch) {
  if (!Array.isArray(batch)) throw invalid('a batch is a list of steps');
  return Promise.all(batch.map(step => storedStep(shapes, shapeOf, step)));
}

async function storedStep(shapes, shapeOf, { operation, collection, args, where, updates, placeholder, replace = [] }) {
  switch (operation) {
    case 'createObject': {
      const created = isPlain(args) ? { ...args } : args;
      // Not a value of the application: Rust puts the key of the earlier object in its place.
      for (const { path } of replace) delete created[path];
      const stored = await storedObject(shapes, shapeOf(collection), created);
      for (const { path, placeholder } of replace) stored[path] = { $placeholder: placeholder };
      return { operation, collection, placeholder, args: stored };
    }
    case 'updateObjects': {
      const shape = shapeOf(collection);
      const filter = await storedFilter(shapes, shape, where);
      return { operation, collection, where: filter, updates: await storedChanges(shape, updates) };
    }
    case 'deleteObjects':
      return { operation, collection, where: await storedFilter(shapes, shapeOf(collection), where) };
    default:
      throw unsupported(`the operation \`${operation}\` in a batch; there are createObject, updateObjects and deleteObjects`);
  }
}
