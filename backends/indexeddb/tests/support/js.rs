//! JavaScript of the tests: what a program without storex sees of a database, and what it does to it.

use js_sys::{Function, Promise};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// What the bodies may use: requests and openings as promises, and values as texts that tell their kinds.
const PRELUDE: &str = r"
    const answer = request => new Promise((done, failed) => {
        request.onsuccess = () => done(request.result);
        request.onerror = () => failed(request.error);
    });
    const open = name => answer(indexedDB.open(name));
    const shown = value =>
        value === null ? 'null'
        : typeof value === 'string' ? JSON.stringify(value)
        : typeof value !== 'object' ? `${typeof value} ${Object.is(value, -0) ? '-0' : value}`
        : value instanceof Date ? `Date ${value.toISOString()}`
        : value instanceof Uint8Array ? `Uint8Array ${[...value]}`
        : value instanceof Number ? `Number object ${value}`
        : Array.isArray(value) ? `[${value.map(shown).join(', ')}]`
        : Object.getPrototypeOf(value) !== Object.prototype ? `object ${value.constructor.name}`
        : `{${Object.entries(value).map(([name, value]) => `${name}: ${shown(value)}`).join(', ')}}`;
";

/// What an asynchronous function with this body gives.
pub(crate) async fn js(arguments: &[(&str, JsValue)], body: &str) -> JsValue {
    try_js(arguments, body).await.unwrap_or_else(|thrown| panic!("JavaScript threw {thrown:?}"))
}

/// As [`js`]; the error is what it throws.
pub(crate) async fn try_js(arguments: &[(&str, JsValue)], body: &str) -> Result<JsValue, JsValue> {
    let names: Vec<&str> = arguments.iter().map(|(name, _)| *name).collect();
    let values = arguments.iter().map(|(_, value)| value).collect::<js_sys::Array>();
    let body = format!("{PRELUDE}\nreturn (async () => {{ {body} }})()");
    let promise =
        Function::new_with_args(&names.join(","), &body).apply(&JsValue::UNDEFINED, &values)?;
    JsFuture::from(promise.dyn_into::<Promise>()?).await
}

/// The objects of a store, each as a text that tells the kinds of its values, without the entries of indices.
pub(crate) async fn stored(database: &str, store: &str) -> Vec<String> {
    let body = "
        const db = await open(database);
        const objects = await answer(db.transaction(store).objectStore(store).getAll());
        db.close();
        const own = ([name]) => !name.startsWith('_storex_');
        return objects.map(object => shown(Object.fromEntries(Object.entries(object).filter(own))));
    ";
    texts(js(&[("database", database.into()), ("store", store.into())], body).await)
}

/// The keys of a store, as texts that tell their kinds.
pub(crate) async fn stored_keys(database: &str, store: &str) -> Vec<String> {
    let body = "
        const db = await open(database);
        const keys = await answer(db.transaction(store).objectStore(store).getAllKeys());
        db.close();
        return keys.map(key => shown(key instanceof ArrayBuffer ? new Uint8Array(key) : key));
    ";
    texts(js(&[("database", database.into()), ("store", store.into())], body).await)
}

/// The version, the stores and their keys and indices, and all objects: what another program can see of a database.
/// `None`: there is none of that name, and none was made by looking.
pub(crate) async fn snapshot(database: &str) -> Option<String> {
    let body = "
        if (!(await indexedDB.databases()).some(one => one.name === database)) return null;
        const db = await open(database);
        const lines = [`version ${db.version}`];
        for (const name of db.objectStoreNames) {
            const store = db.transaction(name).objectStore(name);
            const indices = [...store.indexNames].map(name => {
                const index = store.index(name);
                return `${name}: ${index.keyPath} ${index.unique}`;
            });
            lines.push(`${name}: ${store.keyPath}; ${indices.join('; ')}`);
            lines.push(...(await answer(store.getAll())).map(shown));
        }
        db.close();
        return lines.join('\\n');
    ";
    js(&[("database", database.into())], body).await.as_string()
}

/// A connection of a program that does not care for anybody else: it stays open until it is [`let_go`].
pub(crate) async fn hold(database: &str) -> JsValue {
    js(&[("database", database.into())], "return await open(database)").await
}

/// Closes a connection.
pub(crate) async fn let_go(connection: &JsValue) {
    js(&[("connection", connection.clone())], "connection.close()").await;
}

/// Deletes a database.
pub(crate) async fn delete(database: &str) {
    js(&[("database", database.into())], "await answer(indexedDB.deleteDatabase(database))").await;
}

/// The texts of an array.
pub(crate) fn texts(array: JsValue) -> Vec<String> {
    let array: js_sys::Array = array.unchecked_into();
    array.iter().map(|text| text.as_string().unwrap_or_else(|| format!("{text:?}"))).collect()
}
