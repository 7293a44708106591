//! The filters, queries and aggregations of scripts.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use storex_core::{
    Aggregate, Aggregation, Collection, Comparison, Direction, ElementCondition, FieldType, Filter,
    Name, Query, Registry, TextMatch, field, related,
};

use super::values::{checked, element, field_name, key, named, ordered_name, record, value, words};

/// How far a filter on related objects goes.
const DEPTH: usize = 2;

fn comparisons() -> BoxedStrategy<Comparison> {
    select(vec![
        Comparison::Eq,
        Comparison::Ne,
        Comparison::Lt,
        Comparison::Lte,
        Comparison::Gt,
        Comparison::Gte,
    ])
    .boxed()
}

pub(super) fn filter(registry: &Arc<Registry>, n: usize) -> BoxedStrategy<Filter> {
    filter_to(registry, n, DEPTH)
}

fn filter_to(registry: &Arc<Registry>, n: usize, depth: usize) -> BoxedStrategy<Filter> {
    let collection = &registry.collections()[n];
    let leaf = prop_oneof![
        2 => Just(Filter::All),
        3 => vec(key(collection), 0..5).prop_map(Filter::Keys),
        8 => compare(collection),
        3 => list(collection),
        4 => text(collection),
        2 => search(collection),
        4 => elements(collection),
        4 => related_to(registry, n, depth),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Filter::And),
            vec(inner.clone(), 0..3).prop_map(Filter::Or),
            inner.prop_map(|part| Filter::Not(Box::new(part))),
        ]
    })
    .boxed()
}

fn compare(collection: &Arc<Collection>) -> impl Strategy<Value = Filter> + use<> {
    let of = Arc::clone(collection);
    (any::<Index>(), comparisons()).prop_flat_map(move |(at, op)| {
        let at = at.index(of.fields().len());
        let field = Name::clone(&of.fields()[at].name);
        // JSON is equal or not; it has no order.
        let is_json = matches!(of.fields()[at].field_type, FieldType::Json);
        let op = if is_json && !matches!(op, Comparison::Ne) { Comparison::Eq } else { op };
        value(&of, at).prop_map(move |value| Filter::Compare {
            field: Name::clone(&field),
            op,
            value,
        })
    })
}

fn list(collection: &Arc<Collection>) -> impl Strategy<Value = Filter> + use<> {
    let of = Arc::clone(collection);
    any::<Index>().prop_flat_map(move |at| {
        let at = at.index(of.fields().len());
        let field = Name::clone(&of.fields()[at].name);
        vec(value(&of, at), 0..4)
            .prop_map(move |values| Filter::In { field: Name::clone(&field), values })
    })
}

fn is_text(field_type: &FieldType) -> bool {
    matches!(
        field_type,
        FieldType::Text | FieldType::String | FieldType::Url | FieldType::Dynamic(_)
    )
}

/// The name of a field of such a type, where there is one; now and then of another, which is refused.
fn such(
    collection: &Arc<Collection>,
    is_such: fn(&FieldType) -> bool,
) -> BoxedStrategy<Option<Name>> {
    if !collection.fields().iter().any(|field| is_such(&field.field_type)) {
        return Just(None).boxed();
    }
    prop_oneof![150 => named(collection, is_such), 1 => field_name(collection)]
        .prop_map(Some)
        .boxed()
}

fn text(collection: &Arc<Collection>) -> BoxedStrategy<Filter> {
    let how = select(vec![
        TextMatch::StartsWith,
        TextMatch::StartsWith,
        TextMatch::Includes,
        TextMatch::EqualsIgnoreCase,
        TextMatch::StartsWithIgnoreCase,
        TextMatch::IncludesIgnoreCase,
    ]);
    (such(collection, is_text), how, words())
        .prop_map(|(field, how, text)| match field {
            Some(field) => Filter::Text { field, how, text },
            None => Filter::All,
        })
        .boxed()
}

fn search(collection: &Arc<Collection>) -> BoxedStrategy<Filter> {
    let words = [
        "a", "A", "ab", "a b", "a*", "b* a", "é", "ss", "ß*", "10", "null", "e", "\"a\"", "a OR b",
        "1.0",
    ];
    let words = prop_oneof![60 => select(words.to_vec()), 1 => select(vec!["", "😀"])];
    (such(collection, is_text), words)
        .prop_map(|(field, words)| match field {
            Some(field) => Filter::Search { field, words: words.to_owned() },
            None => Filter::All,
        })
        .boxed()
}

