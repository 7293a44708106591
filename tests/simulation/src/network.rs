//! [`Network`]: what lies between the devices and their shared log.
//!
//! A request is a task of its own: once it is under way nobody can take it back, whoever has asked may have given up or be
//! gone, and it may overtake another. What happens to it is drawn when it sets out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use storex_core::BoxFuture;
use storex_sync::{
    Cursor, Device, LogId, LogRequest, Member, Page, Result, SealedTransaction, SharedSyncLog,
    SyncError, Trimmed,
};
use tokio::sync::oneshot;

use crate::model::{Model, told};
use crate::random::Random;
use crate::sim::{Sim, WORLD, lock};

/// How bad the network is: times in a hundred, unless it says something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weather {
    /// The longest way in one direction, in milliseconds.
    pub(crate) latency: u64,
    /// A request that fails at once.
    pub(crate) fails: u64,
    /// A request that never arrives; nobody is told.
    pub(crate) loses_request: u64,
    /// A request that arrives, and whose answer does not.
    pub(crate) loses_answer: u64,
    /// A request that arrives a second time, later.
    pub(crate) repeats: u64,
    /// A request that takes up to a minute.
    pub(crate) delays: u64,
    /// A page with something that was delivered before.
    pub(crate) redelivers: u64,
    /// A page in which something is missing that comes before something of the same device.
    pub(crate) leaves_out: u64,
    /// The log wants to be left alone.
    pub(crate) limits_rate: u64,
    /// The log does not know who asks, until there is a login.
    pub(crate) forgets_login: u64,
}

impl Weather {
    /// Nothing goes wrong.
    pub(crate) const FINE: Self = Self {
        latency: 40,
        fails: 0,
        loses_request: 0,
        loses_answer: 0,
        repeats: 0,
        delays: 0,
        redelivers: 0,
        leaves_out: 0,
        limits_rate: 0,
        forgets_login: 0,
    };
}

/// The connection of a device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    /// Requests arrive.
    pub(crate) up: bool,
    /// Answers arrive.
    pub(crate) down: bool,
}

/// What lies between the devices and their shared log, and the log itself.
#[derive(Debug)]
pub(crate) struct Network {
    sim: Arc<Sim>,
    log: Mutex<Arc<dyn SharedSyncLog>>,
    model: Arc<Mutex<Model>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: Random,
    weather: Weather,
    links: Vec<Link>,
    logged_out: Vec<bool>,
    /// What was delivered to each device last.
    delivered: Vec<Vec<SealedTransaction>>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
struct Fate {
    there: Duration,
    back: Duration,
    fails: bool,
    loses_request: bool,
    loses_answer: bool,
    again_after: Option<Duration>,
    refusal: Option<Refusal>,
}

#[derive(Debug, Clone, Copy)]
enum Refusal {
    Rate(Duration),
    Login,
}

impl Network {
    pub(crate) fn new(
        sim: &Arc<Sim>,
        log: Arc<dyn SharedSyncLog>,
        model: &Arc<Mutex<Model>>,
        (devices, random): (usize, Random),
    ) -> Arc<Self> {
        let state = State {
            random,
            weather: Weather::FINE,
            links: vec![Link { up: true, down: true }; devices],
            logged_out: vec![false; devices],
            delivered: vec![Vec::new(); devices],
        };
        let (sim, model, state) = (Arc::clone(sim), Arc::clone(model), Mutex::new(state));
        Arc::new(Self { sim, log: Mutex::new(log), model, state })
    }

    pub(crate) fn weather(&self, weather: Weather) {
        lock(&self.state).weather = weather;
    }

    pub(crate) fn link(&self, device: usize, link: Link) {
        lock(&self.state).links[device] = link;
    }

    /// The user logs in on a device; whether there was need.
    pub(crate) fn log_in(&self, device: usize) -> bool {
        std::mem::take(&mut lock(&self.state).logged_out[device])
    }

    /// Everything is as good as can be.
    pub(crate) fn heal(&self) {
        let mut state = lock(&self.state);
        state.weather = Weather::FINE;
        state.links.fill(Link { up: true, down: true });
        state.logged_out.fill(false);
    }

    pub(crate) fn log(&self) -> Arc<dyn SharedSyncLog> {
        Arc::clone(&*lock(&self.log))
    }

    /// From now on there is another log.
    pub(crate) fn replace_log(&self, log: Arc<dyn SharedSyncLog>) {
        *lock(&self.log) = log;
        // Nobody delivers again what the former one has delivered.
        lock(&self.state).delivered.iter_mut().for_each(Vec::clear);
    }

    /// The connection that has delivered something to a device is gone with its processes, and its database is another one.
    pub(crate) fn forget_delivered(&self, device: usize) {
        lock(&self.state).delivered[device].clear();
    }

