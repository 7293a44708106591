//! What an initial sync of many objects tells, in which order.

use std::sync::{Arc, Mutex};

use storex_core::Storage;
use storex_e2e::place::Place;
use storex_e2e::shop;
use storex_sync::{InitialSync, InitialSyncEvent as Event, Role};

use crate::{connection, sync_of};

const ROWS: u64 = 10_000;

type Seen = Arc<Mutex<Vec<Event>>>;

async fn listening(storage: &Storage) -> (InitialSync, Seen) {
    let seen = Seen::default();
    let told = Arc::clone(&seen);
    let sync = sync_of(storage).await.page(500);
    (sync.on_event(move |event| told.lock().unwrap().push(event.clone())), seen)
}

/// One leg: what is to come, then progress from nothing to everything. The objects, and how often progress was told.
fn check_leg(events: &[Event], role: Role) -> (u64, usize) {
    let [Event::Prepared { role: prepared, objects, collections: 5 }, steps @ ..] = events else {
        panic!("{events:?}");
    };
    assert_eq!(*prepared, role);
    let mut before = 0;
    for (n, step) in steps.iter().enumerate() {
        let Event::Progress { role: of, collection, done, total } = step else {
            panic!("{step:?}");
        };
        assert_eq!((*of, *total), (role, *objects));
        assert_eq!(collection.is_none(), n == 0, "a page is of a collection");
        assert!(if n == 0 { *done == 0 } else { *done > before }, "{done} after {before}");
        before = *done;
    }
    assert_eq!(before, *objects, "it ends with all");
    (*objects, steps.len())
}

#[tokio::test]
async fn progress_begins_with_nothing_never_goes_back_and_ends_with_all() {
    let place = Place::new();
    let a = shop::found(&place.a(), ROWS, 0..70, 70..100).await.unwrap();
    let b = shop::open(&place.b()).await.unwrap();
    let ((sender, at_a), (receiver, at_b)) = (listening(&a).await, listening(&b).await);
    let (mut here, mut there) = connection();
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    assert_eq!((sent.unwrap().total(), received.unwrap().total()), (ROWS, ROWS));
    for (seen, role) in [(at_a, Role::Sender), (at_b, Role::Receiver)] {
        let seen = seen.lock().unwrap();
        let (last, leg) = seen.split_last().unwrap();
        assert_eq!(*last, Event::Finished);
        let (objects, steps) = check_leg(leg, role);
        assert_eq!(objects, ROWS);
        assert!(steps >= 20, "after every page: {steps}");
    }
}

#[tokio::test]
async fn both_ways_it_is_told_twice_with_the_change_of_roles_between() {
    let place = Place::new();
    let a = shop::found(&place.a(), ROWS, 0..60, 0..0).await.unwrap();
    let b = shop::found(&place.b(), ROWS, 40..60, 60..70).await.unwrap();
    let ((at_a, seen_a), (at_b, seen_b)) = (listening(&a).await, listening(&b).await);
    let (mut here, mut there) = connection();
    let (one, other) = tokio::join!(at_a.both_ways(&mut here), at_b.both_ways(&mut there));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.sent.total(), other.received.total());
    // A has more, so it receives first.
    let firsts = [(seen_a, Role::Receiver, one), (seen_b, Role::Sender, other)];
    for (seen, first, report) in firsts {
        let seen = seen.lock().unwrap();
        let switch = Event::RoleSwitch { before: first, after: first.other() };
        let at = seen.iter().position(|it| *it == switch).unwrap();
        let (last, second) = seen[at + 1..].split_last().unwrap();
        assert_eq!(*last, Event::Finished);
        let objects = [check_leg(&seen[..at], first).0, check_leg(second, first.other()).0];
        let mut counted = [report.received.total(), report.sent.total()];
        if first == Role::Sender {
            counted.reverse();
        }
        assert_eq!(objects, counted);
    }
}
