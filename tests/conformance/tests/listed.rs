//! Every case that is written is listed in its macro, and the other way round.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The cases of a suite, as `subject::case`: those that its files hold, and those that its macro lists.
fn cases(suite: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(suite);
    let mut written = BTreeSet::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let subject = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if subject == "mod" {
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines() {
            if let Some(rest) = line.strip_prefix("pub async fn ") {
                let name = rest.split(['(', '<']).next().unwrap();
                assert!(written.insert(format!("{subject}::{name}")));
            }
        }
    }
    let source = fs::read_to_string(folder.join("mod.rs")).unwrap();
    let list = source.split("$crate::__storex_suite!").nth(1).expect("the suite has a macro");
    let mut listed = BTreeSet::new();
    let mut subject = None;
    for line in list.lines().skip(1).map(str::trim) {
        match (line.strip_suffix(" {"), subject) {
            (Some(opened), None) => subject = Some(opened),
            (None, Some(_)) if line == "}" => subject = None,
            (None, Some(of)) => {
                assert!(listed.insert(format!("{of}::{line}")), "{of}::{line} is listed twice");
            }
            _ => break,
        }
    }
    (written, listed)
}

fn is_complete(suite: &str, at_least: usize) {
    let (written, listed) = cases(suite);
    let forgotten: Vec<_> = written.difference(&listed).collect();
    assert!(
        forgotten.is_empty(),
        "written in {suite}, but not listed in its macro: {forgotten:#?}"
    );
    let gone: Vec<_> = listed.difference(&written).collect();
    assert!(gone.is_empty(), "listed in the macro of {suite}, but not written: {gone:#?}");
    assert!(listed.len() >= at_least, "only {} cases: is this test still reading?", listed.len());
}

#[test]
fn of_exclusives() {
    is_complete("exclusive", 12);
}

#[test]
fn of_backends() {
    is_complete("backend", 430);
}

#[test]
fn of_shared_logs() {
    is_complete("shared_log", 75);
}

#[test]
fn of_stores() {
    is_complete("store", 21);
}

#[test]
fn of_channels() {
    is_complete("channel", 12);
}

#[test]
fn of_blob_stores() {
    is_complete("blob_store", 13);
}
