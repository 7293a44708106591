//! Finds the other machine: one side listens and shows a pairing code, the other connects and has it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use storex_core::Runtime;
use storex_sync::{
    Channel, DeviceKey, HeartbeatChannel, Pairing, PairingCode, SecureChannel, SyncError,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::channel::{Connection, Traffic};
use super::{Observer, Options, Place, relay};
use crate::error::{CliError, During as _, Result, describe};

/// The port where none is given.
pub const DEFAULT_PORT: u16 = 17839;

/// How long a code is shown before it is no good any more.
pub(super) const LASTS: Duration = Duration::from_secs(5 * 60);

/// How long a connection, or the handshake of a WebSocket, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long whoever connects may be silent.
const SILENCE: Duration = Duration::from_secs(3);

/// How many may be silent at once: further ones wait until they are taken.
const SILENT: usize = 64;

/// Until the next connection is taken, when one could not be.
const BREATH: Duration = Duration::from_millis(100);

/// How long the other side may be silent later on, as long as an initial sync has patience: it may be busy with the database.
const DEADLINE: Duration = Duration::from_secs(180);

/// A channel to the other machine which nobody else can read, and what goes over it.
pub(super) type Connected = (Box<dyn Channel>, Arc<Traffic>);

/// Waits for the other machine, or connects to it.
pub(super) async fn connect(
    options: &Options,
    runtime: &Arc<dyn Runtime>,
    observer: &dyn Observer,
) -> Result<Connected> {
    // Nobody is to be recognised later, so the key is of this run only.
    let key = DeviceKey::generate(&**runtime);
    let (channel, traffic) = match &options.place {
        Place::Listen(address) => listen(address, options.websocket, &key, runtime, observer).await,
        Place::Connect(address, code) => {
            call(address, code, options.websocket, &key, runtime).await
        }
        Place::MakeRoom(server) => relay::wait(server, &key, runtime, observer).await,
        Place::JoinRoom(server, code) => relay::join(server, code, &key, runtime).await,
    }?;
    let channel = HeartbeatChannel::new(channel, Arc::clone(runtime)).deadline(DEADLINE);
    Ok((Box::new(channel), traffic))
}

/// A channel that is not beating yet.
pub(super) type Paired = (SecureChannel<Connection>, Arc<Traffic>);

/// Lets in the first who has the code.
async fn listen(
    address: &str,
    websocket: bool,
    key: &DeviceKey,
    runtime: &Arc<dyn Runtime>,
    observer: &dyn Observer,
) -> Result<Paired> {
    let listening =
        |source| CliError::Network { during: format!("listening at {address}"), source };
    let listener = TcpListener::bind(with_port(address)).await.map_err(listening)?;
    let mut pairing = Pairing::new(Arc::clone(runtime)).lasts(LASTS);
    observer.listening(listener.local_addr().map_err(listening)?, pairing.code());
    let guests = async {
        let mut silent = JoinSet::new();
        loop {
            let stream = tokio::select! {
                accepted = listener.accept(), if silent.len() < SILENT => {
                    match accepted {
                        Ok((stream, _)) => {
                            silent.spawn(first_words(stream));
                        }
                        // Such as no descriptors left, or one who was gone before it was its turn.
                        Err(error) => {
                            tracing::warn!(%error, "a connection could not be taken");
                            runtime.sleep(BREATH).await;
                        }
                    }
                    continue;
                }
                Some(spoken) = silent.join_next() => {
                    let Ok(spoken) = spoken else { continue };
                    spoken
                }
            };
            let connected = match stream {
                Ok(stream) => let_in(stream, websocket, &mut pairing, key).await,
                Err(error) => Err(error),
            };
            match connected {
                Ok(connected) => return Ok(connected),
                Err(SyncError::PairingRefused { .. }) => observer.refused(pairing.attempts_left()),
                // Whoever it was, another one may be right.
                Err(error) => observer.not_let_in(&describe(&error)),
            }
            if let Err(SyncError::PairingCodeSpent { reason }) = pairing.still_valid() {
                return spent(reason);
            }
        }
    };
    within_its_time(guests).await
}

/// What pairing is called in errors.
pub(super) const WHAT: &str = "pairing";

/// Waits for whoever has the code, for as long as it is good.
pub(super) async fn within_its_time(
    guests: impl Future<Output = Result<Paired>>,
) -> Result<Paired> {
    let minutes = LASTS.as_secs() / 60;
    let late = || spent(format!("nobody has used it within {minutes} minutes"));
    timeout(LASTS, guests).await.unwrap_or_else(|_| late())
}

pub(super) fn spent<T>(reason: String) -> Result<T> {
    Err(SyncError::PairingCodeSpent { reason: format!("{reason} (a new run has a new code)") })
        .during(WHAT)
}

/// Waits for the first words of whoever has connected. Many may be waited for at once: one who is silent keeps nobody out.
async fn first_words(stream: TcpStream) -> storex_sync::Result<TcpStream> {
    prompt(&stream);
    let silent = SyncError::Timeout { during: "waiting for its first words", after: SILENCE };
    // Not `readable`: a stream is taken for that until a read has failed. Should it fail, so does the reading, which says why.
    let _ = timeout(SILENCE, stream.peek(&mut [0])).await.map_err(|_| silent)?;
    Ok(stream)
}

async fn let_in(
    stream: TcpStream,
    websocket: bool,
    pairing: &mut Pairing,
    key: &DeviceKey,
) -> storex_sync::Result<Paired> {
    let connection = if websocket {
        in_time(Connection::to_client(stream)).await?
    } else {
        Connection::tcp(stream)
    };
    let traffic = connection.traffic();
    let channel = pairing.accept(connection, key).await?;
    traffic.let_in();
    Ok((channel, traffic))
}

async fn call(
    address: &str,
    code: &PairingCode,
    websocket: bool,
    key: &DeviceKey,
    runtime: &Arc<dyn Runtime>,
) -> Result<Paired> {
    let address = with_port(address);
    let late = || io::Error::new(io::ErrorKind::TimedOut, "nobody answers");
    let stream = timeout(PATIENCE, TcpStream::connect(&address)).await;
    let stream = stream.unwrap_or_else(|_| Err(late())).map_err(|source| CliError::Network {
        during: format!("connecting to {address} (is the other side listening there?)"),
        source,
    })?;
    prompt(&stream);
    let connection = if websocket {
        in_time(Connection::to_server(stream, &address)).await.during("connecting")?
    } else {
        Connection::tcp(stream)
    };
    let traffic = connection.traffic();
    let channel = SecureChannel::pair(connection, code, key, Arc::clone(runtime)).await;
    let channel = channel.during(WHAT)?;
    traffic.let_in();
    Ok((channel, traffic))
}

/// Small frames do not wait for the answer to the one before; where that cannot be had it is only slower.
fn prompt(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
}

async fn in_time<T>(
    handshake: impl Future<Output = storex_sync::Result<T>>,
) -> storex_sync::Result<T> {
    let late = SyncError::Timeout { during: "the handshake of the WebSocket", after: PATIENCE };
    timeout(PATIENCE, handshake).await.unwrap_or(Err(late))
}

/// An address with its port, or the default one.
fn with_port(address: &str) -> String {
    if let Ok(ip) = address.trim_matches(['[', ']']).parse::<IpAddr>() {
        return SocketAddr::new(ip, DEFAULT_PORT).to_string();
    }
    if address.contains(':') { address.to_owned() } else { format!("{address}:{DEFAULT_PORT}") }
}

#[cfg(test)]
mod tests {
    use super::with_port;

    #[test]
    fn an_address_without_a_port_gets_the_default_one() {
        for (given, used) in [
            ("laptop", "laptop:17839"),
            ("laptop:9", "laptop:9"),
            ("192.0.2.7", "192.0.2.7:17839"),
            ("192.0.2.7:9", "192.0.2.7:9"),
            ("2001:db8::7", "[2001:db8::7]:17839"),
            ("[2001:db8::7]", "[2001:db8::7]:17839"),
            ("[2001:db8::7]:9", "[2001:db8::7]:9"),
        ] {
            assert_eq!(with_port(given), used);
        }
    }
}
