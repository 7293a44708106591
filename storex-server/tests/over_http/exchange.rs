//! What exchanges send and bring.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use serde_json::json;
use storex_server::{Config, Limits};
use storex_sync::engine::Triggers;
use storex_sync::{Cursor, SyncError, WriteState, rejected};
use tokio::time::sleep;

use crate::SECOND;
use crate::world::{Device, Fault, Site, assert_in_step, everything, let_run, until, verifier};

const EXCHANGE: &str = "/v1/log/exchange";

/// Ten wait on either side: one request, as the server counts them, and one more while there is nothing.
#[tokio::test(start_paused = true)]
async fn c54_over_http_ten_pending_both_ways_are_one_request() {
    let (site, store) = Site::start().await;
    let (a, b) = (site.device(1).await, site.device(2).await);
    // In a series, so that what was applied is acknowledged by the next exchange.
    let (on_a, on_b) = (a.start().await, b.start().await);
    sleep(SECOND).await;
    on_b.stop().await;
    on_a.stop().await;
    let timer = Triggers { timer: true, ..Triggers::MANUAL };
    let on_a = a.builder().await.triggers(timer).start();
    on_a.sync_now().await.unwrap().unwrap();
    for n in 0..10 {
        a.note(&format!("a{n}")).await;
        b.note(&format!("b{n}")).await;
    }
    b.sync_once().await;
    let log = store.log_of("ada").await;
    let before = site.answered().await;
    a.wire.forget();
    let report = on_a.sync_now().await.unwrap().unwrap();
    assert_eq!((report.sent_transactions, report.received.transactions), (10, 10));
    assert_eq!(site.answered().await - before, 1.0, "{:?}", a.wire.asked());
    let idle = on_a.sync_now().await.unwrap().unwrap();
    assert!(idle.is_idle());
    assert_eq!(site.answered().await - before, 2.0);
    let here = on_a.sync().device().await.unwrap();
    let members = log.members().await.unwrap();
    let member = members.iter().find(|it| it.device == here).unwrap();
    assert_eq!(member.behind, 0, "the idle one has acknowledged");
    b.sync_once().await;
    assert_in_step(&[&a, &b]).await;
    on_a.stop().await;
}

/// The second of three is more than the server takes: that one is told of, by name, and the others arrive.
#[tokio::test(start_paused = true)]
async fn c60_over_http_the_one_of_three_that_is_refused_is_named_and_the_others_arrive() {
    let limits = Limits { entry_bytes: 2000, ..Limits::default() };
    let (site, store) = Site::with(Config { limits, ..Config::default() }, verifier()).await;
    let (a, b) = (site.device(1).await, site.device(2).await);
    let on_a = a.start().await;
    on_a.sync_now().await.unwrap().unwrap();
    let mut writes = Vec::new();
    for (id, title) in [("1", "small"), ("2", &*noise(4000)), ("3", "small")] {
        a.create(json!({"id": id, "title": title})).await;
        writes.push(on_a.sync().last_write().await.unwrap().unwrap());
    }
    on_a.await_synced(writes[0]).await.unwrap();
    on_a.await_synced(writes[2]).await.unwrap();
    let refused = on_a.await_synced(writes[1]).await.unwrap_err();
    let is_named = |error: &SyncError| {
        matches!(error.cause(), SyncError::Rejected { device, sequence, reason, .. }
            if (*device, *sequence) == (writes[1].device, writes[1].sequence) && reason.contains("2000"))
    };
    assert!(is_named(&refused), "{refused:?}");
    let mut status = on_a.status();
    let told = status.wait_for(|it| it.in_step).await.unwrap().clone();
    assert_eq!((told.rejected, told.unsent), (1, 0));
    let listed = rejected(&a.storage).await.unwrap();
    assert_eq!(listed.iter().map(|it| it.write).collect::<Vec<_>>(), [writes[1]]);
    assert_eq!(on_a.sync().write_state(writes[1]).await.unwrap(), WriteState::Rejected);
    b.sync_once().await;
    let there = [b.get("1").await, b.get("2").await, b.get("3").await].map(|it| it.is_some());
    assert_eq!(there, [true, false, true]);
    let all = everything(&*store.log_of("ada").await).await;
    let numbers: Vec<_> = all.iter().map(|it| (it.sequence, it.payload.len() < 1000)).collect();
    assert_eq!(numbers, [(1, true), (2, true), (3, true)], "in its place is one that is empty");
    on_a.stop().await;
}

