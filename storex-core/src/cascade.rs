//! What a delete brings with it: objects that point to what is deleted.

use std::collections::HashSet;

use crate::batch::Step;
use crate::changes::Changes;
use crate::filter::{Comparison, Filter};
use crate::query::Query;
use crate::record::{Key, Record};
use crate::schema::{Collection, OnDelete, Referrer};
use crate::value::{Name, Value};

/// The objects that are being deleted in this batch: a circle of references ends here.
pub(crate) type Deleting = HashSet<(Name, Key)>;

/// The first part of a delete that may bring others with it: finds what it is about.
pub(crate) fn find(collection: &Collection, filter: Filter) -> Step {
    Step::Find(Query::new(Name::clone(collection.name())).filter(filter))
}

/// The second part: deletes or changes what points to the objects found, and then deletes these. Gives the steps for the
/// others, and the keys to delete at last.
pub(crate) fn follow(
    collection: &Collection,
    found: &[Record],
    deleting: &mut Deleting,
) -> (Vec<Step>, Vec<Key>) {
    let mut keys = Vec::new();
    let mut fresh = Vec::new();
    for record in found {
        let key = collection.key_of(record);
        if deleting.insert((Name::clone(collection.name()), key.clone())) {
            keys.push(key);
            fresh.push(record);
        }
    }
    let steps =
        collection.referrers().iter().filter_map(|referrer| step(referrer, &fresh)).collect();
    (steps, keys)
}

fn step(referrer: &Referrer, deleted: &[&Record]) -> Option<Step> {
    let filter = pointing(referrer, deleted)?;
    let collection = Name::clone(&referrer.child);
    Some(match referrer.on_delete {
        OnDelete::Cascade => Step::Delete { collection, filter },
        OnDelete::SetNull => {
            let changes = referrer
                .fields
                .iter()
                .fold(Changes::new(), |changes, field| changes.unset(Name::clone(field)));
            Step::Update { collection, filter, changes }
        }
        // Looked at when the batch has come to its end.
        OnDelete::Restrict => return None,
    })
}

/// The objects that point to one of these; a null points to nothing.
pub(crate) fn pointing(referrer: &Referrer, deleted: &[&Record]) -> Option<Filter> {
    let target = |record: &Record| -> Option<Vec<Value>> {
        let values: Vec<Value> = referrer.target.iter().map(|at| record.get(*at).clone()).collect();
        if values.iter().any(Value::is_null) { None } else { Some(values) }
    };
    let targets: Vec<Vec<Value>> = deleted.iter().filter_map(|record| target(record)).collect();
    if targets.is_empty() {
        return None;
    }
    if let [field] = referrer.fields.as_slice() {
        let values = targets.into_iter().flatten().collect();
        return Some(Filter::In { field: Name::clone(field), values });
    }
    let equal = |values: Vec<Value>| {
        let parts = referrer.fields.iter().zip(values).map(|(field, value)| Filter::Compare {
            field: Name::clone(field),
            op: Comparison::Eq,
            value,
        });
        Filter::And(parts.collect())
    };
    Some(Filter::Or(targets.into_iter().map(equal).collect()))
}
