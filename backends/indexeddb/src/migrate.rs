//! Migration of objects, inside the transaction of an upgrade.

use std::collections::HashSet;

use js_sys::{Array, Object, Reflect};
use storex_core::{CollectionPlan, Name, Record, Result};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::IdbObjectStore;

use crate::error;
use crate::layout::{ENTRIES, KeyForm, Store, StoreIndex};
use crate::raw::{DomError, Request};
use crate::schema;

/// So many objects are read at once.
const PAGE: u32 = 500;

/// Takes every object of a store to the new schema, and brings its index entries up to date.
pub(crate) async fn objects(
    store: &Store,
    objects: &IdbObjectStore,
    plan: &CollectionPlan,
) -> Result<()> {
    let collection = &store.collection;
    let Some(transform) = plan.transform()? else { return Ok(()) };
    let old = Store::new(transform.old());
    let failed = |source| error::failed("migrate objects", Some(collection.name()), source);
    let mut unique = Unique::lifted(store, objects).map_err(failed)?;
    let mut range = JsValue::UNDEFINED;
    loop {
        let (page, keys) = page(objects, &range).await.map_err(failed)?;
        for (object, key) in page.iter().zip(keys.iter()) {
            let object: Object = object.unchecked_into();
            let record = transform.record(old.of_js(&object, Some(&key))?)?;
            unique.take(&record)?;
            forget_fields(&old, store, &object);
            write(store, objects, &object, &record, &key).await.map_err(failed)?;
        }
        tracing::trace!(target: "storex::step", step = "indexeddb.migrate.page");
        if keys.length() < PAGE {
            return unique.put_back(objects);
        }
        let last = keys.get(keys.length() - 1);
        let behind = web_sys::IdbKeyRange::lower_bound_with_open(&last, true)
            .map_err(|source| failed(source.into()))?;
        range = behind.into();
    }
}

/// Takes the properties away that are no fields any more. What else is in the object was not put there by us, and stays.
fn forget_fields(old: &Store, new: &Store, object: &Object) {
    let fields = |store: &Store| store.collection.fields().to_vec();
    let (old, new) = (fields(old), fields(new));
    for field in old.iter().filter(|field| !new.iter().any(|it| it.column == field.column)) {
        let _ = Reflect::delete_property(object, &JsValue::from_str(&field.column));
    }
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
                    values: index.fields.iter().map(|at| record.get(*at).clone()).collect(),
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
