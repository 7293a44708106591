//! Initial syncs over connections, SQLite at both ends, and over connections that break, stall, or lead to somebody else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use storex_core::{Runtime, Storage, TokioRuntime};
use storex_e2e::place::Place;
use storex_e2e::schema;
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    Channel, HeartbeatChannel, InitialSync, StreamChannel, SyncError, WebSocketChannel, ZstdChannel,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, duplex, split};

use crate::suite::tcp;

const ROWS: usize = 3000;

async fn device(path: &Path) -> Storage {
    schema::open_sqlite(path, Arc::new(TokioRuntime)).await.unwrap()
}

async fn fill(storage: &Storage) {
    let member = |n| {
        let body = "\u{1f600} some text. ".repeat(n % 7);
        json!({"team": format!("team {}", n % 9), "size": n, "title": "t", "stars": 1, "body": body})
    };
    let members: Vec<_> = (0..ROWS).map(member).collect();
    storage.dynamic("member").unwrap().create_many(&members).await.unwrap();
}

async fn contents(storage: &Storage) -> Vec<Value> {
    let mut all = storage.dynamic("member").unwrap().find(&json!({})).await.unwrap();
    all.sort_by_key(|it| it["id"].to_string());
    all
}

type Outcome = storex_sync::Result<storex_sync::InitialSyncReport>;

async fn run(
    from: &Storage,
    to: &Storage,
    mut here: impl Channel,
    mut there: impl Channel,
) -> (Outcome, Outcome) {
    let sender = InitialSync::open(from).await.unwrap().page(200);
    let receiver = InitialSync::open(to).await.unwrap();
    let sending = async {
        let sent = sender.send(&mut here).await;
        drop(here);
        sent
    };
    let receiving = async {
        let received = receiver.receive(&mut there).await;
        drop(there);
        received
    };
    tokio::join!(sending, receiving)
}

async fn arrives(here: impl Channel, there: impl Channel) {
    let place = Place::new();
    let (a, b) = (device(&place.a()).await, device(&place.b()).await);
    fill(&a).await;
    let (sent, received) = run(&a, &b, here, there).await;
    assert_eq!((sent.unwrap().total(), received.unwrap().total()), (ROWS as u64, ROWS as u64));
    assert!(contents(&a).await == contents(&b).await);
}

#[tokio::test]
async fn over_tcp() {
    let (here, there) = tcp().await;
    arrives(StreamChannel::new(here), StreamChannel::new(there)).await;
}

#[tokio::test]
async fn over_a_websocket_from_client_to_server_and_back() {
    for to_server in [true, false] {
        let (here, there) = tcp().await;
        let client = WebSocketChannel::connect(here, "ws://localhost/sync");
        let (client, server) = tokio::join!(client, WebSocketChannel::accept(there));
        let (client, server) = (client.unwrap(), server.unwrap());
        match to_server {
            true => arrives(client, server).await,
            false => arrives(server, client).await,
        }
    }
}

#[tokio::test]
async fn compressed_and_with_heartbeats() {
    let (here, there) = tcp().await;
    let wrap = |stream| {
        let packed = ZstdChannel::new(StreamChannel::new(stream)).unwrap();
        HeartbeatChannel::new(packed, Arc::new(TokioRuntime))
    };
    arrives(wrap(here), wrap(there)).await;
}

#[tokio::test]
async fn with_somebody_who_sends_rubbish_it_fails_and_changes_nothing() {
    let place = Place::new();
    let b = device(&place.b()).await;
    fill(&b).await;
    let before = contents(&b).await;
    let frame = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    for rubbish in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![0xab; 9000],
        frame(b"\x97\x00"),
        frame(&[]),
    ] {
        for sends in [true, false] {
            let (here, there) = tcp().await;
            let mut here = StreamChannel::new(here);
            let (mut reading, mut writing) = there.into_split();
            writing.write_all(&rubbish).await.unwrap();
            let sync = InitialSync::open(&b).await.unwrap();
            let mut taken = Vec::new();
            let (outcome, _) = tokio::join!(
                async {
                    let outcome = match sends {
                        true => sync.send(&mut here).await,
                        false => sync.receive(&mut here).await,
                    };
                    drop(here);
                    outcome
                },
                reading.read_to_end(&mut taken)
            );
            let error = outcome.unwrap_err();
            assert!(
                matches!(error, SyncError::Protocol { .. } | SyncError::Corrupt { .. }),
                "{error}"
            );
            assert!(contents(&b).await == before);
        }
    }
}

