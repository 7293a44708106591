//! What happens while two devices compare: writes, and a line that breaks.

use serde_json::json;
use storex_sync::{InitialSync, SyncError};

use super::support::channel::Watched;
use super::{Device, assert_in_step, dump_all, in_step, settle, shared_log};

/// Writes on both sides before each frame: nothing falls between the comparison and the log.
#[tokio::test(start_paused = true)]
async fn what_is_written_meanwhile_comes_with_it_or_through_the_log() {
    for writer in [true, false] {
        let (a, b) = in_step(1000).await;
        a.retitle("00500", "before").await;
        a.note("new", "x").await;
        let log = shared_log();
        let writes = if writer { a.clone() } else { b.clone() };
        let (here, there) = Watched::pair(usize::MAX);
        let mut here = here.on_frame(move |n| meddle(writes.clone(), n));
        let mut there = there;
        let sender = InitialSync::open(&a.storage).await.unwrap().difference_only();
        let receiver = InitialSync::open(&b.storage).await.unwrap().difference_only();
        let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
        sent.unwrap();
        received.unwrap();
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!(b.title("00500").await.as_deref(), Some("before"));
    }
}

/// An update, a deletion and a creation, at another place each time.
async fn meddle(device: Device, n: usize) {
    let at = |offset: usize| format!("{:05}", 100 + n * 37 + offset);
    device.retitle(&at(0), "meanwhile").await;
    device.delete("note", json!({"id": at(1)})).await;
    device.note(&format!("{}+", at(2)), "meanwhile").await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_anywhere_changes_nothing_that_a_later_run_does_not_bring() {
    for cut in 0..40 {
        let (a, b) = in_step(200).await;
        a.retitle("00100", "edited").await;
        b.note("only b", "x").await;
        let before = dump_all(&b).await;
        let (mut here, mut there) = Watched::pair(cut);
        let sender = InitialSync::open(&a.storage).await.unwrap().difference_only();
        let receiver = InitialSync::open(&b.storage).await.unwrap().difference_only();
        let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
        if received.is_ok() {
            assert_eq!(b.title("00100").await.as_deref(), Some("edited"));
            if sent.is_ok() {
                return;
            }
            continue;
        }
        assert!(matches!(received, Err(SyncError::Closed { .. })), "{received:?}");
        assert!(sent.is_err());
        if b.title("00100").await.as_deref() != Some("edited") {
            assert_eq!(dump_all(&b).await, before);
        }
        super::differ(&a, &b).await;
        assert_eq!(b.title("00100").await.as_deref(), Some("edited"));
    }
    panic!("it never came to an end");
}
