//! A connection on which nothing happens, and one that is dead.

use std::sync::Arc;
use std::time::Duration;

use storex_core::Runtime;
use storex_memory::TestRuntime;
use storex_sync::{Channel, HeartbeatChannel, MemoryChannel, SyncError};
use tokio::time::{Instant, timeout};

fn beating(channel: MemoryChannel) -> HeartbeatChannel<MemoryChannel> {
    let runtime = Arc::new(TestRuntime::new(1));
    let channel = HeartbeatChannel::new(channel, runtime);
    channel.interval(Duration::from_secs(5)).deadline(Duration::from_secs(20))
}

fn pair() -> (HeartbeatChannel<MemoryChannel>, HeartbeatChannel<MemoryChannel>) {
    let (here, there) = MemoryChannel::pair();
    (beating(here), beating(there))
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn two_sides_that_wait_for_each_other_wait_for_ever() {
    let (mut here, mut there) = pair();
    let waiting = async { tokio::join!(here.recv(), there.recv()) };
    assert!(timeout(HOUR, waiting).await.is_err(), "nothing is late");
    here.send(vec![1]).await.unwrap();
    assert_eq!(there.recv().await.unwrap(), Some(vec![1]), "heartbeats are no frames");
}

#[tokio::test(start_paused = true)]
async fn a_side_that_is_silent_is_noticed_at_the_deadline() {
    let (mut here, _there) = pair();
    let begin = Instant::now();
    let error = here.recv().await.unwrap_err();
    assert!(matches!(error, SyncError::Timeout { .. }), "{error}");
    assert_eq!(begin.elapsed(), Duration::from_secs(20));
    for error in [here.recv().await.unwrap_err(), here.send(vec![]).await.unwrap_err()] {
        assert!(matches!(error, SyncError::Timeout { .. }), "it stays so: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_side_that_takes_nothing_is_noticed_by_who_sends() {
    let (mut here, _there) = pair();
    let begin = Instant::now();
    let error = loop {
        if let Err(error) = here.send(vec![0; 9]).await {
            break error;
        }
    };
    assert!(matches!(error, SyncError::Timeout { .. }), "{error}");
    assert!(begin.elapsed() <= Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn the_waiting_goes_on_with_the_next_call() {
    let (mut here, _there) = pair();
    let begin = Instant::now();
    let error = loop {
        if let Ok(received) = timeout(Duration::from_secs(1), here.recv()).await {
            break received.unwrap_err();
        }
    };
    assert!(matches!(error, SyncError::Timeout { .. }), "{error}");
    assert!(begin.elapsed() <= Duration::from_secs(21));
}

#[tokio::test(start_paused = true)]
async fn a_long_pause_of_ones_own_is_not_held_against_the_other_side() {
    let (mut here, mut there) = pair();
    // The first interval begins.
    assert!(timeout(Duration::from_secs(1), there.recv()).await.is_err());
    here.send(vec![1]).await.unwrap();
    TestRuntime::new(1).sleep(HOUR).await;
    assert_eq!(there.recv().await.unwrap(), Some(vec![1]));
    TestRuntime::new(1).sleep(HOUR).await;
    let (answer, received) = tokio::join!(
        async {
            TestRuntime::new(1).sleep(Duration::from_secs(8)).await;
            here.send(vec![2]).await
        },
        there.recv()
    );
    answer.unwrap();
    assert_eq!(received.unwrap(), Some(vec![2]));
}

#[tokio::test(start_paused = true)]
async fn what_is_busy_receiving_sends_heartbeats_too() {
    let (mut here, mut there) = pair();
    let sending = async {
        for n in 0..60 {
            TestRuntime::new(1).sleep(Duration::from_secs(1)).await;
            here.send(vec![n]).await.unwrap();
        }
        timeout(Duration::from_secs(1), here.recv()).await
    };
    let receiving = async {
        for n in 0..60 {
            assert_eq!(there.recv().await.unwrap(), Some(vec![n]));
        }
    };
    let (rest, ()) = tokio::join!(sending, receiving);
    assert!(rest.is_err(), "nothing but heartbeats has come");
    let begin = Instant::now();
    drop(there);
    assert!(!matches!(here.recv().await, Ok(Some(_))));
    assert!(begin.elapsed() < Duration::from_secs(1), "that it is gone is told at once");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_not_wrapped_is_named() {
    for frame in [vec![], vec![2], vec![7, 0]] {
        let (mut plain, there) = MemoryChannel::pair();
        let mut there = beating(there);
        plain.send(frame).await.unwrap();
        let error = there.recv().await.unwrap_err();
        assert!(matches!(error, SyncError::Protocol { .. }), "{error}");
    }
    let (mut plain, there) = MemoryChannel::pair();
    let mut there = beating(there);
    there.send(b"why".to_vec()).await.unwrap();
    assert_eq!(plain.recv().await.unwrap(), Some(b"why\x01".to_vec()));
    assert!(timeout(Duration::from_secs(11), there.recv()).await.is_err());
    assert_eq!(plain.recv().await.unwrap(), Some(vec![0]));
}
