//! What a log keeps in place of what it has dropped.

use std::sync::Arc;

use storex_sync::{
    Cursor, Device, SharedSyncLog, Snapshot, SnapshotId, Snapshots, SyncError, Trimmed, Usage,
};

use super::{
    LogHarness, append_each, catch_up, device, give_up_after, pause, read_all, transactions,
};

const ALL: usize = 1 << 20;

/// The log, if it keeps snapshots; else it has to say so.
async fn keeping(harness: &LogHarness) -> Option<Arc<dyn SharedSyncLog>> {
    let log = harness.log().await;
    assert_eq!(log.snapshots().is_some(), harness.keeps_snapshots());
    harness.keeps_snapshots().then_some(log)
}

fn of(log: &Arc<dyn SharedSyncLog>) -> &dyn Snapshots {
    log.snapshots().expect("it keeps snapshots")
}

fn id(maker: u8, number: u64) -> SnapshotId {
    SnapshotId { maker: device(maker), number }
}

/// The bytes of a page tell where it belongs.
fn page(id: SnapshotId, page: u64) -> Vec<u8> {
    format!("{}/{}/{page}", id.maker, id.number).into_bytes()
}

async fn put(log: &Arc<dyn SharedSyncLog>, id: SnapshotId, pages: u64) {
    for n in 0..pages {
        of(log).put_page(id, n, &page(id, n)).await.unwrap();
    }
}

/// Makes a snapshot of three pages.
async fn make(log: &Arc<dyn SharedSyncLog>, id: SnapshotId, place: &Cursor) -> bool {
    put(log, id, 3).await;
    of(log).publish(&Snapshot { id, pages: 3, place: place.clone() }).await.unwrap()
}

async fn published(log: &Arc<dyn SharedSyncLog>) -> Option<SnapshotId> {
    of(log).published().await.unwrap().map(|snapshot| snapshot.id)
}

/// How many pages of a snapshot there are among the first ten.
async fn pages(log: &Arc<dyn SharedSyncLog>, id: SnapshotId) -> usize {
    let mut there = 0;
    for n in 0..10 {
        if let Some(bytes) = of(log).page(id, n).await.unwrap() {
            assert_eq!(bytes, page(id, n));
            there += 1;
        }
    }
    there
}

/// Two members, ten transactions of the first that the second has, and the places behind the fifth and the last.
async fn ten(harness: &LogHarness) -> Option<(Arc<dyn SharedSyncLog>, Cursor, Cursor)> {
    let log = keeping(harness).await?;
    for n in 1..=2 {
        log.register(device(n)).await.unwrap();
    }
    append_each(&*log, device(1), 1..=5).await;
    let fifth = catch_up(&*log, device(2)).await;
    append_each(&*log, device(1), 6..=10).await;
    let last = catch_up(&*log, device(2)).await;
    Some((log, fifth, last))
}

async fn trimmed(log: &Arc<dyn SharedSyncLog>) -> u64 {
    let Trimmed { transactions } = log.trim().await.unwrap();
    transactions
}

async fn usage(log: &Arc<dyn SharedSyncLog>) -> Usage {
    of(log).usage().await.unwrap()
}

pub async fn there_is_none_at_first(harness: LogHarness) {
    let Some((log, ..)) = ten(&harness).await else { return };
    assert_eq!(of(&log).published().await.unwrap(), None);
    assert_eq!(of(&log).page(id(1, 7), 0).await.unwrap(), None);
}

pub async fn it_is_read_as_it_was_written(harness: LogHarness) {
    let Some((log, _, last)) = ten(&harness).await else { return };
    let id = SnapshotId { maker: Device { id: [0xff; 16], incarnation: u32::MAX }, number: 0 };
    let contents = [Vec::new(), vec![0xa5; 1 << 20], (0..=255).collect::<Vec<u8>>()];
    for (n, bytes) in (0..).zip(&contents) {
        of(&log).put_page(id, n, bytes).await.unwrap();
    }
    let snapshot = Snapshot { id, pages: 3, place: last };
    assert!(of(&log).publish(&snapshot).await.unwrap());
    assert_eq!(of(&log).published().await.unwrap(), Some(snapshot));
    for (n, bytes) in (0..).zip(contents) {
        assert_eq!(of(&log).page(id, n).await.unwrap(), Some(bytes));
    }
    assert_eq!(of(&log).page(id, 3).await.unwrap(), None);
}

pub async fn nobody_sees_one_that_is_not_published(harness: LogHarness) {
    let Some((log, ..)) = ten(&harness).await else { return };
    put(&log, id(1, 7), 3).await;
    assert_eq!(published(&log).await, None);
    assert_eq!(trimmed(&log).await, 9, "it keeps nothing from being dropped");
}

pub async fn twice_is_once(harness: LogHarness) {
    let Some((log, _, last)) = ten(&harness).await else { return };
    let id = id(1, u64::MAX);
    for _ in 0..2 {
        put(&log, id, 2).await;
        put(&log, id, 3).await;
    }
    for _ in 0..2 {
        assert!(make(&log, id, &last).await, "its pages may be put again too");
    }
    assert_eq!((published(&log).await, pages(&log, id).await), (Some(id), 3));
}

