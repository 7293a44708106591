//! B. Exchange, cursors, merging.

use std::time::Duration;

use serde_json::json;
use storex_core::{Query, field};
use storex_sync::{ContinuousSync, InitialSync, Limits, SyncError};

use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{Device, assert_in_step, count, settle, shared_log};

/// Number 5 is withheld while 6 to 10 are there: nobody goes past it, and after a restart it arrives.
#[tokio::test(start_paused = true)]
async fn c12_what_was_withheld_arrives_after_a_restart() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for n in 1..=10 {
        a.note(&format!("{n:02}"), "x").await;
    }
    a.sync(&log).await;
    let author = a.join(&log).await.device().await.unwrap();
    let holey = ScriptedLog::new(&log);
    holey.leave_out(author, 5);
    let error = b.join(&holey).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::Gap { expected: 5, .. }), "{error}");
    let b = b.reopened(crate::support::schema()).await;
    b.sync(&log).await;
    assert_eq!(count(&b, "note").await, 10);
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn c13_ones_own_changes_do_not_come_back() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for n in 0..100 {
        a.note(&format!("{n}"), "x").await;
    }
    assert_eq!(a.sync(&scripted).await.sent_transactions, 100);
    scripted.forget();
    let sync = a.join(&scripted).await;
    assert_eq!(sync.receive_once().await.unwrap().received.transactions, 0);
    assert!(scripted.delivered().iter().all(|(_, page)| page.is_empty()), "nor are they carried");
    assert_eq!(b.join(&log).await.receive_once().await.unwrap().received.transactions, 100);
    // The identity is the database's, and outlives the program.
    let again = a.reopened(crate::support::schema()).await;
    let before = sync.device().await.unwrap();
    assert_eq!(again.join(&log).await.device().await.unwrap(), before);
    assert!(again.sync(&log).await.is_idle());
}

/// While a title is still to be sent, another one arrives. Whoever looks sees his own until one counts that is later, and never
/// his own again after that. (In the check one's own stays until it is confirmed, whichever is later: see decision 32.)
#[tokio::test(start_paused = true)]
async fn c14_a_field_that_is_still_to_be_sent_does_not_flicker() {
    for (skew, expected) in [(-60_000, &["mine"][..]), (60_000, &["mine", "theirs"])] {
        let log = shared_log();
        let (a, b) = (Device::new(1).await, Device::skewed(2, skew).await);
        let c = Device::new(3).await;
        c.create("note", json!({"id": "n", "title": "first", "stars": 0})).await;
        settle(&[&c, &a, &b], &log).await;
        // B's write is concurrent with A's, and dated before or behind it.
        a.runtime.advance(100_000);
        a.retitle("n", "mine").await;
        a.update("note", json!({"id": "n"}), json!({"body": "of A"})).await;
        b.runtime.set(storex_core::Timestamp(storex_core::Runtime::now(&*a.runtime).0 + skew));
        b.update("note", json!({"id": "n"}), json!({"title": "theirs", "stars": 5})).await;
        b.sync(&log).await;
        let mut live = a.storage.live(Query::new("note").filter(field("id").eq("n")));
        let mut titles = Vec::new();
        let mut look = |rows: Vec<storex_core::Record>| {
            let title = rows[0].get(1).as_text().unwrap().to_owned();
            if titles.last() != Some(&title) {
                titles.push(title);
            }
        };
        look(live.next().await.unwrap().unwrap());
        let sync = a.join(&log).await;
        sync.receive_once().await.unwrap();
        look(live.next().await.unwrap().unwrap());
        sync.sync_once().await.unwrap();
        settle(&[&b, &a, &c], &log).await;
        while let Ok(rows) = tokio::time::timeout(Duration::from_secs(1), live.next()).await {
            look(rows.unwrap().unwrap());
        }
        assert_eq!(titles, expected, "{skew}");
        let note = a.get("note", "n").await.unwrap();
        assert_eq!((&note["body"], &note["stars"]), (&json!("of A"), &json!(5)), "both survive");
        assert_in_step(&[&a, &b, &c]).await;
    }
}

