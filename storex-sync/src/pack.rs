//! MessagePack (<https://github.com/msgpack/msgpack/blob/master/spec.md>), the form of everything that travels.
//!
//! [`Value`]s map to its types: null, bool, int, float 64, str, bin; a timestamp is extension 1 (milliseconds since 1970 as
//! a big-endian 64-bit integer), JSON is extension 2 (its text).

use rmp::Marker;
use rmp::encode as enc;
use storex_core::{Timestamp, Value};

use crate::bytes::Reader;
use crate::error::{Result, SyncError};
use crate::stamp::{Device, Hlc};

const EXT_TIMESTAMP: i8 = 1;
const EXT_JSON: i8 = 2;

/// Writes MessagePack. Writing to memory cannot fail, so the results of `rmp` are dropped here, once.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    pub(crate) out: Vec<u8>,
}

impl Packer {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { out: Vec::with_capacity(capacity) }
    }

    pub(crate) fn array(&mut self, len: usize) {
        let _ = enc::write_array_len(&mut self.out, u32::try_from(len).unwrap_or(u32::MAX));
    }

    pub(crate) fn uint(&mut self, value: u64) {
        let _ = enc::write_uint(&mut self.out, value);
    }

    pub(crate) fn str(&mut self, value: &str) {
        let _ = enc::write_str(&mut self.out, value);
    }

    pub(crate) fn bin(&mut self, value: &[u8]) {
        let _ = enc::write_bin(&mut self.out, value);
    }

    pub(crate) fn device(&mut self, device: Device) {
        self.array(2);
        self.bin(&device.id);
        self.uint(u64::from(device.incarnation));
    }

    pub(crate) fn value(&mut self, value: &Value) {
        let out = &mut self.out;
        match value {
            Value::Null => {
                let _ = enc::write_nil(out);
            }
            Value::Bool(bool) => {
                let _ = enc::write_bool(out, *bool);
            }
            Value::Int(int) => {
                let _ = enc::write_sint(out, *int);
            }
            Value::Float(float) => {
                let _ = enc::write_f64(out, *float);
            }
            Value::Text(text) => {
                let _ = enc::write_str(out, text);
            }
            Value::Bytes(bytes) => {
                let _ = enc::write_bin(out, bytes);
            }
            Value::Timestamp(at) => {
                let _ = enc::write_ext_meta(out, 8, EXT_TIMESTAMP);
                out.extend(at.0.to_be_bytes());
            }
            Value::Json(json) => {
                let text = json.to_string();
                let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
                let _ = enc::write_ext_meta(out, len, EXT_JSON);
                out.extend(text.as_bytes());
            }
        }
    }
}

/// Reads MessagePack; no length is believed before the bytes are there.
#[derive(Debug)]
pub(crate) struct Unpacker<'a> {
    reader: Reader<'a>,
    what: &'static str,
    left: usize,
}

