//! Bringing the log of one device to another by hand: through a shared log in a third database, by 1,000 entries, each compared
//! with the stored last-writer state.

use std::path::Path;

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use crate::hand::Hand;

const BATCH: usize = 1000;

/// A shared log by hand.
#[derive(Debug)]
pub struct HandLog {
    connection: Connection,
}

/// An entry of the log.
struct Entry {
    place: i64,
    stamp: i64,
    key: String,
    operation: i64,
    payload: Vec<u8>,
}

impl HandLog {
    /// Makes the table.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;
                 CREATE TABLE entry(place INTEGER PRIMARY KEY, device INTEGER NOT NULL, stamp INTEGER NOT NULL,
                     key TEXT NOT NULL, operation INTEGER NOT NULL, payload BLOB NOT NULL) STRICT;",
            )
            .unwrap();
        connection.set_prepared_statement_cache_capacity(64);
        Self { connection }
    }

    /// Takes over what a device has logged, and trims its log.
    pub fn push(&self, from: &Hand) {
        loop {
            let entries = read(
                &from.connection,
                "SELECT stamp, stamp, key, operation, coalesce(payload, x'') FROM log ORDER BY stamp LIMIT 1000",
                [],
            );
            let Some(last) = entries.last() else { break };
            begin(&self.connection);
            let mut insert = prepared(
                &self.connection,
                "INSERT INTO entry(device, stamp, key, operation, payload) VALUES(1,?1,?2,?3,?4)",
            );
            for it in &entries {
                insert.execute(params![it.stamp, it.key, it.operation, it.payload]).unwrap();
            }
            drop(insert);
            commit(&self.connection);
            begin(&from.connection);
            prepared(&from.connection, "DELETE FROM log WHERE stamp<=?1")
                .execute([last.stamp])
                .unwrap();
            commit(&from.connection);
            if entries.len() < BATCH {
                break;
            }
        }
    }

    /// Brings what follows a place to another device; gives the place behind it.
    pub fn pull(&self, mut place: i64, to: &Hand) -> i64 {
        loop {
            let entries = read(
                &self.connection,
                "SELECT place, stamp, key, operation, payload FROM entry WHERE place>?1 ORDER BY place LIMIT 1000",
                [place],
            );
            let Some(last) = entries.last() else { return place };
            place = last.place;
            begin(&to.connection);
            entries.iter().for_each(|entry| apply(&to.connection, entry));
            prepared(&to.connection, "INSERT OR REPLACE INTO place VALUES(1,?1)")
                .execute([place])
                .unwrap();
            commit(&to.connection);
        }
    }
}

fn prepared<'a>(connection: &'a Connection, sql: &str) -> CachedStatement<'a> {
    connection.prepare_cached(sql).unwrap()
}

fn begin(connection: &Connection) {
    prepared(connection, "BEGIN IMMEDIATE").execute([]).unwrap();
}

fn commit(connection: &Connection) {
    prepared(connection, "COMMIT").execute([]).unwrap();
}

fn read(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Vec<Entry> {
    let entry = |row: &rusqlite::Row<'_>| {
        Ok(Entry {
            place: row.get(0)?,
            stamp: row.get(1)?,
            key: row.get(2)?,
            operation: row.get(3)?,
            payload: row.get(4)?,
        })
    };
    prepared(connection, sql).query_map(params, entry).unwrap().map(Result::unwrap).collect()
}

fn apply(to: &Connection, entry: &Entry) {
    let mut known = prepared(to, "SELECT clock FROM state WHERE collection=1 AND key=?1");
    let clock: Option<Vec<u8>> =
        known.query_row([&entry.key], |row| row.get(0)).optional().unwrap();
    let stamp = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().unwrap());
    match (entry.operation, clock) {
        (0 | 2, Some(clock)) if stamp(&clock[1..9]) >= entry.stamp => {}
        (0, _) => {
            let (texts, ints) = unpack(&entry.payload, 3);
            prepared(to, "INSERT OR REPLACE INTO note VALUES(?1,?2,?3,?4,?5,?6)")
                .execute(params![entry.key, texts[0], texts[1], texts[2], ints[0], ints[1]])
                .unwrap();
            write_state(to, &entry.key, &Hand::state(entry.stamp));
        }
        (1, Some(mut clock)) => {
            let (texts, _) = unpack(&entry.payload, 2);
            if !Hand::is_newer(&mut clock, texts[0], entry.stamp) {
                return;
            }
            prepared(to, &format!("UPDATE note SET {}=?2 WHERE id=?1", texts[0]))
                .execute(params![entry.key, texts[1]])
                .unwrap();
            write_state(to, &entry.key, &clock);
        }
        (2, _) => {
            prepared(to, "DELETE FROM note WHERE id=?1").execute([&entry.key]).unwrap();
            write_state(to, &entry.key, &Hand::state(entry.stamp));
        }
        _ => {}
    }
}

fn write_state(to: &Connection, key: &str, state: &[u8]) {
    prepared(to, "INSERT OR REPLACE INTO state VALUES(1,?1,?2)")
        .execute(params![key, state])
        .unwrap();
}

/// So many texts, then integers.
fn unpack(mut payload: &[u8], texts: usize) -> (Vec<&str>, Vec<i64>) {
    let mut take = |len: usize| {
        let (taken, rest) = payload.split_at(len);
        payload = rest;
        taken
    };
    let texts = (0..texts)
        .map(|_| {
            let len = u32::from_le_bytes(take(4).try_into().unwrap());
            std::str::from_utf8(take(len as usize)).unwrap()
        })
        .collect();
    let integers = payload.chunks(8).map(|it| i64::from_le_bytes(it.try_into().unwrap())).collect();
    (texts, integers)
}
