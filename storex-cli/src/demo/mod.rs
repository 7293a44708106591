//! The demo: storex's main job on a database of yours, from beginning to end.
//!
//! ```text
//!   your.db ──copy──▶ a.db ──initial sync──▶ b.db
//!                      │  edited while apart  │
//!                      └──▶ shared-log.db ◀───┘   continuous sync on a timer, until in step
//!                     equal?  (asked with plain SQL)
//! ```

mod choose;
mod compare;
mod edits;
mod exchange;
mod folder;
mod input;
mod report;
mod sample;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use storex_core::{AutoPk, KeyGenerator, Name, Registry, Runtime, Storage, TokioRuntime};
use storex_sqlite::{Adoption, SqliteBackend, adopt, copy_schema};
use storex_sync::SyncLog;
use tokio::time::Instant;

pub use compare::{ComparedTable, Comparison, OwnSchema, compare};
pub use folder::Folder;
pub use report::{
    ConflictOutcome, ContinuousFigures, EditCounts, Exchanged, InitialFigures, Report, Sides,
    TableRows,
};
pub use sample::create as create_sample;

use crate::adopted;
pub use crate::adopted::LeftOutTable;
use crate::database::{open_to_read, refuse};
use crate::error::{During, Result, With};
use choose::{Side, wants_uuid};
use edits::{Editor, Script};

/// What to show.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database to show it on; `None`: the built-in sample.
    pub from: Option<PathBuf>,
    /// The time between two exchanges.
    pub interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { from: None, interval: Duration::from_millis(100) }
    }
}

/// Is told how far the demo has come.
pub trait Observer: fmt::Debug + Send + std::marker::Sync + 'static {
    /// Something new begins.
    fn phase(&self, what: &'static str) {
        let _ = what;
    }

    /// So many rows of the initial sync are through.
    fn rows(&self, done: u64, total: u64) {
        let _ = (done, total);
    }
}

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}

/// Runs the demo on a tokio runtime. Afterwards the databases are closed; they are in `folder`, as long as that stays.
///
/// That A and B are not equal is no error but told by [`Report::equal`].
///
/// # Errors
/// [`CliError`](crate::CliError).
pub async fn run(
    options: &Options,
    folder: &Folder,
    observer: Arc<dyn Observer>,
) -> Result<Report> {
    let begin = Instant::now();
    observer.phase("copying the database");
    let prepared = match prepare(options, folder) {
        Ok(prepared) => prepared,
        Err(error) => {
            folder.clear();
            return Err(error);
        }
    };
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
    let a = open(&folder.a(), &prepared, &runtime).await?;
    let b = match open(&folder.b(), &prepared, &runtime).await {
        Ok(b) => b,
        Err(error) => {
            let _ = exchange::close(&a).await;
            return Err(error);
        }
    };
    let devices = Sides { a: &a, b: &b };
    let shown = show(devices, options, folder, &prepared, &runtime, &observer).await;
    // Closed whatever came of it.
    let closed = (exchange::close(&a).await, exchange::close(&b).await);
    let (mut report, script) = shown?;
    closed.0?;
    closed.1?;
    observer.phase("comparing");
    judge(&mut report, &script, &prepared, folder)?;
    report.from = options.from.as_ref().map(|path| path.display().to_string());
    report.kept = folder.stays().map(|path| path.display().to_string());
    report.seconds = begin.elapsed().as_secs_f64();
    Ok(report)
}

/// What is known before anything is written.
struct Prepared {
    schema: OwnSchema,
    adoption: Adoption,
    registry: Registry,
    /// The collections whose keys are UUIDs.
    uuids: Vec<Name>,
    /// Rows that point to nothing, which the original has already; `None`: SQLite cannot tell.
    dangling: Option<i64>,
}

/// Makes `a.db`, and `b.db` without rows.
fn prepare(options: &Options, folder: &Folder) -> Result<Prepared> {
    let (a, b) = (folder.a(), folder.b());
    let from = options.from.as_deref().unwrap_or(Path::new("the built-in sample"));
    match &options.from {
        Some(from) => input::copy(from, &a)?,
        None => sample::create(&a)?,
    }
    let schema = OwnSchema::read(&a)?;
    if schema.tables().next().is_none() {
        return Err(refuse(from, "has no tables, so there is nothing to show"));
    }
    let adoption = adopt(&a).during("reading the schema")?;
    let registry = adopted::registry(from, &adoption)?;
    let not_copied = copy_schema(&a, &b).during("making the empty database of B")?;
    for left_out in not_copied {
        tracing::warn!(table = left_out.table, reason = left_out.reason, "could not be made in B");
    }
    let uuids = with_uuids(&a, &registry)?;
    let dangling = compare::dangling(&a)?;
    Ok(Prepared { schema, adoption, registry, uuids, dangling })
}

