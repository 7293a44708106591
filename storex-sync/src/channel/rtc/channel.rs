//! [`RtcChannel`], and how it is connected.

use std::sync::Arc;

use async_trait::async_trait;
use storex_core::Runtime;
use web_sys::RtcSdpType;

use super::config::RtcConfig;
use super::peer::{Peer, Told};
use super::signal::{Signal, Signalling, broken};
use super::stream::DataStream;
use crate::channel::{Channel, StreamChannel};
use crate::deadline::in_time;
use crate::error::{Result, SyncError};

/// A [`Channel`] from one browser to another without a server between them: a data channel of WebRTC, ordered and reliable. In pages only,
/// as browsers have no `RTCPeerConnection` in workers.
///
/// How to reach each other the two tell by another channel, the *signalling*: in practice a [`RelayChannel`](crate::RelayChannel). One end
/// [offers](Self::offer), the other [answers](Self::answer). Both learn the same: they are connected, or they are not
/// ([`SyncError::NotDirect`]) and may go on over the signalling, which nothing of this is left in:
///
/// ```
/// # #[cfg(all(target_family = "wasm", feature = "webrtc"))]
/// # async fn example(mut signalling: storex_sync::MemoryChannel, runtime: std::sync::Arc<dyn storex_core::Runtime>) -> storex_sync::Result<()> {
/// use storex_sync::{Channel, RtcChannel, RtcConfig, SyncError};
///
/// let config = RtcConfig::new().stun("stun:stun.example.org");
/// let mut channel: Box<dyn Channel> = match RtcChannel::offer(&mut signalling, &config, runtime).await {
///     Ok(direct) => Box::new(direct),
///     Err(SyncError::NotDirect { .. }) => Box::new(signalling), // slower, and it works
///     Err(error) => return Err(error),
/// };
/// # Ok(()) }
/// ```
///
/// - **Encryption.** All is encrypted between the two browsers (DTLS), by keys that the signalling names. So it is as good as that: whoever
///   can change what is signalled (the server of a plain relay) can be in between. Signal through a `SecureChannel`, or put one around
///   this one.
/// - Limit, giving up, both sides sending at once, and the end are as in [`StreamChannel`]: 64 MiB, or what [`limit`](Self::limit)
///   says; cancel-safe. In front of its inbox a MiB waits at most, as each side tells the other what it has taken.
/// - **A broken connection** is noticed by the browser, after some seconds: [`SyncError::Transport`] from `recv`. A page that is closed is
///   noticed sooner or later; put a [`HeartbeatChannel`](crate::HeartbeatChannel) around it where it has to be soon.
/// - **Dropped**, it closes the connection; what was sent before has 10 s to get through.
#[derive(Debug)]
pub struct RtcChannel {
    pieces: StreamChannel<DataStream>,
}

/// Which end it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Offers,
    Answers,
}

/// Why there is no connection.
enum Why {
    /// It cannot be made.
    NotDirect(String),
    /// The signalling failed.
    Signalling(SyncError),
}

impl From<String> for Why {
    fn from(reason: String) -> Self {
        Self::NotDirect(reason)
    }
}

impl From<SyncError> for Why {
    fn from(error: SyncError) -> Self {
        Self::Signalling(error)
    }
}

