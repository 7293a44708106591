//! [`following`]: a sync that is told by the browser whether it runs.

use std::sync::Arc;

use storex_core::Runtime;

use super::hosted::Started;
use crate::awake::page_awake;

/// A sync that is told whether the page or worker runs that it is started in. It may be put to sleep while it is being started.
pub(super) fn following<F: Future<Output = Started>>(
    starting: F,
    runtime: &Arc<dyn Runtime>,
) -> impl Future<Output = Started> + use<F> {
    let awake = page_awake(runtime);
    async move {
        let sync = starting.await?;
        sync.follow(awake);
        Ok(sync)
    }
}
