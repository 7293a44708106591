//! Writing: the steps of a batch inside its transaction.
//!
//! Requests that write are sent without awaiting each. Before the batch commits, and before it says what a continuation
//! refused with, the last of them is awaited: requests are answered in the order in which they were sent.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use js_sys::Object;
use storex_core::{
    BatchRun, Changes, Create, Error, Filter, Key, Name, OnConflict, Record, Result, Step,
    StepOutcome, Value, apply_changes,
};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Event, IdbObjectStore, IdbRequest, IdbRequestReadyState};

use crate::error::{self, BACKEND};
use crate::layout::{self, IndexForm, KeyForm, Store, Stores};
use crate::native;
use crate::order_code;
use crate::raw::{DomError, Request, Transaction};
use crate::read::{Reading, Row};

/// So many requests are on their way before their answers are awaited: the browser keeps each until then.
const MOST_SENT: usize = 4096;

/// One batch.
pub(crate) struct Writing<'t> {
    transaction: &'t Transaction,
    stores: &'t Stores,
    sent: Vec<Sent>,
    failed: Failed,
    _on_error: Closure<dyn FnMut(Event)>,
}

/// The first request that nobody looked at and that failed.
type Failed = Rc<RefCell<Option<IdbRequest>>>;

/// A request on its way.
struct Sent {
    request: IdbRequest,
    operation: &'static str,
    store: Arc<Store>,
    /// The key, and whether it must not be there.
    key: Key,
    adds: bool,
    /// What it writes, to find out which rule of uniqueness it breaks.
    object: Option<Object>,
}

impl<'t> Writing<'t> {
    pub(crate) fn new(transaction: &'t Transaction, stores: &'t Stores) -> Self {
        let failed = Failed::default();
        let on_error = Closure::<dyn FnMut(Event)>::new({
            let failed = Rc::clone(&failed);
            move |event: Event| note(&failed, &event)
        });
        transaction.on_error(Some(on_error.as_ref().unchecked_ref()));
        Self { transaction, stores, sent: Vec::new(), failed, _on_error: on_error }
    }

