//! [`Keeper`]: the task of a [`TabSync`](super::TabSync), which connects again when the connection is lost.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use storex_core::{BoxFuture, MaybeSend, MaybeSync, Runtime};
use tokio::sync::{mpsc, oneshot, watch};

use super::SyncPlace;
use crate::error::{Result, describe};
use crate::handle::SyncHandle;
use crate::proxy::{Audience, RemoteSync};

/// How long to wait before a connection is tried again that could not be made: twice as long each time.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long the sync may take to end when nobody holds the handle any more, before its worker is let go.
const FAREWELL: Duration = Duration::from_secs(10);

/// How a tab comes to its sync.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub(super) trait Connect: MaybeSend + MaybeSync + 'static {
    /// Connects; after a connection that was lost, again. Those who are told of the sync are told by the new connection.
    async fn connect(&mut self, audience: &Audience) -> Result<Connection>;

    /// What is done beside it, for as long as somebody holds the handle; it carries out what is asked of other tabs.
    fn beside(
        &self,
        audience: &Audience,
        current: &watch::Sender<Current>,
        pokes: mpsc::UnboundedReceiver<Poke>,
    ) -> BoxFuture<'static, ()> {
        let _ = (audience, current, pokes);
        Box::pin(std::future::pending())
    }
}

/// Has the tab sync whose engine does, and gets the answer; dropped where there is none.
pub(super) type Poke = oneshot::Sender<Vec<u8>>;

/// The sync as it is reached now.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) sync: Arc<RemoteSync>,
    pub(super) place: SyncPlace,
}

/// The connection that there is, or was last.
#[derive(Debug, Clone)]
pub(super) struct Current {
    pub(super) connection: Connection,
    /// Why it is lost, while another one is made.
    pub(super) lost: Option<String>,
}

pub(super) struct Keeper<C> {
    pub(super) connect: C,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) audience: Audience,
    pub(super) current: watch::Sender<Current>,
}

impl<C: Connect> Keeper<C> {
    /// Until nobody holds the handle any more.
    pub(super) async fn run(mut self, pokes: mpsc::UnboundedReceiver<Poke>) {
        let current = self.current.clone();
        let beside = self.connect.beside(&self.audience, &current, pokes);
        tokio::select! {
            biased;
            () = current.closed() => {}
            () = self.keep_beside(beside) => {}
        }
        let Connection { sync, .. } = current.borrow().connection.clone();
        tokio::select! {
            biased;
            () = sync.stop() => {}
            () = self.runtime.sleep(FAREWELL) => {}
        }
    }

    /// For ever.
    async fn keep_beside(&mut self, beside: BoxFuture<'static, ()>) {
        let keeping = async {
            self.keep().await;
            std::future::pending::<()>().await;
        };
        tokio::join!(keeping, beside);
    }

    /// Until it is stopped.
    async fn keep(&mut self) {
        loop {
            let Connection { sync, .. } = self.current.borrow().connection.clone();
            let reason = sync.until_lost().await;
            if self.audience.has_ended() {
                return;
            }
            tracing::info!(reason, "the place where sync runs is lost; another one is looked for");
            self.current.send_modify(|current| current.lost = Some(reason));
            let Some(connection) = self.connect_again().await else { return };
            self.current.send_replace(Current { connection, lost: None });
        }
    }

    /// `None`: it was stopped meanwhile.
    async fn connect_again(&mut self) -> Option<Connection> {
        let mut wait = SHORTEST_WAIT;
        loop {
            let connected = tokio::select! {
                biased;
                () = self.audience.until_ended() => return None,
                connected = self.connect.connect(&self.audience) => connected,
            };
            match connected {
                Ok(connection) => return Some(connection),
                Err(_) if self.audience.has_ended() => return None,
                Err(error) => {
                    let reason = describe(&error);
                    tracing::warn!(reason, "sync is not to be had anywhere");
                    self.current.send_modify(|current| current.lost = Some(reason));
                }
            }
            self.runtime.sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}
