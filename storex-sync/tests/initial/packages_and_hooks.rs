//! What the applications say to each other, and to the objects.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use storex_core::{ErrorKind, Runtime, Value};
use storex_memory::TestRuntime;
use storex_sync::{
    InitialSync, InitialSyncHooks, MemoryChannel, PassingObject, SyncError, Verdict,
};

use super::support::{Device, assert_in_step, count, dump_all, settle, shared_log};
use super::told::{Told, device, one_way, row_by_row};

/// Hooks that take their time.
#[derive(Debug)]
pub(crate) struct Slow {
    runtime: Arc<TestRuntime>,
    sends: Duration,
    receives: Duration,
}

impl Slow {
    /// So many milliseconds for each object that is sent, and that is received.
    pub(crate) fn new(runtime: &Arc<TestRuntime>, sends: u64, receives: u64) -> Self {
        let (sends, receives) = (Duration::from_millis(sends), Duration::from_millis(receives));
        Self { runtime: Arc::clone(runtime), sends, receives }
    }
}

#[async_trait]
impl InitialSyncHooks for Slow {
    async fn before_send(&self, _: &mut PassingObject<'_>) -> Result<Verdict, String> {
        self.runtime.sleep(self.sends).await;
        Ok(Verdict::Pass)
    }

    async fn after_receive(&self, _: &mut PassingObject<'_>) -> Result<Verdict, String> {
        self.runtime.sleep(self.receives).await;
        Ok(Verdict::Pass)
    }
}

/// Only what is called `Foo`, and louder; what is called `Bad` cannot be judged.
#[derive(Debug)]
struct OnlyFoo;

impl OnlyFoo {
    fn judge(object: &mut PassingObject<'_>) -> Result<Verdict, String> {
        assert_eq!(&**object.collection(), "note");
        assert!(!object.set("id", "the key stays") && !object.set("unknown", 1));
        match object.value("title").and_then(Value::as_text) {
            Some("Foo") => {
                object.set("title", "FOO");
                Ok(Verdict::Pass)
            }
            Some("Bad") => Err(format!("nobody knows what to do with {}", object.key())),
            Some("Wrong") => {
                object.set("title", 5);
                Ok(Verdict::Pass)
            }
            _ => Ok(Verdict::Drop),
        }
    }
}

#[derive(Debug)]
struct OnTheWayOut;

#[async_trait]
impl InitialSyncHooks for OnTheWayOut {
    async fn before_send(&self, object: &mut PassingObject<'_>) -> Result<Verdict, String> {
        OnlyFoo::judge(object)
    }
}

#[derive(Debug)]
struct OnTheWayIn;

#[async_trait]
impl InitialSyncHooks for OnTheWayIn {
    async fn after_receive(&self, object: &mut PassingObject<'_>) -> Result<Verdict, String> {
        OnlyFoo::judge(object)
    }
}

async fn three() -> (Device, Device) {
    let a = device(1, &[("one", "Foo"), ("three", "spam"), ("two", "Bar")]).await;
    (a, device(2, &[]).await)
}

#[tokio::test(start_paused = true)]
async fn fast_sync_2_a_filter_keeps_back_what_it_drops_and_counts_it() {
    for on_the_way_out in [true, false] {
        let (a, b) = three().await;
        let (at_a, at_b) = (Told::default(), Told::default());
        let (sender, receiver) = filtering(&a, &b, on_the_way_out).await;
        let (sender, receiver) = (at_a.listen(sender), at_b.listen(receiver));
        let (sent, received) = one_way(&sender, &receiver, MemoryChannel::pair()).await;
        sent.unwrap();
        received.unwrap();
        assert_eq!((b.title("one").await.as_deref(), count(&b, "note").await), (Some("FOO"), 1));
        for (told, role) in [(at_a, "sender"), (at_b, "receiver")] {
            let mut expected = ["prepared 3 in 1", "0/3", "1/3", "2/3", "3/3"]
                .map(|it| format!("{role} {it}"))
                .to_vec();
            expected.push("finished".to_owned());
            assert_eq!(told.all(), expected);
        }
    }
}

