//! [`Live`]: the result of a query, now and after each change.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::change_set::{ChangeEvent, ChangeKind, Changes, ObjectChange};
use crate::error::{Error, Result};
use crate::eval::compare_ordered;
use crate::filter::Filter;
use crate::query::{Position, Query};
use crate::record::{Key, Record};
use crate::schema::{Collection, Registry};
use crate::storage::{Storage, WeakStorage};
use crate::value::Name;

/// With more changed objects than this, reading the result again costs less than asking which of them belong to it.
const MOST_ASKED: usize = 500;

/// The pause after a failure that may pass.
const RETRY: Duration = Duration::from_secs(1);

/// The result of a query, now and after each change: [`Storage::live`], [`Select::live`](crate::Select::live),
/// [`DynamicCollection::live`](crate::DynamicCollection::live).
///
/// It does not hold the storage: when all clones of that are gone, it ends.
pub struct Live<T = Record> {
    storage: WeakStorage,
    changes: Changes,
    /// The whole objects, whose keys are needed; the fields asked for are taken out afterwards.
    query: Query,
    select: Option<Vec<Name>>,
    /// The collections on whose objects the result depends.
    depends_on: BTreeSet<Name>,
    object: ObjectOf<T>,
    doubt: Doubt,
    last: Option<Last>,
    failed: Option<Failed>,
}

/// What was read last.
struct Last {
    /// The fields asked for.
    result: Vec<Record>,
    keys: HashSet<Key>,
    /// The last object's place in the order, when there are as many as the query's limit: nothing behind it belongs here.
    end: Option<Position>,
}

/// What a record is given as: the collection, the positions of the record's fields, the record.
type ObjectOf<T> = fn(&Collection, &[usize], &Record) -> Result<T>;

/// Why the last result may not be the result any more.
#[derive(Debug, PartialEq)]
enum Doubt {
    Nothing,
    /// These objects, which are not in the last result, were created or changed.
    Changed(HashSet<Key>),
    Everything,
}

/// How the last reading failed.
#[derive(Debug, Clone, Copy)]
enum Failed {
    /// It may succeed later.
    ForNow,
    /// It may succeed after another change.
    Otherwise,
}

impl Storage {
    /// The result of a query: as it is now, and again after each change of it. Nothing that is written between the two
    /// is missed.
    ///
    /// - The query is read again only when a change can affect its result, and given only when the result is another one.
    ///   Several changes in a row are one result.
    /// - Changes by sync count, and so do those of other tabs and processes on the same database: at once where the backend
    ///   hears of them ([`Backend::tell_changes`](crate::Backend::tell_changes)), else after 100 ms where it can be asked
    ///   ([`Backend::data_version`](crate::Backend::data_version)).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use serde_json::json;
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// use storex_core::{Definition, FieldType, Query, Registry, Storage, field};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storex_core::Result<()> {
    /// # let registry = Registry::builder().collection(Definition::new("note").field("stars", FieldType::Int)).build()?;
    /// # let runtime = Arc::new(TestRuntime::new(1));
    /// # let storage = Storage::builder(MemoryBackend::new(), registry, runtime).open().await?;
    /// let mut best = storage.live(Query::new("note").filter(field("stars").gte(4)));
    /// assert_eq!(best.next().await.transpose()?.map(|notes| notes.len()), Some(0));
    ///
    /// let notes = storage.dynamic("note")?;
    /// notes.create_many(&[json!({"id": "a", "stars": 1}), json!({"id": "b", "stars": 5})]).await?;
    /// assert_eq!(best.next().await.transpose()?.map(|notes| notes.len()), Some(1));
    ///
    /// storage.close().await?;
    /// assert!(best.next().await.is_none());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn live(&self, query: Query) -> Live {
        Live::new(self, query, |_, _, record| Ok(record.clone()))
    }
}

impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("query", &self.query).finish_non_exhaustive()
    }
}

