//! The algebra of strategies, without databases: clocks of three devices, their writes in any order, whole objects joined.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use storex_core::Value;

use crate::clock::Clock;
use crate::field_state::{Contribution, Joined};
use crate::merge::{Action, Incoming, merge, merge_object};
use crate::stamp::{Device, Hlc, Stamp};
use crate::strategy::{Joins, Strategy as FieldStrategy};
use crate::transaction::EntryKind;

const FIELDS: [u32; 5] = [1, 2, 3, 4, 5];

fn strategy_of(field: u32) -> FieldStrategy {
    match field {
        1 => FieldStrategy::Max,
        2 => FieldStrategy::Min,
        3 => FieldStrategy::Set,
        4 => FieldStrategy::List,
        _ => FieldStrategy::custom("bits", |a: &Value, b: &Value| match (a, b) {
            (Value::Int(a), Value::Int(b)) => Value::Int(a | b),
            _ => Value::Null,
        }),
    }
}

fn joins() -> Joins {
    Joins::of([strategy_of(5)].iter())
}

fn stamp(hlc: u64, device: u8) -> Stamp {
    Stamp { hlc: Hlc(hlc), device: Device { id: [device; 16], incarnation: 0 } }
}

/// An object on one device.
#[derive(Debug, Clone, PartialEq)]
struct Object {
    clock: Clock,
    row: BTreeMap<u32, Value>,
}

#[derive(Debug, Clone)]
struct Op {
    stamp: Stamp,
    field: u32,
    to: Value,
    joined: Option<Joined>,
}

impl Object {
    /// A write of a device that is configured so, or that is not (then it is plain, unless the clock says otherwise).
    fn write(&mut self, field: u32, value: &Value, stamp: Stamp, kind: Kind) -> Op {
        let strategy = match kind {
            Kind::Configured => Some(strategy_of(field)),
            Kind::Unconfigured => None,
            Kind::Plain => Some(FieldStrategy::LastWriter),
            // Each field as its neighbour.
            Kind::Otherwise => Some(strategy_of(field % 4 + 1)),
        };
        let state = self.clock.state(field);
        let contribution = Contribution::of(strategy.as_ref(), state, value, &joins());
        let joined = contribution.ok().flatten().map(|contribution| {
            let base = self.clock.stamp(field);
            self.clock.join(field, &contribution.state(stamp), &joins());
            Joined { base, contribution }
        });
        if joined.is_none() {
            self.clock.set(field, stamp);
        }
        let to = self.clock.value(field).unwrap_or_else(|| value.clone());
        self.row.insert(field, to.clone());
        self.check();
        Op { stamp, field, to, joined }
    }

    /// The row holds what the clock says.
    fn check(&self) {
        for (field, value) in &self.row {
            if let Some(known) = self.clock.value(*field) {
                assert_eq!(known, *value, "{self:?}");
            }
        }
    }

    fn act(
        &mut self,
        action: &Action,
        clock: Option<Clock>,
        fields: &[u32],
        arriving: impl Fn(u32) -> Value,
    ) {
        if let Some(clock) = clock {
            self.clock = clock;
        }
        if let Action::Set(taken) = action {
            for field in taken.iter().map(|at| fields[*at]) {
                let value = self.clock.value(field).unwrap_or_else(|| arriving(field));
                self.row.insert(field, value);
            }
        }
        self.check();
    }

    fn receive(&mut self, op: &Op) {
        let joined: Vec<_> = op.joined.iter().map(|joined| (op.field, joined)).collect();
        let fields = [op.field];
        let incoming = Incoming {
            kind: EntryKind::Update,
            life: 1,
            stamp: op.stamp,
            fields: &fields,
            counted: &[],
            joined: &joined,
            joins: &joins(),
        };
        let merged = merge(Some(&self.clock), incoming, |_| false);
        self.act(&merged.action, merged.clock, &fields, |_| op.to.clone());
    }

