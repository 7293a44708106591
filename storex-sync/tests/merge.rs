//! The merge: its table on real storages, and its algebra alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use storex_core::{OnConflict, Record, Step, Value};
use storex_sync::{
    Action, Clock, Device as Id, EntryKind, Hlc, Incoming, Joins, Stamp, merge, merge_object,
};
use support::{Device, assert_in_step, pump, settle, shared_log};

// ---- The table, on two storages -------------------------------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq)]
enum Write {
    Insert,
    Update,
    Delete,
    ReInsert,
}

const WRITES: [Write; 4] = [Write::Insert, Write::Update, Write::Delete, Write::ReInsert];

async fn perform(device: &Device, write: Write, who: &str) {
    let insert = || async {
        let row = vec![Value::from("n"), Value::from(who), Value::from(who), Value::Null];
        let step = Step::create_or("note", vec![Record::new(row)], OnConflict::Replace);
        device.storage.execute([step].into_iter().collect()).await.unwrap();
    };
    match write {
        Write::Insert => insert().await,
        Write::Update => device.retitle("n", who).await,
        Write::Delete => device.delete("note", json!({})).await,
        Write::ReInsert => {
            device.delete("note", json!({})).await;
            insert().await;
        }
    }
}

/// Title and body of what two concurrent writes to an existing object leave, by the table in the merge's description.
fn expected(early: Write, late: Write) -> Option<(&'static str, &'static str)> {
    use Write::{Delete, Insert, ReInsert, Update};
    match (early, late) {
        // A later life wins over an earlier one, whatever the clocks say.
        (ReInsert, ReInsert) => Some(("late", "late")),
        (ReInsert, _) => Some(("early", "early")),
        (_, ReInsert) => Some(("late", "late")),
        (Delete, _) | (_, Delete) => None,
        // In one life each field: the later stamp.
        (_, Insert) => Some(("late", "late")),
        (Insert, Update) => Some(("late", "early")),
        (Update, Update) => Some(("late", "before")),
    }
}

#[tokio::test(start_paused = true)]
async fn c15_the_table_holds_for_two_devices_in_both_orders_of_arrival() {
    for early in WRITES {
        for late in WRITES {
            for late_sends_first in [false, true] {
                for by_pump in [false, true] {
                    let what = format!("{early:?}, then {late:?}, {late_sends_first} {by_pump}");
                    let log = shared_log();
                    let (a, b) = (Device::new(1).await, Device::skewed(2, 1_000).await);
                    a.create("note", json!({"id": "n", "title": "before", "body": "before"})).await;
                    settle(&[&a, &b], &log).await;
                    perform(&a, early, "early").await;
                    perform(&b, late, "late").await;
                    let (first, second) = if late_sends_first { (&b, &a) } else { (&a, &b) };
                    if by_pump {
                        pump(first, second).await;
                        pump(second, first).await;
                    } else {
                        settle(&[first, second], &log).await;
                    }
                    assert_in_step(&[&a, &b]).await;
                    let note = a.get("note", "n").await;
                    let got = note.as_ref().map(|note| {
                        (note["title"].as_str().unwrap(), note["body"].as_str().unwrap())
                    });
                    assert_eq!(got, expected(early, late), "{what}");
                    // A third device that knows nothing yet, from the log alone.
                    let c = Device::new(3).await;
                    settle(&[&a, &b, &c], &log).await;
                    assert_in_step(&[&a, &b, &c]).await;
                }
            }
        }
    }
}

/// Two inserts of one key where there was nothing.
#[tokio::test(start_paused = true)]
async fn two_inserts_into_nothing_merge_by_the_later_stamp() {
    for a_is_late in [false, true] {
        let log = shared_log();
        let skew = if a_is_late { 5_000 } else { -5_000 };
        let (a, b) = (Device::skewed(1, skew).await, Device::new(2).await);
        a.note("n", "a").await;
        b.note("n", "b").await;
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!(b.title("n").await.as_deref(), Some(if a_is_late { "a" } else { "b" }));
    }
}

// ---- Devices of different versions --------------------------------------------------------------------------------