impl<T> Live<T> {
    /// Listens from now on.
    pub(crate) fn new(storage: &Storage, mut query: Query, object: ObjectOf<T>) -> Self {
        let select = query.select.take();
        let depends_on = depends_on(&query, storage.registry());
        Self {
            storage: storage.downgrade(),
            changes: storage.changes(),
            query,
            select,
            depends_on,
            object,
            doubt: Doubt::Everything,
            last: None,
            failed: None,
        }
    }

    /// The result: the first time as it is now, then after each change of it. `None` when the storage is closed or gone.
    ///
    /// Cancel-safe: a future that is dropped has lost nothing; the next one goes on.
    ///
    /// # Errors
    /// What reading fails with. It goes on after an error: it reads again after the next change, and, when the error
    /// [is one that may pass](Error::is_retryable), after a second.
    pub async fn next(&mut self) -> Option<Result<Vec<T>>> {
        loop {
            self.wait().await?;
            while let Some(event) = self.changes.try_next() {
                self.note(event);
            }
            match self.look().await {
                Ok(false) => {}
                Ok(true) => {
                    self.failed = None;
                    return Some(self.give());
                }
                Err(Error::Closed) => return None,
                Err(error) => {
                    let failed =
                        if error.is_retryable() { Failed::ForNow } else { Failed::Otherwise };
                    self.failed = Some(failed);
                    self.doubt = Doubt::Everything;
                    return Some(Err(error));
                }
            }
        }
    }

    /// Returns when there is something to look at; `None` when there never will be.
    async fn wait(&mut self) -> Option<()> {
        let event = match self.failed {
            None if self.doubt != Doubt::Nothing => return Some(()),
            None | Some(Failed::Otherwise) => Some(self.changes.next().await?),
            Some(Failed::ForNow) => {
                let pause = self.storage.upgrade()?.runtime().sleep(RETRY);
                let (mut pause, mut change) = (pin!(pause), pin!(self.changes.next()));
                poll_fn(|cx| match change.as_mut().poll(cx) {
                    Poll::Ready(event) => Poll::Ready(event.map(Some)),
                    Poll::Pending => pause.as_mut().poll(cx).map(|()| Some(None)),
                })
                .await?
            }
        };
        self.failed = None;
        if let Some(event) = event {
            self.note(event);
        }
        Some(())
    }

    fn note(&mut self, event: ChangeEvent) {
        let ChangeEvent::Changed(set) = event else {
            self.doubt = Doubt::Everything;
            return;
        };
        for change in set.changes {
            if self.depends_on.contains(&change.collection) {
                self.note_change(change);
            }
        }
    }

    fn note_change(&mut self, mut change: ObjectChange) {
        let everything = match &self.query.filter {
            // What another collection decides, and what stands before an offset, cannot be seen in the result.
            _ if change.collection != self.query.collection || self.query.offset > 0 => true,
            // What is said of related objects, only the database knows.
            filter if filter.has_related() => true,
            _ if self.is_in_result(&change.keys) => true,
            Filter::Keys(keys) => {
                change.keys.retain(|key| keys.contains(key));
                change.kind != ChangeKind::Deleted && !change.keys.is_empty()
            }
            // It was not in the result, and never will be.
            _ if change.kind == ChangeKind::Deleted => return,
            Filter::All => self.query.after.is_none() && self.query.limit.is_none(),
            _ => false,
        };
        match &mut self.doubt {
            doubt if everything => *doubt = Doubt::Everything,
            Doubt::Everything => {}
            Doubt::Changed(keys) => keys.extend(change.keys),
            doubt @ Doubt::Nothing if !change.keys.is_empty() => {
                *doubt = Doubt::Changed(change.keys.into_iter().collect());
            }
            Doubt::Nothing => {}
        }
    }