    fn join(&mut self, other: &Self) {
        let merged = merge_object(Some(&self.clock), &other.clock, &FIELDS, &[], &joins());
        self.act(&merged.action, merged.clock, &FIELDS, |field| other.row[&field].clone());
    }

    fn joined(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.join(other);
        both
    }

    /// What it comes to, whatever form the clock has.
    fn meaning(&self) -> Vec<(Stamp, Option<&crate::field_state::FieldState>, &Value)> {
        let fields = FIELDS.iter();
        fields.map(|it| (self.clock.stamp(*it), self.clock.state(*it), &self.row[it])).collect()
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Configured,
    Unconfigured,
    Plain,
    Otherwise,
}

#[derive(Debug, Clone)]
enum Act {
    Write { device: u8, field: u32, value: Value, ahead: u64, kind: Kind },
    Join { from: u8, to: u8 },
    Hear { device: u8, op: prop::sample::Index },
}

fn value(field: u32) -> BoxedStrategy<Value> {
    let small = -4..5_i64;
    match field {
        3 | 4 => prop::collection::vec(small, 0..4).prop_map(|it| Value::Json(json!(it))).boxed(),
        5 => (0..16_i64).prop_map(Value::Int).boxed(),
        _ => prop_oneof![6 => small.prop_map(Value::Int), 1 => Just(Value::Null)].boxed(),
    }
}

fn act(mixed: bool) -> impl Strategy<Value = Act> {
    let device = 0..3_u8;
    let kind = prop_oneof![
        8 => Just(Kind::Configured),
        u32::from(mixed) => Just(Kind::Unconfigured),
        u32::from(mixed) => Just(Kind::Plain),
        u32::from(mixed) => Just(Kind::Otherwise),
    ];
    let write = (1..=5_u32).prop_flat_map(|field| (Just(field), value(field)));
    prop_oneof![
        6 => (device.clone(), write, 0..4_u64, kind).prop_map(|(device, (field, value), ahead, kind)| {
            Act::Write { device, field, value, ahead, kind }
        }),
        1 => (device.clone(), device.clone()).prop_map(|(from, to)| Act::Join { from, to }),
        3 => (device, any::<prop::sample::Index>()).prop_map(|(device, op)| Act::Hear { device, op }),
    ]
}

#[derive(Debug, Clone)]
struct History {
    ops: Vec<Op>,
    objects: Vec<Object>,
    /// What was there on the way.
    states: Vec<Object>,
}

fn history(mixed: bool) -> impl Strategy<Value = History> {
    prop::collection::vec(act(mixed), 1..40).prop_map(run)
}

fn run(acts: Vec<Act>) -> History {
    let clock = Clock::created(1, stamp(1, 9));
    let row = FIELDS.iter().map(|field| (*field, Value::Null)).collect();
    let mut objects = vec![Object { clock, row }; 3];
    let mut clocks = [1_u64; 3];
    let (mut ops, mut states) = (Vec::new(), Vec::new());
    for act in acts {
        match act {
            Act::Write { device, field, value, ahead, kind } => {
                let at = usize::from(device);
                clocks[at] += 1 + ahead;
                ops.push(objects[at].write(field, &value, stamp(clocks[at], device), kind));
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
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn writes_may_arrive_in_any_order_and_more_than_once(
        (history, order) in history(true).prop_flat_map(|history| {
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
    fn merging_a_write_twice_is_merging_it_once(history in history(true), at in any::<prop::sample::Index>()) {
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
        history in history(true), picks in prop::array::uniform3(any::<prop::sample::Index>())
    ) {
        let [a, b, c] = picks.map(|pick| pick.get(&history.states).clone());
        let same = |x: &Object, y: &Object| assert_eq!(x.meaning(), y.meaning());
        prop_assert_eq!(&a.joined(&a), &a, "idempotent");
        prop_assert_eq!(a.joined(&b).joined(&b), a.joined(&b), "idempotent");
        same(&a.joined(&b), &b.joined(&a));
        same(&a.joined(&b).joined(&c), &a.joined(&b.joined(&c)));
    }

    #[test]
    fn initial_sync_and_the_log_come_to_the_same(history in history(true)) {
        let mut by_log = history.objects[0].clone();
        history.ops.iter().for_each(|op| by_log.receive(op));
        let by_objects = history.objects[0].joined(&history.objects[1]).joined(&history.objects[2]);
        prop_assert_eq!(by_log.meaning(), by_objects.meaning());
    }

    /// Where all are configured alike, what is there in the end can be told from the writes alone.
    #[test]
    fn everything_that_was_written_counts(history in history(false)) {
        let mut object = history.objects[0].clone();
        history.ops.iter().for_each(|op| object.receive(op));
        let of = |field: u32| history.ops.iter().filter(move |op| op.field == field);
        let contributed = |field| of(field).map(|op| &op.joined.as_ref().unwrap().contribution);
        let numbers = |field| {
            let values = contributed(field).filter_map(|it| match it {
                Contribution::Max(value) | Contribution::Min(value) | Contribution::Custom(_, value) => value.as_int(),
                other => panic!("{other:?}"),
            });
            values.collect::<Vec<i64>>()
        };
        prop_assert_eq!(object.row[&1].as_int(), numbers(1).into_iter().max());
        prop_assert_eq!(object.row[&2].as_int(), numbers(2).into_iter().min());
        prop_assert_eq!(object.row[&5].as_int(), numbers(5).into_iter().reduce(|a, b| a | b));

        // Of a set: what was added later than it was taken out.
        let mut last: BTreeMap<i64, (Stamp, bool)> = BTreeMap::new();
        for op in of(3) {
            let Contribution::Set { added, removed } = &op.joined.as_ref().unwrap().contribution else { panic!("{op:?}") };
            let all = added.iter().map(|it| (it, true)).chain(removed.iter().map(|it| (it, false)));
            for (element, is_in) in all {
                let entry = last.entry(element.as_i64().unwrap()).or_default();
                *entry = (*entry).max((op.stamp, is_in));
            }
        }
        let mut expected: Vec<i64> = last.iter().filter(|(_, (_, is_in))| *is_in).map(|(it, _)| *it).collect();
        expected.sort_unstable();
        prop_assert_eq!(sorted(&object.row[&3]), expected);

        // Of a list: everything, in the order of the stamps.
        let mut ops: Vec<&Op> = of(4).collect();
        ops.sort_by_key(|op| op.stamp);
        let expected = ops.into_iter().flat_map(|op| match &op.joined.as_ref().unwrap().contribution {
            Contribution::List(elements) => elements.clone(),
            other => panic!("{other:?}"),
        });
        prop_assert_eq!(elements(&object.row[&4]), expected.collect::<Vec<Json>>());
    }
}

fn elements(value: &Value) -> Vec<Json> {
    match value {
        Value::Json(Json::Array(elements)) => elements.clone(),
        Value::Null => Vec::new(),
        other => panic!("{other:?}"),
    }
}

fn sorted(value: &Value) -> Vec<i64> {
    let mut numbers: Vec<i64> = elements(value).iter().map(|it| it.as_i64().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn numbers_are_one_element_when_their_values_are() {
    let contribution = |elements: Json| {
        Contribution::of(Some(&FieldStrategy::Set), None, &Value::Json(elements), &Joins::default())
    };
    let Ok(Some(one)) = contribution(json!([1, 1.0, "1", 1.5, [1], [1.0]])) else { panic!() };
    let value = one.state(stamp(5, 1)).value();
    assert_eq!(value, Value::Json(json!([1, "1", 1.5, [1], [1.0]])));
    assert!(contribution(json!({"a": 1})).is_err());
    assert!(contribution(json!(5)).is_err());
    assert!(contribution(json!(null)).is_ok());
}