impl RtcChannel {
    /// The end that begins. The other side has to be there, and to call [`answer`](Self::answer); in a room of a server
    /// [`RelayChannel::spoken_to`](crate::RelayChannel::spoken_to) waits for it, as pairing does.
    ///
    /// Dropped while it waits, it leaves signals in the signalling, which then cannot be used any more.
    ///
    /// # Errors
    /// [`SyncError::NotDirect`] when no connection comes about within the deadline, or cannot be made at all, here or there: the other side
    /// is told the same, and the signalling can be used. Of any other error the signalling is broken: what it fails with,
    /// [`SyncError::Protocol`] for what is no signal, and [`SyncError::Timeout`] when the other side has said nothing after twice
    /// the deadline.
    pub async fn offer(
        signalling: &mut dyn Channel,
        config: &RtcConfig,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self> {
        connect(signalling, End::Offers, config, runtime).await
    }

    /// The other end.
    ///
    /// # Errors
    /// As [`offer`](Self::offer).
    pub async fn answer(
        signalling: &mut dyn Channel,
        config: &RtcConfig,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self> {
        connect(signalling, End::Answers, config, runtime).await
    }

    /// The bytes of a frame, at most; 64 MiB unless told otherwise.
    #[must_use]
    pub fn limit(self, bytes: usize) -> Self {
        Self { pieces: self.pieces.limit(bytes) }
    }
}

/// Connected is who has said so and was told so: both have said it, or neither is.
async fn connect(
    signalling: &mut dyn Channel,
    end: End,
    config: &RtcConfig,
    runtime: Arc<dyn Runtime>,
) -> Result<RtcChannel> {
    let mut signalling = Signalling::new(signalling);
    let connecting = async {
        let tried = tokio::select! {
            biased;
            tried = attempt(&mut signalling, end, config, &runtime) => tried,
            () = runtime.sleep(config.deadline) => {
                Err(Why::NotDirect(format!("not within {} s", config.deadline.as_secs_f64())))
            }
        };
        let here = match tried {
            Ok(peer) => Ok(peer),
            Err(Why::NotDirect(reason)) => Err(reason),
            Err(Why::Signalling(error)) => return Err(error),
        };
        let last = here.as_ref().map_or_else(|why| Signal::Failed(why.clone()), |_| Signal::Open);
        signalling.say(&last).await?;
        let there = signalling.verdict().await?;
        here.and_then(|peer| there.map(|()| peer)).map_err(|reason| SyncError::NotDirect { reason })
    };
    let peer =
        in_time(&*runtime, config.deadline.saturating_mul(2), "connecting directly", connecting)
            .await?;
    Ok(RtcChannel { pieces: StreamChannel::new(DataStream(peer)) })
}

async fn attempt(
    signalling: &mut Signalling<'_>,
    end: End,
    config: &RtcConfig,
    runtime: &Arc<dyn Runtime>,
) -> Result<Peer, Why> {
    let (peer, mut told) = Peer::new(config, Arc::clone(runtime))?;
    if end == End::Offers {
        signalling.say(&Signal::Offer(peer.offer().await?)).await?;
    }
    loop {
        tokio::select! {
            biased;
            told = told.recv() => match told {
                Some(Told::Candidate(text)) => signalling.say(&Signal::Candidate(text)).await?,
                Some(Told::Open) => return Ok(peer),
                Some(Told::Failed) | None => return Err("there is no way to it".to_owned().into()),
            },
            heard = signalling.hear() => match (end, heard?) {
                (End::Answers, Signal::Offer(text)) => {
                    signalling.say(&Signal::Answer(peer.answer(&text).await?)).await?;
                }
                (End::Offers, Signal::Answer(text)) => peer.accept(RtcSdpType::Answer, &text).await?,
                (_, Signal::Candidate(text)) => {
                    // One of several; and browsers differ in what they understand.
                    if let Err(error) = peer.candidate(&text).await {
                        tracing::debug!(error, "an address of the other side is of no use");
                    }
                }
                (_, Signal::Open) => {}
                (_, Signal::Failed(reason)) => return Err(reason.into()),
                (End::Answers, Signal::Answer(_)) => return Err(broken("both ends answer".to_owned()).into()),
                (End::Offers, Signal::Offer(_)) => return Err(broken("both ends offer".to_owned()).into()),
            },
        }
    }
}

#[async_trait(?Send)]
impl Channel for RtcChannel {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        self.pieces.send(frame).await
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        self.pieces.recv().await
    }

    async fn close(&mut self) -> Result<()> {
        self.pieces.close().await
    }
}
