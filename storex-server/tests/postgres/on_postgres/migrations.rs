//! The tables are made by whoever comes first.

use super::support::{RealTime, connect, empty_database, log, run, soon, store_at, user};
use std::sync::Arc;
use storex_server::{PostgresOptions, PostgresStore, Store};

#[test]
fn several_servers_start_at_once_on_an_empty_database() {
    run(soon(async {
        let address = empty_database().await;
        let (one, two, three) =
            tokio::join!(store_at(&address), store_at(&address), store_at(&address));
        let user = user();
        let ids = [&one, &two, &three].map(|store| store.log(&user));
        let mut logs = Vec::new();
        for log in ids {
            logs.push(log.await.unwrap().register(super::support::device(1)).await.unwrap());
        }
        assert!(logs.iter().all(|id| *id == logs[0]), "one log: {logs:?}");
        let versions = "SELECT version FROM storex.version ORDER BY version";
        let versions = connect(&address).await.query(versions, &[]).await.unwrap();
        let versions: Vec<i64> = versions.iter().map(|row| row.get(0)).collect();
        assert_eq!(versions, [1, 2], "each version is made once");
    }));
}

#[test]
fn servers_start_and_write_whatever_isolation_is_the_databases_default() {
    run(soon(async {
        let address = empty_database().await;
        let client = connect(&address).await;
        let row = client.query_one("SELECT current_database()", &[]).await.unwrap();
        let name: String = row.get(0);
        let strict =
            format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'");
        client.batch_execute(&strict).await.unwrap();
        let (one, two, three) =
            tokio::join!(store_at(&address), store_at(&address), store_at(&address));
        let user = user();
        let notes = (0..60_u8).map(|n| {
            let store = [&one, &two, &three][usize::from(n % 3)];
            store.note_device(&user, [n; 16], None, storex_core::Timestamp(1))
        });
        futures_util::future::try_join_all(notes).await.expect("nobody is in another's way");
        assert_eq!(one.devices(&user).await.unwrap().len(), 60);
    }));
}

#[test]
fn what_is_there_stays_when_a_server_starts_again() {
    run(soon(async {
        let (address, user) = (empty_database().await, user());
        let device = super::support::device(1);
        let first = log(&store_at(&address).await, &user).await;
        first.append(&[super::support::transaction(device, 1)]).await.unwrap();
        let again = log(&store_at(&address).await, &user).await;
        let (read, _) = super::support::read_all(&*again, super::support::device(2)).await;
        assert_eq!(read, [super::support::transaction(device, 1)]);
    }));
}

#[test]
fn tables_of_a_newer_server_are_refused_and_stay() {
    run(soon(async {
        let address = empty_database().await;
        drop(store_at(&address).await);
        let newer = "INSERT INTO storex.version (version) VALUES (999)";
        connect(&address).await.batch_execute(newer).await.unwrap();
        let options = PostgresOptions::new(&address).unwrap();
        let error = PostgresStore::open(&options, Arc::new(RealTime)).await.unwrap_err();
        assert!(!error.is_retryable(), "{error:?}");
        assert!(error.to_string().contains("version 999"), "{error}");
        assert!(error.to_string().contains("newer server"), "{error}");
    }));
}

#[test]
fn what_is_no_address_is_refused() {
    let error = PostgresOptions::new("postgresql://host:port/").unwrap_err();
    assert!(!error.is_retryable(), "{error:?}");
}
