//! Whatever goes wrong, both sides end with the reason, and what is in the databases is good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use storex_core::Runtime;
use storex_sync::{MemoryChannel, SyncError};

use super::lines::{Narrow, Tampered};
use super::packages_and_hooks::Slow;
use super::support::channel::Watched;
use super::support::{assert_in_step, count, dump, settle, shared_log};
use super::told::{
    Told, at_progress, beside, both_ways, completed, device, furnished, one_way, opened,
    row_by_row, two,
};

/// How many frames an undisturbed run has.
async fn frames() -> usize {
    let (a, b) = two().await;
    let counted = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&counted);
    let ends = Tampered::pair(move |_, frame| {
        count.fetch_add(1, Ordering::SeqCst);
        Some(frame)
    });
    let (x, y) = both_ways(&opened(&a).await, &opened(&b).await, ends).await;
    x.unwrap();
    y.unwrap();
    counted.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn both_ways_a_line_that_breaks_at_any_frame_ends_both_sides() {
    let frames = frames().await;
    assert!(frames > 30, "{frames}");
    for cut_at in 0..frames {
        let (a, b) = two().await;
        let (x, y) = both_ways(&opened(&a).await, &opened(&b).await, Watched::pair(cut_at)).await;
        for result in [x, y] {
            let closed = matches!(result, Err(SyncError::Closed { .. }));
            assert!(closed || (result.is_ok() && cut_at == frames - 1), "{cut_at}: {result:?}");
        }
        completed(&a, &b, &format!("after a cut at frame {cut_at}")).await;
    }
}

/// From some frame on nothing arrives any more, and nobody closes anything.
#[tokio::test(start_paused = true)]
async fn a_stalled_peer_ends_both_sides_by_the_deadline() {
    let frames = frames().await;
    for silent_from in 0..frames {
        let (a, b) = two().await;
        let told = Told::default();
        let (one, other) = (told.listen(opened(&a).await), opened(&b).await);
        let begun = a.runtime.now();
        let ends = Tampered::pair(move |n, frame| Some(frame).filter(|_| n < silent_from));
        let (mut here, mut there) = ends;
        // Both ends stay open.
        let (x, y) = tokio::join!(one.both_ways(&mut here), other.both_ways(&mut there));
        for result in [x, y] {
            let timeout = matches!(result, Err(SyncError::Timeout { .. }));
            assert!(
                timeout || (result.is_ok() && silent_from == frames - 1),
                "{silent_from}: {result:?}"
            );
        }
        let passed = a.runtime.now().0 - begun.0;
        assert!((180_000..200_000).contains(&passed), "{silent_from}: {passed} ms");
        // Once, although there are two directions.
        let stalls = told.all().iter().filter(|event| *event == "stalled").count();
        assert!(stalls <= 1, "{silent_from}: {:?}", told.all());
        let before = told.all().len();
        a.runtime.sleep(Duration::from_secs(1000)).await;
        assert_eq!(told.all().len(), before, "nothing is told any more when it is over");
        completed(&a, &b, &format!("after silence from frame {silent_from} on")).await;
    }
}

/// Whoever is not dead but slow beyond measure is told that the other side has given up.
#[tokio::test(start_paused = true)]
async fn a_side_that_is_too_slow_learns_that_the_other_gave_up() {
    let (a, b) = (device(1, &[("one", "x"), ("two", "x")]).await, device(2, &[]).await);
    let sender = row_by_row(&a).await.hooks(Slow::new(&a.runtime, 200_000, 0));
    let (sent, received) = one_way(&sender, &row_by_row(&b).await, MemoryChannel::pair()).await;
    assert!(matches!(received, Err(SyncError::Timeout { .. })), "{received:?}");
    let sent = sent.unwrap_err();
    assert!(matches!(sent, SyncError::Remote { .. }) && sent.is_retryable(), "{sent:?}");
    assert!(sent.to_string().contains("180 s"), "{sent}");
}

