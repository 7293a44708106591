//! Devices that are kept in step through one server.

use std::time::{Duration, Instant};

use storex_sync::Phase;
use storex_sync::http::HttpSharedLog;
use storex_sync::{SharedSyncLog as _, SyncError};

use crate::support::{Site, in_time};

/// Neither has a timer: the news do it.
#[tokio::test]
async fn c64_edits_arrive_live() {
    let site = Site::start();
    let (a, b) = (site.device().await, site.device().await);
    a.in_step().await;
    b.in_step().await;
    let mut slowest = Duration::ZERO;
    for n in 1..=20 {
        let (from, to) = if n % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let begun = Instant::now();
        from.write("x").await;
        to.has(n).await;
        slowest = slowest.max(begun.elapsed());
    }
    println!("the slowest of twenty edits took {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    a.sync.stop().await;
    b.sync.stop().await;
}

/// Beside live edits: a page of many transactions, compressed.
#[tokio::test]
async fn many_edits_arrive() {
    let site = Site::start();
    let (a, b) = (site.device().await, site.device().await);
    for _ in 0..300 {
        a.write("the same words again and again, which compress well").await;
    }
    b.has(300).await;
    a.in_step().await;
    a.sync.stop().await;
    b.sync.stop().await;
}

#[tokio::test]
async fn a_device_that_is_revoked_is_told_and_stops() {
    let site = Site::start();
    let (a, b) = (site.device().await, site.device().await);
    a.in_step().await;
    b.in_step().await;
    let client = site.client("ada");
    let lost = b.sync.sync().device().await.unwrap();
    client.revoke(lost.id).await.unwrap();
    let mut status = b.sync.status();
    in_time(status.wait_for(|status| status.phase == Phase::NeedsLogin)).await.unwrap();
    b.write("not sent").await;
    let refused = b.sync.sync_now().await.unwrap().unwrap_err();
    assert!(matches!(refused.cause(), SyncError::Unauthorized { .. }), "{refused:?}");
    let listed = client.devices().await.unwrap();
    let revoked: Vec<_> = listed.iter().filter(|it| it.revoked).map(|it| it.id).collect();
    assert_eq!((listed.len(), revoked), (2, vec![lost.id]));
    a.write("sent").await;
    a.in_step().await;
    a.has(1).await;
    a.sync.stop().await;
    b.sync.stop().await;
}

#[tokio::test]
async fn devices_have_names() {
    let site = Site::start();
    let client = site.client("ada");
    let log = HttpSharedLog::new(client.clone()).device_name("Ada's phone");
    let device = storex_sync::Device { id: [5; 16], incarnation: 1 };
    log.register(device).await.unwrap();
    assert_eq!(client.devices().await.unwrap()[0].name, "Ada's phone");
    assert!(site.client("bob").devices().await.unwrap().is_empty());
}