/// The collections whose keys are UUIDs: AutoPk is to make the new ones too.
fn with_uuids(a: &Path, registry: &Registry) -> Result<Vec<Name>> {
    let conn = open_to_read(a).with("opening", a)?;
    let mut uuids = Vec::new();
    for collection in registry.collections() {
        let [at] = collection.primary_key() else { continue };
        let column = quote(&collection.fields()[*at].column);
        let sql = format!("SELECT {column} FROM {} LIMIT 1", quote(collection.table()));
        let key = conn.query_row(&sql, [], |row| row.get::<_, Option<String>>(0));
        // An empty table, or a key that is no text.
        let Ok(Some(key)) = key else { continue };
        if wants_uuid(collection, &key.into()) {
            uuids.push(Name::clone(collection.name()));
        }
    }
    conn.close().map_err(|(_, error)| error).with("closing", a)?;
    Ok(uuids)
}

async fn open(path: &Path, prepared: &Prepared, runtime: &Arc<dyn Runtime>) -> Result<Storage> {
    let during = "opening a database";
    // The node number of integer keys is drawn once per AutoPk: each device gets one of its own.
    let auto_pk = prepared.uuids.iter().fold(AutoPk::new(), |auto_pk, collection| {
        auto_pk.with(Name::clone(collection), KeyGenerator::UuidV7)
    });
    Storage::builder(
        SqliteBackend::open(path).during(during)?,
        prepared.registry.clone(),
        Arc::clone(runtime),
    )
    .middleware(auto_pk)
    .middleware(SyncLog::new())
    .open()
    .await
    .during(during)
}

async fn show(
    devices: Sides<&Storage>,
    options: &Options,
    folder: &Folder,
    prepared: &Prepared,
    runtime: &Arc<dyn Runtime>,
    observer: &Arc<dyn Observer>,
) -> Result<(Report, Script)> {
    let mut report = Report::default();
    observer.phase("initial sync");
    report.initial_sync = exchange::initial(devices, observer).await?;
    observer.phase("editing both sides");
    let script = Editor::new(devices, &**runtime).run(&prepared.adoption.foreign_keys).await?;
    report.edits = script.counts;
    observer.phase("continuous sync");
    let (figures, problems) =
        exchange::until_in_step(devices, &folder.shared_log(), runtime, options.interval).await?;
    report.continuous_sync = figures;
    report.differences = problems;
    Ok((report, script))
}

/// Looks at both databases with plain SQL.
fn judge(report: &mut Report, script: &Script, prepared: &Prepared, folder: &Folder) -> Result<()> {
    let (a, b) = (folder.a(), folder.b());
    let tables: Vec<ComparedTable> = prepared
        .registry
        .collections()
        .iter()
        .map(|collection| {
            let key = collection.primary_key().iter();
            ComparedTable {
                name: collection.table().to_string(),
                key: key.map(|at| collection.fields()[*at].column.to_string()).collect(),
            }
        })
        .collect();
    let comparison = compare(&a, &b, &tables)?;
    report.tables = comparison.tables;
    report.differences.extend(comparison.differences);
    for (path, side) in [(&a, Side::A), (&b, Side::B)] {
        let schema = OwnSchema::read(path)?;
        report.differences.extend(schema.differences(&prepared.schema, side.name()));
        let conn = open_to_read(path).with("opening", path)?;
        report.differences.extend(script.check(&conn, side).with("reading", path)?);
        if side == Side::A {
            report.conflicts = script.conflicts(&conn).with("reading", path)?;
        }
        conn.close().map_err(|(_, error)| error).with("closing", path)?;
        let dangling = compare::dangling(path)?;
        if dangling > prepared.dangling {
            let more = dangling.unwrap_or(0) - prepared.dangling.unwrap_or(0);
            report
                .differences
                .push(format!("{more} rows of {} point to rows that are not there", side.name()));
        }
    }
    report.left_out = adopted::left_out(&prepared.adoption);
    report.notes = prepared.adoption.notes.iter().map(note).collect();
    report.equal = report.differences.is_empty();
    if !report.equal && prepared.schema.has_triggers() {
        let hint = "the database has triggers, and what they write is not synced: that may be why";
        report.differences.push(hint.to_owned());
    }
    Ok(())
}

fn note(note: &storex_sqlite::Note) -> String {
    let subject = [note.table.as_deref(), note.subject.as_deref()];
    let subject: Vec<String> = subject.into_iter().flatten().map(|it| format!("`{it}`")).collect();
    if subject.is_empty() {
        note.text.clone()
    } else {
        format!("{} {}", subject.join("."), note.text)
    }
}

/// A name in SQL.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
