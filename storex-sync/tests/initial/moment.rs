//! All that is sent is of one moment.

use serde_json::json;
use storex_core::{Batch, Changes, Filter};

use crate::run;
use crate::support::channel::Watched;
use crate::support::{Device, assert_in_step, settle, shared_log};

/// Changes two notes together, of which one is sent long before the other.
async fn write_both(device: &Device, title: &str) {
    let set = || Changes::new().set("title", title);
    let batch = Batch::new().update("note", Filter::key("a"), set()).update(
        "note",
        Filter::key("z"),
        set(),
    );
    device.storage.execute(batch).await.unwrap();
}

/// A transaction that is committed while the pump runs arrives as a whole, later.
#[tokio::test(start_paused = true)]
async fn a_transaction_is_never_seen_in_part() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for id in ["a", "b", "c", "d", "e", "f", "z"] {
        a.note(id, "before").await;
        a.create("tag", json!({"owner": 1, "name": id})).await;
    }
    let (here, there) = Watched::pair(usize::MAX);
    let writer = a.clone();
    let here = here.on_frame(move |n| {
        let writer = writer.clone();
        async move { write_both(&writer, &format!("written {n}")).await }
    });
    let (sent, received) = run(&a, &b, (here, there)).await;
    assert_eq!(sent.unwrap().objects, received.unwrap().objects);
    assert_eq!(b.title("a").await, b.title("z").await);
    assert_ne!(a.title("a").await, b.title("a").await, "it was written meanwhile");
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert!(b.sync(&log).await.is_idle());
}
