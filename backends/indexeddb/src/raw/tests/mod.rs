//! What holds in a real browser: of IndexedDB, of its binding, of this layer.
//!
//! No context is asked for, so that all of it runs in a window, a dedicated and a shared worker.

mod awaits;
mod keys;
mod opening;
mod transactions;

use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::Poll;

use js_sys::{Array, Date, Function, Math, Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    IdbDatabase, IdbIndexParameters, IdbObjectStore, IdbObjectStoreParameters, IdbTransaction,
};

use super::{Connection, DomError, Durability, Mode, OpenError, Request, Transaction, open};

/// A name that no other test has.
fn unique(name: &str) -> String {
    format!("{name}-{}-{}", Date::now(), Math::random())
}

fn version(version: u32) -> NonZeroU32 {
    NonZeroU32::new(version).unwrap()
}

/// A promise made by JavaScript.
fn promise(body: &str) -> Promise {
    Function::new_no_args(body).call0(&JsValue::NULL).unwrap().unchecked_into()
}

/// Waits for something that is none of a transaction's requests.
async fn foreign(body: &str) {
    let _ = JsFuture::from(promise(body)).await;
}

async fn milliseconds(milliseconds: u32) {
    foreign(&format!("return new Promise(done => setTimeout(done, {milliseconds}))")).await;
}

async fn never() {
    std::future::pending().await
}

/// Polls a future once.
async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context).is_pending())).await
}

/// The stores of most tests: `kv` with keys beside the values, `log` with numbers, `docs` with indexes.
fn make_stores(database: &IdbDatabase) -> Result<(), JsValue> {
    database.create_object_store("kv")?;
    let numbered = IdbObjectStoreParameters::new();
    numbered.set_auto_increment(true);
    database.create_object_store_with_optional_parameters("log", &numbered)?;
    let keyed = IdbObjectStoreParameters::new();
    keyed.set_key_path(&"id".into());
    let docs = database.create_object_store_with_optional_parameters("docs", &keyed)?;
    docs.create_index_with_str_sequence("a_b", &Array::of2(&"a".into(), &"b".into()))?;
    let unique = IdbIndexParameters::new();
    unique.set_unique(true);
    docs.create_index_with_str_and_optional_parameters("unique", "u", &unique)?;
    let multi = IdbIndexParameters::new();
    multi.set_multi_entry(true);
    docs.create_index_with_str_and_optional_parameters("tags", "tags", &multi)?;
    Ok(())
}

async fn open_stores(name: &str) -> Connection {
    open(name, version(1), never, async |database: IdbDatabase, _: IdbTransaction, _| {
        make_stores(&database)
    })
    .await
    .unwrap()
}

fn write(connection: &Connection) -> Transaction {
    Transaction::begin(
        connection.database(),
        ["kv", "log", "docs"],
        Mode::ReadWrite,
        Durability::Relaxed,
    )
    .unwrap()
}

async fn put(store: &IdbObjectStore, key: &str, value: &str) -> Result<JsValue, DomError> {
    Request::of(store.put_with_key(&value.into(), &key.into()))?.await
}

async fn add(store: &IdbObjectStore, key: &str, value: &str) -> Result<JsValue, DomError> {
    Request::of(store.add_with_key(&value.into(), &key.into()))?.await
}

/// How many rows a store has, in a transaction of its own.
async fn count(database: &IdbDatabase, store: &str) -> f64 {
    let read = Transaction::begin(database, [store], Mode::ReadOnly, Durability::Default).unwrap();
    let count = Request::of(read.store(store).unwrap().count()).unwrap().await.unwrap();
    count.as_f64().unwrap()
}

/// An object of JSON text.
fn json(text: &str) -> JsValue {
    js_sys::JSON::parse(text).unwrap()
}

fn get(object: &Object, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap()
}

fn names(database: &IdbDatabase) -> Vec<String> {
    let names = database.object_store_names();
    (0..names.length()).filter_map(|index| names.get(index)).collect()
}
