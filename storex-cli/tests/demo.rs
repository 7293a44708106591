//! `storex demo` as a person runs it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may")]

mod support;

use std::path::Path;

use rusqlite::Connection;
use serde_json::Value as Json;
use support::{check, database, files, number, storex, text};

/// The rows of a table in the report.
fn rows(report: &Json, table: &str) -> (u64, u64) {
    let tables = report["tables"].as_array().unwrap();
    let found = tables.iter().find(|it| it["table"] == table);
    let found = found.unwrap_or_else(|| panic!("no table `{table}` in {tables:?}"));
    (found["a"].as_u64().unwrap(), found["b"].as_u64().unwrap())
}

/// What must be in every report of a run that went well.
#[track_caller]
fn check_report(report: &Json) {
    assert_eq!(report["equal"], true);
    assert_eq!(report["differences"], Json::Array(Vec::new()));
    for table in report["tables"].as_array().unwrap() {
        assert_eq!(table["a"], table["b"], "{table}");
    }
    let sent =
        |direction: &str, what: &str| report["continuous_sync"][direction][what].as_u64().unwrap();
    for (side, direction) in [("a", "a_to_b"), ("b", "b_to_a")] {
        let edits = report["edits"][side].as_object().unwrap();
        let edits: u64 = edits.values().map(|count| count.as_u64().unwrap()).sum();
        assert!(sent(direction, "transactions") > 0);
        // A delete may take others with it.
        assert!(sent(direction, "entries") >= edits, "{report:#}");
    }
    for conflict in report["conflicts"].as_array().unwrap() {
        assert!(["A", "B"].contains(&conflict["winner"].as_str().unwrap()), "{conflict}");
    }
}

#[test]
fn the_sample_ends_equal_and_tells_so() {
    let ran = storex(["demo"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stderr, "", "nothing on standard error that is no terminal");
    for part in [
        "built-in sample",
        "rows/s",
        "A → B",
        "conflicts: ",
        "won: ",
        "order_line",
        "A and B are equal",
    ] {
        assert!(ran.stdout.contains(part), "`{part}` is missing in:\n{}", ran.stdout);
    }
}

#[test]
fn json_is_one_object_with_the_figures() {
    let report = storex(["demo", "--json"]).json();
    check_report(&report);
    assert_eq!(report["from"], Json::Null);
    assert_eq!(report["kept"], Json::Null);
    assert!(report["initial_sync"]["rows"].as_u64().unwrap() > 5000);
    assert!(report["initial_sync"]["rows_per_second"].as_f64().unwrap() > 0.0);
    assert!(report["conflicts"].as_array().unwrap().len() >= 3);
    for side in ["a", "b"] {
        for kind in ["inserts", "updates", "deletes"] {
            assert!(report["edits"][side][kind].as_u64().unwrap() > 0, "{kind} on {side}");
        }
    }
    // Deletes against updates, and updates of the same field; each side wins some.
    let winners: Vec<&str> = report["conflicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|conflict| conflict["winner"].as_str().unwrap())
        .collect();
    assert!(winners.contains(&"A") && winners.contains(&"B"), "{winners:?}");
}

#[test]
fn keep_leaves_three_databases_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("new/folder");
    let report = storex(["demo", "--json", "--keep", text(&kept)]).json();
    assert_eq!(report["kept"], text(&kept));
    assert_eq!(files(&kept), ["a.db", "b.db", "shared-log.db"]);
    for name in ["a.db", "b.db", "shared-log.db"] {
        check(&kept.join(name));
    }
    let count = |name: &str| {
        u64::try_from(number(&kept.join(name), "SELECT count(*) FROM order_line")).unwrap()
    };
    assert_eq!(rows(&report, "order_line"), (count("a.db"), count("b.db")));

    let transactions =
        number(&kept.join("shared-log.db"), "SELECT count(*) FROM shared_transaction");
    let sent =
        |direction: &str| report["continuous_sync"][direction]["transactions"].as_i64().unwrap();
    assert_eq!(transactions, sent("a_to_b") + sent("b_to_a"));

    // A second run finds them, and does not touch them.
    let before = std::fs::read(kept.join("a.db")).unwrap();
    let again = storex(["demo", "--keep", text(&kept)]);
    assert!(again.refused().ends_with("a.db is there already; give an empty folder"), "{again:?}");
    assert!(before == std::fs::read(kept.join("a.db")).unwrap());
}

#[test]
fn a_kept_database_can_be_shown_again() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let first = storex(["demo", "--json", "--keep", text(&kept)]).json();
    let original = std::fs::read(kept.join("b.db")).unwrap();
    let second = storex(["demo", "--json", "--from", text(&kept.join("b.db"))]).json();
    check_report(&second);
    assert_eq!(
        second["initial_sync"]["rows"],
        first["tables"].as_array().unwrap().iter().map(|it| it["b"].as_u64().unwrap()).sum::<u64>()
    );
    assert!(original == std::fs::read(kept.join("b.db")).unwrap());
    assert_eq!(files(&kept), ["a.db", "b.db", "shared-log.db"]);
}

