//! The frames of an initial sync, in MessagePack; `docs/wire-format.md` describes them.

use storex_core::{Name, Value};

use super::difference::{Message, Opening};
use crate::channel::Channel;
use crate::clock::{Clock, LAST_LIFE};
use crate::error::{Result, SyncError};
use crate::meta::Devices;
use crate::pack::{Packer, Unpacker};
use crate::parked::{Parked, WaitsFor};
use crate::place::Place;
use crate::strategy::Joins;

const VERSION: u64 = 1;
const OPENING: u64 = 32;
const RANGES: u64 = 33;
const WHAT: &str = "a frame of the initial sync";

/// What one side tells the other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Frame {
    Hello(Hello),
    Accept,
    Rows(Rows),
    Tombstones(Tombstones),
    Received,
    Finish,
    Finished,
    Failed {
        reason: String,
    },
    Parked(Vec<Parked>),
    /// What the sides of a comparison tell each other.
    Opening(Opening),
    Ranges(Message),
}

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

/// Objects of one collection.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows {
    /// Which collection of the hello.
    pub(crate) collection: usize,
    /// The sender's table of devices, to which the clocks refer by number.
    pub(crate) devices: Devices,
    /// Per row its values, and its packed clock (empty when it is older than sync).
    pub(crate) rows: Vec<(Vec<Value>, Vec<u8>)>,
}

/// Deleted objects of one collection.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tombstones {
    /// Which collection of the hello.
    pub(crate) collection: usize,
    /// The sender's table of devices, to which the clocks refer by number.
    pub(crate) devices: Devices,
    /// Per object the code of its key, and its packed clock.
    pub(crate) objects: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Frame {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packer = Packer::default();
        match self {
            Self::Hello(hello) => {
                packer.array(if hello.local.is_empty() { 6 } else { 7 });
                packer.uint(0);
                packer.uint(VERSION);
                packer.uint(hello.schema);
                packer.bin(&hello.devices.encode());
                packer.bin(&hello.place.as_ref().map(Place::encode).unwrap_or_default());
                packer.array(hello.collections.len());
                hello.collections.iter().for_each(|collection| collection.encode(&mut packer));
                hello.encode_local(&mut packer);
            }
            Self::Accept => bare(&mut packer, 1),
            Self::Rows(rows) => {
                packer.array(4);
                packer.uint(2);
                packer.uint(rows.collection as u64);
                packer.bin(&rows.devices.encode());
                packer.array(rows.rows.len());
                for (values, clock) in &rows.rows {
                    packer.array(values.len() + 1);
                    packer.bin(clock);
                    values.iter().for_each(|value| packer.value(value));
                }
            }
            Self::Tombstones(tombstones) => {
                packer.array(4);
                packer.uint(3);
                packer.uint(tombstones.collection as u64);
                packer.bin(&tombstones.devices.encode());
                packer.array(tombstones.objects.len());
                for (key, clock) in &tombstones.objects {
                    packer.array(2);
                    packer.bin(key);
                    packer.bin(clock);
                }
            }
            Self::Received => bare(&mut packer, 4),
            Self::Finish => bare(&mut packer, 5),
            Self::Finished => bare(&mut packer, 6),
            Self::Failed { reason } => {
                packer.array(2);
                packer.uint(7);
                packer.str(reason);
            }
            Self::Parked(parked) => {
                packer.array(2);
                packer.uint(8);
                packer.array(parked.len());
                for parked in parked {
                    packer.array(5);
                    packer.device(parked.device);
                    packer.uint(parked.sequence);
                    packer.uint(u64::from(parked.waits_for.code()));
                    packer.str(&parked.reason);
                    packer.bin(&parked.payload);
                }
            }
            Self::Opening(opening) => {
                packer.array(3);
                packer.uint(OPENING);
                opening.encode(&mut packer);
            }
            Self::Ranges(message) => {
                packer.array(6);
                packer.uint(RANGES);
                message.encode(&mut packer);
            }
        }
        packer.out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut unpacker = Unpacker::new(bytes, WHAT);
        let parts = unpacker.array()?;
        let kind = unpacker.uint()?;
        let frame = match (kind, parts) {
            (0, 2..) => Self::Hello(Hello::decode(&mut unpacker, parts)?),
            (1, 1) => Self::Accept,
            (2, 4) => Self::Rows(Rows::decode(&mut unpacker)?),
            (3, 4) => Self::Tombstones(Tombstones::decode(&mut unpacker)?),
            (4, 1) => Self::Received,
            (5, 1) => Self::Finish,
            (6, 1) => Self::Finished,
            (7, 2) => Self::Failed { reason: unpacker.str()?.to_owned() },
            (8, 2) => Self::Parked(decode_parked(&mut unpacker)?),
            (OPENING, 3) => Self::Opening(Opening::decode(&mut unpacker)?),
            (RANGES, 6) => Self::Ranges(Message::decode(&mut unpacker)?),
            _ => return Err(SyncError::corrupt(WHAT, format!("the kind {kind} is not known"))),
        };
        unpacker.end()?;
        Ok(frame)
    }

    /// What a receiver that takes everything answers to a frame. `None`: nothing.
    pub(crate) fn answer_to(bytes: &[u8]) -> Result<Option<Self>> {
        let mut unpacker = Unpacker::new(bytes, WHAT);
        unpacker.array()?;
        Ok(match unpacker.uint()? {
            0 => Some(Self::Accept),
            2 | 3 | 8 => Some(Self::Received),
            5 => Some(Self::Finished),
            _ => None,
        })
    }

    /// Receives the next frame. That the other side gave up is an error, and so is its going away.
    pub(crate) async fn receive(channel: &mut dyn Channel, during: &'static str) -> Result<Self> {
        let bytes = channel.recv().await?.ok_or(SyncError::Closed { during })?;
        match Self::decode(&bytes)? {
            Self::Failed { reason } => Err(SyncError::Remote { reason }),
            frame => Ok(frame),
        }
    }

    pub(crate) fn unexpected(&self, during: &'static str) -> SyncError {
        let reason = match self {
            Self::Hello(_) => "a second hello",
            Self::Accept => "an accept",
            Self::Rows(_) => "rows",
            Self::Tombstones(_) => "tombstones",
            Self::Received => "an answer to no page",
            Self::Finish => "a finish",
            Self::Finished => "a finished",
            Self::Failed { .. } => "a failure",
            Self::Parked(_) => "parked transactions",
            Self::Opening(_) => "the beginning of a comparison",
            Self::Ranges(_) => "ranges of a comparison",
        };
        SyncError::Protocol { during, reason: format!("{reason} came where it has no place") }
    }
}