/// A text that cannot be compressed.
fn noise(bytes: u32) -> String {
    let letter =
        |n: u32| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()[0] % 26);
    (0..bytes).map(letter).collect()
}

/// A batch that goes in parts, of which the second does not get through, or its answer does not: what was taken is not sent again, and
/// nothing is lost or doubled.
#[tokio::test(start_paused = true)]
async fn c60_over_http_a_batch_that_is_cut_between_its_parts_is_completed() {
    for fault in [Fault::Fail, Fault::LoseAnswer, Fault::CutAnswer] {
        let limits = Limits { transactions: 4, ..Limits::default() };
        let (site, store) = Site::with(Config { limits, ..Config::default() }, verifier()).await;
        let (a, b) = (site.device(1).await, site.device(2).await);
        a.create(json!({"id": "n", "title": "x", "stars": 0})).await;
        for _ in 0..9 {
            a.count_up("n").await;
        }
        // The whole is refused (413), five and then two are tried; of the parts the second fails.
        let sync = a.join().await;
        a.wire.script(EXCHANGE, [Fault::None, Fault::None, Fault::None, fault.clone()]);
        let told = sync.sync_once().await;
        assert!(told.is_err(), "{fault:?}: it is told that something failed");
        let there = everything(&*store.log_of("ada").await).await.len();
        assert!((1..10).contains(&there), "{fault:?}: {there} are there");
        assert_eq!(sync.unsent().await.unwrap(), 10, "what was taken is not known here");
        sync.sync_once().await.unwrap();
        b.sync_once().await;
        assert_eq!(b.get("n").await.unwrap()["stars"], 9, "{fault:?}");
        let all = everything(&*store.log_of("ada").await).await;
        let numbers: Vec<_> = all.iter().map(|it| it.sequence).collect();
        assert_eq!(numbers, (1..=10).collect::<Vec<_>>(), "{fault:?}");
    }
}

/// The server loses everything while an exchange is under way, and goes on: whoever is there sends again what it knows, once.
#[tokio::test(start_paused = true)]
async fn c61_over_http_what_the_server_has_lost_in_the_middle_is_sent_again() {
    for after in 1..=4 {
        let (site, store) = Site::start().await;
        let (a, b) = (site.device(1).await, site.device(2).await);
        a.create(json!({"id": "n", "title": "x", "stars": 0})).await;
        a.sync_once().await;
        b.sync_once().await;
        for n in 0..10 {
            a.count_up("n").await;
            a.note(&format!("{n}")).await;
        }
        let few = storex_sync::Limits { transactions: 5, ..storex_sync::Limits::default() };
        let sync = a.join().await.limits(few);
        a.wire.forget();
        // Each request takes a second, and the store is wiped between two.
        a.wire.latency(SECOND);
        let exchanging = tokio::spawn({
            let sync = sync.clone();
            async move { sync.sync_once().await.map(drop) }
        });
        sleep(SECOND * after + SECOND / 2).await;
        store.wipe(200).await;
        // Whether it is noticed in this exchange or not.
        let _ = exchanging.await.unwrap();
        a.wire.latency(std::time::Duration::ZERO);
        sync.sync_once().await.unwrap();
        assert_eq!(sync.unsent().await.unwrap(), 0, "the outbox is delivered");
        b.sync_once().await;
        a.sync_once().await;
        assert_eq!(b.get("n").await.unwrap()["stars"], 10, "wiped after {after}");
        assert_eq!((a.count().await, b.count().await), (11, 11), "wiped after {after}");
        assert_in_step(&[&a, &b]).await;
        // A device that comes new gets it all from the log that began anew.
        let c = site.device(3).await;
        c.sync_once().await;
        assert_in_step(&[&a, &c]).await;
        let log = store.log_of("ada").await;
        let mut numbers: Vec<_> =
            everything(&*log).await.iter().map(|it| (it.device, it.sequence)).collect();
        numbers.sort_unstable();
        let all = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), all, "none is there twice");
    }
}

