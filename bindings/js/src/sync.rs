//! [`SyncHandle`]: sync with a server, as one tab uses it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use js_sys::Function;
use serde_json::{Value as Json, json};
use storex_core::{Source, Storage, WebRuntime, describe};
use storex_sync::http::id_text;
use storex_sync::{
    ContinuousSync, Device, EncryptedSharedLog, Passphrase, SyncHandle as _, SyncPlace, TabSync,
    WaitsFor, WriteId, parked, rejected,
};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::database::Database;
use crate::engine::{Engine, Given, OfEngine, Start};
use crate::error::{Result, ToJs, closed, invalid, thrown, thrown_as, unsupported};
use crate::reports::{event_json, report_json, status_json};
use crate::telling::{Subscription, call, tell};

/// Sync with a server, which goes on until it is stopped: one for all tabs, as this one uses it.
#[wasm_bindgen]
#[derive(Debug)]
pub struct SyncHandle {
    tabs: TabSync,
    here: Here,
}

/// What has become of the engine in this tab, if it was started.
type Here = Rc<RefCell<Option<storex_sync::Result<OfEngine>>>>;

#[wasm_bindgen]
impl Database {
    /// Keeps in step with a server from now on: in the worker that is named, for all tabs; without one, or where there is none, in this
    /// tab, while no other does.
    ///
    /// # Errors
    /// The storage's; with a passphrase and no keys, those of the server.
    pub async fn start_sync(&self, given: Given) -> Result<SyncHandle> {
        let (start, worker) = (Start::read(&given)?, given.worker());
        let here = Here::default();
        let builder = TabSync::builder(self.name.as_str(), Arc::new(WebRuntime));
        let mut builder = builder.version(given.version().unwrap_or_default());
        if let Some(worker) = &worker {
            builder = builder.worker(worker.as_str());
        }
        let (storage, name, told) = (self.storage.clone(), self.name.clone(), Rc::clone(&here));
        let in_tab =
            move || start_here(start.clone(), storage.clone(), name.clone(), Rc::clone(&told));
        match builder.here(in_tab).connect().await {
            Ok(tabs) => Ok(SyncHandle { tabs, here }),
            Err(nowhere) => Err(match (here.take(), worker) {
                // No other place was to be tried.
                (Some(Err(error)), None) => thrown(&error),
                (Some(Err(error)), Some(_)) => thrown_as(&error, &describe(&nowhere)),
                _ => thrown(&nowhere),
            }),
        }
    }
}

async fn start_here(
    start: Start,
    storage: Storage,
    name: String,
    here: Here,
) -> std::result::Result<ContinuousSync, Source> {
    let started = start.on(&storage, &name).await;
    let (told, result) = match started {
        Ok(Engine { continuous, rest }) => (Ok(rest), Ok(continuous)),
        Err(error) => {
            let reason = describe(&error);
            (Err(error), Err(reason.into()))
        }
    };
    here.replace(Some(told));
    result
}

#[wasm_bindgen]
impl SyncHandle {
    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> String {
        status_json(&self.tabs.status().borrow()).to_string()
    }

    /// Tells the status, now and whenever it changes.
    pub fn on_status(&self, told: Function) -> Subscription {
        let mut receiver = self.tabs.status();
        receiver.mark_changed();
        tell(receiver, async move |receiver| {
            if receiver.changed().await.is_err() {
                return false;
            }
            let status = status_json(&receiver.borrow_and_update()).to_string();
            call(&told, &status.into());
            true
        })
    }

    /// Tells what has happened.
    pub fn on_event(&self, told: Function) -> Subscription {
        tell(self.tabs.events(), async move |events| {
            let Some(event) = events.next().await else { return false };
            call(&told, &event_json(&event).to_string().into());
            true
        })
    }

    /// Makes an exchange now, and tells what it has done.
    ///
    /// # Errors
    /// The exchange's; when it was stopped.
    pub async fn sync_now(&self) -> Result<String> {
        let exchanged = self.tabs.sync_now().await;
        let report = exchanged.ok_or_else(|| closed("sync was stopped"))?.to_js()?;
        Ok(report_json(&report).to_string())
    }

    /// Makes no exchange until it is resumed.
    ///
    /// # Errors
    /// When it was stopped.
    pub async fn pause(&self) -> Result<()> {
        self.tabs.pause().await.to_js()
    }

    /// Goes on.
    ///
    /// # Errors
    /// When it was stopped.
    pub async fn resume(&self) -> Result<()> {
        self.tabs.resume().await.to_js()
    }

    /// Ends the use of it by this tab; with the last one it ends, after the exchange that is running.
    pub async fn stop(&self) {
        self.tabs.stop().await;
    }

    /// Somebody has logged in: the application is asked for a token again.
    pub fn logged_in(&self) {
        if let Some(Ok(engine)) = &*self.here.borrow() {
            engine.tokens.forget();
        }
        self.tabs.logged_in();
    }

