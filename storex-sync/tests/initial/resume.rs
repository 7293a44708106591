//! An initial sync that was cut goes on where it was.

use std::sync::{Arc, Mutex};

use serde_json::json;
use storex_core::{Batch, Filter, Query, Record, Step, Value};
use storex_sync::{InitialSync, InitialSyncEvent, InitialSyncReport, Result, Role};

use crate::support::channel::Watched;
use crate::support::{
    Device, assert_in_step, count, dump, larger_schema, open, parked_count, pump, schema, settle,
    shared_log,
};

/// What a side says of how far it is: rows that are through, and rows in all.
type Told = Arc<Mutex<Vec<(u64, u64)>>>;

/// One end, with pages of so many rows, and what it tells.
async fn end(device: &Device, page: u64, role: Role) -> (InitialSync, Told) {
    let told = Told::default();
    let tell = Arc::clone(&told);
    let end = InitialSync::open(&device.storage).await.unwrap().page(page).on_event(move |event| {
        if let InitialSyncEvent::Progress { role: of, done, total, .. } = event
            && *of == role
        {
            tell.lock().unwrap().push((*done, *total));
        }
    });
    (end, told)
}

/// What became of one direction.
#[derive(Debug)]
pub(crate) struct Leg {
    sent: Result<InitialSyncReport>,
    received: Result<InitialSyncReport>,
    /// What the sides have told.
    sender: Vec<(u64, u64)>,
    receiver: Vec<(u64, u64)>,
    pub(crate) frames: usize,
}

impl Leg {
    /// Rows that were through on a side at the end.
    fn done(told: &[(u64, u64)]) -> u64 {
        told.last().map_or(0, |(done, _)| *done)
    }

    #[track_caller]
    pub(crate) fn is_through(&self) -> (&InitialSyncReport, &InitialSyncReport) {
        for told in [&self.sender, &self.receiver] {
            assert!(told.is_sorted_by_key(|(done, _)| *done), "{told:?}");
            let (done, total) = told.last().unwrap();
            assert_eq!(done, total);
        }
        (self.sent.as_ref().unwrap(), self.received.as_ref().unwrap())
    }
}

pub(crate) async fn leg(from: &Device, to: &Device, page: u64, ends: (Watched, Watched)) -> Leg {
    let ((sender, sent_told), (receiver, received_told)) =
        (end(from, page, Role::Sender).await, end(to, page, Role::Receiver).await);
    let (mut here, mut there) = ends;
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    let (sender, receiver) =
        (sent_told.lock().unwrap().clone(), received_told.lock().unwrap().clone());
    Leg { sent, received, sender, receiver, frames: here.frames() }
}

pub(crate) fn whole() -> (Watched, Watched) {
    Watched::pair(usize::MAX)
}

/// [`furnished`] without rows older than sync.
async fn dated(seed: u64) -> Device {
    let device = furnished_with(seed, 0).await;
    device.note("another", "x").await;
    device
}

pub(crate) async fn furnished(seed: u64) -> Device {
    furnished_with(seed, 6).await
}

/// Rows in several collections, tombstones, rows older than sync, values that are unique.
async fn furnished_with(seed: u64, old: usize) -> Device {
    let old: Vec<_> = (0..old).map(|n| json!({"id": format!("old {n}"), "title": "o"})).collect();
    let device = Device::with_old_notes(seed, &old).await;
    for n in 0..20 {
        device.note(&format!("n{n:02}"), "x").await;
        device.create("tag", json!({"owner": n, "name": "t", "colour": "red"})).await;
    }
    for n in 0..8 {
        device.create("login", json!({"id": format!("l{n}"), "name": format!("name {n}")})).await;
        device.create("sample", json!({"id": format!("s{n}"), "int": n})).await;
    }
    device.delete("note", json!({"id": {"$in": ["n03", "n11", "n17", "old 5"]}})).await;
    device.delete("tag", json!({"owner": {"$in": [4, 9]}})).await;
    device
}

async fn objects(device: &Device) -> u64 {
    let mut objects = 0;
    for collection in ["note", "tag", "user", "email", "login", "sample"] {
        objects += count(device, collection).await;
    }
    objects
}

