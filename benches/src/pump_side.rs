//! One side of an initial sync: on a thread of its own, or in a process of its own.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use storex_core::TokioRuntime;
use storex_sqlite::Durability;
use storex_sync::{
    Channel, DeviceKey, InitialSync, InitialSyncReport, MemoryChannel, Pairing, PairingCode,
    SecureChannel, StreamChannel,
};
use tokio::net::TcpStream;

use crate::measure::memory;
use crate::ours::Ours;

/// What a side does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// It sends.
    Send,
    /// It receives.
    Receive,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Everything.
    Whole,
    /// What differs.
    Difference,
}

/// How one side reaches the other.
pub enum Over {
    /// A channel in memory.
    Memory(MemoryChannel),
    /// A TCP connection.
    Tcp(std::net::TcpStream),
    /// The same, encrypted, for who has shown the code.
    SecureHost(std::net::TcpStream, Pairing),
    /// The same, for who has typed the code.
    SecureGuest(std::net::TcpStream, PairingCode),
}

impl std::fmt::Debug for Over {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Over")
    }
}

impl Over {
    async fn channel(self) -> Box<dyn Channel> {
        let runtime = Arc::new(TokioRuntime);
        match self {
            Self::Memory(channel) => Box::new(channel),
            Self::Tcp(stream) => Box::new(channel(stream)),
            Self::SecureHost(stream, mut pairing) => {
                let key = DeviceKey::generate(&*runtime);
                Box::new(pairing.accept(channel(stream), &key).await.unwrap())
            }
            Self::SecureGuest(stream, code) => {
                let key = DeviceKey::generate(&*runtime);
                Box::new(SecureChannel::pair(channel(stream), &code, &key, runtime).await.unwrap())
            }
        }
    }
}

fn channel(stream: std::net::TcpStream) -> StreamChannel<TcpStream> {
    stream.set_nonblocking(true).unwrap();
    stream.set_nodelay(true).unwrap();
    StreamChannel::new(TcpStream::from_std(stream).unwrap())
}

/// A runtime on the thread that calls this.
#[must_use]
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Does one side's part on a thread of its own.
#[must_use]
pub fn spawn(does: Does, way: Way, ours: Ours, over: Over) -> JoinHandle<InitialSyncReport> {
    thread::spawn(move || runtime().block_on(side(does, way, &ours, over)))
}

/// Does one side's part.
pub async fn side(does: Does, way: Way, ours: &Ours, over: Over) -> InitialSyncReport {
    let mut channel = over.channel().await;
    let mut sync = InitialSync::open(&ours.storage).await.unwrap();
    if way == Way::Difference {
        sync = sync.difference_only();
    }
    let report = match does {
        Does::Send => sync.send(&mut *channel).await,
        Does::Receive => sync.receive(&mut *channel).await,
    };
    report.unwrap()
}

/// The whole program as one side: `send` or `receive`, the database, the port where the other side waits. Prints the most
/// memory that it had, in MiB: all that is resident, the program itself too.
#[allow(clippy::print_stdout)]
pub async fn run(arguments: &[String]) {
    let [does, path, port] = arguments else { return };
    let does = if does == "send" { Does::Send } else { Does::Receive };
    let port: u16 = port.parse().unwrap();
    let ours = Ours::open(Path::new(path), Durability::Normal).await;
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    side(does, Way::Whole, &ours, Over::Tcp(stream)).await;
    println!("{}", memory("VmHWM:"));
    ours.storage.close().await.unwrap();
}
