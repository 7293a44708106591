//! [`Link`]: between the notes of a device and its server.

use std::sync::Arc;
use std::time::Duration;

use storex_core::{MaybeSend, MaybeSync, Runtime};
use storex_sync::http::{
    Credentials, HttpClient, HttpSharedLog, HttpTransport, RoomCode, StaticToken, Token,
};
use storex_sync::{
    Access, Channel, ContinuousSync, DeviceKey, EncryptedSharedLog, Exclusive, HeartbeatChannel,
    KeyRing, Pairing, Passphrase, SecureChannel, Sync, SyncError,
};
use tokio::sync::watch;

use crate::account::Account;
use crate::error::{Error, Result};
use crate::notes::Notes;
use crate::pairing::PairingEvent;
use crate::token::KeptToken;

/// How long a code is good for.
const CODE_LASTS: Duration = Duration::from_secs(5 * 60);

/// What is exchanged is exchanged because of a write or of news; the timer is for when nobody can tell news.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(300));

/// Notes that are in an account, and the server that keeps them in step: without being able to read them. The way there (`HttpTransport`) is
/// the application's: `NativeTransport` or `WebTransport`.
///
/// ```no_run
/// # async fn example(
/// #     notes: notes::Notes,
/// #     transport: std::sync::Arc<dyn storex_sync::http::HttpTransport>,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use notes::{Account, Link, PairingEvent};
/// use storex_sync::http::Token;
/// use storex_sync::{Exclusive, LeaseTimes, Passphrase};
///
/// let account = Account {
///     server: "https://sync.example.org".to_owned(),
///     token: Token::new("what the server knows you by"),
///     device_name: "Ada's laptop".to_owned(),
/// };
/// // The first device; the others `Link::pair` with the code that this one shows.
/// let link = Link::found(&notes, transport, account, Passphrase::new("correct horse battery staple")).await?;
///
/// let exclusive = Exclusive::lease(notes.storage(), LeaseTimes::default()).await?; // one program at a time
/// let sync = link.start(exclusive, None, None).await?;
///
/// link.invite(|event| match event {
///     PairingEvent::Code(code) => println!("On the other device, type {code}"),
///     PairingEvent::Progress { done, total } => println!("{done} of {total}"),
///     _ => {}
/// })
/// .await?;
/// # sync.stop().await;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Link {
    notes: Notes,
    account: Account,
    client: HttpClient,
    log: Arc<EncryptedSharedLog>,
}

impl Link {
    /// The link of notes that are in an account already: what a program does when it starts. Nothing is asked of the server.
    ///
    /// # Errors
    /// [`Error::NoAccount`], and those of the database.
    pub async fn open(notes: &Notes, transport: Arc<dyn HttpTransport>) -> Result<Self> {
        let (account, keys) = notes.kept().await?.ok_or(Error::NoAccount)?;
        let credentials = Arc::new(KeptToken(notes.clone()));
        let (client, log) = reach(notes, transport, &account, credentials)?;
        let log = EncryptedSharedLog::new(log, keys, runtime(notes));
        Ok(Self { notes: notes.clone(), account, client, log: Arc::new(log) })
    }

    /// Begins an account, on its first device: makes the keys, and leaves them on the server, sealed by the passphrase. That takes up to a
    /// second, on purpose.
    ///
    /// # Errors
    /// [`SyncError::HasKeys`]: the account has a device already; pair with it, or [`unlock`](Self::unlock). [`Error::HasAccount`], and those
    /// of a request.
    pub async fn found(
        notes: &Notes,
        transport: Arc<dyn HttpTransport>,
        account: Account,
        passphrase: Passphrase,
    ) -> Result<Self> {
        if let Some(Account { server, .. }) = notes.account().await? {
            return Err(Error::HasAccount { server });
        }
        let (_, log) = reach(notes, Arc::clone(&transport), &account, typed(&account))?;
        let log = EncryptedSharedLog::create(log, &Access::by(passphrase), runtime(notes)).await?;
        Self::keeping(notes, transport, &account, &log).await
    }

    /// Joins an account by its passphrase, where no other device is at hand; and brings a device the new keys after the passphrase was
    /// changed. What is in the account comes with the first exchange.
    ///
    /// # Errors
    /// [`SyncError::WrongPassphrase`], also for the former one where the new one is asked for; [`SyncError::NoKeys`] where there is no account
    /// yet, and those of a request.
    pub async fn unlock(
        notes: &Notes,
        transport: Arc<dyn HttpTransport>,
        account: Account,
        passphrase: &Passphrase,
    ) -> Result<Self> {
        let (_, log) = reach(notes, Arc::clone(&transport), &account, typed(&account))?;
        let log = match notes.kept().await? {
            // By these it is known which ones are missing.
            Some((kept, keys)) => {
                let log = EncryptedSharedLog::new(log, keys, runtime(notes));
                log.unlock(passphrase).await?;
                if kept == account {
                    // The keys alone: somebody may have logged in meanwhile.
                    notes.keep_keys(&log.key_ring()).await?;
                    return Self::open(notes, transport).await;
                }
                log
            }
            None => EncryptedSharedLog::open(log, passphrase, runtime(notes)).await?,
        };
        Self::keeping(notes, transport, &account, &log).await
    }

