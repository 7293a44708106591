//! [`Traced`]: what a subscriber of `tracing` is told of operations.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use serde_json::json;
use storex_core::{AutoPk, Definition, FieldType, Filter, Query, Registry, Step, Storage, Traced};
use storex_core::{Batch, Record};
use storex_memory::{MemoryBackend, TestRuntime};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Metadata, Subscriber};

type Fields = BTreeMap<String, String>;

/// Keeps the fields of spans, and the level, message and fields of events, of operations.
#[derive(Clone, Default)]
struct Keeps(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    spans: Vec<Fields>,
    events: Vec<(String, Fields)>,
}

struct Visitor<'a>(&'a mut Fields);

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").replace('"', ""));
    }
}

impl Subscriber for Keeps {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "storex::operation"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::new();
        span.record(&mut Visitor(&mut fields));
        let mut kept = self.0.lock().unwrap();
        kept.spans.push(fields);
        Id::from_u64(kept.spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &tracing::span::Record<'_>) {
        let at = usize::try_from(span.into_u64()).unwrap() - 1;
        values.record(&mut Visitor(&mut self.0.lock().unwrap().spans[at]));
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::new();
        event.record(&mut Visitor(&mut fields));
        self.0.lock().unwrap().events.push((event.metadata().level().to_string(), fields));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn every_operation_has_a_span_and_no_value_occurs() {
    let keeps = Keeps::default();
    let _guard = tracing::subscriber::set_default(keeps.clone());
    let registry = Registry::builder()
        .collection(Definition::new("note").field("title", FieldType::String))
        .collection(Definition::new("tag").field("id", FieldType::Int).primary_key(["id"]))
        .build()
        .unwrap();
    let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
        .middleware(Traced::new())
        .middleware(AutoPk::new())
        .open()
        .await
        .unwrap();
    let note = |key: &str| vec![Record::new(vec![key.into(), "secret".into()])];
    let batch = Batch::new()
        .create("note", note("secret-1"))
        .create("tag", vec![Record::new(vec![7.into()])])
        .update("note", Filter::All, storex_core::Changes::new().set("title", "secret"))
        .then(|_| Ok(vec![Step::Delete { collection: "tag".into(), filter: Filter::All }]));
    storage.execute(batch).await.unwrap();
    storage.find(Query::new("note")).await.unwrap();
    storage.execute(Batch::new().create("note", note("secret-1"))).await.unwrap_err();
    storage.custom("nothing", json!("secret")).await.unwrap_err();

    let kept = keeps.0.lock().unwrap();
    let span = |operation, collections, steps, rows: &str| {
        let mut all = fields(&[
            ("operation", operation),
            ("collections", collections),
            ("steps", steps),
            ("milliseconds", "0"),
        ]);
        all.extend((!rows.is_empty()).then(|| ("rows".to_owned(), rows.to_owned())));
        all
    };
    let expected = [
        span("execute", "note,tag", "4", "4"),
        span("find", "note", "1", "1"),
        span("execute", "note", "1", ""),
        span("custom", "nothing", "1", ""),
    ];
    assert_eq!(kept.spans, expected);
    let events: Vec<_> = kept
        .events
        .iter()
        .map(|(level, fields)| (&**level, fields.get("kind").map(String::as_str)))
        .collect();
    let expected = [
        ("DEBUG", None),
        ("DEBUG", None),
        ("DEBUG", Some("Conflict")),
        ("DEBUG", Some("Unsupported")),
    ];
    assert_eq!(events, expected);
    let all = format!("{:?} {:?}", kept.spans, kept.events);
    assert!(!all.contains("secret"), "{all}");
}
