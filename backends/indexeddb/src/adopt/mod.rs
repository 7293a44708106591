//! Adoption: the object stores of a database that is there already as collections, used in place.
//!
//! ```text
//! "shop" ──adopt──▶ definitions ──▶ Registry ──▶ Storage over IndexedDbBackend::open("shop")
//!                   left out, and why
//!                   notes: multiEntry indices, properties without a type of storex's, ..
//! ```
//!
//! IndexedDB has no schema beyond keys and indices, so the objects themselves are looked through for what they have.
//! Nothing of theirs is changed: objects keep the properties that storex does not know, and the stores their keys and
//! indices. storex only adds stores of its own, whose names begin with `_storex_`, when the storage is opened.

mod fields;
mod kinds;
mod paths;
mod store;
mod survey;

use storex_core::{Definition, ErrorKind, Registry, Result};

use crate::error;
use crate::raw::{self, DomError, Durability, Mode, Transaction};
use crate::schema;

/// The column of a key that stands beside the objects of an adopted store, which do not hold it.
pub(crate) const KEY_BESIDE: &str = "$key";

/// The prefix of storex's own stores.
const RESERVED_PREFIX: &str = "_storex_";

/// What [`adopt`] has found.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Adoption {
    /// A definition for every object store that can be a collection, under the store's name.
    pub definitions: Vec<Definition>,
    /// The object stores that cannot, and why.
    pub left_out: Vec<LeftOut>,
    /// What to know about the others.
    pub notes: Vec<Note>,
}

/// An object store that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Its name.
    pub store: String,
    /// Why.
    pub reason: String,
}

/// Something to know about an adopted object store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// The object store.
    pub store: String,
    /// The property or index, where it is about one.
    pub subject: Option<String>,
    /// What there is to know.
    pub text: String,
}

/// Reads the object stores of an existing database into definitions of collections. Makes and changes nothing.
///
/// - **Key:** the key path, single or compound. A key beside the objects (no key path) becomes a field `key` (`key_`
///   where they have such a property) with the column `$key`. With autoIncrement it is an
///   [`AutoPk`](storex_core::FieldType::AutoPk) integer; for new objects choose
///   [`KeyGenerator::Int53`](storex_core::KeyGenerator::Int53), since the browser's own counter gives the same numbers on
///   every device.
/// - **Fields:** each property that the objects have. Numbers without a fraction are integers, and floats as soon as one
///   has a fraction; a `Date` is a moment; objects, arrays and most mixtures of kinds are JSON. What is missing or null
///   somewhere is optional.
/// - **Indices:** those over properties, single or compound; `multiEntry` ones are left alone.
/// - **Left out:** stores whose values are no plain objects, whose key lies deeper in them (`"a.b"`) or is an array; and
///   properties of a kind that storex has no type for (`Blob`, `Map`, `BigInt`, `NaN`, ..). They stay in the objects, also
///   when these are updated.
///
/// What storex writes is as JavaScript programs expect it: numbers are numbers, moments are `Date`s, and a null is not written
/// where there was no property; beyond 2^53 an integer is a `BigInt`. Dates inside JSON are read, and written back, as texts.
///
/// The definitions depend on the objects that are there. One that is written past storex later and does not fit is an error
/// that names its field, when it is read: adopt again then. Devices that shall be in step need the same ones: take them
/// from one device, or write them down.
///
/// # The other program
///
/// Opening a storage over the database adds stores to it, which raises its version by one. Dexie 4 opens such a database
/// as before (its own versions are ten apart, which leaves room for nine changes of storex's schema between two of them).
/// Other programs have to open it without a version number, or with the higher one. Both may have it open at the same time;
/// what is not written through storex is not logged.
///
/// **When Dexie upgrades its own schema it deletes every store that the new schema does not name**, storex's log among
/// them: devices then have to begin anew. So name them in the new version, as they are:
///
/// ```js
/// const there = await new Dexie('shop').open();
/// const storex = Object.fromEntries(there.tables.filter(table => table.name.startsWith('_storex_'))
///     .map(({ name, schema }) => [name, [schema.primKey, ...schema.indexes].map(it => it.src).join()]));
/// there.close();
/// db.version(2).stores({ customer: '++id, name, city', ...storex });
/// ```
///
/// # Errors
/// [`Error::Backend`](storex_core::Error::Backend): with [`ErrorKind::NotFound`] when there is no such database, else what
/// the browser says.
///
/// ```no_run
/// # async fn run() -> storex_core::Result<()> {
/// let adoption = storex_indexeddb::adopt("shop").await?;
/// for store in &adoption.left_out {
///     tracing::warn!("{} is left out: {}", store.store, store.reason);
/// }
/// let registry = storex_core::Registry::builder().collections(adoption.definitions).build()?;
/// # let _ = registry; Ok(()) }
/// ```
pub async fn adopt(name: &str) -> Result<Adoption> {
    let failed = |source| error::failed("adopt a database", None, source);
    let connection = raw::open_existing(name).await.map_err(failed)?.ok_or_else(|| {
        error::other(
            "adopt a database",
            ErrorKind::NotFound,
            format!("there is no database `{name}` here; see the name and the origin of the page"),
            "no such database",
        )
    })?;
    let mut adoption = Adoption::default();
    let stores = schema::store_names(connection.database());
    let stores: Vec<String> =
        stores.into_iter().filter(|it| !it.starts_with(RESERVED_PREFIX)).collect();
    if stores.is_empty() {
        return Ok(adoption);
    }
    // One transaction: nobody writes meanwhile.
    let names = stores.iter().map(String::as_str);
    let transaction =
        Transaction::begin(connection.database(), names, Mode::ReadOnly, Durability::Default);
    let transaction = transaction.map_err(failed)?;
    for store in &stores {
        adoption.take(&transaction, store).await.map_err(failed)?;
    }
    Ok(adoption)
}

impl Adoption {
    async fn take(
        &mut self,
        transaction: &Transaction,
        name: &str,
    ) -> std::result::Result<(), DomError> {
        let objects = transaction.store(name)?;
        match store::definition(self, &objects).await? {
            Ok(definition) => {
                let all = self.definitions.iter().cloned().chain([definition.clone()]);
                match Registry::builder().collections(all).build() {
                    Ok(_) => self.definitions.push(definition),
                    // Two stores whose names differ only in case, say.
                    Err(error) => self.leave_out(name, error.to_string()),
                }
            }
            Err(reason) => self.leave_out(name, reason),
        }
        Ok(())
    }

    fn leave_out(&mut self, store: &str, reason: String) {
        tracing::warn!(store, reason, "an object store is not adopted");
        self.notes.retain(|note| note.store != store);
        self.left_out.push(LeftOut { store: store.to_owned(), reason });
    }

    fn note(&mut self, store: &str, subject: Option<&str>, text: impl Into<String>) {
        let text = text.into();
        tracing::info!(store, subject, text, "to know about an adopted object store");
        self.notes.push(Note {
            store: store.to_owned(),
            subject: subject.map(str::to_owned),
            text,
        });
    }
}