/// A connection of which the one direction is cut after so many bytes, and the other one with it.
async fn cut_after(bytes: u64, from: DuplexStream, to: DuplexStream) {
    let ((from_read, mut from_write), (mut to_read, mut to_write)) = (split(from), split(to));
    let mut counted = from_read.take(bytes);
    tokio::select! {
        _ = copy(&mut counted, &mut to_write) => {}
        _ = copy(&mut to_read, &mut from_write) => {}
    }
}

#[tokio::test]
async fn with_somebody_who_goes_in_the_middle_it_fails_and_can_be_done_again() {
    let place = Place::new();
    let a = device(&place.a()).await;
    fill(&a).await;
    let all = contents(&a).await;
    for bytes in [0, 3, 100, 40_000, 150_000] {
        let b = device(&place.file(&format!("{bytes}.db"))).await;
        let ((here, one), (other, there)) = (duplex(4096), duplex(4096));
        let run = run(&a, &b, StreamChannel::new(here), StreamChannel::new(there));
        let (outcome, ()) = tokio::join!(run, cut_after(bytes, one, other));
        for error in [outcome.0.unwrap_err(), outcome.1.unwrap_err()] {
            assert!(
                matches!(error, SyncError::Transport { .. } | SyncError::Closed { .. }),
                "{error}"
            );
            assert!(error.is_retryable());
        }
        assert!(contents(&b).await.len() < ROWS, "whole pages, and not all");
        let (here, there) = tcp().await;
        done_again(&a, &b, here, there).await;
        assert!(contents(&b).await == all);
    }
}

async fn done_again(
    a: &Storage,
    b: &Storage,
    here: tokio::net::TcpStream,
    there: tokio::net::TcpStream,
) {
    let (sent, received) = run(a, b, StreamChannel::new(here), StreamChannel::new(there)).await;
    sent.unwrap();
    received.unwrap();
}

/// In memory, as the clock of the test would run on while SQLite works.
#[tokio::test(start_paused = true)]
async fn with_somebody_who_stalls_both_sides_fail_at_the_deadline() {
    for bytes in [0, 100, 40_000] {
        let runtime = Arc::new(TestRuntime::new(1));
        let a = schema::open(MemoryBackend::new(), runtime.clone()).await.unwrap();
        let b = schema::open(MemoryBackend::new(), Arc::new(TestRuntime::new(2))).await.unwrap();
        fill(&a).await;
        let ((here, one), (other, there)) = (duplex(4096), duplex(4096));
        let stalling = async {
            // What is cut is held open, so that nobody is told.
            let ((one_read, _one_write), (_other_read, mut other_write)) =
                (split(one), split(other));
            let _ = copy(&mut one_read.take(bytes), &mut other_write).await;
            std::future::pending::<()>().await;
        };
        let wrap = |stream| HeartbeatChannel::new(StreamChannel::new(stream), runtime.clone());
        let outcome = tokio::select! {
            outcome = run(&a, &b, wrap(here), wrap(there)) => outcome,
            () = stalling => unreachable!("it stalls for ever"),
            () = runtime.sleep(Duration::from_secs(600)) => panic!("it hangs"),
        };
        for error in [outcome.0.unwrap_err(), outcome.1.unwrap_err()] {
            assert!(
                matches!(error, SyncError::Timeout { .. } | SyncError::Closed { .. }),
                "{error}"
            );
        }
    }
}
