//! Migration of objects, inside the transaction of an upgrade.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::rc::Rc;

use js_sys::{Array, Object, Reflect};
use storex_core::{FieldDefault, Name, Record, Result, Timestamp, Value};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::IdbObjectStore;

use crate::error;
use crate::json;
use crate::layout::{ENTRIES, KeyForm, Store, StoreIndex};
use crate::raw::{DomError, Request};
use crate::schema;
use crate::value::{self, Form};

/// The properties of an object, by name.
pub type Properties = BTreeMap<String, Value>;

type Change = Rc<dyn Fn(&mut Properties) -> Result<()>>;

/// So many objects are read at once.
const PAGE: u32 = 500;

/// What becomes of the objects of a collection when its schema reaches a version.
///
/// ```
/// use storex_core::Value;
/// use storex_indexeddb::Migration;
///
/// let split = Migration::new("person", 2, |object| {
///     let name = object.remove("name").unwrap_or_default();
///     let (first, last) = name.as_text().and_then(|it| it.split_once(' ')).unwrap_or_default();
///     let (first, last) = (Value::from(first), Value::from(last));
///     object.insert("first_name".to_owned(), first);
///     object.insert("last_name".to_owned(), last);
///     Ok(())
/// });
/// # let _ = split;
/// ```
#[derive(Clone)]
pub struct Migration {
    collection: Name,
    version: u64,
    change: Change,
}

impl Migration {
    /// When the schema reaches `version`, every object of the collection that is there passes through `change`, once. Its
    /// error rolls the whole upgrade back. It runs in the browser's transaction, so it cannot await.
    pub fn new(
        collection: impl Into<Name>,
        version: u64,
        change: impl Fn(&mut Properties) -> Result<()> + 'static,
    ) -> Self {
        Self { collection: collection.into(), version, change: Rc::new(change) }
    }
}

impl fmt::Debug for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migration")
            .field("collection", &self.collection)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Takes every object of a store through the migrations since `from`, and brings its index entries up to date.
pub(crate) async fn objects(
    store: &Store,
    objects: &IdbObjectStore,
    migrations: &[Migration],
    from: u64,
) -> Result<()> {
    let collection = &store.collection;
    let mut due: Vec<&Migration> = migrations
        .iter()
        .filter(|it| {
            it.collection == *collection.name()
                && it.version > from
                && it.version <= collection.version().0
        })
        .collect();
    due.sort_by_key(|migration| migration.version);
    let failed = |source| error::failed("migrate objects", Some(collection.name()), source);
    let mut unique = Unique::lifted(store, objects).map_err(failed)?;
    let mut range = JsValue::UNDEFINED;
    loop {
        let (page, keys) = page(objects, &range).await.map_err(failed)?;
        for (object, key) in page.iter().zip(keys.iter()) {
            let object: Object = object.unchecked_into();
            let record = migrated(store, &object, &key, &due)?;
            check_key(store, &record, &key)?;
            unique.take(&record)?;
            write(store, objects, &object, &record, &key).await.map_err(failed)?;
        }
        if keys.length() < PAGE {
            return unique.put_back(objects);
        }
        let last = keys.get(keys.length() - 1);
        let behind = web_sys::IdbKeyRange::lower_bound_with_open(&last, true)
            .map_err(|source| failed(source.into()))?;
        range = behind.into();
    }
}

/// Objects are found, logged and synced by their keys: one with another key is another object.
fn check_key(store: &Store, record: &Record, key: &JsValue) -> Result<()> {
    let own = store.key_to_js(&store.collection.key_of(record));
    let same = own.map(|own| crate::raw::factory()?.cmp(&own, key).map_err(DomError::from));
    if matches!(same, Some(Ok(0))) {
        return Ok(());
    }
    Err(storex_core::Error::SchemaMismatch {
        collection: Name::clone(store.collection.name()),
        reason: "a migration has changed the key of an object, which cannot be; create another"
            .to_owned(),
    })
}

/// The unique indices while objects are migrated: what holds for all of them in the end need not hold in the middle, when
/// one object has the value already that another one has still.
struct Unique<'s> {
    store: &'s Store,
    /// Each with the entries of the objects that are through.
    indices: Vec<(&'s StoreIndex, HashSet<Vec<u8>>)>,
}

impl<'s> Unique<'s> {
    /// Takes the indices away.
    fn lifted(store: &'s Store, objects: &IdbObjectStore) -> std::result::Result<Self, DomError> {
        let indices: Vec<_> = store
            .indices
            .iter()
            .filter(|index| index.unique)
            .map(|index| (index, HashSet::new()))
            .collect();
        for (index, _) in &indices {
            objects.delete_index(&index.name)?;
        }
        Ok(Self { store, indices })
    }

