//! What is said over the channel; `docs/wire-format.md` describes it.
//!
//! Messages say only what is asked, answered or told; what is in them is bytes of their own, so that one that cannot be read fails alone.

use storex_core::Value;

use super::code::{Bytes, WHAT, Wire, begin, decode, encode, fields, pass_over, variants, wrong};
use crate::error::Result;
use crate::journal::{ConflictId, ConflictQuery};
use crate::pack::{Packer, Unpacker};
use crate::writes::WriteId;

/// It grows when an older peer could not make sense of a newer one. A new request, event or part of a list is no reason.
pub(super) const VERSION: u64 = 1;

/// The first frame of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) version: u64,
}

fields!(Hello { version });

/// What a client says: as many of these to a frame as there are to be said, so that what is asked at once arrives at once. A frame
/// without any asks for a sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ToHost {
    /// Answered under the same number, if it is not given up before.
    Ask { id: u64, name: String, arguments: Bytes },
    /// Nobody waits for the answer any more.
    GiveUp { id: u64 },
}

variants!(ToHost {
    0 Ask { id: id, name: name, arguments: arguments }
    1 GiveUp { id: id }
});

/// What a host says, one of these to a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ToClient {
    /// The first frame.
    Welcome { version: u64, status: Bytes },
    /// In place of the first frame, and nothing follows it.
    Refused { reason: String },
    /// A frame of the client's was taken in (not the first).
    Taken,
    /// The answer to a request: a `Result`.
    Answer { id: u64, answer: Bytes },
    /// What sync is doing now.
    Status { status: Bytes },
    /// What has happened.
    Event { event: Bytes },
    /// It has ended, at least for this client: no status and no event follows.
    Ended,
}

variants!(ToClient {
    0 Welcome { version: version, status: status }
    1 Refused { reason: reason }
    2 Taken {}
    3 Answer { id: id, answer: answer }
    4 Status { status: status }
    5 Event { event: event }
    6 Ended {}
});

/// Messages of which later versions may have more kinds.
pub(super) trait Message: Wire {
    /// How many kinds are known here.
    const KINDS: u64;

    /// `None`: a kind that a later version knows.
    fn read_message(bytes: &[u8]) -> Result<Option<Self>> {
        let mut unpacker = Unpacker::new(bytes, WHAT);
        begin(&mut unpacker, 1)?;
        if unpacker.uint()? >= Self::KINDS { Ok(None) } else { decode(bytes).map(Some) }
    }
}

impl Message for ToHost {
    const KINDS: u64 = 2;
}

impl Message for ToClient {
    const KINDS: u64 = 7;
}

macro_rules! requests {
    ($($variant:ident $name:literal { $($field:ident: $type:ty),* })*) => {
        /// What a client may ask. It travels under its name, so that a host which does not know it can say which one that is.
        #[derive(Debug, Clone, PartialEq)]
        pub(super) enum Request {
            $($variant { $($field: $type),* },)*
        }

        impl Request {
            pub(super) fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                }
            }

            pub(super) fn arguments(&self) -> Bytes {
                let mut packer = Packer::default();
                match self {
                    $(Self::$variant { $($field),* } => {
                        packer.array(<[&str]>::len(&[$(stringify!($field)),*]));
                        $($field.write(&mut packer);)*
                    })*
                }
                Bytes(packer.out)
            }

            /// `None`: there is no request with this name.
            pub(super) fn read(name: &str, arguments: &Bytes) -> Result<Option<Self>> {
                let mut unpacker = Unpacker::new(&arguments.0, WHAT);
                let parts = begin(&mut unpacker, 0)?;
                let more = |known: usize| {
                    parts.checked_sub(known).ok_or_else(|| wrong("an argument is missing"))
                };
                let (request, more) = match name {
                    $($name => {
                        let more = more(<[&str]>::len(&[$(stringify!($field)),*]))?;
                        (Self::$variant { $($field: Wire::read(&mut unpacker)?),* }, more)
                    })*
                    _ => return Ok(None),
                };
                pass_over(&mut unpacker, more)?;
                unpacker.end()?;
                Ok(Some(request))
            }
        }
    };
}

requests! {
    SyncNow "sync_now" {}
    AwaitSynced "await_synced" { write: WriteId }
    Pause "pause" {}
    Resume "resume" {}
    LoggedIn "logged_in" {}
    Stop "stop" {}
    Device "device" {}
    Unsent "unsent" {}
    LastWrite "last_write" {}
    WriteState "write_state" { write: WriteId }
    Parked "parked" {}
    RetryParked "retry_parked" {}
    Retry "retry" { write: WriteId }
    Discard "discard" { write: WriteId }
    Rejected "rejected" {}
    RetryRejected "retry_rejected" { write: WriteId }
    DiscardRejected "discard_rejected" { write: WriteId }
    Conflicts "conflicts" { which: ConflictQuery }
    UndoConflict "undo_conflict" { conflict: ConflictId }
    ReplaceConflict "replace_conflict" { conflict: ConflictId, value: Value }
    ForgetConflict "forget_conflict" { conflict: ConflictId }
    Digest "digest" {}
    Compact "compact" {}
    SendState "send_state" {}
}

impl Request {
    pub(super) fn ask(&self, id: u64) -> Bytes {
        let name = self.name().to_owned();
        Bytes(encode(&ToHost::Ask { id, name, arguments: self.arguments() }))
    }
}