#[tokio::test(start_paused = true)]
async fn cut_at_every_frame_it_goes_on_where_it_was() {
    let a = furnished(1).await;
    let total = objects(&a).await;
    let frames = leg(&a, &Device::new(2).await, 2, whole()).await.frames;
    assert!(frames > 50, "{frames}");
    for cut_at in 0..frames {
        let b = Device::new(2).await;
        let cut = leg(&a, &b, 2, Watched::pair(cut_at)).await;
        let there = objects(&b).await;
        let second = leg(&a, &b, 2, whole()).await;
        let (sent, received) = second.is_through();
        assert_in_step(&[&a, &b]).await;
        if cut.received.is_ok() {
            continue;
        }
        assert_eq!(received.total(), total - there, "frame {cut_at}: what is there is sent again");
        assert_eq!(sent.objects, received.objects);
        assert_eq!(second.receiver.first(), Some(&(there, total)), "frame {cut_at}");
        assert_eq!(second.sender.first(), Some(&(there, total)), "frame {cut_at}");
        assert_eq!(meta(&b, "resume").await, None, "the token is gone");
    }
}

/// Cut again and again, a few frames further each time.
#[tokio::test(start_paused = true)]
async fn of_two_thousand_rows_less_than_two_in_a_hundred_are_sent_again() {
    let a = Device::new(1).await;
    let notes: Vec<_> = (0..2000).map(|n| json!({"id": format!("{n:04}"), "title": "x"})).collect();
    a.storage.dynamic("note").unwrap().create_many(&notes).await.unwrap();
    for cut_at in (40..500).step_by(150) {
        let b = Device::new(2).await;
        let first = leg(&a, &b, 8, Watched::pair(cut_at)).await;
        let there = count(&b, "note").await;
        assert!(there > 0 && there < 2000, "{there}");
        let second = leg(&a, &b, 8, whole()).await;
        let (sent, received) = second.is_through();
        assert_in_step(&[&a, &b]).await;
        assert_eq!(received.total(), 2000 - there);
        let again = Leg::done(&first.sender) + sent.total() - 2000;
        assert!(again < 40, "{again} rows were sent again after a cut at frame {cut_at}");
    }
}

