//! News of what other servers, and this one, have done: one connection listens for all who wait.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use storex_core::Runtime;
use storex_sync::http::{id_of_text, id_text};
use tokio::sync::{broadcast, oneshot, watch};
use tokio_postgres::{AsyncMessage, Client, Config, Error, Notification, Row};

use super::database::{Result, Session};
use super::failure::Failure;
use super::tls::Tls;
use crate::store::DeviceId;
use crate::user::User;

/// Something of a user is new; the payload is the user's number.
const NEWS: &str = "storex_news";

/// A device was revoked; the payload is its id in hexadecimal digits, and the user's name behind it.
const REVOKED: &str = "storex_revoked";

/// Revocations that a receiver may be behind.
const MOST_BEHIND: usize = 256;

/// How far the clocks of servers may be apart, and then some.
const SKEW: i64 = 10 * 60 * 1000;

/// What was revoked while nobody listened.
const MISSED: &str = "SELECT account.name, known.id FROM storex.device AS known
    JOIN storex.account AS account ON account.id = known.account WHERE known.revoked_at >= $1";

const DURING: &str = "listening for news";

/// How long is waited before the database is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Something in front of the database may take a connection and say nothing.
const LONGEST_CONNECTING: Duration = Duration::from_secs(10);

/// Tells all servers that something of this user is new.
///
/// It has to be of a transaction of its own, behind the one that it tells of: PostgreSQL commits transactions that notify one after the
/// other, each with its write to the disk. This one has nothing that has to reach the disk.
pub(super) fn tell(account: i64) -> String {
    format!("BEGIN; SET LOCAL synchronous_commit = off; NOTIFY {NEWS}, '{account}'; COMMIT")
}

/// Tells all servers that a device was revoked.
pub(super) async fn tell_revoked(
    session: &Session<'_>,
    user: &User,
    device: DeviceId,
) -> Result<()> {
    let payload = format!("{}{user}", id_text(device));
    session.ask("SELECT pg_notify($1, $2)", &[&REVOKED, &payload]).await.map(drop)
}

/// Who was revoked, as [`tell_revoked`] tells it.
fn revoked_of(payload: &str) -> Option<(User, DeviceId)> {
    let (id, name) = payload.split_at_checked(32)?;
    Some((User::new(name).ok()?, id_of_text(id).ok()?))
}

/// Those who wait for news, by user, and those who want to know what is revoked.
#[derive(Debug)]
pub(super) struct Hub {
    waiting: Mutex<HashMap<i64, watch::Sender<()>>>,
    pub(super) revocations: broadcast::Sender<(User, DeviceId)>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { waiting: Mutex::default(), revocations: broadcast::Sender::new(MOST_BEHIND) }
    }
}

impl Hub {
    fn tell_revoked(&self, user: User, device: DeviceId) {
        // Nobody may want to know.
        let _ = self.revocations.send((user, device));
    }

    /// News of a user from now on.
    pub(super) fn listen(self: &Arc<Self>, account: i64) -> Listener {
        let mut waiting = self.lock();
        let news = waiting.entry(account).or_default().subscribe();
        Listener { hub: Arc::clone(self), account, news: Some(news) }
    }

    fn wake(&self, account: i64) {
        if let Some(news) = self.lock().get(&account) {
            news.send_replace(());
        }
    }

