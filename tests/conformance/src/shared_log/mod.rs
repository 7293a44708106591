//! The cases for [`SharedSyncLog`]. A case's name says what it asserts.
#![allow(missing_docs)] // see above

pub mod appending;
pub mod exchanging;
pub mod keys;
pub mod members;
pub mod news;
pub mod places;
pub mod reading;
pub mod snapshots;
pub mod trimming;

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use storex_core::{BoxFuture, MaybeSend, MaybeSync};
use storex_sync::{Cursor, Device, SealedTransaction, SharedSyncLog};

/// Opens the shared logs of one case.
pub struct LogHarness {
    open: Box<dyn OpenLog>,
    tells_news: bool,
    keeps_snapshots: bool,
    keeps_keys: bool,
    weight: fn(usize) -> usize,
}

/// A shared log that was opened.
type Opened = BoxFuture<'static, Arc<dyn SharedSyncLog>>;

trait OpenLog: MaybeSend + MaybeSync {
    fn open(&self, n: u64) -> Opened;
}

impl<F> OpenLog for F
where
    F: Fn(u64) -> Opened + MaybeSend + MaybeSync,
{
    fn open(&self, n: u64) -> Opened {
        self(n)
    }
}

impl fmt::Debug for LogHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogHarness")
    }
}

impl LogHarness {
    /// A harness over the logs that the function opens: each number stands for a log of its own, which is empty when it is
    /// opened for the first time. One that is still open may be opened once more.
    pub fn new(open: impl Fn(u64) -> Opened + MaybeSend + MaybeSync + 'static) -> Self {
        Self {
            open: Box::new(open),
            tells_news: true,
            keeps_snapshots: true,
            keeps_keys: true,
            weight: |bytes| bytes,
        }
    }

    /// A harness over logs that live as long as their value: opened again, they are that value.
    pub fn in_memory(make: impl Fn(u64) -> Opened + MaybeSend + MaybeSync + 'static) -> Self {
        let made: Arc<Mutex<BTreeMap<u64, Arc<dyn SharedSyncLog>>>> = Arc::default();
        Self::new(move |n| {
            let known = made.lock().unwrap_or_else(PoisonError::into_inner).get(&n).cloned();
            let (making, made) = (make(n), Arc::clone(&made));
            Box::pin(async move {
                if let Some(log) = known {
                    return log;
                }
                let log = making.await;
                made.lock().unwrap_or_else(PoisonError::into_inner).insert(n, Arc::clone(&log));
                log
            })
        })
    }

    /// Says that [`SharedSyncLog::changed`] never returns; the cases assert that it does not.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.tells_news = false;
        self
    }

    /// Says that the log keeps no [`Snapshots`](storex_sync::Snapshots); the cases assert that it does not.
    #[must_use]
    pub fn without_snapshots(mut self) -> Self {
        self.keeps_snapshots = false;
        self
    }

    /// Says that the log keeps no [`SealedKeys`](storex_sync::SealedKeys); the cases assert that it does not.
    #[must_use]
    pub fn without_keys(mut self) -> Self {
        self.keeps_keys = false;
        self
    }

    /// Says how much of a read's limit a payload of so many bytes takes, where that is not its bytes: it is encrypted, say.
    #[must_use]
    pub fn weighing(mut self, weight: fn(usize) -> usize) -> Self {
        self.weight = weight;
        self
    }

    /// The log; opened once more when it is open.
    pub async fn log(&self) -> Arc<dyn SharedSyncLog> {
        self.open.open(0).await
    }

    /// Another log: what the application finds when its own was replaced.
    pub async fn another_log(&self) -> Arc<dyn SharedSyncLog> {
        self.open.open(1).await
    }

    /// Whether the log keeps snapshots.
    #[must_use]
    pub fn keeps_snapshots(&self) -> bool {
        self.keeps_snapshots
    }

    /// Whether the log keeps sealed keys.
    #[must_use]
    pub fn keeps_keys(&self) -> bool {
        self.keeps_keys
    }

    /// How much of a read's limit a transaction takes.
    pub(crate) fn weight(&self, transaction: &SealedTransaction) -> usize {
        (self.weight)(transaction.payload.len())
    }

    /// Whether [`SharedSyncLog::changed`] returns when there are news.
    #[must_use]
    pub fn tells_news(&self) -> bool {
        self.tells_news
    }
}

