//! The cases for [`Exclusive`], by whatever means. A case's name says what it asserts.
#![allow(missing_docs)] // see above

pub mod guards;
pub mod turns;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{BoxFuture, MaybeSend, MaybeSync, Runtime};
use storex_sync::{Exclusive, Guard};

/// Makes instances of one means, as the programs that share a database have them.
pub struct ExclusiveHarness {
    make: Box<dyn MakeExclusive>,
    runtime: Arc<dyn Runtime>,
}

trait MakeExclusive: MaybeSend + MaybeSync {
    fn make(&self, database: u64) -> BoxFuture<'static, Exclusive>;
}

impl<F: Fn(u64) -> BoxFuture<'static, Exclusive> + MaybeSend + MaybeSync> MakeExclusive for F {
    fn make(&self, database: u64) -> BoxFuture<'static, Exclusive> {
        self(database)
    }
}

impl fmt::Debug for ExclusiveHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExclusiveHarness")
    }
}

impl ExclusiveHarness {
    /// The function opens one of a case's databases, given its number, and makes an instance for it; the databases are the
    /// same for the whole of a case and of no other. What it opens runs on this runtime, whose tasks must run and whose
    /// time must pass.
    pub fn new(
        runtime: Arc<dyn Runtime>,
        make: impl Fn(u64) -> BoxFuture<'static, Exclusive> + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        Self { make: Box::new(make), runtime }
    }

    /// An instance for the case's database, as another program has it.
    pub async fn instance(&self) -> Exclusive {
        self.make.make(0).await
    }

    /// One for another database.
    pub async fn of_another_database(&self) -> Exclusive {
        self.make.make(1).await
    }

    async fn sleep(&self, milliseconds: u64) {
        self.runtime.sleep(Duration::from_millis(milliseconds)).await;
    }
}

/// Longer than any hand-over takes, also on a busy machine.
const SOON: Duration = Duration::from_secs(30);

async fn get(exclusive: &Exclusive) -> Option<Guard> {
    exclusive.try_acquire().await.unwrap()
}

/// Every case of the suite as a test on the instances that the function makes.
///
/// ```
/// use std::sync::Arc;
///
/// use storex_conformance::exclusive::ExclusiveHarness;
/// use storex_conformance::exclusive_conformance;
/// use storex_core::{Definition, FieldType, Registry, Storage};
/// use storex_memory::{MemoryBackend, TestRuntime};
/// use storex_sync::{Exclusive, LeaseTimes, SyncLog};
///
/// fn lease() -> ExclusiveHarness {
///     let runtime = Arc::new(TestRuntime::new(1));
///     let databases = [Arc::new(MemoryBackend::new()), Arc::new(MemoryBackend::new())];
///     ExclusiveHarness::new(runtime.clone(), move |database| {
///         let backend = Arc::clone(&databases[database as usize]);
///         let runtime = runtime.clone();
///         Box::pin(async move {
///             let note = Definition::new("note").field("title", FieldType::String);
///             let registry = Registry::builder().collection(note).build().unwrap();
///             let storage = Storage::builder(backend, registry, runtime).middleware(SyncLog::new());
///             let storage = storage.open().await.unwrap();
///             Exclusive::lease(&storage, LeaseTimes::default()).await.unwrap()
///         })
///     })
/// }
///
/// exclusive_conformance!(lease);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! exclusive_conformance {
    ($make:expr) => {
        $crate::__storex_suite! { $make => $crate::exclusive::ExclusiveHarness; by_case; exclusive:
            turns {
                one_has_it_at_a_time
                of_many_with_the_same_settings_one_gets_it
                who_waits_gets_it_when_it_is_released
                who_waits_gives_up_at_the_limit
                each_of_three_gets_a_turn
                another_database_is_another_matter
                one_that_was_given_up_while_it_was_asked_for_is_free
            }
            guards {
                are_counted
                that_are_dropped_release_it
                outlive_the_instance
                have_a_token_that_grows
                tell_once_whether_somebody_else_had_it
            }
        }
    };
}