    /// Runs a batch to its end; what it has sent has succeeded then.
    pub(crate) async fn run(&mut self, run: &mut BatchRun) -> Result<()> {
        loop {
            let outcome = match run.next_step() {
                Ok(None) => return self.settle().await,
                Ok(Some(step)) => self.execute(step).await,
                Err(refused) => {
                    // A write that failed before comes first.
                    self.settle().await?;
                    return Err(refused);
                }
            };
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(error) => {
                    self.settle().await?;
                    return Err(error);
                }
            };
            if let Err(refused) = run.record(outcome) {
                self.settle().await?;
                return Err(refused);
            }
            tracing::trace!(target: "storex::step", step = "indexeddb.step");
        }
    }

    async fn execute(&mut self, step: &Step) -> Result<StepOutcome> {
        match step {
            Step::Create(create) => self.create(create).await,
            Step::Update { collection, filter, changes } => {
                self.update(collection, filter, changes).await
            }
            Step::Delete { collection, filter } => self.delete(collection, filter).await,
            Step::Find(query) => {
                let store = self.store(&query.collection)?;
                let found = Reading::new(self.transaction, &store)?.find(query).await?;
                // What a write before it has failed with comes before what was found without it.
                self.settle_failed().await?;
                Ok(StepOutcome::Found(found))
            }
            Step::Count(query) => {
                let store = self.store(&query.collection)?;
                let counted = Reading::new(self.transaction, &store)?.count(query).await?;
                self.settle_failed().await?;
                Ok(StepOutcome::Counted(counted))
            }
            _ => Err(unknown_step()),
        }
    }

    fn store(&self, name: &Name) -> Result<Arc<Store>> {
        layout::store(self.stores, name)
    }

    async fn create(&mut self, create: &Create) -> Result<StepOutcome> {
        let store = self.store(&create.collection)?;
        let reading = Reading::new(self.transaction, &store)?;
        let keys: Vec<Key> =
            create.records.iter().map(|record| store.collection.key_of(record)).collect();
        if create.on_conflict == OnConflict::Replace && self.sent.iter().any(|it| it.adds) {
            // What has failed must not be looked into after this has written over it.
            self.settle().await?;
        }
        // An adopted object may have more properties than we know: they stay.
        let keeps = create.on_conflict == OnConflict::Replace && store.collection.is_adopted();
        if create.on_conflict == OnConflict::Skip || keeps {
            return self.create_seeing(create, &store, &reading, keys).await;
        }
        let adds = create.on_conflict == OnConflict::Fail;
        for (record, key) in create.records.iter().zip(keys) {
            self.put(&store, &reading.objects, store.to_js(record), record, key, adds).await?;
        }
        Ok(StepOutcome::Created { skipped: Vec::new() })
    }

    /// A create that depends on what is there.
    async fn create_seeing(
        &mut self,
        create: &Create,
        store: &Arc<Store>,
        reading: &Reading<'_>,
        keys: Vec<Key>,
    ) -> Result<StepOutcome> {
        let mut there: std::collections::HashMap<Key, Option<JsValue>> = reading
            .by_keys(&keys)
            .await?
            .into_iter()
            .map(|row| (store.collection.key_of(&row.record), Some(row.object)))
            .collect();
        let mut skipped = Vec::new();
        for (at, (record, key)) in create.records.iter().zip(keys).enumerate() {
            let known = there.get(&key).cloned();
            match (known, create.on_conflict) {
                (Some(_), OnConflict::Skip) => skipped.push(at),
                (Some(Some(object)), _) => {
                    let object: Object = object.unchecked_into();
                    for (at, value) in record.values().iter().enumerate() {
                        store.set(&object, at, value);
                    }
                    self.put(store, &reading.objects, object, record, key, false).await?;
                }
                _ => {
                    there.insert(key.clone(), None);
                    self.put(store, &reading.objects, store.to_js(record), record, key, false)
                        .await?;
                }
            }
        }
        Ok(StepOutcome::Created { skipped })
    }

    async fn update(
        &mut self,
        collection: &Name,
        filter: &Filter,
        changes: &Changes,
    ) -> Result<StepOutcome> {
        let store = self.store(collection)?;
        let reading = Reading::new(self.transaction, &store)?;
        let rows = reading.matching(filter).await?;
        self.settle_failed().await?;
        let changed: Vec<usize> = changes
            .iter()
            .map(|(name, _)| store.collection.require(name))
            .collect::<Result<_>>()?;
        let mut keys = Vec::with_capacity(rows.len());
        let mut records = Vec::new();
        let mut unchanged = Vec::new();
        for Row { object, mut record } in rows {
            let key = store.collection.key_of(&record);
            let idle = apply_changes(&store.collection, changes, &mut record)?;
            unchanged.extend(idle.into_iter().map(|field| (keys.len(), field)));
            let object: Object = object.unchecked_into();
            for at in &changed {
                store.set(&object, *at, record.get(*at));
            }
            store.set_entries_of(&object, &record, &changed);
            self.put(&store, &reading.objects, object, &record, key.clone(), false).await?;
            keys.push(key);
            if changes.tells_objects() {
                records.push(record);
            }
        }
        Ok(StepOutcome::Updated { keys, records, unchanged })
    }

    async fn delete(&mut self, collection: &Name, filter: &Filter) -> Result<StepOutcome> {
        let store = self.store(collection)?;
        let reading = Reading::new(self.transaction, &store)?;
        let rows = reading.matching(filter).await?;
        self.settle_failed().await?;
        let mut keys = Vec::with_capacity(rows.len());
        for row in rows {
            let key = store.collection.key_of(&row.record);
            let Some(own) = store.key_to_js(&key) else { continue };
            let sent = reading.objects.delete(&own);
            self.send("delete", &store, key.clone(), false, None, sent).await?;
            keys.push(key);
        }
        Ok(StepOutcome::Deleted { keys })
    }

    async fn put(
        &mut self,
        store: &Arc<Store>,
        objects: &IdbObjectStore,
        object: Object,
        record: &Record,
        key: Key,
        adds: bool,
    ) -> Result<()> {
        check_indexable(store, record)?;
        let beside = if store.key == KeyForm::Native { None } else { Some(own_key(store, &key)?) };
        let sent = match (beside, adds) {
            (Some(own), true) => objects.add_with_key(&object, &own),
            (Some(own), false) => objects.put_with_key(&object, &own),
            (None, true) => objects.add(&object),
            (None, false) => objects.put(&object),
        };
        let operation = if adds { "create" } else { "update" };
        let unique =
            store.indices.iter().any(|index| index.unique) || store.collection.is_adopted();
        self.send(operation, store, key, adds, unique.then_some(object), sent).await
    }

    async fn send(
        &mut self,
        operation: &'static str,
        store: &Arc<Store>,
        key: Key,
        adds: bool,
        object: Option<Object>,
        sent: std::result::Result<IdbRequest, JsValue>,
    ) -> Result<()> {
        let request = sent.map_err(|thrown| {
            error::failed(operation, Some(store.collection.name()), DomError::from(thrown))
        })?;
        self.sent.push(Sent { request, operation, store: Arc::clone(store), key, adds, object });
        if self.sent.len() >= MOST_SENT { self.settle().await } else { Ok(()) }
    }

    /// What was sent before a read is answered by then: says what of it failed.
    async fn settle_failed(&mut self) -> Result<()> {
        if self.failed.borrow().is_some() { self.settle().await } else { Ok(()) }
    }

    /// Waits for what was sent; the error says what of it failed.
    async fn settle(&mut self) -> Result<()> {
        if self.failed.borrow().is_none()
            && let Some(last) = self.sent.last()
            && last.request.ready_state() == IdbRequestReadyState::Pending
        {
            // Looked at here, or noted by the listener: either way its failure keeps the transaction alive.
            if let Ok(answer) = Request::of(Ok(last.request.clone()))
                && answer.await.is_err()
            {
                let request = last.request.clone();
                self.failed.borrow_mut().get_or_insert(request);
            }
        }
        let failed = self.failed.borrow().clone();
        let Some(failed) = failed else {
            self.sent.clear();
            return Ok(());
        };
        let error = match failed.error() {
            Ok(Some(error)) => DomError::from(JsValue::from(error)),
            _ => DomError::null("a request failed without an error"),
        };
        // Why the transaction was given up comes before what that did to the request.
        let error = if error.is("AbortError") {
            self.transaction.failure().unwrap_or(error)
        } else {
            error
        };
        Err(self.explain(&failed, error).await)
    }

    /// What a failed request was about, and which rule it broke.
    async fn explain(&self, failed: &IdbRequest, source: DomError) -> Error {
        let Some(sent) = self.sent.iter().find(|sent| sent.request == *failed) else {
            return error::failed("write", None, source);
        };
        if !source.is("ConstraintError") {
            return error::failed(sent.operation, Some(sent.store.collection.name()), source);
        }
        match self.broken_rule(sent).await {
            Ok(Some(error)) => error,
            // The look did not tell which.
            _ => Error::ConstraintViolation {
                collection: Name::clone(sent.store.collection.name()),
                reason: source.message,
            },
        }
    }

    /// Looks who else is there: browsers say so in words of their own, or not at all.
    async fn broken_rule(&self, sent: &Sent) -> std::result::Result<Option<Error>, DomError> {
        let store = &sent.store;
        let objects = self.transaction.store(&store.name)?;
        let Some(own) = store.key_to_js(&sent.key) else { return Ok(None) };
        if sent.adds && !Request::of(objects.get_key(&own))?.await?.is_undefined() {
            return Ok(Some(Error::AlreadyExists {
                collection: Name::clone(store.collection.name()),
                key: sent.key.to_string(),
            }));
        }
        let Some(object) = &sent.object else { return Ok(None) };
        let Ok(record) = store.of_js(object, Some(&own)) else { return Ok(None) };
        for index in store.indices.iter().filter(|index| index.unique) {
            let entry = match &index.form {
                IndexForm::Encoded(_) | IndexForm::Words(_) => {
                    Some(order_code::entry(&store.entry(index, &record)))
                }
                IndexForm::Native => {
                    let values: Vec<Value> =
                        index.fields.iter().map(|at| record.get(*at).clone()).collect();
                    native::key(&values)
                }
            };
            let Some(entry) = entry else { continue };
            let holder = Request::of(store.live_index(&objects, index)?.get_key(&entry))?.await?;
            if !holder.is_undefined() && crate::raw::factory()?.cmp(&holder, &own)? != 0 {
                return Ok(Some(Error::UniqueViolation {
                    collection: Name::clone(store.collection.name()),
                    index: store.label(index),
                    values: index.fields.iter().map(|at| record.get(*at).clone()).collect(),
                }));
            }
        }
        Ok(None)
    }
}

