//! Waiting for news.

use futures_util::FutureExt;
use storex_sync::{Cursor, SharedSyncLog};

use super::{StoreHarness, user};
use crate::shared_log::{device, pause, transaction};

/// Waits until there is something to read.
async fn heard(log: &dyn SharedSyncLog) {
    loop {
        log.changed(device(2), &Cursor::default()).await.unwrap();
        let page = log.read(device(2), &Cursor::default(), 1 << 20).await.unwrap();
        if !page.transactions.is_empty() {
            return;
        }
    }
}

pub async fn they_wake_their_own_user(harness: StoreHarness) {
    let store = harness.store().await;
    let ada = store.log(&user("ada")).await.unwrap();
    let others = ["ad", "ada2", "Ada", "ada%", "bob"].map(user);
    let mut logs = Vec::new();
    for other in &others {
        logs.push(store.log(other).await.unwrap());
    }
    let beginning = Cursor::default();
    let mut waiting: Vec<_> = logs.iter().map(|log| log.changed(device(2), &beginning)).collect();
    let appending = async {
        for waits in &mut waiting {
            assert!(waits.as_mut().now_or_never().is_none(), "there is nothing yet");
        }
        ada.append(&[transaction(device(1), 1)]).await.unwrap();
    };
    futures_util::future::join(heard(&*ada), appending).await;
    for _ in 0..10 {
        pause().await;
        for waits in &mut waiting {
            assert!(waits.as_mut().now_or_never().is_none(), "nothing was appended to this one");
        }
    }
    for (log, waits) in logs.iter().zip(waiting) {
        log.append(&[transaction(device(1), 1)]).await.unwrap();
        waits.await.unwrap();
    }
}

pub async fn another_server_hears_of_them(harness: StoreHarness) {
    let (one, other) = (harness.store().await, harness.another_server().await);
    let (here, there) =
        (one.log(&user("ada")).await.unwrap(), other.log(&user("ada")).await.unwrap());
    let appending = async {
        for _ in 0..10 {
            pause().await;
        }
        here.append(&[transaction(device(1), 1)]).await.unwrap();
    };
    futures_util::future::join(heard(&*there), appending).await;
}

pub async fn it_answers(harness: StoreHarness) {
    harness.store().await.ready().await.unwrap();
    harness.another_server().await.ready().await.unwrap();
}
