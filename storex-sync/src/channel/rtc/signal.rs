//! [`Signalling`]: what two ends tell each other over another channel until a direct connection stands, or does not come about.
//! docs/wire-format.md, "Signalling of a direct connection".

use crate::channel::Channel;
use crate::error::{Result, SyncError};

const VERSION: u8 = 1;

/// The bytes of a signal, at most: a description has some thousand.
const LIMIT: usize = 64 << 10;

/// The signals that are taken from the other side, at most: it has a handful of addresses.
const MOST: usize = 256;

const DURING: &str = "connecting directly";

/// A frame of the signalling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signal {
    /// What one end offers (SDP).
    Offer(String),
    /// What the other answers to it (SDP).
    Answer(String),
    /// An address at which an end may be reached (the line of SDP).
    Candidate(String),
    /// This end's last: the connection is open here.
    Open,
    /// This end's last: it does not come about, and why.
    Failed(String),
}

impl Signal {
    fn encode(&self) -> Vec<u8> {
        let (kind, text) = match self {
            Self::Offer(text) => (0, text.as_str()),
            Self::Answer(text) => (1, text.as_str()),
            Self::Candidate(text) => (2, text.as_str()),
            Self::Open => (3, ""),
            Self::Failed(text) => (4, text.as_str()),
        };
        [&[VERSION, kind], text.as_bytes()].concat()
    }

    fn decode(frame: &[u8]) -> Result<Self, String> {
        let (kind, text) = match frame {
            _ if frame.len() > LIMIT => return Err(format!("a signal of {} bytes", frame.len())),
            [VERSION, kind, text @ ..] => (kind, text),
            [version, ..] => return Err(format!("a signal of version {version}")),
            [] => return Err("an empty signal".to_owned()),
        };
        let text = String::from_utf8(text.to_vec()).map_err(|_| "a signal that is no text")?;
        Ok(match (kind, text.is_empty()) {
            (0, _) => Self::Offer(text),
            (1, _) => Self::Answer(text),
            (2, _) => Self::Candidate(text),
            (3, true) => Self::Open,
            (4, _) => Self::Failed(text),
            _ => return Err(format!("a signal of kind {kind}")),
        })
    }
}

/// One end of the signalling. Each end has one last signal; behind that of the other side the channel is left alone, as what follows is
/// no signal any more.
#[derive(Debug)]
pub(super) struct Signalling<'a> {
    channel: &'a mut dyn Channel,
    heard: usize,
    /// The other side's last signal: that it is open, or why not.
    verdict: Option<Result<(), String>>,
}

impl<'a> Signalling<'a> {
    pub(super) fn new(channel: &'a mut dyn Channel) -> Self {
        Self { channel, heard: 0, verdict: None }
    }

    pub(super) async fn say(&mut self, signal: &Signal) -> Result<()> {
        self.channel.send(signal.encode()).await
    }

    /// The other side's next signal; behind its last one there is none for ever. Cancel-safe.
    pub(super) async fn hear(&mut self) -> Result<Signal> {
        if self.verdict.is_some() {
            return std::future::pending().await;
        }
        let frame = self.channel.recv().await?.ok_or(SyncError::Closed { during: DURING })?;
        self.heard += 1;
        let signal = match Signal::decode(&frame) {
            _ if self.heard > MOST => return Err(broken("too many signals".to_owned())),
            signal => signal.map_err(broken)?,
        };
        self.verdict = match &signal {
            Signal::Open => Some(Ok(())),
            Signal::Failed(reason) => Some(Err(reason.clone())),
            _ => None,
        };
        Ok(signal)
    }

    /// The other side's last signal, which is waited for.
    pub(super) async fn verdict(&mut self) -> Result<Result<(), String>> {
        loop {
            if let Some(verdict) = self.verdict.clone() {
                return Ok(verdict);
            }
            self.hear().await?;
        }
    }
}

pub(super) fn broken(reason: String) -> SyncError {
    SyncError::Protocol { during: DURING, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::MemoryChannel;
    use crate::codec_tests::assert_vector;

    fn all() -> Vec<Signal> {
        let text = || "why".to_owned();
        vec![
            Signal::Offer(text()),
            Signal::Answer(text()),
            Signal::Candidate(text()),
            Signal::Open,
            Signal::Failed(text()),
        ]
    }

    #[test]
    fn the_bytes_are_those_of_the_description() {
        let bytes: Vec<u8> = all().iter().flat_map(Signal::encode).collect();
        assert_vector("signals", &bytes);
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for signal in all() {
            assert_eq!(Signal::decode(&signal.encode()), Ok(signal));
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        let long = [&[VERSION, 0], &*vec![b'x'; LIMIT]].concat();
        for wrong in [&[][..], &[0], &[1], &[2, 0], &[1, 5], &[1, 3, b'x'], &[1, 0, 0xff], &long] {
            assert!(Signal::decode(wrong).is_err(), "{:?}", wrong.get(..4));
        }
    }

    #[tokio::test]
    async fn what_follows_the_last_signal_is_left_in_the_channel() {
        let (mut here, mut there) = MemoryChannel::pair();
        let mut other = Signalling::new(&mut there);
        for signal in [Signal::Candidate("x".to_owned()), Signal::Failed("why".to_owned())] {
            other.say(&signal).await.unwrap();
        }
        there.send(b"something else".to_vec()).await.unwrap();
        let mut signalling = Signalling::new(&mut here);
        assert_eq!(signalling.verdict().await.unwrap(), Err("why".to_owned()));
        assert_eq!(signalling.verdict().await.unwrap(), Err("why".to_owned()));
        assert_eq!(here.recv().await.unwrap(), Some(b"something else".to_vec()));
    }

    #[tokio::test]
    async fn a_side_that_signals_without_end_is_refused() {
        let (mut here, mut there) = MemoryChannel::pair();
        let talking =
            async { while there.send(Signal::Candidate("x".to_owned()).encode()).await.is_ok() {} };
        let listening = async move { Signalling::new(&mut here).verdict().await };
        let (heard, ()) = tokio::join!(listening, talking);
        assert!(matches!(heard, Err(SyncError::Protocol { .. })), "{heard:?}");
    }

    #[tokio::test]
    async fn a_side_that_is_gone_is_told() {
        let (mut here, there) = MemoryChannel::pair();
        drop(there);
        let heard = Signalling::new(&mut here).verdict().await;
        assert!(matches!(heard, Err(SyncError::Closed { .. })), "{heard:?}");
    }
}
