//! The handshakes, message by message.
//!
//! ```text
//!   guest                                              host
//!   greeting: by code, a point of the exchange    ──▶
//!                                                 ◀──  its point                      both have a key, the same if the code is
//!   Noise XXpsk0 with that key, first message     ──▶  opens it: the codes agree
//!                                                 ◀──  second message                 and so the guest knows too
//!   third message                                 ──▶
//!                                                 ◀──  welcome, sealed
//! ```
//!
//! Devices that know each other leave out the points, and make Noise XK instead. Everything that was sent before Noise begins
//! goes into its prologue, so that both sides have seen the same.

use snow::{Builder, HandshakeState};
use storex_core::Runtime;
use zeroize::Zeroizing;

use super::code::PairingCode;
use super::exchange::Exchange;
use super::line::{Line, Tag, wrong};
use super::primitives::Primitives;
use super::sealed::{Opened, Sealed};
use crate::channel::Channel;
use crate::device_key::{DeviceKey, PairedDevice};
use crate::error::{Result, SyncError};

/// What the first frame begins with.
const MAGIC: &[u8] = b"storex-pairing";
const VERSION: u8 = 1;

/// How the guest wants to be let in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Code = 1,
    Key = 2,
}

/// Longer than any Noise message of a handshake here.
const LONGEST: usize = 256;

fn greeting(by: By, body: &[u8]) -> Vec<u8> {
    [MAGIC, &[VERSION, by as u8], body].concat()
}

/// What a greeting holds behind its head.
pub(super) fn read_greeting(frame: &[u8], by: By) -> Result<&[u8]> {
    let rest = frame.strip_prefix(MAGIC);
    let rest = rest.ok_or_else(|| wrong("what it sends is no encrypted channel".to_owned()))?;
    match rest {
        [VERSION, wanted, body @ ..] if *wanted == by as u8 => Ok(body),
        [VERSION, ..] if by == By::Code => {
            Err(wrong("it comes without a code, and this device shows one".to_owned()))
        }
        [VERSION, ..] => Err(wrong("it comes with a code, and this device shows none".to_owned())),
        [version, ..] => {
            Err(wrong(format!("it pairs by version {version}, this one by {VERSION}")))
        }
        [] => Err(wrong("a greeting without a version".to_owned())),
    }
}

/// What a Noise handshake is begun with.
pub(super) struct Noise<'a> {
    pattern: &'static str,
    prologue: &'a [u8],
    psk: Option<&'a [u8; 32]>,
    host: Option<&'a PairedDevice>,
    key: &'a DeviceKey,
}

impl<'a> Noise<'a> {
    /// Both sides have this key, and tell each other their own.
    pub(super) fn with_code(psk: &'a [u8; 32], prologue: &'a [u8], key: &'a DeviceKey) -> Self {
        let pattern = "Noise_XXpsk0_25519_ChaChaPoly_SHA256";
        Self { pattern, prologue, psk: Some(psk), host: None, key }
    }

    /// The guest knows the host's key (`host`; the host itself gives `None`) and tells its own.
    fn with_keys(host: Option<&'a PairedDevice>, prologue: &'a [u8], key: &'a DeviceKey) -> Self {
        Self { pattern: "Noise_XK_25519_ChaChaPoly_SHA256", prologue, psk: None, host, key }
    }

    fn guest(&self, runtime: &dyn Runtime) -> Result<HandshakeState> {
        let state = self.builder(runtime).and_then(Builder::build_initiator);
        state.map_err(|error| wrong(error.to_string()))
    }

    pub(super) fn host(&self, runtime: &dyn Runtime) -> Result<HandshakeState> {
        let state = self.builder(runtime).and_then(Builder::build_responder);
        state.map_err(|error| wrong(error.to_string()))
    }

    fn builder(&self, runtime: &dyn Runtime) -> Result<Builder<'a>, snow::Error> {
        let mut ephemeral = Zeroizing::new([0; 32]);
        runtime.fill_random(&mut ephemeral[..]);
        let primitives = Box::new(Primitives { ephemeral });
        let builder = Builder::with_resolver(self.pattern.parse()?, primitives);
        let mut builder = builder.prologue(self.prologue)?.local_private_key(self.key.secret())?;
        if let Some(psk) = self.psk {
            builder = builder.psk(0, psk)?;
        }
        if let Some(host) = self.host {
            builder = builder.remote_public_key(host.public())?;
        }
        Ok(builder)
    }
}

