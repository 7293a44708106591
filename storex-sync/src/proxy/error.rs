//! The form of errors: a list of six.
//!
//! Class, retryability and messages are always in it, so that an error that this program does not know, or cannot rebuild as it
//! was, is told all the same ([`SyncError::Elsewhere`]).

use std::fmt;
use std::sync::Arc;

use storex_core::{Error, ErrorKind, Source};

use super::code::{Wire, begin, pass_over, wrong};
use crate::error::{Result, SyncError};
use crate::kind_code::{kind_code, kind_of_code};
use crate::pack::{Packer, Unpacker};

/// Messages of an error and its causes, at most. A longer chain would be dropped cause by cause, each on the stack of the one before.
const MOST_MESSAGES: usize = 32;

/// An error of which some variants can be rebuilt with all that they hold.
trait Rebuilt: Sized {
    /// A list of the variant's code and its fields; of 0 when it cannot be rebuilt.
    fn write_whole(&self, packer: &mut Packer);
    /// `None`: it cannot be rebuilt.
    fn read_whole(unpacker: &mut Unpacker<'_>) -> Result<Option<Self>>;
}

macro_rules! rebuilt {
    ($type:ident { $($code:literal $variant:ident { $($field:ident),* })* }) => {
        impl Rebuilt for $type {
            fn write_whole(&self, packer: &mut Packer) {
                match self {
                    $(Self::$variant { $($field),* } => {
                        packer.array(1 + <[&str]>::len(&[$(stringify!($field)),*]));
                        packer.uint($code);
                        $($field.write(packer);)*
                    })*
                    _ => write_none(packer),
                }
            }

            fn read_whole(unpacker: &mut Unpacker<'_>) -> Result<Option<Self>> {
                let parts = begin(unpacker, 1)?;
                let code = unpacker.uint()?;
                let known: usize = match code {
                    $($code => <[&str]>::len(&[$(stringify!($field)),*]),)*
                    _ => 0,
                };
                let more = parts.checked_sub(known);
                let more = more.ok_or_else(|| wrong("an error has too few parts"))?;
                let error = match code {
                    $($code => Some(Self::$variant { $($field: Wire::read(unpacker)?),* }),)*
                    _ => None,
                };
                pass_over(unpacker, more)?;
                Ok(error)
            }
        }
    };
}

// Not those that say in words of the program's own what was going on.
rebuilt!(SyncError {
    1 NoSyncLog {}
    2 Remote { kind, reason }
    3 Gap { device, expected, found }
    4 Forked { device, sequence }
    5 LogReplaced {}
    6 HeldElsewhere {}
    7 LeaseLost {}
    8 LockFile { path, reason }
    9 BelowFloor { reader }
    10 NoSnapshots {}
    11 RateLimited { retry_after }
    12 Unauthorized { reason }
    13 Offline {}
    14 Paused {}
    15 Stopped {}
    16 UnknownWrite { device, sequence }
    17 ParkingFull { most }
    18 CannotUndo { conflict, reason }
    19 Disconnected { reason }
    20 Rejected { device, sequence, reason, is_too_large }
    21 NoBlobs {}
    22 BlobMissing { blob }
    23 BlobNotSent { blob }
    24 BlobInterrupted {}
    25 Unsent { transactions, unlogged }
    26 BlobsNotSent { blobs }
    27 HoldsLess {}
    28 LogOfAnotherLane { lane }
    29 FrameTooLarge { bytes, limit }
    30 Cancelled {}
    31 PairingRefused { reason }
    32 PairingCodeSpent { reason }
    33 InvalidPairingCode { reason }
    34 KeepsNoKeys {}
    35 NoKeys {}
    36 HasKeys {}
    37 WrongPassphrase {}
    38 FormerPassphrase {}
    39 UnknownKey { what }
    40 NotAuthentic { what, reason }
    41 RivalKeys {}
    42 BodyTooLarge { bytes, limit }
    43 WebLock { name, reason }
});

rebuilt!(Error {
    1 UnknownCollection { collection }
    2 UnknownField { collection, field }
    3 InvalidValue { collection, field, reason }
    4 MissingField { collection, field }
    5 InvalidOperation { collection, reason }
    6 KeyChange { collection, field }
    7 AlreadyExists { collection, key }
    8 UniqueViolation { collection, index, values }
    9 ConstraintViolation { collection, reason }
    10 Relation { collection, field, reason }
    11 Precondition { collection, reason }
    12 Aborted { reason }
    13 SchemaMismatch { collection, reason }
    14 NewerSchema { collection, stored, known }
    15 BrokenRule { collection, key, reason }
    16 ReadOnly { what }
    17 Closed {}
    18 Suspended {}
});

fn write_none(packer: &mut Packer) {
    packer.array(1);
    packer.uint(0);
}

impl Wire for ErrorKind {
    fn write(&self, packer: &mut Packer) {
        packer.uint(kind_code(*self));
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        Ok(kind_of_code(unpacker.uint()?))
    }
}

impl Wire for SyncError {
    fn write(&self, packer: &mut Packer) {
        let error = self.cause();
        packer.array(6);
        matches!(self, Self::Joined(_)).write(packer);
        error.kind().write(packer);
        error.is_retryable().write(packer);
        messages(error).write(packer);
        error.write_whole(packer);
        match error.storage_error() {
            Some(error) => error.write_whole(packer),
            None => write_none(packer),
        }
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        let more = begin(unpacker, 6)?;
        let joined = bool::read(unpacker)?;
        let kind = ErrorKind::read(unpacker)?;
        let retryable = bool::read(unpacker)?;
        let mut messages = Vec::<String>::read(unpacker)?.into_iter().take(MOST_MESSAGES);
        let whole = Self::read_whole(unpacker)?;
        let storage = Error::read_whole(unpacker)?;
        pass_over(unpacker, more)?;
        let message = messages.next().unwrap_or_default();
        let source = storage.map(Source::from).or_else(|| Cause::chain(messages));
        let error = whole.unwrap_or(Self::Elsewhere { kind, retryable, message, source });
        Ok(if joined { Self::Joined(Arc::new(error)) } else { error })
    }
}

/// The message of an error, and those of its causes.
fn messages(error: &SyncError) -> Vec<String> {
    let first: &dyn std::error::Error = error;
    let all = std::iter::successors(Some(first), |error| error.source());
    all.take(MOST_MESSAGES).map(ToString::to_string).collect()
}

/// A cause of which only the message is left.
#[derive(Debug)]
struct Cause {
    message: String,
    cause: Option<Source>,
}

impl Cause {
    /// A chain of these messages, the last of which has no cause.
    fn chain(messages: impl DoubleEndedIterator<Item = String>) -> Option<Source> {
        messages.rfold(None, |cause, message| Some(Source::from(Self { message, cause })))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as _)
    }
}
