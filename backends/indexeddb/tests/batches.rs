//! A batch is one transaction: all of it is stored or nothing, whatever happens to it and whenever.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use storex_core::{
    Backend, Batch, Changes, Definition, Error, ErrorKind, FieldType, Filter, KeyFormat, Query,
    Record, Step, field,
};
use storex_indexeddb::{Durability, IndexedDbBackend};
use support::js::snapshot;
use support::shim::Shim;
use support::{dropped_after, fresh_name, is_fake, opened, record, registry};
use wasm_bindgen_test::wasm_bindgen_test;

fn definitions() -> [Definition; 3] {
    ["a", "b", "c"].map(|name| {
        Definition::new(name).key_format(KeyFormat::Int).field("n", FieldType::Int).unique(["n"])
    })
}

fn row(n: i64) -> Record {
    record([n.into(), n.into()])
}

/// Keeps the stores, mode and durability of each transaction.
fn transactions(name: &str) -> Shim {
    let body = "log.push(`${[...args[0]].sort()} ${args[1]} ${args[2].durability}`); return original(...args);";
    Shim::new(name, "IDBDatabase", "transaction", body)
}

#[wasm_bindgen_test]
async fn a_batch_is_one_transaction_over_the_stores_that_it_names() {
    let name = fresh_name();
    let backend = opened(&name, definitions()).await;
    let transactions = transactions(&name);
    let batch =
        Batch::new().create("a", vec![row(1)]).update("b", Filter::All, Changes::new().set("n", 1));
    backend.execute(batch).await.unwrap();
    let later = |_: &storex_core::Trace| Ok(vec![Step::create("c", vec![row(1)])]);
    backend
        .execute(Batch::new().touching(["c"]).create("a", vec![row(2)]).then(later))
        .await
        .unwrap();
    backend.execute(Batch::new().find(Query::new("a")).require(Query::new("b"), 0)).await.unwrap();
    backend.find(Query::new("c")).await.unwrap();
    backend.count(Query::new("c")).await.unwrap();
    assert_eq!(
        transactions.log(),
        [
            "a,b readwrite relaxed",
            "a,c readwrite relaxed",
            "a,b readonly relaxed",
            "c readonly relaxed",
            "c readonly relaxed"
        ]
    );
}

