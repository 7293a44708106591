//! [`Item`]: a key as it is kept in a shared log, sealed to whom it is for. The form is in `docs/wire-format.md`.

use std::collections::BTreeSet;

use curve25519_dalek::MontgomeryPoint;
use sha2::{Digest, Sha256};
use storex_core::Runtime;
use zeroize::Zeroizing;

use super::access::Access;
use super::cipher::{NONCE, Secret, TAG, decrypt, derive, encrypt};
use super::data_key::{DataKey, KeyId};
use super::passphrase::{Passphrase, PassphraseCost, SALT, stretch};
use super::ring::{Generation, read_generations, write_generations};
use crate::bytes::{Reader, write_varint};
use crate::device_key::{DeviceKey, PairedDevice};
use crate::error::{Result, SyncError};
use crate::shared_log::{SEALED_KEY_LIMIT, SealedKeyName};

const MAGIC: &[u8; 4] = b"stxk";
const VERSION: u8 = 1;
const WHAT: &str = "a sealed key";

const BY_PASSPHRASE: u8 = 1;
const BY_DEVICE: u8 = 2;
const BY_KEY: u8 = 3;

const SEALED: usize = 32 + TAG;

/// A key, sealed to some, and with it all the keys before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) id: KeyId,
    pub(super) number: u64,
    slots: Vec<Slot>,
    former_nonce: [u8; NONCE],
    former: Vec<u8>,
}

/// The key, sealed to one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    Passphrase {
        salt: [u8; SALT],
        cost: PassphraseCost,
        nonce: [u8; NONCE],
        sealed: [u8; SEALED],
    },
    Device {
        ephemeral: [u8; 32],
        sealed: [u8; SEALED],
    },
    /// To whoever has that key.
    Key {
        by: KeyId,
        nonce: [u8; NONCE],
        sealed: [u8; SEALED],
    },
}

impl Item {
    /// A key with all that are known before it, sealed to nobody yet.
    pub(super) fn new(
        key: &Generation,
        former: &[Generation],
        runtime: &dyn Runtime,
    ) -> Result<Self> {
        let (id, number) = (key.key.id(), key.number);
        let former_nonce = random(runtime);
        let mut former = write_generations(former);
        let header = header(b"storex-encryption 1 former keys", id, number);
        encrypt(key.key.keys(), &former_nonce, &header, &mut former, 0)?;
        let former = std::mem::take(&mut *former);
        Ok(Self { id, number, slots: Vec::new(), former_nonce, former })
    }

    pub(super) async fn seal_to(
        mut self,
        access: &Access,
        key: &DataKey,
        runtime: &dyn Runtime,
    ) -> Result<Self> {
        if let Some(passphrase) = &access.passphrase {
            let (salt, nonce, cost) = (random(runtime), random(runtime), access.cost);
            let by = stretch(passphrase, salt, cost).await?;
            let sealed = self.wrap(key, &by, &nonce, LABEL_PASSPHRASE)?;
            self.slots.push(Slot::Passphrase { salt, cost, nonce, sealed });
        }
        for device in &access.devices {
            let ephemeral = DeviceKey::generate(runtime);
            let public = ephemeral.public().to_bytes();
            let by = shared(&ephemeral, &device.to_bytes(), &public, device)
                .ok_or_else(|| SyncError::corrupt("the public key of a device", "it is none"))?;
            // The key is used for this alone.
            let sealed = self.wrap(key, &by, &[0; NONCE], LABEL_DEVICE)?;
            self.slots.push(Slot::Device { ephemeral: public, sealed });
        }
        Ok(self)
    }

    /// To whoever has the other key.
    pub(super) fn seal_to_key(
        mut self,
        by: &DataKey,
        key: &DataKey,
        runtime: &dyn Runtime,
    ) -> Result<Self> {
        let nonce = random(runtime);
        let sealed = self.wrap(key, by.keys(), &nonce, LABEL_KEY)?;
        self.slots.push(Slot::Key { by: by.id(), nonce, sealed });
        Ok(self)
    }

