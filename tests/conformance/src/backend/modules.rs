//! Modules: collections, their history and named operations as one bundle.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use storex_core::{
    AutoPk, Batch, Changes, Context, Definition, Error, ErrorKind, FieldType, Filter, Middleware,
    Module, Next, Operation, OperationHandler, Outcome, Query, Result, SchemaVersion, Storage,
};

use crate::Harness;
use crate::support::{OBJECT, numbered, record, records, refused, registry};

async fn try_open(h: &Harness, modules: Vec<Module>) -> Result<Storage> {
    let builder = Storage::builder(h.backend(), registry([numbered()]), h.shared_runtime());
    modules.into_iter().fold(builder, |builder, module| builder.module(module)).open().await
}

/// An operation that gives its own name.
struct Echo(&'static str);

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl OperationHandler for Echo {
    async fn call(&self, _: &Storage, arguments: Json) -> Result<Json> {
        Ok(json!([self.0, arguments]))
    }
}

pub async fn collections_with_their_history(h: Harness) {
    let tag = || Definition::new("tag").field("id", FieldType::Int).primary_key(["id"]);
    let module = Module::new("tags")
        .collection(tag())
        .collections([tag().version(2).optional("colour", FieldType::String)]);
    let storage = try_open(&h, vec![module]).await.unwrap();
    let tags = storage.dynamic("tag").unwrap();
    tags.create(json!({ "id": 1, "colour": "red" })).await.unwrap();
    assert_eq!(tags.get(1).await.unwrap(), Some(json!({ "id": 1, "colour": "red" })));
    assert_eq!(storage.registry().version(), SchemaVersion(2));
    let first = storage.registry().at_version(SchemaVersion(1));
    assert!(first.contains_key("tag"));
}

/// storex-facts 1.15, case 6.
pub async fn a_named_operation(h: Harness) {
    let module =
        Module::new("numbers").operation("double-all", |storage: Storage, by: Json| async move {
            let by = by.as_i64().ok_or(Error::Aborted { reason: "a number".to_owned() })?;
            let changes = Changes::new().increment("n", by);
            storage.execute(Batch::new().update(OBJECT, Filter::All, changes)).await?;
            Ok(json!(storage.count(Query::new(OBJECT)).await?))
        });
    let storage = try_open(&h, vec![module]).await.unwrap();
    storage.execute(Batch::new().create(OBJECT, vec![record![1, 1], record![2, 2]])).await.unwrap();
    assert_eq!(storage.custom("double-all", json!(5)).await.unwrap(), 2);
    assert_eq!(records(&storage, OBJECT).await, [record![1, 6], record![2, 7]]);
    let result = storage.custom("double-all", json!("x")).await;
    refused(result, ErrorKind::Conflict, &["a number"]);
    refused(storage.custom("double", json!(5)).await, ErrorKind::Unsupported, &["double"]);
}

/// storex-facts 1.15, cases 11 to 14, and hyphens.
pub async fn names_of_operations(h: Harness) {
    let backend = h.backend().name();
    let here = format!("my-project:{backend}.do-it");
    let module = Module::new("names")
        .operation("bare", Echo("bare"))
        .operation("my-project:bare", Echo("project"))
        .operation(&*here, Echo("here"))
        .operation("my-project:elsewhere.do-it", Echo("elsewhere"));
    let storage = try_open(&h, vec![module]).await.unwrap();
    assert_eq!(storage.custom("bare", json!(1)).await.unwrap(), json!(["bare", 1]));
    assert_eq!(storage.custom("my-project:bare", json!(2)).await.unwrap(), json!(["project", 2]));
    assert_eq!(storage.custom(&*here, json!(3)).await.unwrap(), json!(["here", 3]));
    let elsewhere = storage.custom("my-project:elsewhere.do-it", json!(4)).await;
    refused(elsewhere, ErrorKind::Unsupported, &[backend, "elsewhere"]);
    storage.close().await.unwrap();
    for wrong in ["", "a b", "a:", ":a", "a..b", "a.b.c", "a:b:c", "1a", "-a", "a/b", "é"] {
        let result = try_open(&h, vec![Module::new("m").operation(wrong, Echo("x"))]).await;
        refused(result, ErrorKind::Invalid, &["module `m`", &format!("`{wrong}`")]);
    }
}

pub async fn a_name_registered_twice(h: Harness) {
    let one = |name: &str| Module::new(name).operation("p:echo", Echo("x"));
    let result = try_open(&h, vec![one("first"), one("second")]).await;
    refused(result, ErrorKind::Invalid, &["second", "first", "p:echo"]);
    let twice = one("twice").operation("p:echo", Echo("y"));
    refused(try_open(&h, vec![twice]).await, ErrorKind::Invalid, &["twice", "p:echo"]);
    try_open(&h, vec![one("first")]).await.unwrap();
}

/// An operation of the backend cannot be hidden by one of the same name.
pub async fn a_name_that_the_backend_has(h: Harness) {
    for name in h.backend().capabilities().custom_operations {
        let result = try_open(&h, vec![Module::new("m").operation(*name, Echo("x"))]).await;
        refused(result, ErrorKind::Invalid, &["module `m`", name, h.backend().name()]);
        let project = format!("m:{name}");
        let module = Module::new("m").operation(&*project, Echo("x"));
        let storage = try_open(&h, vec![module]).await.unwrap();
        assert_eq!(storage.custom(&*project, json!(0)).await.unwrap(), json!(["x", 0]));
        // It may want other arguments, but it is there.
        if let Err(error) = storage.custom(*name, json!(null)).await {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{name}: {error}");
        }
        storage.close().await.unwrap();
    }
}

/// Writes down what passes.
#[derive(Debug, Default)]
struct Passing(Mutex<Vec<&'static str>>, AtomicUsize);

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Passing {
    fn module(&self) -> Module {
        Module::new("passing").operation("passing:echo", Echo("passing"))
    }

    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        self.0.lock().unwrap().push(operation.name());
        if let Operation::Custom(custom) = &operation
            && cx.is_registered(&custom.name)
        {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
        next.run(cx, operation).await
    }
}

/// The operation passes the chain, and so does what it does; a middleware may bring operations too.
pub async fn operations_pass_the_chain(h: Harness) {
    let passing = Arc::new(Passing::default());
    let module = Module::new("m").operation("m:add", |storage: Storage, object: Json| async move {
        storage.dynamic(OBJECT)?.create(object).await
    });
    let builder = Storage::builder(h.backend(), registry([numbered()]), h.shared_runtime());
    let builder = builder.module(module).middleware(AutoPk::new()).middleware(Arc::clone(&passing));
    let storage = builder.open().await.unwrap();
    let made = storage.custom("m:add", json!({ "id": 1, "n": 7 })).await.unwrap();
    assert_eq!(made, json!({ "id": 1, "n": 7 }));
    assert_eq!(*passing.0.lock().unwrap(), ["custom", "execute"]);
    let echo = storage.custom("passing:echo", json!(1)).await.unwrap();
    assert_eq!(echo, json!(["passing", 1]));
    storage.custom("m:none", json!(1)).await.unwrap_err();
    assert_eq!(passing.1.load(Ordering::Relaxed), 2, "two of three are registered");
}
