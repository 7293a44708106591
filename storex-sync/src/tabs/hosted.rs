//! [`Hosted`]: a sync that is started with its first client.

use storex_core::{BoxFuture, MaybeSend, MaybeSync, Source};
use tokio::sync::Mutex;

use crate::channel::Channel;
use crate::continuous::ContinuousSync;
use crate::proxy::SyncHost;

/// What the application's start function gives.
pub(super) type Started = Result<ContinuousSync, Source>;

/// How the application starts its sync.
pub(super) trait Starting: MaybeSend + MaybeSync + 'static {
    fn start(&self) -> BoxFuture<'_, Started>;
}

impl<F, Fut> Starting for F
where
    F: Fn() -> Fut + MaybeSend + MaybeSync + 'static,
    Fut: Future<Output = Started> + MaybeSend + 'static,
{
    fn start(&self) -> BoxFuture<'_, Started> {
        Box::pin(self())
    }
}

/// A sync that is started with its first client, ends with its last, and is started once more with the next.
pub(super) struct Hosted {
    start: Box<dyn Starting>,
    host: Mutex<Option<SyncHost>>,
}

impl Hosted {
    pub(super) fn new(start: impl Starting) -> Self {
        Self { start: Box::new(start), host: Mutex::default() }
    }

    /// Serves a client. Who comes while sync is being started, or stopped, waits for that.
    pub(super) async fn serve(&self, channel: impl Channel) -> Result<(), Source> {
        let mut host = self.host.lock().await;
        if let Some(over) = host.take_if(|host| host.is_over()) {
            over.stop().await;
        }
        match &*host {
            Some(host) => host.serve(channel),
            None => {
                let sync = self.start.start().await?;
                host.insert(SyncHost::until_unused(sync)).serve(channel);
            }
        }
        Ok(())
    }
}
