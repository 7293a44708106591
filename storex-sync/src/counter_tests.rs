//! The algebra of counters, without databases: clocks of three devices, their writes in any order, whole objects joined.

use proptest::prelude::*;
use storex_core::Value;

use crate::clock::Clock;
use crate::counter::{Amount, Counted, Counter, Sum};
use crate::merge::{Action, FieldConflict, Incoming, merge, merge_object};
use crate::stamp::{Device, Hlc, Stamp};
use crate::strategy::Joins;
use crate::transaction::EntryKind;

const FIELDS: [u32; 1] = [7];

fn stamp(hlc: u64, device: u8) -> Stamp {
    Stamp { hlc: Hlc(hlc), device: Device { id: [device; 16], incarnation: 0 } }
}

/// An object with one field that matters, on one device.
#[derive(Debug, Clone, PartialEq)]
struct Object {
    clock: Clock,
    row: Value,
}

#[derive(Debug, Clone)]
struct Op {
    stamp: Stamp,
    to: Value,
    counted: Option<Counted>,
}

/// What core makes of it; `None` where it refuses.
fn core_sum(value: &Value, by: &Value) -> Option<Value> {
    match (value, by) {
        (Value::Int(value), Value::Int(by)) => value.checked_add(*by).map(Value::Int),
        (Value::Float(value), Value::Float(by)) => Some(Value::from(value + by)),
        other => panic!("{other:?}"),
    }
}

impl Object {
    fn set(&mut self, to: Value, stamp: Stamp) -> Op {
        self.clock.set(7, stamp);
        self.row = to.clone();
        Op { stamp, to, counted: None }
    }

    fn increment(&mut self, by: &Value, stamp: Stamp) -> Option<Op> {
        let to = core_sum(&self.row, by)?;
        let counted = self.clock.increment(7, stamp, by, &to);
        self.row = to.clone();
        self.check();
        Some(Op { stamp, to, counted })
    }

    /// The row holds what the counter says.
    fn check(&self) {
        if let Some(counter) = self.clock.counter(7) {
            assert_eq!(counter.value(), self.row, "{self:?}");
        }
    }

    fn act(&mut self, action: &Action, clock: Option<Clock>, arriving: &Value) {
        if let Some(clock) = clock {
            self.clock = clock;
        }
        if let Action::Set(_) = action {
            let counted = self.clock.counter(7).map(Counter::value);
            self.row = counted.unwrap_or_else(|| arriving.clone());
        }
        self.check();
    }

    fn receive(&mut self, op: &Op) {
        let counted: Vec<_> = op.counted.iter().map(|counted| (7, counted)).collect();
        let incoming = Incoming {
            kind: EntryKind::Update,
            life: 1,
            stamp: op.stamp,
            fields: &FIELDS,
            counted: &counted,
            joined: &[],
            joins: &Joins::default(),
        };
        let merged = merge(Some(&self.clock), incoming, |_| false);
        self.act(&merged.action, merged.clock, &op.to);
    }

    fn join(&mut self, other: &Self) {
        let merged = merge_object(Some(&self.clock), &other.clock, &FIELDS, &[], &Joins::default());
        self.act(&merged.action, merged.clock, &other.row);
    }

    fn joined(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.join(other);
        both
    }

    /// What it comes to, whatever form the clock has.
    fn meaning(&self) -> (Stamp, Option<&Counter>, &Value) {
        (self.clock.stamp(7), self.clock.counter(7), &self.row)
    }
}

#[derive(Debug, Clone)]
enum Act {
    Set {
        device: u8,
        to: Value,
        ahead: u64,
    },
    Increment {
        device: u8,
        by: Value,
        ahead: u64,
    },
    Join {
        from: u8,
        to: u8,
    },
    /// One device hears of the so-many-th write.
    Hear {
        device: u8,
        op: prop::sample::Index,
    },
}

fn act(number: BoxedStrategy<Value>, sets: u32) -> impl Strategy<Value = Act> {
    let device = 0..3_u8;
    prop_oneof![
        6 => (device.clone(), number.clone(), 0..4_u64)
            .prop_map(|(device, by, ahead)| Act::Increment { device, by, ahead }),
        1 => (device.clone(), device.clone()).prop_map(|(from, to)| Act::Join { from, to }),
        3 => (device.clone(), any::<prop::sample::Index>())
            .prop_map(|(device, op)| Act::Hear { device, op }),
        sets => (device, number, 0..4_u64)
            .prop_map(|(device, to, ahead)| Act::Set { device, to, ahead }),
    ]
}

