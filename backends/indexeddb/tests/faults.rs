//! The ways in which browsers fail, after a census of 3.4 million failed writes (Expensify, App issues 85252 and 87844):
//! a clear typed error each or a recovery, the state before is the state after, and later writes work.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use storex_core::{
    Backend, Batch, Changes, Definition, Error, ErrorKind, FieldType, Filter, KeyFormat, Query,
};
use storex_indexeddb::{IndexedDbBackend, Lost};
use support::js::{delete, js, snapshot};
use support::runtime::Virtual;
use support::shim::Shim;
use support::{fresh_name, is_fake, record, registry};
use wasm_bindgen_test::wasm_bindgen_test;

fn item() -> Definition {
    Definition::new("item").key_format(KeyFormat::Int).optional("n", FieldType::Int)
}

fn create(n: i64) -> Batch {
    Batch::new().create("item", vec![record([n.into(), n.into()])])
}

fn backend(name: &str, runtime: &Virtual) -> IndexedDbBackend {
    IndexedDbBackend::builder(name).runtime(runtime.clone()).build().unwrap()
}

/// A database with one item.
async fn opened(name: &str) -> IndexedDbBackend {
    let backend = backend(name, &Virtual::new(1));
    backend.open(registry([item()])).await.unwrap();
    backend.execute(create(1)).await.unwrap();
    backend
}

/// What browsers say: the name (`null`: no error at all), the words, what it is for us, and whether it may pass.
type Class = (&'static str, &'static str, ErrorKind, bool);

const OPENING: [Class; 9] = [
    (
        "UnknownError",
        "Internal error opening backing store for indexedDB.open.",
        ErrorKind::Io,
        true,
    ),
    (
        "UnknownError",
        "Connection to Indexed Database server lost. Refresh the page to try again",
        ErrorKind::Io,
        true,
    ),
    ("null", "", ErrorKind::Io, true),
    (
        "AbortError",
        "The transaction was aborted, so the request cannot be fulfilled.",
        ErrorKind::Io,
        true,
    ),
    (
        "QuotaExceededError",
        "Encountered full disk while opening backing store for indexedDB.open.",
        ErrorKind::Full,
        true,
    ),
    ("TimeoutError", "The operation timed out.", ErrorKind::Busy, true),
    ("SecurityError", "The operation is insecure.", ErrorKind::Unsupported, false),
    (
        "InvalidStateError",
        "A mutation operation was attempted on a database that did not allow mutations.",
        ErrorKind::Closed,
        false,
    ),
    ("DataError", "Failed to read large IndexedDB value", ErrorKind::Corrupt, false),
];

/// An error of the browser says what it is, and what to do.
#[track_caller]
fn check(error: &Error, (name, words, kind, may_pass): Class) {
    assert_eq!((error.kind(), error.is_retryable()), (kind, may_pass), "{name}: {error}");
    let text = error.to_string();
    let advice = match kind {
        ErrorKind::Full => "free some",
        ErrorKind::Closed => "open the storage again",
        ErrorKind::Unsupported => "may not store anything",
        ErrorKind::Corrupt => "cannot read",
        ErrorKind::Invalid => "",
        _ => "try again",
    };
    assert!(text.contains("indexeddb") && text.contains(advice), "{name}: {text}");
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let said = if name == "null" { "NullError" } else { name };
    assert!(
        source.contains(said) && (words.is_empty() || name == "null" || source.contains(words)),
        "{name}: {source}"
    );
}

