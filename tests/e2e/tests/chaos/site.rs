//! [`Site`]: a server, its database, the network in front of it, and devices; all but the network are processes.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use storex_core::{Runtime as _, TokioRuntime};
use storex_e2e::fault_proxy::{FaultProxy, Passed};
use storex_e2e::place::Place;
use storex_e2e::process::{Process, text};
use storex_postgres_cluster::Cluster;
use storex_sync::KeyRing;

use super::{agreed, device, server};

/// How long it may take until all are in step, in seconds: a few, on a machine that has nothing else to do, which this one may have.
const SOON: u64 = 120;

/// Where the server keeps everything.
#[derive(Debug)]
pub(crate) enum Database {
    /// In a SQLite file.
    File,
    /// In PostgreSQL.
    Postgres(Cluster),
}

#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) place: Place,
    pub(crate) database: Database,
    pub(crate) network: FaultProxy,
    devices: Vec<Device>,
    /// The devices that have come to their end, and in which life.
    pub(crate) ended: Vec<(&'static str, u64)>,
    server: Option<Process>,
    pub(crate) server_address: SocketAddr,
}

/// A device, in its `life`-th process.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) name: &'static str,
    pub(crate) life: u64,
    process: Process,
    hearing: Option<JoinHandle<Vec<(i64, String)>>>,
    /// How many exchanges went through in former lives.
    exchanges: usize,
}

/// How it has ended.
#[derive(Debug)]
pub(crate) struct Settled {
    /// How many milliseconds after all troubles were over the last device had everything.
    pub(crate) after: i64,
    /// How many exchanges went through, for each device.
    pub(crate) exchanges: Vec<usize>,
    /// What each device says that it holds.
    pub(crate) digests: Vec<String>,
}

fn serve(place: &Place, database: &Database) -> (Process, SocketAddr) {
    let (file, tokens) = (place.file("server.db"), place.file("tokens"));
    let (kind, at) = match database {
        Database::File => ("file", text(&file)),
        Database::Postgres(cluster) => ("postgres", cluster.address()),
    };
    server::start(kind, at, text(&tokens))
}

impl Device {
    fn start(name: &'static str, life: u64, place: &Place, server: &str, devices: usize) -> Self {
        let folder = text(place.path());
        let mut process = device::start(folder, name, life, server, devices, SOON);
        let lines = process.take_lines();
        let hearing =
            std::thread::spawn(move || lines.map(|line| (TokioRuntime.now().0, line)).collect());
        Self { name, life, process, hearing: Some(hearing), exchanges: 0 }
    }

    /// What it has said until its end.
    fn heard(&mut self) -> Vec<(i64, String)> {
        let hearing = self.hearing.take().expect("it is heard once");
        let heard = hearing.join().expect("it can be heard");
        self.exchanges += heard.iter().filter(|(_, line)| line == "exchanged").count();
        for (_, line) in &heard {
            assert!(!line.starts_with("alarm"), "device {}, life {}: {line}", self.name, self.life);
        }
        heard
    }
}

impl Site {
    pub(crate) fn open(database: Database, encrypted: bool, names: &[&'static str]) -> Self {
        let place = Place::new();
        std::fs::write(place.file("tokens"), format!("{} ada\n", agreed::TOKEN)).unwrap();
        if encrypted {
            let keys = KeyRing::generate(&TokioRuntime).to_bytes();
            std::fs::write(place.file(agreed::KEYS), &*keys).unwrap();
        }
        let (server, server_address) = serve(&place, &database);
        let network = FaultProxy::start(server_address);
        let reached_at = network.address().to_string();
        let start = |name: &&'static str| Device::start(name, 1, &place, &reached_at, names.len());
        let devices = names.iter().map(start).collect();
        let ended = Vec::new();
        Self { place, database, network, devices, ended, server: Some(server), server_address }
    }

    pub(crate) fn passed(&self) -> Passed {
        self.network.passed()
    }

    /// The server is killed, and gone when this returns.
    pub(crate) fn kill_server(&mut self) {
        let mut server = self.server.take().expect("it runs");
        server.kill();
        assert!(server.was_killed(), "the server did not end by itself");
    }

    /// Another process takes its place.
    pub(crate) fn start_server(&mut self) {
        let (server, address) = serve(&self.place, &self.database);
        self.server = Some(server);
        self.server_address = address;
        self.network.serve(address);
    }

    /// The `nth` device (modulo how many there are) is killed, and started again on what it leaves.
    pub(crate) fn kill_device(&mut self, nth: u64) {
        let reached_at = self.network.address().to_string();
        let devices = self.devices.len();
        let nth = usize::try_from(nth % devices as u64).unwrap();
        let mut killed = self.devices.remove(nth);
        killed.process.kill();
        killed.heard();
        let Device { name, life, process, exchanges, .. } = killed;
        assert!(process.was_killed(), "device {name} did not end by itself");
        let next = Device::start(name, life + 1, &self.place, &reached_at, devices);
        self.devices.insert(nth, Device { exchanges, ..next });
    }

    /// Nothing is broken any more, and nobody writes any more: waits until each device has everything, and ends them.
    pub(crate) fn settle(&mut self) -> Settled {
        self.network.heal();
        let healed = TokioRuntime.now().0;
        self.devices.iter_mut().for_each(|device| device.process.let_go());
        let mut settled = Settled { after: 0, exchanges: Vec::new(), digests: Vec::new() };
        for mut device in self.devices.drain(..) {
            let heard = device.heard();
            let name = device.name;
            assert!(!device.process.was_killed(), "device {name} came to its end");
            let at = heard.iter().find(|(_, line)| line == "settled").expect("it is in step").0;
            let digest = heard.iter().find_map(|(_, line)| line.strip_prefix("digest "));
            settled.after = settled.after.max(at - healed);
            settled.exchanges.push(device.exchanges);
            settled.digests.push(digest.expect("a digest").to_owned());
            self.ended.push((name, device.life));
        }
        settled
    }
}
