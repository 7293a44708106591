//! The cases for [`SharedSyncLog`]. A case's name says what it asserts.
#![allow(missing_docs)] // see above

pub mod appending;
pub mod reading;

use std::fmt;
use std::sync::Arc;

use storex_core::{BoxFuture, MaybeSend, MaybeSync};
use storex_sync::{Cursor, Device, SealedTransaction, SharedSyncLog};

/// Makes one empty shared log for one case.
pub struct LogHarness {
    make: Box<dyn MakeLog>,
}

trait MakeLog: MaybeSend + MaybeSync {
    fn make(&self) -> BoxFuture<'static, Arc<dyn SharedSyncLog>>;
}

impl<F> MakeLog for F
where
    F: Fn() -> BoxFuture<'static, Arc<dyn SharedSyncLog>> + MaybeSend + MaybeSync,
{
    fn make(&self) -> BoxFuture<'static, Arc<dyn SharedSyncLog>> {
        self()
    }
}

impl fmt::Debug for LogHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogHarness")
    }
}

impl LogHarness {
    /// A harness over the logs that the function makes, each of them empty.
    pub fn new(
        make: impl Fn() -> BoxFuture<'static, Arc<dyn SharedSyncLog>> + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        Self { make: Box::new(make) }
    }

    /// An empty log.
    pub async fn log(&self) -> Arc<dyn SharedSyncLog> {
        self.make.make().await
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
        all.extend(page.transactions);
        cursor = page.cursor;
        if !page.more {
            return (all, cursor);
        }
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
///     LogHarness::new(|| Box::pin(async {
///         Arc::new(MemorySharedLog::new(LogId([7; 16]))) as Arc<dyn SharedSyncLog>
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
            }
            reading {
                in_the_order_of_the_log
                ones_own_are_left_out
                again_from_the_same_place_gives_the_same
                pages_hold_one_transaction_at_least
                what_arrives_between_two_reads_comes_next
                a_place_behind_everything_stays_valid
                every_device_gets_everything_of_the_others
                the_log_says_who_it_is
                a_place_of_another_kind_is_refused
                acknowledging_changes_nothing_that_is_read
            }
        }
    };
}
