//! Putting back what was lost.

use std::sync::Arc;

use storex_core::{
    Batch, Changes, Collection, Filter, Key, Name, Query, Record, Step, Timestamp, Value,
};

use super::list::{key, number};
use super::{
    CONFLICTS, Conflict, ConflictId, ConflictJournal, ConflictQuery, Content, NotedConflict,
};
use crate::clock::Clock;
use crate::clock_rows::{clock_key, read_clock_rows};
use crate::error::{Result, SyncError};
use crate::failure::Failure;
use crate::key_code;
use crate::log::CLOCK;
use crate::meta::{DEVICES, Devices, Numbers, read_meta};

impl ConflictJournal {
    /// Puts back what was lost, and takes the conflict out of the journal: the field gets the value that gave way (with the fields that
    /// [change together](crate::SyncLog::together) with it), or the object that was deleted is created again with what is known of it. That is a write like any other: it is logged, and reaches all
    /// devices.
    ///
    /// Cancel-safe: it happens or not.
    ///
    /// # Errors
    /// [`SyncError::CannotUndo`] when the field was changed since, the object is gone (or there again), or not enough is known
    /// of it; [`SyncError::Storage`], if a rule of the database refuses the value, say. Nothing was changed then, and the
    /// conflict stays in the journal.
    pub async fn undo(&self, conflict: ConflictId) -> Result<()> {
        self.resolve(conflict, None).await
    }

    /// Gives the field a third value instead of the two that were written, and takes the conflict out of the journal.
    ///
    /// # Errors
    /// As [`ConflictJournal::undo`]; also if the conflict is about a whole object.
    pub async fn replace(&self, conflict: ConflictId, value: impl Into<Value>) -> Result<()> {
        self.resolve(conflict, Some(value.into())).await
    }

    /// The conflicts of the other fields that change together with this one's: they have lost together.
    async fn companions(&self, conflict: &Conflict) -> Result<Vec<NotedConflict>> {
        let group = conflict
            .field
            .as_deref()
            .and_then(|field| self.replica.merging.group(&conflict.collection, field));
        let Some(group) = group else { return Ok(Vec::new()) };
        let query = ConflictQuery::new()
            .object(Name::clone(&conflict.collection), conflict.key.clone())
            .limit(u64::from(u32::MAX));
        let mut noted = self.list(&query).await?;
        noted.retain(|NotedConflict { conflict: other, .. }| {
            let fits = other.field.as_ref().is_some_and(|field| group.contains(field));
            let together =
                other.won.stamp == conflict.won.stamp && other.lost.stamp == conflict.lost.stamp;
            fits && together && other.field != conflict.field
        });
        Ok(noted)
    }

    async fn resolve(&self, id: ConflictId, value: Option<Value>) -> Result<()> {
        let refuse = |reason: String| SyncError::CannotUndo { conflict: id.0, reason };
        let noted = self.get(id).await?;
        let conflict = noted.ok_or_else(|| refuse("it is not in the journal".into()))?.conflict;
        let companions = match value {
            None => self.companions(&conflict).await?,
            Some(_) => Vec::new(),
        };
        let storage = &self.replica.storage;
        let name = Name::clone(&conflict.collection);
        let (Some(collection), Some(numbers)) =
            (storage.registry().find(&name), self.replica.numbers.get(&name))
        else {
            return Err(refuse(format!("collection `{name}` is not known here")));
        };
        let code = key_code::encode(conflict.key.values());
        let clocks = Filter::Keys(vec![clock_key(numbers.collection, code)]);
        let row = Query::new(name).filter(Filter::Keys(vec![conflict.key.clone()]));
        let undo = Undo {
            collection: Arc::clone(collection),
            numbers: Arc::clone(numbers),
            now: storage.runtime().now(),
            conflict,
            value,
            companions: companions.iter().map(|it| it.conflict.clone()).collect(),
        };
        let ids = companions.iter().map(|it| it.id).chain([id]);
        let done = Filter::Keys(ids.map(|id| Key::single(number(id))).collect());
        let failure = Failure::default();
        let batch = {
            let failure = failure.clone();
            Batch::new()
                .find(Query::new(CONFLICTS).filter(key(id)))
                .step(read_meta(&[DEVICES]))
                .find(Query::new(CLOCK).filter(clocks))
                .find(row)
                .then(move |trace| {
                    let there = !trace.found(3).is_empty();
                    let write =
                        undo.write(there, trace.found(2), trace.found(1), trace.found(0).first());
                    let write = failure.keep(write.map_err(|problem| match problem {
                        Problem::Refused(reason) => {
                            SyncError::CannotUndo { conflict: id.0, reason }
                        }
                        Problem::Error(error) => error,
                    }))?;
                    let done = Step::Delete { collection: CONFLICTS.into(), filter: done.clone() };
                    Ok(vec![write, done])
                })
        };
        failure.or(storage.execute(batch).await, "putting back what was lost").map(drop)
    }
}

