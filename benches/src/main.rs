//! The table of ratios; see the crate's description.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program that prints a table
#![allow(clippy::unwrap_used)] // a benchmark that cannot go on shall stop
#![allow(clippy::disallowed_methods)] // it runs real tasks

use clap::Parser;
use storex_benches::hand::Hand;
use storex_benches::measure::{Report, median, seconds, seconds_of};
use storex_benches::ours::Ours;
use storex_benches::pump::{pump_copy, pump_difference, pump_memory, pump_readers};
use storex_benches::pump_side;
use storex_benches::queries::queries;
use storex_benches::server::{server_memory, server_postgres, server_sqlite};
use storex_benches::server_side;
use storex_benches::sync::{sync, sync_growth, sync_memory};
use storex_benches::workload::{Note, notes, updates};
use storex_sqlite::Durability;

/// storex beside hand-written rusqlite that does the same work, in turns.
#[derive(Debug, Parser)]
struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// A tenth of the work: to see that it runs.
    #[arg(long)]
    quick: bool,
    /// How often both sides take turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only the parts whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// One side of an initial sync in a process of its own: `send` or `receive`, the database, the port.
    #[arg(long, num_args = 3, hide = true)]
    pump_side: Option<Vec<String>>,
    /// A server in a process of its own: which one, where its rows are, how many users it knows.
    #[arg(long, num_args = 3, hide = true)]
    server_side: Option<Vec<String>>,
}

const BATCH: usize = 1000;

fn main() {
    let arguments = Arguments::parse();
    if let Some(side) = &arguments.server_side {
        return server_side::run(side);
    }
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(run(arguments));
}

async fn run(arguments: Arguments) {
    if let Some(side) = &arguments.pump_side {
        return pump_side::run(side).await;
    }
    let scale = if arguments.quick { 10 } else { 1 };
    let mut report = Report::default();
    let wanted = |name: &str| name.contains(&arguments.only);
    for round in 0..arguments.rounds {
        eprintln!("round {} of {}", round + 1, arguments.rounds);
        if wanted("batch") {
            batches(&mut report, 100_000 / scale, round).await;
        }
        if wanted("single") {
            singles(&mut report, 5_000 / scale).await;
        }
        if wanted("sync-entries") {
            sync(&mut report, 100_000 / scale).await;
        }
        if wanted("writers") {
            writers(&mut report, 2_048 / scale).await;
        }
        if wanted("pump-copy") {
            pump_copy(&mut report, 100_000 / scale).await;
        }
    }
    if wanted("queries") {
        queries(&mut report, 1_000_000 / scale, arguments.rounds).await;
    }
    if wanted("growth") {
        growth(&mut report, scale).await;
    }
    if wanted("sync-growth") {
        sync_growth(&mut report, scale).await;
    }
    if wanted("sync-memory") {
        sync_memory(&mut report, scale).await;
    }
    if wanted("pump-readers") {
        pump_readers(&mut report, 100_000 / scale).await;
    }
    if wanted("pump-memory") {
        pump_memory(&mut report, 1_000_000 / scale).await;
    }
    if wanted("pump-difference") {
        pump_difference(&mut report, 1_000_000 / scale).await;
    }
    if wanted("server-sqlite") {
        server_sqlite(&mut report, arguments.rounds, scale).await;
    }
    if wanted("server-postgres") {
        server_postgres(&mut report, arguments.rounds, scale).await;
    }
    if wanted("server-memory") {
        server_memory(&mut report, scale).await;
    }
    if arguments.json {
        println!("{}", report.to_json());
    } else {
        println!("{}", report.to_table());
    }
}

/// Creates, updates and deletes by 1,000, then reads.
async fn batches(report: &mut Report, count: usize, round: usize) {
    let dir = tempfile::tempdir().unwrap();
    let notes = notes(count, 1);
    let updates = updates(&notes, count / 2);
    let deletes: Vec<String> = notes.iter().step_by(10).map(|note| note.id.clone()).collect();
    let mut hand = Hand::open(&dir.path().join("hand.db"), "NORMAL");
    let ours = Ours::open(&dir.path().join("ours.db"), Durability::Normal).await;
    let (mut by_hand, mut by_us) = (0.0, 0.0);
    for chunk in notes.chunks(BATCH) {
        by_hand += seconds(|| hand.create(chunk));
        by_us += seconds_of(ours.create(chunk)).await;
    }
    report.turn("create_batch_vs_hand", count, by_hand, by_us);
    reads(report, &hand, &ours, &notes).await;
    let (mut by_hand, mut by_us) = (0.0, 0.0);
    for chunk in updates.chunks(BATCH) {
        by_hand += seconds(|| hand.update(chunk));
        by_us += seconds_of(ours.update(chunk)).await;
    }
    report.turn("update_batch_vs_hand", updates.len(), by_hand, by_us);
    let (mut by_hand, mut by_us) = (0.0, 0.0);
    for chunk in deletes.chunks(BATCH) {
        by_hand += seconds(|| hand.delete(chunk));
        by_us += seconds_of(ours.delete(chunk)).await;
    }
    report.turn("delete_batch_vs_hand", deletes.len(), by_hand, by_us);
    if round == 0 {
        overhead(report, &ours, &dir.path().join("ours.db"), count).await;
    }
    ours.storage.close().await.unwrap();
}

