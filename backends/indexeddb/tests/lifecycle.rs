//! Opening, closing, other tabs, and a database that is taken away.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{join, join_all, pending};
use storex_core::{Backend, Batch, Definition, Error, ErrorKind, FieldType, Query, Result};
use storex_indexeddb::{IndexedDbBackend, Lost};
use support::js::{delete, hold, js, let_go, snapshot};
use support::runtime::Virtual;
use support::shim::Shim;
use support::{dropped_after, fresh_name, opened, record, registry};
use wasm_bindgen_test::wasm_bindgen_test;

fn note() -> Definition {
    Definition::new("note").field("title", FieldType::String)
}

fn more(name: &str) -> Definition {
    Definition::new(name).field("x", FieldType::Int)
}

fn create(id: &str) -> Batch {
    Batch::new().create("note", vec![record([id.into(), id.into()])])
}

async fn notes(backend: &IndexedDbBackend) -> Result<u64> {
    backend.count(Query::new("note")).await
}

/// What a backend is told of its database being taken away.
type Told = Rc<RefCell<Vec<Lost>>>;

async fn told_backend(
    name: &str,
    definitions: impl IntoIterator<Item = Definition>,
) -> (IndexedDbBackend, Told) {
    let told = Told::default();
    let tell = Rc::clone(&told);
    let builder = IndexedDbBackend::builder(name).on_lost(move |lost| tell.borrow_mut().push(lost));
    let backend = builder.build().unwrap();
    backend.open(registry(definitions)).await.unwrap();
    (backend, told)
}

#[wasm_bindgen_test]
async fn nothing_happens_before_it_is_opened_and_nothing_works_after_it_is_closed() {
    let name = fresh_name();
    let backend = IndexedDbBackend::open(&*name).unwrap();
    assert!(matches!(notes(&backend).await, Err(Error::Closed)));
    assert_eq!((backend.identity(), backend.was_made()), (None, false));
    backend.close().await.unwrap();
    assert_eq!(snapshot(&name).await, None);

    backend.open(registry([note()])).await.unwrap();
    assert!(backend.identity().is_some() && backend.was_made());
    backend.execute(create("a")).await.unwrap();
    backend.close().await.unwrap();
    backend.close().await.unwrap();
    assert!(matches!(notes(&backend).await, Err(Error::Closed)));
    assert!(matches!(backend.find(Query::new("note")).await, Err(Error::Closed)));
    assert!(matches!(backend.execute(create("b")).await, Err(Error::Closed)));
    assert!(matches!(backend.flush().await, Err(Error::Closed)));
    assert_eq!(backend.identity(), None);
}

#[wasm_bindgen_test]
async fn an_empty_name_is_refused() {
    let error = IndexedDbBackend::open("").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[wasm_bindgen_test]
async fn opening_again_changes_nothing() {
    let name = fresh_name();
    let backend = opened(&name, [note(), more("more").index(["x"])]).await;
    backend.execute(create("a")).await.unwrap();
    let identity = backend.identity();
    let before = snapshot(&name).await;
    for _ in 0..2 {
        backend.open(registry([note(), more("more").index(["x"])])).await.unwrap();
        assert_eq!((backend.identity(), backend.was_made()), (identity, false));
    }
    let other = opened(&name, [note(), more("more").index(["x"])]).await;
    assert_eq!(other.identity(), identity);
    // Some of the collections are enough, too.
    let third = opened(&name, [note()]).await;
    assert_eq!(notes(&third).await.unwrap(), 1);
    assert_eq!(snapshot(&name).await, before);
    // Nobody was upset by it.
    assert_eq!(notes(&backend).await.unwrap() + notes(&other).await.unwrap(), 2);
}

#[wasm_bindgen_test]
async fn a_backend_that_is_closed_or_dropped_holds_nobody_up() {
    let name = fresh_name();
    let closed = opened(&name, [note()]).await;
    closed.close().await.unwrap();
    drop(opened(&name, [note()]).await);
    // Blocked, this would fail at once.
    let runtime = Virtual::new(1);
    let builder = IndexedDbBackend::builder(&*name).runtime(runtime.clone());
    builder.build().unwrap().open(registry([note(), more("more")])).await.unwrap();
    assert_eq!(runtime.slept(), [0; 0]);
}

#[wasm_bindgen_test]
async fn a_close_lets_what_runs_finish() {
    let name = fresh_name();
    let backend = opened(&name, [note()]).await;
    let (one, two, closed) = futures_util::future::join3(
        backend.execute(create("a")),
        backend.execute(create("b")),
        backend.close(),
    )
    .await;
    one.unwrap();
    two.unwrap();
    closed.unwrap();
    assert_eq!(notes(&opened(&name, [note()]).await).await.unwrap(), 2);
}

#[wasm_bindgen_test]
async fn an_open_database_makes_way_for_a_newer_one_and_is_told() {
    let name = fresh_name();
    let (old, told) = told_backend(&name, [note()]).await;
    old.execute(create("a")).await.unwrap();
    let runtime = Virtual::new(1);
    let new = IndexedDbBackend::builder(&*name).runtime(runtime.clone()).build().unwrap();
    // What runs is finished first.
    let (written, upgraded) =
        join(old.execute(create("b")), new.open(registry([note(), more("more")]))).await;
    written.unwrap();
    upgraded.unwrap();
    assert_eq!(runtime.slept(), [0; 0], "nobody was waited for");
    assert_eq!(*told.borrow(), [Lost::Upgraded]);
    let error = notes(&old).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Closed, false));
    assert!(error.to_string().contains("another tab has upgraded it"), "{error}");
    assert_eq!(old.execute(create("c")).await.unwrap_err().kind(), ErrorKind::Closed);

    // It still fits, so the old program may open it again.
    old.open(registry([note()])).await.unwrap();
    assert_eq!(notes(&old).await.unwrap(), 2);
    assert_eq!(notes(&new).await.unwrap(), 2, "that took nothing away from the new one");
    assert_eq!(*told.borrow(), [Lost::Upgraded]);
}