#[wasm_bindgen_test]
async fn a_continuation_cannot_reach_a_store_that_the_batch_has_not_named() {
    let name = fresh_name();
    let backend = opened(&name, definitions()).await;
    let before = snapshot(&name).await;
    let elsewhere = |_: &storex_core::Trace| Ok(vec![Step::create("c", vec![row(1)])]);
    let error =
        backend.execute(Batch::new().create("a", vec![row(1)]).then(elsewhere)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(snapshot(&name).await, before);
}

#[wasm_bindgen_test]
async fn durability_is_as_named_and_a_flush_is_strict() {
    let name = fresh_name();
    for (durability, named) in [(Durability::Relaxed, "relaxed"), (Durability::Strict, "strict")] {
        let backend = IndexedDbBackend::builder(&*name).durability(durability).build().unwrap();
        backend.open(registry(definitions())).await.unwrap();
        let transactions = transactions(&name);
        backend.execute(Batch::new().delete("a", Filter::All)).await.unwrap();
        backend.flush().await.unwrap();
        let [write, flush] = transactions.log().try_into().unwrap();
        assert_eq!(write, format!("a readwrite {named}"));
        assert!(flush.ends_with(" readwrite strict"), "{flush}");
    }
}

#[wasm_bindgen_test]
async fn writes_are_sent_without_awaiting_each() {
    let name = fresh_name();
    let backend = opened(&name, definitions()).await;
    for (method, batch) in [
        ("add", Batch::new().create("a", (0..1000).map(row).collect())),
        ("add", (0..1000).fold(Batch::new(), |batch, n| batch.create("b", vec![row(n)]))),
        ("delete", Batch::new().delete("a", Filter::All)),
    ] {
        let body = "
            const request = original(...args);
            request.addEventListener('success', () => log.push('success'));
            log.push('sent');
            return request;";
        let sent = Shim::new(&name, "IDBObjectStore", method, body);
        backend.execute(batch).await.unwrap();
        let log = sent.log();
        assert_eq!(log.iter().position(|entry| entry == "success"), Some(1000), "{method}");
    }
}

/// Reads, writes, reads what was written, writes again.
fn mixed(n: i64) -> Batch {
    Batch::new()
        .create("a", vec![row(n), row(n + 1)])
        .find(Query::new("a").filter(field("n").eq(n)))
        .update("b", Filter::All, Changes::new().increment("n", 1))
        .touching(["c"])
        .then(move |_| Ok(vec![Step::create("c", vec![row(n)]), Step::Find(Query::new("c"))]))
        .delete("b", field("n").lt(0))
}

#[wasm_bindgen_test]
async fn a_batch_that_is_dropped_at_any_poll_is_stored_whole_or_not_at_all() {
    let name = fresh_name();
    let backend = opened(&name, definitions()).await;
    backend.execute(Batch::new().create("b", vec![row(1)])).await.unwrap();
    let commits = Shim::new(
        &name,
        "IDBTransaction",
        "commit",
        "log.push('commit'); return original(...args);",
    );
    let (mut none, mut whole) = (0, 0);
    for polls in 0.. {
        let before = snapshot(&name).await;
        commits.forget();
        let done = dropped_after(polls, backend.execute(mixed(i64::from(polls) * 2))).await;
        // Behind the write, if it is still under way.
        let stored = backend
            .count(Query::new("a").filter(field("n").gte(i64::from(polls) * 2)))
            .await
            .unwrap();
        if commits.log().is_empty() {
            assert_eq!(snapshot(&name).await, before, "dropped after {polls} polls");
            none += 1;
        } else {
            assert_eq!(stored, 2, "dropped after {polls} polls");
            let moved = backend.find(Query::new("b")).await.unwrap();
            whole += 1;
            assert_eq!(moved[0].get(1).as_int(), Some(1 + whole), "dropped after {polls} polls");
        }
        if let Some(done) = done {
            done.unwrap();
            break;
        }
    }
    assert!(none >= 3 && whole >= 1, "{none} times nothing, {whole} times all of it");
}

/// Makes the n-th of all writing requests fail, and gives how many there were.
fn failing_at(name: &str, n: usize, how: &str) -> Vec<Shim> {
    ["add", "put", "delete"]
        .map(|method| {
            let body = format!(
                "globalThis.sent = (globalThis.sent ?? 0) + 1;
                if (globalThis.sent === {n} + 1) {{ {how} }}
                return original(...args);"
            );
            Shim::new(name, "IDBObjectStore", method, &body)
        })
        .into()
}

async fn sent_so_far() -> usize {
    let sent = support::js::js(
        &[],
        "const sent = globalThis.sent ?? 0; globalThis.sent = 0; return sent;",
    )
    .await;
    sent.as_f64().unwrap() as usize
}

#[wasm_bindgen_test]
async fn a_batch_that_fails_at_any_request_stores_nothing() {
    // Thrown at once, given up by the browser, and refused in an answer that comes later.
    let thrown = "throws('UnknownError', 'Internal error.');";
    let aborted = "const request = original(...args); self.transaction.abort(); return request;";
    let refused = "
        const key = args.length > 1 ? args[1] : undefined;
        if (!args[0] || args[0] instanceof Uint8Array) throws('UnknownError', 'a delete fails at once');
        self.put(args[0], key);
        return saying(self.add(args[0], key), 'QuotaExceededError', 'over quota');";
    for how in [thrown, aborted, refused] {
        if how == aborted && is_fake() {
            continue; // there the requests of an aborted transaction are answered at once
        }
        let name = fresh_name();
        let backend = opened(&name, definitions()).await;
        backend.execute(Batch::new().create("b", vec![row(-5), row(3)])).await.unwrap();
        let before = snapshot(&name).await;
        sent_so_far().await;
        let mut failed = 0;
        loop {
            let shims = failing_at(&name, failed, how);
            let result = backend.execute(mixed(1)).await;
            drop(shims);
            let sent = sent_so_far().await;
            let Err(error) = result else {
                assert_eq!(sent, failed, "all of them were made to fail, one at a time");
                break;
            };
            assert!(error.is_retryable(), "{error}");
            assert_eq!(snapshot(&name).await, before, "request {failed} fails by {how}");
            failed += 1;
        }
        assert!(failed >= 6, "{failed}");
        assert_ne!(snapshot(&name).await, before);
    }
}

#[wasm_bindgen_test]
async fn a_rule_that_is_broken_at_any_place_of_a_batch_stores_nothing_and_is_named() {
    let name = fresh_name();
    let backend = opened(&name, definitions()).await;
    backend.execute(Batch::new().create("a", vec![row(1000)])).await.unwrap();
    let before = snapshot(&name).await;
    for at in 0..20 {
        for (wrong, unique) in [(row(1000), false), (record([2000.into(), 1000.into()]), true)] {
            let mut rows: Vec<Record> = (0..20).map(row).collect();
            rows[at] = wrong;
            let error = backend
                .execute(Batch::new().create("b", vec![row(1)]).create("a", rows))
                .await
                .unwrap_err();
            match error {
                Error::AlreadyExists { key, .. } if !unique => {
                    assert!(key.contains("1000"), "{key}")
                }
                Error::UniqueViolation { index, .. } if unique => assert_eq!(index, "n"),
                other => panic!("{other:?}"),
            }
            assert_eq!(snapshot(&name).await, before, "at {at}");
        }
    }
    // Others go on, also while one fails.
    let (bad, good) = futures_util::future::join(
        backend.execute(Batch::new().create("a", vec![row(1), row(1000)])),
        backend.execute(Batch::new().create("a", vec![row(1), row(2)])),
    )
    .await;
    assert_eq!(bad.unwrap_err().kind(), ErrorKind::Conflict);
    good.unwrap();
    assert_eq!(backend.count(Query::new("a")).await.unwrap(), 3);
}

#[wasm_bindgen_test]
async fn a_commit_that_the_browser_refuses_stores_nothing() {
    let name = fresh_name();
    let backend = opened(&name, definitions()).await;
    let before = snapshot(&name).await;
    for (error, kind) in [
        ("QuotaExceededError", ErrorKind::Full),
        ("UnknownError", ErrorKind::Io),
        ("AbortError", ErrorKind::Io),
        ("null", ErrorKind::Io),
    ] {
        let body = format!("self.abort(); saying(self, '{error}', 'at the commit');");
        let shim = Shim::new(&name, "IDBTransaction", "commit", &body);
        let failed = backend.execute(Batch::new().create("a", vec![row(1)])).await.unwrap_err();
        assert_eq!((failed.kind(), failed.is_retryable()), (kind, true), "{failed}");
        drop(shim);
        assert_eq!(snapshot(&name).await, before, "{error}");
    }
    backend.execute(Batch::new().create("a", vec![row(1)])).await.unwrap();
}