/// A create by a program that does not know a field leaves the field alone, in whatever order two creates arrive.
#[tokio::test(start_paused = true)]
async fn a_create_by_an_older_program_does_not_touch_fields_that_it_does_not_know() {
    for old_sends_first in [false, true] {
        for by_pump in [false, true] {
            let log = shared_log();
            let old = Device::skewed(1, 5_000).await;
            let (new, newest) = (
                Device::with(2, support::wider_schema()).await,
                Device::with(3, support::wider_schema()).await,
            );
            new.create("note", json!({"id": "n", "title": "new", "colour": "red"})).await;
            old.create("note", json!({"id": "n", "title": "old, but later"})).await;
            if by_pump {
                pump(&old, &newest).await;
                pump(&old, &new).await;
            }
            if old_sends_first {
                old.sync(&log).await;
            }
            settle(&[&new, &newest, &old, &new, &newest], &log).await;
            assert_in_step(&[&new, &newest]).await;
            let note = newest.get("note", "n").await.unwrap();
            assert_eq!(
                (&note["title"], &note["colour"]),
                (&json!("old, but later"), &json!("red"))
            );
            // An edit of the field alone, which had not seen the older program's create and has the earlier stamp.
            newest.update("note", json!({}), json!({"colour": "green"})).await;
            settle(&[&newest, &new], &log).await;
            assert_in_step(&[&new, &newest]).await;
            // A later edit of the field is not taken for an earlier one.
            new.update("note", json!({}), json!({"colour": "blue"})).await;
            settle(&[&new, &newest], &log).await;
            assert_in_step(&[&new, &newest]).await;
            assert_eq!(newest.get("note", "n").await.unwrap()["colour"], "blue");
        }
    }
}

/// The same, with an edit of that field that neither had seen the create nor is later than it.
#[tokio::test(start_paused = true)]
async fn a_create_by_an_older_program_does_not_make_fields_newer_that_it_does_not_know() {
    let log = shared_log();
    let old = Device::skewed(1, 5_000).await;
    let (new, newest) = (
        Device::with(2, support::wider_schema()).await,
        Device::with(3, support::wider_schema()).await,
    );
    new.create("note", json!({"id": "n", "title": "new", "colour": "red"})).await;
    settle(&[&new, &newest], &log).await;
    newest.update("note", json!({}), json!({"colour": "green"})).await;
    old.create("note", json!({"id": "n", "title": "old, but later"})).await;
    // `new` hears of the older program's create first.
    old.sync(&log).await;
    new.sync(&log).await;
    settle(&[&newest, &new], &log).await;
    assert_in_step(&[&new, &newest]).await;
    let note = new.get("note", "n").await.unwrap();
    assert_eq!((&note["title"], &note["colour"]), (&json!("old, but later"), &json!("green")));
}

// ---- The algebra ----------------------------------------------------------------------------------------------------

const FIELDS: [u32; 3] = [2, 5, 9];

/// An object on one device. The value of a field is the stamp of the write that it comes from.
#[derive(Debug, Clone, PartialEq, Default)]
struct Object {
    clock: Option<Clock>,
    row: Option<BTreeMap<u32, Stamp>>,
}

#[derive(Debug, Clone)]
struct Op {
    kind: EntryKind,
    life: u32,
    stamp: Stamp,
    fields: Vec<u32>,
}

impl Object {
    /// What the clock says of every field, whatever its form.
    fn meaning(&self) -> Option<(u32, Vec<Stamp>)> {
        let clock = self.clock.as_ref()?;
        let stamps = if clock.is_alive() {
            FIELDS.iter().map(|field| clock.stamp(*field)).collect()
        } else {
            vec![clock.row]
        };
        Some((clock.life, stamps))
    }

    /// A field holds what the write with its stamp has written, and a row is there exactly when the clock says so.
    fn check(&self) {
        let alive = self.clock.as_ref().is_some_and(Clock::is_alive);
        assert_eq!(self.row.is_some(), alive, "{self:?}");
        for (field, value) in self.row.iter().flatten() {
            assert_eq!(self.clock.as_ref().unwrap().stamp(*field), *value, "{self:?}");
        }
    }