fn decode_parked(unpacker: &mut Unpacker<'_>) -> Result<Vec<Parked>> {
    let count = unpacker.array()?;
    let mut parked = Vec::new();
    for _ in 0..count {
        unpacker.tuple(5)?;
        parked.push(Parked {
            device: unpacker.device()?,
            sequence: unpacker.uint()?,
            waits_for: WaitsFor::from_code(unpacker.uint()?),
            reason: unpacker.str()?.to_owned(),
            payload: unpacker.bin()?.to_vec(),
        });
    }
    Ok(parked)
}

fn bare(packer: &mut Packer, kind: u64) {
    packer.array(1);
    packer.uint(kind);
}

impl Hello {
    fn decode(unpacker: &mut Unpacker<'_>, parts: usize) -> Result<Self> {
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

impl Rows {
    fn decode(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        let collection = unpacker.index(usize::MAX)?;
        let devices = Devices::decode(unpacker.bin()?)?;
        let count = unpacker.array()?;
        let mut rows = Vec::new();
        for _ in 0..count {
            let len = unpacker.array()?;
            if len == 0 {
                return Err(SyncError::corrupt(WHAT, "a row has nothing in it"));
            }
            let clock = unpacker.bin()?.to_vec();
            let mut values = Vec::new();
            for _ in 1..len {
                values.push(unpacker.value()?);
            }
            rows.push((values, clock));
        }
        Ok(Self { collection, devices, rows })
    }
}

impl Tombstones {
    fn decode(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        let collection = unpacker.index(usize::MAX)?;
        let devices = Devices::decode(unpacker.bin()?)?;
        let count = unpacker.array()?;
        let mut objects = Vec::new();
        for _ in 0..count {
            unpacker.tuple(2)?;
            objects.push((unpacker.bin()?.to_vec(), unpacker.bin()?.to_vec()));
        }
        Ok(Self { collection, devices, objects })
    }
}

/// A clock of a frame, with the fields' numbers translated from the sender's catalogue to ours. Fields that we do not know
/// are left out: their values did not come either.
pub(crate) fn translate(
    bytes: &[u8],
    devices: &Devices,
    numbers: &std::collections::HashMap<u32, u32>,
) -> Result<Option<Clock>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let theirs = Clock::decode(bytes, devices)?;
    if theirs.life > LAST_LIFE {
        return Err(SyncError::corrupt(
            "the clock of an object",
            "its life is beyond all that are lived",
        ));
    }
    let mut clock = Clock::created(theirs.life, theirs.row);
    for (field, stamp) in theirs.fields {
        if let Some(number) = numbers.get(&field) {
            clock.set(*number, stamp);
        }
    }
    for (field, counter) in theirs.counters {
        if let Some(number) = numbers.get(&field) {
            clock.count(*number, counter);
        }
    }
    let joins = Joins::default();
    for (field, state) in theirs.states {
        if let Some(number) = numbers.get(&field) {
            // There is none to be joined with yet.
            clock.join(*number, &state, &joins);
        }
    }
    Ok(Some(clock))
}
