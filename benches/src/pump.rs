//! Initial sync from file to file, beside copying the rows by hand.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use storex_core::TokioRuntime;
use storex_sqlite::Durability;
use storex_sync::{MemoryChannel, Pairing};

use crate::hand::Hand;
use crate::hand_copy;
use crate::measure::{Report, processor, seconds};
use crate::ours::Ours;
use crate::pump_side::{Does, Over, Way, spawn};
use crate::workload::{Note, notes, notes_without_order, updates};

const BATCH: usize = 1000;

/// What is sent, and the keys of its figures: in memory, over TCP, encrypted; and the processor time in memory.
struct DataSet {
    notes: fn(usize, u64) -> Vec<Note>,
    clocked: bool,
    keys: [&'static str; 3],
    processor: &'static str,
}

const DATA_SETS: [DataSet; 4] = [
    DataSet {
        notes,
        clocked: false,
        keys: ["pump_memory_vs_raw_copy", "pump_tcp_vs_raw_copy", "pump_tcp_encrypted_vs_raw_copy"],
        processor: "pump_memory_processor_vs_raw_copy",
    },
    DataSet {
        notes: notes_without_order,
        clocked: false,
        keys: [
            "pump_v4_memory_vs_raw_copy",
            "pump_v4_tcp_vs_raw_copy",
            "pump_v4_tcp_encrypted_vs_raw_copy",
        ],
        processor: "pump_v4_memory_processor_vs_raw_copy",
    },
    DataSet {
        notes,
        clocked: true,
        keys: [
            "pump_clocked_memory_vs_raw_copy",
            "pump_clocked_tcp_vs_raw_copy",
            "pump_clocked_tcp_encrypted_vs_raw_copy",
        ],
        processor: "pump_clocked_memory_processor_vs_raw_copy",
    },
    DataSet {
        notes: notes_without_order,
        clocked: true,
        keys: [
            "pump_clocked_v4_memory_vs_raw_copy",
            "pump_clocked_v4_tcp_vs_raw_copy",
            "pump_clocked_v4_tcp_encrypted_vs_raw_copy",
        ],
        processor: "pump_clocked_v4_memory_processor_vs_raw_copy",
    },
];

/// Rows older than sync, and rows with clocks, which the hand-written side copies too; keys that ascend, and keys without order.
pub async fn pump_copy(report: &mut Report, count: usize) {
    for set in &DATA_SETS {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let notes = (set.notes)(count, 8);
        write_by_hand(&path("hand-a.db"), &notes);
        let from = existing(&path("ours-a.db"), &notes, set.clocked).await;
        let to = [hand_copy::target(&path("hand-b.db")), hand_copy::target(&path("hand-c.db"))];
        let copied = if set.clocked { hand_copy::ROWS_AND_CLOCKS } else { hand_copy::ROWS };
        let before = processor();
        let raw = seconds(|| hand_copy::copy(&path("hand-a.db"), &to[0], copied));
        let raw_processor = processor() - before;
        let tcp = seconds(|| hand_copy::copy_over_tcp(&path("hand-a.db"), &to[1], copied));
        let ways = [over_memory(), over_tcp(), over_secure_channel()];
        for (n, (key, ends)) in set.keys.into_iter().zip(ways).enumerate() {
            let to = Ours::open(&path(&format!("ours-b{n}.db")), Durability::Normal).await;
            let before = processor();
            let ours = seconds(|| copy(&from, &to, ends));
            report.turn(key, count, if n == 0 { raw } else { tcp }, ours);
            if n == 0 {
                report.turn(set.processor, count, raw_processor, processor() - before);
            }
            assert_eq!(to.count().await, count as u64);
            to.storage.close().await.unwrap();
        }
        from.storage.close().await.unwrap();
    }
}

/// How long somebody who reads one note after the other waits at most while an initial sync is received, in milliseconds; and while
/// the same is copied by hand.
pub async fn pump_readers(report: &mut Report, count: usize) {
    for (ours_key, hand_key, notes) in [
        ("pump_longest_read_ms", "raw_copy_longest_read_ms", notes as fn(usize, u64) -> Vec<Note>),
        ("pump_v4_longest_read_ms", "raw_copy_v4_longest_read_ms", notes_without_order),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let notes = notes(count, 9);
        write_by_hand(&path("hand-a.db"), &notes);
        let from = existing(&path("ours-a.db"), &notes, true).await;
        let to = hand_copy::target(&path("hand-b.db"));
        let watch = Watch::begin(&path("hand-b.db"), &notes);
        hand_copy::copy_over_tcp(&path("hand-a.db"), &to, hand_copy::ROWS_AND_CLOCKS);
        report.figure(hand_key, watch.end());
        let to = Ours::open(&path("ours-b.db"), Durability::Normal).await;
        let watch = Watch::begin(&path("ours-b.db"), &notes);
        copy(&from, &to, over_tcp());
        report.figure(ours_key, watch.end());
        to.storage.close().await.unwrap();
        from.storage.close().await.unwrap();
    }
}

/// Somebody who reads.
struct Watch {
    stop: Arc<AtomicBool>,
    reader: thread::JoinHandle<f64>,
}

impl Watch {
    fn begin(path: &Path, notes: &[Note]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let connection = rusqlite::Connection::open(path).unwrap();
        let ids: Vec<String> = notes.iter().step_by(97).map(|note| note.id.clone()).collect();
        let stopped = Arc::clone(&stop);
        let reader = thread::spawn(move || {
            let mut read = connection.prepare("SELECT body FROM note WHERE id=?1").unwrap();
            let mut longest: f64 = 0.0;
            for id in ids.iter().cycle() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                longest = longest.max(seconds(|| assert!(read.exists([id]).is_ok())));
                thread::sleep(Duration::from_millis(1));
            }
            longest * 1000.0
        });
        Self { stop, reader }
    }