    fn wrap(
        &self,
        key: &DataKey,
        by: &Secret,
        nonce: &[u8; NONCE],
        label: &[u8],
    ) -> Result<[u8; SEALED]> {
        let mut sealed = Vec::with_capacity(SEALED);
        sealed.extend_from_slice(&key.secret()[..]);
        encrypt(by, nonce, &header(label, self.id, self.number), &mut sealed, 0)?;
        sealed.try_into().map_err(|_| SyncError::corrupt(WHAT, "it has another length"))
    }

    /// The key, if it is the one that the item is named after.
    fn unwrap(
        &self,
        by: &Secret,
        nonce: &[u8; NONCE],
        label: &[u8],
        sealed: &[u8],
    ) -> Option<DataKey> {
        let plain = decrypt(by, nonce, &header(label, self.id, self.number), sealed)?;
        let plain = Zeroizing::new(plain);
        let key = DataKey::new(Zeroizing::new(plain.as_slice().try_into().ok()?));
        (key.id() == self.id).then_some(key)
    }

    pub(super) fn open_with_device(&self, device: &DeviceKey) -> Option<DataKey> {
        let own = device.public();
        self.slots.iter().find_map(|slot| {
            let Slot::Device { ephemeral, sealed } = slot else { return None };
            let by = shared(device, ephemeral, ephemeral, &own)?;
            self.unwrap(&by, &[0; NONCE], LABEL_DEVICE, sealed)
        })
    }

    pub(super) fn open_with_key<'a>(
        &self,
        find: impl Fn(KeyId) -> Option<&'a DataKey>,
    ) -> Option<DataKey> {
        self.slots.iter().find_map(|slot| {
            let Slot::Key { by, nonce, sealed } = slot else { return None };
            self.unwrap(find(*by)?.keys(), nonce, LABEL_KEY, sealed)
        })
    }

    /// Tries the passphrase, as often as there are `attempts` left. `None` says nothing when there are none left.
    pub(super) async fn open_with_passphrase(
        &self,
        passphrase: &Passphrase,
        attempts: &mut u32,
    ) -> Result<Option<DataKey>> {
        for slot in &self.slots {
            let Slot::Passphrase { salt, cost, nonce, sealed } = slot else { continue };
            let Some(left) = attempts.checked_sub(1) else { return Ok(None) };
            *attempts = left;
            let by = stretch(passphrase, *salt, *cost).await?;
            if let Some(key) = self.unwrap(&by, nonce, LABEL_PASSPHRASE, sealed) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// How many passphrases open it.
    pub(super) fn passphrases(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot, Slot::Passphrase { .. })).count()
    }

    /// The keys before this one, as its maker knew them. Whoever has made the item had all of them.
    ///
    /// A key has no greater number than there are keys, so that nobody uses the numbers up.
    pub(super) fn former(&self, key: &DataKey) -> Result<Vec<Generation>> {
        let header = header(b"storex-encryption 1 former keys", self.id, self.number);
        let plain = decrypt(key.keys(), &self.former_nonce, &header, &self.former);
        let plain = plain.ok_or_else(|| SyncError::corrupt(WHAT, "what was before it is damaged"));
        let former = read_generations(&Zeroizing::new(plain?))?;
        let names: BTreeSet<_> = former.iter().map(|it| it.key.id()).collect();
        let most = (names.len() as u64).saturating_add(1);
        let mut numbers = former.iter().map(|it| it.number).chain([self.number]);
        if !numbers.all(|number| (1..=most).contains(&number)) {
            return Err(SyncError::corrupt(WHAT, "a number in it is greater than there are keys"));
        }
        Ok(former)
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut out = [&MAGIC[..], &[VERSION], &self.id.0].concat();
        write_varint(&mut out, self.number);
        write_varint(&mut out, self.slots.len() as u64);
        self.slots.iter().for_each(|slot| slot.write(&mut out));
        out.extend_from_slice(&self.former_nonce);
        out.extend_from_slice(&self.former);
        if out.len() > SEALED_KEY_LIMIT {
            let reason = format!("with all it is for it has more than {SEALED_KEY_LIMIT} bytes");
            return Err(SyncError::corrupt(WHAT, reason));
        }
        Ok(out)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let refused = |reason| SyncError::corrupt(WHAT, reason);
        if bytes.len() > SEALED_KEY_LIMIT {
            return Err(refused("it is too long"));
        }
        let mut reader = Reader::new(bytes, WHAT);
        if reader.array()? != *MAGIC {
            return Err(refused("it is something else"));
        }
        if reader.byte()? != VERSION {
            return Err(refused("a newer program has written it"));
        }
        let (id, number) = (KeyId(reader.array()?), reader.varint()?);
        let mut slots = Vec::new();
        for _ in 0..reader.varint()? {
            slots.push(Slot::read(&mut reader)?);
        }
        let former_nonce = reader.array()?;
        Ok(Self { id, number, slots, former_nonce, former: reader.rest().to_vec() })
    }
}

