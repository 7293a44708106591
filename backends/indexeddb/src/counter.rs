//! [`Counter`]: commits are counted in the database for tabs and workers that have no `BroadcastChannel` to hear of them.
//!
//! Whoever has no channel counts what it commits, in the same transaction, and looks at the count. Whoever has one counts
//! nothing and looks rarely: when the count moves, somebody is there who has none, and from then on it counts as well.

use std::cell::Cell;

use wasm_bindgen::JsValue;
use web_sys::IdbObjectStore;

use crate::raw::{DomError, Request};

/// The key of the count in the store of our own.
const COMMITS: &str = "commits";

/// Who counts nothing looks once where it is asked so often.
const RARELY: u32 = 10;

/// What this tab or worker knows of the count.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    counts: Cell<bool>,
    /// How many commits it has counted itself.
    own: Cell<u64>,
    /// How many others have, at the last look.
    others: Cell<Option<u64>>,
    asked: Cell<u32>,
}

impl Counter {
    /// Whether commits are to be counted.
    pub(crate) fn counts(&self) -> bool {
        self.counts.get()
    }

    /// From now on they are: there is no channel here, or somewhere else.
    pub(crate) fn begin(&self) {
        self.counts.set(true);
    }

    /// One of its own was counted.
    pub(crate) fn counted(&self) {
        self.own.set(self.own.get().wrapping_add(1));
    }

    /// What others have counted, where it is too early to look again.
    pub(crate) fn known(&self) -> Option<u64> {
        let asked = self.asked.get();
        self.asked.set((asked + 1) % RARELY);
        self.others.get().filter(|_| !self.counts() && asked > 0)
    }

    /// Takes what the database holds, and gives what others have counted of it, and whether that is news.
    pub(crate) fn looked(&self, count: u64) -> (u64, bool) {
        let others = count.wrapping_sub(self.own.get());
        let before = self.others.replace(Some(others));
        (others, before.is_some_and(|before| before != others))
    }
}

/// How many commits were counted.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) async fn read(own: &IdbObjectStore) -> Result<u64, DomError> {
    let count = Request::of(own.get(&COMMITS.into()))?.await?;
    Ok(count.as_f64().unwrap_or_default() as u64)
}

/// Counts one, in the transaction that it counts.
#[allow(clippy::cast_precision_loss)] // as many commits never are
pub(crate) async fn raise(own: &IdbObjectStore) -> Result<(), DomError> {
    let count = read(own).await? + 1;
    let count = JsValue::from_f64(count as f64);
    Request::of(own.put_with_key(&count, &COMMITS.into()))?.await.map(drop)
}