/// A bit of everything, as the sender's application may do it at any time.
pub(crate) async fn work(a: &Device, n: usize) {
    a.retitle("n00", &format!("edited {n}")).await;
    a.retitle("n19", &format!("edited {n}")).await;
    a.note(&format!("m{n}"), "new in the middle").await;
    a.update("tag", json!({"owner": {"$in": [0, 12]}}), json!({"colour": format!("blue {n}")}))
        .await;
    a.update("sample", json!({}), json!({"int": {"$inc": 1}})).await;
    match n % 3 {
        // Rows older than sync.
        0 => {
            a.retitle("old 0", "edited").await;
            a.delete("note", json!({"id": {"$in": ["old 1", "n01"]}})).await;
        }
        1 => {
            // A row moves, and a unique value moves from one row to another.
            a.delete("note", json!({"id": "n02"})).await;
            a.note(&format!("zz{n}"), "was n02").await;
            a.update("login", json!({"id": "l0"}), json!({"name": format!("other {n}")})).await;
            a.delete("login", json!({"id": "l7"})).await;
            a.create("login", json!({"id": format!("l7 {n}"), "name": "name 0"})).await;
        }
        _ => {
            a.delete("tag", json!({"owner": {"$lt": 3}})).await;
            a.note("n03", "again").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_written_between_the_runs_is_not_missing() {
    let frames = leg(&furnished(1).await, &Device::new(2).await, 2, whole()).await.frames;
    for cut_at in 0..frames {
        let (a, b) = (furnished(1).await, Device::new(2).await);
        let cut = leg(&a, &b, 2, Watched::pair(cut_at)).await;
        if cut.received.is_ok() {
            continue;
        }
        work(&a, cut_at).await;
        let second = leg(&a, &b, 2, whole()).await;
        second.is_through();
        assert_eq!(parked_count(&b).await, 0);
        assert_eq!(dump(&b).await, dump(&a).await, "frame {cut_at}");
        // The receiver goes on from there: the log brings nothing that it has.
        let log = shared_log();
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
    }
}

/// Cut twice, with writes on both sides between and during the runs.
#[tokio::test(start_paused = true)]
async fn writes_on_both_sides_between_and_during_the_runs() {
    for cut_at in (5..130).step_by(4) {
        let log = shared_log();
        let (a, b) = (furnished(1).await, Device::new(2).await);
        leg(&a, &b, 2, busy(&a, cut_at)).await;
        b.update("note", json!({"title": "x"}), json!({"body": "seen on B"})).await;
        b.delete("note", json!({"id": "n05"})).await;
        b.note("b", "from B").await;
        work(&a, cut_at).await;
        leg(&a, &b, 2, busy(&a, 30)).await;
        work(&a, cut_at + 1).await;
        let last = leg(&a, &b, 2, busy(&a, usize::MAX)).await;
        last.is_through();
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!((parked_count(&a).await, parked_count(&b).await), (0, 0));
        assert_eq!(a.title("b").await.as_deref(), Some("from B"));
        // Each increment counts once.
        let samples = a.storage.find(Query::new("sample")).await.unwrap();
        assert_eq!(samples, b.storage.find(Query::new("sample")).await.unwrap());
    }
}

/// A line on which the sender's application writes with each of its frames.
pub(crate) fn busy(a: &Device, cut_at: usize) -> (Watched, Watched) {
    let (here, there) = Watched::pair(cut_at);
    let writer = a.clone();
    let here = here.on_frame(move |n| {
        let writer = writer.clone();
        async move {
            writer.retitle("n00", &format!("during {n}")).await;
            writer.update("sample", json!({"id": "s0"}), json!({"int": {"$inc": 1}})).await;
            writer.note(&format!("during {n} {}", writer.runtime_reading()), "new").await;
        }
    });
    (here, there)
}

impl Device {
    fn runtime_reading(&self) -> String {
        let mut bytes = [0; 8];
        storex_core::Runtime::fill_random(&*self.runtime, &mut bytes);
        format!("{bytes:?}")
    }
}

/// Each direction goes on by itself: the one that was through is not repeated.
#[tokio::test(start_paused = true)]
async fn both_ways_each_direction_goes_on() {
    let both = async |a: &Device, b: &Device, ends: (Watched, Watched)| {
        let (x, y) = (
            InitialSync::open(&a.storage).await.unwrap().page(2),
            InitialSync::open(&b.storage).await.unwrap().page(2),
        );
        let (mut here, mut there) = ends;
        let (x, y) = tokio::join!(x.both_ways(&mut here), y.both_ways(&mut there));
        (x, y, here.frames())
    };
    let other = async || {
        let b = Device::new(2).await;
        for n in 0..10 {
            b.note(&format!("b{n}"), "from B").await;
        }
        b.note("n00", "B's").await;
        b
    };
    let (_, _, frames) = both(&dated(1).await, &other().await, whole()).await;
    for cut_at in 0..frames {
        let (a, b) = (dated(1).await, other().await);
        let before = (objects(&a).await, objects(&b).await);
        let (first, _, _) = both(&a, &b, Watched::pair(cut_at)).await;
        let there = (objects(&a).await - before.0, objects(&b).await - before.1);
        a.retitle("n19", "between").await;
        b.retitle("b9", "between").await;
        let (x, y, _) = both(&a, &b, whole()).await;
        let (x, y) = (x.unwrap(), y.unwrap());
        assert_in_step(&[&a, &b]).await;
        assert_eq!(meta(&a, "resume").await, None);
        assert_eq!(meta(&b, "resume").await, None);
        if first.is_err() && there.0 == 10 {
            // The first direction was through, but for what was written since; what has come from A is not sent back.
            assert!(y.sent.total() <= 2, "frame {cut_at}: {:?}", y.sent);
            assert!(x.sent.total() <= before.0 - there.1 + 13, "frame {cut_at}: {:?}", x.sent);
        }
    }
}

async fn meta(device: &Device, name: &str) -> Option<Record> {
    let query = Query::new("_storex_meta").filter(Filter::key(name));
    device.storage.find(query).await.unwrap().pop()
}

/// Cut in the middle.
async fn cut() -> (Device, Device, u64) {
    let (a, b) = (furnished(1).await, Device::new(2).await);
    leg(&a, &b, 2, Watched::pair(60)).await;
    let there = objects(&b).await;
    assert!(there > 4 && meta(&b, "resume").await.is_some());
    (a, b, there)
}

#[tokio::test(start_paused = true)]
async fn another_sender_begins_anew() {
    let (_, b, _) = cut().await;
    let other = furnished(3).await;
    other.note("theirs", "x").await;
    let all = leg(&other, &b, 2, whole()).await;
    let (_, received) = all.is_through();
    assert_eq!(received.total(), objects(&other).await);
    assert_eq!(b.title("theirs").await.as_deref(), Some("x"));
}

#[tokio::test(start_paused = true)]
async fn another_schema_on_either_side_begins_anew() {
    for sender_changes in [true, false] {
        let (mut a, mut b, _) = cut().await;
        if sender_changes {
            a = a.reopened(larger_schema()).await;
        }
        b = b.reopened(larger_schema()).await;
        let all = leg(&a, &b, 2, whole()).await;
        let (_, received) = all.is_through();
        assert_eq!(received.total(), objects(&a).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_damaged_begins_anew() {
    let (_, b, _) = cut().await;
    let Value::Bytes(token) = meta(&b, "resume").await.unwrap().get(1).clone() else { panic!() };
    for at in (0..token.len()).step_by(5) {
        let (a, b, _) = cut().await;
        let mut damaged = token.clone();
        damaged[at] ^= 0x55;
        let row = Record::new(vec!["resume".into(), Value::Bytes(damaged)]);
        let step = Step::create_or("_storex_meta", vec![row], storex_core::OnConflict::Replace);
        b.storage.apply(Batch::new().step(step)).await.unwrap();
        let second = leg(&a, &b, 2, whole()).await;
        let (_, received) = second.is_through();
        assert_eq!(received.total(), objects(&a).await, "byte {at}");
    }
}

/// The sender was put back to an older state: it does not know what it was.
#[tokio::test(start_paused = true)]
async fn a_sender_that_was_put_back_begins_anew() {
    let (a, b) = (furnished(1).await, Device::new(2).await);
    let backup = a.copied(1).await;
    a.retitle("n00", "later").await;
    leg(&a, &b, 2, Watched::pair(60)).await;
    let all = leg(&backup, &b, 2, whole()).await;
    let (_, received) = all.is_through();
    assert_eq!(received.total(), objects(&backup).await);
}

/// Objects older than sync come to the sender without a clock that says when.
#[tokio::test(start_paused = true)]
async fn a_sender_that_got_objects_older_than_sync_begins_anew() {
    let (a, b, _) = cut().await;
    let third = Device::with_old_notes(3, &[json!({"id": "aa", "title": "older than sync"})]).await;
    pump(&third, &a).await;
    let all = leg(&a, &b, 2, whole()).await;
    let (_, received) = all.is_through();
    assert_eq!(received.total(), objects(&a).await);
    assert_in_step(&[&a, &b]).await;
}

/// They are sent by another device as a part of its state, with a date that says nothing.
#[tokio::test(start_paused = true)]
async fn what_another_device_has_sent_late_is_not_missing() {
    let log = shared_log();
    let (a, b) = (furnished(1).await, Device::new(2).await);
    let third = Device::with_old_notes(3, &[json!({"id": "aa", "title": "older than sync"})]).await;
    third.note("third", "x").await;
    settle(&[&third, &a], &log).await;
    leg(&a, &b, 2, Watched::pair(60)).await;
    third.join(&log).await.send_state().await.unwrap();
    settle(&[&third, &a], &log).await;
    assert_eq!(a.title("aa").await.as_deref(), Some("older than sync"));
    let second = leg(&a, &b, 2, whole()).await;
    second.is_through();
    assert_in_step(&[&a, &b]).await;
}

/// What the receiver has given up it gets again.
#[tokio::test(start_paused = true)]
async fn a_receiver_that_has_signed_out_begins_anew() {
    let (a, b, _) = cut().await;
    b.join(&shared_log()).await.sign_out_discarding().await.unwrap();
    assert_eq!(meta(&b, "resume").await, None);
    let all = leg(&a, &b, 2, whole()).await;
    let (_, received) = all.is_through();
    assert_eq!(received.total(), objects(&a).await);
    assert_in_step(&[&a, &b]).await;
}

/// Both sides are opened anew between the runs.
#[tokio::test(start_paused = true)]
async fn both_sides_may_be_opened_anew() {
    let (a, b, there) = cut().await;
    let anew = async |device: Device| {
        let sync_log = storex_sync::SyncLog::new();
        let storage = open(&device.backend, &device.runtime, schema(), sync_log).await;
        Device { storage, ..device }
    };
    let (a, b) = (anew(a).await, anew(b).await);
    let second = leg(&a, &b, 2, whole()).await;
    let (_, received) = second.is_through();
    assert_eq!(received.total(), objects(&a).await - there);
    assert_in_step(&[&a, &b]).await;
}

/// The receiver was put back to an older state and has written since: what it had written before is not there.
#[tokio::test(start_paused = true)]
async fn a_receiver_that_was_put_back_gets_its_own_again() {
    let log = shared_log();
    let (a, b, _) = cut().await;
    let backup = b.copied(2).await;
    for n in 0..3 {
        b.note(&format!("a{n}"), "of B").await;
    }
    settle(&[&b, &a], &log).await;
    backup.runtime.advance(3_600_000);
    backup.note("later", "of B").await;
    leg(&a, &backup, 2, whole()).await.is_through();
    assert_eq!(backup.title("a0").await.as_deref(), Some("of B"));
}
