//! Integers that a number of JavaScript cannot hold leave as text, which `lib/values.js` makes a `BigInt` of.

use serde_json::Value as Json;
use storex_core::{Collection, FieldType, KeyFormat, Registry};

/// The greatest integer up to which all are numbers of JavaScript.
const EXACT: u64 = (1 << 53) - 1;

/// Looks at an object and at those that are nested in it.
pub(crate) fn exact(registry: &Registry, collection: &Collection, object: &mut Json) {
    let Json::Object(object) = object else { return };
    for field in collection.fields() {
        let holds_integers = matches!(
            field.field_type,
            FieldType::Int
                | FieldType::Timestamp
                | FieldType::AutoPk(KeyFormat::Int)
                | FieldType::ForeignKey(KeyFormat::Int)
        );
        if holds_integers
            && let Some(value) = object.get_mut(&*field.name)
            && let Some(int) = value.as_i64()
            && int.unsigned_abs() > EXACT
        {
            *value = Json::String(int.to_string());
        }
    }
    let parents = collection.relations().iter().map(|it| (&it.alias, &it.parent));
    let children = collection.children().iter().map(|it| (&it.reverse_alias, &it.child));
    for (name, other) in parents.chain(children) {
        let (Some(nested), Some(other)) = (object.get_mut(&**name), registry.find(other)) else {
            continue;
        };
        match nested {
            Json::Array(list) => list.iter_mut().for_each(|it| exact(registry, other, it)),
            nested => exact(registry, other, nested),
        }
    }
}
