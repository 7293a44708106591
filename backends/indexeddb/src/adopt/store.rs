//! One object store's definition.

use storex_core::{Affinity, Definition, FieldType, KeyFormat};
use wasm_bindgen::JsValue;
use web_sys::{IdbIndex, IdbObjectStore};

use super::fields::Fields;
use super::survey::Survey;
use super::{Adoption, paths};
use crate::raw::DomError;

/// The definition, or the reason why there is none.
pub(super) async fn definition(
    adoption: &mut Adoption,
    objects: &IdbObjectStore,
) -> Result<Result<Definition, String>, DomError> {
    let path = objects.key_path()?;
    let key = if path.is_null() { Ok(Vec::new()) } else { paths::properties(&path) };
    let key = match key {
        Ok(key) => key,
        Err(what) => return Ok(Err(format!("its key {what}"))),
    };
    let indices = indices(objects)?;
    let mut survey = match Survey::of(objects).await? {
        Ok(survey) => survey,
        Err(reason) => return Ok(Err(reason)),
    };
    for property in indices.iter().flat_map(|index| index.properties.iter().flatten()) {
        if let Err(reason) = survey.property(property) {
            return Ok(Err(reason));
        }
    }
    let mut store = Store { name: objects.name(), adoption, survey };
    Ok(store.define(&key, objects.auto_increment(), &indices))
}

struct Store<'a> {
    name: String,
    adoption: &'a mut Adoption,
    survey: Survey,
}

/// An index as it is there.
struct LiveIndex {
    name: String,
    unique: bool,
    multi_entry: bool,
    /// The properties, or what else it is over.
    properties: Result<Vec<String>, String>,
}

fn indices(objects: &IdbObjectStore) -> Result<Vec<LiveIndex>, DomError> {
    let names = objects.index_names();
    let names = (0..names.length()).filter_map(|at| names.get(at));
    names.map(|name| Ok(LiveIndex::new(&objects.index(&name)?, name))).collect()
}

impl LiveIndex {
    fn new(index: &IdbIndex, name: String) -> Self {
        let path = index.key_path().unwrap_or(JsValue::NULL);
        Self {
            name,
            unique: index.unique(),
            multi_entry: index.multi_entry(),
            properties: paths::properties(&path),
        }
    }
}

impl Store<'_> {
    fn define(
        &mut self,
        key: &[String],
        auto: bool,
        indices: &[LiveIndex],
    ) -> Result<Definition, String> {
        let mut fields =
            Fields::new(Definition::new(self.name.as_str()).adopted(self.name.as_str()));
        let names = match key {
            [] => {
                let field_type = key_type(self.survey.keys.field_type(), auto)?;
                let seen = |name: &str| {
                    self.survey.properties.iter().any(|(it, _)| it.eq_ignore_ascii_case(name))
                };
                vec![fields.add_key(field_type, seen)]
            }
            properties => self.key_fields(&mut fields, properties, auto)?,
        };
        if auto {
            let text = "is numbered by the browser (autoIncrement), alike on every device: let AutoPk make its keys, \
                        with KeyGenerator::Int53";
            self.adoption.note(&self.name, Some(&names.join(", ")), text);
        }
        self.other_fields(&mut fields, key);
        fields.definition = fields.definition.clone().primary_key(names);
        for index in indices {
            if let Err(why) = add_index(&mut fields, index) {
                let also = if index.unique {
                    "; it is unique: the browser enforces that, a merge does not know of it"
                } else {
                    ""
                };
                self.adoption.note(
                    &self.name,
                    Some(&index.name),
                    format!("is an index that is left alone: it {why}{also}"),
                );
            }
        }
        Ok(fields.definition)
    }

    /// The properties of the key, which every object has.
    fn key_fields(
        &mut self,
        fields: &mut Fields,
        properties: &[String],
        auto: bool,
    ) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for property in properties {
            let seen = self.survey.property(property)?.field_type();
            let name = fields.add(property, key_type(seen, auto)?, false);
            names.push(name.map_err(|why| format!("its key `{property}` {why}"))?);
        }
        Ok(names)
    }

    fn other_fields(&mut self, fields: &mut Fields, key: &[String]) {
        for (property, kinds) in &self.survey.properties {
            if key.contains(property) {
                continue;
            }
            let optional = kinds.values < self.survey.objects || kinds.values == 0;
            let added = kinds.field_type().and_then(|it| fields.add(property, it, optional));
            match added {
                Ok(name) if name == *property => {}
                Ok(name) => {
                    self.adoption.note(&self.name, Some(property), format!("is field `{name}`"))
                }
                Err(why) => {
                    let text =
                        format!("is a property that is left out, and stays as it is: it {why}");
                    self.adoption.note(&self.name, Some(property), text);
                }
            }
        }
    }
}

/// The type of a key's field; the error says why the store cannot be a collection.
fn key_type(seen: Result<FieldType, String>, auto: bool) -> Result<FieldType, String> {
    match seen.map_err(|what| format!("its key {what}"))? {
        FieldType::Json => {
            Err("its keys are arrays, or dates in some objects and something else in others"
                .to_owned())
        }
        FieldType::Int | FieldType::Dynamic(Affinity::Blob) if auto => {
            Ok(FieldType::AutoPk(KeyFormat::Int))
        }
        field_type => Ok(field_type),
    }
}

/// Adds an index over fields; the error says what it is instead.
fn add_index(fields: &mut Fields, index: &LiveIndex) -> Result<(), String> {
    if index.multi_entry {
        return Err("is multiEntry: it has an entry for each item of an array".to_owned());
    }
    let mut names = Vec::new();
    for property in index.properties.clone()? {
        match fields.of(&property) {
            Some((_, FieldType::Boolean | FieldType::Json)) => {
                return Err(format!("is over `{property}`, whose values are no keys"));
            }
            Some((name, _)) => names.push(name.clone()),
            None => return Err(format!("is over `{property}`, which is left out")),
        }
    }
    let definition = fields.definition.clone();
    fields.definition =
        if index.unique { definition.unique(names) } else { definition.index(names) };
    Ok(())
}
