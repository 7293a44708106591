//! [`World`]: a run, from its beginning to the last check.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use storex_memory::MemoryBackend;
use storex_sqlite::SqliteBackend;
use storex_sync::{BackendSharedLog, LogId, MemorySharedLog, SharedSyncLog};
use tempfile::TempDir;

use crate::database::{Backup, Database, PARKED, Place, wait};
use crate::device::{Device, Surroundings};
use crate::model::{Model, check_equal};
use crate::network::Network;
use crate::plan::{Event, Plan};
use crate::random::Random;
use crate::runtime::{SimRuntime, WallClock};
use crate::schema::TALLY;
use crate::sim::{Sim, WORLD, lock};

/// How often it is looked whether all are in step, once nothing goes wrong any more.
const LOOK: Duration = Duration::from_secs(5);

/// What was sent before everything healed may arrive so much later.
const AFTERMATH: Duration = Duration::from_secs(150);

pub(crate) struct World {
    surroundings: Arc<Surroundings>,
    devices: Vec<Device>,
    plan: Plan,
    /// Copies of databases.
    backups: Vec<Option<Backup>>,
    /// How often the log was wiped.
    wipes: u8,
    /// Where the SQLite files are.
    _folder: Option<TempDir>,
}

impl World {
    pub(crate) fn new(sim: &Arc<Sim>, seed: u64, plan: Plan) -> Result<Self, String> {
        let model: Arc<Mutex<Model>> = Arc::default();
        let log = shared_log(sim, seed, plan.backend_log)?;
        let network = Network::new(sim, log, &model, (plan.devices, Random::of(seed, 2)));
        (lock(&model).renewals, lock(&model).follows) = (plan.copied || plan.wiped, plan.wiped);
        let (sim, habits) = (Arc::clone(sim), plan.habits);
        let surroundings = Arc::new(Surroundings { sim, network, model, habits, seed });
        let mut folder = None;
        if plan.sqlite {
            folder = Some(tempfile::tempdir().map_err(|error| format!("no folder: {error}"))?);
        }
        let mut devices = Vec::new();
        for (number, clock) in plan.clocks.iter().enumerate() {
            let Surroundings { sim, model, .. } = &*surroundings;
            let place = match &folder {
                Some(folder) => {
                    let path = folder.path().join(format!("{number}.db"));
                    let backend = SqliteBackend::open(path).map_err(|error| error.to_string())?;
                    Place::Elsewhere(Arc::new(backend))
                }
                None => Place::Memory(Arc::default()),
            };
            let clock = WallClock::new(sim, clock.offset, clock.grain);
            let disk = (Random::of(seed, 100 + number as u64), plan.disk);
            let database = Database::new(sim, number, place, model, disk, plan.power);
            devices.push(Device::new(number, &surroundings, database, clock));
        }
        let backups = devices.iter().map(|_| None).collect();
        Ok(Self { surroundings, devices, plan, backups, wipes: 0, _folder: folder })
    }

    fn sim(&self) -> &Arc<Sim> {
        &self.surroundings.sim
    }

    /// Runs to the end; tells how long after everything healed all were in step.
    pub(crate) fn run(&mut self) -> Result<Duration, String> {
        for (at, event) in std::mem::take(&mut self.plan.events) {
            self.run_until(at)?;
            self.act(event);
        }
        let healed = self.sim().now();
        let habits = &self.plan.habits;
        let waits = habits.backoff.cap + habits.longest + 4 * habits.deadline;
        let limit = healed + waits + AFTERMATH + Duration::from_secs(60);
        let settled = loop {
            self.run_until(self.sim().now() + LOOK)?;
            self.devices.iter().for_each(Device::help);
            match self.check() {
                Ok(()) => break self.sim().now() - healed,
                Err(why) if self.sim().now() >= limit => {
                    let waited = (self.sim().now() - healed).as_secs();
                    return Err(format!("{waited} s after everything has healed: {why}"));
                }
                Err(_) => {}
            }
        };
        self.sim().note("simulator", format_args!("all are in step"));
        // And it stays so.
        self.run_until(self.sim().now().max(healed + AFTERMATH) + habits_interval(&self.plan))?;
        self.check().map_err(|why| format!("after all were in step: {why}"))?;
        Ok(settled)
    }

    fn run_until(&self, until: Duration) -> Result<(), String> {
        let sim = self.sim();
        loop {
            sim.run_ready();
            self.devices.iter().for_each(Device::check_status);
            if let Some(why) = sim.violation() {
                return Err(why);
            }
            match sim.next_timer() {
                Some(at) if at <= until => sim.advance(at),
                _ if sim.now() < until => sim.advance(until),
                _ => return Ok(()),
            }
        }
    }

