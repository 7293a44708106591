//! Opening, upgrading, deleting: whole or not at all, and nobody stands in anybody's way.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use wasm_bindgen_futures::spawn_local;
use wasm_bindgen_test::wasm_bindgen_test;
use web_sys::Event;

use super::*;
use crate::raw::{Closed, DatabaseInfo, DeleteError, databases, delete, open_existing, unwatched};

/// Opens at a version, making a store named after it.
async fn open_at(
    name: &str,
    number: u32,
    patience: impl AsyncFnOnce(),
) -> Result<Connection, OpenError<DomError>> {
    let store = format!("s{number}");
    open(name, version(number), patience, async move |database: IdbDatabase, _, _| {
        database.create_object_store(&store)?;
        Ok(())
    })
    .await
}

async fn opened_at(name: &str, number: u32) -> Connection {
    open_at(name, number, never).await.unwrap()
}

/// A connection as another program would hold it, deaf to version changes.
async fn deaf(name: &str, number: u32) -> Connection {
    let connection = opened_at(name, number).await;
    connection.database().set_onversionchange(None);
    connection
}

/// What a database is, by a look that changes nothing.
async fn info(name: &str) -> Option<f64> {
    let all: Vec<DatabaseInfo> = databases().await.unwrap();
    all.into_iter().find(|database| database.name == name).map(|database| database.version)
}

#[wasm_bindgen_test]
async fn an_upgrade_moves_rows_in_its_own_transaction() {
    let name = unique("move");
    let connection = open_stores(&name).await;
    let transaction = write(&connection);
    let store = transaction.store("kv").unwrap();
    for key in 0..100 {
        unwatched(store.put_with_key(&(key * 2).into(), &key.into())).unwrap();
    }
    transaction.commit().await.unwrap();
    drop(connection);

    let seen = Rc::new(Cell::new(None));
    let upgrade = {
        let seen = Rc::clone(&seen);
        async move |database: IdbDatabase, transaction: IdbTransaction, old| {
            seen.set(Some(old));
            let from = transaction.object_store("kv")?;
            let rows = Request::of(from.get_all())?.await?;
            let to = database.create_object_store("moved")?;
            for row in rows.unchecked_into::<Array>() {
                unwatched(to.put_with_key(&row, &row))?;
            }
            database.delete_object_store("kv")?;
            Ok::<(), DomError>(())
        }
    };
    let connection = open(&name, version(2), never, upgrade).await.unwrap();
    assert_eq!(seen.get(), Some(1.0));
    assert_eq!(count(connection.database(), "moved").await, 100.0);
    assert_eq!(names(connection.database()), ["docs", "log", "moved"]);
    assert_eq!(info(&name).await, Some(2.0));
}

#[wasm_bindgen_test]
async fn an_upgrade_that_fails_leaves_nothing() {
    let name = unique("fails");
    drop(opened_at(&name, 1).await);
    for after in [0, 1, 3] {
        let upgrade = async move |database: IdbDatabase, _: IdbTransaction, _| {
            let store = database.create_object_store("half").map_err(|_| "create")?;
            for key in 0..after {
                put(&store, &key.to_string(), "x").await.map_err(|_| "put")?;
            }
            Err("on purpose")
        };
        let error = open(&name, version(2), never, upgrade).await.unwrap_err();
        assert!(matches!(error, OpenError::Upgrade("on purpose")), "{error:?}");
        assert_eq!(info(&name).await, Some(1.0));
    }
    let connection = opened_at(&name, 1).await;
    assert_eq!(names(connection.database()), ["s1"]);
}

#[wasm_bindgen_test]
async fn a_new_database_whose_upgrade_fails_is_not_there() {
    let name = unique("new");
    let upgrade = async |database: IdbDatabase, _: IdbTransaction, _| {
        let store = database.create_object_store("half").map_err(DomError::from)?;
        put(&store, "k", "x").await?;
        Err(DomError::new("Refused", "on purpose"))
    };
    assert!(open(&name, version(1), never, upgrade).await.is_err());
    assert_eq!(info(&name).await, None);
}

