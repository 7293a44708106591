//! [`Store`]: how a collection lies in an object store.
//!
//! An object is a plain JavaScript object with a property per field. The key of the store is the object's own key where
//! IndexedDB orders it as everybody else does (texts and bytes); any other key stands beside the object, as
//! [`order_code`](crate::order_code). The entries of indices stand in properties `_storex_…` of the object, as
//! order code too: there a null, a boolean or a large integer has its place, which IndexedDB's own keys have none for.
//!
//! An adopted store keeps its own keys and indices, and nothing is added to its objects.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use js_sys::{Array, Object, Reflect};
use storex_core::{
    Collection, Error, Index, Key, Name, Record, Registry, Result, Value, word_rules,
};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{IdbIndex, IdbObjectStore};

use crate::json;
use crate::native;
use crate::order_code;
use crate::property;
use crate::raw::DomError;
use crate::value::{self, Form};
use crate::words;

/// The properties of an object that hold its index entries begin so.
pub(crate) const ENTRIES: &str = "_storex_";

/// All stores of a registry, by collection.
pub(crate) type Stores = BTreeMap<Name, Arc<Store>>;

/// The store of a collection.
pub(crate) fn store(stores: &Stores, collection: &Name) -> Result<Arc<Store>> {
    let store = stores.get(collection).map(Arc::clone);
    store.ok_or_else(|| Error::UnknownCollection { collection: Name::clone(collection) })
}

/// How a collection lies in an object store.
pub(crate) struct Store {
    pub(crate) collection: Arc<Collection>,
    /// The name of the object store.
    pub(crate) name: Name,
    pub(crate) key: KeyForm,
    pub(crate) indices: Vec<StoreIndex>,
    /// The property of each field, and how its values look.
    properties: Vec<(JsValue, Form)>,
    /// Whether a property may carry any name: one is not set as the others are.
    odd_names: bool,
}

/// What the key of an object store is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyForm {
    /// The key's fields themselves, in the object: this key path.
    Native,
    /// Order code, beside the object.
    Encoded,
    /// The value of the key's field, beside the object, which does not hold it (adopted stores only).
    Beside,
}

/// An index of an object store.
#[derive(Debug)]
pub(crate) struct StoreIndex {
    /// Its name in the object store, unless that is adopted.
    pub(crate) name: String,
    /// Positions of the fields.
    pub(crate) fields: Vec<usize>,
    pub(crate) unique: bool,
    /// Whether each element of the field, or each word, has an entry of its own.
    pub(crate) multi_entry: bool,
    pub(crate) form: IndexForm,
}

/// What the entries of an index are made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum IndexForm {
    /// Order code of the fields and (unless it is unique) of the key, in this property.
    Encoded(JsValue),
    /// The words of a long text, each with the key, in this property; see [`words`].
    Words(JsValue),
    /// The fields themselves (adopted stores only).
    Native,
}

impl Store {
    /// The stores of all collections.
    pub(crate) fn all(registry: &Registry) -> Stores {
        let stores = registry.collections().iter();
        stores.map(|it| (Name::clone(it.name()), Arc::new(Self::new(it)))).collect()
    }

    /// The store of a collection.
    pub(crate) fn new(collection: &Arc<Collection>) -> Self {
        let forms = collection.fields().iter();
        let properties =
            forms.map(|field| (JsValue::from_str(&field.column), Form::of(&field.field_type)));
        let odd = |field: &storex_core::Field| &*field.column == "__proto__";
        let mut store = Self {
            collection: Arc::clone(collection),
            name: Name::clone(collection.table()),
            key: KeyForm::Native,
            indices: Vec::new(),
            properties: properties.collect(),
            odd_names: collection.fields().iter().any(odd),
        };
        store.key = store.key_form();
        store.indices = collection.indices().iter().map(|index| store.index(index)).collect();
        store
    }

    /// Texts and bytes keep their order (texts with care, see [`native`]); of an adopted store, everything does.
    fn key_form(&self) -> KeyForm {
        let positions = self.collection.primary_key();
        let fields = positions.iter().filter_map(|at| self.collection.fields().get(*at));
        if self.collection.is_adopted() {
            let beside = fields
                .map(|field| &field.column)
                .any(|column| **column == *crate::adopt::KEY_BESIDE);
            return if beside { KeyForm::Beside } else { KeyForm::Native };
        }
        let mut named = fields.map(|field| is_identifier(&field.column));
        let ordered = positions.iter().all(|at| matches!(self.form(*at), Form::Text | Form::Bytes));
        if ordered && named.all(|named| named) { KeyForm::Native } else { KeyForm::Encoded }
    }

