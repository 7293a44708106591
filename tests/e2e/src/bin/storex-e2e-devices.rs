//! Native devices at a server, for the scenarios of a browser: each on a SQLite file, kept in step by continuous sync. And the network
//! between all devices and the server, which breaks when it is told to.
//!
//! Lines come in on standard input, each a call: `{"id": 1, "call": ["NAME", "METHOD", ARGUMENT..]}`. `open` makes the device of that
//! name: its arguments are the file, the address of the server and a token. `adopt` does the same on a database of another program: its
//! tables are the collections. The other methods are those of the devices of a page (`tests/browser/src/device.rs`, `server.rs` and
//! `adopted.rs`), and `plain`, which is what SQLite itself finds in the file. What is called by the name `network` is the network's: `begin`
//! makes one to the server at an address, and tells where it is reached; the others are those of [`FaultProxy`]. `["chinook", "bring", FILE]`
//! puts that database there, and tells whether it is the one of that name or was made here.
//!
//! When a call is through, a line answers it: `{"id": 1, "result": ..}` or `{"id": 1, "error": "why"}`. Before that there may be
//! `{"id": 1, "told": ..}`. Calls do not wait for each other.

// The collections are those of the page.
#[path = "../../../browser/src/schema.rs"]
mod schema;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use storex_core::{AutoPk, Direction, Query, Registry, Storage, TokioRuntime, describe};
use storex_e2e::fault_proxy::{Cut, FaultProxy, Towards};
use storex_e2e::{chinook, exported};
use storex_sqlite::{SqliteBackend, adopt};
use storex_sync::http::{
    HttpClient, HttpSharedLog, NativeTransport, RoomCode, StaticToken, Token, id_of_text, id_text,
};
use storex_sync::{
    Channel, ContinuousSync, DeviceKey, HeartbeatChannel, InitialSync, Pairing, SecureChannel,
    Sync, SyncHandle as _, SyncLog,
};
use tokio::sync::mpsc;

type Result<T, E = Box<dyn Error + Send + std::marker::Sync>> = std::result::Result<T, E>;

/// What is exchanged is exchanged because of a write or of news.
const RARELY: Duration = Duration::from_secs(3600);

/// A line that comes in.
#[derive(Debug, Deserialize)]
struct Line {
    id: u64,
    call: Vec<Json>,
}

#[derive(Debug)]
struct Device {
    file: PathBuf,
    storage: Storage,
    client: HttpClient,
    /// Set once it is connected.
    continuous: OnceLock<ContinuousSync>,
}

/// What this process has.
#[derive(Debug, Default)]
struct All {
    devices: Mutex<BTreeMap<String, Arc<Device>>>,
    network: OnceLock<FaultProxy>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let all = Arc::<All>::default();
    let (tell, mut lines) = mpsc::unbounded_channel();
    // Standard input can be waited for by a thread only.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(std::result::Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    // Whoever has started it ends it by closing the pipe, or by ending.
    while let Some(line) = lines.recv().await {
        let all = Arc::clone(&all);
        #[allow(clippy::disallowed_methods)] // a program of its own, on a real clock
        tokio::spawn(async move {
            match serde_json::from_str::<Line>(&line) {
                Ok(Line { id, call }) => match run(&all, id, &call).await {
                    Ok(result) => say(&json!({ "id": id, "result": result })),
                    Err(error) => say(&json!({ "id": id, "error": describe(&*error) })),
                },
                Err(error) => say(&json!({ "error": format!("{line}: {error}") })),
            }
        });
    }
}