    /// How many transactions are still to be sent.
    ///
    /// # Errors
    /// The storage's.
    pub async fn unsent(&self) -> Result<f64> {
        Ok(crate::database::number(self.tabs.unsent().await.to_js()?))
    }

    /// The digits by which the server knows this device.
    ///
    /// # Errors
    /// The storage's.
    pub async fn device_id(&self) -> Result<String> {
        Ok(id_text(self.tabs.device().await.to_js()?.id))
    }

    /// The keys that the log is encrypted with, for the next time; nothing without encryption. They are a secret.
    ///
    /// # Errors
    /// When sync runs in a worker: they are there.
    pub fn keys(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.encrypted()?.map(|log| log.key_ring().to_bytes().to_vec()))
    }

    /// Takes up keys that a new passphrase opens.
    ///
    /// # Errors
    /// For a wrong one; those of the server; when sync runs in a worker.
    pub async fn unlock(&self, passphrase: String) -> Result<()> {
        match self.encrypted()? {
            Some(log) => log.unlock(&Passphrase::new(passphrase)).await.to_js(),
            None => Err(invalid("this sync is not encrypted: start it with a passphrase")),
        }
    }

    /// Where it runs for this tab.
    #[must_use]
    pub fn place(&self) -> String {
        let word = match self.tabs.place() {
            SyncPlace::SharedWorker => "shared-worker",
            SyncPlace::Worker => "worker",
            SyncPlace::Tab => "tab",
        };
        word.to_owned()
    }

    fn encrypted(&self) -> Result<Option<Arc<EncryptedSharedLog>>> {
        if self.tabs.place() != SyncPlace::Tab {
            return Err(unsupported("the keys are in the worker, where sync runs"));
        }
        Ok(match &*self.here.borrow() {
            Some(Ok(engine)) => engine.encrypted.clone(),
            _ => None,
        })
    }
}

#[wasm_bindgen]
impl Database {
    /// What others have written and could not be applied yet.
    ///
    /// # Errors
    /// The storage's.
    pub async fn parked(&self) -> Result<String> {
        let list = parked(&self.storage).await.to_js()?;
        let list = list.into_iter().map(|it| {
            json!({
                "write": write_text(it.device, it.sequence),
                "reason": it.reason,
                "waitsFor": match it.waits_for {
                    WaitsFor::Update => "update",
                    WaitsFor::Change => "change",
                    WaitsFor::Time => "time",
                    WaitsFor::InitialSync => "initial-sync",
                },
            })
        });
        Ok(Json::Array(list.collect()).to_string())
    }

    /// What was written here and the shared log refuses for good.
    ///
    /// # Errors
    /// The storage's.
    pub async fn rejected(&self) -> Result<String> {
        let list = rejected(&self.storage).await.to_js()?;
        let list = list.into_iter().map(|it| {
            json!({ "write": write_text(it.write.device, it.write.sequence), "reason": it.reason })
        });
        Ok(Json::Array(list.collect()).to_string())
    }
}

#[wasm_bindgen]
impl SyncHandle {
    /// Tries what is parked again.
    ///
    /// # Errors
    /// The storage's.
    pub async fn retry_parked(&self) -> Result<()> {
        self.tabs.retry_parked().await.to_js()?;
        Ok(())
    }

    /// Forgets a parked transaction.
    ///
    /// # Errors
    /// When it is not parked.
    pub async fn discard_parked(&self, write: String) -> Result<()> {
        self.tabs.discard(write_id(&write)?).await.to_js()?;
        Ok(())
    }

    /// Writes again what the shared log has refused.
    ///
    /// # Errors
    /// When it was not refused.
    pub async fn retry_rejected(&self, write: String) -> Result<()> {
        self.tabs.retry_rejected(write_id(&write)?).await.to_js()
    }

    /// Takes back what the shared log has refused.
    ///
    /// # Errors
    /// When it was not refused.
    pub async fn discard_rejected(&self, write: String) -> Result<()> {
        self.tabs.discard_rejected(write_id(&write)?).await.to_js()?;
        Ok(())
    }
}

/// The name of a transaction: device, incarnation and number.
fn write_text(device: Device, sequence: u64) -> String {
    format!("{}.{}.{sequence}", id_text(device.id), device.incarnation)
}

fn write_id(text: &str) -> Result<WriteId> {
    let read = || {
        let mut parts = text.split('.');
        let (id, incarnation, sequence) = (parts.next()?, parts.next()?, parts.next()?);
        let device = Device {
            id: u128::from_str_radix(id, 16).ok()?.to_be_bytes(),
            incarnation: incarnation.parse().ok()?,
        };
        Some(WriteId { device, sequence: sequence.parse().ok()? })
    };
    read().ok_or_else(|| invalid(&format!("`{text}` is no name of a transaction")))
}