pub async fn a_later_one_takes_its_place(harness: LogHarness) {
    let Some((log, fifth, last)) = ten(&harness).await else { return };
    assert!(make(&log, id(1, 9), &fifth).await);
    assert!(make(&log, id(2, 1), &last).await);
    assert_eq!(published(&log).await, Some(id(2, 1)));
    assert_eq!(pages(&log, id(2, 1)).await, 3);
    assert_eq!(pages(&log, id(1, 9)).await, 0, "those of the former are dropped");
}

pub async fn an_earlier_one_does_not(harness: LogHarness) {
    let Some((log, fifth, last)) = ten(&harness).await else { return };
    assert!(make(&log, id(1, 1), &last).await);
    assert!(!make(&log, id(2, 9), &fifth).await);
    assert_eq!(published(&log).await, Some(id(1, 1)));
    assert_eq!((pages(&log, id(1, 1)).await, pages(&log, id(2, 9)).await), (3, 0));
}

pub async fn another_at_the_same_place_takes_its_place(harness: LogHarness) {
    let Some((log, _, last)) = ten(&harness).await else { return };
    for other in [id(2, 9), id(1, 1), id(2, 5)] {
        assert!(make(&log, other, &last).await, "the one that is there may be damaged");
        assert_eq!(published(&log).await, Some(other));
    }
    assert_eq!((pages(&log, id(2, 9)).await, pages(&log, id(1, 1)).await), (0, 0));
}

pub async fn one_that_lacks_a_page_is_given_up(harness: LogHarness) {
    let Some((log, fifth, last)) = ten(&harness).await else { return };
    assert!(make(&log, id(1, 1), &fifth).await);
    let id = id(2, 2);
    for n in [0, 2, 3] {
        of(&log).put_page(id, n, &page(id, n)).await.unwrap();
    }
    assert!(!of(&log).publish(&Snapshot { id, pages: 3, place: last.clone() }).await.unwrap());
    assert_eq!(pages(&log, id).await, 0);
    assert!(!of(&log).publish(&Snapshot { id, pages: 3, place: last }).await.unwrap());
    assert_eq!(published(&log).await, Some(self::id(1, 1)), "the one that is there stays");
}

pub async fn one_whose_tail_is_gone_is_given_up(harness: LogHarness) {
    let Some((log, fifth, last)) = ten(&harness).await else { return };
    assert_eq!(trimmed(&log).await, 9);
    assert!(!make(&log, id(1, 1), &fifth).await, "what followed its place was dropped");
    assert_eq!((published(&log).await, pages(&log, id(1, 1)).await), (None, 0));
    assert!(make(&log, id(1, 2), &last).await);
}

pub async fn what_was_begun_and_not_published_is_dropped_with_the_next(harness: LogHarness) {
    let Some((log, fifth, last)) = ten(&harness).await else { return };
    assert!(make(&log, id(1, 5), &fifth).await);
    put(&log, id(1, 6), 2).await;
    put(&log, id(1, 7), 1).await;
    assert_eq!(pages(&log, id(1, 6)).await, 0);
    assert_eq!(pages(&log, id(1, 5)).await, 3, "the one that is published stays");
    assert!(make(&log, id(1, 7), &last).await);
}

pub async fn what_others_have_begun_is_kept(harness: LogHarness) {
    let Some((log, fifth, last)) = ten(&harness).await else { return };
    put(&log, id(2, 5), 3).await;
    assert!(make(&log, id(1, 5), &fifth).await);
    assert_eq!(pages(&log, id(2, 5)).await, 3);
    let other = Snapshot { id: id(2, 5), pages: 3, place: last };
    assert!(of(&log).publish(&other).await.unwrap());
    assert_eq!(pages(&log, id(2, 5)).await, 3);
}

pub async fn nothing_that_follows_it_is_dropped(harness: LogHarness) {
    let Some((log, fifth, last)) = ten(&harness).await else { return };
    assert!(make(&log, id(1, 1), &fifth).await);
    assert_eq!(trimmed(&log).await, 5);
    assert_eq!(trimmed(&log).await, 0);
    assert!(make(&log, id(1, 2), &last).await);
    assert_eq!(trimmed(&log).await, 4, "all but the last");
}

pub async fn with_its_place_everything_follows(harness: LogHarness) {
    let Some((log, fifth, last)) = ten(&harness).await else { return };
    append_each(&*log, device(2), 1..=3).await;
    for n in 1..=2 {
        catch_up(&*log, device(n)).await;
    }
    assert!(make(&log, id(2, 1), &fifth).await);
    trimmed(&log).await;
    let begin = log.read(device(3), &Cursor::default(), ALL).await;
    assert!(matches!(begin, Err(SyncError::BelowFloor { .. })), "{begin:?}");
    let place = of(&log).published().await.unwrap().unwrap().place;
    let (read, _) = read_all(&*log, device(3), place, ALL).await;
    let mut expected = transactions(device(1), 6..=10);
    expected.extend(transactions(device(2), 1..=3));
    assert_eq!(super::by_device(read), expected);
    let (read, _) = read_all(&*log, device(3), last, ALL).await;
    assert_eq!(read, transactions(device(2), 1..=3));
}

