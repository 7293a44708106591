//! [`Sealed`]: frames as sealed messages, and back.
//!
//! ```text
//!   frame of the channel inside: sealed message ‖ sealed message ‖ ..   each as long as can be, but for the last one
//!   sealed message: number (8, big-endian) ‖ Noise message, under that number: flags (1) ‖ given up (4, big-endian) ‖ part
//! ```
//!
//! Numbers count up from 0 in each direction, and no number is used twice. Dropping a `send` in the middle leaves it open whether its
//! frame went out; so the first message of each frame says how many of those right before it were given up like that. The receiver knows
//! from this which gaps are in order, and takes every other one for what it is: something was taken out.
//!
//! All messages of a frame go out as one frame of the channel inside, so what that channel promises of frames holds of these too.

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
/// Bytes that a sealed message has more than its part.
const AROUND: usize = NUMBER + HEADER + TAG;
/// A sealed message is so long, unless it is the last one of its frame.
const MOST: usize = NUMBER + MOST_NOISE;
/// Bytes of a frame that go into one message.
const MOST_PART: usize = MOST - AROUND;

/// What a frame of the channel inside brings.
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
}

impl Sealed {
    pub(super) fn new(handshake: HandshakeState) -> Result<Self> {
        let keys = handshake.into_stateless_transport_mode();
        let keys = keys.map_err(|error| wrong(error.to_string()))?;
        Ok(Self { keys, next: 0, given_up: 0, expected: 0 })
    }

    /// The other device's public key.
    pub(super) fn remote(&self) -> Option<[u8; 32]> {
        self.keys.get_remote_static()?.try_into().ok()
    }

    pub(super) fn seal_welcome(&mut self) -> Result<Vec<u8>> {
        self.seal(&[(WELCOME, &[])])
    }

    pub(super) fn seal_end(&mut self) -> Result<Vec<u8>> {
        self.seal(&[(END, &[])])
    }

    pub(super) fn seal_frame(&mut self, frame: &[u8]) -> Result<Vec<u8>> {
        let mut parts: Vec<(u8, &[u8])> = frame.chunks(MOST_PART).map(|part| (0, part)).collect();
        if parts.is_empty() {
            parts.push((0, &[]));
        }
        if let Some((flags, _)) = parts.first_mut() {
            *flags |= FIRST;
        }
        if let Some((flags, _)) = parts.last_mut() {
            *flags |= LAST;
        }
        self.seal(&parts)
    }

    /// What was sealed last is given up, until [`sent`](Self::sent) says otherwise.
    fn seal(&mut self, parts: &[(u8, &[u8])]) -> Result<Vec<u8>> {
        let bytes = parts.iter().map(|(_, part)| AROUND + part.len()).sum();
        let mut messages = Vec::with_capacity(bytes);
        let mut plain = Vec::new();
        let mut given_up = self.given_up;
        for (flags, part) in parts {
            plain.clear();
            plain.push(*flags);
            plain.extend_from_slice(&given_up.to_be_bytes());
            plain.extend_from_slice(part);
            self.seal_message(&plain, &mut messages)?;
            given_up = 0;
        }
        Ok(messages)
    }

    /// Appends a message. Whatever comes of it, its number is used up.
    fn seal_message(&mut self, plain: &[u8], messages: &mut Vec<u8>) -> Result<()> {
        let number = self.next;
        self.next = number.checked_add(1).ok_or(SyncError::Closed { during: SENDING })?;
        self.given_up = self.given_up.saturating_add(1);
        messages.extend_from_slice(&number.to_be_bytes());
        let from = messages.len();
        messages.resize(from + plain.len() + TAG, 0);
        let sealed = messages.get_mut(from..).unwrap_or_default();
        match self.keys.write_message(number, plain, sealed) {
            Ok(written) if written == sealed.len() => Ok(()),
            _ => Err(SyncError::Closed { during: SENDING }),
        }
    }

    /// What was sealed last went out.
    pub(super) fn sent(&mut self) {
        self.given_up = 0;
    }

    /// Opens the messages of a frame. Frames above `limit` bytes are refused; behind a refusal nothing more may be opened.
    pub(super) fn open(&mut self, messages: &[u8], limit: usize) -> Result<Opened> {
        let count = messages.len().div_ceil(MOST);
        if messages.len().saturating_sub(count.saturating_mul(AROUND)) > limit {
            return Err(refused("makes its frame larger than this side takes"));
        }
        let mut frame = Vec::with_capacity(messages.len());
        let mut plain = vec![0; messages.len().min(MOST_NOISE)];
        let mut wanted = FIRST;
        let mut left = messages;
        loop {
            let (message, behind) = left.split_at(left.len().min(MOST));
            left = behind;
            if left.is_empty() {
                wanted |= LAST;
            }
            let (flags, part) = self.open_message(message, wanted & FIRST != 0, &mut plain)?;
            match flags {
                END if count == 1 && part.is_empty() => return Ok(Opened::End),
                WELCOME if count == 1 && part.is_empty() => return Ok(Opened::Welcome),
                _ if flags == wanted => frame.extend_from_slice(part),
                _ => return Err(refused("has flags that mean nothing where it is")),
            }
            if left.is_empty() {
                return Ok(Opened::Frame(frame));
            }
            wanted = 0;
        }
    }

    /// Opens a message: its flags, and its part. Only before the first one of a frame others may have been given up.
    fn open_message<'a>(
        &mut self,
        message: &[u8],
        is_first: bool,
        plain: &'a mut [u8],
    ) -> Result<(u8, &'a [u8])> {
        let (number, plain) = self.decrypt(message, plain)?;
        let (header, part) =
            plain.split_first_chunk::<HEADER>().ok_or_else(|| refused("is none"))?;
        let [flags, given_up @ ..] = *header;
        let given_up = u64::from(u32::from_be_bytes(given_up));
        if !is_first && given_up > 0 {
            return Err(refused("gives up the beginning of its own frame"));
        }
        if number.saturating_sub(given_up) > self.expected {
            return Err(refused("comes where another one is missing"));
        }
        self.expected = number.saturating_add(1);
        Ok((flags, part))
    }

    fn decrypt<'a>(&self, message: &[u8], plain: &'a mut [u8]) -> Result<(u64, &'a [u8])> {
        let short = || refused("is too short or too long");
        let (number, sealed) = message.split_first_chunk::<NUMBER>().ok_or_else(short)?;
        let number = u64::from_be_bytes(*number);
        if sealed.len() > MOST_NOISE || sealed.len() < HEADER + TAG {
            return Err(short());
        }
        if number < self.expected {
            return Err(refused("comes again, or out of order"));
        }
        let read = self.keys.read_message(number, sealed, plain);
        let read = read.map_err(|_| refused("was changed, or is not from the other device"))?;
        Ok((number, plain.get(..read).unwrap_or_default()))
    }
}

pub(super) const SENDING: &str = "sending a sealed frame";
pub(super) const RECEIVING: &str = "receiving a sealed frame";

fn refused(what: &str) -> SyncError {
    SyncError::Protocol { during: RECEIVING, reason: format!("a message that {what}") }
}