#[test]
fn chinook_ends_equal() {
    let chinook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/chinook.sqlite");
    if !chinook.exists() {
        println!("not tested: {} is not there", chinook.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let report =
        storex(["demo", "--json", "--from", text(&chinook), "--keep", text(folder.path())]).json();
    check_report(&report);
    assert_eq!(report["tables"].as_array().unwrap().len(), 11);
    assert_eq!(report["left_out"], Json::Array(Vec::new()));
    assert_eq!(report["initial_sync"]["rows"], 15_607);
    check(&folder.path().join("a.db"));
    check(&folder.path().join("b.db"));

    // Once more, without asking the command: compound keys, nulls and decimals.
    let conn = Connection::open(folder.path().join("a.db")).unwrap();
    conn.execute("ATTACH ?1 AS b", [text(&folder.path().join("b.db"))]).unwrap();
    for table in [
        "Album",
        "Artist",
        "Customer",
        "Employee",
        "Genre",
        "Invoice",
        "InvoiceLine",
        "MediaType",
        "Playlist",
        "PlaylistTrack",
        "Track",
    ] {
        let sql = format!(
            "SELECT count(*) FROM (SELECT * FROM main.{table} EXCEPT SELECT * FROM b.{table} \
             UNION ALL SELECT * FROM b.{table} EXCEPT SELECT * FROM main.{table})"
        );
        let differing: i64 = conn.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(differing, 0, "{table}");
    }
    let one = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(one("SELECT count(*) FROM b.Track WHERE Composer IS NULL") > 900);
    assert!(one("SELECT count(*) FROM b.Invoice WHERE typeof(Total) = 'real'") > 300);
    let original =
        Connection::open_with_flags(&chinook, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let schema = "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema \
                  WHERE tbl_name NOT LIKE '\\_storex%' ESCAPE '\\' ORDER BY type, name)";
    let sql = |conn: &Connection, schema: &str| {
        conn.query_row(schema, [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!(sql(&original, schema), sql(&conn, schema));
    assert_eq!(
        sql(&original, schema),
        sql(&conn, &schema.replace("sqlite_schema", "b.sqlite_schema"))
    );
}

const NASTY: &str = r#"
PRAGMA user_version = 42;
PRAGMA application_id = 7;

-- Names that SQL and shells trip over; texts in number columns and numbers in text columns.
CREATE TABLE "say ""hi"" & 'bye'; --" (
    "a key" INTEGER PRIMARY KEY,
    "select" TEXT DEFAULT 'it''s',
    [from] NUMERIC,
    `größe %` REAL,
    "\" BLOB,
    "$dollar" ANY
);
INSERT INTO "say ""hi"" & 'bye'; --" VALUES
    (-9223372036854775808, 'lowest', 1e300, -1.5, x'00ff', NULL),
    (0, '', 'no number', 0.1, x'', 'text'),
    (9007199254740993, '💥', 9223372036854775807, 9e999, 'text in a blob', 1.0),
    (9223372036854775807, 'highest', -0.0, NULL, NULL, x'01');

-- A compound key of text and bytes, no rowid.
CREATE TABLE piece (
    box  TEXT NOT NULL,
    code BLOB NOT NULL,
    note TEXT,
    PRIMARY KEY (box, code)
) WITHOUT ROWID;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
INSERT INTO piece SELECT 'box ' || (i % 7), CAST(i AS BLOB), nullif('note ' || (i % 5), 'note 0') FROM n;

-- Strict, with a key of 16 bytes.
CREATE TABLE strict_one (
    id    BLOB NOT NULL PRIMARY KEY,
    n     INT,
    r     REAL NOT NULL,
    t     TEXT UNIQUE,
    b     BLOB,
    other ANY
) STRICT;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30)
INSERT INTO strict_one
    SELECT CAST(printf('%016d', i) AS BLOB), nullif(i, 3), i / 3.0, nullif('t' || i, 't4'), zeroblob(i % 4),
           CASE i % 3 WHEN 0 THEN i WHEN 1 THEN 'x' || i ELSE NULL END FROM n;

-- Columns that SQLite computes; a rule; unique indices of every kind; a collation.
CREATE TABLE item (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL COLLATE NOCASE,
    price    DECIMAL(10, 2) NOT NULL CHECK (price >= 0 AND price < 1000),
    quantity INTEGER NOT NULL DEFAULT 1,
    total    AS (price * quantity) STORED,
    shout    AS (upper(name)),
    kind     TEXT CHECK (kind IN ('small', 'large')),
    parent   TEXT REFERENCES item (id) ON DELETE CASCADE,
    slug     TEXT,
    created  TEXT DEFAULT CURRENT_TIMESTAMP
);
CREATE UNIQUE INDEX item_slug ON item (slug) WHERE slug IS NOT NULL;
CREATE UNIQUE INDEX item_lower ON item (lower(id));
CREATE INDEX item_total ON item (total);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
INSERT INTO item (id, name, price, quantity, kind, parent, slug)
    SELECT 'item-' || i, 'Näme ' || i, i * 1.25, i, CASE WHEN i % 2 THEN 'small' ELSE 'large' END,
           CASE WHEN i > 10 THEN 'item-' || (i / 10) END, CASE WHEN i % 5 THEN 'slug-' || i END FROM n;

-- A rule in a trigger; a trigger that writes to a table which is not synced; a table that nobody may change.
CREATE TRIGGER "item: no ""zero""" BEFORE INSERT ON item WHEN new.quantity = 0
BEGIN SELECT raise(ABORT, 'nothing of it'); END;
CREATE TABLE "change log" (at TEXT, what TEXT);
CREATE TRIGGER item_log AFTER UPDATE ON item BEGIN INSERT INTO "change log" VALUES (datetime(), old.id); END;
INSERT INTO "change log" VALUES ('2020-01-01', 'before');
CREATE TABLE frozen (id INTEGER PRIMARY KEY, what TEXT);
INSERT INTO frozen SELECT i, 'ice ' || i FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12) SELECT i FROM n);
CREATE TRIGGER frozen_update BEFORE UPDATE ON frozen BEGIN SELECT raise(ABORT, 'frozen'); END;
CREATE TRIGGER frozen_delete BEFORE DELETE ON frozen BEGIN SELECT raise(ABORT, 'frozen'); END;
CREATE TRIGGER frozen_insert BEFORE INSERT ON frozen WHEN new.id > 12 BEGIN SELECT raise(ABORT, 'frozen'); END;

-- Compound foreign keys, and a table that only links.
CREATE TABLE spot (x INT NOT NULL, y INT NOT NULL, label TEXT, PRIMARY KEY (x, y));
INSERT INTO spot SELECT value / 6, value % 6, 'spot ' || value FROM json_each('[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]');
CREATE TABLE token (
    id TEXT NOT NULL UNIQUE, x INT, y INT, colour TEXT,
    FOREIGN KEY (x, y) REFERENCES spot ON DELETE SET NULL
);
INSERT INTO token SELECT '018f4c7a-0000-7000-8000-0000000000' || printf('%02d', value), value % 2, value % 6, NULL
    FROM json_each('[0,1,2,3,4,5,6,7,8,9,10,11]');
CREATE TABLE item_spot (
    item TEXT NOT NULL REFERENCES item, x INT NOT NULL, y INT NOT NULL,
    PRIMARY KEY (item, x, y), FOREIGN KEY (x, y) REFERENCES spot
);
INSERT INTO item_spot SELECT 'item-' || (1 + value % 5), value / 6, value % 6 FROM json_each('[0,1,2,3,4,5,6,7,8,9]');

-- Nothing in it, and nothing but its key.
CREATE TABLE empty (id INTEGER PRIMARY KEY, text TEXT);
CREATE TABLE bare (word TEXT NOT NULL PRIMARY KEY);
INSERT INTO bare VALUES ('one'), ('two'), ('three'), ('four'), ('five'), ('six'), ('seven'), ('eight'), ('nine');

CREATE VIEW "a view" AS SELECT name, total FROM item;
"#;

#[test]
fn a_nasty_database_ends_equal() {
    let folder = tempfile::tempdir().unwrap();
    let original = database(folder.path(), "so 'nasty' #1?.db", NASTY);
    let kept = folder.path().join("kept here");
    let report =
        storex(["demo", "--json", "--from", text(&original), "--keep", text(&kept)]).json();
    check_report(&report);
    let left_out = report["left_out"].as_array().unwrap();
    assert_eq!(left_out.len(), 1, "{left_out:?}");
    assert_eq!(left_out[0]["table"], "change log");
    assert!(left_out[0]["reason"].as_str().unwrap().contains("primary key"), "{left_out:?}");
    assert_eq!(rows(&report, "frozen"), (12, 12));
    assert_eq!(rows(&report, "empty"), (0, 0));
    assert!(rows(&report, "item").0 > 50 - 4);
    for name in ["a.db", "b.db"] {
        check(&kept.join(name));
        assert_eq!(number(&kept.join(name), "PRAGMA user_version"), 42);
        assert_eq!(number(&kept.join(name), "PRAGMA application_id"), 7);
    }
    let text = storex(["demo", "--from", text(&original)]);
    assert!(text.stdout.contains("left out: change log: "), "{}", text.stdout);
}

#[test]
fn differing_databases_are_told_and_fail() {
    let folder = tempfile::tempdir().unwrap();
    // What a trigger writes is not logged, and this one writes something else on every device.
    let original = database(
        folder.path(),
        "original.db",
        "CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT);
         CREATE TABLE history(id BLOB NOT NULL PRIMARY KEY, note INTEGER);
         INSERT INTO note VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd');
         CREATE TRIGGER log AFTER UPDATE ON note BEGIN INSERT INTO history VALUES (randomblob(16), new.id); END;",
    );
    let ran = storex(["demo", "--from", text(&original)]);
    let message = ran.refused();
    assert!(message.starts_with("A and B are not as they must be: `history` x'"), "{message}");
    assert!(ran.stdout.contains("A and B are NOT as they must be:"), "{}", ran.stdout);
    let ran = storex(["demo", "--json", "--from", text(&original)]);
    ran.refused();
    let report: Json = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["equal"], false);
    let differences = report["differences"].as_array().unwrap();
    let hint = differences.last().unwrap().as_str().unwrap();
    assert!(differences.len() > 1 && hint.contains("triggers"), "{differences:?}");
}

#[test]
fn help_and_version() {
    let help = storex(["demo", "--help"]);
    assert_eq!(help.code, Some(0));
    for option in ["--from <FILE.db>", "--keep <DIR>", "--json"] {
        assert!(help.stdout.contains(option), "{}", help.stdout);
    }
    let version = storex(["--version"]);
    assert_eq!(version.stdout.trim(), concat!("storex ", env!("CARGO_PKG_VERSION")));
    assert_eq!(storex(["demo", "--no-such-option"]).code, Some(2));
    assert_eq!(storex([""; 0]).code, Some(2));
}
