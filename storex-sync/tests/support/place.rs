//! [`Place`]: where sync runs, so that one case is run where it runs and through a proxy.

use std::future::pending;
use std::sync::Arc;

use storex_memory::TestRuntime;
use storex_sync::{ContinuousSyncBuilder, MemoryChannel, RemoteSync, SyncHandle, SyncHost};

/// Where the sync of a case runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the test itself.
    Here,
    /// Behind a host, which the test reaches over a channel.
    Remote,
}

/// Starts it in a place.
pub trait StartIn {
    async fn start_in(self, place: Place) -> Arc<dyn SyncHandle>;
}

impl StartIn for ContinuousSyncBuilder {
    async fn start_in(self, place: Place) -> Arc<dyn SyncHandle> {
        let sync = self.start();
        if place == Place::Here {
            return Arc::new(sync);
        }
        let host = SyncHost::until_unused(sync);
        let (here, there) = MemoryChannel::pair();
        host.serve(there);
        // The host is there as long as the test, as a worker is.
        #[allow(clippy::disallowed_methods)] // the tests own the tasks
        tokio::spawn(async move {
            let _host = host;
            pending::<()>().await;
        });
        Arc::new(RemoteSync::connect(here, Arc::new(TestRuntime::new(99))).await.unwrap())
    }
}

/// Makes two tests of each case.
#[macro_export]
macro_rules! in_both_places {
    ($($case:ident),* $(,)?) => {
        mod here {
            $(#[tokio::test(start_paused = true)]
            async fn $case() {
                super::$case($crate::support::place::Place::Here).await;
            })*
        }

        mod c42_through_a_proxy {
            $(#[tokio::test(start_paused = true)]
            async fn $case() {
                super::$case($crate::support::place::Place::Remote).await;
            })*
        }
    };
}
