//! The frames of an initial sync, in MessagePack; `docs/wire-format.md` describes them.

mod greeting;
mod hello;
mod page;

pub(crate) use greeting::{Accept, Capabilities, Greeting, Take, Terms, VERSIONS, Wants};
pub(crate) use hello::{CollectionHello, Hello};
pub(crate) use page::{Rows, Tombstones, translate};

use storex_core::ErrorKind;

use super::difference::{Message, Opening};

use crate::error::{Result, SyncError};
use crate::kind_code::{kind_code, kind_of_code};
use crate::pack::{Packer, Unpacker};
use crate::parked::Parked;

const WHAT: &str = "a frame of the initial sync";

/// What one side tells the other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Frame {
    Hello(Hello),
    Accept(Accept),
    Rows(Rows),
    Tombstones(Tombstones),
    Received,
    Finish,
    Finished,
    Failed {
        kind: ErrorKind,
        reason: String,
    },
    Parked(Vec<Parked>),
    Greeting(Greeting),
    Paused,
    Running,
    Cancel,
    /// Something of the application's.
    Package {
        kind: String,
        bytes: Vec<u8>,
    },
    /// Objects of a collection of the hello that the sender keeps back.
    KeptBack {
        collection: usize,
        count: u64,
    },
    /// What the sides of a comparison tell each other.
    Opening(Opening),
    Ranges(Message),
    /// What the sender knows a token by, and whether it goes on from the one that it was told.
    Resumable {
        ticket: Vec<u8>,
        resumes: bool,
    },
    /// What was there when it went on is as new as the hello says.
    CaughtUp,
}

