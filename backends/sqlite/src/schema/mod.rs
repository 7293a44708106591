//! The schema on disk: reading it, bringing it to the schema of a registry, and refusing what does not fit.
//!
//! Everything is done in transactions that begin with a look at what there is (see [`look`]), and each of them leaves a
//! database that the next look understands: so it makes no difference whether the same process goes on, another one, or the
//! same program after a kill.
//!
//! ```text
//!   columns, indices, new tables      one transaction (`alter`)
//!
//!   objects to change                 begin        T is renamed away, its successor is made beside it
//!     (`rebuild`)                     batch × n    the next thousand rows by key: read, changed, checked, inserted
//!                                     finish       the old table goes, the new one is T; everything else as above
//! ```
//!
//! While a rebuild runs there is no table T: an older program that has the database open fails loudly and cannot write
//! what would be lost. Until the end the old table is there unchanged, so that a migration can always be taken back.

mod alter;
mod check;
mod ddl;
mod describe;
pub(crate) mod inspect;
mod look;
mod rebuild;
mod stored;

pub(crate) use ddl::declared_type;

use std::sync::Arc;

use rusqlite::Connection;
use storex_core::{Collection, Error, ErrorKind, Plan, Registry, Result};

use crate::error;
use crate::schema::check::mismatch;
use crate::schema::inspect::LiveTable;
use crate::schema::look::{Look, Todo, look};
use crate::search;
use crate::table::{Table, Tables};
use crate::trace;

/// Checks the registry against the database, makes the connection the writer's, brings the database to the schema of the
/// registry, and gives the tables. Nothing is changed before everything was found to fit.
pub(crate) fn prepare(
    conn: &Connection,
    registry: &Registry,
    make_writer: impl FnOnce() -> Result<()>,
) -> Result<Tables> {
    let Look { todo, .. } = look_only(conn, registry)?;
    make_writer()?;
    if !matches!(todo, Todo::Nothing) {
        // Adopted tables may point to ours: they are to point to the new ones.
        pragma(conn, "foreign_keys = OFF")?;
        migrate(conn, registry)?;
        pragma(conn, "foreign_keys = ON")?;
    }
    search::prepare(conn, registry)?;
    let mut tables = Tables::with_capacity(registry.collections().len());
    for collection in registry.collections() {
        let live = live(conn, collection)?.ok_or_else(|| {
            mismatch(collection, format!("table `{}` is gone again", collection.table()))
        })?;
        tables.insert(collection.name().clone(), Arc::new(Table::new(collection, &live)));
    }
    Ok(tables)
}

/// What [`prepare`] would do. Changes nothing.
pub(crate) fn plan(conn: &Connection, registry: &Registry) -> Result<Plan> {
    look_only(conn, registry).map(|look| look.plan)
}

/// Refuses a database that a newer program has brought to another schema, or is about to.
pub(crate) fn refuse_newer(conn: &Connection, registry: &Registry) -> Result<()> {
    let written = stored::read(conn)?;
    let target = written.unfinished.map(|unfinished| unfinished.target);
    written.schema.iter().chain(&target).try_for_each(|schema| schema.refuse_newer(registry))
}

fn look_only(conn: &Connection, registry: &Registry) -> Result<Look> {
    let failed = |source| error::failed("read the schema", None, source);
    // One transaction: a schema that somebody changes meanwhile is seen before or after, not half.
    conn.execute_batch("BEGIN").map_err(failed)?;
    let looked = look(conn, registry);
    // After some failures SQLite has ended it already; of those the look tells.
    if !conn.is_autocommit() {
        conn.execute_batch("ROLLBACK").map_err(failed)?;
    }
    looked
}

