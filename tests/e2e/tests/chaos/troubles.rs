//! [`Troubles`]: what breaks, and when.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use storex_e2e::fault_proxy::{Cut, Towards};
use storex_e2e::is_long;
use storex_e2e::rng::Rng;

use super::site::{Database, Site};

/// Something that breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    /// One connection is cut.
    CutOne(HowCut),
    /// All connections are cut.
    CutAll(HowCut),
    /// Each is cut in the middle of what it says to the server next.
    CutRequest,
    /// Each is cut in the middle of what it hears next.
    CutAnswer,
    /// All are cut, and nobody can connect for a while.
    Outage,
    /// Nothing gets through for a while, and nobody is told.
    Stall,
    /// Nothing gets through for a while, and what was on its way is lost with its connection.
    StallAndCut,
    /// Everything takes longer for a while.
    Delay,
    KillServer,
    /// It is back after a while.
    ServerOutage,
    KillDevice,
    StopDatabase,
    KillDatabase,
}

/// [`Cut`], in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum HowCut {
    Reset,
    SeenByDevice,
    SeenByServer,
}

impl From<HowCut> for Cut {
    fn from(how: HowCut) -> Self {
        match how {
            HowCut::Reset => Self::Reset,
            HowCut::SeenByDevice => Self::SeenByDevice,
            HowCut::SeenByServer => Self::SeenByServer,
        }
    }
}

/// What comes in each round, in an order that is drawn.
const ALL: [Trouble; 22] = [
    Trouble::CutOne(HowCut::Reset),
    Trouble::CutOne(HowCut::SeenByDevice),
    Trouble::CutOne(HowCut::SeenByServer),
    Trouble::CutAll(HowCut::Reset),
    Trouble::CutAll(HowCut::SeenByDevice),
    Trouble::CutAll(HowCut::SeenByServer),
    Trouble::CutRequest,
    Trouble::CutRequest,
    Trouble::CutRequest,
    Trouble::CutAnswer,
    Trouble::CutAnswer,
    Trouble::CutAnswer,
    Trouble::CutAnswer,
    Trouble::Outage,
    Trouble::Stall,
    Trouble::StallAndCut,
    Trouble::Delay,
    Trouble::KillServer,
    Trouble::KillServer,
    Trouble::ServerOutage,
    Trouble::KillDevice,
    Trouble::KillDevice,
];

/// What comes in each round too where the database is a server of its own.
const OF_THE_DATABASE: [Trouble; 2] = [Trouble::StopDatabase, Trouble::KillDatabase];

/// Draws what breaks; each in its turn, so that a short run has all of it.
pub(crate) struct Troubles {
    rng: Rng,
    all: Vec<Trouble>,
    /// What is left of this round.
    left: Vec<Trouble>,
    had: BTreeMap<Trouble, u32>,
}

impl fmt::Display for Troubles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.had)
    }
}

impl Troubles {
    pub(crate) fn new(rng: Rng, site: &Site) -> Self {
        let more = match &site.database {
            Database::File => &[][..],
            Database::Postgres(_) => &OF_THE_DATABASE,
        };
        let all = [&ALL, more].concat();
        Self { rng, all, left: Vec::new(), had: BTreeMap::new() }
    }

    /// Whether each was there.
    pub(crate) fn had_all(&self) -> bool {
        self.all.iter().all(|trouble| self.had.contains_key(trouble))
    }

    fn draw(&mut self) -> Trouble {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
        }
        let nth = self.rng.below(self.left.len() as u64);
        self.left.swap_remove(usize::try_from(nth).expect("a small number"))
    }

    /// Lets time pass: as long as something is broken, or until the next thing breaks.
    #[allow(clippy::disallowed_methods)] // other processes go on meanwhile: no virtual clock can stand for that
    fn wait(&mut self, at_most: u64) {
        std::thread::sleep(Duration::from_millis(self.rng.below(at_most)));
    }

    /// As long as something is broken that takes a while; now and then longer than a request waits.
    fn endure(&mut self) {
        let long = is_long() && self.rng.below(5) == 0;
        self.wait(if long { 12_000 } else { 1000 });
    }

    /// Something breaks, and is put right again.
    pub(crate) fn make_one(&mut self, site: &mut Site) {
        self.wait(500);
        let trouble = self.draw();
        *self.had.entry(trouble).or_default() += 1;
        let nth = self.rng.bits();
        match trouble {
            Trouble::CutOne(how) => site.network.cut_one(nth, how.into()),
            Trouble::CutAll(how) => site.network.cut_all(how.into()),
            Trouble::CutRequest => {
                site.network.cut_within(Towards::Server, self.rng.below(1000));
            }
            Trouble::CutAnswer => {
                site.network.cut_within(Towards::Device, self.rng.below(1000));
            }
            Trouble::Outage => {
                site.network.refuse(true);
                site.network.cut_all(Cut::Reset);
                self.endure();
                site.network.refuse(false);
            }
            Trouble::Stall => {
                site.network.stall(true);
                self.endure();
                site.network.stall(false);
            }
            Trouble::StallAndCut => {
                site.network.stall(true);
                self.endure();
                site.network.cut_all(Cut::Reset);
                site.network.stall(false);
            }
            Trouble::Delay => {
                site.network.delay(Duration::from_millis(5 + self.rng.below(100)));
                self.endure();
                site.network.delay(Duration::ZERO);
            }
            Trouble::KillServer => {
                site.kill_server();
                site.start_server();
            }
            Trouble::ServerOutage => {
                site.kill_server();
                self.endure();
                site.start_server();
            }
            Trouble::KillDevice => site.kill_device(nth),
            Trouble::StopDatabase => self.restart(site, |cluster| cluster.stop()),
            Trouble::KillDatabase => self.restart(site, |cluster| cluster.kill()),
        }
    }

    fn restart(
        &mut self,
        site: &Site,
        break_it: impl FnOnce(&storex_postgres_cluster::Cluster) -> storex_postgres_cluster::Result<()>,
    ) {
        if let Database::Postgres(cluster) = &site.database {
            break_it(cluster).expect("it was running");
            self.endure();
            cluster.start_again().expect("it starts again");
        }
    }
}
