//! The same work by hand: prepared statements on one connection, in one transaction the row, one binary log row, and the
//! stored last-writer state that a merge needs.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use crate::workload::{Note, Update};

/// A hand-written device.
#[derive(Debug)]
pub struct Hand {
    /// Its database.
    pub connection: Connection,
    stamp: i64,
}

/// The form of a log entry: lengths and bytes.
fn pack(out: &mut Vec<u8>, texts: &[&str], integers: &[i64]) {
    for text in texts {
        out.extend(u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
        out.extend(text.as_bytes());
    }
    integers.iter().for_each(|int| out.extend(int.to_le_bytes()));
}

impl Hand {
    pub(crate) fn state(stamp: i64) -> Vec<u8> {
        let mut out = Vec::with_capacity(10);
        out.push(1);
        out.extend(stamp.to_be_bytes());
        out.push(1);
        out
    }

    /// Notes in the state when a field was written; whether that is later than what the state knew.
    pub(crate) fn is_newer(clock: &mut Vec<u8>, field: &str, stamp: i64) -> bool {
        let field = u8::try_from(field.len()).unwrap_or(0);
        let known = |at: &[u8]| i64::from_be_bytes(at.try_into().unwrap());
        match clock[10..].chunks(10).position(|it| it[0] == field) {
            Some(at) => {
                let place = 11 + at * 10..19 + at * 10;
                let newer = known(&clock[place.clone()]) < stamp;
                if newer {
                    clock[place].copy_from_slice(&stamp.to_be_bytes());
                }
                newer
            }
            None => {
                let newer = known(&clock[1..9]) < stamp;
                clock.push(field);
                clock.extend(stamp.to_be_bytes());
                clock.push(1);
                newer
            }
        }
    }

    /// How many notes there are.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.connection.query_row("SELECT count(*) FROM note", [], |row| row.get(0)).unwrap()
    }

    /// Makes the tables. `synchronous`: `FULL` or `NORMAL`.
    #[must_use]
    pub fn open(path: &Path, synchronous: &str) -> Self {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous};
                 CREATE TABLE note(id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL,
                     tags TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) STRICT;
                 CREATE INDEX note_created ON note(created_at);
                 CREATE TABLE log(stamp INTEGER PRIMARY KEY, collection INTEGER NOT NULL, key TEXT NOT NULL,
                     operation INTEGER NOT NULL, payload BLOB) STRICT;
                 CREATE TABLE state(collection INTEGER NOT NULL, key TEXT NOT NULL, clock BLOB NOT NULL,
                     PRIMARY KEY(collection, key)) STRICT, WITHOUT ROWID;
                 CREATE TABLE place(log INTEGER PRIMARY KEY, place INTEGER NOT NULL) STRICT;"
            ))
            .unwrap();
        connection.set_prepared_statement_cache_capacity(64);
        Self { connection, stamp: 1_700_000_000_000 << 16 }
    }

    fn begin(&self) {
        self.connection.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
    }

    fn commit(&self) {
        self.connection.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
    }

    /// Creates notes in one transaction.
    pub fn create(&mut self, notes: &[Note]) {
        self.begin();
        {
            let c = &self.connection;
            let mut insert =
                c.prepare_cached("INSERT INTO note VALUES(?1,?2,?3,?4,?5,?6)").unwrap();
            let mut log = c.prepare_cached("INSERT INTO log VALUES(?1,1,?2,0,?3)").unwrap();
            let mut clock = c.prepare_cached("INSERT INTO state VALUES(1,?1,?2)").unwrap();
            let mut payload = Vec::with_capacity(512);
            for note in notes {
                self.stamp += 1;
                insert
                    .execute(params![
                        note.id,
                        note.title,
                        note.body,
                        note.tags,
                        note.created_at,
                        note.updated_at
                    ])
                    .unwrap();
                payload.clear();
                pack(
                    &mut payload,
                    &[&note.title, &note.body, &note.tags],
                    &[note.created_at, note.updated_at],
                );
                log.execute(params![self.stamp, note.id, payload]).unwrap();
                clock.execute(params![note.id, Self::state(self.stamp)]).unwrap();
            }
        }
        self.commit();
    }

    /// Changes one field each, in one transaction. The state is kept per field: it is read, amended and written.
    pub fn update(&mut self, updates: &[Update]) {
        self.begin();
        {
            let c = &self.connection;
            let mut log = c.prepare_cached("INSERT INTO log VALUES(?1,1,?2,1,?3)").unwrap();
            let mut read =
                c.prepare_cached("SELECT clock FROM state WHERE collection=1 AND key=?1").unwrap();
            let mut write = c
                .prepare_cached("UPDATE state SET clock=?2 WHERE collection=1 AND key=?1")
                .unwrap();
            let mut payload = Vec::with_capacity(512);
            for update in updates {
                self.stamp += 1;
                c.prepare_cached(&format!("UPDATE note SET {}=?2 WHERE id=?1", update.field))
                    .unwrap()
                    .execute(params![update.id, update.text])
                    .unwrap();
                payload.clear();
                pack(&mut payload, &[update.field, &update.text], &[]);
                log.execute(params![self.stamp, update.id, payload]).unwrap();
                let clock: Option<Vec<u8>> =
                    read.query_row([&update.id], |row| row.get(0)).optional().unwrap();
                let mut clock = clock.unwrap_or_default();
                assert!(Self::is_newer(&mut clock, update.field, self.stamp));
                write.execute(params![update.id, clock]).unwrap();
            }
        }
        self.commit();
    }

    /// Deletes notes in one transaction.
    pub fn delete(&mut self, ids: &[String]) {
        self.begin();
        {
            let c = &self.connection;
            let mut delete = c.prepare_cached("DELETE FROM note WHERE id=?1").unwrap();
            let mut log = c.prepare_cached("INSERT INTO log VALUES(?1,1,?2,2,NULL)").unwrap();
            let mut clock = c
                .prepare_cached("UPDATE state SET clock=?2 WHERE collection=1 AND key=?1")
                .unwrap();
            for id in ids {
                self.stamp += 1;
                delete.execute([id]).unwrap();
                log.execute(params![self.stamp, id]).unwrap();
                clock.execute(params![id, Self::state(self.stamp)]).unwrap();
            }
        }
        self.commit();
    }

    /// Reads one note.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Note> {
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT id, title, body, tags, created_at, updated_at FROM note WHERE id=?1",
            )
            .unwrap();
        select.query_row([id], read_note).optional().unwrap()
    }

    /// Reads the notes of a time span, in its order.
    #[must_use]
    pub fn between(&self, from: i64, to: i64) -> Vec<Note> {
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT id, title, body, tags, created_at, updated_at FROM note
                 WHERE created_at>=?1 AND created_at<?2 ORDER BY created_at, id",
            )
            .unwrap();
        select.query_map([from, to], read_note).unwrap().map(Result::unwrap).collect()
    }
}

fn read_note(row: &rusqlite::Row<'_>) -> rusqlite::Result<Note> {
    Ok(Note {
        id: row.get(0)?,
        title: row.get(1)?,
        body: row.get(2)?,
        tags: row.get(3)?,
        created_at: row.get(4)?,
        updated_at: row.get(5)?,
    })
}
