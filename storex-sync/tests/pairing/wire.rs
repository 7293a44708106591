//! What somebody sees who listens.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use storex_core::Runtime;
use storex_memory::TestRuntime;
use storex_sync::{Channel, DeviceKey, MemoryChannel, Pairing, PairingCode, Result, SecureChannel};

/// Notes what is sent.
#[derive(Debug)]
struct Overheard {
    inner: MemoryChannel,
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
}

#[async_trait]
impl Channel for Overheard {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        self.frames.lock().unwrap().push(frame.clone());
        self.inner.send(frame).await
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        self.inner.recv().await
    }

    async fn close(&mut self) -> Result<()> {
        self.inner.close().await
    }
}

const SECRET: &[u8] = b"nobody else is to read this";

/// A run with the same code and the same keys, but other randomness; what both sides sent.
async fn overheard(n: usize) -> (PairingCode, Vec<Vec<u8>>, [Vec<u8>; 2]) {
    let runtime = Arc::new(TestRuntime::new(1));
    let mut pairing = Pairing::new(runtime.clone());
    let (host, guest) = (DeviceKey::generate(&*runtime), DeviceKey::generate(&*runtime));
    runtime.fill_random(&mut vec![0; n]);
    let code: PairingCode = pairing.code().to_string().parse().unwrap();

    let (here, there) = MemoryChannel::pair();
    let frames = Arc::new(Mutex::new(Vec::new()));
    let here = Overheard { inner: here, frames: Arc::clone(&frames) };
    let there = Overheard { inner: there, frames: Arc::clone(&frames) };
    let (here, there) = tokio::join!(
        pairing.accept(here, &host),
        SecureChannel::pair(there, &code, &guest, runtime),
    );
    let (mut here, mut there) = (here.unwrap(), there.unwrap());
    for _ in 0..2 {
        here.send(SECRET.to_vec()).await.unwrap();
        there.send(SECRET.to_vec()).await.unwrap();
    }
    let keys = [host.public().to_bytes().to_vec(), guest.public().to_bytes().to_vec()];
    let frames = frames.lock().unwrap().clone();
    (code, frames, keys)
}

fn holds(frames: &[Vec<u8>], bytes: &[u8]) -> bool {
    frames.iter().any(|frame| frame.windows(bytes.len()).any(|window| window == bytes))
}

#[tokio::test(start_paused = true)]
async fn neither_contents_nor_the_code_nor_who_they_are() {
    let (code, frames, keys) = overheard(0).await;
    assert_eq!(frames.len(), 6 + 4);
    let code = code.to_string();
    for part in [SECRET, code.as_bytes(), code.replace('-', "").as_bytes(), &keys[0], &keys[1]] {
        assert!(!holds(&frames, part));
    }
    assert!(holds(&frames, b"storex-pairing"), "but that it is a pairing");
}

/// Nothing can be played again, and what is known of one run is of no use for another.
#[tokio::test(start_paused = true)]
async fn no_two_runs_are_alike() {
    let ((one, first, _), (other, second, _)) = (overheard(0).await, overheard(1).await);
    assert_eq!(one.to_string(), other.to_string());
    assert_eq!(first.len(), second.len());
    for (first, second) in first.iter().zip(&second) {
        assert_ne!(first, second);
        assert_eq!(first.len(), second.len());
    }
    let sealed: Vec<&[u8]> = first.iter().skip(6).map(|frame| &frame[8..]).collect();
    for (n, frame) in sealed.iter().enumerate() {
        assert!(sealed.iter().skip(n + 1).all(|other| other != frame), "nor two frames of a run");
    }
}