    fn index(&self, index: &Index) -> StoreIndex {
        let columns: Vec<&str> = index.fields.iter().map(|at| self.column(*at)).collect();
        let adopted = self.collection.is_adopted();
        let of_words = !adopted && words::serves(&self.collection, index);
        let kind = match (index.multi_entry, index.unique) {
            (true, _) => "multi",
            (false, true) => "unique",
            (false, false) if of_words => "words",
            (false, false) => "index",
        };
        let property = format!(
            "{ENTRIES}{kind}_{}",
            columns.iter().map(|it| identifier(it)).collect::<Vec<_>>().join("_")
        );
        let property = JsValue::from_str(&property);
        // By its name an index of words that were found by other rules is another index, and is made anew.
        let kind = if of_words { format!("{kind} {}", word_rules()) } else { kind.to_owned() };
        StoreIndex {
            name: if adopted {
                columns.join("+")
            } else {
                format!("{kind} ({})", columns.join(", "))
            },
            fields: index.fields.clone(),
            unique: index.unique,
            multi_entry: index.multi_entry || of_words,
            form: match (adopted, of_words) {
                (true, _) => IndexForm::Native,
                (false, true) => IndexForm::Words(property),
                (false, false) => IndexForm::Encoded(property),
            },
        }
    }

    /// The name of a field's property.
    pub(crate) fn column(&self, at: usize) -> &str {
        self.collection.fields().get(at).map_or("", |field| &field.column)
    }

    /// How the values of a field look.
    pub(crate) fn form(&self, at: usize) -> Form {
        self.properties.get(at).map_or(Form::Own, |(_, form)| *form)
    }

    /// The fields of an index, for messages.
    pub(crate) fn label(&self, index: &StoreIndex) -> String {
        self.collection.index_label(&Index {
            fields: index.fields.clone(),
            unique: index.unique,
            multi_entry: index.multi_entry && !matches!(index.form, IndexForm::Words(_)),
        })
    }

    /// The key path of the store; `None`: its keys stand beside the objects.
    pub(crate) fn key_path(&self) -> Option<JsValue> {
        match self.key {
            KeyForm::Native => Some(native::key_path(
                self.collection.primary_key().iter().map(|at| self.column(*at)),
            )),
            KeyForm::Encoded | KeyForm::Beside => None,
        }
    }

    /// An index as it is there. Those of an adopted store are known by their key path: each program names them
    /// in its own way.
    pub(crate) fn live_index(
        &self,
        objects: &IdbObjectStore,
        index: &StoreIndex,
    ) -> std::result::Result<IdbIndex, DomError> {
        if !self.collection.is_adopted() {
            return objects.index(&index.name).map_err(DomError::from);
        }
        let path = self.index_path(index);
        let names = objects.index_names();
        let mut there = (0..names.length()).filter_map(|at| objects.index(&names.get(at)?).ok());
        let found = there.find(|it| {
            let same = it.key_path().is_ok_and(|it| native::same_path(&it, &path));
            same && it.unique() == index.unique && it.multi_entry() == index.multi_entry
        });
        found.ok_or_else(|| {
            DomError::new("NotFoundError", format!("no index on {}", self.label(index)))
        })
    }

    /// The key path of an index.
    pub(crate) fn index_path(&self, index: &StoreIndex) -> JsValue {
        match &index.form {
            IndexForm::Encoded(property) | IndexForm::Words(property) => property.clone(),
            IndexForm::Native => native::key_path(index.fields.iter().map(|at| self.column(*at))),
        }
    }

    /// A key as the store has it; `None`: the store can hold no such key.
    pub(crate) fn key_to_js(&self, key: &Key) -> Option<JsValue> {
        match self.key {
            KeyForm::Encoded => Some(native::bytes(&order_code::encode(key.values()))),
            KeyForm::Native | KeyForm::Beside => native::key(key.values()),
        }
    }

    /// Whether the key has the same place among the keys of the store as among ours.
    pub(crate) fn has_key_order(&self, key: &Key) -> bool {
        self.key == KeyForm::Encoded || !key.values().iter().any(native::is_odd)
    }

    /// A record as an object; the key that stands beside it is not in it.
    pub(crate) fn to_js(&self, record: &Record) -> Object {
        let object = Object::new();
        for (at, value) in record.values().iter().enumerate() {
            self.set(&object, at, value);
        }
        self.set_entries(&object, record);
        object
    }

    /// Sets one field of an object. Fields of the index are brought up to date by [`Store::set_entries`].
    pub(crate) fn set(&self, object: &Object, at: usize, value: &Value) {
        let Some((name, form)) = self.properties.get(at) else { return };
        if self.key == KeyForm::Beside && self.collection.is_key(at) {
            return;
        }
        if self.collection.is_adopted() {
            // A property that is not there is not made to hold nothing.
            if !value.is_null() || Reflect::has(object, name).unwrap_or(true) {
                let _ = Reflect::set(object, name, &form.to_plain_js(value));
            }
        } else if self.odd_names {
            json::set(object, name, &form.to_js(value));
        } else {
            property::set(object, name, &form.to_js(value));
        }
    }

