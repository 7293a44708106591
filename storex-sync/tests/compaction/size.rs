//! The size of a log that is compacted now and then.

use storex_sync::{Compaction, SharedSyncLog};

use crate::SMALL;
use crate::support::{Device, assert_in_step, settle, shared_log};

#[tokio::test(start_paused = true)]
async fn c20_it_stays_bounded_over_many_rounds() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let gone = Device::new(3).await;
    let policy = Compaction { least: 20, most_behind: Some(60) };
    let mut most = 0;
    for round in 0..60 {
        for n in 0..5 {
            // Ten notes, whatever the number of rounds.
            let id = format!("{}", (round * 5 + n) % 10);
            a.delete("note", serde_json::json!({"id": id})).await;
            settle(&[&a, &b], &log).await;
            b.note(&id, &format!("round {round}")).await;
        }
        settle(&[&a, &b], &log).await;
        if round == 3 {
            gone.sync(&log).await;
        }
        if round % 4 == 0 {
            let compacting = if round % 8 == 0 { &a } else { &b };
            let sync = compacting.join(&log).await.compaction(policy).limits(SMALL);
            sync.compact().await.unwrap();
        }
        most = most.max(log.len());
    }
    assert!(most < 160, "{most} transactions, of 600");
    let snapshots = log.snapshots().unwrap();
    let published = snapshots.published().await.unwrap().expect("a snapshot");
    assert!(published.pages < 20, "{} pages for ten notes", published.pages);
    let report = gone.sync(&log).await;
    assert!(report.restored.is_some());
    let new = Device::new(4).await;
    new.sync(&log).await;
    settle(&[&a, &b, &gone, &new], &log).await;
    assert_in_step(&[&a, &b, &gone, &new]).await;
}
