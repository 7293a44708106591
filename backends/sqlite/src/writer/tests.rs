//! Group commit, with jobs that all wait already: the writer runs on the test's own thread.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use storex_core::{Changes, Definition, FieldType, Filter, Query, Record, Value};
use tempfile::TempDir;

use super::*;
use crate::SqliteBackend;

struct Fixture {
    dir: TempDir,
    writer: Writer,
    jobs: Sender<Job>,
    answers: Vec<oneshot::Receiver<Result<BatchOutcome>>>,
}

fn registry() -> Arc<Registry> {
    let note = Definition::new("note").field("id", FieldType::Int).primary_key(["id"]);
    let note =
        note.field("body", FieldType::String).optional("parent", FieldType::Int).unique(["body"]);
    Arc::new(Registry::builder().collection(note).build().unwrap())
}

impl Fixture {
    fn new() -> Self {
        Self::over("")
    }

    /// A database that begins with this SQL.
    fn over(sql: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let config = SqliteBackend::builder(path).config;
        let registry = registry();
        let conn = connection::open(&config).unwrap();
        let tables =
            schema::prepare(&conn, &registry, || connection::make_writer(&conn, &config)).unwrap();
        let watch = SchemaWatch::new(&conn, Arc::clone(&registry), Arc::new(tables)).unwrap();
        let (jobs, inbox) = unbounded();
        let writer = Writer {
            conn,
            registry,
            watch: Arc::new(watch),
            inbox,
            waiting: VecDeque::new(),
            foreign_keys: true,
        };
        Self { dir, writer, jobs, answers: Vec::new() }
    }

    fn send(&mut self, batch: Batch) {
        let (reply, answer) = oneshot::channel();
        self.answers.push(answer);
        self.jobs.send(Job::Execute { batch, reply }).unwrap();
    }

    /// Runs all jobs: their outcomes, the ids in the table, and how many commits there were.
    fn run(self) -> (Vec<Result<BatchOutcome>>, Vec<i64>, usize) {
        let Self { dir, writer, jobs, answers } = self;
        let path = dir.path().join("test.db");
        // A reader keeps the `-wal` file there when the writer is gone.
        let reader = Connection::open(&path).unwrap();
        reader.query_row("SELECT count(*) FROM note", [], |_| Ok(())).unwrap();
        let before = commits(&path);
        drop(jobs);
        writer.run();
        let count = commits(&path) - before;
        let mut ids = reader.prepare("SELECT id FROM note ORDER BY id").unwrap();
        let ids =
            ids.query_map([], |row| row.get(0)).unwrap().map(rusqlite::Result::unwrap).collect();
        let outcome = |mut answer: oneshot::Receiver<Result<BatchOutcome>>| {
            answer.try_recv().unwrap().expect("every job is answered")
        };
        (answers.into_iter().map(outcome).collect(), ids, count)
    }
}

/// The commits in the `-wal` file: the frames that tell the size of the database
/// (<https://sqlite.org/fileformat2.html>, 4.1).
fn commits(path: &Path) -> usize {
    let wal = std::fs::read(path.with_extension("db-wal")).unwrap_or_default();
    let page =
        wal.get(8..12).map_or(4096, |size| u32::from_be_bytes(size.try_into().unwrap()) as usize);
    wal.get(32..)
        .unwrap_or_default()
        .chunks(24 + page)
        .filter(|frame| frame[4..8] != [0; 4])
        .count()
}

fn create(id: i64) -> Batch {
    create_body(id, &format!("body {id}"))
}

fn create_body(id: i64, body: &str) -> Batch {
    let record = Record::new(vec![Value::Int(id), body.into(), Value::Null]);
    Batch::new().create("note", vec![record])
}

#[test]
fn what_waits_shares_one_commit() {
    let mut fixture = Fixture::new();
    for id in 0..100 {
        fixture.send(create(id));
    }
    let (answers, ids, commits) = fixture.run();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!((ids.len(), commits), (100, 1));
}

#[test]
fn one_that_fails_does_not_fail_its_neighbours() {
    let mut fixture = Fixture::new();
    for id in [1, 2, 2, 3] {
        // Each batch writes before it fails: that is taken back too.
        let more = create_body(id * 10, &format!("more {}", id * 10));
        let steps =
            create(id + 100).steps.into_iter().take(0).chain(more.steps).chain(create(id).steps);
        fixture.send(steps.collect());
    }
    let (answers, ids, commits) = fixture.run();
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
    assert_eq!((ids, commits), (vec![1, 2, 3, 10, 20, 30], 1));
}

#[test]
fn the_first_that_fails_fails_alone() {
    let mut fixture = Fixture::new();
    let mut twice = create(1);
    twice.steps.extend(create(1).steps);
    fixture.send(twice);
    fixture.send(create(2));
    fixture.send(create(3));
    let (answers, ids, commits) = fixture.run();
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!((ids, commits), (vec![2, 3], 1));
}