    fn is_in_result(&self, keys: &[Key]) -> bool {
        self.last.as_ref().is_none_or(|last| keys.iter().any(|key| last.keys.contains(key)))
    }

    /// Whether the result is another one now; if it has to be read for that, it is read.
    async fn look(&mut self) -> Result<bool> {
        let storage = self.storage.upgrade().ok_or(Error::Closed)?;
        let collection = Arc::clone(storage.registry().collection(&self.query.collection)?);
        if self.last.is_none() {
            self.check(storage.registry())?;
        }
        let changed = match &self.doubt {
            Doubt::Nothing => return Ok(false),
            Doubt::Changed(keys) if keys.len() <= MOST_ASKED => Some(keys.iter().cloned()),
            Doubt::Changed(_) | Doubt::Everything => None,
        };
        if let Some(changed) = changed {
            let query = Query::new(Name::clone(&self.query.collection));
            let changed = storage.find(query.filter(Filter::Keys(changed.collect()))).await?;
            if !self.may_hold(&collection, changed) {
                self.doubt = Doubt::Nothing;
                return Ok(false);
            }
        }
        let whole = storage.find(self.query.clone()).await?;
        self.doubt = Doubt::Nothing;
        let keys = whole.iter().map(|record| collection.key_of(record)).collect();
        let end = whole.last().filter(|_| self.query.limit == Some(whole.len() as u64));
        let end = end.map(|record| self.query.position_of(&collection, record));
        let result = match &self.select {
            None => whole,
            Some(_) => self.project(&collection, whole),
        };
        let is_new = self.last.as_ref().is_none_or(|last| last.result != result);
        self.last = Some(Last { result, keys, end });
        Ok(is_new)
    }

    /// Brings keys and values to their stored form, to be compared with what is told of changes.
    fn check(&mut self, registry: &Registry) -> Result<()> {
        let mut query = Query { select: self.select.clone(), ..self.query.clone() };
        query.check(registry)?;
        query.select = None;

        self.query = query;
        Ok(())
    }

    /// Whether one of these objects, which are not in the last result, belongs to the result now.
    fn may_hold(&self, collection: &Collection, mut changed: Vec<Record>) -> bool {
        let order = self.query.full_order(collection);
        let end = self.last.as_ref().and_then(|last| last.end.as_ref());
        changed.retain(|record| {
            let place = self.query.position_of(collection, record);
            let is_behind = |other: &Position| {
                compare_ordered(&order, &place.values, &other.values) == Ordering::Greater
            };
            self.query.filter.matches(collection, record)
                && self.query.after.as_ref().is_none_or(is_behind)
                && !end.is_some_and(is_behind)
        });
        !changed.is_empty()
    }

    fn project(&self, collection: &Collection, whole: Vec<Record>) -> Vec<Record> {
        let selected = self.selected(collection);
        let fields = |record: Record| {
            Record::new(selected.iter().map(|at| record.get(*at).clone()).collect())
        };
        whole.into_iter().map(fields).collect()
    }

    fn selected(&self, collection: &Collection) -> Vec<usize> {
        Query { select: self.select.clone(), ..self.query.clone() }.selected(collection)
    }

    /// The last result, as objects.
    fn give(&self) -> Result<Vec<T>> {
        let storage = self.storage.upgrade().ok_or(Error::Closed)?;
        let collection = storage.registry().collection(&self.query.collection)?;
        let selected = self.selected(collection);
        let records = self.last.iter().flat_map(|last| &last.result);
        records.map(|record| (self.object)(collection, &selected, record)).collect()
    }
}

/// The collections on whose objects the result of a query depends.
fn depends_on(query: &Query, registry: &Registry) -> BTreeSet<Name> {
    let mut names = BTreeSet::from([Name::clone(&query.collection)]);
    if let Some(collection) = registry.find(&query.collection) {
        query.filter.visit_related(collection, registry, &mut |name| {
            names.insert(Name::clone(name));
        });
    }
    names
}
