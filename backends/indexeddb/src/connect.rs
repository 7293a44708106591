//! Opening the database: as it is, then upgraded if need be, with patience for what may pass.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use storex_core::{Error, ErrorKind, Result};

use crate::config::{Config, Lost};
use crate::error;
use crate::identity::{self, DatabaseId, OWN};
use crate::raw::{self, Closed, Connection, Durability, Mode, OpenError, Transaction};
use crate::schema::{self, Target};

/// How often opening is tried: the browser's files may be busy for a moment.
const ATTEMPTS: u32 = 4;
/// The wait before the second attempt; each further one is four times as long.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// Other tabs may upgrade the database at the same time, each to a version of its own.
const RACES: u32 = 16;

/// An open database that fits the registry.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) identity: DatabaseId,
    /// Whether it was not there before.
    pub(crate) made: bool,
}

/// Opens the database and brings it up to date.
pub(crate) async fn connect(
    config: &Config,
    target: &Target,
    expected: Option<DatabaseId>,
) -> Result<Opened> {
    let mut wait = FIRST_WAIT;
    for _ in 1..ATTEMPTS {
        match once(config, target, expected).await {
            Err(error) if error.kind() == ErrorKind::Io => {
                tracing::warn!(%error, ?wait, "the database could not be opened; trying again");
            }
            result => return result,
        }
        config.runtime.sleep(wait).await;
        wait *= 4;
    }
    once(config, target, expected).await
}

async fn once(config: &Config, target: &Target, expected: Option<DatabaseId>) -> Result<Opened> {
    let mut made = false;
    for _ in 0..RACES {
        let existing = raw::open_existing(&config.name).await.map_err(schema::refused)?;
        let version = match existing {
            Some(connection) => {
                match look(&connection, target, expected).await {
                    Ok(Some(identity)) => {
                        listen(config, &connection);
                        // Another tab may have been quicker.
                        let made = made && identity == target.fresh;
                        return Ok(Opened { connection, identity, made });
                    }
                    Ok(None) => {}
                    Err(error) if is_overtaken(&connection, &error) => continue,
                    Err(error) => return Err(error),
                }
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let version = connection.database().version() as u32;
                connection.close();
                version
            }
            None if expected.is_some() => return Err(evicted()),
            None => {
                made = true;
                0
            }
        };
        let next = NonZeroU32::new(version.saturating_add(1)).unwrap_or(NonZeroU32::MIN);
        upgrade(config, target, next).await?;
    }
    Err(error::other(
        "open the database",
        ErrorKind::Busy,
        "other tabs go on upgrading it; close them",
        "the version changed each time it was opened",
    ))
}

/// The identity of the database if it needs no upgrade; an error where it cannot be made to fit.
async fn look(
    connection: &Connection,
    target: &Target,
    expected: Option<DatabaseId>,
) -> Result<Option<DatabaseId>> {
    if let Some(expected) = expected {
        check_identity(connection, expected).await?;
    }
    if !schema::look(connection, target).await?.is_current {
        return Ok(None);
    }
    Ok(Some(read_identity(connection).await?.unwrap_or(target.fresh)))
}

/// Whether it failed because somebody upgrades or deletes the database at this moment: it is to be looked at again.
fn is_overtaken(connection: &Connection, error: &Error) -> bool {
    error.kind() == ErrorKind::Closed
        && matches!(connection.why_closed(), Some(Closed::VersionChange { .. }))
}

/// Upgrades, unless somebody else was quicker: then the database is looked at again.
async fn upgrade(config: &Config, target: &Target, version: NonZeroU32) -> Result<()> {
    if version.get().is_multiple_of(10)
        && target.stores.values().any(|store| store.collection.is_adopted())
    {
        tracing::warn!(%version, "Dexie takes this version for one of its own: its next upgrade will not run its functions");
    }
    let runtime = std::sync::Arc::clone(&config.runtime);
    let timeout = config.blocked_timeout;
    let patience = async move || runtime.sleep(timeout).await;
    let work = target.clone();
    let upgraded =
        raw::open(&config.name, version, patience, async move |database, transaction, _| {
            schema::upgrade(database, transaction, work).await
        });
    match upgraded.await {
        Ok(connection) => {
            connection.close();
            Ok(())
        }
        Err(OpenError::Failed(source)) if source.is("VersionError") => Ok(()),
        Err(OpenError::Upgrade(error)) => Err(error),
        Err(OpenError::Failed(source) | OpenError::Unavailable(source)) => {
            Err(schema::refused(source))
        }
        Err(OpenError::Blocked) => Err(error::other(
            "upgrade the database",
            ErrorKind::Busy,
            format!(
                "another tab holds `{}` open and does not close it (waited {} ms); close or reload the other tabs",
                config.name,
                timeout.as_millis()
            ),
            "blocked",
        )),
        Err(OpenError::UpgradeLeft) => Err(error::other(
            "upgrade the database",
            ErrorKind::Other,
            "the browser ended the upgrade before it was done; open the storage again",
            "the transaction was over",
        )),
    }
}

async fn check_identity(connection: &Connection, expected: DatabaseId) -> Result<()> {
    match read_identity(connection).await? {
        Some(found) if found == expected => Ok(()),
        _ => Err(evicted()),
    }
}

async fn read_identity(connection: &Connection) -> Result<Option<DatabaseId>> {
    let database = connection.database();
    if !schema::store_names(database).contains(OWN) {
        return Ok(None);
    }
    let read = async {
        let transaction = Transaction::begin(database, [OWN], Mode::ReadOnly, Durability::Default)?;
        identity::read(&transaction.store(OWN)?).await
    };
    read.await.map_err(schema::refused)
}

fn evicted() -> Error {
    error::other(
        "open the database",
        ErrorKind::NotFound,
        "it is not the database that was expected: the browser has evicted that one; fetch the data again by an initial sync",
        "evicted",
    )
}

fn listen(config: &Config, connection: &Connection) {
    let Some(on_lost) = config.on_lost.clone() else { return };
    connection.on_lost(Rc::new(move |closed| match closed {
        Closed::ByUs => {}
        Closed::VersionChange { new_version: Some(_) } => on_lost(Lost::Upgraded),
        Closed::VersionChange { new_version: None } => on_lost(Lost::Deleted),
        Closed::ByBrowser => on_lost(Lost::ByBrowser),
    }));
}
