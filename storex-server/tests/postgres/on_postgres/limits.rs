//! What takes too long, or is too much, fails as something that may be tried again.

use super::support::{
    address, connect, device, log, open, read_all, run, soon, transaction, until_done, user,
};
use std::time::Duration;
use storex_server::{PostgresOptions, User};
use tokio_postgres::{Client, Transaction};

fn options() -> PostgresOptions {
    PostgresOptions::new(&address()).unwrap()
}

/// Holds the lock of a user until the transaction is dropped.
async fn locked<'a>(client: &'a mut Client, user: &User) -> Transaction<'a> {
    let held = client.transaction().await.unwrap();
    let lock = "SELECT id FROM storex.account WHERE name = $1 FOR UPDATE";
    held.query_one(lock, &[&user.as_str()]).await.unwrap();
    held
}

#[test]
fn an_append_does_not_wait_for_ever() {
    run(soon(async {
        let user = user();
        let store = open(options().longest_statement(Duration::from_millis(300))).await;
        let log = log(&store, &user).await;
        let mut client = connect(&address()).await;
        let held = locked(&mut client, &user).await;
        let one = [transaction(device(1), 1)];
        let error = log.append(&one).await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        drop(held);
        until_done(|| log.append(&one)).await;
        let (read, _) = read_all(&*log, device(2)).await;
        assert_eq!(read, one);
    }));
}

#[test]
fn who_gets_no_connection_in_time_is_told_so() {
    run(soon(async {
        let user = user();
        let options = options().connections(1).longest_wait(Duration::from_millis(200));
        let store = open(options).await;
        let log = log(&store, &user).await;
        let mut client = connect(&address()).await;
        let held = locked(&mut client, &user).await;
        let (first, second) = ([transaction(device(1), 1)], [transaction(device(2), 1)]);
        let mut blocked = log.append(&first);
        tokio::select! {
            biased;
            _ = &mut blocked => panic!("the lock is held"),
            refused = log.append(&second) => {
                let error = refused.unwrap_err();
                assert!(error.is_retryable(), "{error:?}");
                assert!(error.to_string().contains("no connection within"), "{error}");
            }
        }
        drop(held);
        blocked.await.unwrap();
        log.append(&second).await.unwrap();
    }));
}

#[test]
fn an_append_that_was_given_up_leaves_no_lock() {
    run(soon(async {
        let user = user();
        let store = open(options().connections(1)).await;
        let log = log(&store, &user).await;
        let mut client = connect(&address()).await;
        let one = [transaction(device(1), 1)];
        {
            let held = locked(&mut client, &user).await;
            let mut blocked = log.append(&one);
            tokio::select! {
                biased;
                _ = &mut blocked => panic!("the lock is held"),
                () = tokio::task::yield_now() => {}
            }
            drop(blocked);
            held.rollback().await.unwrap();
        }
        log.append(&one).await.unwrap();
        let (read, _) = read_all(&*log, device(2)).await;
        assert_eq!(read, one);
        locked(&mut client, &user).await;
    }));
}