fn say(line: &Json) {
    // Nobody listens any more: it ends soon.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// An argument of a call.
fn argument<T: DeserializeOwned>(call: &[Json], at: usize) -> Result<T> {
    let argument = call.get(at).cloned().unwrap_or_default();
    serde_json::from_value(argument).map_err(|why| format!("argument {at} of a call: {why}").into())
}

async fn run(all: &All, id: u64, call: &[Json]) -> Result<Json> {
    let (name, method): (String, String) = (argument(call, 0)?, argument(call, 1)?);
    let call = call.get(2..).unwrap_or_default();
    if name == "network" {
        return of_network(&all.network, &method, call);
    }
    if name == "chinook" && method == "bring" {
        return Ok(chinook::bring(&argument::<PathBuf>(call, 0)?)?.into());
    }
    let lock = || all.devices.lock().unwrap_or_else(PoisonError::into_inner);
    if method == "open" || method == "adopt" {
        let file: PathBuf = argument(call, 0)?;
        let registry = match method.as_str() {
            "open" => schema::registry(false)?,
            _ => Registry::builder().collections(adopt(&file)?.definitions).build()?,
        };
        let device = Device::open(file, registry, argument(call, 1)?, argument(call, 2)?).await?;
        lock().insert(name, Arc::new(device));
        return Ok(Json::Null);
    }
    let device = lock().get(&name).cloned();
    let device = device.ok_or_else(|| format!("no device {name} is open"))?;
    match method.as_str() {
        "connect" => device.connect(&name).await,
        method => device.run(id, method, call).await,
    }
}

fn of_network(network: &OnceLock<FaultProxy>, method: &str, call: &[Json]) -> Result<Json> {
    if method == "begin" {
        let server = argument(call, 0)?;
        return Ok(network.get_or_init(|| FaultProxy::start(server)).address().to_string().into());
    }
    let network = network.get().ok_or("there is no network")?;
    match method {
        "cut_one" => network.cut_one(argument(call, 0)?, Cut::Reset),
        "cut_all" => network.cut_all(Cut::Reset),
        "cut_within" => {
            for towards in [Towards::Server, Towards::Device] {
                network.cut_within(towards, argument(call, 0)?);
            }
        }
        "refuse" => network.refuse(argument(call, 0)?),
        "stall" => network.stall(argument(call, 0)?),
        "heal" => network.heal(),
        "passed" => {
            let passed = network.passed();
            return Ok(json!({ "cut": passed.cut, "refused": passed.refused }));
        }
        _ => return Err(format!("a network has no {method}").into()),
    }
    Ok(Json::Null)
}

impl Device {
    /// Opens the file; the token is for the server at the address.
    async fn open(
        file: PathBuf,
        registry: Registry,
        address: String,
        token: String,
    ) -> Result<Self> {
        let runtime = Arc::new(TokioRuntime);
        let storage = Storage::builder(SqliteBackend::open(&file)?, registry, runtime.clone());
        let storage = storage.middleware(AutoPk::new()).middleware(SyncLog::new()).open().await?;
        let client = HttpClient::new(Arc::new(NativeTransport::new()?), &address, runtime)?;
        let client = client.credentials(Arc::new(StaticToken(Token::new(token))));
        Ok(Self { file, storage, client, continuous: OnceLock::new() })
    }

    /// Joins the log of the server and keeps in step with it from now on.
    async fn connect(&self, name: &str) -> Result<Json> {
        let log = HttpSharedLog::new(self.client.clone()).device_name(name);
        let sync = Sync::open(&self.storage, Arc::new(log)).await?;
        let continuous = ContinuousSync::builder(sync).intervals(RARELY, RARELY).start();
        self.continuous.set(continuous).map_err(|_| "it is connected already")?;
        Ok(Json::Null)
    }

    fn continuous(&self) -> Result<&ContinuousSync> {
        Ok(self.continuous.get().ok_or("it is not connected")?)
    }

    async fn run(&self, id: u64, method: &str, call: &[Json]) -> Result<Json> {
        match method {
            "create" => {
                let collection = self.storage.dynamic(&argument::<String>(call, 0)?)?;
                Ok(collection.create(argument(call, 1)?).await?)
            }
            "update" => {
                let collection = self.storage.dynamic(&argument::<String>(call, 0)?)?;
                let changed = collection.update(&argument(call, 1)?, &argument(call, 2)?).await?;
                Ok(changed.len().into())
            }
            "delete" => {
                let collection = self.storage.dynamic(&argument::<String>(call, 0)?)?;
                Ok(collection.delete(&argument(call, 1)?).await?.len().into())
            }
            "has" => self.has(argument(call, 0)?, argument(call, 1)?, argument(call, 2)?).await,
            "in_step" => {
                let mut status = self.continuous()?.status();
                status.wait_for(|status| status.in_step && status.unsent == 0).await?;
                Ok(Json::Null)
            }
            "status" => {
                let status = self.continuous()?.status().borrow().clone();
                let (unsent, parked, rejected) = (status.unsent, status.parked, status.rejected);
                Ok(json!({ "unsent": unsent, "parked": parked, "rejected": rejected }))
            }
            "digest" => Ok(self.continuous()?.digest().await?.to_string().into()),
            "dump" => self.dump().await,
            "exported" => Ok(exported::exported(&self.storage).await?),
            "plain" => Ok(plain(&self.file)?),
            "devices" => self.devices().await,
            "device_id" => Ok(id_text(self.continuous()?.sync().device().await?.id).into()),
            "revoke" => {
                self.client.revoke(id_of_text(&argument::<String>(call, 0)?)?).await?;
                Ok(Json::Null)
            }
            "send_in_room" => self.send_in_room(id).await,
            "receive_in_room" => self.receive_in_room(argument(call, 0)?).await,
            other => Err(format!("there is no method {other}").into()),
        }
    }

    /// Returns when so many objects match.
    async fn has(&self, collection: String, filter: Json, count: usize) -> Result<Json> {
        let mut live = self.storage.dynamic(&collection)?.live(&filter, &json!({}))?;
        while let Some(found) = live.next().await {
            if found?.len() == count {
                return Ok(Json::Null);
            }
        }
        Err("the storage was closed".into())
    }

    /// Everything in the application's collections, by key.
    async fn dump(&self) -> Result<Json> {
        let mut dump = Map::new();
        let collections = self.storage.registry().collections().iter();
        for collection in collections.filter(|collection| !collection.is_reserved()) {
            let key = collection.fields()[collection.primary_key()[0]].name.clone();
            let query = Query::new(collection.name().clone()).order_by(key, Direction::Ascending);
            let objects = self.storage.dynamic(collection.name())?.query(query).await?;
            dump.insert(collection.name().to_string(), objects.into());
        }
        Ok(dump.into())
    }

    /// The devices that the server knows.
    async fn devices(&self) -> Result<Json> {
        let devices = self.client.devices().await?;
        let shown = |device: &storex_sync::http::messages::ListedDevice| json!({ "id": id_text(device.id), "name": device.name, "revoked": device.revoked });
        Ok(devices.iter().map(shown).collect())
    }

    /// Waits in a room for a device to send everything to.
    async fn send_in_room(&self, id: u64) -> Result<Json> {
        let runtime = Arc::new(TokioRuntime);
        let mut pairing = Pairing::new(runtime.clone());
        let room = self.client.open_room().await?;
        let mut joined = self.client.join_room(&room).await?;
        say(&json!({ "id": id, "told": format!("{room}-{}", pairing.code()) }));
        joined.spoken_to().await;
        let channel = pairing.accept(joined, &DeviceKey::generate(&*runtime)).await?;
        let mut channel = HeartbeatChannel::new(channel, runtime);
        let report = InitialSync::open(&self.storage).await?.send(&mut channel).await?;
        channel.close().await?;
        Ok(json!({ "objects": report.total() }))
    }

    /// Receives everything from the device that shows this.
    async fn receive_in_room(&self, typed: String) -> Result<Json> {
        let runtime = Arc::new(TokioRuntime);
        let RoomCode { room, code } = typed.parse()?;
        let joined = self.client.join_room(&room).await?;
        let key = DeviceKey::generate(&*runtime);
        let channel = SecureChannel::pair(joined, &code, &key, runtime.clone()).await?;
        let mut channel = HeartbeatChannel::new(channel, runtime);
        let report = InitialSync::open(&self.storage).await?.receive(&mut channel).await?;
        channel.close().await?;
        Ok(json!({ "objects": report.total() }))
    }
}

/// What SQLite itself finds in a file, without anything of storex: the tables and indices, the rows by the first fields, and what is wrong.
fn plain(file: &Path) -> rusqlite::Result<Json> {
    let sqlite = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let texts = |sql: &str| -> rusqlite::Result<Vec<String>> {
        sqlite.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    let own =
        "FROM sqlite_schema WHERE name NOT LIKE '\\_storex\\_%' ESCAPE '\\' AND sql IS NOT NULL";
    let mut rows = Map::new();
    for table in texts(&format!("SELECT name {own} AND type = 'table'"))? {
        let mut all = sqlite.prepare(&format!("SELECT * FROM \"{table}\" ORDER BY 1, 2"))?;
        let columns = all.column_count();
        let of_row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Json> {
            (0..columns).map(|at| Ok(exported::plain_value(row.get_ref(at)?))).collect()
        };
        let found = all.query_map([], of_row)?.collect::<rusqlite::Result<Vec<Json>>>()?;
        rows.insert(table, found.into());
    }
    let schema = texts(&format!("SELECT sql {own} ORDER BY type, name"))?;
    let integrity = texts("PRAGMA integrity_check")?;
    let dangling = texts("SELECT \"table\" FROM pragma_foreign_key_check")?;
    Ok(json!({ "schema": schema, "integrity": integrity, "dangling": dangling, "rows": rows }))
}
