//! [`RetryBusy`] and [`Traced`](storex_core::Traced): the rest of the middleware that ships.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use storex_core::{
    Batch, Changes, Context, Error, ErrorKind, Filter, Middleware, Next, Operation, Outcome, Query,
    Result, RetryBusy, RetryPolicy, Runtime, Step, Storage,
};

use crate::support::{OBJECT, numbered, record, records, refused, registry};
use crate::{CaseRuntime, Harness};

/// Is busy so many times, and then not.
#[derive(Debug)]
struct Busy {
    times: u32,
    kind: ErrorKind,
    calls: AtomicU32,
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Busy {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        if self.calls.fetch_add(1, Ordering::Relaxed) < self.times {
            return Err(Error::Backend {
                backend: "busy",
                operation: "begin",
                collection: None,
                kind: self.kind,
                hint: "somebody else holds it".to_owned(),
                source: "busy".into(),
            });
        }
        next.run(cx, operation).await
    }
}

const POLICY: RetryPolicy = RetryPolicy {
    attempts: 4,
    first: Duration::from_millis(100),
    longest: Duration::from_millis(300),
};

struct Opened {
    storage: Storage,
    runtime: Arc<CaseRuntime>,
    busy: Arc<Busy>,
}

async fn open(h: &Harness, times: u32, kind: ErrorKind) -> Opened {
    let runtime = Arc::new(CaseRuntime::new(7));
    let busy = Arc::new(Busy { times, kind, calls: AtomicU32::new(0) });
    let shared = Arc::clone(&runtime) as Arc<dyn Runtime>;
    let builder = Storage::builder(h.backend(), registry([numbered()]), shared);
    let builder = builder.middleware(RetryBusy::new(POLICY)).middleware(Arc::clone(&busy));
    Opened { storage: builder.open().await.unwrap(), runtime, busy }
}

fn waited(runtime: &CaseRuntime) -> i64 {
    runtime.now().0 - CaseRuntime::START.0
}

/// After the third attempt it succeeds, once; between the attempts it waits longer and longer.
pub async fn c79_what_was_busy_is_tried_again(h: Harness) {
    let Opened { storage, runtime, busy } = open(&h, 3, ErrorKind::Busy).await;
    let batch = Batch::new().create(OBJECT, vec![record![1, 0]]).then(|_| {
        let changes = Changes::new().increment("n", 1);
        Ok(vec![Step::Update { collection: OBJECT.into(), filter: Filter::All, changes }])
    });
    storage.execute(batch).await.unwrap();
    assert_eq!(records(&storage, OBJECT).await, [record![1, 1]]);
    assert_eq!(busy.calls.load(Ordering::Relaxed), 5);
    // 100 + 200 + 300 milliseconds, of each between the half and the whole.
    let waited = waited(&runtime);
    assert!((300..=600).contains(&waited), "{waited}");
    assert_ne!(waited, 600, "some of it is left to chance");
}

pub async fn reads_are_tried_again(h: Harness) {
    let Opened { storage, busy, .. } = open(&h, 1, ErrorKind::Busy).await;
    assert_eq!(storage.find(Query::new(OBJECT)).await.unwrap(), []);
    busy.calls.store(0, Ordering::Relaxed);
    assert_eq!(storage.count(Query::new(OBJECT)).await.unwrap(), 0);
}

pub async fn only_so_many_times(h: Harness) {
    let Opened { storage, busy, .. } = open(&h, 99, ErrorKind::Busy).await;
    let result = storage.execute(Batch::new().create(OBJECT, vec![record![1, 0]])).await;
    refused(result, ErrorKind::Busy, &["somebody else"]);
    assert_eq!(busy.calls.load(Ordering::Relaxed), 4);
}

/// Other errors come back at once, as do those of custom operations, which may not be atomic.
pub async fn nothing_else_is_tried_again(h: Harness) {
    for kind in [ErrorKind::Io, ErrorKind::Full, ErrorKind::Conflict] {
        let Opened { storage, busy, runtime } = open(&h, 1, kind).await;
        refused(storage.find(Query::new(OBJECT)).await, kind, &[]);
        assert_eq!((busy.calls.load(Ordering::Relaxed), waited(&runtime)), (1, 0));
        storage.close().await.unwrap();
    }
    let Opened { storage, busy, .. } = open(&h, 1, ErrorKind::Busy).await;
    refused(storage.custom("any", json!(null)).await, ErrorKind::Busy, &[]);
    assert_eq!(busy.calls.load(Ordering::Relaxed), 1);
}