/// Takes step after step until there is nothing to do.
fn migrate(conn: &Connection, registry: &Registry) -> Result<()> {
    let mut so_far = SoFar::default();
    loop {
        match transaction(conn, || step(conn, registry, &mut so_far)) {
            Ok(None) => return Ok(()),
            Ok(Some(Done { after, .. })) => trace::step(after),
            Err(error) if so_far.takes_part && is_final(&error) => {
                take_back_own(conn, registry)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
    }
}

/// What this process has done of a migration.
#[derive(Debug, Default)]
struct SoFar {
    /// It has begun one, or gone on with it.
    takes_part: bool,
    altered: u8,
}

/// What a step has done: the names of the moments before and after its commit.
#[derive(Debug)]
struct Done {
    before: &'static str,
    after: &'static str,
}

const ALTERED: Done =
    Done { before: "sqlite.migrate.before_alter", after: "sqlite.migrate.after_alter" };
const BEGUN: Done =
    Done { before: "sqlite.migrate.before_begin", after: "sqlite.migrate.after_begin" };
const COPIED: Done =
    Done { before: "sqlite.migrate.before_batch", after: "sqlite.migrate.after_batch" };
const FINISHED: Done =
    Done { before: "sqlite.migrate.before_finish", after: "sqlite.migrate.after_finish" };
const TAKEN_BACK: Done =
    Done { before: "sqlite.migrate.before_take_back", after: "sqlite.migrate.after_take_back" };

/// Looks, and takes the next step; `None`: there is nothing to do.
fn step(conn: &Connection, registry: &Registry, so_far: &mut SoFar) -> Result<Option<Done>> {
    let Look { plan, todo } = look(conn, registry)?;
    let done = match todo {
        Todo::Nothing => return Ok(None),
        Todo::Alter => {
            so_far.altered += 1;
            // Whoever goes on changing the schema at the same time is not ours.
            if so_far.altered > 3 {
                return Err(disturbed("the schema is not what it was just made"));
            }
            alter::all(conn, registry, &plan, &[])?;
            ALTERED
        }
        Todo::Begin => {
            rebuild::begin(conn, &plan)?;
            so_far.takes_part = true;
            BEGUN
        }
        Todo::GoOn(unfinished) => {
            so_far.takes_part = true;
            if rebuild::batch(conn, &plan, &unfinished)? {
                COPIED
            } else {
                rebuild::finish(conn, registry, &plan, &unfinished)?;
                FINISHED
            }
        }
        Todo::TakeBack(unfinished) => {
            // Two programs that take each other's migration back would never end.
            if so_far.takes_part {
                return Err(disturbed("another program has begun a migration to another schema"));
            }
            so_far.takes_part = true;
            rebuild::take_back(conn, &unfinished)?;
            TAKEN_BACK
        }
    };
    trace::step(done.before);
    Ok(Some(done))
}

fn disturbed(what: &'static str) -> Error {
    error::other(
        "migrate the database",
        ErrorKind::Busy,
        "another program migrates the same database, in another way; close it, then try again",
        what,
    )
}

/// Whether the migration cannot succeed, however often it is tried.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Backend { kind, .. } => *kind == ErrorKind::Corrupt,
        _ => true,
    }
}

/// The migration has failed: the database becomes what it was.
fn take_back_own(conn: &Connection, registry: &Registry) -> Result<()> {
    transaction(conn, || {
        if let Todo::GoOn(unfinished) = look(conn, registry)?.todo {
            rebuild::take_back(conn, &unfinished)?;
            trace::step(TAKEN_BACK.before);
        }
        Ok(())
    })
}

/// Runs in a transaction that nobody else writes in. Nothing is written when it fails.
fn transaction<T>(conn: &Connection, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let failed = |source| error::failed("migrate the database", None, source);
    conn.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let ran = run().and_then(|it| conn.execute_batch("COMMIT").map(|()| it).map_err(failed));
    if ran.is_err() && !conn.is_autocommit() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    ran
}

fn pragma(conn: &Connection, what: &str) -> Result<()> {
    conn.execute_batch(&format!("PRAGMA {what}"))
        .map_err(|source| error::failed("migrate the database", None, source))
}

fn live(conn: &Connection, collection: &Collection) -> Result<Option<LiveTable>> {
    inspect::table(conn, collection.table())
        .map_err(|source| error::failed("read the schema", Some(collection.name()), source))
}
