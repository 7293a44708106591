//! The batches of scripts, and whole scripts.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;
use storex_core::{
    Change, Changes, Collection, Create, FieldType, Name, OnConflict, Record, Registry, Step, Value,
};

use super::queries::{aggregation, filter, query};
use super::schemas::{registry_of, schema};
use super::values::{checked, floats, ints, record, value, words};
use super::{Action, Do, Script};

/// A change of a field, mostly one that it takes.
fn change(collection: &Collection, at: usize) -> BoxedStrategy<Change> {
    let set = value(collection, at).prop_map(Change::Set).boxed();
    let by = prop_oneof![5 => ints(), 1 => floats()];
    let numbers = prop_oneof![
        2 => by.clone().prop_map(Change::Increment),
        1 => by.prop_map(Change::Multiply),
    ];
    let bounds = prop_oneof![
        value(collection, at).prop_map(Change::Min),
        value(collection, at).prop_map(Change::Max),
    ];
    let texts = prop_oneof![
        words().prop_map(Change::Append),
        (words(), words()).prop_map(|(from, to)| Change::ReplacePrefix { from, to }),
    ];
    let element = select(vec![
        json!(1),
        json!(1.0),
        json!("a"),
        json!(null),
        json!([1]),
        json!({ "a": 2 }),
        json!("b"),
    ]);
    let elements = prop_oneof![
        vec(element.clone(), 0..3).prop_map(Change::AddElements),
        vec(element, 0..3).prop_map(Change::RemoveElements),
    ];
    match &collection.fields()[at].field_type {
        FieldType::Int | FieldType::Float => {
            prop_oneof![3 => set, 3 => numbers, 2 => bounds].boxed()
        }
        FieldType::Timestamp | FieldType::DateTime => {
            let increment = ints().prop_map(Change::Increment);
            prop_oneof![3 => set, 2 => increment, 2 => bounds].boxed()
        }
        FieldType::String | FieldType::Text | FieldType::Url => {
            prop_oneof![3 => set, 3 => texts, 2 => bounds].boxed()
        }
        // Elements of what is no array are refused, as is much below: more often, and little else would happen.
        FieldType::Json => prop_oneof![4 => set, 1 => elements].boxed(),
        FieldType::Dynamic(_) => {
            prop_oneof![20 => set, 1 => numbers, 1 => texts, 8 => bounds].boxed()
        }
        FieldType::Boolean => prop_oneof![60 => set, 1 => numbers].boxed(),
        _ => prop_oneof![60 => set, 12 => bounds, 1 => texts].boxed(),
    }
}

fn changes(collection: &Arc<Collection>) -> BoxedStrategy<Changes> {
    let of = Arc::clone(collection);
    let one = any::<Index>().prop_flat_map(move |at| {
        let at = at.index(of.fields().len());
        let name = Name::clone(&of.fields()[at].name);
        change(&of, at).prop_map(move |change| (Name::clone(&name), change))
    });
    let of = Arc::clone(collection);
    // The key is named now and then, which is refused.
    let keep_key = prop::bool::weighted(0.03);
    (vec(one, 1..3), keep_key, prop::bool::weighted(0.2))
        .prop_map(move |(list, keep_key, returning)| {
            let relative = list.iter().any(|(_, it)| !matches!(it, Change::Set(_)));
            let unique =
                |at: usize| of.indices().iter().any(|it| it.unique && it.fields.contains(&at));
            let mut changes = Changes::new();
            let mut seen: Vec<Name> = Vec::new();
            for (name, change) in list {
                let at = of.position(&name).unwrap_or_default();
                // Which of two objects is changed first decides over what is told of a relative change within a unique
                // index, and backends may choose.
                if (of.is_key(at) && !keep_key) || (relative && unique(at)) || seen.contains(&name)
                {
                    continue;
                }
                seen.push(Name::clone(&name));
                changes = changes.with(name, change);
            }
            if returning { changes.returning() } else { changes }
        })
        .boxed()
}

