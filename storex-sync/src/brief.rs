//! [`Brief`]: one exchange by a program that has little time, beside another one that syncs the same database.

use std::time::Duration;

use crate::engine::Purpose;
use crate::error::{Result, SyncError};
use crate::report::SyncReport;
use crate::sync::Sync;

/// What a program that has little time asks for: one that the system has woken for a message, say, and will end soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brief {
    /// How long it may take.
    pub within: Duration,
    /// What it does when another program syncs the database.
    pub when_busy: WhenBusy,
}

/// What is done when another program syncs the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenBusy {
    /// Nothing: the other one keeps the database in step.
    Skip,
    /// It applies what others wrote, beside the other program, and sends nothing. What both apply is applied once.
    ReceiveOnly,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BriefReport {
    /// What was done; of one that ran out of time nothing is told, although some of it may have been done.
    pub report: SyncReport,
    /// Why not everything was done; `None`: all of it. What the shared log could not give is in the report
    /// ([`SyncReport::missing`]).
    pub degraded: Option<Degraded>,
}

/// Why a brief exchange did not do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Degraded {
    /// The time was over.
    OutOfTime,
    /// Another program syncs the database.
    Busy,
}

impl Sync {
    /// Makes one exchange in a given time. What could not be done in it is done by the next exchange; nothing is lost by
    /// running out of time. Whatever has arrived is told by [`Storage::changes`](storex_core::Storage::changes), in every
    /// program on the database.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// # use storex_core::{Definition, FieldType, Registry, Storage};
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// # use storex_sync::{LogId, MemorySharedLog, Sync, SyncLog};
    /// use storex_sync::{Brief, WhenBusy};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let note = Definition::new("note").field("title", FieldType::String);
    /// # let storage = Storage::builder(MemoryBackend::new(), Registry::builder().collection(note).build()?, Arc::new(TestRuntime::new(1)))
    /// #     .middleware(SyncLog::new()).open().await?;
    /// # let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
    /// let sync = Sync::open(&storage, log).await?;
    /// let brief = Brief { within: Duration::from_secs(3), when_busy: WhenBusy::ReceiveOnly };
    /// let done = sync.sync_briefly(brief).await?;
    /// assert_eq!(done.degraded, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`sync_once`](Self::sync_once), but for [`SyncError::HeldElsewhere`] and a time-out, which are told in the report.
    pub async fn sync_briefly(&self, brief: Brief) -> Result<BriefReport> {
        let runtime = self.replica.storage.runtime();
        let exchange = async {
            match self.sync_once().await {
                Err(SyncError::HeldElsewhere | SyncError::LeaseLost) => {
                    let report = match brief.when_busy {
                        WhenBusy::Skip => SyncReport::default(),
                        WhenBusy::ReceiveOnly => {
                            let turn = self.turn_beside_others().await;
                            self.make_round(&turn, Purpose::Receive).await?
                        }
                    };
                    Ok(BriefReport { report, degraded: Some(Degraded::Busy) })
                }
                result => result.map(|report| BriefReport { report, degraded: None }),
            }
        };
        let out_of_time = BriefReport { degraded: Some(Degraded::OutOfTime), ..Default::default() };
        tokio::select! {
            biased;
            result = exchange => result,
            () = runtime.sleep(brief.within) => Ok(out_of_time),
        }
    }
}