enum Item<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Str(&'a str),
    Bin(&'a [u8]),
    Array(usize),
    Ext(i8, &'a [u8]),
}

impl<'a> Unpacker<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { reader: Reader::new(bytes, what), what, left: bytes.len() }
    }

    fn wrong(&self, wanted: &str) -> SyncError {
        SyncError::corrupt(self.what, format!("{wanted} is missing"))
    }

    fn item(&mut self) -> Result<Item<'a>> {
        let marker = Marker::from_u8(self.reader.byte()?);
        Ok(match marker {
            Marker::Null => Item::Nil,
            Marker::True => Item::Bool(true),
            Marker::False => Item::Bool(false),
            Marker::FixPos(value) => Item::Int(i64::from(value)),
            Marker::FixNeg(value) => Item::Int(i64::from(value)),
            Marker::U8 => Item::Int(i64::from(self.reader.byte()?)),
            Marker::U16 => Item::Int(i64::from(u16::from_be_bytes(self.reader.array()?))),
            Marker::U32 => Item::Int(i64::from(u32::from_be_bytes(self.reader.array()?))),
            Marker::U64 => {
                let value = u64::from_be_bytes(self.reader.array()?);
                i64::try_from(value).map_or(Item::Uint(value), Item::Int)
            }
            Marker::I8 => Item::Int(i64::from(i8::from_be_bytes(self.reader.array()?))),
            Marker::I16 => Item::Int(i64::from(i16::from_be_bytes(self.reader.array()?))),
            Marker::I32 => Item::Int(i64::from(i32::from_be_bytes(self.reader.array()?))),
            Marker::I64 => Item::Int(i64::from_be_bytes(self.reader.array()?)),
            Marker::F32 => Item::Float(f64::from(f32::from_be_bytes(self.reader.array()?))),
            Marker::F64 => Item::Float(f64::from_be_bytes(self.reader.array()?)),
            Marker::FixStr(len) => self.text(usize::from(len))?,
            Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                let len = self.length(marker)?;
                self.text(len)?
            }
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                let len = self.length(marker)?;
                Item::Bin(self.reader.take(len)?)
            }
            Marker::FixArray(len) => Item::Array(usize::from(len)),
            Marker::Array16 | Marker::Array32 => Item::Array(self.length(marker)?),
            Marker::FixExt1 => self.ext(1)?,
            Marker::FixExt2 => self.ext(2)?,
            Marker::FixExt4 => self.ext(4)?,
            Marker::FixExt8 => self.ext(8)?,
            Marker::FixExt16 => self.ext(16)?,
            Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => {
                let len = self.length(marker)?;
                self.ext(len)?
            }
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 | Marker::Reserved => {
                return Err(SyncError::corrupt(self.what, "a map has no place in it"));
            }
        })
    }

    fn length(&mut self, marker: Marker) -> Result<usize> {
        let len = match marker {
            Marker::Str8 | Marker::Bin8 | Marker::Ext8 => u32::from(self.reader.byte()?),
            Marker::Str16 | Marker::Bin16 | Marker::Ext16 | Marker::Array16 => {
                u32::from(u16::from_be_bytes(self.reader.array()?))
            }
            _ => u32::from_be_bytes(self.reader.array()?),
        };
        usize::try_from(len).map_err(|_| self.wrong("a length that fits"))
    }

    fn text(&mut self, len: usize) -> Result<Item<'a>> {
        let text = std::str::from_utf8(self.reader.take(len)?);
        Ok(Item::Str(text.map_err(|_| SyncError::corrupt(self.what, "a text is not UTF-8"))?))
    }

    fn ext(&mut self, len: usize) -> Result<Item<'a>> {
        let [kind] = self.reader.array()?;
        Ok(Item::Ext(i8::from_be_bytes([kind]), self.reader.take(len)?))
    }

    /// The length of a list. Every item takes a byte at least, so a length above what is left is a lie.
    pub(crate) fn array(&mut self) -> Result<usize> {
        match self.item()? {
            Item::Array(len) if len <= self.left => Ok(len),
            _ => Err(self.wrong("a list")),
        }
    }

    /// Whether a list follows.
    pub(crate) fn next_is_array(&self) -> bool {
        let marker = self.reader.peek().map(Marker::from_u8);
        matches!(marker, Some(Marker::FixArray(_) | Marker::Array16 | Marker::Array32))
    }

    /// Takes a nil, if one follows.
    pub(crate) fn take_nil(&mut self) -> Result<bool> {
        let is_nil = self.reader.peek() == Some(Marker::Null.to_u8());
        if is_nil {
            self.reader.byte()?;
        }
        Ok(is_nil)
    }

    /// A list of a known length.
    pub(crate) fn tuple(&mut self, len: usize) -> Result<()> {
        if self.array()? == len { Ok(()) } else { Err(self.wrong("a list of the right length")) }
    }

    pub(crate) fn uint(&mut self) -> Result<u64> {
        match self.item()? {
            Item::Uint(value) => Ok(value),
            Item::Int(value) => u64::try_from(value).map_err(|_| self.wrong("a positive integer")),
            _ => Err(self.wrong("an integer")),
        }
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        let value = self.uint()?;
        u32::try_from(value).map_err(|_| self.wrong("a small integer"))
    }

    pub(crate) fn index(&mut self, len: usize) -> Result<usize> {
        let value = self.uint()?;
        usize::try_from(value)
            .ok()
            .filter(|at| *at < len)
            .ok_or_else(|| self.wrong("an index in range"))
    }

    pub(crate) fn str(&mut self) -> Result<&'a str> {
        match self.item()? {
            Item::Str(text) => Ok(text),
            _ => Err(self.wrong("a text")),
        }
    }

    pub(crate) fn bin(&mut self) -> Result<&'a [u8]> {
        match self.item()? {
            Item::Bin(bytes) => Ok(bytes),
            _ => Err(self.wrong("bytes")),
        }
    }

    pub(crate) fn device(&mut self) -> Result<Device> {
        self.tuple(2)?;
        let id = self.bin()?.try_into().map_err(|_| self.wrong("a device id of 16 bytes"))?;
        Ok(Device { id, incarnation: self.u32()? })
    }

    pub(crate) fn hlc(&mut self) -> Result<Hlc> {
        self.uint().map(Hlc)
    }

    pub(crate) fn value(&mut self) -> Result<Value> {
        match self.item()? {
            Item::Nil => Ok(Value::Null),
            Item::Bool(bool) => Ok(Value::Bool(bool)),
            Item::Int(int) => Ok(Value::Int(int)),
            Item::Float(float) => Ok(Value::from(float)),
            Item::Str(text) => Ok(Value::from(text)),
            Item::Bin(bytes) => Ok(Value::from(bytes)),
            Item::Ext(EXT_TIMESTAMP, bytes) => match bytes.try_into() {
                Ok(bytes) => Ok(Value::Timestamp(Timestamp(i64::from_be_bytes(bytes)))),
                Err(_) => Err(self.wrong("a timestamp of 8 bytes")),
            },
            Item::Ext(EXT_JSON, bytes) => match serde_json::from_slice(bytes) {
                Ok(json) => Ok(Value::Json(json)),
                Err(_) => Err(self.wrong("JSON that can be read")),
            },
            _ => Err(self.wrong("a value")),
        }
    }

    /// Passes over one item, whatever is in it.
    pub(crate) fn skip(&mut self) -> Result<()> {
        let mut items = 1_u64;
        while items > 0 {
            items -= 1;
            if let Item::Array(len) = self.item()? {
                items = items.saturating_add(len as u64);
            }
        }
        Ok(())
    }

    /// That nothing follows.
    pub(crate) fn end(&self) -> Result<()> {
        if self.reader.is_empty() {
            Ok(())
        } else {
            Err(SyncError::corrupt(self.what, "something follows its end"))
        }
    }
}
