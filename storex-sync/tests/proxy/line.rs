//! [`Line`]: a channel that can be cut or held up at any moment.

use storex_sync::{Channel, MemoryChannel};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What carries frames between the two ends of a channel.
#[derive(Debug)]
pub(crate) struct Line {
    carrier: JoinHandle<()>,
    carries: watch::Sender<bool>,
}

impl Line {
    /// The two ends of a channel, and what is between them.
    pub(crate) fn new() -> (MemoryChannel, MemoryChannel, Self) {
        let (here, mut near) = MemoryChannel::pair();
        let (mut far, there) = MemoryChannel::pair();
        let (carries, mut open) = watch::channel(true);
        let carrier = tokio::spawn(async move {
            while open.wait_for(|open| *open).await.is_ok() {
                tokio::select! {
                    biased;
                    _ = open.changed() => {}
                    frame = near.recv() => match frame {
                        Ok(Some(frame)) => far.send(frame).await.unwrap(),
                        _ => return,
                    },
                    frame = far.recv() => match frame {
                        Ok(Some(frame)) => near.send(frame).await.unwrap(),
                        _ => return,
                    },
                }
            }
        });
        (here, there, Self { carrier, carries })
    }

    /// Both ends notice.
    pub(crate) fn cut(&self) {
        self.carrier.abort();
    }

    /// Neither end notices, as when a worker hangs.
    pub(crate) fn hold(&self) {
        self.carries.send_replace(false);
    }

    pub(crate) fn release(&self) {
        self.carries.send_replace(true);
    }
}