    /// What is under way to a log that is gone does not arrive.
    fn still_has(&self, log: &Arc<dyn SharedSyncLog>) -> bool {
        Arc::ptr_eq(log, &self.log())
    }

    fn is_up(&self, device: usize) -> bool {
        lock(&self.state).links[device].up
    }

    fn is_down(&self, device: usize) -> bool {
        lock(&self.state).links[device].down
    }

    fn fate(&self, device: usize) -> Fate {
        let mut state = lock(&self.state);
        let State { random, weather, logged_out, .. } = &mut *state;
        let mut way = || {
            let milliseconds = random.between(1, weather.latency);
            let late = random.chance(weather.delays);
            Duration::from_millis(if late { random.between(0, 60_000) } else { milliseconds })
        };
        let (there, back) = (way(), way());
        let refusal = if random.chance(weather.limits_rate) {
            Some(Refusal::Rate(Duration::from_millis(random.between(0, 20_000))))
        } else {
            logged_out[device] |= random.chance(weather.forgets_login);
            logged_out[device].then_some(Refusal::Login)
        };
        Fate {
            there,
            back,
            fails: random.chance(weather.fails),
            loses_request: random.chance(weather.loses_request),
            loses_answer: random.chance(weather.loses_answer),
            again_after: random
                .chance(weather.repeats)
                .then(|| Duration::from_millis(random.between(0, 90_000))),
            refusal,
        }
    }

    /// What the log would not do: pages with something delivered twice, or left out.
    fn spoil(&self, device: usize, page: &mut Page) {
        let mut state = lock(&self.state);
        let State { random, weather, delivered, .. } = &mut *state;
        let fresh = page.transactions.clone();
        if random.chance(weather.leaves_out) && page.transactions.len() > 1 {
            let at = random.index(page.transactions.len() - 1);
            let author = page.transactions[at].device;
            if page.transactions[at + 1..].iter().any(|later| later.device == author) {
                let gone = page.transactions.remove(at);
                let name = told((gone.device, gone.sequence));
                self.sim.note("network", format_args!("leaves {name} out of a page"));
            }
        }
        if random.chance(weather.redelivers) && !delivered[device].is_empty() {
            let again = delivered[device].clone();
            self.sim.note("network", format_args!("delivers {} once more", again.len()));
            page.transactions.splice(0..0, again);
        }
        if !fresh.is_empty() {
            delivered[device] = fresh;
        }
    }

    fn accepted(&self, transactions: &[SealedTransaction]) {
        let mut model = lock(&self.model);
        for SealedTransaction { device, sequence, payload } in transactions {
            if let Err(why) = model.accept((*device, *sequence), payload) {
                self.sim.violate(why);
            }
        }
    }
}

/// The shared log as a device sees it.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) network: Arc<Network>,
    pub(crate) device: usize,
}

type Request<T> = Arc<dyn Fn() -> BoxFuture<'static, Result<T>> + Send + std::marker::Sync>;

impl Remote {
    fn name(&self) -> String {
        format!("device {}", self.device)
    }

    /// Sends a request on its way and waits for the answer, however long.
    async fn ask<T: Send + 'static>(&self, what: &str, request: Request<T>) -> Result<T> {
        let network = &self.network;
        let fate = network.fate(self.device);
        let told = what.to_owned();
        if fate.fails {
            network.sim.note(&self.name(), format_args!("asks to {what}: fails"));
            network.sim.sleep(fate.there).await;
            return Err(failed());
        }
        network.sim.note(&self.name(), format_args!("asks to {what}"));
        let (answer, answered) = oneshot::channel();
        let way = travel(Arc::clone(network), self.device, fate, (told, request), answer);
        network.sim.spawn(WORLD, Box::pin(way));
        match answered.await {
            Ok(result) => result,
            // Nobody says that nothing will come.
            Err(_) => std::future::pending().await,
        }
    }
}

