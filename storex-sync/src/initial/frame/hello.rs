//! [`Hello`]: what the sender of a leg says before the first page.

use storex_core::Name;

use super::WHAT;
use crate::error::{Result, SyncError};
use crate::meta::Devices;
use crate::pack::{Packer, Unpacker};
use crate::place::Place;

/// The version of a leg's frames, which snapshots in shared logs have too.
const VERSION: u64 = 1;

/// Who sends, and what is to come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hello {
    pub(crate) schema: u64,
    /// What the sender had applied of every device when it began, itself included.
    pub(crate) devices: Devices,
    /// Where the sender is in its shared log.
    pub(crate) place: Option<Place>,
    pub(crate) collections: Vec<CollectionHello>,
    /// The fields that the sender keeps to itself, and that do not arrive: collection and field.
    pub(crate) local: Vec<(Name, Name)>,
}

/// A collection that is to come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CollectionHello {
    pub(crate) name: Name,
    /// The fields, in the order of the values of a row.
    pub(crate) fields: Vec<Name>,
    /// The fields' numbers in the sender's catalogue, to which the clocks refer.
    pub(crate) numbers: Vec<u32>,
    pub(crate) count: u64,
}

impl Hello {
    pub(super) fn encode(&self, packer: &mut Packer) {
        packer.array(if self.local.is_empty() { 6 } else { 7 });
        packer.uint(0);
        packer.uint(VERSION);
        packer.uint(self.schema);
        packer.bin(&self.devices.encode());
        packer.bin(&self.place.as_ref().map(Place::encode).unwrap_or_default());
        packer.array(self.collections.len());
        self.collections.iter().for_each(|collection| collection.encode(packer));
        self.encode_local(packer);
    }

    pub(super) fn decode(unpacker: &mut Unpacker<'_>, parts: usize) -> Result<Self> {
        let version = unpacker.uint()?;
        if version != VERSION {
            let reason = format!(
                "the sender speaks version {version}, this program version {VERSION}; update the older"
            );
            return Err(SyncError::corrupt(WHAT, reason));
        }
        if !matches!(parts, 6 | 7) {
            let reason = "a hello has another number of parts than six or seven";
            return Err(SyncError::corrupt(WHAT, reason));
        }
        let schema = unpacker.uint()?;
        let devices = Devices::decode(unpacker.bin()?)?;
        let place = match unpacker.bin()? {
            [] => None,
            bytes => Some(Place::decode(bytes)?),
        };
        let count = unpacker.array()?;
        let mut collections = Vec::new();
        for _ in 0..count {
            collections.push(CollectionHello::decode(unpacker)?);
        }
        let mut local = Vec::new();
        if parts == 7 {
            for _ in 0..unpacker.array()? {
                unpacker.tuple(2)?;
                local.push((Name::from(unpacker.str()?), Name::from(unpacker.str()?)));
            }
        }
        Ok(Self { schema, devices, place, collections, local })
    }

    fn encode_local(&self, packer: &mut Packer) {
        if self.local.is_empty() {
            return;
        }
        packer.array(self.local.len());
        for (collection, field) in &self.local {
            packer.array(2);
            packer.str(collection);
            packer.str(field);
        }
    }
}

impl CollectionHello {
    fn encode(&self, packer: &mut Packer) {
        packer.array(3);
        packer.str(&self.name);
        packer.array(self.fields.len());
        for (field, number) in self.fields.iter().zip(&self.numbers) {
            packer.array(2);
            packer.str(field);
            packer.uint(u64::from(*number));
        }
        packer.uint(self.count);
    }

    fn decode(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        unpacker.tuple(3)?;
        let name = Name::from(unpacker.str()?);
        let count = unpacker.array()?;
        let (mut fields, mut numbers) = (Vec::new(), Vec::new());
        for _ in 0..count {
            unpacker.tuple(2)?;
            fields.push(Name::from(unpacker.str()?));
            numbers.push(unpacker.u32()?);
        }
        Ok(Self { name, fields, numbers, count: unpacker.uint()? })
    }
}