    fn end(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        self.reader.join().unwrap()
    }
}

/// The most memory that each side has, in a process of its own, while a million rows pass.
pub async fn pump_memory(report: &mut Report, count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a.db"), dir.path().join("b.db"));
    many(&from, count, true).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let processes = [process("send", &from, port), process("receive", &to, port)];
    let (here, there) = (listener.accept().unwrap().0, listener.accept().unwrap().0);
    relay(&here, &there);
    let [sender, receiver] = processes.map(|it| {
        let printed = String::from_utf8(it.wait_with_output().unwrap().stdout).unwrap();
        printed.trim().parse::<f64>().unwrap()
    });
    report.figure("pump_sender_peak_mib", sender);
    report.figure("pump_receiver_peak_mib", receiver);
    report.figure("pump_peak_mib", sender.max(receiver));
    let to = Ours::open(&to, Durability::Normal).await;
    assert_eq!(to.count().await, count as u64);
    to.storage.close().await.unwrap();
}

fn process(does: &str, path: &Path, port: u16) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--pump-side").arg(does).arg(path).arg(port.to_string());
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// Passes on what either side says.
fn relay(here: &TcpStream, there: &TcpStream) {
    for (mut from, mut to) in [(here, there), (there, here)]
        .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()))
    {
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
}

/// Two devices with the same rows but for ten.
pub async fn pump_difference(report: &mut Report, count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a.db"), dir.path().join("b.db"));
    many(&from, count, false).await;
    std::fs::copy(&from, &to).unwrap();
    let from = Ours::open(&from, Durability::Normal).await;
    let to = Ours::open(&to, Durability::Normal).await;
    from.update(&updates(&notes(count / 10, 10), 10)).await;
    let (here, there) = over_memory();
    let start = Instant::now();
    let sent = spawn(Does::Send, Way::Difference, from.clone(), here);
    let received = spawn(Does::Receive, Way::Difference, to.clone(), there);
    let (sent, _) = (sent.join().unwrap(), received.join().unwrap());
    let took = start.elapsed().as_secs_f64();
    let compared = sent.compared.unwrap();
    report.figure("difference_seconds", took);
    report.figure("difference_rows", sent.total() as f64);
    report.figure("difference_round_trips", compared.round_trips as f64);
    report.figure("difference_bytes", compared.bytes as f64);
    from.storage.close().await.unwrap();
    to.storage.close().await.unwrap();
}

/// A database with very many rows.
async fn many(path: &Path, count: usize, clocked: bool) {
    let ours = if clocked {
        Ours::open(path, Durability::Normal).await
    } else {
        Ours::open_without_log(path).await
    };
    for part in 0..10 {
        for chunk in notes(count / 10, 10 + part).chunks(BATCH) {
            ours.create(chunk).await;
        }
    }
    ours.storage.close().await.unwrap();
}

fn write_by_hand(path: &Path, notes: &[Note]) {
    let mut hand = Hand::open(path, "NORMAL");
    for chunk in notes.chunks(BATCH) {
        hand.create(chunk);
    }
}

async fn existing(path: &Path, notes: &[Note], clocked: bool) -> Ours {
    let ours = if clocked {
        Ours::open(path, Durability::Normal).await
    } else {
        Ours::open_without_log(path).await
    };
    for chunk in notes.chunks(BATCH) {
        ours.create(chunk).await;
    }
    ours.storage.close().await.unwrap();
    Ours::open(path, Durability::Normal).await
}

/// Both sides, each on its thread.
fn copy(from: &Ours, to: &Ours, (here, there): (Over, Over)) {
    let sent = spawn(Does::Send, Way::Whole, from.clone(), here);
    let received = spawn(Does::Receive, Way::Whole, to.clone(), there);
    let (sent, received) = (sent.join().unwrap(), received.join().unwrap());
    assert_eq!(sent.total(), received.total());
}

fn over_memory() -> (Over, Over) {
    let (here, there) = MemoryChannel::pair();
    (Over::Memory(here), Over::Memory(there))
}

fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (here, listener.accept().unwrap().0)
}

fn over_tcp() -> (Over, Over) {
    let (here, there) = connection();
    (Over::Tcp(here), Over::Tcp(there))
}

fn over_secure_channel() -> (Over, Over) {
    let (here, there) = connection();
    let pairing = Pairing::new(Arc::new(TokioRuntime));
    let code = pairing.code().to_string().parse().unwrap();
    (Over::SecureHost(here, pairing), Over::SecureGuest(there, code))
}
