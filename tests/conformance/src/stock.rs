//! Harnesses behind the middleware that ships with storex: nothing may change for the cases.
//!
//! Each function adds one to every storage that a case opens; where there is something to get wrong, the middleware is
//! given something to do that checks itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use storex_core::{
    Batch, ChangeWatch, Collection, Context, Definition, Error, FieldType, Key, Middleware, Module,
    Name, Next, ObjectImages, Observer, OpenContext, Operation, Outcome, Planned, Query, ReadOnly,
    Record, Result, RetryBusy, Storage, Traced, Validate, Value,
};

use crate::Harness;

/// Behind all of them at once.
#[must_use]
pub fn all(harness: Harness) -> Harness {
    read_only(change_watch(validate(retry_busy(traced(harness)))))
}

/// Behind [`Traced`].
#[must_use]
pub fn traced(harness: Harness) -> Harness {
    harness.middleware(Traced::new)
}

/// Behind [`RetryBusy`].
#[must_use]
pub fn retry_busy(harness: Harness) -> Harness {
    harness.middleware(RetryBusy::default)
}

/// Behind a [`ReadOnly`] that guards a collection of its own, which no case writes.
#[must_use]
pub fn read_only(harness: Harness) -> Harness {
    harness.middleware(|| Locked).middleware(|| ReadOnly::collections([LOCKED]))
}

/// Behind a [`Validate`] with a rule for every collection, which every object keeps.
#[must_use]
pub fn validate(harness: Harness) -> Harness {
    harness.middleware(Everything::default)
}

/// Behind a [`ChangeWatch`] whose observer checks that what it is told fits together.
#[must_use]
pub fn change_watch(harness: Harness) -> Harness {
    harness.middleware(|| ChangeWatch::new(Consistent))
}

/// Behind a middleware that compares what an observer is told with everything that is in the database before and after
/// each batch. For scripts: one batch at a time, and few objects.
#[must_use]
pub fn exact_images(harness: Harness) -> Harness {
    harness.middleware(|| Exact)
}

const LOCKED: &str = "_storex_locked";

/// Brings the collection that nobody writes.
#[derive(Debug)]
struct Locked;

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Locked {
    fn module(&self) -> Module {
        let locked = Definition::new(LOCKED).field("id", FieldType::Int).primary_key(["id"]);
        Module::new("locked").collection(locked.reserved())
    }

    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        next.run(cx, operation).await
    }
}

/// Rules for all collections that are there when the storage is opened.
#[derive(Debug, Default)]
struct Everything(OnceLock<Validate>);

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Everything {
    async fn open(&self, cx: &OpenContext<'_>) -> Result<()> {
        let names = cx.registry.collections().iter().map(|collection| collection.name());
        let rules = names.fold(Validate::new(), |rules, name| {
            rules.check(Name::clone(name), |object| match object.get("nothing has this name") {
                Value::Null => Ok(()),
                _ => Err("a field that is not there was found".to_owned()),
            })
        });
        rules.open(cx).await?;
        self.0.set(rules).map_err(|_| Error::Closed)
    }

    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        self.0.get().ok_or(Error::Closed)?.process(cx, operation, next).await
    }
}

/// Panics when what it is told cannot be.
struct Consistent;

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Observer for Consistent {
    fn before(&self, planned: &Planned<'_>) -> Result<()> {
        assert_eq!(planned.step.collection(), Some(planned.collection.name()));
        Ok(())
    }

    fn after(&self, collection: &Collection, changes: &[ObjectImages]) -> Result<()> {
        for images in changes {
            assert_eq!(images.collection, *collection.name());
            assert!(images.before.is_some() || images.after.is_some());
            for record in images.before.iter().chain(&images.after) {
                assert_eq!(record.values().len(), collection.fields().len());
                assert_eq!(collection.key_of(record), images.key);
            }
        }
        Ok(())
    }

    async fn committed(&self, changes: &[ObjectImages]) {
        let _ = net(changes);
    }
}

/// What a batch has made of each object in the end. One step's image after is the next step's image before.
fn net(changes: &[ObjectImages]) -> HashMap<(Name, Key), (Option<Record>, Option<Record>)> {
    let mut net = HashMap::new();
    for images in changes {
        let object = (Name::clone(&images.collection), images.key.clone());
        let (_, last) = net.entry(object).or_insert((images.before.clone(), images.before.clone()));
        assert_eq!(*last, images.before, "{} {}", images.collection, images.key);
        last.clone_from(&images.after);
    }
    net
}

type Everywhere = BTreeMap<(Name, Key), Record>;

/// Compares images with the database.
#[derive(Debug)]
struct Exact;

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Exact {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        let Operation::Execute(batch) = operation else { return next.run(cx, operation).await };
        let storage = cx.storage().clone();
        let before = everything(&storage).await?;
        let told: Arc<Mutex<Vec<ObjectImages>>> = Arc::default();
        let tells = Arc::clone(&told);
        let batch: Batch = batch.observed_by(Arc::new(move |changes: &[ObjectImages]| {
            tells.lock().unwrap().extend_from_slice(changes);
        }));
        let outcome = next.run(cx, Operation::Execute(batch)).await;
        let after = everything(&storage).await?;
        let net = net(&told.lock().unwrap());
        assert!(outcome.is_ok() || net.is_empty(), "a batch that failed is told");
        for (object, (was, is)) in &net {
            assert_eq!((was.as_ref(), is.as_ref()), (before.get(object), after.get(object)));
        }
        let untold = before.keys().chain(after.keys()).filter(|object| !net.contains_key(object));
        for object in untold {
            assert_eq!(before.get(object), after.get(object), "{object:?} was not told");
        }
        outcome
    }
}

async fn everything(storage: &Storage) -> Result<Everywhere> {
    let mut all = Everywhere::new();
    for collection in storage.registry().collections().iter().filter(|it| !it.is_reserved()) {
        for record in storage.find(Query::new(Name::clone(collection.name()))).await? {
            all.insert((Name::clone(collection.name()), collection.key_of(&record)), record);
        }
    }
    Ok(all)
}
