//! The suites for shared logs and channels on the implementations that storex-sync brings along.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::sync::Arc;

use storex_conformance::channel::{ChannelHarness, Ends};
use storex_conformance::shared_log::LogHarness;
use storex_conformance::{CaseRuntime, channel_conformance, shared_log_conformance};
use storex_memory::MemoryBackend;
use storex_sync::{BackendSharedLog, LogId, MemoryChannel, MemorySharedLog, SharedSyncLog};

mod memory_log {
    use super::*;

    fn memory() -> LogHarness {
        LogHarness::new(|| {
            Box::pin(async {
                Arc::new(MemorySharedLog::new(LogId([7; 16]))) as Arc<dyn SharedSyncLog>
            })
        })
    }

    shared_log_conformance!(memory);
}

mod log_in_the_memory_backend {
    use super::*;

    fn backend() -> LogHarness {
        LogHarness::new(|| {
            Box::pin(async {
                let runtime = Arc::new(CaseRuntime::new(1));
                let log = BackendSharedLog::open(MemoryBackend::new(), runtime).await.unwrap();
                Arc::new(log) as Arc<dyn SharedSyncLog>
            })
        })
    }

    shared_log_conformance!(backend);
}

mod memory_channel {
    use super::*;

    fn memory() -> ChannelHarness {
        ChannelHarness::new(|| {
            Box::pin(async {
                let (here, there) = MemoryChannel::pair();
                let ends: Ends = (Box::new(here), Box::new(there));
                ends
            })
        })
    }

    channel_conformance!(memory);
}
