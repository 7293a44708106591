//! What sync keeps about the whole database: who we are, whom we know, what the collections are called in clocks.
//!
//! Small rows of the collection `_storex_meta`:
//! - `head`: this device's number, the number of its next transaction, its clock's last reading; written with every
//!   logged transaction;
//! - `devices`: every device that this database has heard of, with the last transaction of it that was applied here;
//!   a device's place in this list is its number in packed clocks, so the list only grows;
//! - `catalogue`: collections and fields by number, so that clocks need no names; it only grows too;
//! - `followed`: the versions of the schema that the catalogue's names are of;
//! - `local_only`: the collections that this device keeps to itself;
//! - `lanes`: which collections are in which lane, see [`crate::lane`]; only where no lane is named;
//! - `local_fields`: the fields that it keeps to itself, see [`crate::local_fields`];
//! - `offered`: up to where this device's transactions were perhaps given to a shared log, see [`crate::reduce`];
//! - `rules`: what the application wants done about rules that devices have broken together, see [`crate::rules`];
//! - `cursor`: where this device is in its shared log;
//! - `orphans`: what points to deleted objects is still to be judged, see [`crate::apply`];
//! - `scopes`: which scopes this device holds, of collections that it does not hold whole, see [`crate::scope`];
//! - `leaving`: that objects are here of scopes that it does not hold, which go when what was written to them is sent;
//! - `unshared`: that something is here which may be in no log; it is sent before it goes;
//! - `swept`: drawn anew when such objects have gone;
//! - `backfill`: that objects of scopes that were added are still to be brought, and how far that has come;
//! - `doubts`: what may still come although something was passed over, see [`crate::scope`];
//! - `withheld`: what an initial sync has brought, and is not claimed as seen as long as some of it is parked;
//! - `resume`: how far an initial sync has come that was cut, see [`crate::initial::resume`];
//! - `undated`: drawn anew when objects have come that are older than sync;
//! - `former`: who this device was before, see [`crate::renewal`];
//! - `state`: how much of the state is sent again, see [`crate::state`];
//! - `holder`: which of the programs that share the database may sync it, see [`crate::exclusive`];
//! - `discarded …`, one for each transaction that was parked and that the application has discarded: it does not come again;
//! - `paused`: whether continuous sync is paused, for all instances and over restarts;
//! - `sync_status`: when an exchange last went through, what the last error was, when the shared log was last seen to, and what it could
//!   not give; see [`crate::remembered`].

use std::collections::BTreeSet;

use storex_core::{
    Definition, FieldType, Filter, Key, Name, OnConflict, Query, Record, Runtime, Step, Value,
};

use crate::bytes::{Reader, write_bytes, write_varint};
use crate::error::{Result, SyncError};
use crate::lane::Names;
use crate::stamp::{Device, Hlc, Stamp};

pub(crate) const META: &str = "_storex_meta";
pub(crate) const HEAD: &str = "head";
pub(crate) const DEVICES: &str = "devices";
pub(crate) const CATALOGUE: &str = "catalogue";
pub(crate) const LOCAL_ONLY: &str = "local_only";
pub(crate) const LOCAL_FIELDS: &str = "local_fields";
/// The number up to which this device's transactions were perhaps given to a shared log.
pub(crate) const OFFERED: &str = "offered";
pub(crate) const RULES: &str = "rules";
/// Which collections are in which lane.
pub(crate) const LANES: &str = "lanes";
/// The schema versions up to which the catalogue has followed renames.
pub(crate) const FOLLOWED: &str = "followed";

pub(crate) fn meta_definition(names: &Names) -> Definition {
    Definition::new(names.own(META))
        .reserved()
        .field("name", FieldType::String)
        .field("value", FieldType::Binary)
        .primary_key(["name"])
}

/// What finds rows of `_storex_meta`.
pub(crate) fn meta_query(names: &[&str]) -> Query {
    let keys = names.iter().map(|name| Key::single(*name)).collect();
    Query::new(META).filter(Filter::Keys(keys))
}

/// A step that reads rows of `_storex_meta`.
pub(crate) fn read_meta(names: &[&str]) -> Step {
    Step::Find(meta_query(names))
}

/// A step that writes rows of `_storex_meta`.
pub(crate) fn write_meta(rows: Vec<(&str, Vec<u8>)>) -> Step {
    let records = rows
        .into_iter()
        .map(|(name, value)| Record::new(vec![Value::from(name), Value::Bytes(value)]))
        .collect();
    Step::create_or(META, records, OnConflict::Replace)
}

/// A value that no row has had before: whoever reads it again sees whether it is still the same.
pub(crate) fn fresh_mark(runtime: &dyn Runtime) -> Vec<u8> {
    let mut mark = vec![0; 8];
    runtime.fill_random(&mut mark);
    mark
}

/// A row of `_storex_meta` among those read.
pub(crate) fn meta_row<'a>(rows: &'a [Record], name: &str) -> Option<&'a [u8]> {
    rows.iter().find(|row| row.get(0).as_text() == Some(name)).and_then(|row| row.get(1).as_bytes())
}

/// The rows of a device that nobody has heard of.
pub(crate) fn newcomer(id: [u8; 16]) -> [(&'static str, Vec<u8>); 2] {
    let mut devices = Devices::new();
    let me = devices.number(Device { id, incarnation: 0 });
    [(DEVICES, devices.encode()), (HEAD, Head { me, next: 1, hlc: Hlc::ZERO }.encode())]
}

/// Where this device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// This device's number in [`Devices`].
    pub(crate) me: u32,
    /// The number of the next transaction; the first is 1.
    pub(crate) next: u64,
    /// The clock's last reading, own or seen.
    pub(crate) hlc: Hlc,
}

