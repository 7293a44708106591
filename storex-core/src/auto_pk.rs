//! [`AutoPk`]: gives new objects a primary key.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::batch::{Continuation, Create, Step};
use crate::error::{Error, Result};
use crate::maybe::{MaybeSend, MaybeSync};
use crate::middleware::{Context, Middleware, Next};
use crate::operation::{Operation, Outcome};
use crate::record::Record;
use crate::runtime::Runtime;
use crate::schema::{Affinity, Collection, FieldType, KeyFormat, Registry};
use crate::value::{Name, Value};

/// How keys are made.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum KeyGenerator {
    /// UUID version 7 (RFC 9562): ordered by time, ascending within a millisecond too, so that indices grow at their end.
    #[default]
    UuidV7,
    /// UUID version 4: random, tells nothing about its time. Costs several times more to index.
    UuidV4,
    /// A positive 63-bit integer: 41 bits of milliseconds since 2020, 14 bits drawn once per storage, 8 bits that count.
    Int63,
    /// A positive 53-bit integer, exact in JavaScript: 41 bits of milliseconds since 2020, 8 bits drawn once per storage,
    /// 4 bits that count. Two devices that write in the same millisecond collide in one case of 256.
    Int53,
    /// The application's own.
    Custom(Arc<dyn CustomKeys>),
}

/// A key generator of the application's own.
pub trait CustomKeys: MaybeSend + MaybeSync {
    /// A key for a new object of the collection.
    fn generate(&self, collection: &Collection, runtime: &dyn Runtime) -> Value;
}

impl<F> CustomKeys for F
where
    F: Fn(&Collection, &dyn Runtime) -> Value + MaybeSend + MaybeSync,
{
    fn generate(&self, collection: &Collection, runtime: &dyn Runtime) -> Value {
        self(collection, runtime)
    }
}

impl fmt::Debug for KeyGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UuidV7 => "UuidV7",
            Self::UuidV4 => "UuidV4",
            Self::Int63 => "Int63",
            Self::Int53 => "Int53",
            Self::Custom(_) => "Custom",
        })
    }
}

/// Gives new objects a primary key, when they bring none (null, or an empty text); keys that were given stay.
///
/// It works on single creates, batches, nested objects and what continuations create. Which collections: those whose key
/// is one [`FieldType::AutoPk`] field, and adopted tables with a single integer key. Text and byte keys are UUIDs version
/// 7, integer keys [`KeyGenerator::Int63`], unless [`AutoPk::with`] says otherwise. Fields of type
/// [`FieldType::RandomKey`] are filled in too.
///
/// ```
/// use storex_core::{AutoPk, KeyGenerator};
///
/// let auto_pk = AutoPk::new().with("Album", KeyGenerator::Int53);
/// # let _ = auto_pk;
/// ```
#[derive(Debug, Clone, Default)]
pub struct AutoPk {
    chosen: HashMap<Name, KeyGenerator>,
    state: Arc<Mutex<State>>,
}

impl AutoPk {
    /// UUID version 7 for text and byte keys, [`KeyGenerator::Int63`] for integer keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another generator for one collection.
    #[must_use]
    pub fn with(mut self, collection: impl Into<Name>, generator: KeyGenerator) -> Self {
        self.chosen.insert(collection.into(), generator);
        self
    }

    fn fill_step(
        &self,
        step: Step,
        registry: &Arc<Registry>,
        runtime: &Arc<dyn Runtime>,
    ) -> Result<Step> {
        match step {
            Step::Create(mut create) => {
                self.fill_create(&mut create, registry, runtime.as_ref())?;
                Ok(Step::Create(create))
            }
            Step::Then(continuation) => {
                let (auto_pk, registry, runtime) =
                    (self.clone(), Arc::clone(registry), Arc::clone(runtime));
                Ok(Step::Then(Continuation::new(move |trace| {
                    let steps = continuation.call(trace)?;
                    steps
                        .into_iter()
                        .map(|step| auto_pk.fill_step(step, &registry, &runtime))
                        .collect()
                })))
            }
            other => Ok(other),
        }
    }

    fn fill_create(
        &self,
        create: &mut Create,
        registry: &Registry,
        runtime: &dyn Runtime,
    ) -> Result<()> {
        let collection = registry.collection(&create.collection)?;
        if collection.is_reserved() {
            return Ok(());
        }
        for (at, field) in collection.fields().iter().enumerate() {
            if matches!(field.field_type, FieldType::RandomKey) {
                for record in create.records.iter_mut().filter(|record| is_missing(record, at)) {
                    record.set(at, random_key(runtime));
                }
            }
        }
        let [at] = collection.primary_key() else { return Ok(()) };
        let format = match collection.fields()[*at].field_type {
            FieldType::AutoPk(format) => format,
            FieldType::Dynamic(Affinity::Integer) => KeyFormat::Int,
            FieldType::Int if self.chosen.contains_key(collection.name()) => KeyFormat::Int,
            FieldType::Binary | FieldType::Blob if self.chosen.contains_key(collection.name()) => {
                KeyFormat::Bytes
            }
            _ if self.chosen.contains_key(collection.name()) => KeyFormat::Text,
            _ => return Ok(()),
        };
        let default =
            if format == KeyFormat::Int { KeyGenerator::Int63 } else { KeyGenerator::UuidV7 };
        let generator = self.chosen.get(collection.name()).unwrap_or(&default);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for record in create.records.iter_mut().filter(|record| is_missing(record, *at)) {
            record.set(*at, state.key(generator, format, collection, runtime)?);
        }
        Ok(())
    }
}