    /// Notes what an object has, which no other one may have.
    fn take(&mut self, record: &Record) -> Result<()> {
        for (index, seen) in &mut self.indices {
            if !seen.insert(self.store.entry(index, record)) {
                return Err(storex_core::Error::UniqueViolation {
                    collection: Name::clone(self.store.collection.name()),
                    index: self.store.label(index),
                });
            }
        }
        Ok(())
    }

    /// Makes the indices again.
    fn put_back(&self, objects: &IdbObjectStore) -> Result<()> {
        let mut indices = self.indices.iter();
        indices.try_for_each(|(index, _)| schema::make_index(self.store, objects, index))
    }
}

async fn page(
    objects: &IdbObjectStore,
    range: &JsValue,
) -> std::result::Result<(Array, Array), DomError> {
    let page = Request::of(objects.get_all_with_key_and_limit(range, PAGE))?;
    let keys = Request::of(objects.get_all_keys_with_key_and_limit(range, PAGE))?;
    Ok((page.await?.unchecked_into(), keys.await?.unchecked_into()))
}

/// The record of an object after its migrations; the object has lost the properties that they have removed.
fn migrated(store: &Store, object: &Object, key: &JsValue, due: &[&Migration]) -> Result<Record> {
    if !due.is_empty() {
        let before = properties(store, object)?;
        let mut after = before.clone();
        for migration in due {
            (migration.change)(&mut after)?;
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            let _ = Reflect::delete_property(object, &name.into());
        }
        for (name, value) in after.iter().filter(|(name, value)| before.get(*name) != Some(*value))
        {
            let at = store.collection.fields().iter().position(|field| *field.column == **name);
            let form = at.map_or(Form::Own, |at| store.form(at));
            let mut value = value.clone();
            if let Some(field) = at.and_then(|at| store.collection.fields().get(at)) {
                store.collection.check_value(field, &mut value)?;
            }
            json::set(object, &name.into(), &form.to_js(&value));
        }
    }
    let mut record = store.of_js(object, Some(key))?;
    for (at, field) in store.collection.fields().iter().enumerate() {
        if record.get(at).is_null()
            && let Some(FieldDefault::Value(default)) = &field.default
            && Reflect::get(object, &JsValue::from_str(&field.column))
                .is_ok_and(|it| it.is_undefined())
        {
            record.set(at, default.clone());
        }
    }
    store.collection.check_record(&mut record)?;
    Ok(record)
}

fn properties(store: &Store, object: &Object) -> Result<Properties> {
    let mut properties = Properties::new();
    for entry in Object::entries(object).iter() {
        let entry: Array = entry.unchecked_into();
        let Some(name) = entry.get(0).as_string().filter(|name| !name.starts_with(ENTRIES)) else {
            continue;
        };
        let value = any(&entry.get(1)).map_err(|what| {
            value::unreadable(&store.collection, usize::MAX, &format!("(`{name}`) {what}"))
        })?;
        properties.insert(name, value);
    }
    Ok(properties)
}

/// A value of which nothing is known.
fn any(value: &JsValue) -> std::result::Result<Value, String> {
    if let Some(bool) = value.as_bool() {
        return Ok(Value::Bool(bool));
    }
    if let Some(date) = value.dyn_ref::<js_sys::Date>() {
        #[allow(clippy::cast_possible_truncation)]
        return Ok(Value::Timestamp(Timestamp(date.get_time() as i64)));
    }
    Form::Own.of_js(value).or_else(|_| Form::Json.of_js(value))
}

async fn write(
    store: &Store,
    objects: &IdbObjectStore,
    object: &Object,
    record: &Record,
    key: &JsValue,
) -> std::result::Result<(), DomError> {
    for (at, value) in record.values().iter().enumerate() {
        store.set(object, at, value);
    }
    forget_entries(object);
    store.set_entries(object, record);
    let sent = match store.key {
        KeyForm::Native => objects.put(object),
        KeyForm::Encoded | KeyForm::Beside => objects.put_with_key(object, key),
    };
    // Awaited: an error that nobody looks at would take the upgrade away without its reason.
    Request::of(sent)?.await.map(drop)
}

/// Forgets the entries of indices that are gone: an index of that name that comes back must not find them.
fn forget_entries(object: &Object) {
    for name in Object::keys(object).iter() {
        if name.as_string().is_some_and(|name| name.starts_with(ENTRIES)) {
            let _ = Reflect::delete_property(object, &name);
        }
    }
}