#[wasm_bindgen_test]
async fn an_opening_that_fails_tells_why_and_harms_nothing() {
    let name = fresh_name();
    opened(&name).await.close().await.unwrap();
    let before = snapshot(&name).await;
    for class in OPENING {
        let (error, words, kind, _) = class;
        for how in ["throws(", "return failsToOpen(original, "] {
            let how = format!("log.push('open'); {how}'{error}', '{words}');");
            let runtime = Virtual::new(1);
            let backend = backend(&name, &runtime);
            let shim = Shim::new(&name, "IDBFactory", "open", &how);
            let refused = backend.open(registry([item()])).await.unwrap_err();
            let attempts = shim.log().len();
            drop(shim);
            check(&refused, class);
            // What may pass in a moment is tried again, ever more patiently; nothing else is.
            let waits: &[u64] = if kind == ErrorKind::Io { &[50, 200, 800] } else { &[] };
            assert_eq!(runtime.slept(), waits, "{refused}");
            assert_eq!(attempts, waits.len() + 1, "{refused}");
            assert_eq!(snapshot(&name).await, before, "{refused}");
            backend.open(registry([item()])).await.unwrap();
            assert_eq!(backend.count(Query::new("item")).await.unwrap(), 1);
        }
    }
}

#[wasm_bindgen_test]
async fn an_opening_succeeds_when_the_fault_passes() {
    for (times, waits) in [(1, &[50][..]), (2, &[50, 200]), (3, &[50, 200, 800])] {
        let name = fresh_name();
        opened(&name).await.close().await.unwrap();
        let how = format!(
            "if (log.push('open') > {times}) return original(...args);
            return failsToOpen(original, 'UnknownError', 'Internal error opening backing store for indexedDB.open.');"
        );
        let _shim = Shim::new(&name, "IDBFactory", "open", &how);
        let runtime = Virtual::new(1);
        let backend = backend(&name, &runtime);
        backend.open(registry([item()])).await.unwrap();
        assert_eq!(runtime.slept(), waits);
        assert_eq!(backend.count(Query::new("item")).await.unwrap(), 1);
    }
}

#[wasm_bindgen_test]
async fn a_making_that_fails_leaves_nothing_and_is_tried_again() {
    let name = fresh_name();
    // The look whether it is there works, the making does not.
    let how = "
        if (args.length < 2 || log.push('make') > 2) return original(...args);
        return failsToOpen(original, 'UnknownError', 'Internal error opening backing store for indexedDB.open.');";
    let _shim = Shim::new(&name, "IDBFactory", "open", how);
    let runtime = Virtual::new(1);
    let backend = backend(&name, &runtime);
    backend.open(registry([item()])).await.unwrap();
    assert_eq!(runtime.slept(), [50, 200]);
    assert!(backend.was_made());
    backend.execute(create(1)).await.unwrap();
}

#[wasm_bindgen_test]
async fn a_place_without_indexeddb_is_told() {
    let backend = backend(&fresh_name(), &Virtual::new(1));
    let hide = "Object.defineProperty(globalThis, 'indexedDB', { value: undefined, configurable: true, writable: true });";
    let own = js(&[], &format!("const own = Object.getOwnPropertyDescriptor(globalThis, 'indexedDB'); {hide} return own;")).await;
    let refused = backend.open(registry([item()])).await;
    let show = "delete globalThis.indexedDB; if (own) Object.defineProperty(globalThis, 'indexedDB', own);";
    js(&[("own", own)], show).await;
    let error = refused.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unsupported, false));
    assert!(error.to_string().contains("private browsing"), "{error}");
    backend.open(registry([item()])).await.unwrap();
}

/// What a connection says that is gone; opening another one helps.
const GONE: [Class; 4] = [
    ("InvalidStateError", "The database connection is closing.", ErrorKind::Closed, false),
    ("InvalidStateError", "The database connection is closed.", ErrorKind::Closed, false),
    (
        "UnknownError",
        "Connection to Indexed Database server lost. Refresh the page to try again",
        ErrorKind::Io,
        true,
    ),
    ("null", "", ErrorKind::Io, true),
];

/// Each of the operations that begin a transaction.
async fn every_operation(backend: &IndexedDbBackend, n: i64) -> [Result<(), Error>; 4] {
    [
        backend.execute(create(n)).await.map(drop),
        backend.find(Query::new("item")).await.map(drop),
        backend.count(Query::new("item")).await.map(drop),
        backend.flush().await,
    ]
}