    fn act(&mut self, event: Event) {
        let sim = Arc::clone(self.sim());
        let network = Arc::clone(&self.surroundings.network);
        match event {
            Event::Write(device, write) => self.devices[device].write(write),
            Event::Start(device) => self.devices[device].start(),
            Event::Crash(device) => self.devices[device].crash(),
            Event::LosePower(device) => self.devices[device].lose_power(),
            Event::Restart(device) => self.devices[device].restart(),
            Event::Jump(device, by) => {
                let who = self.devices[device].name();
                sim.note(&who, format_args!("its wall clock jumps by {by} ms"));
                self.devices[device].clock.jump(by);
            }
            Event::Link(device, link) => {
                let state = match (link.up, link.down) {
                    (true, true) => "is connected",
                    (false, false) => "is cut off",
                    (false, true) => "sends in vain",
                    (true, false) => "gets no answers",
                };
                sim.note(&self.devices[device].name(), format_args!("{state}"));
                network.link(device, link);
            }
            Event::Online(device, online) => self.devices[device].online(online),
            Event::Weather(weather) => {
                sim.note("network", format_args!("{weather:?}"));
                network.weather(weather);
            }
            Event::SyncNow(device) => self.devices[device].sync_now(),
            Event::Pause(device, paused) => self.devices[device].pause(paused),
            Event::Help(device) => self.devices[device].help(),
            Event::Trim => match wait(network.log().trim()) {
                Ok(trimmed) => {
                    let count = trimmed.transactions;
                    sim.note("log", format_args!("is trimmed: {count} transactions"));
                }
                Err(error) => sim.violate(format!("the log cannot be trimmed: {error}")),
            },
            Event::Clone(from, to) => {
                if let Some(copy) = self.devices[from].database.backup() {
                    let who = self.devices[to].name();
                    sim.note(&who, format_args!("gets a copy of the database of device {from}"));
                    self.devices[to].restore(&copy);
                }
            }
            Event::BackUp(device) => {
                sim.note(&self.devices[device].name(), format_args!("is backed up"));
                self.backups[device] = self.devices[device].database.backup();
            }
            Event::Restore(device) => {
                if let Some(backup) = self.backups[device].take() {
                    sim.note(&self.devices[device].name(), format_args!("is put back"));
                    self.devices[device].restore(&backup);
                }
            }
            Event::Wipe(other) => self.wipe(other),
            Event::Heal => self.heal(),
        }
    }

    fn wipe(&mut self, other: bool) {
        let network = &self.surroundings.network;
        let which = if other { "another identity" } else { "the same identity" };
        self.sim().note("log", format_args!("is wiped, and has {which}"));
        self.wipes += 1;
        let mut id = LogId([7 + self.wipes; 16]);
        if !other {
            // It is not the one that it is told, so it only tells which it has.
            match wait(network.log().reidentify(id)) {
                Ok(known) => id = known,
                Err(error) => self.sim().violate(format!("the log has no identity: {error}")),
            }
        }
        network.replace_log(Arc::new(MemorySharedLog::new(id)));
    }

    fn heal(&mut self) {
        self.sim().note("simulator", format_args!("everything heals"));
        self.surroundings.network.heal();
        for device in &mut self.devices {
            device.database.heal();
            device.online(true);
            device.start();
        }
    }

    /// All devices are in step, and hold what they must.
    fn check(&self) -> Result<(), String> {
        self.devices.iter().try_for_each(Device::check_in_step)?;
        let model = lock(&self.surroundings.model);
        model.check_nothing_lost()?;
        let expected = model.expected();
        for device in &self.devices {
            let name = device.name();
            check_equal(&device.database.rows(), &expected)
                .map_err(|why| format!("{name}: {why}"))?;
            let parked = device.database.read(PARKED).map_err(|error| error.to_string())?;
            if let Some(parked) = parked.first() {
                let reason = parked.get(4).as_text().unwrap_or_default();
                return Err(format!("{name} has parked a transaction: {reason}"));
            }
        }
        let counts = expected.get(TALLY).cloned().unwrap_or_default();
        for (tally, sum) in model.tallies() {
            let count = counts.get(&tally).and_then(|row| row.get("count")?.as_int());
            if count != Some(sum) {
                return Err(format!("{tally} must be {sum}, the sum of its increments: {count:?}"));
            }
        }
        Ok(())
    }
}

fn habits_interval(plan: &Plan) -> Duration {
    plan.habits.longest + plan.habits.deadline
}

fn shared_log(sim: &Arc<Sim>, seed: u64, backend: bool) -> Result<Arc<dyn SharedSyncLog>, String> {
    if !backend {
        return Ok(Arc::new(MemorySharedLog::new(LogId([7; 16]))));
    }
    let clock = WallClock::new(sim, 0, 1);
    let runtime = Arc::new(SimRuntime::new(sim, WORLD, &clock, Random::of(seed, 3)));
    let opened = wait(BackendSharedLog::open(MemoryBackend::new(), runtime));
    Ok(Arc::new(opened.map_err(|error| format!("the log cannot be opened: {error}"))?))
}
