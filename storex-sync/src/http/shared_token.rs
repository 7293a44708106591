//! [`SharedToken`]: a token that all programs and tabs on one database share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use storex_core::{Batch, MaybeSend, MaybeSync, Runtime, Storage};
use tokio::sync::oneshot;

use super::credentials::{Credentials, Token};
use super::token_row::{Row, TOKEN, Tokens};
use crate::deadline::in_time;
use crate::error::{During, Result, SyncError, abort};
use crate::lane::Lane;
use crate::meta::{meta_query, read_meta, write_meta};

/// How long one renewal may take. Another program takes over when it has not come back then.
const RENEWAL: Duration = Duration::from_secs(20);
/// How long a renewal is left to the program that has begun it.
const LEASE: Duration = Duration::from_secs(25);
/// How often somebody looks whether another one has renewed it.
const LOOK: Duration = Duration::from_millis(100);
/// How often somebody looks who waits for a login.
const LOGIN_LOOK: Duration = Duration::from_secs(1);

/// Gets new tokens: from the identity provider, by what it has given.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait TokenSource: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// Tokens in place of these, of which the first is not accepted any more. It is given up after 20 seconds.
    ///
    /// # Errors
    /// [`SyncError::Unauthorized`] when that cannot be had without somebody logging in; [`SyncError::Transport`] and the like when it
    /// may go better later.
    async fn renew(&self, tokens: &Tokens) -> Result<Tokens>;
}

/// [`Credentials`] that all programs and tabs on one database share: the tokens are in the database, and when the server does not accept
/// the token any more, **one** of them renews it, and the others take what it got. A renewal that failed for good is not tried again
/// either: whoever asks is told to log in.
///
/// A renewal that was begun is brought to its end, whoever gives up waiting: an identity provider that gives a new refresh token each time
/// takes the old one only once. If the program that renews is gone, another one takes over after 25 seconds.
///
/// After [`login`](Self::login) in one program, call [`ContinuousSync::logged_in`](crate::ContinuousSync::logged_in) in each: the others
/// learn of it by [`logged_in`](Self::logged_in).
///
/// The tokens lie in the reserved collection `_storex_meta` of the application's own database, as safe as the rest of it, and signing out
/// ([`Sync::sign_out`](crate::Sync::sign_out)) removes them.
#[derive(Clone)]
pub struct SharedToken {
    inner: Arc<Inner>,
}

struct Inner {
    storage: Lane,
    source: Arc<dyn TokenSource>,
    /// Who renews, where several could.
    holder: [u8; 16],
    /// What was got and could not be written yet.
    unwritten: Mutex<Option<Renewed>>,
    /// The last token that the server refused for good.
    refused: Mutex<Option<Token>>,
    /// In this program one renews at a time.
    turn: tokio::sync::Mutex<()>,
}

impl fmt::Debug for SharedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedToken").field("source", &self.inner.source).finish_non_exhaustive()
    }
}

/// Tokens, and in place of which they are: those are spent.
#[derive(Clone)]
struct Renewed {
    old: Token,
    new: Tokens,
}

/// What to do about a token that is not accepted.
#[derive(Clone)]
enum Claim {
    /// Renew these.
    Ours(Tokens),
    /// Another one is there.
    Replaced(Token),
    /// Another program renews it.
    Elsewhere,
    /// Somebody has to log in.
    LogIn,
}

impl SharedToken {
    /// The token of this storage, which has the [`SyncLog`](crate::SyncLog) middleware.
    #[must_use]
    pub fn new(storage: &Storage, source: Arc<dyn TokenSource>) -> Self {
        let mut holder = [0; 16];
        storage.runtime().fill_random(&mut holder);
        let (unwritten, refused) = (Mutex::default(), Mutex::default());
        let (storage, turn) = (Lane::from(storage), tokio::sync::Mutex::default());
        Self { inner: Arc::new(Inner { storage, source, holder, unwritten, refused, turn }) }
    }