    /// Brings the index entries of an object up to date.
    pub(crate) fn set_entries(&self, object: &Object, record: &Record) {
        self.indices.iter().for_each(|index| self.set_entry(index, object, record));
    }

    /// Brings those index entries up to date that are made of the changed fields: a long text is not taken apart again for
    /// a change beside it. (Keys, which stand in all of them, do not change.)
    pub(crate) fn set_entries_of(&self, object: &Object, record: &Record, changed: &[usize]) {
        let concerned = |index: &&StoreIndex| index.fields.iter().any(|at| changed.contains(at));
        let indices = self.indices.iter().filter(concerned);
        indices.for_each(|index| self.set_entry(index, object, record));
    }

    fn set_entry(&self, index: &StoreIndex, object: &Object, record: &Record) {
        let (property, entry) = match &index.form {
            IndexForm::Encoded(property) if index.multi_entry => {
                (property, self.element_entries(index, record).into())
            }
            IndexForm::Encoded(property) => {
                (property, order_code::entry(&self.entry(index, record)))
            }
            IndexForm::Words(property) => (property, self.word_entries(index, record).into()),
            IndexForm::Native => return,
        };
        property::set(object, property, &entry);
    }

    /// The entries of a record in an index over elements: the code of each element, and the key.
    fn element_entries(&self, index: &StoreIndex, record: &Record) -> Array {
        let field = index.fields.first().map_or(&Value::Null, |at| record.get(*at));
        let Value::Json(serde_json::Value::Array(items)) = field else { return Array::new() };
        let key: Vec<u8> = order_code::encode(self.key_values(record));
        let elements = items.iter().filter_map(storex_core::json_element);
        let entries = elements.map(|element| {
            let mut code = order_code::element(&element);
            code.extend_from_slice(&key);
            order_code::entry(&code)
        });
        entries.collect()
    }

    /// The entries of a record in an index of words.
    fn word_entries(&self, index: &StoreIndex, record: &Record) -> Array {
        let text = index.fields.first().and_then(|at| record.get(*at).as_text());
        let key = order_code::encode(self.key_values(record));
        words::entries(text.unwrap_or_default(), &key)
    }

    /// The order code of a key of the store, as it came from there; `None` for what is no key of ours.
    pub(crate) fn key_code(&self, key: &JsValue) -> Option<Vec<u8>> {
        let value = |key: &JsValue| Form::Own.of_js(key).ok();
        match (self.key, key.dyn_ref::<Array>()) {
            (KeyForm::Encoded, _) => match value(key)? {
                Value::Bytes(code) => Some(code),
                _ => None,
            },
            (_, Some(parts)) => {
                let values: Vec<Value> =
                    parts.iter().map(|part| value(&part)).collect::<Option<_>>()?;
                Some(order_code::encode(&values))
            }
            (_, None) => Some(order_code::encode(&[value(key)?])),
        }
    }

    /// The values of a record's key.
    pub(crate) fn key_values<'r>(&self, record: &'r Record) -> impl Iterator<Item = &'r Value> {
        self.collection.primary_key().iter().map(|at| record.get(*at))
    }

    /// The entry of a record: no two records have the same, except where a unique index is broken. Objects with a null in
    /// a unique index are not compared, so they have their key in it.
    pub(crate) fn entry(&self, index: &StoreIndex, record: &Record) -> Vec<u8> {
        let mut code = order_code::encode(index.fields.iter().map(|at| record.get(*at)));
        if !index.unique || index.fields.iter().any(|at| record.get(*at).is_null()) {
            for at in self.collection.primary_key() {
                order_code::push(&mut code, record.get(*at));
            }
        }
        code
    }

    /// The record of an object, and of the key that stands beside it.
    pub(crate) fn of_js(&self, object: &JsValue, key: Option<&JsValue>) -> Result<Record> {
        let mut values = Vec::with_capacity(self.properties.len());
        if !object.is_object() {
            let what = format!("lies in {}", value::describe(object));
            return Err(value::unreadable(&self.collection, 0, &what));
        }
        for (at, (name, form)) in self.properties.iter().enumerate() {
            let beside = key.filter(|_| self.key == KeyForm::Beside && self.collection.is_key(at));
            let property = match beside {
                Some(key) => key.clone(),
                None => property::get(object, name),
            };
            values.push(value::read(*form, &self.collection, at, &property)?);
        }
        Ok(Record::new(values))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("name", &self.name)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Whether a name can stand in a key path for the property of that name.
pub(crate) fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    let first = chars
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_' || first == '$');
    first
        && name != "__proto__"
        && chars.all(|it| it.is_ascii_alphanumeric() || it == '_' || it == '$')
}

/// A part of an identifier for any name, different names giving different parts.
fn identifier(name: &str) -> String {
    let mut out = String::new();
    for it in name.chars() {
        if it.is_ascii_alphanumeric() {
            out.push(it);
        } else {
            out.push_str(&format!("${:06x}", u32::from(it)));
        }
    }
    out
}