#[test]
fn a_continuation_that_panics_fails_its_batch_only() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut fixture = Fixture::new();
    fixture.send(create(1).then(|_| panic!("the first")));
    fixture.send(create(2));
    fixture.send(create(3).then(|_| panic!("in the middle")));
    fixture.send(create(4));
    let (answers, ids, _) = fixture.run();
    std::panic::set_hook(quiet);
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, false, true]);
    assert!(
        matches!(&answers[2], Err(Error::Aborted { reason }) if reason.contains("in the middle"))
    );
    assert_eq!(ids, [2, 4]);
}

#[test]
fn what_comes_from_sync_is_not_grouped_with_what_is_local() {
    let mut fixture = Fixture::over(
        "CREATE TABLE note(id INTEGER PRIMARY KEY NOT NULL, body TEXT NOT NULL, parent INTEGER REFERENCES note(id)) STRICT",
    );
    let child = |id: i64, origin| {
        let record = Record::new(vec![Value::Int(id), format!("{id}").into(), Value::Int(99)]);
        let mut batch = Batch::new().create("note", vec![record]);
        batch.origin = origin;
        batch
    };
    fixture.send(child(1, Origin::Local));
    fixture.send(child(2, Origin::Sync));
    fixture.send(child(3, Origin::Sync));
    fixture.send(child(4, Origin::Local));
    fixture.send(create(5));
    let (answers, ids, commits) = fixture.run();
    assert_eq!(
        answers.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [false, true, true, false, true]
    );
    assert_eq!((ids, commits), (vec![2, 3, 5], 2));
}

#[test]
fn a_commit_that_fails_is_done_again_one_by_one() {
    let mut fixture = Fixture::over(
        "CREATE TABLE note(id INTEGER PRIMARY KEY NOT NULL, body TEXT NOT NULL, \
         parent INTEGER REFERENCES note(id) DEFERRABLE INITIALLY DEFERRED) STRICT",
    );
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    fixture.send(create(1).then(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(Vec::new())
    }));
    let orphan = Record::new(vec![Value::Int(2), "orphan".into(), Value::Int(99)]);
    fixture.send(Batch::new().create("note", vec![orphan]));
    fixture.send(create(3));
    let (answers, ids, commits) = fixture.run();
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert!(matches!(answers[1], Err(Error::ConstraintViolation { .. })), "{:?}", answers[1]);
    assert_eq!((ids, commits), (vec![1, 3], 2));
    assert_eq!(calls.load(Ordering::SeqCst), 2, "a continuation is called again");
}

#[test]
fn a_full_database_refuses_what_does_not_fit_and_keeps_the_rest() {
    let mut fixture = Fixture::new();
    let pages: i64 =
        fixture.writer.conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let limit = format!("PRAGMA max_page_count = {}", pages + 4);
    fixture.writer.conn.query_row(&limit, [], |_| Ok(())).unwrap();
    fixture.send(create(1));
    fixture.send(create(2));
    fixture.send(create_body(3, &"x".repeat(100_000)));
    fixture.send(create(4));
    let (answers, ids, _) = fixture.run();
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
    let full = answers[2].as_ref().unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Full, "{full}");
    assert_eq!(ids, [1, 2, 4]);
}

#[test]
fn a_large_batch_commits_alone() {
    let mut fixture = Fixture::new();
    let large = |from: i64| (from..from + 100).flat_map(|id| create(id).steps).collect::<Batch>();
    fixture.send(create(1));
    fixture.send(large(100));
    fixture.send(create(2));
    fixture.send(create(3));
    let (answers, ids, commits) = fixture.run();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!((ids.len(), commits), (103, 3));
}

#[test]
fn who_waited_while_the_database_was_busy_is_refused_together() {
    let mut fixture = Fixture::new();
    fixture.writer.conn.busy_timeout(std::time::Duration::from_millis(1)).unwrap();
    let path = fixture.dir.path().join("test.db");
    let other = Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for id in 0..10 {
        fixture.send(create(id));
    }
    let (answers, ids, _) = fixture.run();
    assert!(answers.iter().all(|it| matches!(it, Err(error) if error.kind() == ErrorKind::Busy)));
    assert_eq!(ids, Vec::<i64>::new());
}

#[test]
fn each_job_sees_what_those_before_it_did() {
    let mut fixture = Fixture::new();
    fixture.send(create(1));
    let seen = Arc::new(Mutex::new(Vec::new()));
    for n in 0..5 {
        let seen = Arc::clone(&seen);
        let batch = Batch::new()
            .update("note", Filter::key(1), Changes::new().set("parent", n))
            .find(Query::new("note"))
            .then(move |trace| {
                seen.lock().unwrap().push(trace.found(0)[0].get(2).clone());
                Ok(Vec::new())
            });
        fixture.send(batch);
    }
    let (answers, _, commits) = fixture.run();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(*seen.lock().unwrap(), (0..5).map(Value::Int).collect::<Vec<_>>());
    assert_eq!(commits, 1);
}
