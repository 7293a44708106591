//! What happens to the devices of a [`Place`] before and after a child has worked on A, and how all of it is checked.

use std::sync::Arc;

use storex_core::{Runtime, Storage, TokioRuntime};
use storex_memory::TestRuntime;
use storex_sqlite::SqliteBackend;
use storex_sync::{
    BackendSharedLog, InitialSync, Limits, MemoryChannel, SharedSyncLog, Sync, SyncReport,
};

use crate::audit::{self, Standing, Universe};
use crate::ops::{self, Op};
use crate::place::Place;
use crate::process::{Notes, Told};
use crate::rng::Rng;
use crate::schema::open_sqlite;

/// Pages so small that every exchange takes several.
pub const LIMITS: Limits = Limits { bytes: 1500, transactions: 4 };

/// One exchange.
///
/// # Errors
/// That of the exchange.
pub async fn sync(
    storage: &Storage,
    log: Arc<dyn SharedSyncLog>,
) -> storex_sync::Result<SyncReport> {
    Sync::open(storage, log).await?.unreduced().limits(LIMITS).sync_once().await
}

/// The writes of A between its exchanges: the same in every run with this seed.
#[must_use]
pub fn parts(seed: u64) -> [Vec<Op>; 3] {
    let mut rng = Rng::new(seed);
    let mut number = 0;
    [11, 11, 8].map(|count| {
        let part = (0..count).map(|_| {
            number += 1;
            ops::random(&mut rng, "a", number)
        });
        part.collect()
    })
}

/// Opens the shared log.
///
/// # Panics
/// When that fails.
pub async fn open_log(place: &Place) -> Arc<BackendSharedLog> {
    let backend = SqliteBackend::open(place.shared()).expect("a path");
    let runtime = Arc::new(TokioRuntime);
    Arc::new(BackendSharedLog::open(backend, runtime).await.expect("the shared log opens"))
}

/// An initial sync, all of it in this process.
///
/// # Panics
/// When it fails.
pub async fn receive(from: &Storage, to: &Storage) {
    let (mut here, mut there) = MemoryChannel::pair();
    let sender = InitialSync::open(from).await.expect("a sender");
    let receiver = InitialSync::open(to).await.expect("a receiver");
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    sent.expect("all is sent");
    received.expect("all is received");
}

async fn write(storage: &Storage, rng: &mut Rng, device: &str, count: u64) {
    let from = rng.bits() % 1_000_000_000;
    for number in from..from + count {
        let op = ops::random(rng, device, number);
        ops::perform(storage, &op).await.unwrap_or_else(|error| panic!("{op:?}: {error}"));
    }
}

/// Before the child: B has sent a part of its writes, C has B's and has sent a part of its own; there is no A yet.
///
/// # Panics
/// When something fails.
pub async fn prepare(place: &Place, seed: u64) {
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
    let mut rng = Rng::new(seed);
    let log = open_log(place).await;
    let b = open_sqlite(&place.b(), runtime.clone()).await.expect("B opens");
    let common = Op::OpenAccount { name: "common".to_owned(), balance: 0 };
    for op in ops::beginning("b").into_iter().chain([common]) {
        ops::perform(&b, &op).await.expect("a write");
    }
    write(&b, &mut rng, "b", 12).await;
    sync(&b, log.clone()).await.expect("B syncs");
    let c = open_sqlite(&place.c(), runtime).await.expect("C opens");
    receive(&b, &c).await;
    for op in ops::beginning("c") {
        ops::perform(&c, &op).await.expect("a write");
    }
    write(&c, &mut rng, "c", 10).await;
    sync(&c, log.clone()).await.expect("C syncs");
    write(&b, &mut rng, "b", 4).await;
    write(&c, &mut rng, "c", 10).await;
    b.close().await.expect("B closes");
    c.close().await.expect("C closes");
    log.close().await.expect("the log closes");
}