/// Small integers, integers that run over, or floats of many sizes: one kind in a history.
fn numbers() -> impl Strategy<Value = BoxedStrategy<Value>> {
    prop_oneof![
        Just((-9..10_i64).prop_map(Value::Int).boxed()),
        Just(
            prop_oneof![-9..10_i64, Just(i64::MAX), Just(i64::MIN), Just(i64::MAX - 3)]
                .prop_map(Value::Int)
                .boxed()
        ),
        Just(
            prop_oneof![
                -1.0..1.0_f64,
                (-99..100_i32).prop_map(|cents| f64::from(cents) / 100.0),
                -1e17..1e17_f64,
                Just(f64::MAX),
                Just(5e-324),
            ]
            .prop_map(Value::from)
            .boxed()
        ),
    ]
}

#[derive(Debug, Clone)]
struct History {
    ops: Vec<Op>,
    objects: Vec<Object>,
    /// What was there on the way.
    states: Vec<Object>,
}

fn history(sets: u32) -> impl Strategy<Value = History> {
    numbers().prop_flat_map(move |number| {
        let start = number.clone();
        (start, prop::collection::vec(act(number, sets), 1..30))
            .prop_map(|(start, acts)| run(&start, acts))
    })
}

fn run(start: &Value, acts: Vec<Act>) -> History {
    let clock = Clock::created(1, stamp(1, 9));
    let mut objects = vec![Object { clock, row: start.clone() }; 3];
    let mut clocks = [1_u64; 3];
    let (mut ops, mut states) = (Vec::new(), Vec::new());
    for act in acts {
        match act {
            Act::Set { device, to, ahead } => {
                let at = usize::from(device);
                clocks[at] += 1 + ahead;
                ops.push(objects[at].set(to, stamp(clocks[at], device)));
            }
            Act::Increment { device, by, ahead } => {
                let at = usize::from(device);
                clocks[at] += 1 + ahead;
                ops.extend(objects[at].increment(&by, stamp(clocks[at], device)));
            }
            Act::Join { from, to } => {
                let (from, to) = (usize::from(from), usize::from(to));
                let other = objects[from].clone();
                objects[to].join(&other);
                clocks[to] = clocks[to].max(clocks[from]);
            }
            Act::Hear { device, op } if !ops.is_empty() => {
                let at = usize::from(device);
                let op: &Op = op.get(&ops);
                objects[at].receive(op);
                clocks[at] = clocks[at].max(op.stamp.hlc.0);
            }
            Act::Hear { .. } => {}
        }
        states.extend(objects.iter().cloned());
    }
    History { ops, objects, states }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn writes_may_arrive_in_any_order_and_more_than_once(
        (history, order) in history(2).prop_flat_map(|history| {
            let order: Vec<usize> = (0..history.ops.len()).chain(0..history.ops.len()).collect();
            (Just(history), Just(order).prop_shuffle())
        })
    ) {
        let mut expected = history.objects[0].clone();
        history.ops.iter().for_each(|op| expected.receive(op));
        for object in &history.objects {
            let mut object = object.clone();
            order.iter().for_each(|at| object.receive(&history.ops[*at]));
            prop_assert_eq!(object.meaning(), expected.meaning());
        }
    }

    #[test]
    fn merging_a_write_twice_is_merging_it_once(history in history(2), at in any::<prop::sample::Index>()) {
        let mut object = at.get(&history.states).clone();
        for op in &history.ops {
            object.receive(op);
            let once = object.clone();
            object.receive(op);
            prop_assert_eq!(&object, &once);
        }
    }

    #[test]
    fn whole_objects_join_as_a_lattice(
        history in history(2), picks in prop::array::uniform3(any::<prop::sample::Index>())
    ) {
        let [a, b, c] = picks.map(|pick| pick.get(&history.states).clone());
        let same = |x: &Object, y: &Object| assert_eq!(x.meaning(), y.meaning());
        prop_assert_eq!(&a.joined(&a), &a, "idempotent");
        prop_assert_eq!(a.joined(&b).joined(&b), a.joined(&b), "idempotent");
        same(&a.joined(&b), &b.joined(&a));
        same(&a.joined(&b).joined(&c), &a.joined(&b.joined(&c)));
    }

    #[test]
    fn initial_sync_and_the_log_come_to_the_same(history in history(2)) {
        let mut by_log = history.objects[0].clone();
        history.ops.iter().for_each(|op| by_log.receive(op));
        let by_objects = history.objects[0].joined(&history.objects[1]).joined(&history.objects[2]);
        prop_assert_eq!(by_log.meaning(), by_objects.meaning());
    }

    /// Without sets the number is what it was, and all increments of all devices, each once.
    #[test]
    fn increments_alone_add_up_exactly(start in -99..100_i64, acts in prop::collection::vec(act((-9..10_i64).prop_map(Value::Int).boxed(), 0), 1..40)) {
        let added: i64 = acts
            .iter()
            .filter_map(|act| if let Act::Increment { by, .. } = act { by.as_int() } else { None })
            .sum();
        let history = run(&Value::Int(start), acts);
        for object in &history.objects {
            let mut object = object.clone();
            history.ops.iter().for_each(|op| object.receive(op));
            prop_assert_eq!(&object.row, &Value::Int(start + added));
        }
    }

    /// Of floats of a like size no increment is lost: they always count, and add up to a few of the last bits.
    #[test]
    fn floats_always_count(start in -1e6..1e6_f64, acts in prop::collection::vec(act((-1e6..1e6_f64).prop_map(Value::from).boxed(), 0), 1..40)) {
        let added: f64 = acts
            .iter()
            .map(|act| if let Act::Increment { by: Value::Float(by), .. } = act { *by } else { 0.0 })
            .sum();
        let history = run(&Value::from(start), acts);
        prop_assert!(history.ops.iter().all(|op| op.counted.is_some()));
        let mut object = history.objects[0].clone();
        history.ops.iter().for_each(|op| object.receive(op));
        let Value::Float(sum) = object.row else { panic!("{object:?}") };
        prop_assert!((sum - (start + added)).abs() < 1e-6, "{} {}", sum, start + added);
    }
}