#[wasm_bindgen_test]
async fn a_lost_connection_is_opened_again_by_every_operation() {
    for (error, words, ..) in GONE {
        for operation in 0..4 {
            let name = fresh_name();
            let backend = opened(&name).await;
            let identity = backend.identity();
            // The connections that there are fail for ever, new ones work.
            let how = format!(
                "if (log[0] === undefined) log.push(self); if (self !== log[0]) return original(...args);
                throws('{error}', '{words}');"
            );
            let _shim = Shim::new(&name, "IDBDatabase", "transaction", &how);
            let outcome = match operation {
                0 => backend.execute(create(2)).await.map(drop),
                1 => backend.find(Query::new("item")).await.map(drop),
                2 => backend.count(Query::new("item")).await.map(drop),
                _ => backend.flush().await,
            };
            outcome.unwrap_or_else(|failed| panic!("operation {operation}, {error}: {failed}"));
            for outcome in every_operation(&backend, 3).await {
                outcome.unwrap();
            }
            assert_eq!(backend.identity(), identity);
        }
    }
}

#[wasm_bindgen_test]
async fn a_connection_that_is_lost_for_good_is_told() {
    for class in GONE {
        let (error, words, ..) = class;
        let name = fresh_name();
        let backend = opened(&name).await;
        let before = snapshot(&name).await;
        let how = format!("throws('{error}', '{words}');");
        let shim = Shim::new(&name, "IDBDatabase", "transaction", &how);
        for outcome in every_operation(&backend, 2).await {
            check(&outcome.unwrap_err(), class);
        }
        drop(shim);
        assert_eq!(snapshot(&name).await, before);
        for outcome in every_operation(&backend, 2).await {
            outcome.unwrap();
        }
    }
}

/// What requests fail with.
const REQUESTS: [Class; 8] = [
    (
        "QuotaExceededError",
        "The transaction was aborted due to exceeding quota.",
        ErrorKind::Full,
        true,
    ),
    (
        "UnknownError",
        "Connection to Indexed Database server lost. Refresh the page to try again",
        ErrorKind::Io,
        true,
    ),
    ("UnknownError", "Internal error.", ErrorKind::Io, true),
    ("AbortError", "The connection was closed.", ErrorKind::Io, true),
    ("null", "", ErrorKind::Io, true),
    ("DataError", "Failed to read large IndexedDB value", ErrorKind::Corrupt, false),
    ("NotReadableError", "Data lost due to missing file.", ErrorKind::Corrupt, false),
    ("NotFoundError", "The specified object store was not found.", ErrorKind::Invalid, false),
];

#[wasm_bindgen_test]
async fn a_request_that_fails_tells_why_and_harms_nothing() {
    let name = fresh_name();
    let backend = opened(&name).await;
    let before = snapshot(&name).await;
    for class in REQUESTS {
        let (error, words, ..) = class;
        let throwing = format!("throws('{error}', '{words}');");
        // It is answered, late, with this error; what has nobody's attention takes the transaction along.
        let answering = format!(
            "const request = original(...args); self.transaction.abort(); return saying(request, '{error}', '{words}');"
        );
        // Of the transaction it is said, too, where the request only knows that it was given up.
        let giving_up = format!(
            "const request = original(...args); saying(self.transaction, '{error}', '{words}'); self.transaction.abort(); return request;"
        );
        let hows = [&throwing, &answering, &giving_up];
        // In fake-indexeddb the requests of an aborted transaction are answered at once.
        let hows = if is_fake() { &hows[..1] } else { &hows };
        let change = || Batch::new().update("item", Filter::All, Changes::new().set("n", 5));
        for (method, batch) in [
            ("add", create(2)),
            ("put", change()),
            ("delete", Batch::new().delete("item", Filter::All)),
        ] {
            for &how in hows {
                if error == "null" && how == &giving_up {
                    continue; // an abort without an error is one that the program asked for
                }
                let shim = Shim::new(&name, "IDBObjectStore", method, how);
                let failed = backend.execute(batch.clone()).await.unwrap_err();
                drop(shim);
                check(&failed, class);
                assert!(failed.to_string().contains("item"), "{failed}");
                assert_eq!(snapshot(&name).await, before, "{method}: {failed}");
            }
        }
        for &how in hows.iter().take(2) {
            let shim = Shim::new(&name, "IDBObjectStore", "getAll", how);
            check(&backend.find(Query::new("item")).await.unwrap_err(), class);
            check(&backend.execute(change()).await.unwrap_err(), class);
            drop(shim);
            assert_eq!(snapshot(&name).await, before);
        }
    }
    backend.execute(create(2)).await.unwrap();
    assert_eq!(backend.count(Query::new("item")).await.unwrap(), 2);
}

