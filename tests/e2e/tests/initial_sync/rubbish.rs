//! A side that sends what is no frame, frames where they have no place, or a part of them only.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use storex_core::Storage;
use storex_e2e::place::Place;
use storex_e2e::rng::Rng;
use storex_e2e::shop::{self, Contents, assert_equal};
use storex_e2e::{audit, is_long};
use storex_sync::{Channel, MemoryChannel, Result, StreamChannel, SyncError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::{assert_in_step, exchange, is_gone, one_way, sync_of};

const ROWS: u64 = 400;

/// A channel that keeps what is sent.
#[derive(Debug)]
struct Recorded(MemoryChannel, Arc<Mutex<Vec<Vec<u8>>>>);

#[async_trait]
impl Channel for Recorded {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        self.1.lock().unwrap().push(frame.clone());
        self.0.send(frame).await
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        self.0.recv().await
    }

    async fn close(&mut self) -> Result<()> {
        self.0.close().await
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Send,
    Receive,
    BothWays,
}

const ALL: [Does; 3] = [Does::Send, Does::Receive, Does::BothWays];

async fn run(storage: &Storage, does: Does, channel: &mut dyn Channel) -> Result<()> {
    let sync = sync_of(storage).await.page(10);
    match does {
        Does::Send => sync.send(channel).await.map(drop),
        Does::Receive => sync.receive(channel).await.map(drop),
        Does::BothWays => sync.both_ways(channel).await.map(drop),
    }
}

/// The frames that a side sends in a good run with another that is empty.
async fn frames_of(a: &Storage, does: Does) -> Vec<Vec<u8>> {
    let place = Place::new();
    let b = shop::open(&place.b()).await.unwrap();
    let (here, mut there) = MemoryChannel::pair();
    let mut here = Recorded(here, Arc::default());
    let other = match does {
        Does::Send => Does::Receive,
        Does::Receive => Does::Send,
        Does::BothWays => Does::BothWays,
    };
    let (one, other) = tokio::join!(run(a, does, &mut here), run(&b, other, &mut there));
    one.unwrap();
    other.unwrap();
    let frames = here.1.lock().unwrap();
    frames.clone()
}

/// What the one that has told everything does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    Goes,
    Stays,
}

/// Says these frames to a side, whatever it answers.
async fn told(storage: &Storage, does: Does, frames: &[Vec<u8>], then: Then) -> Result<()> {
    let (mut here, mut there) = MemoryChannel::pair();
    let telling = async {
        for frame in frames {
            if there.send(frame.clone()).await.is_err() {
                break;
            }
            // Whatever it says is taken, so that it can go on.
            for _ in 0..20 {
                tokio::select! {
                    biased;
                    heard = there.recv() => if !matches!(heard, Ok(Some(_))) { break },
                    () = tokio::task::yield_now() => {}
                }
            }
        }
        while then == Then::Stays && matches!(there.recv().await, Ok(Some(_))) {}
        drop(there);
    };
    let running = async {
        let outcome = run(storage, does, &mut here).await;
        drop(here);
        outcome
    };
    tokio::join!(running, telling).0
}

/// Every object that is here is one of theirs, as it is there.
fn assert_part_of(found: &Contents, all: &Contents, what: &str) {
    let strange = found.iter().find(|(key, row)| all.get(*key) != Some(*row));
    assert_eq!(strange, None, "{what}");
}

#[tokio::test]
async fn random_bytes_end_it_and_change_nothing() {
    let place = Place::new();
    let b = shop::found(&place.b(), ROWS, 0..50, 50..100).await.unwrap();
    let before = audit::everything(&place.b());
    let mut rng = Rng::new(7);
    for round in 0..if is_long() { 3000 } else { 90 } {
        let (here, mut there) = UnixStream::pair().unwrap();
        let length = [0, 1, 5, 100, 70_000][rng.below(5) as usize];
        let mut bytes: Vec<u8> = (0..length).map(|_| rng.bits() as u8).collect();
        if rng.below(2) == 0 {
            // A frame, of rubbish.
            let head = u32::try_from(bytes.len()).unwrap().to_be_bytes();
            bytes.splice(0..0, head);
        }
        let mut channel = StreamChannel::new(here);
        let does = ALL[round % 3];
        let rubbish = async {
            let _ = there.write_all(&bytes).await;
            let _ = there.shutdown().await;
            let _ = there.read_to_end(&mut Vec::new()).await;
        };
        let running = async {
            let outcome = run(&b, does, &mut channel).await;
            drop(channel);
            outcome
        };
        let error = tokio::join!(running, rubbish).0.unwrap_err();
        let refused = matches!(error, SyncError::Protocol { .. } | SyncError::Corrupt { .. });
        assert!(refused || is_gone(&error), "{does:?}, {length} bytes: {error}");
    }
    assert_eq!(audit::everything(&place.b()), before);
}

