//! Which awaits a transaction survives, and what happens with one that it does not.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_channel::oneshot;
use wasm_bindgen_futures::spawn_local;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;

/// Gives way to other tasks `n` times.
struct GiveWay(u32);

impl Future for GiveWay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Whether a transaction that has written still lives after `between`.
async fn survives(connection: &Connection, between: impl Future<Output = ()>) -> bool {
    let transaction = write(connection);
    let store = transaction.store("kv").unwrap();
    put(&store, "first", "1").await.unwrap();
    between.await;
    let alive = put(&store, "second", "2").await.is_ok();
    // In both cases the truth: what was written is in the database.
    transaction.commit().await.unwrap();
    alive
}

#[wasm_bindgen_test]
async fn a_transaction_survives_what_ends_in_microtasks() {
    let connection = open_stores(&unique("alive")).await;
    assert!(survives(&connection, async {}).await, "nothing");
    assert!(survives(&connection, GiveWay(1)).await, "giving way once");
    assert!(survives(&connection, GiveWay(1000)).await, "giving way often");
    let resolved = foreign("return Promise.resolve()");
    assert!(survives(&connection, resolved).await, "a resolved promise");
    let chain = foreign(
        "let p = Promise.resolve(); for (let i = 0; i < 1000; i++) p = p.then(() => {}); return p",
    );
    assert!(survives(&connection, chain).await, "1,000 chained microtasks");
    let channel = async {
        let (sender, receiver) = oneshot::channel();
        spawn_local(async move {
            GiveWay(3).await;
            sender.send(()).unwrap();
        });
        receiver.await.unwrap();
    };
    assert!(survives(&connection, channel).await, "a channel fed by a task");
    let busy = foreign(
        "const end = performance.now() + 200; while (performance.now() < end); return Promise.resolve()",
    );
    assert!(survives(&connection, busy).await, "200 ms of work");
}

#[wasm_bindgen_test]
async fn a_transaction_does_not_survive_anything_else() {
    let connection = open_stores(&unique("dead")).await;
    let deadly = [
        ("a timer", "return new Promise(done => setTimeout(done, 0))"),
        ("fetch", "return fetch('data:,x').then(answer => answer.text())"),
        ("a blob", "return new Blob(['abc']).text()"),
        ("a lock", "return navigator.locks.request('lock' + Math.random(), async () => {})"),
        (
            "a message channel",
            "return new Promise(done => { const c = new MessageChannel(); c.port1.onmessage = done; c.port2.postMessage(1) })",
        ),
        ("scheduler.yield", "return scheduler.yield()"),
        (
            "WebAssembly.compile",
            "return WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))",
        ),
    ];
    for (what, body) in deadly {
        // The promise is made after the first request: one made before it may be settled by then, and seem harmless.
        let between = async { foreign(body).await };
        assert!(!survives(&connection, between).await, "{what}");
    }
}

#[wasm_bindgen_test]
async fn a_transaction_does_not_survive_requests_of_others() {
    let connection = open_stores(&unique("others")).await;
    let other = open_stores(&unique("other")).await;
    let elsewhere = async { assert_eq!(count(other.database(), "log").await, 0.0) };
    assert!(!survives(&connection, elsewhere).await, "another database");
    let opening = async { drop(open_stores(&unique("third")).await) };
    assert!(!survives(&connection, opening).await, "opening a database");
    let behind = async { assert!(count(connection.database(), "kv").await > 0.0) };
    assert!(!survives(&connection, behind).await, "a transaction that waits for this one");
}

/// Why no foreign await may be possible within a batch: the first half is committed, and no abort helps.
#[wasm_bindgen_test]
async fn a_foreign_await_commits_the_first_half() {
    async fn write_both(connection: &Connection) -> Result<(), DomError> {
        let transaction = write(connection);
        put(&transaction.store("kv")?, "half", "1").await?;
        milliseconds(5).await;
        Request::of(transaction.store("log")?.add(&"entry".into()))?.await?;
        transaction.commit().await
    }
    let connection = open_stores(&unique("half")).await;
    let error = write_both(&connection).await.unwrap_err();
    assert!(error.is("InvalidStateError") || error.is("TransactionInactiveError"), "{error}");
    assert_eq!(count(connection.database(), "kv").await, 1.0);
    assert_eq!(count(connection.database(), "log").await, 0.0);
}
