// Values of JavaScript to JSON and back, by the types of the fields (`storex-core/src/json.rs` is the other side). Nothing is guessed:
// what would come back as something else is refused.

import { invalid } from './errors.js';

export function isPlain(value) {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** A refusal that says where. */
function wrong(shape, field, why) {
  return invalid(`collection \`${shape.name}\`, field \`${field.name}\`: ${why}`);
}

/** The field of a collection, which must be there. */
export function fieldOf(shape, name) {
  const field = shape.fields.get(name);
  if (!field) throw invalid(`collection \`${shape.name}\` has no field \`${name}\``);
  return field;
}

/** A value as the field stores it; what the field's own type makes of it, if it has one. */
export async function storedValue(shape, field, value) {
  const prepared = field.custom ? await field.custom.prepareForStorage(value) : value;
  return stored(shape, field, prepared instanceof Blob ? await prepared.arrayBuffer() : prepared);
}

function stored(shape, field, value) {
  if (value === null) return null;
  if (value === undefined) throw wrong(shape, field, 'the value is undefined; to say that there is none, give null');
  switch (field.type) {
    case 'json':
      return storedJson(shape, field, value);
    case 'blob':
    case 'binary':
    case 'media':
      return base64(bytesOf(value) ?? refuse(shape, field, value, 'bytes'));
    case 'datetime':
    case 'timestamp':
      if (value instanceof Date) return stored(shape, { ...field, type: 'int' }, value.getTime());
  }
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'bigint':
      return value;
    case 'number':
      if (Number.isFinite(value)) return value;
      if (field.type === 'float' && !Number.isNaN(value)) return String(value);
      throw wrong(shape, field, `${value} cannot be stored`);
  }
  return refuse(shape, field, value, `a value of type ${field.type}`);
}

function refuse(shape, field, value, wanted) {
  const given = typeof value === 'object' ? value.constructor?.name ?? 'object' : typeof value;
  throw wrong(shape, field, `takes ${wanted}, and no ${given}`);
}

/** What JSON gives back as it was. */
export function storedJson(shape, field, value) {
  const inside = value => storedJson(shape, field, value);
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (Array.isArray(value)) return value.map(inside);
  if (isPlain(value)) {
    // As everywhere in JavaScript, a property that is undefined is one that is not there.
    const properties = Object.entries(value).filter(([, it]) => it !== undefined);
    return Object.fromEntries(properties.map(([name, it]) => [name, inside(it)]));
  }
  return refuse(shape, field, value ?? String(value), 'what JSON can say');
}

function bytesOf(value) {
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return undefined;
}

/** More arguments than this are too many for a call. */
const PORTION = 0x8000;

function base64(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length; at += PORTION) {
    text += String.fromCharCode(...bytes.subarray(at, at + PORTION));
  }
  return btoa(text);
}

/** Rust writes sixteen bytes that point to a key as a UUID, which no base64 looks like. */
function bytes(text) {
  if (text.includes('-')) return Uint8Array.from(text.match(/[0-9a-f]{2}/g), pair => parseInt(pair, 16));
  return Uint8Array.from(atob(text), character => character.charCodeAt(0));
}

/** As JSON text, in which an integer may have more digits than a number of JavaScript is exact in. */
export function jsonText(value) {
  try {
    return JSON.stringify(value);
  } catch (why) {
    if (!(why instanceof TypeError)) throw why;
    return slowText(value); // there is a BigInt in it
  }
}

function slowText(value) {
  if (typeof value === 'bigint') return String(value);
  if (Array.isArray(value)) return `[${value.map(slowText).join()}]`;
  if (!isPlain(value)) return JSON.stringify(value);
  const members = Object.entries(value).filter(([, it]) => it !== undefined); // as JSON.stringify leaves them out
  return `{${members.map(([name, it]) => `${JSON.stringify(name)}:${slowText(it)}`).join()}}`;
}

/** What becomes of a value that is not null on its way out, by the type of its field. */
const OUT = {
  // Outside of the years that RFC 3339 can write it is the number of milliseconds.
  datetime: value => new Date(value),
  blob: value => new Blob([bytes(value)]),
  binary: bytes,
  media: bytes,
  // Both are texts only where there is no number for them.
  int: value => (typeof value === 'string' ? BigInt(value) : value),
  float: value => (typeof value === 'string' ? Number(value) : value),
};
OUT.timestamp = OUT['auto-int'] = OUT.int;

/** Makes what applications see of an object, and of what is nested in it, that has just been read from JSON. */
export function revive(shapes, shape, object) {
  if (object === null) return object;
  shape.out ??= [...shape.fields.values()].filter(field => OUT[field.type]).map(field => [field.name, OUT[field.type]]);
  for (const [name, out] of shape.out) {
    const value = object[name];
    // In place of a parent's key there may be the parent.
    if (value !== null && value !== undefined && typeof value !== 'object') object[name] = out(value);
  }
  for (const [name, { collection }] of shape.children) {
    for (const child of [object[name] ?? []].flat()) revive(shapes, shapes.get(collection), child);
  }
  for (const [name, collection] of shape.parents) {
    if (isPlain(object[name])) revive(shapes, shapes.get(collection), object[name]);
  }
  return object;
}

/** Has the field types of the application show what they have stored. */
export async function present(shape, objects) {
  const custom = [...shape.fields.values()].filter(field => field.custom);
  for (const object of custom.length > 0 ? objects : []) {
    for (const field of custom) {
      if (field.name in object) object[field.name] = await field.custom.prepareFromStorage(object[field.name]);
    }
  }
  return objects;
}