    /// Joins an account by the code that a device of it shows ([`invite`](Self::invite)): the keys come from there, and all notes, straight
    /// and encrypted. What is on this device already stays, and goes to the others.
    ///
    /// Once the keys are here, nothing is lost by a cut: what has not arrived comes from the server.
    ///
    /// # Errors
    /// [`SyncError::PairingRefused`] for another code, [`SyncError::Timeout`] where nobody waits, and those of a request.
    pub async fn pair(
        notes: &Notes,
        transport: Arc<dyn HttpTransport>,
        account: Account,
        code: &RoomCode,
        tell: impl Fn(PairingEvent) + MaybeSend + MaybeSync + 'static,
    ) -> Result<Self> {
        let (client, log) = reach(notes, Arc::clone(&transport), &account, typed(&account))?;
        let runtime = runtime(notes);
        let joined = client.join_room(&code.room).await?;
        // Nobody is to be recognised later, so the key is of this pairing only.
        let key = DeviceKey::generate(&*runtime);
        let mut channel =
            SecureChannel::pair(joined, &code.code, &key, Arc::clone(&runtime)).await?;
        let keys = KeyRing::receive(&mut channel).await?;
        let log = EncryptedSharedLog::new(log, keys, Arc::clone(&runtime));
        let link = Self::keeping(notes, transport, &account, &log).await?;
        tell(PairingEvent::Paired);
        let mut channel = HeartbeatChannel::new(channel, runtime);
        notes.initial_sync(tell).await?.receive(&mut channel).await?;
        channel.close().await?;
        Ok(link)
    }

    /// Shows a code, and lets the device in that has it ([`pair`](Self::pair)): it gets the keys, and all notes. The code is good for five
    /// minutes and one device. Drop the future to give it up.
    ///
    /// # Errors
    /// [`SyncError::PairingCodeSpent`]: nobody came in time, or too many tried. Those of a request, and of an initial sync.
    pub async fn invite(
        &self,
        tell: impl Fn(PairingEvent) + MaybeSend + MaybeSync + 'static,
    ) -> Result<()> {
        // Another program or tab may have newer keys.
        self.settle_keys().await?;
        let runtime = runtime(&self.notes);
        let key = DeviceKey::generate(&*runtime);
        let mut pairing = Pairing::new(Arc::clone(&runtime)).lasts(CODE_LASTS);
        let mut channel = loop {
            let room = self.client.open_room().await?;
            let mut joined = self.client.join_room(&room).await?;
            tell(PairingEvent::Code(format!("{room}-{}", pairing.code())));
            tokio::select! {
                () = joined.spoken_to() => {} // somebody has typed it
                () = runtime.sleep(CODE_LASTS) => pairing.still_valid()?,
            }
            match pairing.accept(joined, &key).await {
                Ok(channel) => break channel,
                // Whoever it was, another one may be right, in another room.
                Err(error) => {
                    pairing.still_valid()?;
                    tell(PairingEvent::Refused(error.to_string()));
                }
            }
        };
        self.log.key_ring().send(&mut channel).await?;
        tell(PairingEvent::Paired);
        let mut channel = HeartbeatChannel::new(channel, runtime);
        self.notes.initial_sync(tell).await?.send(&mut channel).await?;
        channel.close().await?;
        Ok(())
    }

    /// Goes on with another token, when the server does not take the one of before any more: keeps it, if the server takes it. A sync that waits
    /// for it is to be told ([`ContinuousSync::logged_in`]), in each program: the others learn of it by [`Notes::accounts`].
    ///
    /// # Errors
    /// [`SyncError::Unauthorized`] when the server does not take this one either, [`Error::AnotherAccount`], [`Error::ShutOut`], and those of
    /// a request. The token is as before then.
    pub async fn log_in(&self, token: Token) -> Result<()> {
        let credentials = Arc::new(StaticToken(token.clone()));
        let devices = self.client.clone().credentials(credentials).devices().await?;
        let this = self.device().await?;
        match devices.iter().find(|it| it.id == this) {
            Some(it) if it.revoked => return Err(Error::ShutOut),
            // In an account without devices this one is the first, if it has made no exchange yet.
            None if !devices.is_empty() => return Err(Error::AnotherAccount),
            _ => {}
        }
        self.notes.keep_token(&token).await
    }

