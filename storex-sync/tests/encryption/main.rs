//! A shared log that is encrypted end to end.
#![cfg(feature = "encryption")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

#[path = "../support/mod.rs"]
mod support;

mod at_once;
mod blobs;
mod forged;
#[cfg(feature = "pairing")]
mod handover;
mod passphrases;
mod repeated;
mod revoked;
mod rotated;
mod secret;
mod snapshots;
mod wrapped;

use std::sync::Arc;

use storex_memory::TestRuntime;
use storex_sync::{
    Access, EncryptedSharedLog, KeyRing, MemorySharedLog, Passphrase, PassphraseCost, Result,
    SharedSyncLog,
};

/// Cheap to try, so that the tests are quick.
const CHEAP: PassphraseCost = PassphraseCost { memory: 64, passes: 1 };

const FIRST: &str = "correct horse battery staple";
const SECOND: &str = "another one, after the phone was lost";

fn runtime(seed: u64) -> Arc<TestRuntime> {
    Arc::new(TestRuntime::new(seed))
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text)
}

fn by(text: &str) -> Access {
    Access::by(passphrase(text)).cost(CHEAP)
}

/// On the first device.
async fn create(log: &Arc<impl SharedSyncLog>, seed: u64) -> Arc<EncryptedSharedLog> {
    let created = EncryptedSharedLog::create(log.clone(), &by(FIRST), runtime(seed)).await;
    Arc::new(created.unwrap())
}

/// On another one, where somebody types this.
async fn open(
    log: &Arc<impl SharedSyncLog>,
    text: &str,
    seed: u64,
) -> Result<Arc<EncryptedSharedLog>> {
    let opened = EncryptedSharedLog::open(log.clone(), &passphrase(text), runtime(seed)).await;
    opened.map(Arc::new)
}

/// On one where the application has kept the keys.
fn with_ring(log: &Arc<impl SharedSyncLog>, keys: &KeyRing, seed: u64) -> Arc<EncryptedSharedLog> {
    Arc::new(EncryptedSharedLog::new(log.clone(), keys.clone(), runtime(seed)))
}

/// The key that it encrypts with.
fn current(log: &EncryptedSharedLog) -> Vec<u8> {
    log.key_ring().to_bytes()[2..34].to_vec()
}

/// A key that was left in the log, one by one.
async fn items(log: &MemorySharedLog) -> Vec<Vec<u8>> {
    let keys = log.keys().unwrap();
    let mut items = Vec::new();
    for name in keys.names().await.unwrap() {
        items.push(keys.get(name).await.unwrap().unwrap());
    }
    items
}