/// What is to be put back.
struct Undo {
    collection: Arc<Collection>,
    numbers: Arc<Numbers>,
    now: Timestamp,
    conflict: Conflict,
    /// Instead of what was lost.
    value: Option<Value>,
    /// What was lost of the fields that change together with this one.
    companions: Vec<Conflict>,
}

enum Problem {
    Refused(String),
    Error(SyncError),
}

impl From<SyncError> for Problem {
    fn from(error: SyncError) -> Self {
        Self::Error(error)
    }
}

fn refused(reason: impl Into<String>) -> Problem {
    Problem::Refused(reason.into())
}

impl Undo {
    /// The write that puts it back.
    fn write(
        &self,
        there: bool,
        meta: &[Record],
        clocks: &[Record],
        row: Option<&Record>,
    ) -> Result<Step, Problem> {
        if !there {
            return Err(refused("it is not in the journal any more"));
        }
        let clock = read_clock_rows(clocks, &Devices::among(meta)?)?.into_values().next();
        match (&self.conflict.field, &self.conflict.lost.content) {
            (Some(field), Content::Value(lost)) => {
                let value = self.value.as_ref().unwrap_or(lost);
                self.set(field, value.clone(), &clock.unwrap_or_else(Clock::unstamped), row)
            }
            (None, _) if self.value.is_some() => {
                Err(refused("it is about an object, and not about a field's value"))
            }
            (None, Content::Object(fields)) => self.create(fields, row),
            _ => Err(refused("nothing was lost")),
        }
    }

    fn set(
        &self,
        name: &Name,
        value: Value,
        clock: &Clock,
        row: Option<&Record>,
    ) -> Result<Step, Problem> {
        let row = row.ok_or_else(|| refused("the object is gone"))?;
        let at = self.collection.position(name);
        let at = at.ok_or_else(|| refused(format!("field `{name}` is not known here")))?;
        let number = self.numbers.fields.get(at).copied();
        let number = number.ok_or_else(|| refused(format!("field `{name}` is not synced")))?;
        let won = &self.conflict.won;
        // An increment leaves the stamp as it is.
        let contributed = clock.counter(number).is_some() || clock.state(number).is_some();
        let counted = contributed && won.content.value() != Some(row.get(at));
        if clock.stamp(number) != won.stamp || counted {
            return Err(refused(format!("field `{name}` was changed since")));
        }
        Ok(Step::Update {
            collection: Name::clone(self.collection.name()),
            filter: Filter::Keys(vec![self.conflict.key.clone()]),
            changes: self.companions.iter().fold(
                Changes::new().set(Name::clone(name), value),
                |changes, other| match (&other.field, &other.lost.content) {
                    (Some(field), Content::Value(value)) => {
                        changes.set(Name::clone(field), value.clone())
                    }
                    _ => changes,
                },
            ),
        })
    }

    fn create(&self, known: &[(Name, Value)], row: Option<&Record>) -> Result<Step, Problem> {
        if row.is_some() {
            return Err(refused("the object is there again"));
        }
        let mut record = self.collection.blank_record(self.now);
        let key = self.collection.primary_key().iter().zip(self.conflict.key.values());
        key.for_each(|(at, value)| record.set(*at, value.clone()));
        for (name, value) in known {
            // A field that the schema has lost since needs no value.
            if let Some(at) = self.collection.position(name) {
                record.set(at, value.clone());
            }
        }
        let fields = self.collection.fields().iter().enumerate();
        let mut missing = fields.filter(|(at, field)| !field.nullable && record.get(*at).is_null());
        if let Some((_, field)) = missing.next() {
            let name = &field.name;
            return Err(refused(format!(
                "the object is gone, and the value of its field `{name}` is not known here"
            )));
        }
        Ok(Step::create(Name::clone(self.collection.name()), vec![record]))
    }
}
