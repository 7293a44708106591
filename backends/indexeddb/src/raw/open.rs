//! Opening a database, and upgrading it: whole or not at all.
//!
//! `indexed_db_futures` sends the request and hands out the upgrade's transaction. It is kept from its faults here:
//!
//! - Dropped while it is blocked, its future takes the upgrade away, and the browser makes an **empty** upgrade later.
//!   So it runs in a task of its own to the end, and an upgrade that nobody waits for any more is aborted.
//! - That an upgrade's transaction was over before the upgrade is not noticed (the future waits, and then says "polled
//!   unexpectedly"), and the database stays open. So the transaction's own end is watched, and the database closed.
//! - It calls every refusal of the browser "Version cannot be zero". So the version is one that cannot be zero.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::pin::pin;
use std::rc::{Rc, Weak};

use futures_channel::oneshot;
use futures_util::future::{Either, pending, select};
use indexed_db_futures::Build;
use indexed_db_futures::database::{Database, VersionChangeEvent};
use indexed_db_futures::error::Error as BindingError;
use indexed_db_futures::future::OpenDbRequest;
use indexed_db_futures::internals::SystemRepr;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{IdbDatabase, IdbOpenDbRequest, IdbTransaction};

use super::factory::factory;
use super::transaction::End;
use super::{Connection, DomError};

/// Why a database was not opened; `E` is what its upgrade fails with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError<E> {
    /// There is no IndexedDB here, or it may not be used.
    #[error("the browser has no database for us: {0}")]
    Unavailable(DomError),
    /// Somebody holds the database open at an older version and does not close it. It was not upgraded.
    #[error("somebody holds the database open at an older version")]
    Blocked,
    /// The upgrade failed, and nothing of it is in the database.
    #[error("the upgrade failed")]
    Upgrade(E),
    /// The upgrade awaited something that is none of its requests. **What it had sent before is in the database.**
    #[error(
        "the upgrade awaited something else than its requests, and the browser ended it halfway"
    )]
    UpgradeLeft,
    /// The browser failed, and the database is as it was: `VersionError` when it has a newer version,
    /// `QuotaExceededError`, `UnknownError` when it cannot be read, ...
    #[error(transparent)]
    Failed(DomError),
}

/// Opens a database, and upgrades it if its version is older.
///
/// The upgrade gets the database, the transaction and the old version (0 for a new database), and awaits nothing but
/// requests of that transaction. Its error rolls everything back.
///
/// When others hold the database open and do not close it at their version change, `patience` is awaited and then given
/// up: what comes later is closed at once, and an upgrade that begins later is rolled back. The same holds when the
/// future is dropped.
///
/// # Errors
/// [`OpenError`].
pub(crate) async fn open<E: 'static>(
    name: &str,
    version: NonZeroU32,
    patience: impl AsyncFnOnce(),
    upgrade: impl AsyncFnOnce(IdbDatabase, IdbTransaction, f64) -> Result<(), E> + 'static,
) -> Result<Connection, OpenError<E>> {
    factory().map_err(OpenError::Unavailable)?;
    let wanted = Rc::new(());
    let upgrading = Rc::new(Upgrading { wanted: Rc::downgrade(&wanted), ..Upgrading::default() });
    let (blocked_sender, blocked) = oneshot::channel();
    let (sender, opened) = oneshot::channel();

    let opening = Database::open(name)
        .with_version(version)
        .with_on_blocked(move |_| {
            let _ = blocked_sender.send(());
            Ok(())
        })
        .with_on_upgrade_needed_fut({
            let upgrading = Rc::clone(&upgrading);
            async move |event: VersionChangeEvent, transaction: &_| {
                upgrading.run(&event, transaction, upgrade).await
            }
        })
        .build()
        .map_err(|_| OpenError::Unavailable(refused()))?;
    let seen = Rc::clone(&upgrading);
    spawn_local(async move {
        // When nobody waits any more, the connection is dropped, and so closed.
        let _ = sender.send(finish(opening, &upgrading).await);
    });

    let given_up = pin!(async {
        if blocked.await.is_err() {
            pending::<()>().await;
        }
        patience().await;
        if seen.begun() {
            pending::<()>().await;
        }
    });
    let result = match select(opened, given_up).await {
        Either::Left((Ok(result), _)) => result,
        Either::Left((Err(_), _)) => Err(OpenError::Failed(DomError::null("opening was given up"))),
        Either::Right(_) => Err(OpenError::Blocked),
    };
    drop(wanted);
    result
}

