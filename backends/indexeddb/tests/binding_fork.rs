//! The fork of `indexed_db_futures` that storex opens databases with: what it has mended, and what it has not.

#![cfg(target_family = "wasm")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod binding;

use std::cell::Cell;
use std::rc::Rc;

use indexed_db_futures as crate_under_test;

use crate_under_test::database::{Database, VersionChangeEvent};
use crate_under_test::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test;

use binding::{is_held, milliseconds, unique, version};

type Transaction<'a> = crate_under_test::transaction::Transaction<'a>;

async fn opened(name: &str) -> Database {
    Database::open(name)
        .with_version(1_u32)
        .with_on_upgrade_needed(|_, transaction| {
            transaction.db().create_object_store("kv").build()?;
            Ok(())
        })
        .await
        .unwrap()
}

/// Fault 1 is mended.
#[wasm_bindgen_test]
async fn an_upgrade_reaches_the_stores_that_exist() {
    let name = unique("transaction");
    opened(&name).await.close();
    let reached = Rc::new(Cell::new(false));
    let seen = Rc::clone(&reached);
    let upgraded =
        Database::open(&*name).with_version(2_u32).with_on_upgrade_needed(move |_, transaction| {
            seen.set(transaction.object_store("kv").is_ok());
            Ok(())
        });
    upgraded.await.unwrap().close();
    assert!(reached.get());
}

/// Fault 2 is mended.
#[wasm_bindgen_test]
async fn an_upgrade_that_fails_is_rolled_back() {
    let name = unique("fails");
    opened(&name).await.close();
    let upgraded = Database::open(&*name).with_version(2_u32).with_on_upgrade_needed_fut(
        async |_: VersionChangeEvent, transaction: &Transaction<'_>| {
            let half = transaction.db().create_object_store("half").build()?;
            half.put("x").with_key("k").await?;
            Err(js_sys::Error::new("on purpose").into())
        },
    );
    let error = upgraded.await.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("on purpose"), "{error}");
    assert_eq!(version(&name).await, Some(1.0));
}

/// Not mended: an upgrade that awaited something else and failed is committed, its error is lost, and the database stays
/// open. Ours: `an_upgrade_that_awaits_something_else_is_told`.
#[wasm_bindgen_test]
async fn an_upgrade_that_awaits_something_else_is_not_told_and_leaves_the_database_open() {
    let name = unique("left");
    let upgraded = Database::open(&*name).with_version(1_u32).with_on_upgrade_needed_fut(
        async |_: VersionChangeEvent, transaction: &Transaction<'_>| {
            transaction.db().create_object_store("half").build()?;
            milliseconds(50).await;
            Err(js_sys::Error::new("on purpose").into())
        },
    );
    let error = upgraded.await.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("polled unexpectedly"), "{error}");
    assert_eq!(version(&name).await, Some(1.0));
    assert!(is_held(&name).await);
}