#[wasm_bindgen_test]
async fn a_failed_request_of_an_upgrade_is_the_reason() {
    let name = unique("reason");
    let upgrade = async |database: IdbDatabase, _: IdbTransaction, _| -> Result<(), DomError> {
        make_stores(&database)?;
        let kv = database.create_object_store("more")?;
        unwatched(kv.add_with_key(&"1".into(), &"k".into()))?;
        unwatched(kv.add_with_key(&"2".into(), &"k".into()))?;
        Ok(())
    };
    let error = open(&name, version(1), never, upgrade).await.unwrap_err();
    assert!(matches!(&error, OpenError::Failed(error) if error.is("ConstraintError")), "{error:?}");
    assert_eq!(info(&name).await, None);
}

#[wasm_bindgen_test]
async fn an_upgrade_that_awaits_something_else_is_told() {
    let name = unique("left");
    let upgrade = async |database: IdbDatabase, _: IdbTransaction, _| -> Result<(), DomError> {
        database.create_object_store("half")?;
        milliseconds(50).await;
        database.create_object_store("other half")?;
        Ok(())
    };
    let error = open(&name, version(1), never, upgrade).await.unwrap_err();
    assert!(matches!(error, OpenError::UpgradeLeft), "{error:?}");
    // The half is there, which nobody can help any more; but nothing of ours holds the database.
    delete(&name, async || milliseconds(1000).await).await.unwrap();
}

#[wasm_bindgen_test]
async fn what_exists_is_opened_as_it_is() {
    let name = unique("existing");
    assert!(open_existing(&name).await.unwrap().is_none());
    assert_eq!(info(&name).await, None);
    drop(opened_at(&name, 7).await);
    let connection = open_existing(&name).await.unwrap().unwrap();
    assert_eq!(
        (connection.database().version(), names(connection.database())),
        (7.0, vec!["s7".to_owned()])
    );
}

#[wasm_bindgen_test]
async fn a_newer_database_is_refused() {
    let name = unique("newer");
    drop(opened_at(&name, 3).await);
    let error = open_at(&name, 2, never).await.unwrap_err();
    assert!(matches!(&error, OpenError::Failed(error) if error.is("VersionError")), "{error:?}");
}

#[wasm_bindgen_test]
async fn a_connection_gives_way_to_an_upgrade_at_once() {
    let name = unique("way");
    let first = opened_at(&name, 1).await;
    let lost = Rc::new(RefCell::new(Vec::new()));
    first.on_lost({
        let lost = Rc::clone(&lost);
        Rc::new(move |closed| lost.borrow_mut().push(closed))
    });
    // No patience at all: it would be used up if `blocked` came.
    let second = open_at(&name, 2, async || ()).await.unwrap();
    let closed = Closed::VersionChange { new_version: Some(2.0) };
    assert_eq!(first.why_closed(), Some(closed));
    assert_eq!(*lost.borrow(), [closed]);
    assert_eq!(second.why_closed(), None);
    let refused = Transaction::begin(first.database(), ["s1"], Mode::ReadOnly, Durability::Default);
    assert!(refused.unwrap_err().is("InvalidStateError"));
    // Told at once when asked for too late; closing changes nothing any more.
    let late = Rc::new(Cell::new(None));
    first.on_lost({
        let late = Rc::clone(&late);
        Rc::new(move |closed| late.set(Some(closed)))
    });
    assert_eq!(late.get(), Some(closed));
    first.close();
    assert_eq!(first.why_closed(), Some(closed));
}

#[wasm_bindgen_test]
async fn a_connection_that_is_dropped_or_closed_blocks_nobody() {
    let name = unique("drop");
    drop(opened_at(&name, 1).await);
    let closed = open_at(&name, 2, async || ()).await.unwrap();
    closed.close();
    closed.close();
    assert_eq!(closed.why_closed(), Some(Closed::ByUs));
    drop(open_at(&name, 3, async || ()).await.unwrap());
}

