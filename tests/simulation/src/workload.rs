//! [`Write`]: what the application writes.

use std::fmt;

use storex_core::{
    Batch, Changes, Executed, Filter, OnConflict, Record, Result, Step, StepOutcome, Storage, Value,
};

use crate::random::Random;
use crate::schema::{CHILD, LEFT, NOTE, NOTE_FIELDS, PARENT, RIGHT, TALLY};

/// One transaction of the application.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    /// In every value that it sets, so that a value tells where it comes from.
    pub(crate) number: u64,
    pub(crate) changes: Vec<Edit>,
}

/// A part of a [`Write`].
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    PutNote(u64),
    SetNote { note: u64, fields: Vec<usize> },
    AddStars { note: u64, by: i64 },
    DeleteNote(u64),
    PutPair(u64),
    SetPair(u64),
    DeletePair(u64),
    PutTally(u64),
    Count { tally: u64, by: i64 },
    PutParent(u64),
    PutChild { child: u64, parent: u64 },
    RenameChild(u64),
    DeleteParent(u64),
}

/// How many objects of a kind there are to write to: few, so that devices meet.
pub(crate) const NOTES: u64 = 6;
const PAIRS: u64 = 3;
pub(crate) const TALLIES: u64 = 3;
const PARENTS: u64 = 2;
const CHILDREN: u64 = 4;

impl Write {
    /// The first write of a run: what is never created again.
    pub(crate) fn tallies(number: u64) -> Self {
        Self { number, changes: (0..TALLIES).map(Edit::PutTally).collect() }
    }

    pub(crate) fn draw(number: u64, random: &mut Random) -> Self {
        let changes = match random.below(100) {
            0..60 => vec![note_edit(random)],
            60..70 => (0..random.between(2, 4)).map(|_| note_edit(random)).collect(),
            70..80 => vec![pair_edit(random)],
            80..88 => vec![count(random)],
            88..92 => vec![pair_edit(random), count(random), note_edit(random)],
            _ => vec![family_edit(random)],
        };
        Self { number, changes }
    }

    /// What it adds to the tallies.
    pub(crate) fn tallied(&self) -> Vec<(String, i64)> {
        let counts = self.changes.iter().filter_map(|change| match change {
            Edit::Count { tally, by } => Some((format!("t{tally}"), *by)),
            _ => None,
        });
        counts.collect()
    }

    /// Executes it; tells how many objects it has touched.
    pub(crate) async fn execute(&self, storage: &Storage) -> Result<usize> {
        let batch = self.changes.iter().fold(Batch::new(), |batch, change| self.add(batch, change));
        let outcome = storage.execute(batch).await?;
        Ok(outcome.executed().iter().map(touched).sum())
    }

    fn add(&self, batch: Batch, edit: &Edit) -> Batch {
        let value = |what: &str| Value::from(format!("{what}{}", self.number));
        let put = |batch: Batch, collection: &str, values: Vec<Value>| {
            let records = vec![Record::new(values)];
            batch.step(Step::create_or(collection, records, OnConflict::Replace))
        };
        match edit {
            Edit::PutNote(note) => {
                let values = vec![id('n', *note), value("title"), value("body"), Value::Int(0)];
                put(batch, NOTE, values)
            }
            Edit::SetNote { note, fields } => {
                let changes = fields.iter().fold(Changes::new(), |changes, field| {
                    let field = NOTE_FIELDS[*field];
                    changes.set(field, value(field))
                });
                batch.update(NOTE, Filter::key(id('n', *note)), changes)
            }
            Edit::AddStars { note, by } => {
                let changes = Changes::new().increment("stars", *by);
                batch.update(NOTE, Filter::key(id('n', *note)), changes)
            }
            Edit::DeleteNote(note) => batch.delete(NOTE, Filter::key(id('n', *note))),
            Edit::PutPair(pair) => [LEFT, RIGHT]
                .into_iter()
                .fold(batch, |batch, side| put(batch, side, vec![id('p', *pair), value("both")])),
            Edit::SetPair(pair) => [LEFT, RIGHT].into_iter().fold(batch, |batch, side| {
                let changes = Changes::new().set("value", value("both"));
                batch.update(side, Filter::key(id('p', *pair)), changes)
            }),
            Edit::DeletePair(pair) => [LEFT, RIGHT]
                .into_iter()
                .fold(batch, |batch, side| batch.delete(side, Filter::key(id('p', *pair)))),
            Edit::PutTally(tally) => put(batch, TALLY, vec![id('t', *tally), Value::Int(0)]),
            Edit::Count { tally, by } => {
                let changes = Changes::new().increment("count", *by);
                batch.update(TALLY, Filter::key(id('t', *tally)), changes)
            }
            Edit::PutParent(parent) => put(batch, PARENT, vec![id('f', *parent), value("name")]),
            Edit::PutChild { child, parent } => {
                put(batch, CHILD, vec![id('c', *child), value("name"), id('f', *parent)])
            }
            Edit::RenameChild(child) => {
                let changes = Changes::new().set("name", value("name"));
                batch.update(CHILD, Filter::key(id('c', *child)), changes)
            }
            Edit::DeleteParent(parent) => batch.delete(PARENT, Filter::key(id('f', *parent))),
        }
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "write {} {:?}", self.number, self.changes)
    }
}

fn id(kind: char, number: u64) -> Value {
    Value::from(format!("{kind}{number}"))
}

fn touched(executed: &Executed) -> usize {
    match (&executed.step, &executed.outcome) {
        (Step::Create(create), StepOutcome::Created { skipped }) => {
            create.records.len() - skipped.len()
        }
        (_, StepOutcome::Updated { keys, .. } | StepOutcome::Deleted { keys }) => keys.len(),
        _ => 0,
    }
}

fn note_edit(random: &mut Random) -> Edit {
    let note = random.below(NOTES);
    match random.below(100) {
        0..25 => Edit::PutNote(note),
        25..60 => {
            let fields = match random.below(5) {
                0 => vec![0, 1],
                1 | 2 => vec![1],
                _ => vec![0],
            };
            Edit::SetNote { note, fields }
        }
        60..85 => Edit::AddStars { note, by: random.between(1, 9).cast_signed() },
        _ => Edit::DeleteNote(note),
    }
}

fn pair_edit(random: &mut Random) -> Edit {
    let pair = random.below(PAIRS);
    match random.below(100) {
        0..40 => Edit::PutPair(pair),
        40..85 => Edit::SetPair(pair),
        _ => Edit::DeletePair(pair),
    }
}

fn count(random: &mut Random) -> Edit {
    let by = match random.either_way(20) {
        0 => 1,
        by => by,
    };
    Edit::Count { tally: random.below(TALLIES), by }
}

fn family_edit(random: &mut Random) -> Edit {
    let (child, parent) = (random.below(CHILDREN), random.below(PARENTS));
    match random.below(100) {
        0..30 => Edit::PutParent(parent),
        30..65 => Edit::PutChild { child, parent },
        65..85 => Edit::RenameChild(child),
        _ => Edit::DeleteParent(parent),
    }
}
