//! [`Fields`]: the fields of a definition, each with a name of its own.

use std::collections::{HashMap, HashSet};

use js_sys::{Object, Reflect};
use storex_core::{Definition, FieldOption, FieldType};

use super::KEY_BESIDE;

/// Adds fields to a definition.
pub(super) struct Fields {
    pub(super) definition: Definition,
    /// The field and its type, by property.
    known: HashMap<String, (String, FieldType)>,
    names: HashSet<String>,
    /// Properties, in lower case: for storex, names that differ only in case are one.
    columns: HashSet<String>,
}

impl Fields {
    pub(super) fn new(definition: Definition) -> Self {
        Self { definition, known: HashMap::new(), names: HashSet::new(), columns: HashSet::new() }
    }

    /// Adds the key that stands beside the objects; `taken`: whether they have a property of that name.
    pub(super) fn add_key(
        &mut self,
        field_type: FieldType,
        taken: impl Fn(&str) -> bool,
    ) -> String {
        let mut name = "key".to_owned();
        while taken(&name) {
            name.push('_');
        }
        self.insert(&name, KEY_BESIDE, field_type, false);
        name
    }

    /// Adds a property; the error says why it cannot be a field.
    pub(super) fn add(
        &mut self,
        property: &str,
        field_type: FieldType,
        optional: bool,
    ) -> Result<String, String> {
        if property.is_empty() {
            return Err("has an empty name".to_owned());
        }
        if property == KEY_BESIDE {
            return Err("has the name that storex keeps for keys beside the objects".to_owned());
        }
        if Reflect::has(&Object::new(), &property.into()).unwrap_or(true) {
            return Err("has the name of something that every object has".to_owned());
        }
        if self.columns.contains(&property.to_ascii_lowercase()) {
            return Err("differs only in case from another property".to_owned());
        }
        // storex keeps field names that begin with `$` for its query language.
        let mut name =
            if property.starts_with('$') { format!("_{property}") } else { property.to_owned() };
        while self.names.contains(&name) {
            name.insert(0, '_');
        }
        self.insert(&name, property, field_type, optional);
        Ok(name)
    }

    fn insert(&mut self, name: &str, property: &str, field_type: FieldType, optional: bool) {
        let mut options = Vec::new();
        if name != property {
            options.push(FieldOption::Column(property.into()));
        }
        if optional {
            options.push(FieldOption::Optional);
        }
        self.definition = self.definition.clone().field_with(name, field_type.clone(), options);
        self.names.insert(name.to_owned());
        self.columns.insert(property.to_ascii_lowercase());
        self.known.insert(property.to_owned(), (name.to_owned(), field_type));
    }

    /// The field of a property.
    pub(super) fn of(&self, property: &str) -> Option<&(String, FieldType)> {
        self.known.get(property)
    }
}
