//! Servers hear of what others append.

use super::support::{
    address, connect, device, log, open, read_all, run, soon, store, transaction, unique, user,
};
use storex_server::{PostgresOptions, PostgresStore, User};
use storex_sync::{Cursor, SyncError};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

/// What the connection that listens was asked last: after it was lost, for what was missed.
const LISTENS: &str = "(query LIKE 'LISTEN%' OR query LIKE '%known.revoked_at >=%')";

/// A server that can be told from others in the database. It has one connection, and the one that listens.
pub(crate) struct Named {
    pub(crate) store: PostgresStore,
    name: String,
    client: Client,
}

impl Named {
    pub(crate) async fn open() -> Self {
        let name = unique();
        let named = format!("{} application_name={name}", address());
        let store = open(PostgresOptions::new(&named).unwrap().connections(1)).await;
        Self { store, name, client: connect(&named).await }
    }

    /// Somebody who waits on this server, and has looked: nothing but news can wake them.
    async fn waiting(&self, user: &User) -> JoinHandle<Result<(), SyncError>> {
        let log = log(&self.store, user).await;
        let (_, cursor) = read_all(&*log, device(2)).await;
        let waiting = async move { log.changed(device(2), &cursor).await };
        let waiting = tokio::runtime::Handle::current().spawn(waiting);
        self.until("query LIKE '%EXISTS%floor > $2%'").await;
        waiting
    }

    /// Until one of its connections is idle after such a query.
    pub(crate) async fn until(&self, condition: &str) {
        let idle = format!(
            "SELECT count(*) FROM pg_stat_activity
            WHERE application_name = $1 AND state = 'idle' AND pid <> pg_backend_pid() AND {condition}"
        );
        while self.client.query_one(&idle, &[&self.name]).await.unwrap().get::<_, i64>(0) == 0 {}
    }

    pub(crate) async fn stops_listening(&self) {
        let end = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE application_name = $1 AND pid <> pg_backend_pid() AND {LISTENS}"
        );
        let ended: i64 = self.client.query_one(&end, &[&self.name]).await.unwrap().get(0);
        assert_eq!(ended, 1, "it listens on one connection");
    }
}

#[test]
fn two_servers_hear_each_other() {
    run(soon(async {
        let user = user();
        let (one, two) = (Named::open().await, Named::open().await);
        for sequence in 1..=5 {
            for (writer, waiter, author) in [(&one, &two, device(1)), (&two, &one, device(3))] {
                let waiting = waiter.waiting(&user).await;
                let log = log(&writer.store, &user).await;
                log.append(&[transaction(author, sequence)]).await.unwrap();
                waiting.await.unwrap().unwrap();
            }
        }
    }));
}

#[test]
fn what_is_not_for_them_wakes_nobody() {
    run(soon(async {
        let (user, server) = (user(), Named::open().await);
        let mut waiting = server.waiting(&user).await;
        let other = store().await;
        // Another user's, and its own.
        let of_another = log(&other, &super::support::user()).await;
        of_another.append(&[transaction(device(1), 1)]).await.unwrap();
        let log = log(&other, &user).await;
        log.append(&[transaction(device(2), 1)]).await.unwrap();
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("it has no news"),
            () = std::future::ready(()) => {}
        }
        log.append(&[transaction(device(1), 1)]).await.unwrap();
        waiting.await.unwrap().unwrap();
    }));
}

#[test]
fn another_identity_is_news_that_other_servers_see() {
    run(soon(async {
        let user = user();
        let (one, two) = (store().await, store().await);
        let (here, there) = (log(&one, &user).await, log(&two, &user).await);
        let id = here.register(device(1)).await.unwrap();
        let other = here.reidentify(id).await.unwrap();
        assert_ne!(other, id);
        assert_eq!(there.reidentify(id).await.unwrap(), other, "it has been done already");
        let page = there.read(device(1), &Cursor::default(), 1).await.unwrap();
        assert_eq!(page.log, other);
    }));
}

#[test]
fn a_server_that_did_not_listen_for_a_while_looks_again() {
    run(soon(async {
        let (user, server, other) = (user(), Named::open().await, store().await);
        let here = log(&other, &user).await;
        for sequence in 1..=2 {
            let waiting = server.waiting(&user).await;
            server.stops_listening().await;
            here.append(&[transaction(device(1), sequence)]).await.unwrap();
            waiting.await.unwrap().unwrap();
            server.until(LISTENS).await;
        }
    }));
}