#[wasm_bindgen_test]
async fn what_the_browser_closes_is_told() {
    let connection = opened_at(&unique("browser"), 1).await;
    let lost = Rc::new(Cell::new(None));
    connection.on_lost({
        let lost = Rc::clone(&lost);
        Rc::new(move |closed| lost.set(Some(closed)))
    });
    // No page can make the browser do it; the event is what we would get.
    connection.database().dispatch_event(&Event::new("close").unwrap()).unwrap();
    assert_eq!(
        (connection.why_closed(), lost.get()),
        (Some(Closed::ByBrowser), Some(Closed::ByBrowser))
    );
}

#[wasm_bindgen_test]
async fn a_blocked_upgrade_is_given_up_and_leaves_nothing() {
    let name = unique("blocked");
    let holder = deaf(&name, 1).await;
    let error = open_at(&name, 2, async || milliseconds(50).await).await.unwrap_err();
    assert!(matches!(error, OpenError::Blocked), "{error:?}");
    holder.close();
    milliseconds(100).await;
    // The browser has come to the upgrade meanwhile, and it was rolled back.
    assert_eq!(info(&name).await, Some(1.0));
    assert_eq!(names(opened_at(&name, 2).await.database()), ["s1", "s2"]);
}

#[wasm_bindgen_test]
async fn a_blocked_upgrade_goes_on_when_the_other_closes_in_time() {
    let name = unique("in-time");
    let holder = deaf(&name, 1).await;
    let blocked = Rc::new(Cell::new(false));
    let patience = {
        let blocked = Rc::clone(&blocked);
        async move || {
            blocked.set(true);
            milliseconds(5000).await;
        }
    };
    spawn_local(async move {
        milliseconds(50).await;
        holder.close();
    });
    let connection = open_at(&name, 2, patience).await.unwrap();
    assert!(blocked.get());
    assert_eq!(names(connection.database()), ["s1", "s2"]);
}

#[wasm_bindgen_test]
async fn patience_ends_where_the_upgrade_begins() {
    let name = unique("patience");
    let holder = deaf(&name, 1).await;
    spawn_local(async move {
        milliseconds(20).await;
        holder.close();
    });
    let slow = async |database: IdbDatabase, _: IdbTransaction, _| -> Result<(), DomError> {
        let store = database.create_object_store("slow")?;
        let end = Date::now() + 300.0;
        while Date::now() < end {
            Request::of(store.count())?.await?;
        }
        Ok(())
    };
    let connection = open(&name, version(2), async || milliseconds(100).await, slow).await.unwrap();
    assert_eq!(names(connection.database()), ["s1", "slow"]);
}

#[wasm_bindgen_test]
async fn an_opening_that_is_dropped_leaves_nothing() {
    let name = unique("dropped");
    let holder = deaf(&name, 1).await;
    let mut opening = Box::pin(open_at(&name, 2, never));
    assert!(is_pending(&mut opening).await);
    milliseconds(20).await;
    drop(opening);
    holder.close();
    milliseconds(100).await;
    assert_eq!(info(&name).await, Some(1.0));
    delete(&name, async || ()).await.unwrap();
}

#[wasm_bindgen_test]
async fn deleting_closes_our_connections_and_waits_for_others() {
    let name = unique("delete");
    let connection = opened_at(&name, 1).await;
    delete(&name, async || ()).await.unwrap();
    assert_eq!(connection.why_closed(), Some(Closed::VersionChange { new_version: None }));
    assert_eq!(info(&name).await, None);
    delete(&name, async || ()).await.unwrap();

    let holder = deaf(&name, 1).await;
    let error = delete(&name, async || milliseconds(20).await).await.unwrap_err();
    assert!(matches!(error, DeleteError::Blocked), "{error:?}");
    holder.close();
    milliseconds(50).await;
    assert_eq!(info(&name).await, None);
}