pub(crate) fn device(n: u8) -> Device {
    Device { id: [n; 16], incarnation: 0 }
}

/// A transaction whose bytes tell whose it is.
pub(crate) fn transaction(device: Device, sequence: u64) -> SealedTransaction {
    let payload = format!("{device}/{sequence}").into_bytes();
    SealedTransaction { device, sequence, payload }
}

pub(crate) fn transactions(
    device: Device,
    sequences: std::ops::RangeInclusive<u64>,
) -> Vec<SealedTransaction> {
    sequences.map(|sequence| transaction(device, sequence)).collect()
}

/// Everything behind a cursor, page by page.
pub(crate) async fn read_all(
    log: &dyn SharedSyncLog,
    reader: Device,
    mut cursor: Cursor,
    limit: usize,
) -> (Vec<SealedTransaction>, Cursor) {
    let mut all = Vec::new();
    loop {
        let page = log.read(reader, &cursor, limit).await.expect("a page");
        assert!(!page.more || !page.transactions.is_empty(), "a page that is not the last goes on");
        assert_eq!(page.missing, [], "it can give all that was appended");
        all.extend(page.transactions);
        cursor = page.cursor;
        if !page.more {
            return (all, cursor);
        }
    }
}

/// Everything in front of the end is applied, as far as the log is concerned.
pub(crate) async fn catch_up(log: &dyn SharedSyncLog, reader: Device) -> Cursor {
    let (_, cursor) = read_all(log, reader, Cursor::default(), 1 << 20).await;
    log.acknowledge(reader, &cursor).await.expect("an acknowledgement");
    cursor
}

/// Appends transactions in one request each.
pub(crate) async fn append_each(
    log: &dyn SharedSyncLog,
    device: Device,
    sequences: std::ops::RangeInclusive<u64>,
) {
    for sequence in sequences {
        log.append(&[transaction(device, sequence)]).await.expect("an append");
    }
}

/// In the order of the devices, each one's in the order in which they came: all that a log promises of the order.
pub(crate) fn by_device(mut transactions: Vec<SealedTransaction>) -> Vec<SealedTransaction> {
    transactions.sort_by_key(|transaction| transaction.device);
    transactions
}