async fn travel<T: Send + 'static>(
    network: Arc<Network>,
    device: usize,
    fate: Fate,
    (what, request): (String, Request<T>),
    mut answer: oneshot::Sender<Result<T>>,
) {
    let note = |how: &str| network.sim.note("network", format_args!("{what} of {device} {how}"));
    let log = network.log();
    network.sim.sleep(fate.there).await;
    if fate.loses_request || !network.is_up(device) || !network.still_has(&log) {
        return note("is lost");
    }
    if let Some(after) = fate.again_after {
        let (network, what, request) = (Arc::clone(&network), what.clone(), Arc::clone(&request));
        let sim = Arc::clone(&network.sim);
        sim.spawn(
            WORLD,
            Box::pin(async move {
                network.sim.sleep(after).await;
                if !network.still_has(&log) {
                    return;
                }
                network.sim.note("network", format_args!("{what} of {device} arrives again"));
                // Nobody waits for this answer.
                drop(request().await);
            }),
        );
    }
    let result = match fate.refusal {
        Some(Refusal::Rate(retry_after)) => Err(SyncError::RateLimited { retry_after }),
        Some(Refusal::Login) => Err(SyncError::Unauthorized { reason: "logged out".to_owned() }),
        None => tokio::select! {
            biased;
            result = request() => result,
            // Only what waits for news is still waiting then.
            () = answer.closed() => return,
        },
    };
    network.sim.sleep(fate.back).await;
    if fate.loses_answer || !network.is_down(device) {
        return note("is not answered");
    }
    if let Err(error) = &result {
        note(&format!("is refused: {error}"));
    }
    // Whoever asked may have given up.
    let _ = answer.send(result);
}

fn failed() -> SyncError {
    SyncError::Transport { during: "a request", reason: "the connection was refused".to_owned() }
}

/// What is asked for, in words.
fn told_of(request: &LogRequest) -> String {
    let appends = match &request.append[..] {
        [] => None,
        [first, .., last] => Some(format!("append {} to {}", first.sequence, last.sequence)),
        [one] => Some(format!("append {}", one.sequence)),
    };
    let acknowledges = request.acknowledge.as_ref().map(|_| "acknowledge".to_owned());
    let reads = request.read.as_ref().map(|_| "read".to_owned());
    [acknowledges, appends, reads].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[async_trait]
impl SharedSyncLog for Remote {
    async fn register(&self, device: Device) -> Result<LogId> {
        let network = Arc::clone(&self.network);
        let request: Request<LogId> = Arc::new(move || {
            let log = network.log();
            Box::pin(async move { log.register(device).await })
        });
        self.ask("register", request).await
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        let [first, ..] = transactions else { return Ok(()) };
        let append = transactions.to_vec();
        let request = LogRequest { device: first.device, append, ..LogRequest::default() };
        self.exchange(&request, 0).await.map(drop)
    }

    async fn read(&self, reader: Device, after: &Cursor, limit: usize) -> Result<Page> {
        let read = Some(after.clone());
        let request = LogRequest { device: reader, read, ..LogRequest::default() };
        self.exchange(&request, limit).await?.ok_or_else(failed)
    }

    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> Result<()> {
        let acknowledge = Some(cursor.clone());
        let request = LogRequest { device: reader, acknowledge, ..LogRequest::default() };
        self.exchange(&request, 0).await.map(drop)
    }

    /// One request, whose parts are done one after the other: what was appended stays where the reading fails.
    async fn exchange(&self, request: &LogRequest, limit: usize) -> Result<Option<Page>> {
        let network = Arc::clone(&self.network);
        let what = told_of(request);
        let (at, asked) = (self.device, Arc::new(request.clone()));
        let request: Request<Option<Page>> = Arc::new(move || {
            let (network, asked) = (Arc::clone(&network), Arc::clone(&asked));
            Box::pin(async move {
                let log = network.log();
                let LogRequest { device, acknowledge, append, read } = &*asked;
                if let Some(cursor) = acknowledge {
                    log.acknowledge(*device, cursor).await?;
                }
                if !append.is_empty() {
                    log.append(append).await?;
                    network.accepted(append);
                }
                let Some(after) = read else { return Ok(None) };
                let mut page = log.read(*device, after, limit).await?;
                network.spoil(at, &mut page);
                Ok(Some(page))
            })
        });
        let page = self.ask(&what, request).await?;
        if let Some(page) = &page {
            let (count, more) =
                (page.transactions.len(), if page.more { ", more follow" } else { "" });
            self.network.sim.note(&self.name(), format_args!("gets {count} transactions{more}"));
        }
        Ok(page)
    }

    async fn changed(&self, reader: Device, after: &Cursor) -> Result<()> {
        let (network, after) = (Arc::clone(&self.network), after.clone());
        let request: Request<()> = Arc::new(move || {
            let (log, after) = (network.log(), after.clone());
            Box::pin(async move { log.changed(reader, &after).await })
        });
        self.ask("wait for news", request).await
    }

    async fn members(&self) -> Result<Vec<Member>> {
        self.network.log().members().await
    }

    async fn dismiss(&self, device: Device) -> Result<bool> {
        self.network.log().dismiss(device).await
    }

    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        let network = Arc::clone(&self.network);
        let request: Request<LogId> = Arc::new(move || {
            let log = network.log();
            Box::pin(async move { log.reidentify(known).await })
        });
        self.ask("give the log another identity", request).await
    }

    async fn trim(&self) -> Result<Trimmed> {
        self.network.log().trim().await
    }
}
