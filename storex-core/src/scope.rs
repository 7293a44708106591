//! Which collections a batch may touch: what its transaction has to cover.

use std::collections::BTreeSet;

use crate::batch::{Batch, Origin, Step};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::schema::{Collection, OnDelete, Registry};
use crate::value::Name;

/// What the steps name, what the batch declares for its continuations, and what a delete of either brings with it.
pub(crate) fn of(batch: &Batch, registry: &Registry) -> BTreeSet<Name> {
    let named = batch.steps.iter().filter_map(Step::collection);
    let mut scope: BTreeSet<Name> = named.chain(&batch.touching).map(Name::clone).collect();
    for step in &batch.steps {
        let collection = step.collection().and_then(|name| registry.find(name));
        if let (Some(collection), Some(filter)) = (collection, step.filter()) {
            filter.visit_related(collection, registry, &mut |name| {
                scope.insert(Name::clone(name));
            });
        }
    }
    // What a delete brings with it has been logged, so a batch of sync holds it already.
    if batch.origin == Origin::Local {
        let deleted = batch.steps.iter().filter_map(|step| match step {
            Step::Delete { collection, .. } => Some(collection),
            _ => None,
        });
        let mut followed = BTreeSet::new();
        for collection in deleted.chain(&batch.touching) {
            follow(collection, registry, &mut followed, &mut scope);
        }
        let written: Vec<Name> = scope.iter().cloned().collect();
        for collection in written.iter().filter_map(|name| registry.find(name)) {
            let kept = collection.relations().iter().filter(|it| it.on_delete.is_some());
            scope.extend(kept.map(|relation| Name::clone(&relation.parent)));
        }
    }
    scope
}

fn follow(
    collection: &Name,
    registry: &Registry,
    followed: &mut BTreeSet<Name>,
    scope: &mut BTreeSet<Name>,
) {
    // A step that names an unknown collection is refused when it comes.
    let Ok(schema) = registry.collection(collection) else { return };
    if !followed.insert(Name::clone(collection)) {
        return;
    }
    for referrer in schema.referrers() {
        scope.insert(Name::clone(&referrer.child));
        if referrer.on_delete == OnDelete::Cascade {
            follow(&referrer.child, registry, followed, scope);
        }
    }
}

/// Refuses a delete that may bring others with it which are outside the scope, whether there are any or not.
pub(crate) fn check_delete(
    scope: &BTreeSet<Name>,
    collection: &Collection,
    registry: &Registry,
) -> Result<()> {
    let mut brought = BTreeSet::new();
    follow(collection.name(), registry, &mut BTreeSet::new(), &mut brought);
    brought.iter().try_for_each(|name| check(scope, registry.collection(name)?))
}

/// Refuses a filter on related objects which are outside the scope: only a continuation can bring one.
pub(crate) fn check_filter(
    scope: &BTreeSet<Name>,
    collection: &Collection,
    filter: &Filter,
    registry: &Registry,
) -> Result<()> {
    let mut related = Vec::new();
    filter.visit_related(collection, registry, &mut |name| related.push(Name::clone(name)));
    related.iter().try_for_each(|name| check(scope, registry.collection(name)?))
}

/// Refuses a step outside the scope: only a continuation can bring one.
pub(crate) fn check(scope: &BTreeSet<Name>, collection: &Collection) -> Result<()> {
    if scope.contains(collection.name()) {
        return Ok(());
    }
    let name = collection.name();
    let reason = format!(
        "a continuation of the batch touches it (or deletes what it points to), which the batch does not name; add `.touching([\"{name}\"])`"
    );
    Err(Error::invalid(name, reason))
}
