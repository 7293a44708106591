//! What both have wrong.

use std::pin::pin;

use futures_util::future::{Either, select};
use wasm_bindgen_test::wasm_bindgen_test;

use super::{is_held, milliseconds, unique, version};
use crate::crate_under_test::KeyRange;
use crate::crate_under_test::database::Database;
use crate::crate_under_test::prelude::*;
use crate::crate_under_test::transaction::{Transaction, TransactionMode};
use crate::opened;

fn write(database: &Database) -> Transaction<'_> {
    database.transaction("kv").with_mode(TransactionMode::Readwrite).build().unwrap()
}

async fn rows(database: &Database) -> u32 {
    let transaction = database.transaction("kv").build().unwrap();
    let store = transaction.object_store("kv").unwrap();
    store.count().await.unwrap()
}

/// Puts a row, fails to add one, and goes on as if nothing had been.
async fn swallow_an_error(transaction: &Transaction<'_>) {
    let store = transaction.object_store("kv").unwrap();
    store.put("1").with_key("k").await.unwrap();
    assert!(store.add("2").with_key("k").await.is_err());
}

/// Fault 3: `..x` holds x, and `..=x` does not.
#[wasm_bindgen_test]
async fn ranges_without_a_beginning_are_swapped() {
    let database = opened(&unique("ranges")).await;
    let transaction = write(&database);
    let store = transaction.object_store("kv").unwrap();
    for key in 1..=5_u32 {
        store.put(key).with_key(key).build().unwrap();
    }
    let without: u32 = store.count().with_query(..3_u32).await.unwrap();
    let with: u32 = store.count().with_query(..=3_u32).await.unwrap();
    assert_eq!((without, with), (3, 2));
    let below = KeyRange::UpperBound(3_u32, true);
    let named: u32 = store.count().with_query::<u32, _>(below).await.unwrap();
    assert_eq!(named, 2);
}

/// Fault 4: a commit right after a swallowed error says that it failed, and commits.
/// Ours: `a_failed_request_that_somebody_looks_at_fails_alone`.
#[wasm_bindgen_test]
async fn a_commit_that_says_it_failed_commits() {
    let database = opened(&unique("commits")).await;
    let transaction = write(&database);
    swallow_an_error(&transaction).await;
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(rows(&database).await, 1, "{error}");
}

/// Fault 5: a commit of what has committed by itself says that it failed.
/// Ours: `commit_tells_of_one_that_was_over_before`.
#[wasm_bindgen_test]
async fn a_commit_after_the_browsers_own_says_it_failed() {
    let database = opened(&unique("by-itself")).await;
    let transaction = write(&database);
    transaction.object_store("kv").unwrap().put("1").with_key("k").await.unwrap();
    milliseconds(20).await;
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(rows(&database).await, 1, "{error}");
}

/// Fault 6: a failed request takes its transaction along, though its error was handled, a moment later.
/// Ours: `a_failed_request_that_somebody_looks_at_fails_alone`.
#[wasm_bindgen_test]
async fn no_request_fails_alone() {
    let database = opened(&unique("alone")).await;
    let transaction = write(&database);
    swallow_an_error(&transaction).await;
    milliseconds(5).await;
    let store = transaction.object_store("kv");
    assert!(store.is_err() || store.unwrap().put("3").with_key("k3").await.is_err());
    assert!(transaction.commit().await.is_err());
    assert_eq!(rows(&database).await, 0);
}

/// Fault 7: a database that is dropped stays open. Ours: `a_connection_that_is_dropped_or_closed_blocks_nobody`.
#[wasm_bindgen_test]
async fn a_dropped_database_blocks_everybody() {
    let name = unique("stays-open");
    drop(opened(&name).await);
    assert!(is_held(&name).await);
}

/// Fault 8: whole numbers of 64 bits become `BigInt`s, which are no keys. Ours makes no keys; whoever does, makes numbers.
#[wasm_bindgen_test]
async fn large_integers_are_no_keys() {
    let database = opened(&unique("bigint")).await;
    let transaction = write(&database);
    let store = transaction.object_store("kv").unwrap();
    let refused = |error: String| assert!(error.contains("not a valid key"), "{error}");
    refused(store.put("x").with_key(5_u64).build().map(|_| ()).unwrap_err().to_string());
    refused(store.put("x").with_key(-5_i64).build().map(|_| ()).unwrap_err().to_string());
    assert!(store.put("x").with_key(5_u32).build().is_ok());
}

/// Whatever the browser throws when it shall open, "version cannot be zero" is what is said.
/// Ours takes versions that are right, and calls the rest `Unavailable`.
#[wasm_bindgen_test]
async fn every_refusal_is_called_version_zero() {
    let refused = Database::open(unique("refused")).with_version(-1.0_f64).build();
    let error = refused.map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "Version cannot be zero");
}

/// An opening that is dropped while it is blocked makes an empty upgrade: the version is new, its stores are not there,
/// and no later opening will make them. Ours: `an_opening_that_is_dropped_leaves_nothing`.
#[wasm_bindgen_test]
async fn a_dropped_opening_makes_an_empty_upgrade() {
    let name = unique("empty");
    let holder = opened(&name).await;
    let opening = Database::open(&*name)
        .with_version(2_u32)
        .with_on_upgrade_needed(|_, _| panic!("nobody is there to upgrade"))
        .build()
        .unwrap();
    milliseconds(50).await;
    drop(opening);
    holder.close();
    milliseconds(100).await;
    assert_eq!(version(&name).await, Some(2.0));
    let database = Database::open(&*name).with_version(2_u32).await.unwrap();
    assert_eq!(database.object_store_names().collect::<Vec<_>>(), ["kv"]);
    database.close();
}

/// A deletion waits for those who hold the database, and cannot say so.
/// Ours: `deleting_closes_our_connections_and_waits_for_others`.
#[wasm_bindgen_test]
async fn a_blocked_deletion_says_nothing() {
    let name = unique("deletion");
    let holder = opened(&name).await;
    let deletion = Database::delete_by_name(&name).unwrap();
    let waiting = match select(deletion, pin!(milliseconds(200))).await {
        Either::Left((result, _)) => panic!("deleted, though it is held: {result:?}"),
        Either::Right(((), deletion)) => deletion,
    };
    holder.close();
    waiting.await.unwrap();
    assert_eq!(version(&name).await, None);
}
