//! [`Transaction`]: aborted unless committed, and its commit says what became of it.
//!
//! Goes under `indexed_db_futures`, whose `commit` reports a failed request and commits all the same, and reports an
//! error for what had committed by itself. Here the transaction's own event is the answer.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use js_sys::{Array, Function, Object, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Event, IdbDatabase, IdbObjectStore, IdbTransaction};

use super::DomError;

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    ReadOnly,
    ReadWrite,
}

/// When the browser calls a transaction complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The browser decides.
    Default,
    /// When the operating system has it.
    Relaxed,
    /// When it is on the disk.
    Strict,
}

/// A transaction: aborted when dropped, unless committed.
///
/// **Await nothing in it but its own requests.** With anything else the browser commits what was sent so far and ends
/// the transaction.
#[derive(Debug)]
pub(crate) struct Transaction {
    sys: IdbTransaction,
    end: End,
    over: bool,
}

impl Transaction {
    /// Begins a transaction over these stores.
    ///
    /// # Errors
    /// `InvalidStateError` when the connection is closed or closing, `NotFoundError` when there is no such store.
    pub(crate) fn begin<'a>(
        database: &IdbDatabase,
        stores: impl IntoIterator<Item = &'a str>,
        mode: Mode,
        durability: Durability,
    ) -> Result<Self, DomError> {
        let stores: Array = stores.into_iter().map(JsValue::from).collect();
        // web-sys has the options only under `--cfg web_sys_unstable_apis`, which a library cannot ask of its users.
        let options = Object::new();
        Reflect::set(&options, &"durability".into(), &durability.as_str().into())?;
        let begin: Function = Reflect::get(database, &"transaction".into())?.dyn_into()?;
        let sys = begin.call3(database, &stores, &mode.as_str().into(), &options)?;
        let sys: IdbTransaction = sys.dyn_into()?;
        Ok(Self { end: End::of(&sys), sys, over: false })
    }

    /// One of its stores.
    ///
    /// # Errors
    /// `NotFoundError` when it is none of them, `InvalidStateError` when the transaction is over.
    pub(crate) fn store(&self, name: &str) -> Result<IdbObjectStore, DomError> {
        self.sys.object_store(name).map_err(DomError::from)
    }

    /// Calls a function for each failure of a request that nobody looked at.
    pub(crate) fn on_error(&self, listener: Option<&Function>) {
        self.sys.set_onerror(listener);
    }

    /// Why it was aborted already: what an earlier request failed with, when a later one only says `AbortError`.
    pub(crate) fn failure(&self) -> Option<DomError> {
        self.sys.error().map(|error| DomError::from(JsValue::from(error)))
    }

    /// Commits, and says what became of the transaction: `Ok` when all of it is in the database, an error when nothing
    /// of it is. That holds also for one that was over before.
    ///
    /// # Errors
    /// Why it was aborted: `ConstraintError` and the like of a request that nobody looked at, `QuotaExceededError`,
    /// [`DomError::NULL`] when the connection was lost, `UnknownError` when writing failed.
    pub(crate) async fn commit(mut self) -> Result<(), DomError> {
        self.over = true;
        // web-sys calls it deprecated by mistake. It throws when the transaction is over or about to abort, and is
        // missing in old browsers, which commit by themselves; how it ended, the event tells in any case.
        #[allow(deprecated)]
        let asked = self.sys.commit();
        if let Err(error) = asked {
            tracing::debug!(error = %DomError::from(error), "commit was called on a transaction that is over");
        }
        self.end.clone().await
    }

    #[cfg(test)]
    pub(super) fn sys(&self) -> &IdbTransaction {
        &self.sys
    }

    /// Rolls back.
    pub(crate) fn abort(self) {
        drop(self);
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.over {
            // Throws only when it is over already.
            let _ = self.sys.abort();
        }
    }
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "readonly",
            Self::ReadWrite => "readwrite",
        }
    }
}

impl Durability {
    fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Relaxed => "relaxed",
            Self::Strict => "strict",
        }
    }
}

/// How a transaction ended, by its own event.
#[derive(Debug, Clone)]
pub(super) struct End(Rc<RefCell<Ending>>);

#[derive(Debug, Default)]
struct Ending {
    result: Option<Result<(), DomError>>,
    waker: Option<Waker>,
}

impl End {
    /// Listens to a transaction, which must not be over.
    pub(super) fn of(transaction: &IdbTransaction) -> Self {
        let ending = Rc::new(RefCell::new(Ending::default()));
        let ended = Closure::once_into_js({
            let ending = Rc::clone(&ending);
            let transaction = transaction.clone();
            move |event: Event| ended(&ending, &transaction, &event)
        });
        // By `addEventListener`: the binding sets the handlers of upgrade transactions for itself.
        for event in ["complete", "abort"] {
            let listening =
                transaction.add_event_listener_with_callback(event, ended.unchecked_ref());
            if let Err(error) = listening {
                // Cannot be: it throws only for arguments of the wrong type.
                ending.borrow_mut().result = Some(Err(error.into()));
            }
        }
        Self(ending)
    }
}

fn ended(ending: &RefCell<Ending>, transaction: &IdbTransaction, event: &Event) {
    let result = if event.type_() == "complete" {
        Ok(())
    } else {
        Err(transaction.error().map_or_else(
            || {
                DomError::null(
                    "the transaction was aborted and gave no error; its connection may be lost",
                )
            },
            |error| DomError::from(JsValue::from(error)),
        ))
    };
    let mut ending = ending.borrow_mut();
    ending.result = Some(result);
    let waker = ending.waker.take();
    drop(ending);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Future for End {
    type Output = Result<(), DomError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut ending = self.0.borrow_mut();
        match ending.result.clone() {
            Some(result) => Poll::Ready(result),
            None => {
                ending.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