    /// A local write, as the log does it.
    fn write(&mut self, kind: EntryKind, fields: Vec<u32>, stamp: Stamp) -> Option<Op> {
        let life = self.clock.as_ref().map_or(0, |clock| clock.life);
        let alive = life % 2 == 1;
        let (life, fields) = match kind {
            EntryKind::Create => (if alive { life } else { life + 1 }, FIELDS.to_vec()),
            EntryKind::Update if alive => (life, fields),
            EntryKind::Delete if alive => (life + 1, Vec::new()),
            _ => return None,
        };
        match kind {
            EntryKind::Update => {
                let clock = self.clock.as_mut().unwrap();
                fields.iter().for_each(|field| clock.set(*field, stamp));
            }
            _ => self.clock = Some(Clock::created(life, stamp)),
        }
        match kind {
            EntryKind::Create => self.row = Some(FIELDS.iter().map(|it| (*it, stamp)).collect()),
            EntryKind::Update => {
                let row = self.row.as_mut().unwrap();
                fields.iter().for_each(|field| {
                    row.insert(*field, stamp);
                });
            }
            EntryKind::Delete => self.row = None,
        }
        Some(Op { kind, life, stamp, fields })
    }

    fn act(&mut self, action: &Action, fields: &[u32], value: impl Fn(u32) -> Stamp) {
        match action {
            Action::Keep | Action::Missing => {}
            Action::Put => self.row = Some(fields.iter().map(|it| (*it, value(*it))).collect()),
            Action::Delete => self.row = None,
            Action::Set(taken) => {
                let row = self.row.as_mut().unwrap();
                taken.iter().for_each(|at| {
                    row.insert(fields[*at], value(fields[*at]));
                });
            }
        }
    }

    /// Takes a write; false when it has to wait for another.
    fn receive(&mut self, op: &Op) -> bool {
        let incoming = Incoming {
            kind: op.kind,
            life: op.life,
            stamp: op.stamp,
            fields: &op.fields,
            counted: &[],
            joined: &[],
            joins: &Joins::default(),
        };
        let merged = merge(self.clock.as_ref(), incoming, |_| false);
        self.act(&merged.action, &op.fields, |_| op.stamp);
        if let Some(clock) = merged.clock {
            self.clock = Some(clock);
        }
        self.check();
        merged.action != Action::Missing
    }

    /// Takes a whole object.
    fn join(&mut self, other: &Self) {
        let Some(arriving) = &other.clock else { return };
        let merged = merge_object(self.clock.as_ref(), arriving, &FIELDS, &[], &Joins::default());
        self.act(&merged.action, &FIELDS, |field| other.row.as_ref().unwrap()[&field]);
        if let Some(clock) = merged.clock {
            self.clock = Some(clock);
        }
        self.check();
    }

    fn joined(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.join(other);
        both
    }

    /// Takes all writes, in this order, those that have to wait at the end again.
    fn receive_all(&mut self, mut ops: Vec<&Op>) {
        while !ops.is_empty() {
            let before = ops.len();
            ops.retain(|op| !self.receive(op));
            assert!(ops.len() < before, "{ops:?} wait for ever");
        }
    }
}

#[derive(Debug, Clone)]
enum Act {
    Write {
        device: usize,
        kind: EntryKind,
        fields: Vec<u32>,
        ahead: u64,
    },
    /// One device takes the whole object of another.
    Join {
        from: usize,
        to: usize,
    },
}

/// A history of three devices: all its writes, and what each device ends with.
#[derive(Debug, Clone)]
struct History {
    ops: Vec<Op>,
    objects: Vec<Object>,
    /// What was there on the way, all of it reachable.
    states: Vec<Object>,
}

