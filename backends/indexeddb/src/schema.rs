//! The schema in the database: making it, checking it, upgrading it in one transaction.
//!
//! A database is opened as it is, and looked at. If something is missing it is opened once more, one version higher, and
//! everything that has to change is done in that upgrade's transaction: stores and indices are made and removed, objects
//! are migrated, and an error rolls all of it back. Other programs (Dexie, say) number the same database's versions too,
//! so ours are kept in a store of our own, and the browser's number only ever grows by one.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use storex_core::{CollectionPlan, Error, Name, Plan, Registry, Result, StoredSchema, plan};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    IdbDatabase, IdbIndexParameters, IdbObjectStore, IdbObjectStoreParameters, IdbTransaction,
};

use crate::error;
use crate::identity::{self, OWN};
use crate::layout::{ENTRIES, IndexForm, KeyForm, Store, StoreIndex, Stores};
use crate::migrate;
use crate::native;
use crate::raw::{Connection, DomError, Durability, Mode, Transaction};
use crate::recorded;

/// What the database is to be when it is open.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) registry: Arc<Registry>,
    pub(crate) stores: Rc<Stores>,
    /// A number for a new database.
    pub(crate) fresh: identity::DatabaseId,
}

/// What was seen of a database.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) plan: Plan,
    /// Whether there is nothing to do.
    pub(crate) is_current: bool,
}

/// Looks at the database. Changes nothing; an error where it cannot be made to fit.
pub(crate) async fn look(connection: &Connection, target: &Target) -> Result<Look> {
    let database = connection.database();
    let there = store_names(database);
    if !there.contains(OWN) {
        let plan = plan(&StoredSchema::default(), &target.registry)?;
        refuse_strangers(&plan, &there)?;
        return Ok(Look { plan, is_current: false });
    }
    let inspected: Vec<&Arc<Store>> =
        target.stores.values().filter(|store| there.contains(&*store.name)).collect();
    let names = inspected.iter().map(|store| &*store.name).chain([OWN]);
    let failed = |source| error::failed("open the database", None, source);
    let transaction =
        Transaction::begin(database, names, Mode::ReadOnly, Durability::Default).map_err(failed)?;
    let recorded =
        identity::recorded(&transaction.store(OWN).map_err(failed)?).await.map_err(failed)?;
    let known = recorded.schema.is_some();
    let plan = plan(&recorded::schema(recorded, &target.registry, &there)?, &target.registry)?;
    refuse_strangers(&plan, &there)?;
    let mut is_current = known
        && plan.is_empty()
        && plan.stored == plan.target
        && inspected.len() == target.stores.len();
    // A store whose name another collection gives up is not this one's yet.
    let is_there = |store: &Store| store.collection.is_adopted() || !plan.frees(&store.name);
    is_current &= inspected.iter().all(|store| is_there(store));
    for store in inspected.into_iter().filter(|store| is_there(store)) {
        let objects = transaction.store(&store.name).map_err(failed)?;
        check_key(store, &objects)?;
        is_current &= missing_indices(store, &objects)?.is_empty()
            && obsolete_indices(store, &objects).is_empty();
    }
    Ok(Look { plan, is_current })
}

/// A store that nothing is written down of is somebody else's.
fn refuse_strangers(plan: &Plan, there: &BTreeSet<String>) -> Result<()> {
    let is_strange = |it: &&CollectionPlan| {
        let table = &**it.collection.table();
        it.stored.is_none() && there.contains(table) && !plan.frees(table)
    };
    match plan.collections.iter().find(is_strange) {
        None => Ok(()),
        Some(strange) => Err(Error::SchemaMismatch {
            collection: Name::clone(strange.collection.name()),
            reason: "there is an object store of that name that storex has not made; adopt it, or choose another name"
                .to_owned(),
        }),
    }
}