    /// The digits of this device, by which the others know it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn device(&self) -> Result<[u8; 16]> {
        let log = Arc::<EncryptedSharedLog>::clone(&self.log);
        Ok(Sync::open(self.notes.storage(), log).await?.device().await?.id)
    }

    /// Where these notes were kept in step, and as whose, when this was opened.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// What asks the server: for the devices of the account, say.
    #[must_use]
    pub fn client(&self) -> &HttpClient {
        &self.client
    }

    /// What makes one exchange at a time. `exclusive` is what all programs on this database share.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn sync(&self, exclusive: Exclusive) -> Result<Sync> {
        let log = Arc::<EncryptedSharedLog>::clone(&self.log);
        Ok(Sync::open(self.notes.storage(), log).await?.exclusive(exclusive))
    }

    /// Keeps the notes in step from now on. `online`: what the system says of the connection, where it says something; `awake`: what it says of
    /// whether this program runs. Keys that were missing are taken up as soon as any program or tab has got them.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn start(
        &self,
        exclusive: Exclusive,
        online: Option<watch::Receiver<bool>>,
        awake: Option<watch::Receiver<bool>>,
    ) -> Result<ContinuousSync> {
        let mut builder = ContinuousSync::builder(self.sync(exclusive).await?);
        builder = builder.intervals(INTERVALS.0, INTERVALS.1);
        if let Some(online) = online {
            builder = builder.online(online);
        }
        // Whoever is woken, awake or not, makes an exchange.
        let (wake, woken) = watch::channel(true);
        let continuous = builder.awake(woken).start();
        let (link, mut events) = (self.clone(), continuous.events());
        let mut accounts = self.notes.accounts()?;
        runtime(&self.notes).spawn(Box::pin(async move {
            let settling = async {
                // The one ends with the sync, the other with the database.
                while tokio::select! {
                    event = events.next() => event.is_some(),
                    account = accounts.next() => account.is_some(),
                } {
                    match link.settle_keys().await {
                        // What has failed for want of them is tried again at once.
                        Ok(true) if *wake.borrow() => drop(wake.send_replace(true)),
                        Ok(_) => {}
                        Err(error) => tracing::warn!(%error, "the keys could not be kept"),
                    }
                }
            };
            // Beside it: a page that is put to sleep has no time left for the database.
            tokio::select! {
                biased;
                () = pass_on(awake, &wake) => {}
                () = settling => {}
            }
        }));
        Ok(continuous)
    }

    /// Shuts a device out, one that was lost say: the server takes nothing from it and gives it nothing any more, and what is written from
    /// now on it could not read. The other devices are told to [`unlock`](Self::unlock) with the new passphrase, or to pair again.
    ///
    /// # Errors
    /// [`SyncError::FormerPassphrase`] for one that was in use before, and those of a request. Call it again then.
    pub async fn revoke(&self, device: [u8; 16], passphrase: Passphrase) -> Result<()> {
        self.settle_keys().await?;
        self.client.revoke(device).await?;
        self.log.rotate(&Access::by(passphrase)).await?;
        self.settle_keys().await?;
        Ok(())
    }

    /// Keeps the keys that were found in the log, and learns those that another program or tab has kept; true when there was something to
    /// learn. [`start`](Self::start) sees to it; whoever makes single exchanges ([`sync`](Self::sync)) does it after each.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn settle_keys(&self) -> Result<bool> {
        let Some((_, kept)) = self.notes.kept().await? else { return Ok(false) };
        let (before, in_database) = (self.log.key_ring().to_bytes(), kept.to_bytes());
        self.log.learn(kept);
        let keys = self.log.key_ring();
        let now = keys.to_bytes();
        if *now != *in_database {
            self.notes.keep_keys(&keys).await?;
        }
        Ok(*now != *before)
    }

    /// Keeps the account and the keys of this log, with those that were here before.
    async fn keeping(
        notes: &Notes,
        transport: Arc<dyn HttpTransport>,
        account: &Account,
        log: &EncryptedSharedLog,
    ) -> Result<Self> {
        if let Some((_, kept)) = notes.kept().await? {
            log.learn(kept);
        }
        notes.keep(account, &log.key_ring()).await?;
        Self::open(notes, transport).await
    }
}

/// Tells whether this program runs, for as long as something says so, and does not end.
async fn pass_on(awake: Option<watch::Receiver<bool>>, wake: &watch::Sender<bool>) {
    if let Some(mut awake) = awake {
        while awake.changed().await.is_ok() {
            wake.send_replace(*awake.borrow_and_update());
        }
    }
    std::future::pending().await
}

/// The server of an account, and its log.
fn reach(
    notes: &Notes,
    transport: Arc<dyn HttpTransport>,
    account: &Account,
    credentials: Arc<dyn Credentials>,
) -> Result<(HttpClient, Arc<HttpSharedLog>), SyncError> {
    let client =
        HttpClient::new(transport, &account.server, runtime(notes))?.credentials(credentials);
    let log = HttpSharedLog::new(client.clone()).device_name(account.device_name.clone());
    Ok((client, Arc::new(log)))
}

/// Who asks before the account is kept.
fn typed(account: &Account) -> Arc<dyn Credentials> {
    Arc::new(StaticToken(account.token.clone()))
}

fn runtime(notes: &Notes) -> Arc<dyn Runtime> {
    Arc::clone(notes.storage().runtime())
}
