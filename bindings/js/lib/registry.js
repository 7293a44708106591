// The registry: definitions of collections, as an application writes them down.

import { invalid } from './errors.js';
import { FieldTypeRegistry } from './fields.js';
import { aliasesOf, isConnects, namesOf, targetOf } from './relationships.js';

export class StorageRegistry {
  /** The newest definition of each collection. */
  collections = {};
  #definitions = new Map(); // name → definitions, oldest first
  #listeners = new Map(); // event → functions

  constructor({ fieldTypes } = {}) {
    this.fieldTypes = fieldTypes ?? new FieldTypeRegistry();
  }

  on(event, listener) {
    this.#listeners.set(event, [...this.listeners(event), listener]);
    return this;
  }

  off(event, listener) {
    this.#listeners.set(event, this.listeners(event).filter(other => other !== listener));
    return this;
  }

  listeners(event) {
    return this.#listeners.get(event) ?? [];
  }

  registerCollections(collections) {
    for (const [name, definitions] of Object.entries(collections)) this.registerCollection(name, definitions);
  }

  /** One definition, or several of different versions. The objects that are given are not changed. */
  registerCollection(name, definitions) {
    const added = [definitions].flat().map(definition => this.#prepare(name, definition));
    const all = [...(this.#definitions.get(name) ?? []), ...added].sort((a, b) => a.version - b.version);
    this.#definitions.set(name, all);
    this.collections[name] = all.at(-1);
    for (const listener of this.listeners('registered-collection')) listener({ collection: this.collections[name] });
  }

  /** Checks what relations point to, and has everybody who waits for it open what they open. */
  async finishInitialization() {
    for (const collection of Object.values(this.collections)) {
      for (const relationship of collection.relationships) {
        for (const target of isConnects(relationship) ? relationship.connects : [targetOf(relationship)]) {
          if (!this.collections[target]) {
            throw invalid(`collection \`${collection.name}\` has a relationship to \`${target}\`, which is not there`);
          }
        }
      }
    }
    await Promise.all(this.listeners('initialized').map(listener => listener()));
  }

  /** Per collection the newest definition that is not younger than this. */
  getCollectionsByVersion(version) {
    const current = {};
    for (const [name, definitions] of this.#definitions) {
      const found = definitions.findLast(definition => definition.version <= version);
      if (found) current[name] = found;
    }
    return current;
  }

  /** What each version has changed, oldest first. */
  getSchemaHistory() {
    const versions = new Map();
    for (const [name, definitions] of this.#definitions) {
      for (const definition of definitions) {
        const time = definition.version.getTime();
        if (!versions.has(time)) versions.set(time, { version: definition.version, collections: {} });
        versions.get(time).collections[name] = definition;
      }
    }
    return [...versions.values()].sort((a, b) => a.version - b.version);
  }

  #prepare(name, given) {
    if (!(given?.version instanceof Date) || Number.isNaN(given.version.getTime())) {
      throw invalid(`collection \`${name}\`: its version must be a Date`);
    }
    const definition = {
      ...given,
      name,
      fields: Object.fromEntries(Object.entries(given.fields ?? {}).map(([field, it]) => [field, { ...it }])),
      relationships: (given.relationships ?? []).map(relationship => namesOf(name, relationship)),
      indices: (given.indices ?? []).map(index => ({ ...index })),
    };
    definition.fieldsWithCustomType = this.#customFields(definition);
    this.#assignKey(definition);
    this.#checkIndices(definition);
    return definition;
  }

  #customFields(definition) {
    const custom = [];
    for (const [name, field] of Object.entries(definition.fields)) {
      const Type = this.fieldTypes.fieldTypes[field.type];
      if (!Type) continue;
      field.fieldObject = new Type();
      custom.push(name);
    }
    return custom;
  }

  #assignKey(definition) {
    const { fields, indices } = definition;
    definition.pkIndex ??= indices.find(index => index.pk)?.field;
    if (definition.pkIndex === undefined) {
      indices.unshift({ field: 'id', pk: true });
      definition.pkIndex = 'id';
    }
    const { pkIndex } = definition;
    const isNew = typeof pkIndex === 'string' && !fields[pkIndex] && !aliasesOf(definition).includes(pkIndex);
    if (isNew) definition.fields = { [pkIndex]: { type: 'auto-pk' }, ...fields };
  }

  #checkIndices(definition) {
    const known = [...Object.keys(definition.fields), ...aliasesOf(definition)];
    for (const { field } of definition.indices) {
      for (const source of [field].flat()) {
        const name = typeof source === 'string' ? source : source?.relationship;
        if (!known.includes(name)) {
          throw invalid(`collection \`${definition.name}\` has an index on \`${name}\`, which is neither a field nor a relationship`);
        }
      }
    }
  }
}
