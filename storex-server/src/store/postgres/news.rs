//! News of what other servers, and this one, have appended: one connection listens for all who wait.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::select;
use storex_core::Runtime;
use tokio::sync::{oneshot, watch};
use tokio_postgres::{AsyncMessage, Config, NoTls};

use super::database::Result;
use super::failure::Failure;

const CHANNEL: &str = "storex_news";
const DURING: &str = "listening for news";

/// How long is waited before the database is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Tells all servers that something of this user is new.
///
/// It has to be of a transaction of its own, behind the one that it tells of: PostgreSQL commits transactions that notify one after the
/// other, each with its write to the disk. This one has nothing that has to reach the disk.
pub(super) fn tell(account: i64) -> String {
    format!("BEGIN; SET LOCAL synchronous_commit = off; NOTIFY {CHANNEL}, '{account}'; COMMIT")
}

/// Those who wait for news, by user.
#[derive(Debug, Default)]
pub(super) struct Hub {
    waiting: Mutex<HashMap<i64, watch::Sender<()>>>,
}

impl Hub {
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

    /// Nobody knows what was missed.
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
    config: Config,
    hub: &Arc<Hub>,
    closed: watch::Receiver<()>,
    runtime: &Arc<dyn Runtime>,
) -> Result<()> {
    let (ready, is_ready) = oneshot::channel();
    let task = Task { config, hub: Arc::downgrade(hub), runtime: Arc::clone(runtime) };
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
    hub: Weak<Hub>,
    runtime: Arc<dyn Runtime>,
}

impl Task {
    async fn run(&self, ready: oneshot::Sender<Result<()>>) {
        let mut ready = Some(ready);
        let mut pause = FIRST_PAUSE;
        loop {
            let mut heard = false;
            let lost = self.listen(|| {
                heard = true;
                if let Some(ready) = ready.take() {
                    let _ = ready.send(Ok(()));
                }
                if let Some(hub) = self.hub.upgrade() {
                    hub.wake_all();
                }
            });
            let failure = match lost.await {
                Ok(()) => Failure::passing(DURING, "the database closed the connection"),
                Err(failure) => failure,
            };
            if let Some(ready) = ready.take() {
                let _ = ready.send(Err(failure));
                return;
            }
            tracing::warn!(%failure, "no news from the database until it is there again");
            pause = if heard { FIRST_PAUSE } else { LONGEST_PAUSE.min(pause * 2) };
            self.runtime.sleep(pause).await;
        }
    }

    /// Listens until the connection is lost.
    async fn listen(&self, mut listening: impl FnMut()) -> Result<()> {
        let failure = |error| Failure::new(DURING, &error);
        let (client, mut connection) = self.config.connect(NoTls).await.map_err(failure)?;
        let command = format!("LISTEN {CHANNEL}");
        let mut begin = Some(Box::pin(client.batch_execute(&command)));
        loop {
            // The connection does nothing, not even for the command, but what it is polled for.
            let message = poll_fn(|cx| {
                if let Some(Poll::Ready(begun)) = begin.as_mut().map(|it| it.as_mut().poll(cx)) {
                    begin = None;
                    match begun {
                        Ok(()) => listening(),
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
                connection.poll_message(cx)
            });
            match message.await {
                Some(Ok(AsyncMessage::Notification(news))) => self.heard(news.payload()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(failure(error)),
                None => return Ok(()),
            }
        }
    }

    fn heard(&self, payload: &str) {
        if let (Some(hub), Ok(account)) = (self.hub.upgrade(), payload.parse()) {
            hub.wake(account);
        }
    }
}