/// Brings everything up to date, inside the transaction of an upgrade.
pub(crate) async fn upgrade(
    database: IdbDatabase,
    transaction: IdbTransaction,
    target: Target,
) -> Result<()> {
    let there = store_names(&database);
    let failed = |source: JsValue| error::failed("upgrade the database", None, source.into());
    let own = if there.contains(OWN) {
        transaction.object_store(OWN).map_err(failed)?
    } else {
        database.create_object_store(OWN).map_err(failed)?
    };
    let dom = |source| error::failed("upgrade the database", None, source);
    let recorded = identity::recorded(&own).await.map_err(dom)?;
    let plan = plan(&recorded::schema(recorded, &target.registry, &there)?, &target.registry)?;
    refuse_strangers(&plan, &there)?;
    for removed in &plan.removed {
        database.delete_object_store(&removed.table).map_err(failed)?;
    }
    rename_stores(&transaction, &plan).map_err(failed)?;
    for store in target.stores.values() {
        let Some(plan) = plan
            .collections
            .iter()
            .find(|it| it.collection.name() == store.collection.name() && it.stored.is_some())
        else {
            adopt_or_make(&database, &transaction, store, &there)?;
            continue;
        };
        let objects = transaction.object_store(&store.name).map_err(failed)?;
        let indexed = change(store, &objects)?;
        if indexed || plan.rewrites || !plan.added.is_empty() || !plan.renamed_columns().is_empty()
        {
            migrate::objects(store, &objects, plan).await?;
        }
    }
    identity::write(&own, &plan.target, target.fresh).await.map_err(dom)?;
    tracing::trace!(target: "storex::step", step = "indexeddb.migrate.before_commit");
    Ok(())
}

fn rename_stores(transaction: &IdbTransaction, plan: &Plan) -> std::result::Result<(), JsValue> {
    let renamed: Vec<(&str, &str)> = plan
        .collections
        .iter()
        .filter_map(|it| Some((it.stored.as_ref()?.1.table.as_str(), &**it.collection.table())))
        .filter(|(from, to)| from != to)
        .collect();
    let meanwhile = |name: &str| format!("{ENTRIES}meanwhile:{name}");
    // Two stores may change names.
    for (from, to) in &renamed {
        transaction.object_store(from)?.set_name(&meanwhile(to));
    }
    for (_, to) in &renamed {
        transaction.object_store(&meanwhile(to))?.set_name(to);
    }
    Ok(())
}

fn adopt_or_make(
    database: &IdbDatabase,
    transaction: &IdbTransaction,
    store: &Store,
    there: &BTreeSet<String>,
) -> Result<()> {
    if !there.contains(&*store.name) || !store.collection.is_adopted() {
        return make(database, store);
    }
    let objects = transaction.object_store(&store.name).map_err(|source: JsValue| {
        error::failed("upgrade the database", Some(store.collection.name()), source.into())
    })?;
    change(store, &objects).map(drop)
}

fn make(database: &IdbDatabase, store: &Store) -> Result<()> {
    if store.collection.is_adopted() {
        return Err(mismatch(store, "it has no object store of that name"));
    }
    if let Some(field) =
        store.collection.fields().iter().find(|field| field.column.starts_with(ENTRIES))
    {
        let reason = format!(
            "the field `{}` has a name of those that index entries are kept under",
            field.column
        );
        return Err(mismatch(store, &reason));
    }
    let parameters = IdbObjectStoreParameters::new();
    if let Some(path) = store.key_path() {
        parameters.set_key_path(&path);
    }
    let failed = |source: JsValue| {
        error::failed("make an object store", Some(store.collection.name()), source.into())
    };
    let objects = database
        .create_object_store_with_optional_parameters(&store.name, &parameters)
        .map_err(failed)?;
    change(store, &objects).map(drop)
}

/// Makes and removes indices; whether there were any.
fn change(store: &Store, objects: &IdbObjectStore) -> Result<bool> {
    check_key(store, objects)?;
    let failed = |source: JsValue| {
        error::failed("make an index", Some(store.collection.name()), source.into())
    };
    let obsolete = obsolete_indices(store, objects);
    for name in &obsolete {
        objects.delete_index(name).map_err(failed)?;
    }
    let missing = missing_indices(store, objects)?;
    for at in &missing {
        let Some(index) = store.indices.get(*at) else { continue };
        if store.collection.is_adopted() {
            return Err(mismatch(store, &format!("it has no index on {}", store.label(index))));
        }
        make_index(store, objects, index)?;
    }
    Ok(!missing.is_empty() || !obsolete.is_empty())
}

