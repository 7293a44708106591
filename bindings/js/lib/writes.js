// Objects, filters and changes of an application, as Rust reads them.

import { invalid } from './errors.js';
import { fieldOf, isPlain, storedJson, storedValue } from './values.js';

/** An object to create, with its nested children. */
export async function storedObject(shapes, shape, object) {
  if (!isPlain(object)) throw invalid(`collection \`${shape.name}\`: what is created must be a plain object`);
  const entries = [];
  for (const [name, value] of Object.entries(object)) {
    const children = shape.children.get(name);
    if (value === undefined) continue;
    if (children) {
      const of = shapes.get(children.collection);
      const nested = Array.isArray(value)
        ? await Promise.all(value.map(child => storedObject(shapes, of, child)))
        : await storedObject(shapes, of, value);
      entries.push([name, nested]);
      continue;
    }
    const field = fieldOf(shape, name);
    if (!field.custom) entries.push([name, await storedValue(shape, field, value)]);
  }
  // Those are asked also where the object does not have the field.
  for (const field of shape.fields.values()) {
    if (!field.custom) continue;
    const prepared = await field.custom.prepareForStorage(object[field.name]);
    if (prepared !== undefined) entries.push([field.name, await storedValue(shape, { ...field, custom: undefined }, prepared)]);
  }
  return Object.fromEntries(entries);
}

/** A filter. An operator that is not known is passed on: Rust refuses it, and never takes it for "all objects". */
export async function storedFilter(shapes, shape, where) {
  if (!isPlain(where)) {
    throw invalid(`collection \`${shape.name}\`: a filter is a plain object; {} matches all objects`);
  }
  const entries = Object.entries(where).map(async ([name, condition]) => {
    if (['$and', '$or', '$nor'].includes(name) && Array.isArray(condition)) {
      return [name, await Promise.all(condition.map(it => storedFilter(shapes, shape, it)))];
    }
    if (name === '$not') return [name, await storedFilter(shapes, shape, condition)];
    if (name.startsWith('$')) return [name, null];
    const related = shape.parents.get(name) ?? shape.children.get(name)?.collection;
    if (related && isPlain(condition) && '$related' in condition) {
      return [name, { $related: await storedFilter(shapes, shapes.get(related), condition.$related) }];
    }
    return [name, await storedCondition(shape, fieldOf(shape, name), condition)];
  });
  return Object.fromEntries(await Promise.all(entries));
}

async function storedCondition(shape, field, condition) {
  if (isPlain(condition) && Object.keys(condition).some(key => key.startsWith('$'))) {
    const operators = Object.entries(condition).map(async ([operator, operand]) =>
      [operator, await storedOperand(shape, field, operator, operand)]);
    return Object.fromEntries(await Promise.all(operators));
  }
  // storex's way to look for words.
  if (Array.isArray(condition) && field.type === 'text') return { $search: condition.join(' ') };
  // Which Rust refuses with a hint, in any field but those that hold arrays.
  if (Array.isArray(condition) && field.type !== 'json') return condition.map(() => null);
  return storedValue(shape, field, condition);
}

async function storedOperand(shape, field, operator, operand) {
  switch (operator) {
    case '$eq':
    case '$ne':
    case '$lt':
    case '$lte':
    case '$gt':
    case '$gte':
      return storedValue(shape, field, operand);
    case '$in':
    case '$nin':
      if (!Array.isArray(operand)) return null; // refused as no list
      return Promise.all(operand.map(value => storedValue(shape, field, value)));
    case '$not':
      return storedCondition(shape, field, operand);
    default:
      return storedJson(shape, field, operand);
  }
}

/** Changes: `{ field: value }`, `{ field: { $inc: 1 } }`, `{ $inc: { field: 1 } }`. */
export async function storedChanges(shape, updates) {
  if (!isPlain(updates)) throw invalid(`collection \`${shape.name}\`: updates are a plain object`);
  const given = Object.entries(updates).filter(([, change]) => change !== undefined);
  const entries = given.map(async ([name, change]) => {
    if (name.startsWith('$')) {
      if (!isPlain(change)) return [name, null]; // refused
      const fields = Object.entries(change).map(async ([field, operand]) =>
        [field, await storedChange(shape, fieldOf(shape, field), name, operand)]);
      return [name, Object.fromEntries(await Promise.all(fields))];
    }
    const field = fieldOf(shape, name);
    const [operator, ...others] = isPlain(change) ? Object.keys(change) : [];
    if (operator?.startsWith('$') && others.length === 0) {
      return [name, { [operator]: await storedChange(shape, field, operator, change[operator]) }];
    }
    return [name, await storedValue(shape, field, change)];
  });
  return Object.fromEntries(await Promise.all(entries));
}

async function storedChange(shape, field, operator, operand) {
  if (['$set', '$min', '$max'].includes(operator)) return storedValue(shape, field, operand);
  if (operator === '$unset') return true;
  if (typeof operand === 'bigint') return operand; // of `$inc`
  return storedJson(shape, field, operand);
}