fn is_missing(record: &Record, at: usize) -> bool {
    match record.get(at) {
        Value::Null => true,
        Value::Text(text) => text.is_empty(),
        _ => false,
    }
}

fn random_key(runtime: &dyn Runtime) -> Value {
    let mut bytes = [0; 20];
    runtime.fill_random(&mut bytes);
    Value::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for AutoPk {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        let operation = match operation {
            Operation::Execute(mut batch) => {
                let (registry, runtime) = (Arc::clone(cx.registry()), Arc::clone(cx.runtime()));
                batch.steps = batch
                    .steps
                    .into_iter()
                    .map(|step| self.fill_step(step, &registry, &runtime))
                    .collect::<Result<_>>()?;
                Operation::Execute(batch)
            }
            other => other,
        };
        next.run(cx, operation).await
    }
}

/// 2020-01-01, where the clocks of integer keys begin.
const EPOCH_2020: i64 = 1_577_836_800_000;

/// What must be remembered so that keys ascend.
#[derive(Debug)]
struct State {
    /// The last UUID v7: milliseconds and the 74 bits behind them.
    uuid_ms: i64,
    uuid_tail: u128,
    /// The last integer key's milliseconds since 2020 and count.
    int_ms: i64,
    int_count: i64,
    /// Drawn once: keeps the integers of two devices apart.
    node: Option<i64>,
    pool: [u8; 512],
    used: usize,
}

impl Default for State {
    fn default() -> Self {
        Self {
            uuid_ms: i64::MIN,
            uuid_tail: 0,
            int_ms: -1,
            int_count: 0,
            node: None,
            pool: [0; 512],
            used: 512,
        }
    }
}

impl State {
    fn key(
        &mut self,
        generator: &KeyGenerator,
        format: KeyFormat,
        collection: &Collection,
        runtime: &dyn Runtime,
    ) -> Result<Value> {
        let uuid = match generator {
            KeyGenerator::UuidV7 => self.uuid_v7(runtime),
            KeyGenerator::UuidV4 => {
                uuid::Builder::from_random_bytes(self.random(runtime)).into_uuid()
            }
            KeyGenerator::Int63 => return Ok(Value::Int(self.integer(runtime, 14, 8))),
            KeyGenerator::Int53 => return Ok(Value::Int(self.integer(runtime, 8, 4))),
            KeyGenerator::Custom(custom) => return Ok(custom.generate(collection, runtime)),
        };
        match format {
            KeyFormat::Text => Ok(Value::Text(uuid.hyphenated().to_string())),
            KeyFormat::Bytes => Ok(Value::Bytes(uuid.into_bytes().to_vec())),
            KeyFormat::Int => Err(Error::invalid(
                collection.name(),
                "its key is an integer, for which AutoPk was told to make UUIDs; choose Int63 or Int53",
            )),
        }
    }

    /// Random bytes, drawn from the runtime in larger portions.
    fn random<const N: usize>(&mut self, runtime: &dyn Runtime) -> [u8; N] {
        if self.used + N > self.pool.len() {
            runtime.fill_random(&mut self.pool);
            self.used = 0;
        }
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.pool[self.used..self.used + N]);
        self.used += N;
        bytes
    }

    /// RFC 9562, section 6.2, method 2: within a millisecond (and while the clock stands behind the last key) the random
    /// part grows by a random amount; when it is used up, the millisecond is counted on.
    fn uuid_v7(&mut self, runtime: &dyn Runtime) -> uuid::Uuid {
        const TAIL: u128 = (1 << 74) - 1;
        let now = runtime.now().0.clamp(0, (1 << 48) - 1);
        if now > self.uuid_ms {
            self.uuid_ms = now;
            // The highest bit stays free, so that the tail has room to grow.
            self.uuid_tail = u128::from_be_bytes(self.random(runtime)) & (TAIL >> 1);
        } else {
            let step = u128::from(u32::from_be_bytes(self.random(runtime)));
            self.uuid_tail += 1 + step;
            if self.uuid_tail > TAIL {
                self.uuid_ms += 1;
                self.uuid_tail &= TAIL >> 1;
            }
        }
        let ms = u128::try_from(self.uuid_ms).unwrap_or(0);
        let high = (self.uuid_tail >> 62) & 0xfff;
        let low = self.uuid_tail & ((1 << 62) - 1);
        uuid::Uuid::from_u128(ms << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)
    }

    fn integer(&mut self, runtime: &dyn Runtime, node_bits: u32, count_bits: u32) -> i64 {
        let now = runtime.now().0.saturating_sub(EPOCH_2020).clamp(0, (1 << 41) - 1);
        if now > self.int_ms {
            self.int_ms = now;
            self.int_count = 0;
        } else {
            self.int_count += 1;
            if self.int_count >= 1 << count_bits {
                self.int_ms += 1;
                self.int_count = 0;
            }
        }
        let node = match self.node {
            Some(node) => node,
            None => {
                let drawn = i64::from(u16::from_be_bytes(self.random(runtime)));
                *self.node.insert(drawn)
            }
        };
        let node = node & ((1 << node_bits) - 1);
        self.int_ms << (node_bits + count_bits) | node << count_bits | self.int_count
    }
}
