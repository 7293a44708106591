//! The initial sync: a database of this machine and one of another, over TCP, a WebSocket or a relay, sealed by a pairing code.
//!
//! ```text
//!   connect      one side listens and shows a code, the other connects and has it     (connect.rs)
//!                or both go to a server: one makes a room and shows a code            (relay.rs)
//!   introduce    what each side wants, and the sender's tables                        (introduce.rs)
//!   prepare      the tables in a file that has none; both files opened                (schema.rs)
//!   sync         rows and deletions, one way or both ways
//!   report       what was done                                                        (report.rs)
//! ```
//!
//! Nothing is written to a file before the other side was let in and the two sides go together.

mod channel;
mod connect;
mod introduce;
mod relay;
mod report;
mod schema;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{Runtime, Storage, TokioRuntime};
use storex_sqlite::{Adoption, SqliteBackend, adopt};
use storex_sync::http::{Room, RoomCode, Token};
use storex_sync::{
    BothWaysReport, Channel, InitialSync, InitialSyncControl, InitialSyncEvent, PairingCode,
    SyncLog,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

pub use connect::DEFAULT_PORT;
pub use report::{Figures, Report, TableRows};

use crate::adopted;
pub use crate::adopted::LeftOutTable;
use crate::database;
use crate::error::{CliError, During as _, Result};
use introduce::{Introduction, Talk};

/// Which way the rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From here to the other side.
    Send,
    /// From the other side to here.
    Receive,
}

/// Where the other side is.
#[derive(Debug)]
pub enum Place {
    /// It connects to this address (`ADDRESS:PORT`; without the port, [`DEFAULT_PORT`]), and has the code that is shown here.
    Listen(String),
    /// It listens at this address (`HOST:PORT`; without the port, [`DEFAULT_PORT`]), and shows this code.
    Connect(String, Arc<PairingCode>),
    /// It comes into a room of this server, which is made here, and has the code that is shown here.
    MakeRoom(Relay),
    /// It has made a room of this server, and shows this code.
    JoinRoom(Relay, Arc<RoomCode>),
}

/// A server that both sides reach.
#[derive(Debug, Clone)]
pub struct Relay {
    /// Where: `https://…` or `http://…`.
    pub address: String,
    /// By which it lets this side in; both need tokens of the same user, or the relay is open to everybody.
    pub token: Option<Token>,
}

/// What to do.
#[derive(Debug)]
pub struct Options {
    /// The database. The receiver's may be missing: it is made, with the sender's tables.
    pub file: PathBuf,
    /// Which way.
    pub direction: Direction,
    /// Where the other side is.
    pub place: Place,
    /// Over a WebSocket; otherwise over TCP. The same on both sides; a relay knows only WebSockets.
    pub websocket: bool,
    /// First one way, then the other. The same on both sides.
    pub both_ways: bool,
    /// Compares first, and brings only what differs. The same on both sides.
    pub difference_only: bool,
}

/// Is told what happens.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// The other side may connect here, with this code.
    fn listening(&self, at: SocketAddr, code: &PairingCode) {
        let _ = (at, code);
    }

    /// The other side may come into this room, with this code. Told again when somebody else was in it: then there is another room.
    fn room(&self, room: &Room, code: &PairingCode) {
        let _ = (room, code);
    }

    /// Somebody tried another code; so many attempts are left.
    fn refused(&self, left: u32) {
        let _ = left;
    }

    /// Somebody connected who is not the other side, or could not pair.
    fn not_let_in(&self, why: &str) {
        let _ = why;
    }

    /// The other side is there.
    fn connected(&self) {}

    /// How the sync goes.
    fn event(&self, event: &InitialSyncEvent) {
        let _ = event;
    }
}

/// How long the other side has to hear that this one has cancelled.
const FAREWELL: Duration = Duration::from_secs(3);

/// Runs an initial sync on a tokio runtime, until it is through or `cancel` holds `true`. The file is closed then.
///
/// # Errors
/// [`CliError`]; what had arrived stays, and running it again goes on from it. [`CliError::Cancelled`] when it was cancelled,
/// here or on the other side.
pub async fn run(
    options: &Options,
    observer: Arc<dyn Observer>,
    cancel: watch::Receiver<bool>,
) -> Result<Report> {
    let mut cancel = Cancel(cancel);
    let schema = look(options)?;
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
    let connecting = connect::connect(options, &runtime, &*observer);
    let (mut channel, traffic) = tokio::select! {
        connected = connecting => connected?,
        () = cancel.asked() => return Err(CliError::Cancelled),
    };
    observer.connected();
    let done = talk(options, schema, &mut *channel, &observer, &mut cancel).await;
    // Both close, so that neither goes before the other has heard what there was to hear.
    let ended = async {
        channel.close().await?;
        while channel.recv().await?.is_some() {}
        Ok::<_, storex_sync::SyncError>(())
    };
    let _ = timeout(FAREWELL, ended).await;
    let mut report = done?;
    (report.bytes_sent, report.bytes_received) = traffic.total();
    Ok(report)
}