impl Frame {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packer = Packer::default();
        match self {
            Self::Hello(hello) => hello.encode(&mut packer),
            Self::Accept(accept) => accept.encode(&mut packer),
            Self::Rows(rows) => rows.encode(&mut packer),
            Self::Tombstones(tombstones) => tombstones.encode(&mut packer),
            Self::Received => bare(&mut packer, 4),
            Self::Finish => bare(&mut packer, 5),
            Self::Finished => bare(&mut packer, 6),
            Self::Failed { kind, reason } => {
                packer.array(3);
                packer.uint(7);
                packer.str(reason);
                packer.uint(kind_code(*kind));
            }
            Self::Parked(parked) => page::encode_parked(parked, &mut packer),
            Self::Greeting(greeting) => greeting.encode(&mut packer),
            Self::Paused => bare(&mut packer, 10),
            Self::Running => bare(&mut packer, 11),
            Self::Cancel => bare(&mut packer, 12),
            Self::Package { kind, bytes } => {
                packer.array(3);
                packer.uint(13);
                packer.str(kind);
                packer.bin(bytes);
            }
            Self::KeptBack { collection, count } => {
                packer.array(3);
                packer.uint(14);
                packer.uint(*collection as u64);
                packer.uint(*count);
            }
            Self::Opening(opening) => {
                packer.array(3);
                packer.uint(20);
                opening.encode(&mut packer);
            }
            Self::Ranges(message) => {
                packer.array(6);
                packer.uint(21);
                message.encode(&mut packer);
            }
            Self::Resumable { ticket, resumes } => {
                packer.array(3);
                packer.uint(22);
                packer.bin(ticket);
                packer.uint(u64::from(*resumes));
            }
            Self::CaughtUp => bare(&mut packer, 23),
        }
        packer.out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        Self::decode_narrow(bytes, usize::MAX)
    }

    /// Reads a frame whose rows have at most so many values: a value takes more memory than it has bytes.
    pub(crate) fn decode_narrow(bytes: &[u8], most_values: usize) -> Result<Self> {
        let mut unpacker = Unpacker::new(bytes, WHAT);
        let parts = unpacker.array()?;
        let kind = unpacker.uint()?;
        let frame = match (kind, parts) {
            (0, 2..) => Self::Hello(Hello::decode(&mut unpacker, parts)?),
            (1, 1) => Self::Accept(Accept::default()),
            (1, 3) => Self::Accept(Accept::decode(&mut unpacker)?),
            (2, 4 | 5) => Self::Rows(Rows::decode(&mut unpacker, parts, most_values)?),
            (3, 4 | 5) => Self::Tombstones(Tombstones::decode(&mut unpacker, parts)?),
            (4, 1) => Self::Received,
            (5, 1) => Self::Finish,
            (6, 1) => Self::Finished,
            (7, 3) => {
                let reason = unpacker.str()?.to_owned();
                Self::Failed { kind: kind_of_code(unpacker.uint()?), reason }
            }
            (8, 2) => Self::Parked(page::decode_parked(&mut unpacker)?),
            (9, 3..) => Self::Greeting(Greeting::decode(&mut unpacker, parts)?),
            (10, 1) => Self::Paused,
            (11, 1) => Self::Running,
            (12, 1) => Self::Cancel,
            (13, 3) => {
                let kind = unpacker.str()?.to_owned();
                Self::Package { kind, bytes: unpacker.bin()?.to_vec() }
            }
            (14, 3) => {
                let collection = unpacker.index(usize::MAX)?;
                Self::KeptBack { collection, count: unpacker.uint()? }
            }
            (20, 3) => Self::Opening(Opening::decode(&mut unpacker)?),
            (21, 6) => Self::Ranges(Message::decode(&mut unpacker)?),
            (22, 3) => {
                let ticket = unpacker.bin()?.to_vec();
                Self::Resumable { ticket, resumes: unpacker.uint()? != 0 }
            }
            (23, 1) => Self::CaughtUp,
            _ => return Err(SyncError::corrupt(WHAT, format!("the kind {kind} is not known"))),
        };
        unpacker.end()?;
        Ok(frame)
    }

    /// What a receiver that takes everything answers to a frame. `None`: nothing.
    pub(crate) fn answer_to(bytes: &[u8]) -> Result<Option<Self>> {
        Ok(match kind_of(bytes)? {
            0 => Some(Self::Accept(Accept::default())),
            2 | 3 | 8 => Some(Self::Received),
            5 => Some(Self::Finished),
            _ => None,
        })
    }

    /// Whether these bytes begin as rows do.
    pub(crate) fn may_be_rows(bytes: &[u8]) -> bool {
        matches!(kind_of(bytes), Ok(2))
    }

    /// Whether these bytes begin as what a side says at its end does, when it fails or is cancelled.
    pub(crate) fn may_be_farewell(bytes: &[u8]) -> bool {
        matches!(kind_of(bytes), Ok(7 | 12))
    }

    pub(crate) fn unexpected(&self, during: &'static str) -> SyncError {
        let reason = match self {
            Self::Hello(_) => "a hello",
            Self::Accept(_) => "an accept",
            Self::Rows(_) => "rows",
            Self::Tombstones(_) => "tombstones",
            Self::Received => "an answer to no page",
            Self::Finish => "a finish",
            Self::Finished => "a finished",
            Self::Failed { .. } => "a failure",
            Self::Parked(_) => "parked transactions",
            Self::Greeting(_) => "a greeting",
            Self::Paused => "a pause",
            Self::Running => "the end of a pause",
            Self::Cancel => "a cancel",
            Self::Package { .. } => "a package of the application's",
            Self::KeptBack { .. } => "what is kept back",
            Self::Opening(_) => "the beginning of a comparison",
            Self::Ranges(_) => "ranges of a comparison",
            Self::Resumable { .. } => "a ticket",
            Self::CaughtUp => "an end of catching up",
        };
        SyncError::Protocol { during, reason: format!("{reason} came where it has no place") }
    }
}

fn kind_of(bytes: &[u8]) -> Result<u64> {
    let mut unpacker = Unpacker::new(bytes, WHAT);
    unpacker.array()?;
    unpacker.uint()
}

fn bare(packer: &mut Packer, kind: u64) {
    packer.array(1);
    packer.uint(kind);
}
