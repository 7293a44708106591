//! [`Token`]: how far an initial sync has come.

use storex_core::{Name, Value};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Result, SyncError};
use crate::meta::Devices;
use crate::pack::{Packer, Unpacker};

const WHAT: &str = "the token of an initial sync that was cut";

/// The form of a token; others are not read.
const FORM: u64 = 1;

/// How far the receiver of an initial sync has come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    /// What the sender has given to know it by.
    pub(crate) ticket: Vec<u8>,
    /// What the sender had applied of every device, of which nothing is missing in the part that is there.
    pub(crate) devices: Devices,
    /// The last that is there.
    pub(crate) position: Position,
    /// How many rows are through.
    pub(crate) done: u64,
    /// What the receiver is to be like to go on with it.
    pub(crate) conditions: u64,
    /// Some of it was not taken, or is not known to be.
    pub(crate) is_sifted: bool,
    /// Some of it was parked.
    pub(crate) has_parked: bool,
}

/// A place among all that is sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Position {
    pub(crate) phase: Phase,
    pub(crate) collection: Name,
    /// The last that is there: the code of its key for a tombstone, its key for a row.
    pub(crate) after: Vec<Value>,
}

/// What is sent, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Tombstones,
    Rows,
    /// Everything is there.
    Through,
}

impl Token {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.array(10);
        packer.uint(FORM);
        packer.bin(&self.ticket);
        packer.bin(&self.devices.encode());
        packer.uint(match self.position.phase {
            Phase::Tombstones => 0,
            Phase::Rows => 1,
            Phase::Through => 2,
        });
        packer.str(&self.position.collection);
        packer.array(self.position.after.len());
        self.position.after.iter().for_each(|value| packer.value(value));
        packer.uint(self.done);
        packer.uint(self.conditions);
        packer.uint(u64::from(self.is_sifted));
        packer.uint(u64::from(self.has_parked));
        let sum = xxh3_64(&packer.out).to_be_bytes();
        packer.out.extend(sum);
        packer.out
    }

    /// Reads a token. One that is damaged is refused: a place that it does not mean would leave a gap.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = || SyncError::corrupt(WHAT, "its checksum is another one");
        let (bytes, sum) = bytes.split_last_chunk().ok_or_else(damaged)?;
        if xxh3_64(bytes) != u64::from_be_bytes(*sum) {
            return Err(damaged());
        }
        let mut unpacker = Unpacker::new(bytes, WHAT);
        unpacker.tuple(10)?;
        if unpacker.uint()? != FORM {
            return Err(SyncError::corrupt(WHAT, "its form is not known"));
        }
        let ticket = unpacker.bin()?.to_vec();
        let devices = Devices::decode(unpacker.bin()?)?;
        let phase = match unpacker.uint()? {
            0 => Phase::Tombstones,
            1 => Phase::Rows,
            2 => Phase::Through,
            _ => return Err(SyncError::corrupt(WHAT, "its phase is not known")),
        };
        let collection = Name::from(unpacker.str()?);
        let mut after = Vec::new();
        for _ in 0..unpacker.array()? {
            after.push(unpacker.value()?);
        }
        let position = Position { phase, collection, after };
        let (done, conditions) = (unpacker.uint()?, unpacker.uint()?);
        let (is_sifted, has_parked) = (unpacker.uint()? != 0, unpacker.uint()? != 0);
        unpacker.end()?;
        Ok(Self { ticket, devices, position, done, conditions, is_sifted, has_parked })
    }
}

/// What a receiver tells of an initial sync that was cut.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cut {
    pub(crate) token: Token,
    /// What the receiver has applied of every device, itself included, by whatever way.
    pub(crate) has: Devices,
}

impl Cut {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.array(2);
        packer.bin(&self.token.encode());
        packer.bin(&self.has.encode());
        packer.out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut unpacker = Unpacker::new(bytes, WHAT);
        unpacker.tuple(2)?;
        let token = Token::decode(unpacker.bin()?)?;
        let has = Devices::decode(unpacker.bin()?)?;
        unpacker.end()?;
        Ok(Self { token, has })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> Token {
        Token {
            ticket: vec![1; 16],
            devices: Devices::new(),
            position: Position {
                phase: Phase::Rows,
                collection: "note".into(),
                after: vec![Value::from("n 7"), Value::Int(-3)],
            },
            done: 70,
            conditions: 9,
            is_sifted: true,
            has_parked: false,
        }
    }

    #[test]
    fn it_comes_back_as_it_was() {
        let (before, after) = (token(), Token::decode(&token().encode()).unwrap());
        assert_eq!(after.encode(), before.encode());
        assert_eq!((after.position, after.ticket), (before.position, before.ticket));
    }

    proptest! {
        /// It comes from the other side, or from a database that may be damaged.
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, at: prop::sample::Index, with: u8) {
            let _ = Token::decode(&bytes);
            let mut damaged = token().encode();
            let at = at.index(damaged.len());
            let before = std::mem::replace(&mut damaged[at], with);
            prop_assert_eq!(Token::decode(&damaged).is_ok(), before == with);
            prop_assert!(Token::decode(&token().encode()[..at]).is_err());
        }
    }
}