/// The connection of a backend, as an event of the browser would meet it.
async fn connection_of(name: &str, backend: &IndexedDbBackend) -> wasm_bindgen::JsValue {
    let shim =
        Shim::new(name, "IDBDatabase", "transaction", "log.push(self); return original(...args);");
    backend.count(Query::new("item")).await.unwrap();
    shim.last()
}

/// As browsers do when the user clears the data of a site, or the disk fails.
async fn close_by_browser(connection: wasm_bindgen::JsValue) {
    let body = "
        connection.close();
        // fake-indexeddb dispatches no events but its own.
        if (fake) connection.onclose(new Event('close')); else connection.dispatchEvent(new Event('close'));";
    js(&[("connection", connection), ("fake", is_fake().into())], body).await;
}

#[wasm_bindgen_test]
async fn a_connection_that_the_browser_closes_is_told_and_opened_again() {
    let name = fresh_name();
    opened(&name).await.close().await.unwrap();
    let told = Rc::new(RefCell::new(Vec::new()));
    let tell = Rc::clone(&told);
    let builder =
        IndexedDbBackend::builder(&*name).on_lost(move |lost| tell.borrow_mut().push(lost));
    let backend = builder.build().unwrap();
    backend.open(registry([item()])).await.unwrap();
    for times in 1..=3 {
        let connection = connection_of(&name, &backend).await;
        close_by_browser(connection).await;
        assert_eq!(*told.borrow(), vec![Lost::ByBrowser; times]);
        for outcome in every_operation(&backend, 1 + i64::try_from(times).unwrap()).await {
            outcome.unwrap();
        }
    }
    assert_eq!(backend.count(Query::new("item")).await.unwrap(), 4);
    // Whoever opens it again is still in nobody's way.
    delete(&name).await;
    assert_eq!(told.borrow().last(), Some(&Lost::Deleted));
}

#[wasm_bindgen_test]
async fn data_that_the_browser_has_cleared_is_not_replaced_by_an_empty_database() {
    let name = fresh_name();
    let backend = opened(&name).await;
    let connection = connection_of(&name, &backend).await;
    close_by_browser(connection).await;
    delete(&name).await;
    for outcome in every_operation(&backend, 2).await {
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::NotFound, false), "{error}");
        assert!(error.to_string().contains("evicted"), "{error}");
    }
    assert_eq!(snapshot(&name).await, None);
    backend.open(registry([item()])).await.unwrap();
    assert!(backend.was_made());
    backend.execute(create(2)).await.unwrap();
}

#[wasm_bindgen_test]
async fn a_value_that_other_programs_have_written_is_no_reason_to_lose_the_others() {
    let name = fresh_name();
    let backend = opened(&name).await;
    let body = "
        const db = await open(name);
        const store = db.transaction('item', 'readwrite').objectStore('item');
        const key = (await answer(store.getAllKeys()))[0];
        await answer(store.put({ id: 1, n: { strange: true } }, key));
        db.close();";
    js(&[("name", name.clone().into())], body).await;
    let error = backend.find(Query::new("item")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Corrupt, false));
    assert!(error.to_string().contains("item") && error.to_string().contains('n'), "{error}");
    backend.execute(create(2)).await.unwrap();
    let found = backend.find(Query::new("item").filter(Filter::key(2))).await.unwrap();
    assert_eq!(found.len(), 1);
}
