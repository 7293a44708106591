//! The bytes of a [`FieldState`] in a clock; `docs/wire-format.md` describes them.

use serde_json::Value as Json;
use storex_core::Name;

use crate::bytes::{Reader, write_bytes, write_varint};
use crate::clock_code::WHAT;
use crate::error::{Result, SyncError};
use crate::field_state::{Element, FieldState, Held, Item};
use crate::pack::{Packer, Unpacker};
use crate::stamp::{Device, Hlc, Stamp};

const MAX: u8 = 1;
const MIN: u8 = 2;
const SET: u8 = 3;
const LIST: u8 = 4;
const CUSTOM: u8 = 5;

pub(crate) fn write(
    out: &mut Vec<u8>,
    state: &FieldState,
    mut stamp: impl FnMut(&mut Vec<u8>, Stamp),
) {
    let mut held = |out: &mut Vec<u8>, held: &Held| {
        stamp(out, held.at);
        let mut packer = Packer::default();
        packer.value(&held.value);
        write_bytes(out, &packer.out);
    };
    match state {
        FieldState::Max(value) => {
            out.push(MAX);
            held(out, value);
        }
        FieldState::Min(value) => {
            out.push(MIN);
            held(out, value);
        }
        FieldState::Custom(name, value) => {
            out.push(CUSTOM);
            write_bytes(out, name.as_bytes());
            held(out, value);
        }
        FieldState::Set(elements) => {
            out.push(SET);
            write_varint(out, elements.len() as u64);
            for it in elements {
                write_bytes(out, it.text.as_bytes());
                stamp(out, it.at);
                write_varint(out, u64::from(it.place) << 1 | u64::from(it.is_in));
            }
        }
        FieldState::List(items) => {
            out.push(LIST);
            write_varint(out, items.len() as u64);
            for it in items {
                stamp(out, it.at);
                write_varint(out, u64::from(it.place));
                write_bytes(out, it.element.to_string().as_bytes());
            }
        }
    }
}

pub(crate) fn read<'a>(
    reader: &mut Reader<'a>,
    mut stamp: impl FnMut(&mut Reader<'a>) -> Result<Stamp>,
) -> Result<FieldState> {
    let kind = reader.byte()?;
    let mut held = |reader: &mut Reader<'a>| {
        let at = stamp(reader)?;
        let bytes = reader.bytes()?;
        let mut unpacker = Unpacker::new(bytes, WHAT);
        let value = unpacker.value()?;
        unpacker.end()?;
        Ok(Held { at, value })
    };
    match kind {
        MAX => held(reader).map(FieldState::Max),
        MIN => held(reader).map(FieldState::Min),
        CUSTOM => {
            let name = Name::from(reader.text()?);
            Ok(FieldState::Custom(name, held(reader)?))
        }
        SET => read_set(reader, stamp).map(FieldState::Set),
        LIST => read_list(reader, stamp).map(FieldState::List),
        kind => {
            let reason = format!(
                "a field has the strategy {kind}, of which this program knows nothing; update it"
            );
            Err(SyncError::corrupt(WHAT, reason))
        }
    }
}

/// The bytes of a state outside of a clock, with whole stamps.
pub(crate) fn alone(state: &FieldState) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, state, |out, stamp| {
        out.extend(stamp.hlc.0.to_be_bytes());
        out.extend(stamp.device.id);
        write_varint(out, u64::from(stamp.device.incarnation));
    });
    out
}

pub(crate) fn read_alone(bytes: &[u8]) -> Result<FieldState> {
    let mut reader = Reader::new(bytes, WHAT);
    let state = read(&mut reader, |reader| {
        let hlc = Hlc(u64::from_be_bytes(reader.array()?)).checked(WHAT)?;
        let device = Device { id: reader.array()?, incarnation: reader.varint_u32()? };
        Ok(Stamp { hlc, device })
    })?;
    if reader.is_empty() {
        return Ok(state);
    }
    Err(SyncError::corrupt(WHAT, "something follows the state of a field"))
}

fn read_set<'a>(
    reader: &mut Reader<'a>,
    mut stamp: impl FnMut(&mut Reader<'a>) -> Result<Stamp>,
) -> Result<Vec<Element>> {
    let mut elements: Vec<Element> = Vec::new();
    for _ in 0..reader.varint()? {
        let text = reader.text()?.to_owned();
        let at = stamp(reader)?;
        let place = reader.varint()?;
        let is_in = place & 1 == 1;
        let place = read_place(place >> 1)?;
        read_json(&text)?;
        if elements.last().is_some_and(|last| last.text >= text) {
            return Err(SyncError::corrupt(WHAT, "the elements of a set are not in order"));
        }
        elements.push(Element { text, at, place, is_in });
    }
    Ok(elements)
}

fn read_list<'a>(
    reader: &mut Reader<'a>,
    mut stamp: impl FnMut(&mut Reader<'a>) -> Result<Stamp>,
) -> Result<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    for _ in 0..reader.varint()? {
        let at = stamp(reader)?;
        let place = read_place(reader.varint()?)?;
        let element = read_json(reader.text()?)?;
        if items.last().is_some_and(|last| (last.at, last.place) >= (at, place)) {
            return Err(SyncError::corrupt(WHAT, "the elements of a list are not in order"));
        }
        items.push(Item { at, place, element });
    }
    Ok(items)
}

fn read_place(place: u64) -> Result<u32> {
    u32::try_from(place).map_err(|_| SyncError::corrupt(WHAT, "an element has no such place"))
}

fn read_json(text: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(|_| SyncError::corrupt(WHAT, "an element is no JSON"))
}