#[tokio::test]
async fn frames_in_a_wrong_order_end_it_and_nothing_strange_is_taken() {
    let place = Place::new();
    let a = shop::found(&place.a(), ROWS, 0..50, 50..100).await.unwrap();
    let all = shop::contents(&a).await.unwrap();
    let mut rng = Rng::new(3);
    for (n, does) in ALL.into_iter().enumerate() {
        let frames = frames_of(&a, does).await;
        let hears = [Does::Receive, Does::Send, Does::BothWays][n];
        // The greeting again; at once what has to come later; no greeting.
        let mut orders = vec![vec![frames[0].clone(), frames[0].clone()]];
        orders.extend(frames.iter().skip(2).map(|it| vec![frames[0].clone(), it.clone()]));
        orders.extend(frames.iter().skip(1).map(|it| vec![it.clone()]));
        let path = place.file(&format!("{n}.db"));
        let empty = shop::open(&path).await.unwrap();
        let before = audit::everything(&path);
        for order in &orders {
            let error = told(&empty, hears, order, Then::Stays).await.unwrap_err();
            let refused = matches!(error, SyncError::Protocol { .. } | SyncError::Corrupt { .. });
            assert!(refused, "{does:?}: {error}");
        }
        assert_eq!(audit::everything(&path), before);
        for _ in 0..if is_long() { 300 } else { 10 } {
            let mut order = frames[2..].to_vec();
            for at in (1..order.len()).rev() {
                order.swap(at, rng.below(at as u64 + 1) as usize);
            }
            order.splice(0..0, frames[..2].to_vec());
            let outcome = told(&empty, hears, &order, Then::Goes).await;
            if let Err(error) = outcome {
                let refused = matches!(error, SyncError::Protocol { .. });
                assert!(refused || is_gone(&error), "{does:?}: {error}");
            }
            assert_part_of(&shop::contents(&empty).await.unwrap(), &all, "of the sender");
        }
        one_way(&a, &empty).await;
        assert_in_step(&[(&a, &place.a()), (&empty, &path)]).await;
    }
}

/// What arrives otherwise than it was sent is refused, or it is values like any other: nothing panics or hangs, and the device can
/// be used afterwards.
#[tokio::test]
async fn frames_with_a_wrong_byte_leave_a_device_that_works() {
    let place = Place::new();
    let a = shop::found(&place.a(), ROWS, 0..50, 50..100).await.unwrap();
    let frames = frames_of(&a, Does::Send).await;
    let (mut rng, mut refused) = (Rng::new(11), 0);
    for n in 0..if is_long() { 300 } else { 40 } {
        let mut frames = frames.clone();
        // Half of them in what comes first: there are many pages.
        let at = rng.below(if n % 2 == 0 { 4 } else { frames.len() as u64 }) as usize;
        let byte = rng.below(frames[at].len() as u64) as usize;
        frames[at][byte] ^= 1 << rng.below(8);
        let path = place.file(&format!("{n}.db"));
        let b = shop::open(&path).await.unwrap();
        let outcome = told(&b, Does::Receive, &frames, Then::Stays).await;
        refused += usize::from(outcome.is_err());
        println!("frame {at}, byte {byte}: {outcome:?}");
        for _ in 0..20 {
            shop::write(&b, &mut rng, "afterwards", ROWS).await.unwrap();
        }
        exchange(&place, &[&b]).await;
        b.close().await.unwrap();
        audit::assert_whole(&path);
        std::fs::remove_file(place.shared()).unwrap();
        for rest in ["shared.db-wal", "shared.db-shm"] {
            let _ = std::fs::remove_file(place.file(rest));
        }
    }
    assert!(refused > 0, "some are refused");
}

#[tokio::test]
async fn a_stream_that_ends_anywhere_ends_it_and_the_next_run_goes_on() {
    let place = Place::new();
    let a = shop::found(&place.a(), ROWS, 0..50, 50..100).await.unwrap();
    let all = shop::contents(&a).await.unwrap();
    let frames = frames_of(&a, Does::Send).await;
    let stream: Vec<u8> = frames
        .iter()
        .flat_map(|it| [&u32::try_from(it.len()).unwrap().to_be_bytes()[..], &it[..]].concat())
        .collect();
    let mut rng = Rng::new(5);
    let b = shop::open(&place.b()).await.unwrap();
    let mut arrived = 0;
    let count = if is_long() { 300 } else { 12 };
    for n in 0..count {
        // Ever later, so that what has arrived is added to.
        let to =
            (stream.len() as u64 * n / count + rng.below(stream.len() as u64 / count)) as usize;
        let (here, there) = UnixStream::pair().unwrap();
        let (mut reading, mut writing) = there.into_split();
        let mut channel = StreamChannel::new(here);
        let telling = async {
            let _ = writing.write_all(&stream[..to]).await;
            let _ = writing.shutdown().await;
        };
        let mut taken = Vec::new();
        let running = async {
            let outcome = run(&b, Does::Receive, &mut channel).await;
            drop(channel);
            outcome
        };
        let (outcome, (), _) = tokio::join!(running, telling, reading.read_to_end(&mut taken));
        let error = outcome.unwrap_err();
        assert!(is_gone(&error), "{to} bytes: {error}");
        let here = shop::contents(&b).await.unwrap();
        assert_part_of(&here, &all, "of the sender");
        assert!(here.len() >= arrived, "what has arrived stays");
        arrived = here.len();
    }
    assert!(arrived > 0);
    one_way(&a, &b).await;
    assert_in_step(&[(&a, &place.a()), (&b, &place.b())]).await;
    assert_equal(&shop::contents(&b).await.unwrap(), &all, "all of it");
}