// ---- The table --------------------------------------------------------------------------------------------------------

fn counter(from: i64, sums: &[(u64, u8, i64)]) -> Counter {
    let sums = sums
        .iter()
        .map(|(hlc, device, sum)| Sum { at: stamp(*hlc, *device), amount: Amount::Int(*sum) });
    Counter { from: from.into(), sums: sums.collect() }
}

/// Set to 100 at 10 by 1; then 2 has added 5, the last of it at 20.
fn counting() -> Clock {
    let mut clock = Clock::created(1, stamp(1, 1));
    clock.set(7, stamp(10, 1));
    clock.count(7, counter(100, &[(20, 2, 5)]));
    clock
}

fn arrive(
    own: &Clock,
    at: Stamp,
    counted: Option<&Counted>,
) -> (Option<Value>, Clock, Vec<FieldConflict>) {
    let counted: Vec<_> = counted.into_iter().map(|counted| (7, counted)).collect();
    let incoming = Incoming {
        kind: EntryKind::Update,
        life: 1,
        stamp: at,
        fields: &FIELDS,
        counted: &counted,
        joined: &[],
        joins: &Joins::default(),
    };
    let merged = merge(Some(own), incoming, |_| false);
    let clock = merged.clock.unwrap_or_else(|| own.clone());
    let value = match merged.action {
        Action::Keep => None,
        // What the field holds: the counter's value, or (null here) what arrives.
        Action::Set(taken) if taken == [0] => {
            Some(clock.counter(7).map_or(Value::Null, Counter::value))
        }
        other => panic!("{other:?}"),
    };
    (value, clock, merged.conflicts)
}

fn counted(base: Stamp, from: i64, sum: i64) -> Counted {
    Counted { base, from: from.into(), sum: Amount::Int(sum) }
}