fn elements(collection: &Arc<Collection>) -> BoxedStrategy<Filter> {
    let name = such(collection, |it| matches!(it, FieldType::Json));
    let contains = (name.clone(), element()).prop_map(|(field, value)| match field {
        Some(field) => Filter::Contains { field, value },
        None => Filter::All,
    });
    let size = (name.clone(), 0..4_u64).prop_map(|(field, size)| match field {
        Some(field) => Filter::Size { field, size },
        None => Filter::All,
    });
    let member = option::of(select(vec!["a", "b", "c"]));
    let condition = (member, comparisons(), element()).prop_map(|(member, op, value)| {
        ElementCondition { member: member.map(Name::from), op, value }
    });
    let meets = (name, vec(condition, 0..3)).prop_map(|(field, conditions)| match field {
        Some(field) => Filter::Element { field, conditions },
        None => Filter::All,
    });
    prop_oneof![3 => contains, 1 => size, 3 => meets].boxed()
}

/// The relations of a collection by their names, and which collection is at their other end.
fn ends(registry: &Registry, n: usize) -> Vec<(Name, usize)> {
    let collection = &registry.collections()[n];
    let at = |name: &Name| registry.collections().iter().position(|it| it.name() == name);
    let parents = collection.relations().iter().map(|it| (&it.alias, &it.parent));
    let children = collection.children().iter().map(|it| (&it.reverse_alias, &it.child));
    parents
        .chain(children)
        .filter_map(|(alias, other)| Some((Name::clone(alias), at(other)?)))
        .collect()
}

fn related_to(registry: &Arc<Registry>, n: usize, depth: usize) -> BoxedStrategy<Filter> {
    let ends = ends(registry, n);
    if depth == 0 || ends.is_empty() {
        return Just(Filter::All).boxed();
    }
    let registry = Arc::clone(registry);
    let known = select(ends).prop_flat_map(move |(alias, other)| {
        let inner = filter_to(&registry, other, depth - 1);
        inner.prop_map(move |filter| related(Name::clone(&alias), filter))
    });
    prop_oneof![150 => known, 1 => Just(related("unknown", Filter::All))].boxed()
}

fn direction() -> impl Strategy<Value = Direction> {
    any::<bool>().prop_map(|up| if up { Direction::Ascending } else { Direction::Descending })
}

pub(super) fn query(registry: &Arc<Registry>, n: usize) -> BoxedStrategy<Query> {
    let of = Arc::clone(&registry.collections()[n]);
    let parts = (
        filter(registry, n),
        vec((ordered_name(&of), direction()), 0..3),
        option::weighted(0.3, 0..6_u64),
        prop_oneof![6 => Just(0_u64), 1 => 0..4_u64],
        option::weighted(0.15, record(&of)),
        option::weighted(0.25, vec(field_name(&of), 0..4)),
    );
    parts
        .prop_map(move |(filter, order, limit, offset, after, select)| {
            let mut query = Query::new(Name::clone(of.name())).filter(filter);
            query.order = order;
            query.limit = limit;
            query.offset = offset;
            query.select = select;
            query.after = after.map(|record| query.position_of(&of, &checked(&of, record)));
            query
        })
        .boxed()
}

pub(super) fn aggregation(registry: &Arc<Registry>, n: usize) -> BoxedStrategy<Aggregation> {
    let of = Arc::clone(&registry.collections()[n]);
    let counts =
        |it: &FieldType| matches!(it, FieldType::Int | FieldType::Float | FieldType::Dynamic(_));
    let value = prop_oneof![
        2 => Just(Aggregate::Count),
        3 => ordered_name(&of).prop_map(Aggregate::Min),
        3 => ordered_name(&of).prop_map(Aggregate::Max),
        3 => named(&of, counts).prop_map(Aggregate::Sum),
    ];
    let parts = (filter(registry, n), vec(ordered_name(&of), 0..3), vec(value, 0..4));
    parts
        .prop_map(move |(filter, by, values)| {
            let mut asked = Aggregation::new(Name::clone(of.name())).filter(filter).by(by);
            for value in values {
                if let Aggregate::Sum(name) = &value
                    && !has_exact_sum(&of, name)
                {
                    asked = asked.filter(small(name));
                }
                asked = asked.value(value);
            }
            asked
        })
        .boxed()
}

fn has_exact_sum(collection: &Collection, name: &str) -> bool {
    let at = collection.position(name).map(|at| &collection.fields()[at].field_type);
    !matches!(at, Some(FieldType::Float | FieldType::Dynamic(_)))
}

/// Large floats have another sum in another order, and the order is the backend's own.
fn small(name: &Name) -> Filter {
    let of = || field(Name::clone(name));
    let is_small = of().gte(-100).and(of().lte(100));
    is_small.or(of().is_null())
}