    fn wake_all(&self) {
        for news in self.lock().values() {
            news.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, watch::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits for news of a user.
#[derive(Debug)]
pub(super) struct Listener {
    hub: Arc<Hub>,
    account: i64,
    /// Until it is dropped.
    news: Option<watch::Receiver<()>>,
}

impl Listener {
    /// Returns when there may have been news since the last time, or since it was made.
    pub(super) async fn next(&mut self) {
        // The hub keeps the sender while there is a receiver.
        if let Some(news) = &mut self.news {
            let _ = news.changed().await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut waiting = self.hub.lock();
        self.news = None;
        if waiting.get(&self.account).is_some_and(|news| news.receiver_count() == 0) {
            waiting.remove(&self.account);
        }
    }
}

/// Listens for as long as the hub is there. Returns when it listens for the first time.
///
/// # Errors
/// When it cannot listen now; it does not go on trying then.
pub(super) async fn start(
    (config, tls): (Config, Tls),
    hub: &Arc<Hub>,
    closed: watch::Receiver<()>,
    runtime: &Arc<dyn Runtime>,
) -> Result<()> {
    let (ready, is_ready) = oneshot::channel();
    let task = Task { config, tls, hub: Arc::downgrade(hub), runtime: Arc::clone(runtime) };
    runtime.spawn(Box::pin(async move {
        let mut closed = closed;
        // It changes when the store is gone.
        let gone = pin!(closed.changed());
        let _ = select(pin!(task.run(ready)), gone).await;
    }));
    let stopped = |_| Failure::passing(DURING, "nobody runs it");
    is_ready.await.map_err(stopped)?
}

struct Task {
    config: Config,
    tls: Tls,
    hub: Weak<Hub>,
    runtime: Arc<dyn Runtime>,
}

impl Task {
    async fn run(&self, ready: oneshot::Sender<Result<()>>) {
        let mut ready = Some(ready);
        let mut pause = FIRST_PAUSE;
        let mut lost_at = None;
        loop {
            let mut heard = false;
            let lost = self.listen(lost_at, |missed| {
                heard = true;
                if let Some(ready) = ready.take() {
                    let _ = ready.send(Ok(()));
                }
                self.catch_up(&missed);
            });
            let failure = match lost.await {
                Ok(()) => Failure::passing(DURING, "the database closed the connection"),
                Err(failure) => failure,
            };
            if let Some(ready) = ready.take() {
                let _ = ready.send(Err(failure));
                return;
            }
            if heard || lost_at.is_none() {
                lost_at = Some(self.runtime.now().0);
            }
            tracing::warn!(%failure, "no news from the database until it is there again");
            pause = if heard { FIRST_PAUSE } else { LONGEST_PAUSE.min(pause * 2) };
            self.runtime.sleep(pause).await;
        }
    }

    /// Listens until the connection is lost. Tells when it begins, and what was revoked since it last listened.
    async fn listen(
        &self,
        lost_at: Option<i64>,
        mut listening: impl FnMut(Vec<Row>),
    ) -> Result<()> {
        let failure = |error| Failure::new(DURING, &error);
        let connecting = pin!(self.config.connect(self.tls.clone()));
        let (client, mut connection) =
            match select(connecting, self.runtime.sleep(LONGEST_CONNECTING)).await {
                Either::Left((connected, _)) => connected.map_err(failure)?,
                Either::Right(_) => {
                    return Err(Failure::passing(DURING, "no connection came about in time"));
                }
            };
        let mut begin = Some(Box::pin(begin(&client, lost_at)));
        loop {
            // The connection does nothing, not even for the command, but what it is polled for.
            let message = poll_fn(|cx| {
                if let Some(Poll::Ready(begun)) = begin.as_mut().map(|it| it.as_mut().poll(cx)) {
                    begin = None;
                    match begun {
                        Ok(missed) => listening(missed),
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
                connection.poll_message(cx)
            });
            match message.await {
                Some(Ok(AsyncMessage::Notification(told))) => self.heard(&told),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(failure(error)),
                None => return Ok(()),
            }
        }
    }

    fn heard(&self, told: &Notification) {
        let Some(hub) = self.hub.upgrade() else { return };
        if told.channel() == REVOKED {
            if let Some((user, device)) = revoked_of(told.payload()) {
                hub.tell_revoked(user, device);
            }
        } else if let Ok(account) = told.payload().parse() {
            hub.wake(account);
        }
    }

    /// Nobody knows what else was missed.
    fn catch_up(&self, missed: &[Row]) {
        let Some(hub) = self.hub.upgrade() else { return };
        hub.wake_all();
        for row in missed {
            let (name, id) = (row.try_get::<_, String>(0), row.try_get::<_, &[u8]>(1));
            let user = name.ok().and_then(|name| User::new(name).ok());
            let device = id.ok().and_then(|id| id.try_into().ok());
            if let (Some(user), Some(device)) = (user, device) {
                hub.tell_revoked(user, device);
            }
        }
    }
}

/// Begins to listen, and looks for what was revoked meanwhile.
async fn begin(client: &Client, lost_at: Option<i64>) -> std::result::Result<Vec<Row>, Error> {
    client.batch_execute(&format!("LISTEN {NEWS}; LISTEN {REVOKED}")).await?;
    match lost_at {
        Some(at) => client.query(MISSED, &[&at.saturating_sub(SKEW)]).await,
        None => Ok(Vec::new()),
    }
}