async fn reads(report: &mut Report, hand: &Hand, ours: &Ours, notes: &[Note]) {
    let some: Vec<&Note> = notes.iter().step_by(notes.len() / 2_000).collect();
    let by_hand = seconds(|| some.iter().for_each(|note| assert!(hand.get(&note.id).is_some())));
    let by_us = seconds_of(async {
        for note in &some {
            assert!(ours.get(&note.id).await.is_some());
        }
    })
    .await;
    report.turn("read_by_key_vs_hand", some.len(), by_hand, by_us);
    let spans: Vec<(i64, i64)> =
        some.windows(2).step_by(8).map(|pair| (pair[0].created_at, pair[1].created_at)).collect();
    let by_hand = seconds(|| {
        spans.iter().for_each(|(from, to)| assert!(!hand.between(*from, *to).is_empty()))
    });
    let by_us = seconds_of(async {
        for (from, to) in &spans {
            assert!(!ours.between(*from, *to).await.is_empty());
        }
    })
    .await;
    report.turn("query_indexed_vs_hand", spans.len(), by_hand, by_us);
}

/// What the clocks take per row, with the log left out: pages of the clock table over the number of rows.
async fn overhead(report: &mut Report, ours: &Ours, path: &std::path::Path, count: usize) {
    ours.storage.flush().await.unwrap();
    let copy = path.with_extension("copy");
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute("VACUUM INTO ?1", [copy.to_string_lossy()]).unwrap();
    let size = |path: &std::path::Path| std::fs::metadata(path).unwrap().len() as f64;
    let connection = rusqlite::Connection::open(&copy).unwrap();
    connection.execute_batch("DELETE FROM _storex_log; VACUUM").unwrap();
    let with = size(&copy);
    connection.execute_batch("DROP TABLE _storex_clock; VACUUM").unwrap();
    report.figure("overhead_bytes_per_row", (with - size(&copy)) / count as f64);
}

/// One create per transaction.
async fn singles(report: &mut Report, count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let notes = notes(count, 2);
    let mut hand = Hand::open(&dir.path().join("hand.db"), "NORMAL");
    let ours = Ours::open(&dir.path().join("ours.db"), Durability::Normal).await;
    let (mut by_hand, mut by_us) = (0.0, 0.0);
    for chunk in notes.chunks(50) {
        by_hand += seconds(|| chunk.chunks(1).for_each(|note| hand.create(note)));
        by_us += seconds_of(async {
            for note in chunk {
                ours.create_one(note).await;
            }
        })
        .await;
    }
    report.turn("create_single_vs_hand", count, by_hand, by_us);
    let updates = updates(&notes, count);
    let (mut by_hand, mut by_us) = (0.0, 0.0);
    for chunk in updates.chunks(50) {
        by_hand += seconds(|| chunk.chunks(1).for_each(|update| hand.update(update)));
        by_us += seconds_of(async {
            for update in chunk.chunks(1) {
                ours.update(update).await;
            }
        })
        .await;
    }
    report.turn("update_single_vs_hand", count, by_hand, by_us);
    ours.storage.close().await.unwrap();
}

/// 64 tasks that write one by one with full durability, beside one hand-written writer with full durability.
async fn writers(report: &mut Report, count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let notes = notes(count, 3);
    let mut hand = Hand::open(&dir.path().join("hand.db"), "FULL");
    let ours = Ours::open(&dir.path().join("ours.db"), Durability::Full).await;
    let by_hand = seconds(|| notes.chunks(1).for_each(|note| hand.create(note)));
    let by_us = seconds_of(async {
        let tasks: Vec<_> = notes
            .chunks(count.div_ceil(64))
            .map(|chunk| {
                let (ours, chunk) = (ours.clone(), chunk.to_vec());
                tokio::spawn(async move {
                    for note in &chunk {
                        ours.create_one(note).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    })
    .await;
    report.turn("create_64_writers_full_vs_hand_single_full", count, by_hand, by_us);
    ours.storage.close().await.unwrap();
}

/// What a logged create and update cost with 10^3, 10^5 and 10^6 entries in the log, against the hand-written side with
/// as many: the rows grow on both sides, only the log may not cost more.
async fn growth(report: &mut Report, scale: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut hand = Hand::open(&dir.path().join("hand.db"), "NORMAL");
    let ours = Ours::open(&dir.path().join("ours.db"), Durability::Normal).await;
    let all = notes(1_000_000 / scale + 60_000, 4);
    let mut written = 0;
    let mut costs = Vec::new();
    for (key, until) in [
        ("growth_create_vs_hand_at_1e3", 1_000),
        ("growth_create_vs_hand_at_1e5", 100_000 / scale),
        ("growth_create_vs_hand_at_1e6", 1_000_000 / scale),
    ] {
        while written < until {
            let chunk = &all[written..written + BATCH];
            hand.create(chunk);
            ours.create(chunk).await;
            written += BATCH;
        }
        let mut cost = Vec::new();
        for _ in 0..15 {
            let chunk = &all[written..written + BATCH];
            let by_hand = seconds(|| hand.create(chunk));
            let by_us = seconds_of(ours.create(chunk)).await;
            report.turn(key, BATCH, by_hand, by_us);
            cost.push(by_us);
            written += BATCH;
        }
        costs.push(median(cost));
    }
    report.figure("create_cost_1e5_vs_1e3", costs[1] / costs[0]);
    report.figure("create_cost_1e6_vs_1e3", costs[2] / costs[0]);
    ours.storage.close().await.unwrap();
}
