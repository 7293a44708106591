//! Random histories of devices that write, and of a log that refuses some of it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;
use storex_sync::rejected;

use crate::support::{Device, assert_in_step, count, pump, settle};
use crate::{Guarded, reversible};

/// What happens in a history.
#[derive(Debug, Clone)]
enum Act {
    /// One of two devices writes to one of three notes; and whether the log refuses that.
    Write {
        device: usize,
        note: u8,
        write: Write,
        refused: bool,
    },
    Exchange(usize),
    Receive(usize),
    /// A device gets everything that is in the log from one that has nothing else.
    Restore(usize),
}

#[derive(Debug, Clone)]
enum Write {
    Create,
    Title(u8),
    Stars(i8),
    Add(i8),
    Both(u8, i8),
    Delete,
}

fn act() -> impl Strategy<Value = Act> {
    let write = prop_oneof![
        2 => Just(Write::Create),
        2 => any::<u8>().prop_map(Write::Title),
        1 => any::<i8>().prop_map(Write::Stars),
        3 => any::<i8>().prop_map(Write::Add),
        1 => any::<(u8, i8)>().prop_map(|(title, by)| Write::Both(title, by)),
        1 => Just(Write::Delete),
    ];
    prop_oneof![
        6 => (0..2_usize, 0..3_u8, write, prop::bool::weighted(0.4)).prop_map(
            |(device, note, write, refused)| Act::Write { device, note, write, refused }
        ),
        1 => (0..2_usize).prop_map(Act::Exchange),
        2 => (0..2_usize).prop_map(Act::Receive),
        1 => (0..2_usize).prop_map(Act::Restore),
    ]
}

async fn write(device: &Device, note: u8, write: &Write) {
    let id = format!("{note}");
    let notes = device.storage.dynamic("note").unwrap();
    let by_id = json!({"id": id});
    match write {
        Write::Create => {
            // It may be there.
            let _ = notes.create(json!({"id": id, "title": "new", "stars": 0})).await;
        }
        Write::Title(n) => drop(notes.update(&by_id, &json!({"title": format!("{n}")})).await),
        Write::Stars(n) => drop(notes.update(&by_id, &json!({"stars": n})).await),
        Write::Add(n) => drop(notes.update(&by_id, &json!({"stars": {"$inc": n}})).await),
        Write::Both(title, n) => {
            let changes = json!({"title": format!("{title}"), "stars": {"$inc": n}});
            drop(notes.update(&by_id, &changes).await);
        }
        Write::Delete => drop(notes.delete(&by_id).await),
    }
}

/// Two devices that can take back, and one that knows the log alone: whatever is refused, when, all come to the same, and what was
/// refused is listed.
async fn history(acts: Vec<Act>) {
    let log = Guarded::new();
    let devices = [reversible(1).await, reversible(2).await];
    let third = Device::new(3).await;
    let mut refused = BTreeSet::new();
    for act in acts {
        match act {
            Act::Write { device, note, write: what, refused: is_refused } => {
                let device = &devices[device];
                device.runtime.advance(1);
                let sync = device.join(&log).await;
                let before = sync.last_write().await.unwrap();
                write(device, note, &what).await;
                let after = sync.last_write().await.unwrap();
                if let Some(after) = after.filter(|it| is_refused && Some(*it) != before) {
                    log.refuse(after);
                    refused.insert(after);
                }
            }
            Act::Exchange(device) => drop(devices[device].sync(&log).await),
            Act::Receive(device) => {
                devices[device].join(&log).await.receive_once().await.unwrap();
            }
            Act::Restore(device) => {
                third.sync(&log).await;
                pump(&third, &devices[device]).await;
            }
        }
    }
    for _ in 0..3 {
        settle(&[&devices[0], &devices[1], &third], &log).await;
    }
    assert_in_step(&[&devices[0], &devices[1], &third]).await;
    let mut listed = BTreeSet::new();
    for device in &devices {
        assert_eq!(count(device, "_storex_before").await, 0);
        let all = rejected(&device.storage).await.unwrap();
        assert!(all.iter().all(|it| it.is_reverted));
        listed.extend(all.iter().map(|it| it.write));
    }
    assert!(listed.is_superset(&refused), "nothing vanishes: {refused:?} of {listed:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn c59_whatever_is_refused_all_come_to_the_same(acts in prop::collection::vec(act(), 1..40)) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(history(acts));
    }
}