fn history() -> impl Strategy<Value = History> {
    let kind = prop_oneof![
        2 => Just(EntryKind::Create),
        3 => Just(EntryKind::Update),
        2 => Just(EntryKind::Delete)
    ];
    let fields = prop::sample::subsequence(FIELDS.to_vec(), 1..=3);
    let act = prop_oneof![
        4 => (0..3_usize, kind, fields, 0..4_u64).prop_map(|(device, kind, fields, ahead)| {
            Act::Write { device, kind, fields, ahead }
        }),
        1 => (0..3_usize, 0..3_usize).prop_map(|(from, to)| Act::Join { from, to }),
    ];
    (any::<bool>(), prop::collection::vec(act, 1..25)).prop_map(|(old, acts)| run(old, acts))
}

fn run(old: bool, acts: Vec<Act>) -> History {
    let mut start = Object::default();
    if old {
        start.clock = Some(Clock::unstamped());
        start.row = Some(FIELDS.iter().map(|field| (*field, Stamp::ZERO)).collect());
    }
    let mut objects = vec![start; 3];
    let mut clocks = [0_u64; 3];
    let mut ops = Vec::new();
    let mut states = Vec::new();
    for act in acts {
        match act {
            Act::Write { device, kind, fields, ahead } => {
                let hlc = clocks[device] + 1 + ahead;
                let id = Id { id: [u8::try_from(device).unwrap() + 1; 16], incarnation: 0 };
                let op = objects[device].write(kind, fields, Stamp { hlc: Hlc(hlc), device: id });
                if op.is_some() {
                    clocks[device] = hlc;
                }
                ops.extend(op);
                objects[device].check();
            }
            Act::Join { from, to } => {
                let other = objects[from].clone();
                objects[to].join(&other);
                clocks[to] = clocks[to].max(clocks[from]);
            }
        }
        states.extend(objects.iter().cloned());
    }
    History { ops, objects, states }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn merging_a_write_twice_is_merging_it_once(history in history(), at in any::<prop::sample::Index>()) {
        let mut object = history.states[at.index(history.states.len())].clone();
        for op in &history.ops {
            if object.receive(op) {
                let once = object.clone();
                object.receive(op);
                prop_assert_eq!(&object, &once);
            }
        }
    }

    #[test]
    fn writes_may_arrive_in_any_order(
        (history, order) in history().prop_flat_map(|history| {
            let order: Vec<usize> = (0..history.ops.len()).collect();
            (Just(history), Just(order).prop_shuffle())
        })
    ) {
        let mut expected = history.objects[0].clone();
        expected.receive_all(history.ops.iter().collect());
        for object in &history.objects {
            let mut object = object.clone();
            object.receive_all(order.iter().map(|at| &history.ops[*at]).collect());
            prop_assert_eq!(object.meaning(), expected.meaning());
            prop_assert_eq!(&object.row, &expected.row);
        }
    }

    #[test]
    fn whole_objects_join_as_a_lattice(
        history in history(), picks in prop::array::uniform3(any::<prop::sample::Index>())
    ) {
        let [a, b, c] = picks.map(|pick| history.states[pick.index(history.states.len())].clone());
        let same = |x: &Object, y: &Object| {
            assert_eq!((x.meaning(), &x.row), (y.meaning(), &y.row));
        };
        prop_assert_eq!(&a.joined(&a), &a, "idempotent");
        prop_assert_eq!(a.joined(&b).joined(&b), a.joined(&b), "idempotent");
        same(&a.joined(&b), &b.joined(&a));
        same(&a.joined(&b).joined(&c), &a.joined(&b.joined(&c)));
    }

    /// Whether the writes come one by one or the whole objects at once makes no difference.
    #[test]
    fn initial_sync_and_the_log_come_to_the_same(history in history()) {
        let mut by_log = history.objects[0].clone();
        by_log.receive_all(history.ops.iter().collect());
        let by_objects = history.objects[0].joined(&history.objects[1]).joined(&history.objects[2]);
        prop_assert_eq!(by_log.meaning(), by_objects.meaning());
        prop_assert_eq!(by_log.row, by_objects.row);
    }
}

// ---- The edges ------------------------------------------------------------------------------------------------------

fn stamp(hlc: u64, device: u8) -> Stamp {
    Stamp { hlc: Hlc(hlc), device: Id { id: [device; 16], incarnation: 0 } }
}