/// A channel that holds one frame in each direction is enough, whatever happens on it.
#[tokio::test(start_paused = true)]
async fn a_narrow_channel_never_hangs() {
    let run = |what: &'static str| async move {
        let (a, b) = two().await;
        let (mut one, mut other) = (opened(&a).await.page(1), opened(&b).await.page(1));
        match what {
            "cancel here" => one = at_progress(one, 3, |control| control.cancel()),
            "cancel there" => other = at_progress(other, 3, |control| control.cancel()),
            "pause" => {
                for (side, at) in [(&mut one, 2), (&mut other, 3)] {
                    let taken = std::mem::replace(side, opened(&a).await);
                    let runtime = Arc::clone(&b.runtime);
                    *side = at_progress(taken, at, move |control| {
                        let (control, runtime) = (control.clone(), Arc::clone(&runtime));
                        control.pause();
                        beside(async move {
                            runtime.sleep(Duration::from_secs(5)).await;
                            control.resume();
                        });
                    });
                }
            }
            "failure" => other = other.hooks(Failing),
            _ => {}
        }
        let begun = a.runtime.now();
        let (x, y) = both_ways(&one, &other, Narrow::pair(true)).await;
        let passed = a.runtime.now().0 - begun.0;
        assert!(passed < 60_000, "{what}: {passed} ms");
        match what {
            "nothing" | "pause" => {
                x.unwrap();
                y.unwrap();
                assert_in_step(&[&a, &b]).await;
            }
            "failure" => {
                assert!(matches!(x, Err(SyncError::Remote { .. })), "{x:?}");
                assert!(matches!(y, Err(SyncError::Storage { .. })), "{y:?}");
            }
            _ => {
                assert!(matches!(x, Err(SyncError::Cancelled)), "{what}: {x:?}");
                assert!(matches!(y, Err(SyncError::Cancelled)), "{what}: {y:?}");
            }
        }
        completed(&a, &b, what).await;
    };
    for what in ["nothing", "pause", "cancel here", "cancel there", "failure"] {
        run(what).await;
    }
}

#[derive(Debug)]
struct Failing;

#[async_trait::async_trait]
impl storex_sync::InitialSyncHooks for Failing {
    async fn after_receive(
        &self,
        _: &mut storex_sync::PassingObject<'_>,
    ) -> Result<storex_sync::Verdict, String> {
        Err("no".to_owned())
    }
}

/// A channel that holds nothing does not hold what the protocol needs: it serves as long as the sides do not send at the same moment,
/// and is an error otherwise, and no hang.
#[tokio::test(start_paused = true)]
async fn a_channel_that_holds_nothing_serves_or_ends_by_the_deadline() {
    let (a, b) = two().await;
    let (mut here, mut there) = Narrow::pair(false);
    let (one, other) = (opened(&a).await, opened(&b).await);
    let (x, y) = tokio::join!(one.both_ways(&mut here), other.both_ways(&mut there));
    for result in [x, y] {
        assert!(matches!(result, Ok(_) | Err(SyncError::Timeout { .. })), "{result:?}");
    }
    completed(&a, &b, "over a channel that holds nothing").await;
}

/// Cancelling does not wait for a side that takes nothing any more.
#[tokio::test(start_paused = true)]
async fn cancelling_while_the_other_side_takes_nothing_ends_soon() {
    let (a, b) =
        (device(1, &[("one", "x"), ("two", "x"), ("zzz", "x")]).await, device(2, &[]).await);
    let sender = row_by_row(&a).await;
    let control = sender.control();
    let receiver = row_by_row(&b).await.hooks(Slow::new(&b.runtime, 0, 100_000_000));
    let begun = a.runtime.now();
    let sent = async {
        let (mut here, mut there) = Narrow::pair(true);
        tokio::select! {
            sent = sender.send(&mut here) => sent,
            _ = receiver.receive(&mut there) => panic!("it is busy for a day"),
        }
    };
    let cancel = async {
        a.runtime.sleep(Duration::from_secs(5)).await;
        control.cancel();
    };
    let (sent, ()) = tokio::join!(sent, cancel);
    assert!(matches!(sent, Err(SyncError::Cancelled)), "{sent:?}");
    let passed = a.runtime.now().0 - begun.0;
    assert!(passed <= 30_000, "{passed} ms");
}