/// Lets the others go on.
pub(crate) async fn pause() {
    let mut paused = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Polls a future so many times, and drops it.
pub(crate) async fn give_up_after(polls: usize, future: impl Future<Output = ()>) {
    let mut future = std::pin::pin!(future);
    for _ in 0..polls {
        let done = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if done {
            return;
        }
        pause().await;
    }
}

/// Every case of the suite as a test on the log that the function gives.
///
/// ```
/// use std::sync::Arc;
/// use storex_conformance::{shared_log::LogHarness, shared_log_conformance};
/// use storex_sync::{LogId, MemorySharedLog, SharedSyncLog};
///
/// fn memory() -> LogHarness {
///     LogHarness::in_memory(|n| Box::pin(async move {
///         Arc::new(MemorySharedLog::new(LogId([n as u8; 16]))) as Arc<dyn SharedSyncLog>
///     }))
/// }
///
/// shared_log_conformance!(memory);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! shared_log_conformance {
    ($make:expr) => {
        $crate::__storex_suite! { $make => $crate::shared_log::LogHarness; by_case; shared_log:
            appending {
                the_same_bytes_again_are_passed_over
                the_same_bytes_together_with_new_ones
                other_bytes_under_a_known_number_are_refused_whole
                a_number_left_out_is_refused_whole
                a_first_number_that_is_not_one_is_refused
                nothing_to_append
                incarnations_of_a_device_count_on_their_own
                bytes_of_every_kind_and_a_large_transaction
                registering_twice_keeps_what_is_known
                two_devices_at_once
                transactions_of_several_devices_are_refused
                many_devices_append_while_others_read
                one_that_was_given_up_may_be_repeated
            }
            exchanging {
                everything_at_once
                only_what_is_asked_for_is_done
                its_page_has_the_limit
                where_appending_is_refused_nothing_is_read
                where_reading_is_refused_it_has_appended
                twice_is_once
                one_that_was_given_up_may_be_repeated
                a_place_of_another_kind_is_refused
            }
            keys {
                there_are_none_at_first
                they_are_read_as_they_were_written
                they_are_listed_in_ascending_order
                the_same_again_changes_nothing
                other_contents_under_a_name_are_refused
                they_outlive_the_value_of_the_log
                they_are_of_one_log
                trimming_and_another_identity_leave_them_alone
                two_devices_at_once
                putting_may_be_given_up_and_repeated
            }
            members {
                who_registered_is_one
                how_far_each_is_behind
                an_older_acknowledgement_changes_nothing
                who_only_reads_and_writes_is_none
                a_dismissed_device_is_none
                a_dismissed_device_comes_back_by_registering
                a_dismissed_device_comes_back_by_acknowledging
                that_a_stranger_is_none_is_told
            }
            news {
                they_wake_who_waits
                those_that_are_there_are_told_at_once
                waiting_may_be_given_up
                a_place_of_another_kind_is_refused
            }
            places {
                they_outlive_the_value_of_the_log
                what_is_known_outlives_the_value_of_the_log
                another_log_is_told_from_this_one
                it_gets_another_identity_once
                of_another_log_they_do_no_harm
                rubbish_does_no_harm
            }
            reading {
                in_the_order_of_each_device
                ones_own_are_left_out
                again_from_the_same_place_gives_the_same
                pages_hold_one_transaction_at_least
                what_arrives_between_two_reads_comes_next
                a_place_behind_everything_stays_valid
                every_device_gets_everything_of_the_others
                the_log_says_who_it_is
                a_place_of_another_kind_is_refused
                acknowledging_changes_nothing_that_is_read
                one_larger_than_the_limit_is_a_page_of_its_own
                a_slow_reader_gets_everything
                a_page_tells_how_much_the_reader_has_written
                nothing_is_missing_of_what_was_appended
            }
            snapshots {
                there_is_none_at_first
                it_is_read_as_it_was_written
                nobody_sees_one_that_is_not_published
                twice_is_once
                a_later_one_takes_its_place
                an_earlier_one_does_not
                another_at_the_same_place_takes_its_place
                one_that_lacks_a_page_is_given_up
                one_whose_tail_is_gone_is_given_up
                what_was_begun_and_not_published_is_dropped_with_the_next
                what_others_have_begun_is_kept
                nothing_that_follows_it_is_dropped
                with_its_place_everything_follows
                what_the_log_holds_is_told
                a_missing_beginning_is_told
                it_outlives_the_value_of_the_log
                two_makers_at_once
                making_one_may_be_given_up_and_repeated
                publishing_may_be_given_up_and_repeated
                a_place_of_another_kind_is_refused
            }
            trimming {
                what_all_have_is_dropped
                what_a_member_lacks_is_kept
                what_a_device_wrote_counts_as_known_to_it
                without_members_nothing_is_dropped
                a_new_member_holds_everything_back
                a_dismissed_device_holds_nothing_back
                a_dismissed_device_that_lacks_something_is_told
                a_place_that_was_handed_over_is_enough
                the_floor_outlives_the_value_of_the_log
                numbers_go_on
                an_append_that_is_repeated_is_passed_over
                another_transaction_under_a_dropped_number_is_refused
                reading_meanwhile_skips_nothing
                twice_is_once
            }
        }
    };
}