/// Looks at everything that a crash has left, in a copy, so that the library itself meets it as it is: each device's rows
/// are what it has logged and applied, and what was acknowledged to the child is there.
///
/// `before`: how many transactions A had logged before the child began.
///
/// # Panics
/// When something is wrong.
pub fn check_crash(place: &Place, before: u64, told: &[Told]) -> Option<Standing> {
    let copy = place.copy();
    let universe = read(&copy);
    let sender = audit::standing(&copy.b());
    audit::check_device(&copy.a(), &universe, sender.as_ref());
    audit::check_device(&copy.b(), &universe, None);
    audit::check_device(&copy.c(), &universe, None);
    let Some(a) = audit::standing(&copy.a()) else {
        assert!(told.is_empty(), "something was acknowledged, and there is no database");
        return None;
    };
    audit::check_acknowledgements(&universe.of(a.me), before, &Notes::writes(told));
    let sent = universe.shared.iter().filter(|(_, device, _)| *device == a.me).count() as u64;
    let acknowledged = Notes::written_before_sync(told);
    if acknowledged > 0 {
        assert!(sent >= before + acknowledged, "an acknowledged exchange is not in the shared log");
    }
    if told.contains(&Told::Received) {
        let sender = sender.expect("there is a sender");
        assert!(a.has_applied(sender.me), "the initial sync was acknowledged");
    }
    Some(a)
}

/// The logs of a place.
#[must_use]
pub fn read(place: &Place) -> Universe {
    Universe::read(&place.shared(), &[&place.a(), &place.b(), &place.c()])
}

/// After the crash: all devices open again, A finishes its initial sync and writes, everybody syncs, and all have the same.
///
/// # Panics
/// When something is wrong.
pub async fn finish(place: &Place, seed: u64) {
    // The wall clock of A is set back by a good while.
    let a_runtime = Arc::new(TestRuntime::new(seed));
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
    let a = open_sqlite(&place.a(), a_runtime).await.expect("A opens again");
    let b = open_sqlite(&place.b(), runtime.clone()).await.expect("B opens again");
    let c = open_sqlite(&place.c(), runtime).await.expect("C opens again");
    let log = open_log(place).await;
    let sender = Sync::open(&b, log.clone()).await.expect("B").device().await.expect("B");
    let received = audit::standing(&place.a()).is_some_and(|a| a.has_applied(sender));
    if !received {
        receive(&b, &a).await;
    }
    for op in [
        Op::Gather { team: "a-after".to_owned(), size: 3 },
        Op::Count { name: "a-counted".to_owned() },
        Op::Put { shelf: "common".to_owned(), number: 1, x: "after".to_owned(), y: 0 },
        Op::Edit { shelf: "common".to_owned(), number: 2, x: Some("after".to_owned()), y: None },
    ] {
        ops::perform(&a, &op).await.unwrap_or_else(|error| panic!("{op:?}: {error}"));
    }
    let mut idle = 0;
    for _ in 0..3 {
        idle = 0;
        for (name, device) in [("A", &a), ("B", &b), ("C", &c)] {
            let sync = Sync::open(device, log.clone()).await.expect("a device").unreduced();
            let report = sync.sync_once().await;
            let report = report.unwrap_or_else(|error| panic!("{name} syncs: {error:?}"));
            idle += u32::from(report.is_idle());
        }
    }
    assert_eq!(idle, 3, "in step after two rounds");
    for device in [&a, &b, &c] {
        device.close().await.expect("a device closes");
    }
    log.close().await.expect("the log closes");
    check_equal(place);
}

/// All devices have the same, and it is what all logs together say.
///
/// # Panics
/// When it is not so.
pub fn check_equal(place: &Place) {
    let universe = read(place);
    let expected = universe.fold();
    for path in [place.a(), place.b(), place.c()] {
        audit::check_device(&path, &universe, None);
        let parked = audit::standing(&path).map(|standing| standing.parked);
        assert!(parked.is_some_and(|parked| parked.is_empty()), "{}: is parked", path.display());
        audit::assert_same(&audit::contents(&path), &expected.rows, "not as the others", &path);
    }
}
