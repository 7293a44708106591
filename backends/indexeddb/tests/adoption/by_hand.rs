//! Databases made by hand: in JavaScript, as the programs do that storex comes to.

use js_sys::{Array, Function, Promise};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

const HELPERS: &str = r#"
const asked = request => new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
});
const ended = transaction => new Promise((done, failed) => {
    transaction.oncomplete = () => done();
    transaction.onabort = () => failed(transaction.error ?? new Error('aborted'));
});
const make = async (version, upgrade) => {
    const request = indexedDB.open(name, version);
    request.onupgradeneeded = () => upgrade(request.result, request.transaction);
    (await asked(request)).close();
};
const change = async (stores, work) => {
    const db = await asked(indexedDB.open(name));
    const transaction = db.transaction(stores, 'readwrite');
    work(...stores.map(store => transaction.objectStore(store)));
    await ended(transaction);
    db.close();
};
const tag = value => {
    if (value === undefined) return '<undefined>';
    if (typeof value === 'bigint') return `<${value}n>`;
    if (value instanceof Date) return `<date ${value.getTime()}>`;
    if (value instanceof ArrayBuffer) return `<buffer ${new Uint8Array(value)}>`;
    if (ArrayBuffer.isView(value)) return `<${value.constructor.name} ${value}>`;
    if (value instanceof Map) return `<map ${[...value].map(tag)}>`;
    if (value instanceof Number) return `<Number ${value}>`;
    if (Array.isArray(value)) return `[${value.map(tag)}]`;
    if (value !== null && typeof value === 'object')
        return `{${Object.entries(value).map(([name, value]) => `${JSON.stringify(name)}:${tag(value)}`)}}`;
    return Object.is(value, -0) ? '-0' : Number.isNaN(value) ? 'NaN' : JSON.stringify(value);
};
const dump = async store => {
    const db = await asked(indexedDB.open(name));
    const objects = db.transaction(store).objectStore(store);
    const [keys, values] = await Promise.all([asked(objects.getAllKeys()), asked(objects.getAll())]);
    db.close();
    return keys.map((key, at) => `${tag(key)} ${tag(values[at])}`);
};
"#;

/// Runs the body of an asynchronous function in which `name` is the database's name and `input` is given.
pub(crate) async fn js(name: &str, body: &str, input: &str) -> JsValue {
    let code = format!("return (async () => {{ {HELPERS} {body} }})()");
    let function = Function::new_with_args("name, input", &code);
    let promise: Promise =
        function.call2(&JsValue::NULL, &name.into(), &input.into()).unwrap().unchecked_into();
    match JsFuture::from(promise).await {
        Ok(result) => result,
        Err(why) => panic!("{why:?}"),
    }
}

/// Every object of a store and its key, with nothing lost on the way.
pub(crate) async fn dump(name: &str, store: &str) -> Vec<String> {
    let lines: Array = js(name, "return dump(input)", store).await.unchecked_into();
    lines.iter().map(|line| line.as_string().unwrap()).collect()
}

/// The version and the stores of the database, those of storex's own aside.
pub(crate) async fn outline(name: &str) -> (f64, Vec<String>) {
    let body = "const db = await asked(indexedDB.open(name)); db.close();
        return [db.version, ...[...db.objectStoreNames].filter(store => !store.startsWith('_storex_'))]";
    let found: Array = js(name, body, "").await.unchecked_into();
    (
        found.get(0).as_f64().unwrap(),
        found.iter().skip(1).map(|it| it.as_string().unwrap()).collect(),
    )
}