#[test]
fn a_write_by_somebody_who_had_seen_the_other_is_no_conflict() {
    let own = Clock::created(1, stamp(10, 1));
    let incoming = Incoming {
        kind: EntryKind::Update,
        life: 1,
        stamp: stamp(20, 2),
        fields: &FIELDS,
        counted: &[],
        joined: &[],
        joins: &Joins::default(),
    };
    assert_eq!(merge(Some(&own), incoming, |_| true).conflicts, []);
    assert_eq!(merge(Some(&own), incoming, |_| false).conflicts.len(), FIELDS.len());
    let delete = Incoming {
        kind: EntryKind::Delete,
        life: 2,
        stamp: stamp(20, 2),
        fields: &[],
        counted: &[],
        joined: &[],
        joins: &Joins::default(),
    };
    assert_eq!(merge(Some(&own), delete, |_| true).conflicts, []);
    let unseen = merge(Some(&own), delete, |_| false).conflicts;
    assert_eq!((unseen.len(), unseen[0].field, unseen[0].incoming_won), (1, None, true));
}

/// An update of a former life is lost, and that is told, whether the object is dead or lives again.
#[test]
fn what_is_lost_to_a_later_life_is_told() {
    let late = Incoming {
        kind: EntryKind::Update,
        life: 1,
        stamp: stamp(99, 2),
        fields: &FIELDS,
        counted: &[],
        joined: &[],
        joins: &Joins::default(),
    };
    for life in [2, 3] {
        let merged = merge(Some(&Clock::created(life, stamp(10, 1))), late, |_| false);
        assert_eq!((merged.action, merged.clock), (Action::Keep, None));
        assert_eq!(merged.conflicts.len(), 1);
        assert!(!merged.conflicts[0].incoming_won);
    }
}

/// A device's own earlier write, when it comes once more behind its own delete, is no conflict.
#[test]
fn what_comes_again_behind_its_own_delete_is_no_conflict() {
    let again = Incoming {
        kind: EntryKind::Update,
        life: 1,
        stamp: stamp(5, 1),
        fields: &FIELDS,
        counted: &[],
        joined: &[],
        joins: &Joins::default(),
    };
    let merged = merge(Some(&Clock::created(2, stamp(10, 1))), again, |_| false);
    assert_eq!((merged.action, merged.clock, merged.conflicts.len()), (Action::Keep, None, 0));
}

/// A clock lists a field only while its stamp is another than the row's.
#[test]
fn a_clock_lists_no_more_than_it_must() {
    let mut clock = Clock::created(1, stamp(10, 1));
    clock.set(5, stamp(10, 1));
    assert!(clock.fields.is_empty());
    clock.set(5, stamp(20, 2));
    clock.set(2, stamp(20, 2));
    assert_eq!(clock.fields.iter().map(|(field, _)| *field).collect::<Vec<_>>(), [2, 5]);
    assert_eq!((clock.stamp(2), clock.stamp(9)), (stamp(20, 2), stamp(10, 1)));
    clock.set(5, stamp(10, 1));
    assert_eq!(clock.fields.len(), 1);
    // All fields written anew by somebody else's create: one stamp says it all.
    let create = Clock::created(1, stamp(30, 3));
    let merged = merge_object(Some(&clock), &create, &FIELDS, &[], &Joins::default());
    assert_eq!(merged.clock, Some(create));
}

#[test]
fn an_update_of_what_is_not_here_is_missing_and_changes_nothing() {
    let update = Incoming {
        kind: EntryKind::Update,
        life: 3,
        stamp: stamp(9, 2),
        fields: &FIELDS,
        counted: &[],
        joined: &[],
        joins: &Joins::default(),
    };
    for own in [None, Some(Clock::created(1, stamp(1, 1))), Some(Clock::created(2, stamp(1, 1)))] {
        let merged = merge(own.as_ref(), update, |_| false);
        assert_eq!((merged.action, merged.clock), (Action::Missing, None), "{own:?}");
    }
}