#[wasm_bindgen_test]
async fn a_deleted_database_is_told_and_made_anew_only_by_opening_it() {
    let name = fresh_name();
    let (backend, told) = told_backend(&name, [note()]).await;
    backend.execute(create("a")).await.unwrap();
    let identity = backend.identity().unwrap();
    delete(&name).await;
    assert_eq!(*told.borrow(), [Lost::Deleted]);
    let error = notes(&backend).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("it was deleted"), "{error}");
    assert_eq!(snapshot(&name).await, None, "nothing makes it again unasked");

    backend.open(registry([note()])).await.unwrap();
    assert!(backend.was_made());
    assert_ne!(backend.identity(), Some(identity));
    assert_eq!(notes(&backend).await.unwrap(), 0);
}

#[wasm_bindgen_test]
async fn an_evicted_database_is_noticed_by_whoever_expects_it() {
    let name = fresh_name();
    let first = opened(&name, [note()]).await;
    let identity = first.identity().unwrap();
    first.close().await.unwrap();
    let expecting = || IndexedDbBackend::builder(&*name).expecting(identity).build().unwrap();

    let backend = expecting();
    backend.open(registry([note(), more("more")])).await.unwrap();
    assert_eq!((backend.identity(), backend.was_made()), (Some(identity), false));
    backend.close().await.unwrap();

    delete(&name).await;
    let error = expecting().open(registry([note()])).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::NotFound, false));
    assert!(
        error.to_string().contains("evicted") && error.to_string().contains("initial sync"),
        "{error}"
    );
    assert_eq!(snapshot(&name).await, None, "nothing was made");

    // One that came in its place is another, and stays as it is.
    opened(&name, [note()]).await.close().await.unwrap();
    let before = snapshot(&name).await;
    let error = expecting().open(registry([note(), more("more")])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(snapshot(&name).await, before);
    // Also one without a mark, of another program.
    delete(&name).await;
    let_go(&hold(&name).await).await;
    assert_eq!(expecting().open(registry([note()])).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[wasm_bindgen_test]
async fn a_tab_that_does_not_let_go_is_waited_for_and_then_named() {
    let name = fresh_name();
    opened(&name, [note()]).await.execute(create("a")).await.unwrap();
    let before = snapshot(&name).await;
    let held = hold(&name).await;
    let runtime = Virtual::new(1);
    let builder = IndexedDbBackend::builder(&*name).runtime(runtime.clone());
    let backend = builder.blocked_timeout(Duration::from_millis(1234)).build().unwrap();
    let error = backend.open(registry([note(), more("more")])).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Busy, true));
    let text = error.to_string();
    assert!(
        text.contains(&name) && text.contains("1234 ms") && text.contains("close or reload"),
        "{text}"
    );
    assert_eq!(runtime.slept(), [1234]);
    assert!(matches!(notes(&backend).await, Err(Error::Closed)));

    // When the tab lets go at last, the upgrade that nobody waits for leaves nothing.
    let_go(&held).await;
    assert_eq!(snapshot(&name).await, before);
    backend.open(registry([note(), more("more")])).await.unwrap();
    assert_eq!(notes(&backend).await.unwrap(), 1);
    assert_eq!(backend.count(Query::new("more")).await.unwrap(), 0);
}