/// What was dropped does not count as seen: the log has it, and what is written to it later can be applied.
/// A sender and a receiver of which one has hooks.
async fn filtering(a: &Device, b: &Device, on_the_way_out: bool) -> (InitialSync, InitialSync) {
    let (sender, receiver) = (row_by_row(a).await, row_by_row(b).await);
    match on_the_way_out {
        true => (sender.hooks(OnTheWayOut), receiver),
        false => (sender, receiver.hooks(OnTheWayIn)),
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_filter_drops_comes_by_the_log() {
    for on_the_way_out in [true, false] {
        let log = shared_log();
        let (a, b) = three().await;
        a.sync(&log).await;
        let (sender, receiver) = filtering(&a, &b, on_the_way_out).await;
        let (sent, received) = one_way(&sender, &receiver, MemoryChannel::pair()).await;
        sent.unwrap();
        received.unwrap();
        a.retitle("one", "written later").await;
        a.retitle("two", "written later").await;
        settle(&[&a, &b], &log).await;
        assert_eq!(storex_sync::parked(&b.storage).await.unwrap(), []);
        assert_in_step(&[&a, &b]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_cannot_judge_ends_both_sides_with_its_reason() {
    for title in ["Bad", "Wrong"] {
        let (a, b) = (device(1, &[("one", title)]).await, device(2, &[]).await);
        for on_the_way_out in [true, false] {
            let (sender, receiver) = filtering(&a, &b, on_the_way_out).await;
            let (sent, received) = one_way(&sender, &receiver, MemoryChannel::pair()).await;
            let (sent, received) = (sent.map(drop), received.map(drop));
            let (own, told) = if on_the_way_out { (sent, received) } else { (received, sent) };
            let (own, told) = (own.unwrap_err(), told.unwrap_err());
            assert!(matches!(own, SyncError::Storage { .. }), "{own:?}");
            assert!(
                matches!(&told, SyncError::Remote { kind, .. } if *kind == own.kind()),
                "{told:?}"
            );
            let word = if title == "Bad" { "nobody knows" } else { "title" };
            assert!(told.to_string().contains(word), "{told}");
            assert_eq!(count(&b, "note").await, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_package_of_another_kind_or_in_the_wrong_place_is_told_on_both_sides() {
    let (a, b) = (device(1, &[("one", "Foo")]).await, device(2, &[]).await);
    let before = dump_all(&b).await;
    let (sender, receiver) = (row_by_row(&a).await, row_by_row(&b).await);
    let is_told = |error: SyncError| {
        assert!(matches!(&error, SyncError::Remote { kind: ErrorKind::Other, .. }), "{error:?}");
        error.to_string()
    };
    // Another kind.
    let (mut here, mut there) = MemoryChannel::pair();
    sender.send_package(&mut here, "name", b"x").await.unwrap();
    let error = receiver.receive_package(&mut there, "key").await.unwrap_err();
    assert!(matches!(error, SyncError::Protocol { .. }), "{error:?}");
    let told = is_told(sender.receive_package(&mut here, "answer").await.unwrap_err());
    assert!(told.contains("`name`") && told.contains("`key`"), "{told}");
    // One that nobody takes.
    let (mut here, mut there) = MemoryChannel::pair();
    sender.send_package(&mut here, "name", b"x").await.unwrap();
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    assert!(matches!(received, Err(SyncError::Protocol { .. })), "{received:?}");
    is_told(sent.unwrap_err());
    // A session where a package is expected.
    let (mut here, mut there) = MemoryChannel::pair();
    let (sent, received) =
        tokio::join!(sender.send(&mut here), receiver.receive_package(&mut there, "key"));
    assert!(matches!(received, Err(SyncError::Protocol { .. })), "{received:?}");
    is_told(sent.unwrap_err());
    assert_eq!(dump_all(&b).await, before);
}