pub async fn what_the_log_holds_is_told(harness: LogHarness) {
    let Some((log, fifth, _)) = ten(&harness).await else { return };
    let expected = Usage { transactions: 10, droppable: 9, lacks_beginning: false };
    assert_eq!(usage(&log).await, expected);
    append_each(&*log, device(1), 11..=12).await;
    let expected = Usage { transactions: 12, droppable: 10, lacks_beginning: false };
    assert_eq!(usage(&log).await, expected, "the last two were not acknowledged");
    assert!(make(&log, id(1, 1), &fifth).await);
    assert_eq!(usage(&log).await, expected, "behind a newer snapshot they could go");
    assert_eq!(trimmed(&log).await, 5);
    let expected = Usage { transactions: 7, droppable: 5, lacks_beginning: false };
    assert_eq!(usage(&log).await, expected);
    log.register(device(3)).await.unwrap();
    assert_eq!(usage(&log).await, Usage { droppable: 0, ..expected });
}

pub async fn a_missing_beginning_is_told(harness: LogHarness) {
    let Some((log, _, last)) = ten(&harness).await else { return };
    assert_eq!(trimmed(&log).await, 9);
    let expected = Usage { transactions: 1, droppable: 0, lacks_beginning: true };
    assert_eq!(usage(&log).await, expected);
    assert!(make(&log, id(2, 1), &last).await);
    assert_eq!(usage(&log).await, Usage { lacks_beginning: false, ..expected });
}

pub async fn it_outlives_the_value_of_the_log(harness: LogHarness) {
    let Some((log, fifth, last)) = ten(&harness).await else { return };
    assert!(make(&log, id(1, 1), &fifth).await);
    put(&log, id(2, 2), 2).await;
    drop(log);
    let log = harness.log().await;
    assert_eq!((published(&log).await, pages(&log, id(1, 1)).await), (Some(id(1, 1)), 3));
    assert_eq!(trimmed(&log).await, 5);
    of(&log).put_page(id(2, 2), 2, &page(id(2, 2), 2)).await.unwrap();
    let other = Snapshot { id: id(2, 2), pages: 3, place: last };
    assert!(of(&log).publish(&other).await.unwrap());
}

pub async fn two_makers_at_once(harness: LogHarness) {
    let Some((log, fifth, last)) = ten(&harness).await else { return };
    let making = |id: SnapshotId, place: Cursor| {
        let log = Arc::clone(&log);
        async move {
            for n in 0..3 {
                of(&log).put_page(id, n, &page(id, n)).await.unwrap();
                pause().await;
            }
            let published = of(&log).publish(&Snapshot { id, pages: 3, place }).await.unwrap();
            log.trim().await.unwrap();
            published
        }
    };
    let both = futures_util::future::join(making(id(1, 1), fifth), making(id(2, 2), last)).await;
    assert!(both.1, "nobody is further on");
    assert_eq!((published(&log).await, pages(&log, id(2, 2)).await), (Some(id(2, 2)), 3));
    let place = of(&log).published().await.unwrap().unwrap().place;
    assert!(read_all(&*log, device(3), place, ALL).await.0.is_empty());
}

pub async fn making_one_may_be_given_up_and_repeated(harness: LogHarness) {
    let Some((log, _, last)) = ten(&harness).await else { return };
    for polls in 0..20 {
        let id = id(1, polls);
        let giving_up = async {
            put(&log, id, 3).await;
        };
        give_up_after(usize::try_from(polls).unwrap(), giving_up).await;
        assert!(make(&log, id, &last).await, "given up after {polls} polls");
        assert_eq!((published(&log).await, pages(&log, id).await), (Some(id), 3));
    }
}

pub async fn publishing_may_be_given_up_and_repeated(harness: LogHarness) {
    let Some((log, _, last)) = ten(&harness).await else { return };
    for polls in 0..20 {
        let id = id(1, polls);
        put(&log, id, 3).await;
        let snapshot = Snapshot { id, pages: 3, place: last.clone() };
        let giving_up = async {
            let _ = of(&log).publish(&snapshot).await;
        };
        give_up_after(usize::try_from(polls).unwrap(), giving_up).await;
        assert!(of(&log).publish(&snapshot).await.unwrap(), "given up after {polls} polls");
        assert_eq!((published(&log).await, pages(&log, id).await), (Some(id), 3));
    }
}

pub async fn a_place_of_another_kind_is_refused(harness: LogHarness) {
    let Some((log, fifth, _)) = ten(&harness).await else { return };
    assert!(make(&log, id(1, 1), &fifth).await);
    put(&log, id(1, 2), 1).await;
    let place = Cursor(b"of another kind".to_vec());
    let refused = of(&log).publish(&Snapshot { id: id(1, 2), pages: 1, place }).await;
    assert!(matches!(refused, Err(SyncError::Corrupt { .. })), "{refused:?}");
    assert_eq!(published(&log).await, Some(id(1, 1)));
}