#[wasm_bindgen_test]
async fn a_tab_that_lets_go_late_holds_up_the_upgrade_only_till_then() {
    let name = fresh_name();
    opened(&name, [note()]).await.close().await.unwrap();
    let held = hold(&name).await;
    let runtime = Virtual::new(1).meanwhile(move || {
        let held = held.clone();
        Box::pin(async move {
            let_go(&held).await;
            pending().await
        })
    });
    let backend = IndexedDbBackend::builder(&*name).runtime(runtime.clone()).build().unwrap();
    backend.open(registry([note(), more("more")])).await.unwrap();
    assert_eq!(runtime.slept(), [5000]);
    assert_eq!(backend.count(Query::new("more")).await.unwrap(), 0);
}

#[wasm_bindgen_test]
async fn an_opening_that_is_dropped_at_any_poll_holds_nobody_up_and_leaves_nothing_by_halves() {
    for there_before in [false, true] {
        for polls in 0.. {
            let name = fresh_name();
            if there_before {
                opened(&name, [note()]).await.execute(create("a")).await.unwrap();
            }
            let definitions = || registry([note(), more("more")]);
            let dropped = IndexedDbBackend::open(&*name).unwrap();
            let done = dropped_after(polls, dropped.open(definitions())).await;
            // Whoever goes on holding the database after some turns of the event loop holds it for ever.
            let turns =
                || js(&[], "for (let n = 0; n < 20; n += 1) await new Promise(setTimeout);");
            let runtime =
                Virtual::new(1).meanwhile(move || Box::pin(async move { drop(turns().await) }));
            let backend = IndexedDbBackend::builder(&*name).runtime(runtime).build().unwrap();
            let opened = backend.open(definitions()).await;
            opened.unwrap_or_else(|error| panic!("dropped after {polls} polls: {error}"));
            backend.execute(create("b")).await.unwrap();
            assert_eq!(
                notes(&backend).await.unwrap(),
                1 + u64::from(there_before),
                "after {polls} polls"
            );
            assert_eq!(backend.count(Query::new("more")).await.unwrap(), 0);
            if let Some(done) = done {
                done.unwrap();
                assert!(polls >= 3, "{polls}");
                break;
            }
        }
    }
}

#[wasm_bindgen_test]
async fn an_opening_that_is_overtaken_by_an_upgrade_looks_again() {
    let name = fresh_name();
    let first = opened(&name, [note()]).await;
    first.execute(create("a")).await.unwrap();
    let identity = first.identity().unwrap();
    first.close().await.unwrap();
    for expected in [false, true] {
        for overtaken in 1..=3 {
            // Another program raises the version while this one looks at the database for the n-th time.
            let how = format!(
                "const transaction = original(...args);
                if (log.push('look') === {overtaken}) {{
                    const request = indexedDB.open(self.name, self.version + 1);
                    request.onsuccess = () => request.result.close();
                }}
                return transaction;"
            );
            let _shim = Shim::new(&name, "IDBDatabase", "transaction", &how);
            let builder = IndexedDbBackend::builder(&*name);
            let builder = if expected { builder.expecting(identity) } else { builder };
            let backend = builder.build().unwrap();
            backend
                .open(registry([note()]))
                .await
                .unwrap_or_else(|error| panic!("{overtaken}, {expected}: {error}"));
            assert_eq!(backend.identity(), Some(identity));
        }
    }
}

#[wasm_bindgen_test]
async fn programs_that_open_it_at_once_with_different_schemas_all_end_well() {
    let stores = ["a", "b", "c", "d"];
    for programs in 2..=stores.len() {
        let name = fresh_name();
        let stores = &stores[..programs];
        // A sleep would never end: whoever has to make way does so by itself.
        let runtime = || Virtual::new(1).meanwhile(|| Box::pin(pending()));
        let program = |_| IndexedDbBackend::builder(&*name).runtime(runtime()).build().unwrap();
        let backends: Vec<IndexedDbBackend> = stores.iter().map(program).collect();
        let opening = backends
            .iter()
            .zip(stores)
            .map(|(backend, own)| backend.open(registry([note(), more(own)])));
        for outcome in join_all(opening).await {
            outcome.unwrap();
        }
        // Every store is there, whole, and each program works: those that were overtaken after they have opened it again.
        let mut identities = Vec::new();
        for (backend, own) in backends.iter().zip(stores) {
            if backend
                .count(Query::new(*own))
                .await
                .is_err_and(|error| error.kind() == ErrorKind::Closed)
            {
                backend.open(registry([note(), more(own)])).await.unwrap();
            }
            let batch = Batch::new().create(*own, vec![record(["k".into(), 1.into()])]);
            backend.execute(batch).await.unwrap();
            identities.push(backend.identity());
        }
        assert!(identities.iter().all(|identity| *identity == identities[0]), "{identities:?}");
        let body = "const db = await open(name); const names = [...db.objectStoreNames]; db.close(); return names.join()";
        let names = js(&[("name", name.into())], body).await.as_string().unwrap();
        assert_eq!(names, format!("_storex_indexeddb,{},note", stores.join(",")));
    }
}