impl Head {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20);
        out.extend(self.me.to_be_bytes());
        out.extend(self.next.to_be_bytes());
        out.extend(self.hlc.0.to_be_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "the head row");
        Ok(Self {
            me: u32::from_be_bytes(reader.array()?),
            next: u64::from_be_bytes(reader.array()?),
            hlc: Hlc(u64::from_be_bytes(reader.array()?)),
        })
    }

    /// The head among rows read by [`read_meta`].
    pub(crate) fn among(rows: &[Record]) -> Result<Self> {
        Self::decode(meta_row(rows, HEAD).ok_or(SyncError::NoSyncLog)?)
    }
}

/// A device that this database has heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Known {
    pub(crate) device: Device,
    /// Its last transaction that was applied here.
    pub(crate) sequence: u64,
    /// The last reading of its clock that was applied here.
    pub(crate) hlc: Hlc,
}

/// Every device that this database has heard of. Number 0 stands for nobody: data older than sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Devices {
    list: Vec<Known>,
    changed: bool,
}

impl Devices {
    pub(crate) fn new() -> Self {
        Self { list: vec![Known::default()], changed: true }
    }

    pub(crate) fn device(&self, number: u32) -> Option<Device> {
        self.list.get(usize::try_from(number).ok()?).map(|known| known.device)
    }

    pub(crate) fn find(&self, device: Device) -> Option<&Known> {
        self.iter().find(|known| known.device == device)
    }

    /// Whether a write with this stamp was applied where this table is from, as far as it tells.
    pub(crate) fn has_applied(&self, stamp: Stamp) -> bool {
        stamp == Stamp::ZERO || self.find(stamp.device).is_some_and(|it| it.hlc >= stamp.hlc)
    }

    /// The number of a device; a new one gets the next.
    pub(crate) fn number(&mut self, device: Device) -> u32 {
        let at = self.list.iter().position(|known| known.device == device).unwrap_or_else(|| {
            self.changed = true;
            self.list.push(Known { device, ..Known::default() });
            self.list.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// Notes how far a device was followed; never goes back.
    pub(crate) fn advance(&mut self, device: Device, sequence: u64, hlc: Hlc) {
        // Whoever says that they are nobody gets a place of their own: nobody's is not kept.
        let at = self.list.iter().skip(1).position(|known| known.device == device);
        let at = at.map_or(self.list.len(), |at| at + 1);
        if at == self.list.len() {
            self.changed = true;
            self.list.push(Known { device, ..Known::default() });
        }
        let Some(known) = self.list.get_mut(at) else { return };
        if known.sequence < sequence || known.hlc < hlc {
            self.changed = true;
        }
        known.sequence = known.sequence.max(sequence);
        known.hlc = known.hlc.max(hlc);
    }

    /// The last reading that is known of every other device.
    pub(crate) fn seen_by(&self, me: Device) -> Vec<(Device, Hlc)> {
        let others = self.iter().filter(|known| known.device != me && known.hlc > Hlc::ZERO);
        others.map(|known| (known.device, known.hlc)).collect()
    }

    /// All but nobody.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.list.iter().skip(1)
    }

    /// Whether there is something to write since this was read.
    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.list.len() * 34);
        for known in self.iter() {
            out.extend(known.device.id);
            write_varint(&mut out, u64::from(known.device.incarnation));
            write_varint(&mut out, known.sequence);
            out.extend(known.hlc.0.to_be_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "the table of devices");
        let mut list = vec![Known::default()];
        while !reader.is_empty() {
            let device = Device { id: reader.array()?, incarnation: reader.varint_u32()? };
            let sequence = reader.varint()?;
            let hlc = Hlc(u64::from_be_bytes(reader.array()?)).checked("the table of devices")?;
            list.push(Known { device, sequence, hlc });
        }
        Ok(Self { list, changed: false })
    }

    /// The devices among rows read by [`read_meta`].
    pub(crate) fn among(rows: &[Record]) -> Result<Self> {
        Self::decode(meta_row(rows, DEVICES).ok_or(SyncError::NoSyncLog)?)
    }
}

/// The numbers of one collection and its fields.
#[derive(Debug, Clone)]
pub(crate) struct Numbers {
    /// The collection's.
    pub(crate) collection: i64,
    /// The fields', by position in the schema.
    pub(crate) fields: Vec<u32>,
    /// The positions of the fields that this device keeps to itself.
    pub(crate) local: BTreeSet<usize>,
    /// The position of the field that says to which scope an object belongs.
    pub(crate) scope: Option<usize>,
}

pub(crate) fn write_name(out: &mut Vec<u8>, name: &str) {
    write_bytes(out, name.as_bytes());
}

pub(crate) fn read_name(reader: &mut Reader<'_>, what: &'static str) -> Result<Name> {
    let text = std::str::from_utf8(reader.bytes()?);
    Ok(text.map_err(|_| SyncError::corrupt(what, "a name is not UTF-8"))?.into())
}

/// The row `local_only`: names, in order.
pub(crate) fn encode_names(names: &BTreeSet<Name>) -> Vec<u8> {
    let mut out = Vec::new();
    names.iter().for_each(|name| write_name(&mut out, name));
    out
}

pub(crate) fn decode_names(bytes: &[u8]) -> Result<BTreeSet<Name>> {
    let what = "the list of local collections";
    let mut reader = Reader::new(bytes, what);
    let mut names = BTreeSet::new();
    while !reader.is_empty() {
        names.insert(read_name(&mut reader, what)?);
    }
    Ok(names)
}
