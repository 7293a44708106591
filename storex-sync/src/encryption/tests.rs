//! The bytes of encryption: those of `docs/wire-format.md`, published vectors of what it is made of, and rubbish.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use storex_core::{BoxFuture, Runtime, Timestamp};
use zeroize::Zeroizing;

use super::access::Access;
use super::blobs::Sealed;
use super::cipher::{decrypt, encrypt};
use super::data_key::DataKey;
use super::envelope::{Envelope, Subject, encrypted_len, seal, seal_to};
use super::item::{Item, name_of};
use super::log::EncryptedSharedLog;
use super::passphrase::{Passphrase, PassphraseCost};
use super::ring::{Generation, KeyRing};
use crate::blobs::BlobRef;
use crate::codec_tests::{A, B, assert_vector, vector};
use crate::device_key::DeviceKey;
use crate::shared_log::{LogId, MemorySharedLog, SealedTransaction, SharedSyncLog, SnapshotId};

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

fn key(n: u8) -> DataKey {
    DataKey::new(Zeroizing::new([n; 32]))
}

fn generation(n: u8) -> Generation {
    Generation { number: n.into(), key: Arc::new(key(n)) }
}

fn transaction() -> Subject {
    Subject::Transaction { device: B, sequence: 300 }
}

fn page() -> Subject {
    Subject::Page { snapshot: SnapshotId { maker: A, number: 7 }, page: 1 }
}

fn open(subject: Subject, bytes: &[u8], key: &DataKey) -> Option<Vec<u8>> {
    Envelope::read(subject, bytes).ok()?.open(key).ok()
}

/// `draft-irtf-cfrg-xchacha-03`, appendix A.3.1.
#[test]
fn the_cipher_is_xchacha20_poly1305() {
    let key: Vec<u8> = (0x80..0xa0).collect();
    let nonce: Vec<u8> = (0x40..0x58).collect();
    let (key, nonce) = (Zeroizing::new(key.try_into().unwrap()), nonce.try_into().unwrap());
    let header = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
    let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
    let mut sealed = text.to_vec();
    encrypt(&key, &nonce, &header, &mut sealed, 0).unwrap();
    assert_eq!(sealed[..8], [0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b]);
    let tag = [
        0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79, 0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a, 0xcf,
        0x49,
    ];
    assert_eq!(sealed[text.len()..], tag);
    assert_eq!(decrypt(&key, &nonce, &header, &sealed).as_deref(), Some(&text[..]));
}

#[test]
fn the_vectors_of_the_description() {
    let key = key(1);
    let sealed = seal(&key, transaction(), b"Hello").unwrap();
    assert_vector("encrypted transaction", &sealed);
    assert_eq!(open(transaction(), &vector("encrypted transaction"), &key).unwrap(), b"Hello");
    let sealed = seal(&key, page(), b"Hello").unwrap();
    assert_vector("encrypted page", &sealed);
    assert_eq!(open(page(), &vector("encrypted page"), &key).unwrap(), b"Hello");

    let blob = Sealed::new(Arc::new(DataKey::new(Zeroizing::new([1; 32]))), BlobRef::of(b"Hello"));
    assert_vector("encrypted blob, hash in the name", blob.name.hash());
    assert_eq!(blob.name.length(), 314);
    let sealed = seal_to(&key, blob.subject(0), b"Hello", 256).unwrap();
    assert_vector("encrypted chunk", &sealed);
    let chunk = vector("encrypted chunk");
    let envelope = Envelope::read(blob.subject(0), &chunk).unwrap();
    assert_eq!(envelope.open_from(&key, 5).unwrap(), b"Hello");

    let mut ring = KeyRing::of(generation(2));
    ring.insert(generation(1));
    assert_vector("key ring", &ring.to_bytes());
    assert_eq!(KeyRing::from_bytes(&vector("key ring")).unwrap().to_bytes(), ring.to_bytes());
}

#[tokio::test]
async fn the_vector_of_a_sealed_key() {
    let (passphrase, device) = (Passphrase::new("passphrase"), DeviceKey::from_bytes([5; 32]));
    let access = Access::by(passphrase.clone()).and_devices([device.public()]);
    let access = access.cost(PassphraseCost { memory: 64, passes: 3 });
    let (second, first) = (generation(2), generation(1));
    let item = Item::new(&second, std::slice::from_ref(&first), &Fixed(4)).unwrap();
    let item = item.seal_to(&access, &second.key, &Fixed(4)).await.unwrap();
    let item = item.seal_to_key(&first.key, &second.key, &Fixed(4)).unwrap();
    let bytes = item.encode().unwrap();
    assert_vector("sealed key", &bytes);
    assert_vector("sealed key, name", &name_of(&bytes).0);

    let read = Item::decode(&vector("sealed key")).unwrap();
    assert_eq!(read, item);
    let id = second.key.id();
    assert_eq!(read.open_with_device(&device).unwrap().id(), id);
    assert_eq!(read.open_with_key(|_| Some(&*first.key)).unwrap().id(), id);
    let by_passphrase = read.open_with_passphrase(&passphrase, &mut 1).await.unwrap();
    assert_eq!(by_passphrase.unwrap().id(), id);
    assert!(read.open_with_passphrase(&passphrase, &mut 0).await.unwrap().is_none());
    let former = read.former(&second.key).unwrap();
    assert_eq!((former.len(), former[0].key.id()), (1, first.key.id()));

    assert!(read.open_with_device(&DeviceKey::from_bytes([6; 32])).is_none());
    assert!(read.open_with_key(|_| Some(&*second.key)).is_none());
    let other = Passphrase::new("Passphrase");
    assert!(read.open_with_passphrase(&other, &mut 1).await.unwrap().is_none());
    assert!(read.former(&first.key).is_err());
}

