//! What goes wrong around a database file: a clear typed error each, and nothing changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use storex_core::{
    Backend, Batch, Changes, Definition, Error, ErrorKind, FieldType, Filter, KeyFormat,
    OnConflict, Query, Registry, Step, Value,
};
use storex_sqlite::SqliteBackend;
use support::record;

fn registry() -> Arc<Registry> {
    let counter = Definition::new("counter").key_format(KeyFormat::Int).field("n", FieldType::Int);
    let item = Definition::new("item").key_format(KeyFormat::Int).field("body", FieldType::String);
    Arc::new(Registry::builder().collections([counter, item]).build().unwrap())
}

fn patient(path: &Path, timeout: Duration) -> SqliteBackend {
    SqliteBackend::builder(path).busy_timeout(timeout).build().unwrap()
}

async fn opened(path: &Path) -> SqliteBackend {
    let backend = patient(path, Duration::from_secs(60));
    backend.open(registry()).await.unwrap();
    backend
}

async fn refused(path: &Path) -> Error {
    let backend = patient(path, Duration::from_millis(20));
    let error = backend.open(registry()).await.unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    error
}

#[tokio::test]
async fn a_directory_is_no_database() {
    let dir = tempfile::tempdir().unwrap();
    let error = SqliteBackend::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("directory"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Io);
    // One that became one meanwhile.
    let path = dir.path().join("later");
    let backend = SqliteBackend::open(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let error = backend.open(registry()).await.unwrap_err();
    assert!(error.to_string().contains("directory"), "{error}");
    let error = refused(&dir.path().join("no/such/directory.db")).await;
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[tokio::test]
async fn a_text_file_is_no_database() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("text.db");
    let text = "Dear diary, ".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let error = refused(&path).await;
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("no SQLite database"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn an_empty_file_becomes_a_database() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.db");
    std::fs::write(&path, "").unwrap();
    let backend = opened(&path).await;
    assert_eq!(backend.count(Query::new("item")).await.unwrap(), 0);
}

#[tokio::test]
async fn a_database_that_another_program_holds_is_busy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE theirs(x); BEGIN EXCLUSIVE").unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = refused(&path).await;
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.is_retryable());
    assert_eq!(std::fs::read(&path).unwrap(), before);

    other.execute_batch("COMMIT").unwrap();
    let backend = patient(&path, Duration::from_millis(20));
    backend.open(registry()).await.unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let create = || Batch::new().create("item", vec![record([1.into(), "x".into()])]);
    let error = backend.execute(create()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert_eq!(backend.count(Query::new("item")).await.unwrap(), 0, "reads go on");
    other.execute_batch("COMMIT").unwrap();
    backend.execute(create()).await.unwrap();
}

#[tokio::test]
async fn two_backends_on_one_file_lose_no_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let (a, b) = tokio::join!(opened(&path), opened(&path));
    a.execute(Batch::new().create("counter", vec![record([1.into(), 0.into()])])).await.unwrap();
    let add = || Batch::new().update("counter", Filter::key(1), Changes::new().increment("n", 1));
    for _ in 0..100 {
        let (one, two) = tokio::join!(a.execute(add()), b.execute(add()));
        one.unwrap();
        two.unwrap();
    }
    for backend in [&a, &b] {
        let found = backend.find(Query::new("counter")).await.unwrap();
        assert_eq!(found[0].get(1), &Value::Int(200));
    }
    a.close().await.unwrap();
    b.close().await.unwrap();
}

/// Runs this test binary again as another process.
fn child(test: &str, path: &Path, step: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    command.env("STOREX_TEST_PATH", path).env("STOREX_TEST_STEP", step.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn child_path() -> std::path::PathBuf {
    std::env::var_os("STOREX_TEST_PATH").expect("run by another test").into()
}

#[tokio::test]
#[ignore = "the other process of `two_processes_lose_no_write`"]
async fn process_that_counts() {
    let backend = opened(&child_path()).await;
    for _ in 0..100 {
        let batch =
            Batch::new().update("counter", Filter::key(1), Changes::new().increment("n", 1));
        backend.execute(batch).await.unwrap();
    }
    backend.close().await.unwrap();
}

#[tokio::test]
async fn two_processes_lose_no_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let backend = opened(&path).await;
    backend
        .execute(Batch::new().create("counter", vec![record([1.into(), 0.into()])]))
        .await
        .unwrap();
    let children: Vec<_> =
        (0..2).map(|_| child("process_that_counts", &path, 0).spawn().unwrap()).collect();
    for _ in 0..100 {
        let batch =
            Batch::new().update("counter", Filter::key(1), Changes::new().increment("n", 1));
        backend.execute(batch).await.unwrap();
    }
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let found = backend.find(Query::new("counter")).await.unwrap();
    assert_eq!(found[0].get(1), &Value::Int(300));
}

/// Ends the process at the k-th named step.
struct KillAt(std::sync::atomic::AtomicUsize);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for KillAt {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let steps = event.metadata().target() == "storex::step";
        if steps && self.0.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1 {
            std::process::abort();
        }
    }
}

