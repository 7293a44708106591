//! Servers hear of what others append.

use super::support::{
    address, connect, device, log, read_all, run, soon, store, store_at, transaction, unique, user,
};
use std::sync::Arc;
use storex_server::Store;

#[test]
fn two_servers_hear_each_other() {
    run(soon(async {
        let user = user();
        let (one, two) = (store().await, store().await);
        let (here, there) = (log(&one, &user).await, log(&two, &user).await);
        for sequence in 1..=5 {
            for (writer, author, waiter, reader) in
                [(&here, device(1), &there, device(2)), (&there, device(2), &here, device(1))]
            {
                let (_, cursor) = read_all(&**waiter, reader).await;
                let appending =
                    writer.append(std::slice::from_ref(&transaction(author, sequence))).await;
                appending.unwrap();
                waiter.changed(reader, &cursor).await.unwrap();
            }
        }
    }));
}

#[test]
fn who_waits_already_is_woken_by_another_server() {
    run(soon(async {
        let user = user();
        let (one, two) = (store().await, store().await);
        let (here, there) = (log(&one, &user).await, log(&two, &user).await);
        let (_, cursor) = read_all(&*there, device(2)).await;
        let mut waiting = there.changed(device(2), &cursor);
        // What another user appends is not for it, and neither is its own.
        log(&one, &super::support::user())
            .await
            .append(&[transaction(device(1), 1)])
            .await
            .unwrap();
        here.append(&[transaction(device(2), 1)]).await.unwrap();
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("it has no news"),
            () = std::future::ready(()) => {}
        }
        here.append(&[transaction(device(1), 1)]).await.unwrap();
        waiting.await.unwrap();
    }));
}

#[test]
fn a_server_that_did_not_listen_for_a_while_looks_again() {
    run(soon(async {
        let user = user();
        let name = unique();
        let (one, two) =
            (store().await, store_at(&format!("{} application_name={name}", address())).await);
        let (here, there) = (log(&one, &user).await, log(&two, &user).await);
        let client = connect(&address()).await;
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE application_name = $1 AND query LIKE 'LISTEN%'";
        for sequence in 1..=2 {
            let (_, cursor) = read_all(&*there, device(2)).await;
            let waiting = {
                let (there, cursor) = (Arc::clone(&there), cursor.clone());
                async move { there.changed(device(2), &cursor).await }
            };
            let waiting = tokio::runtime::Handle::current().spawn(waiting);
            let ended: i64 = client.query_one(end, &[&name]).await.unwrap().get(0);
            assert_eq!(ended, 1, "it listens on one connection");
            here.append(&[transaction(device(1), sequence)]).await.unwrap();
            waiting.await.unwrap().unwrap();
            listens_again(&client, &name).await;
        }
        assert!(two.ready().await.is_ok());
    }));
}

async fn listens_again(client: &tokio_postgres::Client, name: &str) {
    let listening = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = $1 AND query LIKE 'LISTEN%' AND state = 'idle'";
    while client.query_one(listening, &[&name]).await.unwrap().get::<_, i64>(0) == 0 {}
}
