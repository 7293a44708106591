//! What is said on the channel: arrays, which the browser clones.
//!
//! ```text
//!   [FORMAT, number]                                            it begins
//!   [FORMAT, number, GIVEN_UP]                                  nothing was written
//!   [FORMAT, number, SOMETHING]                                 more was written than is worth telling
//!   [FORMAT, number, LOCAL | SYNC, collection, kind, [key, …], collection, …]
//! ```
//!
//! The values of keys look as they do in objects; the parts of a compound key stand one behind another.

use js_sys::Array;
use storex_core::{ChangeKind, ChangeSet, Key, Name, ObjectChange, Origin};
use wasm_bindgen::{JsCast, JsValue};

use crate::layout::{Store, Stores};
use crate::value::{int_of_js, int_to_js};

/// Another one for any other form of a message.
const FORMAT: i64 = 1;

const LOCAL: i64 = 0;
const SYNC: i64 = 1;
const GIVEN_UP: i64 = 2;
const SOMETHING: i64 = 3;

/// With more keys than this, a set is not told in whole: whoever hears of it reads everything again.
const MOST_KEYS: usize = 4096;

/// What another tab or worker says.
#[derive(Debug)]
pub(super) enum Message {
    /// A commit begins.
    Begun(i64),
    /// A commit is over.
    Over(i64, Over),
}

/// How a commit ended.
#[derive(Debug)]
pub(super) enum Over {
    /// Nothing was written.
    GivenUp,
    /// Too much was written to tell what.
    Something,
    /// This was written.
    Committed(ChangeSet),
}

pub(super) fn begun(number: i64) -> Array {
    [FORMAT, number].map(int_to_js).iter().collect()
}

pub(super) fn given_up(number: i64) -> Array {
    [FORMAT, number, GIVEN_UP].map(int_to_js).iter().collect()
}

pub(super) fn committed(number: i64, set: &ChangeSet, stores: &Stores) -> Array {
    let origin = match set.origin {
        Origin::Local => LOCAL,
        Origin::Sync => SYNC,
    };
    let count: usize = set.changes.iter().map(|change| change.keys.len()).sum();
    let is_whole = count <= MOST_KEYS;
    let first = [FORMAT, number, if is_whole { origin } else { SOMETHING }];
    let message: Array = first.map(int_to_js).iter().collect();
    for change in set.changes.iter().filter(|_| is_whole) {
        let Some(store) = stores.get(&change.collection) else { continue };
        message.push(&JsValue::from_str(&change.collection));
        message.push(&int_to_js(number_of(change.kind)));
        message.push(&keys_to_js(store, &change.keys));
    }
    message
}

/// What a message says; `None` for what is none that this build knows.
pub(super) fn read(message: &JsValue, stores: &Stores) -> Option<Message> {
    let mut parts = message.dyn_ref::<Array>()?.iter();
    if int_of_js(&parts.next()?)? != FORMAT {
        return None;
    }
    let number = int_of_js(&parts.next()?)?;
    let Some(how) = parts.next() else { return Some(Message::Begun(number)) };
    let origin = match int_of_js(&how)? {
        GIVEN_UP => return Some(Message::Over(number, Over::GivenUp)),
        SOMETHING => return Some(Message::Over(number, Over::Something)),
        LOCAL => Origin::Local,
        SYNC => Origin::Sync,
        _ => return None,
    };
    let mut changes = Vec::new();
    while let Some(collection) = parts.next() {
        let store = stores.get(collection.as_string()?.as_str())?;
        let kind = kind_of(int_of_js(&parts.next()?)?)?;
        let keys = keys_of_js(store, parts.next()?.dyn_ref()?)?;
        let collection = Name::clone(store.collection.name());
        changes.push(ObjectChange { collection, kind, keys });
    }
    Some(Message::Over(number, Over::Committed(ChangeSet { origin, changes })))
}

fn number_of(kind: ChangeKind) -> i64 {
    match kind {
        ChangeKind::Created => 0,
        ChangeKind::Updated => 1,
        ChangeKind::Deleted => 2,
    }
}

fn kind_of(number: i64) -> Option<ChangeKind> {
    let kinds = [ChangeKind::Created, ChangeKind::Updated, ChangeKind::Deleted];
    kinds.into_iter().find(|kind| number_of(*kind) == number)
}

fn keys_to_js(store: &Store, keys: &[Key]) -> Array {
    let parts = keys.iter().flat_map(|key| store.collection.primary_key().iter().zip(key.values()));
    parts.map(|(at, value)| store.form(*at).to_js(value)).collect()
}

fn keys_of_js(store: &Store, parts: &Array) -> Option<Vec<Key>> {
    let mut parts = parts.iter();
    let mut keys = Vec::new();
    while parts.len() > 0 {
        let mut key = Vec::new();
        for at in store.collection.primary_key() {
            key.push(store.form(*at).of_js(&parts.next()?).ok().filter(|it| !it.is_null())?);
        }
        keys.push(Key::compound(key));
    }
    Some(keys)
}