/// Whoever was left out can seal a key with one of before.
#[tokio::test]
async fn a_key_that_another_key_opens_is_for_reading_only() {
    let device = DeviceKey::from_bytes([5; 32]);
    let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
    let (first, thiefs) = (generation(1), Generation { number: 2, key: Arc::new(key(9)) });
    let ring = KeyRing::of(first.clone());
    let encrypted = EncryptedSharedLog::new(log.clone(), ring, Arc::new(Fixed(4)));
    let encrypted = encrypted.device(device.clone());
    let payload = b"Hello".to_vec();
    let one = |sequence| SealedTransaction { device: B, sequence, payload: payload.clone() };
    let current = || encrypted.state().ring.current().key.id();

    let slipped_in = Item::new(&thiefs, std::slice::from_ref(&first), &Fixed(4)).unwrap();
    let slipped_in = slipped_in.seal_to_key(&first.key, &thiefs.key, &Fixed(4)).unwrap();
    let slipped_in = slipped_in.encode().unwrap();
    log.keys().unwrap().put(name_of(&slipped_in), &slipped_in).await.unwrap();
    encrypted.append(&[one(1)]).await.unwrap();
    assert_eq!(current(), first.key.id());
    assert!(encrypted.state().ring.get(thiefs.key.id()).is_some());

    let second = generation(2);
    let item = Item::new(&second, std::slice::from_ref(&first), &Fixed(4)).unwrap();
    let access = Access::of_devices([device.public()]);
    let item = item.seal_to(&access, &second.key, &Fixed(4)).await.unwrap().encode().unwrap();
    log.keys().unwrap().put(name_of(&item), &item).await.unwrap();
    encrypted.register(B).await.unwrap();
    encrypted.append(&[one(2)]).await.unwrap();
    assert_eq!(current(), second.key.id());
}

#[test]
fn a_device_that_is_a_point_of_small_order_is_refused() {
    let device = crate::device_key::PairedDevice::from_bytes([0; 32]);
    let item = Item::new(&generation(1), &[], &Fixed(4)).unwrap();
    let access = Access::of_devices([device]);
    let first = generation(1);
    let sealing = item.seal_to(&access, &first.key, &Fixed(4));
    let done = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(sealing);
    assert!(done.is_err());
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened(contents in prop::collection::vec(any::<u8>(), 0..3_000), sequence: u64) {
        let key = key(1);
        let subject = Subject::Transaction { device: A, sequence };
        let sealed = seal(&key, subject, &contents).unwrap();
        prop_assert_eq!(sealed.len(), encrypted_len(contents.len()));
        prop_assert_eq!(&seal(&key, subject, &contents).unwrap(), &sealed);
        prop_assert_eq!(open(subject, &sealed, &key), Some(contents));
        let other = Subject::Transaction { device: A, sequence: sequence ^ 1 };
        prop_assert_eq!(open(other, &sealed, &key), None);
    }

    #[test]
    fn whatever_is_changed_is_refused(at in 0..1_000_usize, bit in 0..8_u32) {
        let key = key(1);
        let mut sealed = seal(&key, transaction(), b"Hello").unwrap();
        let at = at % sealed.len();
        sealed[at] ^= 1 << bit;
        prop_assert_eq!(open(transaction(), &sealed, &key), None);
    }

    #[test]
    fn rubbish_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for head in [&b""[..], &[0xc1], &[0xc1, 1]] {
            let bytes = [head, &bytes].concat();
            prop_assert_eq!(open(transaction(), &bytes, &key(1)), None);
        }
        let key_id = key(2).id().0;
        for head in [&b""[..], b"stxk\x01", &[b"stxk\x01", &key_id[..], &[2, 3]].concat()] {
            let bytes = [head, &bytes].concat();
            if let Ok(item) = Item::decode(&bytes) {
                prop_assert!(item.open_with_device(&DeviceKey::from_bytes([5; 32])).is_none());
                prop_assert!(item.open_with_key(|_| None).is_none());
                prop_assert!(item.former(&key(2)).is_err());
            }
        }
        drop(KeyRing::from_bytes(&bytes));
        drop(KeyRing::from_bytes(&[&[1], &bytes[..]].concat()));
    }

    /// As an item that was changed on its way.
    #[test]
    fn a_sealed_key_that_was_changed_is_no_other(at in 0..10_000_usize, bit in 0..8_u32) {
        let mut bytes = vector("sealed key");
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let Ok(item) = Item::decode(&bytes) else { return Ok(()) };
        let device = DeviceKey::from_bytes([5; 32]);
        let (first, second) = (key(1), key(2));
        let opened = [item.open_with_device(&device), item.open_with_key(|_| Some(&first))];
        for opened in opened.into_iter().flatten() {
            prop_assert_eq!(opened.id(), second.id());
        }
    }
}
