//! [`Storage::transaction`]: read, decide, write, in one transaction of the backend.
//!
//! A transaction is a batch whose one step is a continuation. It calls the application's function; the function asks for
//! a step, which has no answer yet, and is left by `?`; the continuation gives that step, and itself again:
//!
//! ```text
//!   function:   get a ──✗            get a ─▶ 70, get b ──✗       get a ─▶ 70, get b ─▶ 0, update a ──✗     …   Ok
//!   batch:      [get a, Then]        [get b, Then]                [update a, Then]                              []
//! ```
//!
//! So the function is run once per step, each time a step further, and no asynchronous code runs inside the transaction.

mod dynamic;
mod run;
mod steps;
mod typed;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::error::{Error, ErrorKind, Result};
use crate::maybe::{MaybeSend, MaybeSync};
use crate::storage::Storage;
use crate::value::Name;

pub use dynamic::TransactionDynamic;
pub use steps::Transaction;
pub use typed::TransactionCollection;

use run::{End, Function};

/// How often a transaction is tried again while somebody else holds the database, with a longer pause each time.
const BUSY_RETRIES: u32 = 5;

/// The pause before the first of these.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

impl Storage {
    /// Reads, decides and writes in one transaction: atomic, isolated, and the same on every backend.
    ///
    /// What the function reads is as it is inside the transaction, its own writes included. When it returns `Ok`,
    /// everything that it wrote is committed; when it returns an error, nothing was written, and the error comes back as it
    /// is. It may be an error of the application's own, anything that is `From<`[`Error`]`>`.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use serde_json::json;
    /// # use storex_core::{Definition, FieldType, Registry, Storage};
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storex_core::Result<()> {
    /// # let account = Definition::new("account").field("cents", FieldType::Int);
    /// # let registry = Registry::builder().collection(account).build()?;
    /// # let runtime = Arc::new(TestRuntime::new(1));
    /// # let storage = Storage::builder(MemoryBackend::new(), registry, runtime).open().await?;
    /// # let accounts = storage.dynamic("account")?;
    /// # accounts.create_many(&[json!({"id": "a", "cents": 70}), json!({"id": "b", "cents": 0})]).await?;
    /// use storex_core::{Error, Result};
    ///
    /// let pay = |cents: i64| {
    ///     storage.transaction(move |tx| -> Result<i64> {
    ///         let accounts = tx.dynamic("account")?;
    ///         let there = accounts.get("a")?.and_then(|a| a["cents"].as_i64()).unwrap_or(0);
    ///         if there < cents {
    ///             return Err(Error::Aborted { reason: format!("{there} cents are not enough") });
    ///         }
    ///         accounts.update(&json!({"id": "a"}), &json!({"cents": {"$inc": -cents}}))?;
    ///         accounts.update(&json!({"id": "b"}), &json!({"cents": {"$inc": cents}}))?;
    ///         Ok(there - cents)
    ///     })
    /// };
    /// assert_eq!(pay(50).await?, 20);
    /// assert!(pay(50).await.is_err(), "nothing is written");
    /// # Ok(()) }
    /// ```
    ///
    /// # The function
    /// - **It is synchronous**, as IndexedDB ends a transaction as soon as anything but one of its own requests is awaited.
    ///   On SQLite it runs on the thread that writes, and every other write waits for it.
    /// - **It is run once for each of its steps**, from its beginning, until it comes to its end. So it must do the same
    ///   whenever it is given the same answers: make identifiers, times and random numbers before, and move them in. A
    ///   function that asks for something else the next time is refused with [`Error::Aborted`]. What it does beside its
    ///   steps is done several times.
    /// - **It leaves with `?`.** A step that has no answer yet gives an error, which is to be passed on. When it is
    ///   swallowed, the function is run again all the same.
    /// - **What the database refuses ends the transaction**: the function does not see it. To decide whether an object is
    ///   there, read it.
    /// - **Each step costs a little for every step before it**: a thousand creates one by one take some tenths of a second. Write
    ///   many objects with `create_many`, and change many with one `update`.
    ///
    /// The transaction covers the collections that the function asks for. They are found out by running it: when it comes to
    /// one that is not covered, the transaction is given up and begun again with it. While somebody else holds the
    /// database, it is tried again a few times.
    ///
    /// Dropping the future leaves all or nothing: the transaction may still be committed.
    ///
    /// # Errors
    /// The function's own; what the database refuses a step with; [`ErrorKind::Busy`] when somebody else holds the database
    /// for longer. Nothing was written then.
    pub async fn transaction<R, E>(
        &self,
        function: impl Fn(&Transaction<'_>) -> Result<R, E> + MaybeSend + MaybeSync + 'static,
    ) -> Result<R, E>
    where
        R: MaybeSend + 'static,
        E: From<Error> + MaybeSend + 'static,
    {
        let function = Arc::new(Function::new(self, function));
        let mut covered: BTreeSet<Name> = function.first_collections();
        let mut retries = 0;
        loop {
            let batch = Batch::new().touching(covered.iter().cloned());
            // Not what comes of these by itself: what a write to that would need is not covered.
            let scope = Arc::new(covered.clone());
            let batch = batch.step(function.begin(scope));
            match (self.execute(batch).await, function.take_end()) {
                (Ok(_), Some(End::Done(result))) => return Ok(result),
                (Ok(_), _) => {
                    let reason = "a middleware has answered the transaction without running it";
                    return Err(Error::Aborted { reason: reason.to_owned() }.into());
                }
                (Err(Error::Aborted { .. }), Some(End::Failed(error))) => return Err(error),
                (Err(Error::Aborted { .. }), Some(End::Beyond(collections))) => {
                    covered.extend(collections);
                }
                (Err(error), _) if error.kind() == ErrorKind::Busy && retries < BUSY_RETRIES => {
                    tracing::debug!(%error, retries, "a transaction is tried again");
                    self.runtime().sleep(self.pause(retries)).await;
                    retries += 1;
                }
                (Err(error), _) => return Err(error.into()),
            }
        }
    }

    /// Twice as long each time, and up to twice that by chance, so that two who wait do not meet again.
    fn pause(&self, retries: u32) -> Duration {
        let mut byte = [0];
        self.runtime().fill_random(&mut byte);
        let pause = FIRST_PAUSE * 2_u32.pow(retries);
        pause + pause * u32::from(byte[0]) / 255
    }
}
