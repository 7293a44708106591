//! Requests and transactions tell the truth.

use futures_util::future::join_all;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::raw::unwatched;

#[wasm_bindgen_test]
async fn a_failed_request_that_somebody_looks_at_fails_alone() {
    let connection = open_stores(&unique("alone")).await;
    let transaction = write(&connection);
    let store = transaction.store("kv").unwrap();
    add(&store, "k", "1").await.unwrap();
    assert!(add(&store, "k", "2").await.unwrap_err().is("ConstraintError"));
    put(&store, "after", "3").await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(count(connection.database(), "kv").await, 2.0);
}

#[wasm_bindgen_test]
async fn a_failed_request_that_nobody_looks_at_aborts() {
    let connection = open_stores(&unique("dropped")).await;
    let transaction = write(&connection);
    let store = transaction.store("kv").unwrap();
    add(&store, "k", "1").await.unwrap();
    drop(Request::of(store.add_with_key(&"2".into(), &"k".into())).unwrap());
    assert!(put(&store, "later", "3").await.is_err());
    assert!(transaction.failure().unwrap().is("ConstraintError"));
    assert!(transaction.commit().await.unwrap_err().is("ConstraintError"));
    assert_eq!(count(connection.database(), "kv").await, 0.0);
}

#[wasm_bindgen_test]
async fn unwatched_requests_are_all_or_nothing() {
    let connection = open_stores(&unique("unwatched")).await;
    let bulk = async |keys: &[u32]| {
        let transaction = write(&connection);
        let store = transaction.store("kv").unwrap();
        for key in keys {
            unwatched(store.add_with_key(&"value".into(), &(*key).into())).unwrap();
        }
        transaction.commit().await
    };
    bulk(&(0..100).collect::<Vec<_>>()).await.unwrap();
    assert!(bulk(&[200, 201, 7, 202]).await.unwrap_err().is("ConstraintError"));
    assert_eq!(count(connection.database(), "kv").await, 100.0);
}

#[wasm_bindgen_test]
async fn what_is_thrown_at_once_aborts_nothing() {
    let connection = open_stores(&unique("thrown")).await;
    let transaction = write(&connection);
    let store = transaction.store("kv").unwrap();
    put(&store, "k", "1").await.unwrap();
    let no_key = |key: JsValue| Request::of(store.put_with_key(&"x".into(), &key)).unwrap_err();
    for key in [JsValue::TRUE, JsValue::NULL, f64::NAN.into(), JsValue::bigint_from_str("5")] {
        assert!(no_key(key).is("DataError"));
    }
    let function = Function::new_no_args("");
    let error = unwatched(store.put_with_key(&function, &"f".into())).unwrap_err();
    assert!(error.is("DataCloneError"), "{error}");
    transaction.commit().await.unwrap();
    assert_eq!(count(connection.database(), "kv").await, 1.0);
}

#[wasm_bindgen_test]
async fn dropped_or_aborted_it_leaves_nothing() {
    let connection = open_stores(&unique("abort")).await;
    for abort in [Transaction::abort, drop] {
        let transaction = write(&connection);
        put(&transaction.store("kv").unwrap(), "k", "1").await.unwrap();
        abort(transaction);
    }
    assert_eq!(count(connection.database(), "kv").await, 0.0);
}

#[wasm_bindgen_test]
async fn commit_tells_of_one_that_was_over_before() {
    let connection = open_stores(&unique("over")).await;
    let transaction = write(&connection);
    put(&transaction.store("kv").unwrap(), "k", "1").await.unwrap();
    milliseconds(20).await;
    // It has committed by itself, and that is what counts.
    transaction.commit().await.unwrap();
    assert_eq!(count(connection.database(), "kv").await, 1.0);

    let transaction = write(&connection);
    transaction.sys().abort().unwrap();
    milliseconds(20).await;
    assert!(transaction.commit().await.unwrap_err().is(DomError::NULL));
}

#[wasm_bindgen_test]
async fn a_commit_that_nobody_waits_for_commits() {
    let connection = open_stores(&unique("forgotten")).await;
    let transaction = write(&connection);
    put(&transaction.store("kv").unwrap(), "k", "1").await.unwrap();
    let mut commit = Box::pin(transaction.commit());
    assert!(is_pending(&mut commit).await);
    drop(commit);
    assert_eq!(count(connection.database(), "kv").await, 1.0);
}

