//! Pairing by a code, and what goes through the channel of two devices that were paired.
#![cfg(feature = "pairing")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

#[path = "../support/mod.rs"]
mod support;

mod codes;
mod frames;
mod known;
mod letting_in;
mod rubbish;
mod tampering;
mod wire;

use std::sync::Arc;

use storex_memory::TestRuntime;
use storex_sync::{Channel, DeviceKey, MemoryChannel, Pairing, PairingCode, Result, SecureChannel};

type Secure = SecureChannel<MemoryChannel>;

/// Two devices that have never met.
struct Two {
    runtime: Arc<TestRuntime>,
    host: DeviceKey,
    guest: DeviceKey,
    pairing: Pairing,
}

impl Two {
    fn new(seed: u64) -> Self {
        let runtime = Arc::new(TestRuntime::new(seed));
        let pairing = Pairing::new(runtime.clone());
        let (host, guest) = (DeviceKey::generate(&*runtime), DeviceKey::generate(&*runtime));
        Self { runtime, host, guest, pairing }
    }

    /// What the guest types when it looks at the host.
    fn code(&self) -> PairingCode {
        self.pairing.code().to_string().parse().unwrap()
    }

    /// The host and the guest, over one channel.
    async fn pair(&mut self, code: &PairingCode) -> (Result<Secure>, Result<Secure>) {
        let (here, there) = MemoryChannel::pair();
        let guest = SecureChannel::pair(there, code, &self.guest, self.runtime.clone());
        tokio::join!(self.pairing.accept(here, &self.host), guest)
    }

    /// Both ends of a channel between the two.
    async fn paired(&mut self) -> (Secure, Secure) {
        let code = self.code();
        let (host, guest) = self.pair(&code).await;
        (host.unwrap(), guest.unwrap())
    }
}

/// A code that no [`Two`] of the tests shows.
fn another_code() -> PairingCode {
    PairingCode::generate(&TestRuntime::new(99))
}

/// Both ends of a channel between two devices.
async fn channel() -> (Secure, Secure) {
    Two::new(1).paired().await
}

/// Runs on one thread with a clock of its own, which leaps where everybody waits.
fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(test)
}

/// All that is left to receive, and why no more comes; `None`: the other side closed.
async fn rest(channel: &mut impl Channel) -> (Vec<Vec<u8>>, Option<storex_sync::SyncError>) {
    let mut frames = Vec::new();
    loop {
        match channel.recv().await {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}
