//! Live queries, and the moments at which they have what was committed: milliseconds since 1970, which all tabs and workers
//! of a machine count alike.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use js_sys::Date;
use storex_core::{Batch, Error, Query, Record};
use tokio::sync::watch;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::device::Device;
use crate::error::{Result, ToJs};

thread_local! {
    /// The live queries of this page or worker, by the names that the scenario gives them.
    static FOLLOWED: RefCell<HashMap<String, Followed>> = RefCell::default();
}

/// A live query over all accounts: when it had each of them first, and how many there are.
type Followed = Rc<watch::Sender<(HashMap<String, f64>, usize)>>;

fn followed(label: &str) -> Result<Followed> {
    let followed = FOLLOWED.with_borrow(|all| all.get(label).cloned());
    followed.ok_or_else(|| JsError::new("there is no live query of that name"))
}

fn account(name: &str) -> Record {
    Record::new(vec![name.into(), 0.into()])
}

fn accounts(prefix: &str, count: u32) -> Batch {
    let records = (0..count).map(|n| account(&format!("{prefix} {n}"))).collect();
    Batch::new().create("account", records)
}

#[wasm_bindgen]
impl Device {
    /// Follows the accounts from now on; returns with the first result.
    ///
    /// # Errors
    /// The storage's.
    pub async fn follow(&self, label: String) -> Result<()> {
        let mut live = self.storage.live(Query::new("account"));
        let followed = Followed::new(watch::Sender::default());
        FOLLOWED.with_borrow_mut(|all| all.insert(label, Rc::clone(&followed)));
        let note = move |found: Vec<Record>| {
            let now = Date::now();
            followed.send_modify(|(seen, count)| {
                *count = found.len();
                for name in found.iter().filter_map(|record| record.get(0).as_text()) {
                    if !seen.contains_key(name) {
                        seen.insert(name.to_owned(), now);
                    }
                }
            });
        };
        note(live.next().await.ok_or_else(|| JsError::new("the storage is closed"))?.to_js()?);
        wasm_bindgen_futures::spawn_local(async move {
            while let Some(Ok(found)) = live.next().await {
                note(found);
            }
        });
        Ok(())
    }

    /// When the live query had this account first; waits for it.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn saw(&self, label: String, name: String) -> Result<f64> {
        let mut followed = followed(&label)?.subscribe();
        let found = followed.wait_for(|(seen, _)| seen.contains_key(&name)).await.to_js()?;
        found.0.get(&name).copied().ok_or_else(|| JsError::new("it was there"))
    }

    /// Whether the live query has had this account.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn has_seen(&self, label: String, name: String) -> Result<bool> {
        Ok(followed(&label)?.borrow().0.contains_key(&name))
    }

    /// How many accounts the live query has.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn follows(&self, label: String) -> Result<usize> {
        Ok(followed(&label)?.borrow().1)
    }

    /// Creates an account; when that was committed.
    ///
    /// # Errors
    /// The storage's.
    pub async fn commit(&self, name: String) -> Result<f64> {
        self.storage.execute(Batch::new().create("account", vec![account(&name)])).await.to_js()?;
        Ok(Date::now())
    }

    /// Creates so many accounts in one batch; when that was committed.
    ///
    /// # Errors
    /// The storage's.
    pub async fn commit_many(&self, prefix: String, count: u32) -> Result<f64> {
        self.storage.execute(accounts(&prefix, count)).await.to_js()?;
        Ok(Date::now())
    }

    /// Creates so many accounts in one batch, which is given up at its end.
    ///
    /// # Errors
    /// When it is not refused.
    pub async fn give_up_many(&self, prefix: String, count: u32) -> Result<()> {
        let refused =
            accounts(&prefix, count).then(|_| Err(Error::Aborted { reason: "a test".to_owned() }));
        match self.storage.execute(refused).await {
            Ok(_) => Err(JsError::new("it was committed")),
            Err(_) => Ok(()),
        }
    }

    /// Creates accounts in batches of so many each, past the middleware; how many milliseconds that took.
    ///
    /// # Errors
    /// The storage's.
    pub async fn time_writes(&self, prefix: String, batches: u32, size: u32) -> Result<f64> {
        let start = Date::now();
        for n in 0..batches {
            self.storage.apply(accounts(&format!("{prefix} {n}"), size)).await.to_js()?;
        }
        Ok(Date::now() - start)
    }

    /// Listens to the changes from now on, and does nothing with them.
    pub fn listen(&self) {
        let mut changes = self.storage.changes();
        wasm_bindgen_futures::spawn_local(async move { while changes.next().await.is_some() {} });
    }

    /// From now on this page or worker has no `BroadcastChannel`; databases that are open keep theirs.
    ///
    /// # Errors
    /// None.
    pub fn without_channels(&self) -> Result<()> {
        let global = js_sys::global();
        js_sys::Reflect::delete_property(&global, &"BroadcastChannel".into())
            .map(drop)
            .map_err(|_| JsError::new("it cannot be deleted"))
    }
}
