//! Keys that are made ascend, also while the clock stands or goes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::sync::Arc;

use proptest::prelude::*;
use storex_core::{
    AutoPk, Batch, Definition, FieldType, Key, KeyFormat, KeyGenerator, Record, Registry, Runtime,
    Storage, Timestamp, Value,
};
use storex_memory::{MemoryBackend, TestRuntime};

async fn open(
    format: KeyFormat,
    generator: KeyGenerator,
    seed: u64,
) -> (Storage, Arc<TestRuntime>) {
    let definition = Definition::new("object").key_format(format).optional("n", FieldType::Int);
    let registry = Registry::builder().collection(definition).build().unwrap();
    let runtime = Arc::new(TestRuntime::new(seed));
    let shared: Arc<dyn Runtime> = Arc::clone(&runtime) as Arc<dyn Runtime>;
    let storage = Storage::builder(MemoryBackend::new(), registry, shared)
        .middleware(AutoPk::new().with("object", generator))
        .open()
        .await
        .unwrap();
    (storage, runtime)
}

async fn create(storage: &Storage, count: usize) -> Vec<Key> {
    let records = vec![Record::nulls(2); count];
    let outcome = storage.execute(Batch::new().create("object", records)).await.unwrap();
    outcome.executed()[0].keys(storage.registry().collection("object").unwrap())
}

fn uuid_millis(key: &Key) -> i64 {
    let text = key.as_text().unwrap().replace('-', "");
    i64::from_str_radix(&text[..12], 16).unwrap()
}

fn ascending(keys: &[Key]) {
    for pair in keys.windows(2) {
        assert!(pair[0] < pair[1], "{} before {}", pair[0], pair[1]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_stands_in_a_uuid() {
    let (storage, runtime) = open(KeyFormat::Text, KeyGenerator::UuidV7, 1).await;
    assert_eq!(uuid_millis(&create(&storage, 1).await[0]), TestRuntime::START.0);
    runtime.advance(12_345);
    assert_eq!(uuid_millis(&create(&storage, 1).await[0]), TestRuntime::START.0 + 12_345);
}

/// However the clock moves: ascending, and a clock that is right again is followed again.
async fn ascend_whatever_the_clock_does(format: KeyFormat, generator: KeyGenerator) {
    let (storage, runtime) = open(format, generator, 2).await;
    let mut keys = Vec::new();
    for step in [0, 1, 0, -1, -10_000, 5, 0, 20_000, -1, 1, -86_400_000, 86_400_000, 0] {
        runtime.advance(step);
        keys.extend(create(&storage, 300).await);
    }
    ascending(&keys);
    runtime.set(Timestamp(0));
    keys.extend(create(&storage, 3).await);
    runtime.set(Timestamp(-5));
    keys.extend(create(&storage, 3).await);
    runtime.set(Timestamp(TestRuntime::START.0 + 40_000_000));
    keys.extend(create(&storage, 3).await);
    ascending(&keys);
}

#[tokio::test(start_paused = true)]
async fn c03_uuids_ascend_whatever_the_clock_does() {
    ascend_whatever_the_clock_does(KeyFormat::Text, KeyGenerator::UuidV7).await;
    ascend_whatever_the_clock_does(KeyFormat::Bytes, KeyGenerator::UuidV7).await;
}

#[tokio::test(start_paused = true)]
async fn integers_ascend_whatever_the_clock_does() {
    ascend_whatever_the_clock_does(KeyFormat::Int, KeyGenerator::Int63).await;
    ascend_whatever_the_clock_does(KeyFormat::Int, KeyGenerator::Int53).await;
}

/// A clock far outside its range makes keys all the same, of the right form.
#[tokio::test(start_paused = true)]
async fn a_clock_out_of_its_range() {
    for now in [i64::MIN, -1, 0, 1 << 41, 1 << 48, i64::MAX] {
        let (storage, runtime) = open(KeyFormat::Text, KeyGenerator::UuidV7, 3).await;
        runtime.set(Timestamp(now));
        let keys = create(&storage, 1000).await;
        ascending(&keys);
        assert_eq!(keys[0].as_text().unwrap().as_bytes()[14], b'7');
        for (generator, bits) in [(KeyGenerator::Int63, 63), (KeyGenerator::Int53, 53)] {
            let (storage, runtime) = open(KeyFormat::Int, generator, 3).await;
            runtime.set(Timestamp(now));
            let keys = create(&storage, 10).await;
            ascending(&keys);
            for key in keys {
                let int = key.as_int().unwrap();
                assert!(
                    int >= 0 && int >> (bits - 1) <= 1,
                    "{int} has more than {bits} bits at {now}"
                );
            }
        }
    }
}

/// The parts of two devices that are drawn differ, so that what they make in one millisecond does not meet.
#[tokio::test(start_paused = true)]
async fn c03_two_devices_do_not_meet() {
    for (format, generator) in
        [(KeyFormat::Text, KeyGenerator::UuidV7), (KeyFormat::Int, KeyGenerator::Int63)]
    {
        let (first, _) = open(format, generator.clone(), 1).await;
        let (second, _) = open(format, generator, 2).await;
        let of_first = create(&first, 1000).await;
        let of_second = create(&second, 1000).await;
        assert!(of_first.iter().all(|key| !of_second.contains(key)));
    }
}

/// The same seed is the same run.
#[tokio::test(start_paused = true)]
async fn a_seed_repeats_its_keys() {
    for generator in [KeyGenerator::UuidV7, KeyGenerator::UuidV4] {
        let (first, _) = open(KeyFormat::Text, generator.clone(), 7).await;
        let (again, _) = open(KeyFormat::Text, generator, 7).await;
        assert_eq!(create(&first, 100).await, create(&again, 100).await);
    }
}

/// A key of the application's own for fields that are no `AutoPk`.
#[tokio::test(start_paused = true)]
async fn generators_for_keys_of_other_types() {
    for (field_type, generator) in [
        (FieldType::String, KeyGenerator::UuidV7),
        (FieldType::Binary, KeyGenerator::UuidV7),
        (FieldType::Int, KeyGenerator::Int63),
    ] {
        let definition =
            Definition::new("object").field("id", field_type.clone()).primary_key(["id"]);
        let registry = Registry::builder().collection(definition).build().unwrap();
        let runtime = Arc::new(TestRuntime::new(1));
        let storage = Storage::builder(MemoryBackend::new(), registry, runtime)
            .middleware(AutoPk::new().with("object", generator))
            .open()
            .await
            .unwrap();
        let batch = Batch::new().create("object", vec![Record::new(vec![Value::Null])]);
        let outcome = storage.execute(batch).await;
        assert!(outcome.is_ok(), "{field_type:?}: {outcome:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn uuids_ascend_for_every_walk_of_the_clock(seed in any::<u64>(), walk in proptest::collection::vec(-50..50_i64, 1..100)) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap().block_on(async {
            let (storage, runtime) = open(KeyFormat::Text, KeyGenerator::UuidV7, seed).await;
            let mut keys = Vec::new();
            for step in walk {
                runtime.advance(step);
                keys.extend(create(&storage, 2).await);
            }
            ascending(&keys);
        });
    }
}