#[tokio::test]
#[ignore = "the process that `a_process_that_is_killed_at_any_step_leaves_all_or_nothing` kills"]
async fn process_that_is_killed() {
    use tracing_subscriber::layer::SubscriberExt;
    let step: usize = std::env::var("STOREX_TEST_STEP").unwrap().parse().unwrap();
    let backend = opened(&child_path()).await;
    let kill = KillAt(std::sync::atomic::AtomicUsize::new(step));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(kill)).unwrap();
    for n in 1..=4 {
        let created = Batch::new().create("item", vec![record([n.into(), "x".into()])]);
        let batch = created.touching(["counter"]).then(move |_| {
            Ok(vec![Step::create_or(
                "counter",
                vec![record([1.into(), n.into()])],
                OnConflict::Replace,
            )])
        });
        backend.execute(batch).await.unwrap();
        println!("acknowledged {n}");
    }
    std::process::abort();
}

#[tokio::test]
async fn a_process_that_is_killed_at_any_step_leaves_all_or_nothing() {
    for step in 1..=21 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let output = child("process_that_is_killed", &path, step).output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stdout);
        let acknowledged = said.matches("acknowledged").count() as i64;
        let backend = opened(&path).await;
        let items = i64::try_from(backend.count(Query::new("item")).await.unwrap()).unwrap();
        let counter = backend.find(Query::new("counter")).await.unwrap();
        let counted = counter.first().map_or(0, |it| it.get(1).as_int().unwrap());
        assert_eq!(items, counted, "step {step}: the batch is torn");
        assert!(
            items == acknowledged || items == acknowledged + 1,
            "step {step}: {items} items, {acknowledged} acknowledged"
        );
        // Five steps per write: begin, two executed, before and after the commit.
        assert_eq!(items, (step as i64).div_euclid(5).min(4), "step {step}");
    }
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;

    use super::*;

    const NOBODY: u32 = 65534;

    fn is_root(dir: &Path) -> bool {
        chown(dir, Some(0), None).is_ok()
    }

    #[tokio::test]
    #[ignore = "the process without rights of `a_database_that_may_only_be_read_is_refused`"]
    async fn process_that_may_only_read() {
        let path = child_path();
        let before = std::fs::read(&path).unwrap();
        let error = refused(&path).await;
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
        assert!(error.to_string().contains("permissions"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[tokio::test]
    async fn a_database_that_may_only_be_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs(x)").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o444)).unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let mut child = child("unix::process_that_may_only_read", &path, 0);
        if is_root(dir.path()) {
            // Root may write everything.
            child.uid(NOBODY).gid(NOBODY);
        }
        match child.output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout).into_owned()
                    + &String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success() && said.contains("1 passed"), "{said}");
            }
            // The test binary lies where nobody else may run it.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{error}"),
        }
    }

    /// A small file system of its own, where this may be made.
    struct SmallDisk(tempfile::TempDir);

    impl SmallDisk {
        fn new() -> Option<Self> {
            let dir = tempfile::tempdir().unwrap();
            let mounted = Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=600k", "tmpfs"])
                .arg(dir.path())
                .output();
            mounted.is_ok_and(|output| output.status.success()).then_some(Self(dir))
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
        }
    }

    #[tokio::test]
    async fn a_full_disk_refuses_the_write_whole_and_recovers() {
        let Some(disk) = SmallDisk::new() else { return };
        let path = disk.0.path().join("a.db");
        let ballast = disk.0.path().join("ballast");
        std::fs::write(&ballast, vec![1; 200_000]).unwrap();
        let backend = opened(&path).await;
        let body = "x".repeat(10_000);
        let create = |n: i64| {
            Batch::new().create(
                "item",
                vec![
                    record([n.into(), body.as_str().into()]),
                    record([(-n).into(), body.as_str().into()]),
                ],
            )
        };
        let mut written = 0;
        let error = loop {
            match backend.execute(create(written + 1)).await {
                Ok(_) => written += 1,
                Err(error) => break error,
            }
            assert!(written < 1000, "the disk never gets full");
        };
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        assert!(written > 2);
        assert_eq!(backend.count(Query::new("item")).await.unwrap(), 2 * written as u64);
        // Still full: what was written stays in the `-wal` file.
        backend.close().await.unwrap();
        std::fs::remove_file(ballast).unwrap();
        let backend = opened(&path).await;
        assert_eq!(backend.count(Query::new("item")).await.unwrap(), 2 * written as u64);
        backend.execute(Batch::new().delete("item", Filter::All)).await.unwrap();
        backend.execute(create(1)).await.unwrap();
        assert_eq!(backend.count(Query::new("item")).await.unwrap(), 2);
    }
}

#[tokio::test]
async fn damage_is_told_as_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let backend = opened(&path).await;
    let rows = (0..500).map(|n| record([n.into(), "x".repeat(200).into()])).collect();
    backend.execute(Batch::new().create("item", rows)).await.unwrap();
    backend.close().await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(3 * 4096) {
        *byte = 0xaa;
    }
    std::fs::write(&path, bytes).unwrap();
    let backend = patient(&path, Duration::from_secs(1));
    let error = match backend.open(registry()).await {
        Ok(()) => backend.find(Query::new("item")).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}