#[test]
fn an_increment_on_the_same_base_is_added_once_and_is_no_conflict() {
    let base = stamp(10, 1);
    let (value, clock, conflicts) = arrive(&counting(), stamp(15, 3), Some(&counted(base, 100, 7)));
    assert_eq!((value, conflicts.len()), (Some(112.into()), 0));
    assert_eq!(clock.counter(7), Some(&counter(100, &[(20, 2, 5), (15, 3, 7)])));
    assert_eq!((clock.stamp(7), clock.newest()), (base, stamp(20, 2)));
    // Once more, and an earlier one of the same device: nothing.
    for (at, sum) in [(15, 7), (14, 3)] {
        let (value, same, conflicts) = arrive(&clock, stamp(at, 3), Some(&counted(base, 100, sum)));
        assert_eq!((value, same, conflicts.len()), (None, clock.clone(), 0));
    }
    // A later one has the earlier in it.
    let (value, _, _) = arrive(&clock, stamp(16, 3), Some(&counted(base, 100, 8)));
    assert_eq!(value, Some(113.into()));
}

#[test]
fn an_increment_on_a_plain_number_begins_a_counter() {
    let mut own = counting();
    own.set(7, stamp(10, 1));
    assert_eq!(own.counter(7), None);
    let (value, clock, _) = arrive(&own, stamp(15, 3), Some(&counted(stamp(10, 1), 100, 7)));
    assert_eq!(value, Some(107.into()));
    assert_eq!(clock.counter(7), Some(&counter(100, &[(15, 3, 7)])));
}

#[test]
fn an_increment_on_an_earlier_base_is_lost_and_told() {
    let (value, clock, conflicts) =
        arrive(&counting(), stamp(99, 3), Some(&counted(stamp(9, 3), 50, 7)));
    assert_eq!((value, clock), (None, counting()));
    assert_eq!(conflicts, [FieldConflict { field: Some(7), incoming_won: false }]);
}

#[test]
fn an_increment_on_a_later_base_brings_the_base() {
    let base = stamp(30, 3);
    let (value, clock, conflicts) = arrive(&counting(), stamp(40, 4), Some(&counted(base, 50, 7)));
    assert_eq!((value, clock.stamp(7)), (Some(57.into()), base));
    assert_eq!(clock.counter(7), Some(&counter(50, &[(40, 4, 7)])));
    assert_eq!(conflicts, [FieldConflict { field: Some(7), incoming_won: true }]);
    // The set itself comes behind and is nothing new; an increment on it is.
    let (value, same, conflicts) = arrive(&clock, base, None);
    assert_eq!((value, same, conflicts.len()), (None, clock.clone(), 0));
    let (value, _, _) = arrive(&clock, stamp(31, 3), Some(&counted(base, 50, 1)));
    assert_eq!(value, Some(58.into()));
}

#[test]
fn a_later_set_ends_the_counter_and_an_earlier_one_is_lost() {
    let (value, clock, conflicts) = arrive(&counting(), stamp(11, 3), None);
    assert_eq!((value, clock.stamp(7)), (Some(Value::Null), stamp(11, 3)));
    assert!(clock.counters.is_empty());
    assert_eq!(conflicts, [FieldConflict { field: Some(7), incoming_won: true }]);
    let (value, clock, conflicts) = arrive(&counting(), stamp(9, 3), None);
    assert_eq!((value, clock), (None, counting()));
    assert_eq!(conflicts, [FieldConflict { field: Some(7), incoming_won: false }]);
}

/// Who had seen the base, but not what was added to it, sets it in conflict with that.
#[test]
fn a_set_that_had_not_seen_an_increment_is_a_conflict() {
    let incoming = Incoming {
        kind: EntryKind::Update,
        life: 1,
        stamp: stamp(30, 3),
        fields: &FIELDS,
        counted: &[],
        joined: &[],
        joins: &Joins::default(),
    };
    let seen =
        |upto: u64| merge(Some(&counting()), incoming, |stamp| stamp.hlc.0 <= upto).conflicts;
    assert_eq!(seen(19).len(), 1);
    assert_eq!(seen(20), []);
}

/// A create, a delete and a new life leave nothing of a counter.
#[test]
fn whole_objects_end_the_counter() {
    for (kind, life, at) in
        [(EntryKind::Create, 1, 30), (EntryKind::Delete, 2, 5), (EntryKind::Create, 3, 5)]
    {
        let incoming = Incoming {
            kind,
            life,
            stamp: stamp(at, 3),
            fields: &FIELDS,
            counted: &[],
            joined: &[],
            joins: &Joins::default(),
        };
        let merged = merge(Some(&counting()), incoming, |_| false);
        assert!(merged.clock.unwrap().counters.is_empty(), "{kind:?} {life}");
    }
}
