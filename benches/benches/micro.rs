//! The small parts on their own, by criterion.
#![allow(missing_docs)] // made by criterion's macros
#![allow(clippy::unwrap_used)] // a benchmark that cannot go on shall stop

use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use storex_benches::workload::{Note, definition, notes};
use storex_core::{Registry, Storage};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{Clock, Device, EntryKind, Hlc, Incoming, Joins, Stamp, SyncLog, merge};

fn stamp(hlc: u64, device: u8) -> Stamp {
    Stamp { hlc: Hlc(hlc), device: Device { id: [device; 16], incarnation: 0 } }
}

fn merging(criterion: &mut Criterion) {
    let own = Clock::created(1, stamp(1, 1));
    let joins = Joins::default();
    let fields = [1, 2, 3, 4, 5];
    criterion.bench_function("merge_create_over_alive", |bencher| {
        bencher.iter(|| {
            let incoming = Incoming {
                kind: EntryKind::Create,
                life: 1,
                stamp: stamp(2, 2),
                fields: &fields,
                counted: &[],
                joined: &[],
                joins: &joins,
            };
            merge(Some(&own), incoming, |_| true)
        });
    });
    criterion.bench_function("merge_update_of_one_field", |bencher| {
        bencher.iter(|| {
            let incoming = Incoming {
                kind: EntryKind::Update,
                life: 1,
                stamp: stamp(2, 2),
                fields: &fields[..1],
                counted: &[],
                joined: &[],
                joins: &joins,
            };
            merge(Some(&own), incoming, |_| true)
        });
    });
}

fn logging(criterion: &mut Criterion) {
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let some = notes(1000, 1);
    criterion.bench_function("logged_create_of_1000_in_memory", |bencher| {
        bencher.iter_batched(
            || {
                let registry = Registry::builder().collection(definition()).build().unwrap();
                let storage =
                    Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)));
                tokio.block_on(storage.middleware(SyncLog::new()).open()).unwrap()
            },
            |storage| {
                let notes = storage.collection::<Note>().unwrap();
                tokio.block_on(notes.create_many(&some)).unwrap()
            },
            BatchSize::LargeInput,
        );
    });
    let registry = Registry::builder().collection(definition()).build().unwrap();
    let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)));
    let storage = tokio.block_on(storage.open()).unwrap();
    let collection = storage.collection::<Note>().unwrap();
    criterion.bench_function("record_of_a_struct", |bencher| {
        bencher.iter(|| collection.record(&some[0]).unwrap());
    });
}

criterion_group!(micro, merging, logging);
criterion_main!(micro);