impl Slot {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Passphrase { salt, cost, nonce, sealed } => {
                out.push(BY_PASSPHRASE);
                out.extend_from_slice(salt);
                write_varint(out, cost.memory.into());
                write_varint(out, cost.passes.into());
                out.extend_from_slice(nonce);
                out.extend_from_slice(sealed);
            }
            Self::Device { ephemeral, sealed } => {
                out.push(BY_DEVICE);
                out.extend_from_slice(ephemeral);
                out.extend_from_slice(sealed);
            }
            Self::Key { by, nonce, sealed } => {
                out.push(BY_KEY);
                out.extend_from_slice(&by.0);
                out.extend_from_slice(nonce);
                out.extend_from_slice(sealed);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(match reader.byte()? {
            BY_PASSPHRASE => {
                let salt = reader.array()?;
                let (memory, passes) = (reader.varint_u32()?, reader.varint_u32()?);
                let cost = PassphraseCost { memory, passes }.checked()?;
                Self::Passphrase { salt, cost, nonce: reader.array()?, sealed: reader.array()? }
            }
            BY_DEVICE => Self::Device { ephemeral: reader.array()?, sealed: reader.array()? },
            BY_KEY => Self::Key {
                by: KeyId(reader.array()?),
                nonce: reader.array()?,
                sealed: reader.array()?,
            },
            other => {
                let reason = format!("it is sealed in the way {other}, which is not known");
                return Err(SyncError::corrupt(WHAT, reason));
            }
        })
    }
}

const LABEL_PASSPHRASE: &[u8] = b"storex-encryption 1 key by passphrase";
const LABEL_DEVICE: &[u8] = b"storex-encryption 1 key by device";
const LABEL_KEY: &[u8] = b"storex-encryption 1 key by key";

fn header(label: &[u8], id: KeyId, number: u64) -> Vec<u8> {
    [label, &id.0, &number.to_be_bytes()].concat()
}

fn random<const N: usize>(runtime: &dyn Runtime) -> [u8; N] {
    let mut bytes = [0; N];
    runtime.fill_random(&mut bytes);
    bytes
}

/// What the two ends of a sealed box share. `None`: the other key is a point of small order, with which everybody shares the same.
fn shared(
    own: &DeviceKey,
    other: &[u8; 32],
    ephemeral: &[u8; 32],
    recipient: &PairedDevice,
) -> Option<Secret> {
    let shared = Zeroizing::new(MontgomeryPoint(*other).mul_clamped(*own.secret()).to_bytes());
    if *shared == [0; 32] {
        return None;
    }
    let salt = [&ephemeral[..], &recipient.to_bytes()].concat();
    Some(derive(&shared[..], Some(&salt), b"storex-encryption 1 sealed to a device"))
}

/// An item is named after its bytes: two devices never have different ones under one name.
pub(super) fn name_of(item: &[u8]) -> SealedKeyName {
    let mut name = [0; 16];
    name.iter_mut().zip(Sha256::digest(item)).for_each(|(to, from)| *to = from);
    SealedKeyName(name)
}
