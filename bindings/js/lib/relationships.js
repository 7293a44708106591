// Relationships: their names, given or not.

export const isConnects = relationship => Array.isArray(relationship.connects);

export const targetOf = relationship => relationship.childOf ?? relationship.singleChildOf ?? relationship.targetCollection;

/** A relationship of a collection, with the names that were left out. */
export function namesOf(collection, relationship) {
  if (isConnects(relationship)) {
    const aliases = relationship.aliases ?? relationship.connects;
    return {
      ...relationship,
      aliases,
      fieldNames: relationship.fieldNames ?? aliases.map(alias => `${alias}Rel`),
      reverseAliases: relationship.reverseAliases ?? aliases.map(() => plural(collection)),
    };
  }
  const single = relationship.single ?? relationship.singleChildOf !== undefined;
  const alias = relationship.alias ?? targetOf(relationship);
  return {
    ...relationship,
    single,
    alias,
    sourceCollection: collection,
    targetCollection: targetOf(relationship),
    fieldName: relationship.fieldName ?? `${alias}Rel`,
    reverseAlias: relationship.reverseAlias ?? (single ? collection : plural(collection)),
  };
}

/** The names under which objects of a collection have the keys of others. */
export function aliasesOf(definition) {
  return (definition.relationships ?? []).flatMap(it => (isConnects(it) ? it.aliases ?? it.connects : [it.alias ?? targetOf(it)]));
}

/** By the rule, without the exceptions of English: whoever wants those gives a `reverseAlias`. */
function plural(name) {
  if (/[^aeiou]y$/.test(name)) return `${name.slice(0, -1)}ies`;
  return /(s|x|z|ch|sh)$/.test(name) ? `${name}es` : `${name}s`;
}