fn step(registry: &Arc<Registry>, n: usize) -> BoxedStrategy<Do> {
    let collection = Arc::clone(&registry.collections()[n]);
    let name = Name::clone(collection.name());
    let on_conflict =
        select(vec![OnConflict::Fail, OnConflict::Skip, OnConflict::Skip, OnConflict::Replace]);
    let create = (vec(record(&collection), 0..4), on_conflict).prop_map({
        let name = Name::clone(&name);
        move |(records, on_conflict)| {
            Do::Step(Step::Create(Create {
                collection: Name::clone(&name),
                records,
                on_conflict,
                placeholders: Vec::new(),
                links: Vec::new(),
            }))
        }
    });
    let update = (filter(registry, n), changes(&collection)).prop_map({
        let name = Name::clone(&name);
        move |(filter, changes)| {
            Do::Step(Step::Update { collection: Name::clone(&name), filter, changes })
        }
    });
    let delete = filter(registry, n)
        .prop_map(move |filter| Do::Step(Step::Delete { collection: Name::clone(&name), filter }));
    let require = (query(registry, n), 0..4_u64)
        .prop_map(|(query, count)| Do::Step(Step::Require { query, count }));
    let change_found =
        (query(registry, n), changes(&collection)).prop_map(|(mut query, changes)| {
            query.select = None;
            Do::ChangeFound(query, changes)
        });
    prop_oneof![
        30 => create,
        30 => update,
        6 => delete,
        6 => query(registry, n).prop_map(|query| Do::Step(Step::Find(query))),
        3 => query(registry, n).prop_map(|query| Do::Step(Step::Count(query))),
        1 => require,
        6 => change_found,
        1 => Just(Do::Abort),
    ]
    .boxed()
}

fn action(registry: &Arc<Registry>) -> BoxedStrategy<Action> {
    let registry = Arc::clone(registry);
    (0..registry.collections().len(), 0..17_u32)
        .prop_flat_map(move |(n, kind)| {
            let count = registry.collections().len();
            match kind {
                0..8 => {
                    let of = Arc::clone(&registry);
                    let steps = (0..count).prop_flat_map(move |n| step(&of, n));
                    (vec(steps, 1..4), prop::bool::weighted(0.2))
                        .prop_map(|(steps, sync)| Action::Execute { steps, sync })
                        .boxed()
                }
                8..12 => query(&registry, n).prop_map(Action::Find).boxed(),
                12..14 => query(&registry, n).prop_map(Action::Count).boxed(),
                14..16 => aggregation(&registry, n).prop_map(Action::Aggregate).boxed(),
                _ => (query(&registry, n), 1..4_u64)
                    .prop_map(|(mut query, size)| {
                        (query.limit, query.offset, query.after, query.select) =
                            (None, 0, None, None);
                        Action::Pages { query, size }
                    })
                    .boxed(),
            }
        })
        .boxed()
}

/// Something to begin with: records that can be created.
fn first(collection: &Arc<Collection>) -> BoxedStrategy<Do> {
    let of = Arc::clone(collection);
    vec(record(collection), 3..9)
        .prop_map(move |records| {
            let mut records: Vec<Record> =
                records.into_iter().map(|record| checked(&of, record)).collect();
            records.retain(|record| of.check_record(&mut record.clone()).is_ok());
            // Of several with the same values of a unique index the first one stays.
            for index in of.indices().iter().filter(|index| index.unique) {
                let mut seen: Vec<Vec<Value>> = Vec::new();
                records.retain(|record| {
                    let values: Vec<Value> =
                        index.fields.iter().map(|at| record.get(*at).clone()).collect();
                    let is_free = values.iter().any(Value::is_null)
                        || !seen.iter().any(|it| storex_core::compare_all(it, &values).is_eq());
                    seen.push(values);
                    is_free
                });
            }
            Do::Step(Step::create_or(Name::clone(of.name()), records, OnConflict::Skip))
        })
        .boxed()
}

/// Scripts: a schema, some objects to begin with, and 4 to 14 actions on them.
pub fn script_strategy() -> impl Strategy<Value = Script> {
    schema().prop_flat_map(|schema| {
        let registry = Arc::new(registry_of(&schema));
        let first: Vec<_> = registry.collections().iter().map(first).collect();
        (first, vec(action(&registry), 4..15)).prop_map(move |(first, mut actions)| {
            actions.insert(0, Action::Execute { steps: first, sync: false });
            Script { schema: schema.clone(), actions }
        })
    })
}