/// Makes an index of our own.
pub(crate) fn make_index(
    store: &Store,
    objects: &IdbObjectStore,
    index: &StoreIndex,
) -> Result<()> {
    let parameters = IdbIndexParameters::new();
    parameters.set_unique(index.unique);
    parameters.set_multi_entry(index.multi_entry);
    let path = store.index_path(index).as_string().unwrap_or_default();
    let made =
        objects.create_index_with_str_and_optional_parameters(&index.name, &path, &parameters);
    made.map(drop).map_err(|source| {
        error::failed("make an index", Some(store.collection.name()), source.into())
    })
}

fn check_key(store: &Store, objects: &IdbObjectStore) -> Result<()> {
    let there = objects.key_path().unwrap_or(JsValue::NULL);
    let wanted = store.key_path();
    let fits = match (&wanted, store.key) {
        (Some(wanted), _) => native::same_path(wanted, &there),
        (None, KeyForm::Encoded | KeyForm::Beside | KeyForm::Native) => there.is_null(),
    };
    if fits {
        return Ok(());
    }
    let own = wanted.map_or_else(|| "a key beside the object".to_owned(), |path| shown(&path));
    Err(mismatch(
        store,
        &format!("its key is {}, the schema's is {own}; a key cannot be changed", shown(&there)),
    ))
}

/// Positions of indices that are not there.
fn missing_indices(store: &Store, objects: &IdbObjectStore) -> Result<Vec<usize>> {
    let names = objects.index_names();
    let mut missing = Vec::new();
    for (at, index) in store.indices.iter().enumerate() {
        if store.collection.is_adopted() {
            if store.live_index(objects, index).is_err() {
                missing.push(at);
            }
            continue;
        }
        if !names.contains(&index.name) {
            missing.push(at);
            continue;
        }
        let there = objects.index(&index.name).map_err(|source| {
            error::failed("open an index", Some(store.collection.name()), source.into())
        })?;
        let path = there.key_path().unwrap_or(JsValue::NULL);
        let fits = native::same_path(&store.index_path(index), &path)
            && there.unique() == index.unique
            && there.multi_entry() == index.multi_entry;
        if !fits {
            return Err(mismatch(
                store,
                &format!("its index `{}` is on {}", index.name, shown(&path)),
            ));
        }
    }
    Ok(missing)
}

/// Indices that an older schema had; those of others are not ours to remove.
fn obsolete_indices(store: &Store, objects: &IdbObjectStore) -> Vec<String> {
    if store.collection.is_adopted() {
        return Vec::new();
    }
    let is_ours = |name: &String| {
        let path = objects.index(name).ok().and_then(|index| index.key_path().ok());
        path.and_then(|path| path.as_string()).is_some_and(|path| path.starts_with(ENTRIES))
    };
    let names = objects.index_names();
    let names = (0..names.length()).filter_map(|at| names.get(at));
    let wanted = |name: &String| {
        store.indices.iter().any(|index| index.name == *name && index.form != IndexForm::Native)
    };
    names.filter(|name| !wanted(name) && is_ours(name)).collect()
}

fn shown(path: &JsValue) -> String {
    match path.dyn_ref::<js_sys::Array>() {
        Some(parts) => parts.iter().map(|part| shown(&part)).collect::<Vec<_>>().join("+"),
        None => path
            .as_string()
            .map_or_else(|| "beside the object".to_owned(), |path| format!("`{path}`")),
    }
}

pub(crate) fn store_names(database: &IdbDatabase) -> BTreeSet<String> {
    let names = database.object_store_names();
    (0..names.length()).filter_map(|at| names.get(at)).collect()
}

fn mismatch(store: &Store, reason: &str) -> Error {
    Error::SchemaMismatch {
        collection: Name::clone(store.collection.name()),
        reason: reason.to_owned(),
    }
}

/// The browser's own failure of an opening.
pub(crate) fn refused(source: DomError) -> Error {
    error::failed("open the database", None, source)
}
