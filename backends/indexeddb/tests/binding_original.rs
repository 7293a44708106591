//! `indexed_db_futures` 0.6.4: what it has wrong, of which the fork has mended some.

#![cfg(target_family = "wasm")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod binding;

use std::cell::RefCell;
use std::rc::Rc;

use original_indexed_db_futures as crate_under_test;

use crate_under_test::database::Database;
use crate_under_test::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test;

use binding::{unique, version};

async fn opened(name: &str) -> Database {
    Database::open(name)
        .with_version(1_u32)
        .with_on_upgrade_needed(|_, database| {
            database.create_object_store("kv").build()?;
            Ok(())
        })
        .await
        .unwrap()
}

/// Fault 1: the upgrade does not get its transaction, so stores that exist cannot be reached.
#[wasm_bindgen_test]
async fn an_upgrade_does_not_reach_the_stores_that_exist() {
    let name = unique("no-transaction");
    opened(&name).await.close();
    let error = Rc::new(RefCell::new(String::new()));
    let seen = Rc::clone(&error);
    let upgraded =
        Database::open(&*name).with_version(2_u32).with_on_upgrade_needed(move |_, database| {
            *seen.borrow_mut() = database.transaction("kv").build().unwrap_err().to_string();
            Ok(())
        });
    upgraded.await.unwrap().close();
    assert!(error.borrow().contains("version change transaction is running"), "{}", error.borrow());
}

/// Fault 2: an asynchronous upgrade that fails after an await is committed.
#[wasm_bindgen_test]
async fn an_upgrade_that_fails_is_committed() {
    let name = unique("fails");
    opened(&name).await.close();
    let upgraded = Database::open(&*name).with_version(2_u32).with_on_upgrade_needed_fut(
        |_, database| async move {
            let half = database.create_object_store("half").build()?;
            half.put("x").with_key("k").await?;
            Err(js_sys::Error::new("on purpose").into())
        },
    );
    let error = upgraded.await.map(|_| ()).unwrap_err().to_string();
    assert!(!error.contains("on purpose"), "{error}");
    assert_eq!(version(&name).await, Some(2.0));
}