/// A batch has kinds of steps that no backend sees, and may have further ones. (The step itself is not shown: what it
/// takes to print one is a good part of what a page would load.)
pub(crate) fn unknown_step() -> Error {
    Error::Unsupported { backend: BACKEND, what: "a step of this kind".to_owned() }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // The function goes with this value, and requests that are given up still tell of it.
        self.transaction.on_error(None);
    }
}

/// Notes a request whose failure nobody looked at, and keeps its transaction alive: we roll back ourselves, once we know
/// which rule was broken.
fn note(failed: &Failed, event: &Event) {
    let request = event.target().and_then(|target| target.dyn_into::<IdbRequest>().ok());
    if let Some(request) = request {
        event.prevent_default();
        failed.borrow_mut().get_or_insert(request);
    }
}

fn own_key(store: &Store, key: &Key) -> Result<JsValue> {
    store.key_to_js(key).ok_or_else(|| {
        Error::invalid(
            store.collection.name(),
            format!("IndexedDB has no key for {key}; use a text or bytes"),
        )
    })
}

/// In an adopted store the keys of indices are the values themselves. What IndexedDB has no key for is not in the index,
/// and would not be found; null is left out by intent.
fn check_indexable(store: &Store, record: &Record) -> Result<()> {
    if !store.collection.is_adopted() {
        return Ok(());
    }
    let key = store.collection.primary_key().iter();
    for at in store.indices.iter().flat_map(|index| &index.fields).chain(key) {
        let value = record.get(*at);
        let has_none =
            matches!(value, Value::Int(_) | Value::Timestamp(_)) && native::part(value).is_none();
        if has_none {
            let field = store.collection.fields().get(*at).map_or("?", |field| &field.name);
            return Err(Error::InvalidValue {
                collection: Name::clone(store.collection.name()),
                field: field.into(),
                reason: "is beyond what the index of the adopted store can hold (2^53, or the year 275760); for new keys choose KeyGenerator::Int53".to_owned(),
            });
        }
    }
    Ok(())
}
