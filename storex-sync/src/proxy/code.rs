//! [`Wire`]: how what travels between a program and the place where its sync runs becomes bytes and is read again.
//!
//! A list may have grown at its end in a later version: what follows the parts that are known is passed over.

use std::sync::Arc;
use std::time::Duration;

use storex_core::{Key, Name, Record, Timestamp, Value};

use crate::error::{Result, SyncError};
use crate::pack::{Packer, Unpacker};
use crate::stamp::{Device, Hlc, Stamp};

pub(super) const WHAT: &str = "a message between a program and its sync";

/// What has a form in bytes.
pub(crate) trait Wire: Sized {
    fn write(&self, packer: &mut Packer);
    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self>;
}

pub(crate) fn encode(value: &impl Wire) -> Vec<u8> {
    let mut packer = Packer::default();
    value.write(&mut packer);
    packer.out
}

pub(crate) fn decode<T: Wire>(bytes: &[u8]) -> Result<T> {
    let mut unpacker = Unpacker::new(bytes, WHAT);
    let value = T::read(&mut unpacker)?;
    unpacker.end()?;
    Ok(value)
}

pub(super) fn wrong(reason: impl Into<String>) -> SyncError {
    SyncError::corrupt(WHAT, reason)
}

/// Begins a list with so many parts at least; gives how many more there are.
pub(super) fn begin(unpacker: &mut Unpacker<'_>, parts: usize) -> Result<usize> {
    let found = unpacker.array()?;
    found.checked_sub(parts).ok_or_else(|| wrong("a list has too few parts"))
}

pub(super) fn pass_over(unpacker: &mut Unpacker<'_>, parts: usize) -> Result<()> {
    (0..parts).try_for_each(|_| unpacker.skip())
}

/// A struct is a list of its fields.
macro_rules! fields {
    ($type:ident { $($field:tt),* }) => {
        impl Wire for $type {
            fn write(&self, packer: &mut Packer) {
                packer.array(<[&str]>::len(&[$(stringify!($field)),*]));
                $(self.$field.write(packer);)*
            }

            fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
                let more = begin(unpacker, <[&str]>::len(&[$(stringify!($field)),*]))?;
                let value = Self { $($field: Wire::read(unpacker)?),* };
                pass_over(unpacker, more)?;
                Ok(value)
            }
        }
    };
}

/// An enum is a list of the variant's code and its fields.
macro_rules! variants {
    ($type:ident { $($code:literal $variant:ident { $($field:tt: $name:ident),* })* }) => {
        impl Wire for $type {
            fn write(&self, packer: &mut Packer) {
                match self {
                    $(Self::$variant { $($field: $name),* } => {
                        packer.array(1 + <[&str]>::len(&[$(stringify!($name)),*]));
                        packer.uint($code);
                        $($name.write(packer);)*
                    })*
                }
            }

            fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
                let parts = begin(unpacker, 1)?;
                let code = unpacker.uint()?;
                match code {
                    $($code => {
                        let known = <[&str]>::len(&[$(stringify!($name)),*]);
                        let more = parts.checked_sub(known);
                        let more = more.ok_or_else(|| wrong("a list has too few parts"))?;
                        let value = Self::$variant { $($field: Wire::read(unpacker)?),* };
                        pass_over(unpacker, more)?;
                        Ok(value)
                    })*
                    other => {
                        let what = stringify!($type);
                        Err(wrong(format!("{what} {other} is not known here")))
                    }
                }
            }
        }
    };
}

pub(super) use {fields, variants};

impl Wire for u64 {
    fn write(&self, packer: &mut Packer) {
        packer.uint(*self);
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        unpacker.uint()
    }
}

impl Wire for u32 {
    fn write(&self, packer: &mut Packer) {
        packer.uint(u64::from(*self));
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        unpacker.u32()
    }
}

impl Wire for u128 {
    fn write(&self, packer: &mut Packer) {
        packer.bin(&self.to_be_bytes());
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        let bytes = unpacker.bin()?.try_into();
        bytes.map(Self::from_be_bytes).map_err(|_| wrong("a sum has not 16 bytes"))
    }
}

impl Wire for bool {
    fn write(&self, packer: &mut Packer) {
        packer.uint(u64::from(*self));
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        unpacker.uint().map(|number| number != 0)
    }
}

