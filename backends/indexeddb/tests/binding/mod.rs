//! The faults of `indexed_db_futures`: why there is a layer under it (`src/raw`), whose own tests say that it is right
//! where the binding is not.
//!
//! `shared` runs against the fork that storex opens databases with, and against 0.6.4, from which it is forked. They are
//! two test programs, because no wasm module can hold both: each exports an enum `TransactionDurability`, and
//! wasm-bindgen refuses that ("duplicate string enums").
//!
//! A test that fails here after an update of the fork tells of a fault that is mended: its remedy may go.

pub(crate) mod shared;

use js_sys::{Date, Function, Math, Promise};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// A name that no other test has.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}-{}", Date::now(), Math::random())
}

/// What a promise of JavaScript gives; `name` is an argument of it.
async fn javascript(name: &str, body: &str) -> JsValue {
    let promise = Function::new_with_args("name", body).call1(&JsValue::NULL, &name.into());
    JsFuture::from(promise.unwrap().unchecked_into::<Promise>()).await.unwrap()
}

pub(crate) async fn milliseconds(milliseconds: u32) {
    let body = format!("return new Promise(done => setTimeout(done, {milliseconds}))");
    javascript("", &body).await;
}

/// The version of a database that may be open; `None` when there is none.
pub(crate) async fn version(name: &str) -> Option<f64> {
    let body =
        "return indexedDB.databases().then(all => all.find(one => one.name === name)?.version)";
    javascript(name, body).await.as_f64()
}

/// Whether somebody holds a database open, also when asked to let it go. If nobody does, it is deleted.
pub(crate) async fn is_held(name: &str) -> bool {
    let body = "return new Promise(done => {
        const request = indexedDB.deleteDatabase(name);
        request.onblocked = () => done(true);
        request.onsuccess = () => done(false);
    })";
    javascript(name, body).await.is_truthy()
}