/// Two run at once on one storage: from it, and into it.
#[tokio::test(start_paused = true)]
async fn twice_at_once_on_one_storage() {
    let (a, b) = two().await;
    let c = furnished(3, "c").await;
    let (from_a, into_b, from_c) = (opened(&a).await, opened(&b).await, opened(&c).await);
    let (x, y, z) = tokio::join!(
        one_way(&from_a, &into_b, MemoryChannel::pair()),
        one_way(&from_a, &into_b, MemoryChannel::pair()),
        one_way(&from_c, &into_b, MemoryChannel::pair()),
    );
    for (sent, received) in [x, y, z] {
        sent.unwrap();
        received.unwrap();
    }
    assert_eq!((count(&b, "note").await, count(&b, "tag").await), (13, 15));
    let log = shared_log();
    settle(&[&b, &a, &c], &log).await;
    assert_in_step(&[&a, &b, &c]).await;
}

/// Dropping a future in the middle is like cutting the line.
#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_at_any_frame_leaves_good_databases() {
    for stop_at in 0..frames().await {
        let (a, b) = two().await;
        let stop = Arc::new(tokio::sync::Notify::new());
        let (stops, is_stopped) = (Arc::clone(&stop), Arc::<AtomicBool>::default());
        let stopped = Arc::clone(&is_stopped);
        let (mut here, mut there) = Tampered::pair(move |n, frame| {
            if n >= stop_at && !stopped.swap(true, Ordering::SeqCst) {
                stops.notify_one();
            }
            Some(frame)
        });
        let (one, other) = (opened(&a).await, opened(&b).await);
        let (x, y) = tokio::join!(
            async {
                let result = tokio::select! {
                    biased;
                    () = stop.notified() => None,
                    result = one.both_ways(&mut here) => Some(result),
                };
                drop(here);
                result
            },
            async { other.both_ways(&mut there).await },
        );
        match x {
            None => assert!(matches!(y, Ok(_) | Err(SyncError::Closed { .. })), "{stop_at}: {y:?}"),
            Some(x) => {
                x.unwrap();
                y.unwrap();
            }
        }
        completed(&a, &b, &format!("dropped at frame {stop_at}")).await;
    }
}

/// A side that fails before it has greeted tells the other.
#[tokio::test(start_paused = true)]
async fn a_storage_that_is_closed_is_told_to_the_other_side() {
    let (a, b) = two().await;
    let (sender, receiver) = (opened(&a).await, opened(&b).await);
    b.storage.close().await.unwrap();
    let (sent, received) = one_way(&sender, &receiver, MemoryChannel::pair()).await;
    assert!(matches!(received, Err(SyncError::Storage { .. })), "{received:?}");
    let sent = sent.unwrap_err();
    assert!(sent.to_string().contains("closed"), "{sent}");
    // And one that is gone without a word is noticed.
    let (here, there) = MemoryChannel::pair();
    drop(there);
    let (mut here, sender) = (here, opened(&a).await);
    let error = sender.send(&mut here).await.unwrap_err();
    assert!(matches!(error, SyncError::Closed { .. }), "{error:?}");
}

/// Frames of an undisturbed run, and rubbish.
fn rubbish() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        // A known kind, and whatever follows.
        (1..7_u8, 0..16_u8, prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(parts, kind, rest)| [vec![0x90 | parts, kind], rest].concat()),
        // What is well formed, in the wrong place.
        (prop::sample::select(vec![1_u8, 4, 5, 6, 10, 11, 12])).prop_map(|kind| vec![0x91, kind]),
        Just(vec![0x93, 0x0e, 0x09, 0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Anything in place of any frame: both sides end, nothing panics, and an undisturbed run completes it.
    #[test]
    fn rubbish_in_place_of_any_frame_is_an_error_and_does_no_harm(at in 0..60_usize, bytes in rubbish()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (a, b) = two().await;
            let put = bytes.clone();
            let ends = Tampered::pair(move |n, frame| Some(if n == at { put.clone() } else { frame }));
            let begun = a.runtime.now();
            let _ = both_ways(&opened(&a).await, &opened(&b).await, ends).await;
            assert!(a.runtime.now().0 - begun.0 < 600_000, "it hangs");
            let (x, y) = both_ways(&opened(&a).await, &opened(&b).await, MemoryChannel::pair()).await;
            x.unwrap();
y.unwrap();
            assert_eq!(dump(&a).await, dump(&b).await);
        });
    }
}
