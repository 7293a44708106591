//! No reader passes a transaction that becomes visible later.

use super::support::{
    ALL, address, connect, device, log, read_all, run, soon, store, transaction, user,
};
use std::collections::HashMap;
use std::sync::Arc;
use storex_sync::{Cursor, SharedSyncLog};

/// Until somebody waits for the row of a user that another transaction has locked.
async fn somebody_waits(user: &storex_server::User) {
    let client = connect(&address()).await;
    let waiting = "SELECT count(*) FROM pg_locks AS waiting
        JOIN pg_locks AS holding ON holding.granted AND holding.transactionid = waiting.transactionid
        JOIN storex.account AS account ON account.name = $1 AND account.xmax::text = holding.transactionid::text
        WHERE NOT waiting.granted";
    loop {
        let row = client.query_one(waiting, &[&user.as_str()]).await.unwrap();
        if row.get::<_, i64>(0) > 0 {
            return;
        }
    }
}

#[test]
fn an_append_that_is_not_committed_yet_holds_back_later_ones() {
    run(soon(async {
        let user = user();
        let (one, other) = (store().await, store().await);
        let (slow, fast) = (log(&one, &user).await, log(&other, &user).await);
        slow.append(&[transaction(device(1), 1)]).await.unwrap();

        // A server appends transaction 2 of device 1, and is slow to commit it.
        let mut connection = connect(&address()).await;
        let held = connection.transaction().await.unwrap();
        let lock = "SELECT id, position FROM storex.account WHERE name = $1 FOR NO KEY UPDATE";
        let row = held.query_one(lock, &[&user.as_str()]).await.unwrap();
        let (account, position): (i64, i64) = (row.get(0), row.get(1));
        let insert = "INSERT INTO storex.transaction VALUES ($1, $2, $3, 0, 2, $4)";
        let payload = transaction(device(1), 2).payload;
        let id = [1_u8; 16].as_slice();
        held.execute(insert, &[&account, &(position + 1), &id, &payload]).await.unwrap();
        let count = "UPDATE storex.account SET position = position + 1 WHERE id = $1";
        held.execute(count, &[&account]).await.unwrap();

        // Another server appends for device 2 meanwhile.
        let appending = {
            let fast = Arc::clone(&fast);
            async move { fast.append(&[transaction(device(2), 1)]).await }
        };
        let appending = tokio::runtime::Handle::current().spawn(appending);
        somebody_waits(&user).await;
        let (read, cursor) = read_all(&*fast, device(3)).await;
        assert_eq!(read, [transaction(device(1), 1)], "nothing that is not committed");
        assert!(!appending.is_finished());

        held.commit().await.unwrap();
        appending.await.unwrap().unwrap();
        let page = fast.read(device(3), &cursor, ALL).await.unwrap();
        let both = [transaction(device(1), 2), transaction(device(2), 1)];
        assert_eq!(page.transactions, both, "the reader goes on with both");
    }));
}

#[test]
fn readers_that_follow_miss_nothing_of_what_two_servers_append() {
    const DEVICES: u8 = 8;
    const EACH: u64 = 25;
    run(soon(async {
        let user = user();
        let stores = [store().await, store().await];
        let mut appending = Vec::new();
        for n in 1..=DEVICES {
            let log = log(&stores[usize::from(n) % 2], &user).await;
            appending.push(tokio::runtime::Handle::current().spawn(async move {
                for sequence in 1..=EACH {
                    log.append(&[transaction(device(n), sequence)]).await.unwrap();
                }
            }));
        }
        let mut following = Vec::new();
        for store in &stores {
            let log = log(store, &user).await;
            following.push(tokio::runtime::Handle::current().spawn(follow(log, DEVICES, EACH)));
        }
        for task in appending.into_iter().chain(following) {
            task.await.unwrap();
        }
    }));
}

/// Reads until everything has come, each device's in their order.
async fn follow(log: Arc<dyn SharedSyncLog>, devices: u8, each: u64) {
    let (mut cursor, mut last) = (Cursor::default(), HashMap::new());
    let reader = device(200);
    while last.values().sum::<u64>() < u64::from(devices) * each {
        log.changed(reader, &cursor).await.unwrap();
        let page = log.read(reader, &cursor, 500).await.unwrap();
        for transaction in page.transactions {
            let before = last.insert(transaction.device, transaction.sequence).unwrap_or(0);
            assert_eq!(transaction.sequence, before + 1, "nothing is passed over");
        }
        cursor = page.cursor;
    }
}