/// The browser throws at once only where a page may not have a database at all (a sandboxed frame, say).
fn refused() -> DomError {
    DomError::new("SecurityError", "the browser lets nothing be stored by this page")
}

/// What becomes of an upgrade.
struct Upgrading<E> {
    /// Whether somebody still waits for the database.
    wanted: Weak<()>,
    transaction: RefCell<Option<IdbTransaction>>,
    failure: RefCell<Option<OpenError<E>>>,
}

impl<E> Default for Upgrading<E> {
    fn default() -> Self {
        Self { wanted: Weak::new(), transaction: RefCell::default(), failure: RefCell::default() }
    }
}

type BindingTransaction<'a> = indexed_db_futures::transaction::Transaction<'a>;

impl<E> Upgrading<E> {
    /// Runs the upgrade. For an error the binding aborts the transaction; which error it was, `failure` keeps.
    async fn run(
        &self,
        event: &VersionChangeEvent,
        transaction: &BindingTransaction<'_>,
        upgrade: impl AsyncFnOnce(IdbDatabase, IdbTransaction, f64) -> Result<(), E>,
    ) -> Result<(), BindingError> {
        if self.wanted.strong_count() == 0 {
            return Err(aborted());
        }
        let database: IdbDatabase = transaction.db().as_sys().clone().unchecked_into();
        let transaction: IdbTransaction = transaction.as_sys().clone().unchecked_into();
        let end = End::of(&transaction);
        *self.transaction.borrow_mut() = Some(transaction.clone());
        let work = pin!(upgrade(database, transaction, event.old_version()));
        let failure = match select(work, end).await {
            Either::Left((Ok(()), _)) => return Ok(()),
            Either::Left((Err(error), _)) => OpenError::Upgrade(error),
            Either::Right((Ok(()), _)) => OpenError::UpgradeLeft,
            Either::Right((Err(error), _)) => OpenError::Failed(error),
        };
        *self.failure.borrow_mut() = Some(failure);
        Err(aborted())
    }

    /// Whether nothing blocks it any more.
    fn begun(&self) -> bool {
        self.transaction.borrow().is_some()
    }

    /// Why opening failed: the upgrade's own reason before the request's, which only says that it was aborted.
    fn failure(&self, request: &IdbOpenDbRequest) -> OpenError<E> {
        let why_aborted = || self.transaction.borrow().as_ref()?.error();
        self.failure.take().unwrap_or_else(|| {
            let error = why_aborted().or_else(|| request.error().ok().flatten());
            OpenError::Failed(error.map_or_else(
                || {
                    DomError::null(
                        "the database could not be opened, and the browser does not say why",
                    )
                },
                |error| DomError::from(JsValue::from(error)),
            ))
        })
    }
}

fn aborted() -> BindingError {
    js_sys::Error::new("the upgrade was aborted").into()
}

async fn finish<E>(
    opening: OpenDbRequest,
    upgrading: &Upgrading<E>,
) -> Result<Connection, OpenError<E>> {
    let request = opening.as_sys().clone();
    match opening.await {
        Ok(database) => Ok(Connection::new(database.into_sys().unchecked_into())),
        Err(error) => {
            tracing::debug!(%error, "a database was not opened");
            // Open all the same after `UpgradeLeft`.
            if let Ok(database) = request.result() {
                let _ = database.dyn_into().map(|database: IdbDatabase| database.close());
            }
            Err(upgrading.failure(&request))
        }
    }
}