fn write(state: &mut HandshakeState) -> Result<Vec<u8>> {
    let mut message = vec![0; LONGEST];
    let written = state.write_message(&[], &mut message);
    message.truncate(written.map_err(|error| wrong(error.to_string()))?);
    Ok(message)
}

fn read(state: &mut HandshakeState, message: &[u8]) -> Result<()> {
    let read = state.read_message(message, &mut []);
    read.map(drop).map_err(|error| match error {
        snow::Error::Input => wrong("a message that is too short".to_owned()),
        _ => {
            let reason = "codes or keys differ, or somebody between the devices changed something";
            SyncError::PairingRefused { reason: reason.to_owned() }
        }
    })
}

/// A guest that was told the code.
pub(super) async fn guest_with_code<C: Channel>(
    line: &mut Line<C>,
    code: &PairingCode,
    key: &DeviceKey,
) -> Result<Sealed> {
    let (exchange, point) = Exchange::as_guest(code, line.runtime());
    let greeting = greeting(By::Code, &point);
    line.send_raw(greeting.clone()).await?;
    let point = line.recv(Tag::Point).await?;
    let psk = exchange.finish(&point)?;
    let prologue = [greeting, point].concat();
    let state = Noise::with_code(&psk, &prologue, key).guest(line.runtime())?;
    initiate(line, state).await
}

/// A guest that was paired with the host before.
pub(super) async fn guest_with_key<C: Channel>(
    line: &mut Line<C>,
    host: &PairedDevice,
    key: &DeviceKey,
) -> Result<Sealed> {
    let greeting = greeting(By::Key, &[]);
    line.send_raw(greeting.clone()).await?;
    let state = Noise::with_keys(Some(host), &greeting, key).guest(line.runtime())?;
    initiate(line, state).await
}

/// A host that lets in those that it was paired with.
pub(super) async fn host_with_keys<C: Channel>(
    line: &mut Line<C>,
    known: &[PairedDevice],
    key: &DeviceKey,
) -> Result<Sealed> {
    let greeting = line.recv_raw().await?;
    if !read_greeting(&greeting, By::Key)?.is_empty() {
        return Err(wrong("a greeting with something behind its end".to_owned()));
    }
    let state = Noise::with_keys(None, &greeting, key).host(line.runtime())?;
    let first = line.recv(Tag::Noise).await?;
    let mut sealed = respond(line, state, &first).await?;
    let guest = sealed.remote().map(PairedDevice::from_bytes);
    if !guest.is_some_and(|guest| known.contains(&guest)) {
        let reason = "it is none of the devices that this one was paired with".to_owned();
        return Err(SyncError::PairingRefused { reason });
    }
    welcome(line, &mut sealed).await?;
    Ok(sealed)
}

/// The guest's part of Noise, and the host's welcome.
async fn initiate<C: Channel>(line: &mut Line<C>, mut state: HandshakeState) -> Result<Sealed> {
    let first = write(&mut state)?;
    line.send(Tag::Noise, &first).await?;
    read(&mut state, &line.recv(Tag::Noise).await?)?;
    let third = write(&mut state)?;
    line.send(Tag::Noise, &third).await?;
    let mut sealed = Sealed::new(state)?;
    match sealed.open(&line.recv(Tag::Welcome).await?, 0)? {
        Opened::Welcome => Ok(sealed),
        _ => Err(wrong("a sealed message that is no welcome".to_owned())),
    }
}

/// The host's part of Noise.
pub(super) async fn respond<C: Channel>(
    line: &mut Line<C>,
    mut state: HandshakeState,
    first: &[u8],
) -> Result<Sealed> {
    read(&mut state, first)?;
    let second = write(&mut state)?;
    line.send(Tag::Noise, &second).await?;
    read(&mut state, &line.recv(Tag::Noise).await?)?;
    Sealed::new(state)
}

/// Tells the guest that it is in.
pub(super) async fn welcome<C: Channel>(line: &mut Line<C>, sealed: &mut Sealed) -> Result<()> {
    let welcome = sealed.seal_welcome()?;
    line.send(Tag::Welcome, &welcome).await?;
    sealed.sent();
    Ok(())
}
