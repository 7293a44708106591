//! The cases for [`Store`], where a server keeps everything. A case's name says what it asserts.
#![allow(missing_docs)] // see above

pub mod directory;
pub mod isolation;
pub mod news;

use std::fmt;
use std::sync::Arc;

use storex_core::BoxFuture;
use storex_server::{Store, User};
use tokio::sync::OnceCell;

/// A store that was opened.
type Opened = BoxFuture<'static, Arc<dyn Store>>;

/// Opens the store of one case, which is empty at first.
pub struct StoreHarness {
    open: Box<dyn Fn() -> Opened + Send + Sync>,
    first: OnceCell<Arc<dyn Store>>,
    is_shared: bool,
}

impl fmt::Debug for StoreHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreHarness")
    }
}

impl StoreHarness {
    /// A harness over the store that the function opens, for one server.
    pub fn new(open: impl Fn() -> Opened + Send + Sync + 'static) -> Self {
        Self { open: Box::new(open), first: OnceCell::new(), is_shared: false }
    }

    /// Says that several servers may share the store: the function opens it once more for each.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.is_shared = true;
        self
    }

    /// The store of the one server.
    pub async fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.first.get_or_init(|| (self.open)()).await)
    }

    /// The same store for another server; where there is one server only, it is that one's.
    pub async fn another_server(&self) -> Arc<dyn Store> {
        let first = self.store().await;
        if self.is_shared { (self.open)().await } else { first }
    }
}

pub(crate) fn user(name: &str) -> User {
    User::new(name).expect("the name of a user")
}

/// Users whose names are alike in some way: one begins like another, differs in case, or in what a database may fold or take for a pattern.
pub(crate) fn alike() -> Vec<User> {
    let long = "x".repeat(128);
    let names = [
        "ada",
        "ad",
        "ada2",
        "Ada",
        "ADA",
        "ada ",
        " ada",
        "ada%",
        "%",
        "a_a",
        "_",
        "a*",
        "*",
        "ada/log",
        "ada:log",
        "ada\\",
        "ada'",
        "\"ada\"",
        "1",
        "01",
        "1.0",
        "\u{e9}",
        "e\u{301}",
        "ß",
        "ss",
        "ı",
        "i",
        "日本",
        "🦀",
        &long,
        &long[1..],
    ];
    names.map(user).to_vec()
}

/// Every case of the suite as a test on the store that the function gives.
///
/// ```
/// use std::sync::Arc;
/// use storex_conformance::{CaseRuntime, store::StoreHarness, store_conformance};
/// use storex_memory::MemoryBackend;
/// use storex_server::{BackendStore, Store};
///
/// fn memory() -> StoreHarness {
///     StoreHarness::new(|| Box::pin(async {
///         let runtime = Arc::new(CaseRuntime::new(1));
///         Arc::new(BackendStore::open(MemoryBackend::new(), runtime).await.unwrap()) as Arc<dyn Store>
///     }))
/// }
///
/// store_conformance!(memory);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! store_conformance {
    ($make:expr) => {
        $crate::__storex_suite! { $make => $crate::store::StoreHarness; by_case; store:
            directory {
                nobody_is_there_at_first
                who_came_is_listed_in_the_order_of_coming
                a_device_that_comes_again_is_the_same
                it_is_called_what_it_was_called_last
                that_it_was_seen_is_written_once_a_minute
                a_clock_that_steps_back_changes_nothing
                who_is_shut_out_stays_so
                one_that_never_came_is_shut_out_too
                what_two_do_at_once_counts
                what_one_server_notes_another_one_knows
            }
            isolation {
                nobody_reads_what_another_user_wrote
                places_and_counts_tell_nothing_of_others
                what_is_done_to_one_log_is_done_to_no_other
                snapshots_are_of_one_user
                blobs_are_of_one_user
                nobody_sees_the_devices_of_another_user
                the_log_of_a_user_is_one
                the_same_devices_may_be_of_several_users
            }
            news {
                they_wake_their_own_user
                another_server_hears_of_them
                it_answers
            }
        }
    };
}
