// The options of finds, as storex has them.

import { invalid, unsupported } from './errors.js';
import { isPlain } from './values.js';

/** Those that Rust takes, and the filter with what the others say. */
export function findOptions(shape, where, options = {}) {
  const { database, ignoreCase, reverse, order, ...others } = options ?? {};
  if (database !== undefined) throw unsupported('the option `database`: make a backend for each database');
  const given = Object.fromEntries(Object.entries(others).filter(([, value]) => value !== undefined));
  if (order || reverse) given.order = ordered(shape, order, reverse);
  return { where: caseless(shape, where ?? {}, ignoreCase ?? []), options: given };
}

/** Writes take none: whoever gives one relies on something that does not happen. */
export function noOptions(operation, options) {
  const [name] = Object.entries(options ?? {}).find(([, value]) => value !== undefined) ?? [];
  if (name !== undefined) throw unsupported(`the option \`${name}\` of \`${operation}\``);
}

/** `reverse` turns the order round; without one that is the order of the keys. */
function ordered(shape, order, reverse) {
  const given = order ?? shape.key.map(name => [name, 'asc']);
  if (!reverse) return given;
  return given.map(entry => {
    const [name, direction] = [entry].flat();
    return [name, direction === 'desc' ? 'asc' : 'desc'];
  });
}

/** The fields of `ignoreCase` are compared without regard to case. */
function caseless(shape, where, fields) {
  if (fields.length === 0) return where;
  const changed = { ...where };
  for (const name of fields) {
    const condition = isPlain(where[name]) && '$eq' in where[name] ? where[name].$eq : where[name];
    if (typeof condition !== 'string') {
      throw invalid(`collection \`${shape.name}\`: \`ignoreCase\` of field \`${name}\` needs a text to compare with`);
    }
    changed[name] = { $equalsIgnoreCase: condition };
  }
  return changed;
}
