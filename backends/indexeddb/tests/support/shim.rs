//! [`Shim`]: a function of IndexedDB, replaced for one database.

use js_sys::{Function, Reflect};
use wasm_bindgen::{JsCast, JsValue};

use super::js::texts;

/// A function of a class of IndexedDB that does something else for one database; other databases notice nothing. Dropped,
/// it is as it was.
pub(crate) struct Shim {
    parts: JsValue,
}

const INSTALL: &str = r"
    const owner = globalThis[kind].prototype;
    const original = owner[method];
    const log = [];
    const name = {
        IDBFactory: (_, args) => args[0],
        IDBDatabase: self => self.name,
        IDBTransaction: self => self.db.name,
        IDBObjectStore: self => self.transaction.db.name,
        IDBIndex: self => self.objectStore.transaction.db.name,
    }[kind];
    owner[method] = function (...args) {
        if (name(this, args) !== database) return original.apply(this, args);
        return body(this, args, (...other) => original.apply(this, other), log);
    };
    return { log, restore() { owner[method] = original; } };
";

/// What the bodies may use to fail.
const FAILURES: &str = r"
    // An error as browsers make it; null for those that browsers forget to make.
    const dom = (name, message) => name === 'null' ? null : new DOMException(message, name);
    const throws = (name, message) => { throw dom(name, message); };
    // The request, which says that it failed with this when it fails.
    const saying = (request, name, message) => {
        Object.defineProperty(request, 'error', { get: () => dom(name, message), set() {} }); // fake-indexeddb sets it
        return request;
    };
    // An opening that fails with this: of another database, whose making is given up.
    const failsToOpen = (original, name, message) => {
        const request = original(`none ${Math.random()}`);
        request.addEventListener('upgradeneeded', event => {
            event.stopImmediatePropagation();
            request.transaction.abort();
        });
        return saying(request, name, message);
    };
";

impl Shim {
    /// `body` is JavaScript. It has `self`, `args`, `original(..args)` and an array `log`.
    pub(crate) fn new(database: &str, kind: &str, method: &str, body: &str) -> Self {
        let body =
            Function::new_with_args("self,args,original,log", &format!("{FAILURES}\n{body}"));
        let install = Function::new_with_args("database,kind,method,body", INSTALL);
        let arguments = [database.into(), kind.into(), method.into(), JsValue::from(body)];
        let arguments = arguments.iter().collect::<js_sys::Array>();
        Self { parts: install.apply(&JsValue::UNDEFINED, &arguments).unwrap() }
    }

    /// What the body has put into `log`, as texts.
    pub(crate) fn log(&self) -> Vec<String> {
        texts(Reflect::get(&self.parts, &"log".into()).unwrap())
    }

    /// The last thing that the body has put into `log`.
    pub(crate) fn last(&self) -> JsValue {
        let log: js_sys::Array = Reflect::get(&self.parts, &"log".into()).unwrap().unchecked_into();
        log.get(log.length() - 1)
    }

    /// Forgets what is in `log`.
    pub(crate) fn forget(&self) {
        let log: js_sys::Array = Reflect::get(&self.parts, &"log".into()).unwrap().unchecked_into();
        log.set_length(0);
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let restore = Reflect::get(&self.parts, &"restore".into()).unwrap();
        restore.unchecked_into::<Function>().call0(&JsValue::UNDEFINED).unwrap();
    }
}