    /// Keeps the tokens of a login.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn login(&self, tokens: Tokens) -> Result<()> {
        self.inner.write(Row::of(tokens)).await?;
        *lock(&self.inner.refused) = None;
        Ok(())
    }

    /// Forgets the tokens, in all programs.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn logout(&self) -> Result<()> {
        self.inner.write(Row::default()).await
    }

    /// Returns when there is a token other than the one that was refused: when somebody has logged in, in whatever program.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn logged_in(&self) -> Result<()> {
        loop {
            let refused = lock(&self.inner.refused).clone();
            if self.inner.row().await?.token().is_some_and(|token| Some(token) != refused.as_ref())
            {
                return Ok(());
            }
            self.inner.runtime().sleep(LOGIN_LOOK).await;
        }
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Credentials for SharedToken {
    async fn token(&self) -> Result<Token> {
        // Another program may have changed the account: what is of the one must not be sent to the other.
        self.inner.row().await?.token().cloned().ok_or_else(log_in)
    }

    async fn refresh(&self, rejected: &Token) -> Result<Token> {
        let (inner, rejected) = (Arc::clone(&self.inner), rejected.clone());
        let (tell, told) = oneshot::channel();
        // Whoever waits may give up; the renewal does not.
        self.inner.runtime().spawn(Box::pin(async move {
            let _ = tell.send(inner.renew(&rejected).await);
        }));
        told.await.unwrap_or(Err(SyncError::Stopped))
    }

    fn refused(&self, token: &Token) {
        *lock(&self.inner.refused) = Some(token.clone());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn log_in() -> SyncError {
    SyncError::Unauthorized { reason: "nobody is logged in, or the login has expired".to_owned() }
}

impl Inner {
    fn runtime(&self) -> &Arc<dyn Runtime> {
        self.storage.runtime()
    }

    async fn renew(&self, rejected: &Token) -> Result<Token> {
        let _turn = self.turn.lock().await;
        if let Some(token) = self.row().await?.token().filter(|token| *token != rejected) {
            return Ok(token.clone());
        }
        loop {
            match self.claim(rejected.clone()).await? {
                Claim::Ours(tokens) => return self.renew_these(tokens).await,
                Claim::Replaced(token) => return Ok(token),
                Claim::LogIn => return Err(log_in()),
                Claim::Elsewhere => self.runtime().sleep(LOOK).await,
            }
        }
    }

    async fn renew_these(&self, tokens: Tokens) -> Result<Token> {
        let renewing = self.source.renew(&tokens);
        let renewed = in_time(&**self.runtime(), RENEWAL, "renewing the token", renewing).await;
        match renewed {
            Ok(new) => {
                *lock(&self.unwritten) = Some(Renewed { old: tokens.access, new });
                self.row().await?.token().cloned().ok_or_else(log_in)
            }
            Err(error) => {
                let refused = matches!(error, SyncError::Unauthorized { .. });
                self.replace(tokens.access.clone(), Row::of(tokens).refused(refused)).await?;
                Err(error)
            }
        }
    }

    /// The row. What was got and could not be written is written first, or else is told as if it were: an identity provider takes
    /// a refresh token once, so nobody gets it again.
    async fn row(&self) -> Result<Row> {
        let Some(Renewed { old, new }) = lock(&self.unwritten).clone() else {
            return self.read().await;
        };
        let renewed = Row::of(new);
        match self.replace(old.clone(), renewed.clone()).await {
            Ok(row) => {
                lock(&self.unwritten).take_if(|it| it.old == old);
                Ok(row)
            }
            Err(error) => {
                tracing::warn!(%error, "a renewed token could not be written yet");
                let row = self.read().await?;
                Ok(if row.access() == Some(&old) { renewed } else { row })
            }
        }
    }

    /// Writes the row if it has this token. Who has logged in meanwhile is not logged out. Tells what it is then.
    async fn replace(&self, old: Token, row: Row) -> Result<Row> {
        self.decide(move |found| match found.access() == Some(&old) {
            true => (row.clone(), Some(row.clone())),
            false => (found, None),
        })
        .await
    }

    /// Looks what to do, and says that this program does it.
    async fn claim(&self, rejected: Token) -> Result<Claim> {
        let (runtime, holder) = (Arc::clone(self.runtime()), self.holder);
        self.decide(move |row| {
            let now = runtime.now();
            let claim = match (row.token(), row.tokens()) {
                (Some(token), _) if *token != rejected => Claim::Replaced(token.clone()),
                (Some(_), _) if row.is_held_by_another(holder, now, LEASE) => Claim::Elsewhere,
                (Some(_), Some(tokens)) => Claim::Ours(tokens.clone()),
                _ => Claim::LogIn,
            };
            let held = matches!(claim, Claim::Ours(_)).then(|| row.held(holder, now, LEASE));
            (claim, held)
        })
        .await
    }

    async fn read(&self) -> Result<Row> {
        let rows = self.storage.find(meta_query(&[TOKEN])).await;
        Row::among(&rows.during("reading the token")?)
    }

    async fn write(&self, row: Row) -> Result<()> {
        self.decide(move |_| ((), Some(row.clone()))).await
    }

    /// Reads the row and decides in one transaction: what to answer, and what to write.
    async fn decide<T: Clone + MaybeSend + 'static>(
        &self,
        decide: impl Fn(Row) -> (T, Option<Row>) + MaybeSend + MaybeSync + 'static,
    ) -> Result<T> {
        let answer = Arc::new(Mutex::new(None));
        let batch = {
            let answer = Arc::clone(&answer);
            Batch::new().step(read_meta(&[TOKEN])).then(move |trace| {
                let row = Row::among(trace.found(0)).map_err(|error| abort(&error))?;
                let (answered, write) = decide(row);
                *lock(&answer) = Some(answered);
                Ok(write.map(|row| write_meta(vec![(TOKEN, row.encode())])).into_iter().collect())
            })
        };
        self.storage.apply(batch).await.during("keeping the token")?;
        let answered = lock(&answer).clone();
        answered.ok_or_else(|| SyncError::corrupt("the row of the token", "nothing was decided"))
    }
}
