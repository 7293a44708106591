//! [`Sealed`]: frames as sealed messages, and back.
//!
//! ```text
//!   number (8, big-endian) ‖ Noise message, under that number: flags (1) ‖ given up (4, big-endian) ‖ part
//! ```
//!
//! Numbers count up from 0 in each direction, and no number is used twice. Dropping a `send` in the middle leaves it open whether its
//! message went out; so each message says how many of those right before it were given up like that. The receiver knows
//! from this which gaps are in order, and takes every other one for what it is: something was taken out.

use snow::{HandshakeState, StatelessTransportState};

use super::line::wrong;
use crate::error::{Result, SyncError};

/// The message begins a frame.
const FIRST: u8 = 1;
/// The message ends a frame.
const LAST: u8 = 2;
/// No more frames come from that side.
const END: u8 = 4;
/// The host has let the guest in.
const WELCOME: u8 = 8;

const NUMBER: usize = 8;
const HEADER: usize = 5;
const TAG: usize = 16;
/// A Noise message has 65,535 bytes at most.
const MOST_NOISE: usize = 65_535;
/// Bytes of a frame that go into one message.
const MOST_PART: usize = MOST_NOISE - TAG - HEADER;

/// What a message, or the last one of several, brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    Frame(Vec<u8>),
    End,
    Welcome,
}

/// Both directions of a channel with their keys.
pub(super) struct Sealed {
    keys: StatelessTransportState,
    /// The number of the next message from here.
    next: u64,
    /// Messages right before it of which nobody knows whether they went out.
    given_up: u32,
    /// The number of the next message from there.
    expected: u64,
    /// The parts of a frame that are here.
    parts: Vec<u8>,
    in_frame: bool,
}

impl Sealed {
    pub(super) fn new(handshake: HandshakeState) -> Result<Self> {
        let keys = handshake.into_stateless_transport_mode();
        let keys = keys.map_err(|error| wrong(error.to_string()))?;
        let (next, given_up, expected) = (0, 0, 0);
        Ok(Self { keys, next, given_up, expected, parts: Vec::new(), in_frame: false })
    }

    /// The other device's public key.
    pub(super) fn remote(&self) -> Option<[u8; 32]> {
        self.keys.get_remote_static()?.try_into().ok()
    }

    pub(super) fn seal_welcome(&mut self) -> Result<Vec<u8>> {
        self.seal(WELCOME, &[])
    }

    pub(super) fn seal_end(&mut self) -> Result<Vec<u8>> {
        self.seal(END, &[])
    }

    /// The part of a frame that begins at `from`, and where the next one begins; `None`: that was the last one.
    pub(super) fn seal_part(
        &mut self,
        frame: &[u8],
        from: usize,
    ) -> Result<(Vec<u8>, Option<usize>)> {
        let to = frame.len().min(from.saturating_add(MOST_PART));
        let mut flags = 0;
        if from == 0 {
            flags |= FIRST;
        }
        if to == frame.len() {
            flags |= LAST;
        }
        let message = self.seal(flags, frame.get(from..to).unwrap_or_default())?;
        Ok((message, (to < frame.len()).then_some(to)))
    }

    /// The message that was sealed last is given up, until [`sent`](Self::sent) says otherwise.
    fn seal(&mut self, flags: u8, part: &[u8]) -> Result<Vec<u8>> {
        let mut plain = Vec::with_capacity(HEADER + part.len());
        plain.push(flags);
        plain.extend_from_slice(&self.given_up.to_be_bytes());
        plain.extend_from_slice(part);

        let number = self.next;
        self.next = number.checked_add(1).ok_or(SyncError::Closed { during: SENDING })?;
        self.given_up = self.given_up.saturating_add(1);
        let mut message = vec![0; NUMBER + plain.len() + TAG];
        let (head, sealed) = message.split_at_mut(NUMBER);
        head.copy_from_slice(&number.to_be_bytes());
        match self.keys.write_message(number, &plain, sealed) {
            Ok(written) if written == sealed.len() => Ok(message),
            _ => Err(SyncError::Closed { during: SENDING }),
        }
    }

    /// The message that was sealed last went out.
    pub(super) fn sent(&mut self) {
        self.given_up = 0;
    }

    /// Opens a message; `None`: more parts of its frame are to come. Frames above `limit` bytes are refused; behind a refusal
    /// nothing more may be opened.
    pub(super) fn open(&mut self, message: &[u8], limit: usize) -> Result<Option<Opened>> {
        let (number, plain) = self.decrypt(message)?;
        let (header, part) =
            plain.split_first_chunk::<HEADER>().ok_or_else(|| refused("is none"))?;
        let [flags, given_up @ ..] = *header;
        let given_up = u64::from(u32::from_be_bytes(given_up));
        if number.saturating_sub(given_up) > self.expected {
            return Err(refused("comes where another one is missing"));
        }
        let gap = number != self.expected;
        self.expected = number.saturating_add(1);
        match flags {
            END | WELCOME if part.is_empty() => {
                self.check_frames(given_up > 0 || !self.in_frame)?;
                Ok(Some(if flags == END { Opened::End } else { Opened::Welcome }))
            }
            _ if flags & !(FIRST | LAST) == 0 => self.join(flags, part, given_up > 0, gap, limit),
            _ => Err(refused("has flags that mean nothing")),
        }
    }

    fn decrypt(&self, message: &[u8]) -> Result<(u64, Vec<u8>)> {
        let short = || refused("is too short or too long");
        let (number, sealed) = message.split_first_chunk::<NUMBER>().ok_or_else(short)?;
        let number = u64::from_be_bytes(*number);
        if sealed.len() > MOST_NOISE || sealed.len() < HEADER + TAG {
            return Err(short());
        }
        if number < self.expected {
            return Err(refused("comes again, or out of order"));
        }
        let mut plain = vec![0; sealed.len() - TAG];
        let read = self.keys.read_message(number, sealed, &mut plain);
        let read = read.map_err(|_| refused("was changed, or is not from the other device"))?;
        plain.truncate(read);
        Ok((number, plain))
    }

    fn check_frames(&self, in_order: bool) -> Result<()> {
        if in_order { Ok(()) } else { Err(refused("comes in the middle of a frame")) }
    }

    fn join(
        &mut self,
        flags: u8,
        part: &[u8],
        after_given_up: bool,
        gap: bool,
        limit: usize,
    ) -> Result<Option<Opened>> {
        if flags & FIRST != 0 {
            // A frame that the other side gave up in the middle is dropped.
            self.check_frames(after_given_up || !self.in_frame)?;
            self.parts.clear();
            self.in_frame = true;
        } else if !self.in_frame || gap {
            return Err(refused("goes on with a frame that is not here"));
        }
        if self.parts.len().saturating_add(part.len()) > limit {
            return Err(refused("makes its frame larger than this side takes"));
        }
        self.parts.extend_from_slice(part);
        if flags & LAST == 0 {
            return Ok(None);
        }
        self.in_frame = false;
        Ok(Some(Opened::Frame(std::mem::take(&mut self.parts))))
    }
}

pub(super) const SENDING: &str = "sending a sealed frame";
pub(super) const RECEIVING: &str = "receiving a sealed frame";

fn refused(what: &str) -> SyncError {
    SyncError::Protocol { during: RECEIVING, reason: format!("a message that {what}") }
}
