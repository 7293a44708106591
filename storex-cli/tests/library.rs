//! The demo as a function, for whoever builds on it.
#![allow(clippy::unwrap_used, reason = "helpers of tests may")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use storex_cli::demo::{
    ComparedTable, Folder, Observer, Options, Report, Silent, compare, create_sample, run,
};

#[derive(Debug, Default)]
struct Recorder {
    phases: Mutex<Vec<&'static str>>,
    rows: Mutex<Vec<(u64, u64)>>,
}

impl Observer for Recorder {
    fn phase(&self, what: &'static str) {
        self.phases.lock().unwrap().push(what);
    }

    fn rows(&self, done: u64, total: u64) {
        self.rows.lock().unwrap().push((done, total));
    }
}

#[tokio::test]
async fn an_observer_is_told_how_far_it_has_come() {
    let folder = Folder::temporary().unwrap();
    let recorder = Arc::new(Recorder::default());
    let observer: Arc<dyn Observer> = Arc::<Recorder>::clone(&recorder);
    let options = Options { from: None, interval: Duration::from_millis(20) };
    let report: Report = run(&options, &folder, observer).await.unwrap();
    assert!(report.equal, "{report}");
    assert_eq!(report.continuous_sync.interval_ms, 20);
    let phases = recorder.phases.lock().unwrap();
    let expected = [
        "copying the database",
        "initial sync",
        "editing both sides",
        "continuous sync",
        "comparing",
    ];
    assert_eq!(*phases, expected);
    let rows = recorder.rows.lock().unwrap();
    let last = rows.last().copied().unwrap();
    assert_eq!(last, (report.initial_sync.rows, report.initial_sync.rows));
    assert!(rows.is_sorted() && rows.len() > 1, "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_folder_can_be_compared_again() {
    let folder = tempfile::tempdir().unwrap();
    let original: PathBuf = folder.path().join("shop.db");
    create_sample(&original).unwrap();
    let kept = Folder::kept(&folder.path().join("kept")).unwrap();
    let options = Options { from: Some(original.clone()), ..Options::default() };
    let report = run(&options, &kept, Arc::new(Silent)).await.unwrap();
    assert!(report.equal, "{report}");
    let table = |name: &str, key: &[&str]| ComparedTable {
        name: name.to_owned(),
        key: key.iter().map(|column| (*column).to_owned()).collect(),
    };
    let tables = [table("note", &["id"]), table("order_line", &["order_id", "line"])];
    assert!(compare(&kept.a(), &kept.b(), &tables).unwrap().differences.is_empty());
    // The original has none of the edits.
    assert!(!compare(&original, &kept.b(), &tables).unwrap().differences.is_empty());
}
