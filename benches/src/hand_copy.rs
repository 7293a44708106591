//! Copying a table by hand from one file to another: a loop over what is selected, and inserts in batches. Where rows have
//! clocks, these are copied too: what a merge needs is the same work for both sides.

use std::io::{BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use rusqlite::{CachedStatement, Connection, Row, params};

use crate::hand::Hand;

const BATCH: usize = 1000;

/// What is copied.
#[derive(Debug, Clone, Copy)]
pub struct Copied {
    select: &'static str,
    with_clocks: bool,
}

/// Rows alone.
pub const ROWS: Copied = Copied {
    select: "SELECT id, title, body, tags, created_at, updated_at FROM note",
    with_clocks: false,
};

/// Rows, each with its last-writer state.
pub const ROWS_AND_CLOCKS: Copied = Copied {
    select: "SELECT id, title, body, tags, created_at, updated_at,
        (SELECT clock FROM state WHERE collection=1 AND key=id) FROM note",
    with_clocks: true,
};

/// The statements that write.
struct Inserts<'c> {
    note: CachedStatement<'c>,
    clock: Option<CachedStatement<'c>>,
}

impl<'c> Inserts<'c> {
    fn prepare(to: &'c Connection, copied: Copied) -> Self {
        let clock = "INSERT INTO state VALUES(1,?1,?2)";
        Self {
            note: to.prepare_cached("INSERT INTO note VALUES(?1,?2,?3,?4,?5,?6)").unwrap(),
            clock: copied.with_clocks.then(|| to.prepare_cached(clock).unwrap()),
        }
    }

    fn insert(&mut self, texts: [&str; 4], ints: [i64; 2], clock: &[u8]) {
        let [id, title, body, tags] = texts;
        self.note.execute(params![id, title, body, tags, ints[0], ints[1]]).unwrap();
        if let Some(insert) = &mut self.clock {
            insert.execute(params![id, clock]).unwrap();
        }
    }
}

/// In one thread, row by row.
pub fn copy(from: &Path, to: &Connection, copied: Copied) {
    let from = Connection::open(from).unwrap();
    let mut select = from.prepare(copied.select).unwrap();
    let mut rows = select.query([]).unwrap();
    let mut inserts = Inserts::prepare(to, copied);
    let mut written = 0;
    to.execute_batch("BEGIN IMMEDIATE").unwrap();
    while let Some(row) = rows.next().unwrap() {
        let texts = [0, 1, 2, 3].map(|at| text(row, at));
        inserts.insert(texts, [int(row, 4), int(row, 5)], clock(row, copied));
        written += 1;
        if written % BATCH == 0 {
            to.execute_batch("COMMIT; BEGIN IMMEDIATE").unwrap();
        }
    }
    to.execute_batch("COMMIT").unwrap();
    make_durable(to);
}

/// In a thread at each end, as lengths and bytes over a loopback connection.
pub fn copy_over_tcp(from: &Path, to: &Connection, copied: Copied) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::scope(|scope| {
        scope.spawn(move || {
            send(from, TcpStream::connect(("127.0.0.1", port)).unwrap(), copied);
        });
        receive(to, listener.accept().unwrap().0, copied);
    });
}

fn text<'a>(row: &'a Row<'_>, at: usize) -> &'a str {
    row.get_ref(at).unwrap().as_str().unwrap()
}

fn int(row: &Row<'_>, at: usize) -> i64 {
    row.get_ref(at).unwrap().as_i64().unwrap()
}

fn clock<'a>(row: &'a Row<'_>, copied: Copied) -> &'a [u8] {
    if copied.with_clocks { row.get_ref(6).unwrap().as_blob().unwrap() } else { &[] }
}

fn send(from: &Path, stream: TcpStream, copied: Copied) {
    stream.set_nodelay(true).unwrap();
    let from = Connection::open(from).unwrap();
    let mut select = from.prepare(copied.select).unwrap();
    let mut rows = select.query([]).unwrap();
    let mut stream = BufWriter::with_capacity(256 << 10, stream);
    let (mut page, mut held) = (Vec::new(), 0);
    while let Some(row) = rows.next().unwrap() {
        for at in 0..4 {
            let text = text(row, at);
            page.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
            page.extend(text.as_bytes());
        }
        page.extend(int(row, 4).to_le_bytes());
        page.extend(int(row, 5).to_le_bytes());
        let clock = clock(row, copied);
        page.push(u8::try_from(clock.len()).unwrap());
        page.extend(clock);
        held += 1;
        if held == BATCH {
            send_page(&mut stream, &mut page);
            held = 0;
        }
    }
    send_page(&mut stream, &mut page);
    stream.flush().unwrap();
}

fn send_page(stream: &mut impl Write, page: &mut Vec<u8>) {
    stream.write_all(&u32::try_from(page.len()).unwrap().to_le_bytes()).unwrap();
    stream.write_all(page).unwrap();
    page.clear();
}

fn receive(to: &Connection, mut stream: TcpStream, copied: Copied) {
    let mut inserts = Inserts::prepare(to, copied);
    let (mut length, mut page) = ([0; 4], Vec::new());
    while stream.read_exact(&mut length).is_ok() {
        page.resize(u32::from_le_bytes(length) as usize, 0);
        stream.read_exact(&mut page).unwrap();
        to.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut left = page.as_slice();
        while !left.is_empty() {
            insert_next(&mut inserts, &mut left);
        }
        to.execute_batch("COMMIT").unwrap();
    }
    make_durable(to);
}

fn insert_next(inserts: &mut Inserts<'_>, left: &mut &[u8]) {
    let mut take = |length: usize| {
        let (taken, rest) = left.split_at(length);
        *left = rest;
        taken
    };
    let texts = [(); 4].map(|()| {
        let length = u32::from_le_bytes(take(4).try_into().unwrap());
        std::str::from_utf8(take(length as usize)).unwrap()
    });
    let ints = [(); 2].map(|()| i64::from_le_bytes(take(8).try_into().unwrap()));
    let clock = usize::from(take(1)[0]);
    inserts.insert(texts, ints, take(clock));
}

/// A database to copy to, opened as storex does.
#[must_use]
pub fn target(path: &Path) -> Connection {
    let to = Hand::open(path, "NORMAL").connection;
    to.execute_batch("PRAGMA cache_size = -16384").unwrap();
    to
}

/// What storex does at the end: the write-ahead log is on the disk.
fn make_durable(to: &Connection) {
    let mut wal = std::path::PathBuf::from(to.path().unwrap()).into_os_string();
    wal.push("-wal");
    std::fs::File::open(wal).unwrap().sync_all().unwrap();
}