#[wasm_bindgen_test]
async fn durability_is_heard() {
    let connection = open_stores(&unique("durable")).await;
    for durability in [Durability::Default, Durability::Relaxed, Durability::Strict] {
        for mode in [Mode::ReadOnly, Mode::ReadWrite] {
            let transaction =
                Transaction::begin(connection.database(), ["kv"], mode, durability).unwrap();
            let sys = transaction.sys();
            let is = |property: &str| get(sys, property).as_string().unwrap();
            assert_eq!(is("durability"), format!("{durability:?}").to_lowercase());
            assert_eq!(is("mode"), format!("{mode:?}").to_lowercase());
            transaction.commit().await.unwrap();
        }
    }
}

#[wasm_bindgen_test]
async fn a_violated_unique_index_aborts_or_fails_alone() {
    let connection = open_stores(&unique("unique")).await;
    let put_both = |transaction: &Transaction| {
        let docs = transaction.store("docs").unwrap();
        unwatched(docs.put(&json(r#"{"id": 1, "u": "x"}"#))).unwrap();
        Request::of(docs.put(&json(r#"{"id": 2, "u": "x"}"#))).unwrap()
    };
    let transaction = write(&connection);
    drop(put_both(&transaction));
    assert!(transaction.commit().await.unwrap_err().is("ConstraintError"));
    assert_eq!(count(connection.database(), "docs").await, 0.0);

    let transaction = write(&connection);
    assert!(put_both(&transaction).await.unwrap_err().is("ConstraintError"));
    transaction.commit().await.unwrap();
    assert_eq!(count(connection.database(), "docs").await, 1.0);
}

#[wasm_bindgen_test]
async fn execute_and_log_at_once_leave_no_gap() {
    async fn execute(connection: &Connection, fail: bool) -> Result<(), DomError> {
        let transaction = write(connection);
        let (kv, log) = (transaction.store("kv")?, transaction.store("log")?);
        let counter = Request::of(kv.get(&"n".into()))?.await?.as_f64().unwrap_or(0.0) + 1.0;
        Request::of(kv.put_with_key(&counter.into(), &"n".into()))?.await?;
        Request::of(log.add(&counter.into()))?.await?;
        if fail {
            return Err(DomError::new("Refused", "on purpose"));
        }
        transaction.commit().await
    }
    let connection = open_stores(&unique("dense")).await;
    let results = join_all((0..50).map(|index| execute(&connection, index % 5 == 0))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 40);
    let read =
        Transaction::begin(connection.database(), ["log"], Mode::ReadOnly, Durability::Default)
            .unwrap();
    let log = read.store("log").unwrap();
    let dense: Vec<f64> = (1..=40).map(f64::from).collect();
    for rows in [log.get_all(), log.get_all_keys()] {
        let rows: Array = Request::of(rows).unwrap().await.unwrap().unchecked_into();
        assert_eq!(rows.iter().filter_map(|row| row.as_f64()).collect::<Vec<_>>(), dense);
    }
}

#[wasm_bindgen_test]
async fn a_closed_connection_begins_nothing_and_finishes_what_runs() {
    let connection = open_stores(&unique("closing")).await;
    let transaction = write(&connection);
    let store = transaction.store("kv").unwrap();
    unwatched(store.put_with_key(&"1".into(), &"k".into())).unwrap();
    connection.close();
    let refused =
        Transaction::begin(connection.database(), ["kv"], Mode::ReadOnly, Durability::Default);
    assert!(refused.unwrap_err().is("InvalidStateError"));
    put(&store, "k2", "2").await.unwrap();
    transaction.commit().await.unwrap();
}

#[wasm_bindgen_test]
fn whatever_is_thrown_becomes_an_error() {
    assert!(DomError::from(JsValue::NULL).is(DomError::NULL));
    assert!(DomError::from(JsValue::UNDEFINED).is(DomError::NULL));
    assert_eq!(DomError::from(JsValue::from("text")).message, "text");
    assert!(DomError::from(JsValue::from(5)).message.contains('5'));
    let error = DomError::from(JsValue::from(js_sys::TypeError::new("wrong")));
    assert_eq!(error.to_string(), "TypeError: wrong");
    let error = Function::new_no_args("return new DOMException('full', 'QuotaExceededError')");
    assert!(DomError::from(error.call0(&JsValue::NULL).unwrap()).is("QuotaExceededError"));
}
