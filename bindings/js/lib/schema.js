// From storex's definitions to what Rust reads (`src/schema.rs`), and to what is known here of each collection.

import { invalid } from './errors.js';
import { isConnects, namesOf, targetOf } from './relationships.js';

/** Everything that was ever defined, for Rust. */
export function writtenSchema(registry) {
  const written = registry.getSchemaHistory().flatMap(({ version, collections }) =>
    Object.entries(collections).map(([name, definition]) => writtenCollection(name, versionNumber(version), definition)));
  return JSON.stringify(written);
}

/**
 * A date as a number that grows with it: 20181013000000. The same one wherever the device is, although applications write dates of their
 * own time (`new Date(2018, 9, 13)`) as well as of Greenwich (`new Date('2018-10-13')`): at midnight here, it is the date here.
 */
export function versionNumber(date) {
  const isLocal = date.getHours() + date.getMinutes() + date.getSeconds() + date.getMilliseconds() === 0;
  const parts = isLocal
    ? [date.getFullYear(), date.getMonth() + 1, date.getDate(), 0, 0, 0]
    : [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()];
  return parts.reduce((number, part) => number * 100 + part, 0);
}

function writtenCollection(name, version, definition) {
  return {
    name,
    version,
    fields: Object.entries(definition.fields).map(([field, it]) => ({
      name: field,
      type: storedType(definition, field),
      optional: Boolean(it.optional),
    })),
    key: keyOf(definition),
    counted: isCounted(definition),
    indices: (definition.indices ?? [])
      .filter(index => !index.pk)
      .map(index => ({ fields: sources(index.field), unique: Boolean(index.unique) })),
    relations: relationsOf(name, definition),
  };
}

/** What objects of a collection point to, each with its names. */
function relationsOf(name, definition) {
  return (definition.relationships ?? []).map(it => namesOf(name, it)).flatMap(pointers);
}

function pointers(relationship) {
  const optional = Boolean(relationship.optional);
  if (isConnects(relationship)) {
    return relationship.connects.map((target, n) => ({
      kind: 'connects',
      target,
      alias: relationship.aliases[n],
      reverse: relationship.reverseAliases[n],
      column: relationship.fieldNames[n],
      optional,
    }));
  }
  return [{
    kind: relationship.single ? 'singleChildOf' : 'childOf',
    target: targetOf(relationship),
    alias: relationship.alias,
    reverse: relationship.reverseAlias,
    column: relationship.fieldName,
    optional,
  }];
}

/** The names of the fields of an index or a key. */
function sources(field) {
  return [field].flat().map(source => (typeof source === 'string' ? source : source.relationship));
}

function keyOf(definition) {
  return sources(definition.pkIndex ?? 'id');
}

function isCounted(definition) {
  return (definition.indices ?? []).some(index => index.pk && index.autoInc);
}

function storedType(definition, field) {
  const { type, fieldObject } = definition.fields[field];
  if (fieldObject) return fieldObject.primitiveType;
  return type === 'auto-pk' && isCounted(definition) ? 'auto-int' : type;
}

/**
 * What is known of a collection.
 *
 * @typedef {object} Shape
 * @property {string} name
 * @property {string[]} key
 * @property {Map<string, { name: string, type: string, optional: boolean, custom?: object }>} fields those of relationships too, which are of
 *   the type of the parent's key
 * @property {Map<string, string>} parents alias → collection
 * @property {Map<string, { collection: string, single: boolean }>} children reverse alias → whose objects
 */

/** @returns {Map<string, Shape>} */
export function shapesOf(registry) {
  const shapes = new Map();
  for (const [name, definition] of Object.entries(registry.collections)) {
    const fields = new Map();
    for (const [field, it] of Object.entries(definition.fields)) {
      fields.set(field, {
        name: field,
        type: storedType(definition, field),
        optional: Boolean(it.optional),
        custom: it.fieldObject,
      });
    }
    shapes.set(name, { name, key: keyOf(definition), fields, parents: new Map(), children: new Map() });
  }
  for (const [name, definition] of Object.entries(registry.collections)) {
    for (const relation of relationsOf(name, definition)) {
      const [child, parent] = [shapes.get(name), shapes.get(relation.target)];
      if (!parent) throw invalid(`collection \`${name}\` has a relationship to \`${relation.target}\`, which is not there`);
      child.fields.set(relation.alias, { name: relation.alias, type: 'foreign-key', optional: relation.optional });
      child.parents.set(relation.alias, relation.target);
      parent.children.set(relation.reverse, { collection: name, single: relation.kind === 'singleChildOf' });
    }
  }
  for (const { fields, parents } of shapes.values()) {
    for (const [alias, parent] of parents) fields.get(alias).type = pointerType(shapes, shapes.get(parent));
  }
  return shapes;
}

/** What points to an object holds its key, and is of the type of that; the key may point to another object in turn. */
function pointerType(shapes, parent) {
  const passed = new Set();
  let [shape, key] = [parent, parent.key[0]];
  while (shape.parents.has(key) && !passed.has(shape)) {
    passed.add(shape);
    shape = shapes.get(shape.parents.get(key));
    [key] = shape.key;
  }
  const { type } = shape.fields.get(key);
  // Nobody looks for words in a key.
  return type === 'text' ? 'foreign-key' : type;
}
