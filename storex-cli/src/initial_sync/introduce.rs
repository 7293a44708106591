//! What the two sides say to each other before the sync: what each wants, the sender's tables, and that each is ready.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use storex_core::{Registry, Storage, TokioRuntime};
use storex_memory::MemoryBackend;
use storex_sync::{Channel, InitialSync, InitialSyncControl, SyncLog};

use super::schema::Schema;
use super::{Direction, Options};
use crate::error::{CliError, During as _, Result, describe};

/// The version of what is said here.
const VERSION: u32 = 1;

/// What a side says first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Introduction {
    version: u32,
    direction: Direction,
    both_ways: bool,
    difference_only: bool,
    /// The sender's tables.
    pub(super) schema: Option<Schema>,
}

/// What a side says when it has looked at what the other one wants.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    /// Why it does not go on.
    refused: Option<String>,
}

impl Introduction {
    pub(super) fn new(options: &Options, schema: Option<Schema>) -> Self {
        let Options { direction, both_ways, difference_only, .. } = *options;
        Self { version: VERSION, direction, both_ways, difference_only, schema }
    }

    /// Whether the two go together.
    fn check(&self, theirs: &Self) -> Result<()> {
        let refuse = |reason: String| Err(CliError::Peer { reason });
        if self.version != theirs.version {
            return refuse(
                "the two sides are different versions of storex; update the older one".to_owned(),
            );
        }
        if self.direction == theirs.direction {
            let (what, other) = match self.direction {
                Direction::Send => ("send", "receive"),
                Direction::Receive => ("receive", "send"),
            };
            return refuse(format!("both sides want to {what}; run `{other}` on one of them"));
        }
        for (option, own, theirs) in [
            ("--both-ways", self.both_ways, theirs.both_ways),
            ("--difference-only", self.difference_only, theirs.difference_only),
        ] {
            if own != theirs {
                return refuse(format!(
                    "only one side has `{option}`; give it to both, or to none"
                ));
            }
        }
        Ok(())
    }
}

/// Says it, as packages of an initial sync that has nothing to sync: its deadline, its cancelling and its errors hold here too.
pub(super) struct Talk {
    packages: InitialSync,
}

impl Talk {
    pub(super) async fn open() -> Result<Self> {
        let during = "preparing the introduction";
        let registry = Registry::builder().build().during(during)?;
        let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TokioRuntime))
            .middleware(SyncLog::new())
            .open()
            .await
            .during(during)?;
        Ok(Self { packages: InitialSync::open(&storage).await.during(during)? })
    }

    pub(super) fn control(&self) -> InitialSyncControl {
        self.packages.control()
    }

    /// Introduces this side, and gives what the other one wants, if the two go together.
    pub(super) async fn introduce(
        &self,
        channel: &mut dyn Channel,
        own: &Introduction,
    ) -> Result<Introduction> {
        let theirs: Introduction = self.exchange(channel, "storex-cli introduction", own).await?;
        own.check(&theirs)?;
        Ok(theirs)
    }

    /// Tells whether this side goes on, and waits until the other one tells.
    pub(super) async fn ready(
        &self,
        channel: &mut dyn Channel,
        error: Option<&CliError>,
    ) -> Result<()> {
        let own = Ready { refused: error.map(|error| describe(error)) };
        let theirs: Ready = self.exchange(channel, "storex-cli ready", &own).await?;
        match theirs.refused {
            Some(reason) => {
                Err(CliError::Peer { reason: format!("the other side does not go on: {reason}") })
            }
            None => Ok(()),
        }
    }

    async fn exchange<T: Serialize, U: for<'de> Deserialize<'de>>(
        &self,
        channel: &mut dyn Channel,
        kind: &str,
        own: &T,
    ) -> Result<U> {
        let during = "the introduction";
        let unreadable = |error: serde_json::Error| CliError::Peer {
            reason: format!("what the other side says cannot be read ({error}); update both sides"),
        };
        let own = serde_json::to_vec(own).map_err(unreadable)?;
        self.packages.send_package(channel, kind, &own).await.during(during)?;
        let theirs = self.packages.receive_package(channel, kind).await.during(during)?;
        serde_json::from_slice(&theirs).map_err(unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(direction: Direction) -> Introduction {
        let (both_ways, difference_only) = (false, false);
        Introduction { version: VERSION, direction, both_ways, difference_only, schema: None }
    }

    #[test]
    fn sides_that_do_not_go_together_are_told_why() {
        let sender = side(Direction::Send);
        assert!(sender.check(&side(Direction::Receive)).is_ok());
        let reason = |theirs: Introduction| sender.check(&theirs).unwrap_err().to_string();
        assert!(reason(side(Direction::Send)).contains("both sides want to send"));
        let receiver = || side(Direction::Receive);
        assert!(reason(Introduction { both_ways: true, ..receiver() }).contains("--both-ways"));
        let other = Introduction { difference_only: true, ..receiver() };
        assert!(reason(other).contains("--difference-only"));
        assert!(reason(Introduction { version: 2, ..receiver() }).contains("update the older"));
    }
}
