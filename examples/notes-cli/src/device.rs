//! [`Device`]: this machine's notes, open.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notes::{Link, Note, Notes};
use storex_core::TokioRuntime;
use storex_sqlite::SqliteBackend;
use storex_sync::Exclusive;
use storex_sync::http::NativeTransport;

use crate::error::{CliError, Result};
use crate::output::short;
use crate::private;

/// This machine's notes, open. Several programs may have them open at once.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) notes: Notes,
    /// The lock of whoever syncs them.
    lock: PathBuf,
}

impl Device {
    /// Opens the database, and makes it if it is not there.
    pub(crate) async fn open(database: PathBuf) -> Result<Self> {
        make(&database).map_err(|source| CliError::File { path: database.clone(), source })?;
        let mut lock = OsString::from(&database);
        lock.push(".sync-lock");
        let notes = Notes::open(SqliteBackend::open(database)?, Arc::new(TokioRuntime)).await?;
        Ok(Self { notes, lock: lock.into() })
    }

    pub(crate) async fn close(self) -> Result<()> {
        Ok(self.notes.storage().close().await?)
    }

    /// The way to a server.
    pub(crate) fn transport(&self) -> Result<Arc<NativeTransport>> {
        Ok(Arc::new(NativeTransport::new()?))
    }

    /// The link to the server of the account.
    pub(crate) async fn link(&self) -> Result<Link> {
        Ok(Link::open(&self.notes, self.transport()?).await?)
    }

    /// What lets one program on this database sync at a time.
    pub(crate) async fn exclusive(&self) -> Result<Exclusive> {
        Ok(Exclusive::file(self.notes.storage(), &self.lock).await?)
    }

    /// The note whose id this is, or ends so.
    pub(crate) async fn find(&self, id: &str) -> Result<Note> {
        if let Some(note) = self.notes.get(id).await? {
            return Ok(note);
        }
        let mut notes = self.notes.query("")?.all().await?;
        notes.retain(|note| ends(&note.id, id));
        only("note", id, notes, |note| &note.id)
    }
}

/// Whether an id is meant by its end.
pub(crate) fn ends(id: &str, typed: &str) -> bool {
    let plain = |text: &str| text.replace('-', "").to_lowercase();
    !typed.is_empty() && plain(id).ends_with(&plain(typed))
}

/// The only one that is meant.
pub(crate) fn only<T>(
    what: &'static str,
    typed: &str,
    mut found: Vec<T>,
    id: impl Fn(&T) -> &str,
) -> Result<T> {
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one),
        (Some(one), _) => {
            let ids = found.iter().chain([&one]).map(|it| short(id(it)).to_owned());
            let ids = ids.collect::<Vec<_>>().join(", ");
            Err(CliError::Ambiguous { what, id: typed.to_owned(), ids })
        }
        (None, _) => Err(CliError::Missing { what, id: typed.to_owned() }),
    }
}

/// Where the database is.
pub(crate) fn path(given: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path);
    }
    let folder = |name: &str| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    let data = folder("XDG_DATA_HOME")
        .or_else(|| folder("LOCALAPPDATA"))
        .or_else(|| Some(folder("HOME")?.join(".local").join("share")));
    let data = data.ok_or_else(|| CliError::asked("there is no home folder: give --database"))?;
    Ok(data.join("notes").join("notes.db"))
}

/// Makes the file, which has the keys in it: for nobody else to read.
fn make(database: &Path) -> std::io::Result<()> {
    if database.exists() {
        return Ok(());
    }
    if let Some(folder) = database.parent() {
        private::folder().recursive(true).create(folder)?;
    }
    private::file().append(true).create(true).open(database).map(drop)
}

/// Completes when the user, or the system, wants the program to end.
pub(crate) async fn interrupted() {
    // An error means that it cannot be asked that way.
    let asked = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = asked => {}
        () = terminated() => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut asked) => drop(asked.recv().await),
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