/// The server takes nothing for ten thousand writes (a hundred thousand in the long run). What waits is in the database: requests stay as
/// small as they are, and everything arrives in its order when the server takes it.
#[tokio::test(start_paused = true)]
async fn c67_over_http_what_a_server_does_not_take_waits_and_arrives_in_its_order() {
    let writes: u64 = if std::env::var_os("STOREX_LONG").is_some() { 100_000 } else { 10_000 };
    let (site, store) = Site::start().await;
    let (a, b) = (site.device(1).await, site.device(2).await);
    let limits = storex_sync::Limits { bytes: 50_000, transactions: 500 };
    let every = SECOND * 60;
    let on_a = storex_sync::ContinuousSync::start(a.join().await.limits(limits), every);
    on_a.sync_now().await.unwrap().unwrap();
    store.fails.store(true, SeqCst);
    let mut note = 0;
    while note < writes {
        let batch: Vec<_> =
            (note..note + 10).map(|n| json!({"id": format!("{n:06}"), "title": "x"})).collect();
        for it in batch {
            a.create(it).await;
        }
        note += 10;
        if note % 1000 == 0 {
            sleep(SECOND * 10).await;
        }
    }
    assert_eq!(everything(&*store.log_of("ada").await).await.len(), 0);
    let tried = a.wire.rounds();
    assert!(tried >= 3, "{tried} attempts");
    store.fails.store(false, SeqCst);
    on_a.sync_now().await;
    let mut status = on_a.status();
    status.wait_for(|it| it.in_step && it.unsent == 0).await.unwrap();
    on_a.stop().await;
    let largest = a.wire.asked().iter().map(|it| it.bytes).max().unwrap();
    let most =
        a.wire.asked().iter().filter_map(|it| Some(it.exchange.as_ref()?.append.len())).max();
    assert!(largest <= 2 * limits.bytes && most.unwrap() <= 500, "{largest} bytes, {most:?}");
    let log = store.log_of("ada").await;
    let numbers: Vec<u64> = everything(&*log).await.iter().map(|it| it.sequence).collect();
    assert_eq!(numbers, (1..=writes).collect::<Vec<_>>());
    b.join().await.limits(limits).sync_once().await.unwrap();
    assert_eq!(b.count().await, writes);
    let page = log.read(storex_sync::Device::NOBODY, &Cursor::default(), 1).await.unwrap();
    assert_eq!(page.transactions[0].sequence, 1);
    println!("{writes} writes waited, {tried} attempts, the largest request had {largest} bytes");
}

/// For an application that uses what it has: the same device, and programs beside it.
#[tokio::test(start_paused = true)]
async fn a_second_program_on_the_database_finds_what_the_first_has_sent() {
    let (site, _store) = Site::start().await;
    let a = site.device(1).await;
    let second: Device = a.program(&site.network, "one").await;
    a.note("n").await;
    let on_a = Arc::new(a.start().await);
    let_run().await;
    let write = on_a.sync().last_write().await.unwrap().unwrap();
    until(async || on_a.sync().write_state(write).await.unwrap() == WriteState::Sent).await;
    assert_eq!(second.join().await.unsent().await.unwrap(), 0);
    on_a.stop().await;
}
