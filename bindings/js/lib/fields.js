// Field types of the application's own.

/** A field type: how its values are stored as one of the primitive types. Extend it. */
export class Field {
  /** The type that is stored. */
  primitiveType = 'string';

  /** @param {any} value `undefined` where an object is created without the field */
  async prepareForStorage(value) {
    return value;
  }

  /** @param {any} value as stored */
  async prepareFromStorage(value) {
    return value;
  }
}

/** The field types of the application, by name. */
export class FieldTypeRegistry {
  fieldTypes = {};

  registerType(name, type) {
    this.fieldTypes[name] = type;
    return this;
  }

  registerTypes(types) {
    Object.assign(this.fieldTypes, types);
    return this;
  }
}
