//! `docs/capabilities.md` names every row, and nothing that is not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROWS: usize = 80;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The names of all functions and modules in the sources.
fn names(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(&*name, "target" | "node_modules") && !name.starts_with('.') {
                self::names(&path, names);
            }
        } else if path.extension().is_some_and(|it| it == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let words: Vec<&str> = source.split_whitespace().collect();
            for pair in words.windows(2).filter(|pair| matches!(pair[0], "fn" | "mod")) {
                let end = pair[1].find(|it: char| !it.is_alphanumeric() && it != '_');
                names.insert(pair[1][..end.unwrap_or(pair[1].len())].to_owned());
            }
        }
    }
}

struct Row {
    number: usize,
    tests: Vec<String>,
    remark: String,
}

fn rows() -> Vec<Row> {
    let table = fs::read_to_string(repository().join("docs/capabilities.md")).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| C"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [number, _, tests, remark, ..] = cells[..] else { panic!("{line}") };
        let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        Row { number: number.parse().unwrap(), tests, remark: remark.to_owned() }
    };
    rows.map(row).collect()
}

#[test]
fn every_row_is_in_the_table_once() {
    let numbers: Vec<usize> = rows().iter().map(|it| it.number).collect();
    assert_eq!(numbers, (1..=ROWS).collect::<Vec<_>>());
}

#[test]
fn what_the_table_names_is_there() {
    let mut known = BTreeSet::new();
    for folder in ["storex-core", "storex-sync", "storex-server", "storex-cli", "backends", "tests"]
    {
        names(&repository().join(folder), &mut known);
    }
    let there = |name: &str| match name.contains('/') {
        true => repository().join(name).exists(),
        false => known.contains(name),
    };
    let rows = rows();
    let all = rows.iter().flat_map(|row| row.tests.iter().map(|it| (row.number, it)));
    let missing: Vec<_> = all.filter(|(_, name)| !there(name)).collect();
    assert!(missing.is_empty(), "not in the sources: {missing:?}");
    for row in &rows {
        for link in row.remark.split("](").skip(1) {
            let path = repository().join("docs").join(link.split(')').next().unwrap());
            assert!(path.exists(), "C{}: {}", row.number, path.display());
        }
    }
}

/// What has no test says so, and each of the others has one that carries its number.
#[test]
fn every_row_has_a_test_with_its_number() {
    for Row { number, tests, remark } in rows() {
        let prefix = format!("c{number:02}_");
        let has_one = tests.iter().any(|it| it.starts_with(&prefix));
        assert!(has_one || remark.contains("not yet"), "C{number} has no test with its number");
    }
}
