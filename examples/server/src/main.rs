//! A server within this program, and two devices of one user that it keeps in step live. Then one of them is lost, and shut out.
//! Run it with `cargo run --package storex-server-example`. Without a program of your own, `storex serve` is the server.
#![allow(clippy::print_stdout)] // an example shows what it does

use std::{error::Error, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use storex_core::{AutoPk, Collection, Registry, Runtime as _, Storage, TokioRuntime};
use storex_memory::MemoryBackend;
use storex_server::{Server, SqliteStore, Tokens};
use storex_sync::http::{HttpClient, HttpSharedLog, NativeTransport, StaticToken, Token, id_text};
use storex_sync::{ContinuousSync, Phase, Sync, SyncLog};
use tokio::{net::TcpListener, sync::oneshot};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Whoever has it is Ada. A real one is random, and goes over TLS only.
const TOKEN: &str = "3f9c0a72b8d14e65";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Collection)]
struct Note {
    id: String,
    title: String,
}

/// A device with a database of its own; here in memory.
struct Device {
    storage: Storage,
    sync: ContinuousSync,
}

impl Device {
    async fn start(client: &HttpClient, name: &str) -> Result<Self> {
        let registry = Registry::builder().collection(Note::definition()).build()?;
        let builder = Storage::builder(MemoryBackend::new(), registry, Arc::new(TokioRuntime));
        let storage = builder.middleware(AutoPk::new()).middleware(SyncLog::new()).open().await?;
        let log = HttpSharedLog::new(client.clone()).device_name(name);
        let sync = Sync::open(&storage, Arc::new(log)).await?;
        // News come at once; the interval is for when nobody can tell them.
        Ok(Self { storage, sync: ContinuousSync::start(sync, Duration::from_secs(60)) })
    }

    async fn write(&self, title: &str) -> Result<()> {
        let note = Note { id: String::new(), title: title.to_owned() };
        self.storage.collection::<Note>()?.create(&note).await?;
        Ok(())
    }

    /// Returns when a note with this title is here.
    async fn has(&self, title: &str) -> Result<()> {
        let mut notes = self.storage.collection::<Note>()?.query().live()?;
        while let Some(notes) = notes.next().await {
            if notes?.iter().any(|note| note.title == title) {
                return Ok(());
            }
        }
        Err("the storage was closed".into())
    }
}

/// Ada's devices, at a server.
async fn devices(address: &str) -> Result<()> {
    let transport = Arc::new(NativeTransport::new()?);
    let client = HttpClient::new(transport, address, Arc::new(TokioRuntime))?
        .credentials(Arc::new(StaticToken(Token::new(TOKEN))));
    let laptop = Device::start(&client, "Ada's laptop").await?;
    let phone = Device::start(&client, "Ada's phone").await?;

    laptop.write("written on the laptop").await?;
    phone.has("written on the laptop").await?;
    println!("the phone has what the laptop wrote");
    phone.write("written on the phone").await?;
    laptop.has("written on the phone").await?;
    println!("the laptop has what the phone wrote");

    // The phone is lost. Whoever has it now gets nothing new.
    let lost = phone.sync.sync().device().await?.id;
    client.revoke(lost).await?;
    phone.sync.status().wait_for(|status| status.phase == Phase::NeedsLogin).await?;
    for device in client.devices().await? {
        let state = if device.revoked { "shut out" } else { "in" };
        println!("{} ({}) is {state}", device.name, id_text(device.id));
    }

    laptop.sync.stop().await;
    phone.sync.stop().await;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let runtime = Arc::new(TokioRuntime);
    let store = SqliteStore::open(dir.path().join("server.db"), runtime.clone()).await?;
    let tokens = Tokens::parse(&format!("{TOKEN} ada"))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);

    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server::new(Arc::new(store), Arc::new(tokens));
    let serving = server.serve(listener, async move { drop(stopped.await) });
    println!("serving at {address}");

    // Both at once: the server ends in order when the devices have.
    let using = async {
        let used = tokio::select! {
            used = devices(&address) => used,
            () = runtime.sleep(Duration::from_secs(60)) => Err("it takes too long".into()),
        };
        drop(stop);
        used
    };
    let (served, used) = tokio::join!(serving, using);
    served?;
    println!("the server has stopped");
    used
}