/// A push that takes its time, writes and a pull meanwhile (of another program on the same database, so that it does not wait), and
/// then the push comes to its end.
#[tokio::test(start_paused = true)]
async fn c17_a_pull_during_an_unfinished_push_loses_and_reverts_nothing() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let (a, b) = (Device::new(1).await, Device::skewed(2, -5_000).await);
    a.create("note", json!({"id": "n", "title": "first", "stars": 0})).await;
    settle(&[&a, &b], &log).await;
    b.update("note", json!({"id": "n"}), json!({"title": "older", "stars": {"$inc": 100}})).await;
    b.note("b", "of B").await;
    b.sync(&log).await;
    a.runtime.advance(1_000);
    a.update("note", json!({"id": "n"}), json!({"title": "pushed", "stars": {"$inc": 1}})).await;
    scripted.script(Call::Append, [Fault::Delay(Duration::from_secs(10))]);
    let push = a.join(&scripted).await;
    let push = tokio::spawn(async move { push.send_once().await.unwrap() });
    tokio::time::sleep(Duration::from_secs(1)).await;
    a.update("note", json!({"id": "n"}), json!({"body": "meanwhile", "stars": {"$inc": 10}})).await;
    let pulled = a.join(&log).await.receive_once().await.unwrap();
    assert_eq!(pulled.received.transactions, 2);
    let after_pull = a.get("note", "n").await.unwrap();
    assert_eq!((&after_pull["title"], &after_pull["stars"]), (&json!("pushed"), &json!(111)));
    push.await.unwrap();
    assert_eq!(a.get("note", "n").await.unwrap(), after_pull);
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.get("note", "n").await.unwrap(), after_pull);
}

/// 1,000,000 rows in the check; memory is that of a page, whatever the number of pages.
#[tokio::test(start_paused = true)]
async fn c20_a_pull_that_was_cut_goes_on_and_does_not_begin_anew() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for n in 0..1000 {
        a.note(&format!("{n:04}"), "x").await;
    }
    a.sync(&log).await;
    let page = Limits { bytes: 10_000, transactions: 100 };
    let mut script = vec![Fault::None; 4];
    script.extend([Fault::Fail, Fault::None, Fault::DropAnswer]);
    scripted.script(Call::Read, script);
    let mut here = 0;
    for attempt in 0.. {
        // Each time as after a kill: nothing is left but the database.
        let done = b.reopened(crate::support::schema()).await;
        let done = done.join(&scripted).await.limits(page).sync_once().await;
        let now = count(&b, "note").await;
        assert!(now > here, "each attempt makes progress");
        here = now;
        if done.is_ok() {
            assert_eq!(attempt, 2);
            break;
        }
    }
    let pages: Vec<usize> = scripted.delivered().iter().map(|(_, it)| it.len()).collect();
    assert_eq!(pages.iter().sum::<usize>(), 1000, "nothing was carried twice");
    let bytes = |page: &[storex_sync::SealedTransaction]| -> usize {
        page.iter().map(|it| it.payload.len()).sum()
    };
    let delivered = scripted.delivered();
    assert!(delivered.iter().all(|(_, it)| bytes(it) <= page.bytes), "{pages:?}");
    assert_in_step(&[&a, &b]).await;
}

/// With nothing in the log, and with much: `last_success` is there once, and everything is there then. An application that has to
/// wait waits for it.
#[tokio::test(start_paused = true)]
async fn c24_the_end_of_the_first_exchange_is_told_and_the_data_are_complete_then() {
    for notes in [0, 2000] {
        let log = shared_log();
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        for n in 0..notes / 100 {
            let rows: Vec<_> = (0..100).map(|m| json!({"title": format!("{n} {m}")})).collect();
            a.storage.dynamic("note").unwrap().create_many(&rows).await.unwrap();
        }
        a.sync(&log).await;
        let scripted = ScriptedLog::new(&log);
        scripted.script(Call::Read, [Fault::Fail; 2]);
        let few = Limits { bytes: 10_000, transactions: 3 };
        let sync = b.join(&scripted).await.limits(few);
        let continuous = ContinuousSync::start(sync, Duration::from_secs(60));
        let mut status = continuous.status();
        let done = status.wait_for(|it| it.last_success.is_some()).await.unwrap().clone();
        assert_eq!(count(&b, "note").await, notes);
        assert!(done.in_step);
        continuous.stop().await;
        // It is remembered: the next start need not wait.
        let again = ContinuousSync::start(b.join(&log).await, Duration::from_secs(60));
        let mut status = again.status();
        let known = status.wait_for(|it| it.last_success.is_some()).await.unwrap().clone();
        assert!(known.last_success >= done.last_success);
        again.stop().await;
    }
}

/// The same straight from device to device.
#[tokio::test(start_paused = true)]
async fn c24_an_initial_sync_ends_when_everything_is_there() {
    for notes in [0, 500] {
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        let rows: Vec<_> = (0..notes).map(|n| json!({"title": format!("{n}")})).collect();
        a.storage.dynamic("note").unwrap().create_many(&rows).await.unwrap();
        let (mut here, mut there) = storex_sync::MemoryChannel::pair();
        let sender = InitialSync::open(&a.storage).await.unwrap();
        let receiver = InitialSync::open(&b.storage).await.unwrap();
        let receiving = async {
            let report = receiver.receive(&mut there).await.unwrap();
            (report.total(), count(&b, "note").await)
        };
        let (_, (total, here)) = tokio::join!(sender.send(&mut here), receiving);
        assert_eq!((total, here), (notes, notes));
    }
}