impl Wire for () {
    fn write(&self, packer: &mut Packer) {
        packer.array(0);
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        let more = begin(unpacker, 0)?;
        pass_over(unpacker, more)
    }
}

impl Wire for String {
    fn write(&self, packer: &mut Packer) {
        packer.str(self);
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        unpacker.str().map(str::to_owned)
    }
}

impl Wire for Name {
    fn write(&self, packer: &mut Packer) {
        packer.str(self);
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        unpacker.str().map(Self::from)
    }
}

/// Bytes as they are; a list of numbers would be larger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Wire for Bytes {
    fn write(&self, packer: &mut Packer) {
        packer.bin(&self.0);
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        unpacker.bin().map(|bytes| Self(bytes.to_vec()))
    }
}

/// Nil, or the value. No value of ours that may be absent begins with nil.
impl<T: Wire> Wire for Option<T> {
    fn write(&self, packer: &mut Packer) {
        match self {
            Some(value) => value.write(packer),
            None => packer.value(&Value::Null),
        }
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        if unpacker.take_nil()? { Ok(None) } else { T::read(unpacker).map(Some) }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn write(&self, packer: &mut Packer) {
        packer.array(self.len());
        self.iter().for_each(|value| value.write(packer));
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        let len = unpacker.array()?;
        (0..len).map(|_| T::read(unpacker)).collect()
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn write(&self, packer: &mut Packer) {
        packer.array(2);
        self.0.write(packer);
        self.1.write(packer);
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        let more = begin(unpacker, 2)?;
        let pair = (A::read(unpacker)?, B::read(unpacker)?);
        pass_over(unpacker, more)?;
        Ok(pair)
    }
}

impl<T: Wire> Wire for Arc<T> {
    fn write(&self, packer: &mut Packer) {
        T::write(self, packer);
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        T::read(unpacker).map(Self::new)
    }
}

/// What was asked for, or why there is none: a list of 0 and the value, or of 1 and the error.
impl<T: Wire> Wire for Result<T> {
    fn write(&self, packer: &mut Packer) {
        packer.array(2);
        packer.uint(u64::from(self.is_err()));
        match self {
            Ok(value) => value.write(packer),
            Err(error) => error.write(packer),
        }
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        unpacker.tuple(2)?;
        match unpacker.uint()? {
            0 => T::read(unpacker).map(Ok),
            1 => SyncError::read(unpacker).map(Err),
            other => Err(wrong(format!("{other} is neither a result nor an error"))),
        }
    }
}

impl Wire for Duration {
    fn write(&self, packer: &mut Packer) {
        packer.array(2);
        packer.uint(self.as_secs());
        packer.uint(u64::from(self.subsec_nanos()));
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        unpacker.tuple(2)?;
        let (seconds, nanoseconds) = (unpacker.uint()?, unpacker.u32()?);
        if nanoseconds >= 1_000_000_000 {
            return Err(wrong("a part of a second is more than a second"));
        }
        Ok(Self::new(seconds, nanoseconds))
    }
}

impl Wire for Value {
    fn write(&self, packer: &mut Packer) {
        packer.value(self);
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        unpacker.value()
    }
}

impl Wire for Timestamp {
    fn write(&self, packer: &mut Packer) {
        packer.value(&Value::Timestamp(*self));
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        match unpacker.value()? {
            Value::Timestamp(at) => Ok(at),
            _ => Err(wrong("a moment is missing")),
        }
    }
}

impl Wire for Key {
    fn write(&self, packer: &mut Packer) {
        packer.array(self.values().len());
        self.values().iter().for_each(|value| packer.value(value));
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        Vec::read(unpacker).map(Self::compound)
    }
}

impl Wire for Record {
    fn write(&self, packer: &mut Packer) {
        packer.array(self.values().len());
        self.values().iter().for_each(|value| packer.value(value));
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        Vec::read(unpacker).map(Self::new)
    }
}

impl Wire for Device {
    fn write(&self, packer: &mut Packer) {
        packer.device(*self);
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        unpacker.device()
    }
}

impl Wire for Stamp {
    fn write(&self, packer: &mut Packer) {
        packer.array(2);
        packer.uint(self.hlc.0);
        packer.device(self.device);
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        unpacker.tuple(2)?;
        Ok(Self { hlc: Hlc(unpacker.uint()?), device: unpacker.device()? })
    }
}
