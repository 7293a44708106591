//! The bytes of pairing: against the vectors of Noise's implementations, and those of `docs/wire-format.md`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use snow::{Builder, HandshakeState};
use storex_core::{BoxFuture, Runtime, Timestamp};
use zeroize::Zeroizing;

use super::primitives::Primitives;
use super::{Pairing, PairingCode, SecureChannel};
use crate::channel::{Channel, MemoryChannel};
use crate::codec_tests::assert_vector;
use crate::device_key::DeviceKey;
use crate::error::Result;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().map(|it| (it as char).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
}

/// What an implementation of Noise that knows nothing of ours makes of these keys: the vector of `Noise_XK_25519_ChaChaPoly_SHA256` of
/// cacophony (<https://github.com/haskell-cryptography/cacophony>), which `snow` is tested with too.
#[test]
fn noise_is_made_of_the_right_parts() {
    let builder = |ephemeral: &str| {
        let ephemeral = Zeroizing::new(bytes(ephemeral).try_into().unwrap());
        let pattern = "Noise_XK_25519_ChaChaPoly_SHA256".parse().unwrap();
        Builder::with_resolver(pattern, Box::new(Primitives { ephemeral }))
    };
    let prologue = bytes("4a6f686e2047616c74");
    let guest = bytes("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1");
    let host = bytes("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893");
    let public = bytes("31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62");
    let secret = DeviceKey::from_bytes(host.clone().try_into().unwrap());
    assert_eq!(secret.public().to_bytes().to_vec(), public);

    let guest = builder("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a")
        .prologue(&prologue)
        .and_then(|it| it.local_private_key(&guest)?.remote_public_key(&public))
        .and_then(Builder::build_initiator);
    let host = builder("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b")
        .prologue(&prologue)
        .and_then(|it| it.local_private_key(&host))
        .and_then(Builder::build_responder);
    let (mut guest, mut host) = (guest.unwrap(), host.unwrap());
    let tell = |from: &mut HandshakeState, to: &mut HandshakeState, payload: &str, sealed: &str| {
        let (mut message, mut read) = ([0; 256], [0; 256]);
        let written = from.write_message(&bytes(payload), &mut message).unwrap();
        assert_eq!(message[..written], bytes(sealed));
        let length = to.read_message(&message[..written], &mut read).unwrap();
        assert_eq!(read[..length], bytes(payload));
    };
    tell(
        &mut guest,
        &mut host,
        "4c756477696720766f6e204d69736573",
        "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944a3785af283c991bab6134738\
         04356ef6931f83acf64f99c274b93570857cfc5e",
    );
    tell(
        &mut host,
        &mut guest,
        "4d757272617920526f746862617264",
        "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088433a4534805fa9fe4eb8343ace\
         6609160c767ad9b832e8eea1d9b7a2111818dd",
    );
    tell(
        &mut guest,
        &mut host,
        "462e20412e20486179656b",
        "5d8e67b9c1b8e36f5dc674bc5cd2ce243fb5d1710fa57de0370da7cc979015398eaad94603b05498ba9a613d\
         2fd923dcaa6fd4288dfd8d70f419bf737efb4cd37f5da37ebb728849318c82",
    );
    let hash = bytes("cefffc5d1074126cc980ebfe902587ff36ba61dc77d4447ebe0f96dc22ae59d7");
    assert_eq!(guest.get_handshake_hash(), hash);
    let guest = guest.into_stateless_transport_mode().unwrap();
    let mut message = [0; 64];
    let written = host.into_stateless_transport_mode().unwrap();
    let written = written.write_message(0, &bytes("4361726c204d656e676572"), &mut message).unwrap();
    let sealed = bytes("3205e1265f809505e6edc092839d3156745d2abafbfd946b261e41");
    assert_eq!(message[..written], sealed);
    let mut read = [0; 64];
    assert_eq!(guest.read_message(0, &sealed, &mut read).unwrap(), 11);
}

/// No randomness at all: each byte is the same.
#[derive(Debug)]
struct Fixed(u8);

impl Runtime for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn spawn(&self, _: BoxFuture<'static, ()>) {}

    fn fill_random(&self, buffer: &mut [u8]) {
        buffer.fill(self.0);
    }
}

#[derive(Debug)]
struct Overheard {
    inner: MemoryChannel,
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
}

#[async_trait]
impl Channel for Overheard {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).push(frame.clone());
        self.inner.send(frame).await
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        self.inner.recv().await
    }

    async fn close(&mut self) -> Result<()> {
        self.inner.close().await
    }
}

fn ends() -> (Overheard, Overheard, Arc<Mutex<Vec<Vec<u8>>>>) {
    let frames = Arc::new(Mutex::new(Vec::new()));
    let (here, there) = MemoryChannel::pair();
    let end = |inner| Overheard { inner, frames: Arc::clone(&frames) };
    (end(here), end(there), frames)
}

#[tokio::test]
async fn the_vectors_of_the_description() {
    let (host_runtime, guest_runtime) = (Arc::new(Fixed(3)), Arc::new(Fixed(4)));
    let (host, guest) = (DeviceKey::from_bytes([1; 32]), DeviceKey::from_bytes([2; 32]));
    let mut pairing = Pairing::new(host_runtime.clone());
    assert_eq!(pairing.code().to_string(), "3333-333F");
    let code: PairingCode = "3333-333F".parse().unwrap();

    let (here, there, frames) = ends();
    let (here, there) = tokio::join!(
        pairing.accept(here, &host),
        SecureChannel::pair(there, &code, &guest, guest_runtime.clone()),
    );
    let (mut here, mut there) = (here.unwrap(), there.unwrap());
    here.send(b"Hello".to_vec()).await.unwrap();
    there.close().await.unwrap();
    let names = ["greeting", "point", "first", "second", "third", "welcome", "frame", "end"];
    let seen = frames.lock().unwrap().clone();
    assert_eq!(seen.len(), names.len());
    for (name, frame) in names.iter().zip(&seen) {
        assert_vector(&format!("pairing, {name}"), frame);
    }

    let (here, there, frames) = ends();
    let known = [guest.public()];
    let host_public = host.public();
    let (here, there) = tokio::join!(
        SecureChannel::accept(here, &known, &host, host_runtime),
        SecureChannel::connect(there, &host_public, &guest, guest_runtime),
    );
    here.unwrap();
    there.unwrap();
    let names = ["greeting", "first", "second", "third", "welcome"];
    let seen = frames.lock().unwrap().clone();
    assert_eq!(seen.len(), names.len());
    for (name, frame) in names.iter().zip(&seen) {
        assert_vector(&format!("paired, {name}"), frame);
    }
}