/// Looks at the file, and gives the tables that the other side may have to make.
fn look(options: &Options) -> Result<Option<schema::Schema>> {
    let file = &options.file;
    if options.direction == Direction::Receive {
        return if file.exists() { database::inspect(file).map(|_| None) } else { Ok(None) };
    }
    database::inspect(file)?;
    let adoption = adopt(file).during("reading the schema")?;
    adopted::registry(file, &adoption)?;
    schema::Schema::read(file, &adoption).map(Some)
}

/// All that is said over the channel.
async fn talk(
    options: &Options,
    schema: Option<schema::Schema>,
    channel: &mut dyn Channel,
    observer: &Arc<dyn Observer>,
    cancel: &mut Cancel,
) -> Result<Report> {
    let talk = Talk::open().await?;
    let own = Introduction::new(options, schema);
    let introduced = talk.introduce(&mut *channel, &own);
    let theirs = cancel.during(introduced, talk.control()).await?;
    let prepared = prepare(options, theirs).await;
    let ready = talk.ready(&mut *channel, prepared.as_ref().err());
    let ready = cancel.during(ready, talk.control()).await;
    let Prepared { storage, adoption, made_file } = prepared?;
    let done = match ready {
        Ok(()) => sync(options, &storage, channel, observer, cancel).await,
        Err(error) => Err(error),
    };
    // Closed whatever came of it.
    let closed = storage.close().await.during("closing the database");
    let mut report = done?;
    closed?;
    report.file = options.file.display().to_string();
    report.made_file = made_file;
    report.left_out = adopted::left_out(&adoption);
    Ok(report)
}

/// The database, ready to be synced.
struct Prepared {
    storage: Storage,
    adoption: Adoption,
    made_file: bool,
}

/// Makes the tables in a file that has none, and opens it.
async fn prepare(options: &Options, theirs: Introduction) -> Result<Prepared> {
    let file = &options.file;
    let made_file = schema::is_empty(file)?;
    if made_file {
        let Some(schema) = theirs.schema else {
            return Err(database::refuse(file, "has no tables, so there is nothing to send"));
        };
        schema.make(file)?;
    }
    let adoption = adopt(file).during("reading the schema")?;
    let registry = adopted::registry(file, &adoption)?;
    let backend = SqliteBackend::open(file).during("opening the database")?;
    let storage = Storage::builder(backend, registry, Arc::new(TokioRuntime))
        .middleware(SyncLog::new())
        .open()
        .await
        .during("opening the database")?;
    Ok(Prepared { storage, adoption, made_file })
}

async fn sync(
    options: &Options,
    storage: &Storage,
    channel: &mut dyn Channel,
    observer: &Arc<dyn Observer>,
    cancel: &mut Cancel,
) -> Result<Report> {
    let telling = Arc::clone(observer);
    let sync = InitialSync::open(storage).await.during("preparing the initial sync")?;
    let mut sync = sync.on_event(move |event| telling.event(event));
    if options.difference_only {
        sync = sync.difference_only();
    }
    let begin = Instant::now();
    let running = async {
        let done = match options.direction {
            _ if options.both_ways => sync.both_ways(channel).await,
            Direction::Send => {
                let sent = sync.send(channel).await;
                sent.map(|sent| BothWaysReport { sent, ..BothWaysReport::default() })
            }
            Direction::Receive => {
                let received = sync.receive(channel).await;
                received.map(|received| BothWaysReport { received, ..BothWaysReport::default() })
            }
        };
        done.during("the initial sync")
    };
    let done = cancel.during(running, sync.control()).await?;
    Ok(Report::new(options, &done, begin.elapsed()))
}

/// Whether it is to be cancelled.
struct Cancel(watch::Receiver<bool>);

impl Cancel {
    /// Waits until it is asked for; for ever, if nobody can ask any more.
    async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Does something that is to tell the other side when it is cancelled.
    async fn during<T>(
        &mut self,
        work: impl Future<Output = Result<T>>,
        control: InitialSyncControl,
    ) -> Result<T> {
        tokio::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = self.asked() => control.cancel(),
        }
        timeout(FAREWELL, work).await.unwrap_or(Err(CliError::Cancelled))
    }
}
