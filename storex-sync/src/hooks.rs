//! [`SyncHooks`]: what an application may say to what is sent, received, applied and merged.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use storex_core::{Collection, Error, Key, MaybeSend, MaybeSync, Name, Record, Value};

use crate::error::{Result, SyncError};
use crate::journal::Conflict;
use crate::merging::Merging;
use crate::stamp::Stamp;
use crate::transaction::{Entry, EntryKind, EntryValue, Transaction};

/// What an application may say to what is sent, received, applied and merged; given to the sync log with
/// [`SyncLog::hooks`](crate::SyncLog::hooks). Each function does nothing unless it is written anew.
///
/// One that panics is told as an error, and sync goes on: what was to be sent waits, what has arrived is parked, and a conflict
/// stays in the journal.
///
/// All of them are synchronous and must be quick; none may use the storage. What is sent and received is what
/// goes through a shared log: an initial sync, and a state that is sent again to a log that was wiped, hand over whole objects, which
/// only [`SyncHooks::before_apply`] sees.
///
/// ```
/// use storex_core::Value;
/// use storex_sync::{Conflict, Decision, PassingEntry, SyncHooks, SyncLog, Verdict};
///
/// #[derive(Debug)]
/// struct Mine;
///
/// impl SyncHooks for Mine {
///     // Drafts stay on this device.
///     fn before_send(&self, entry: &mut PassingEntry<'_>) -> Verdict {
///         let is_draft = entry.value("draft") == Some(&Value::Bool(true));
///         if is_draft { Verdict::Drop } else { Verdict::Pass }
///     }
///
///     // Of two texts written at once both stay.
///     fn on_conflict(&self, conflict: &Conflict) -> Decision {
///         match (conflict.won.content.value(), conflict.lost.content.value()) {
///             (Some(Value::Text(won)), Some(Value::Text(lost))) => {
///                 Decision::Replace(Value::from(format!("{won}\n{lost}")))
///             }
///             _ => Decision::Leave,
///         }
///     }
/// }
///
/// let log = SyncLog::new().hooks(Mine);
/// # let _ = log;
/// ```
pub trait SyncHooks: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// An entry is about to be sent. It may be changed, or dropped: then it is in no log. (An initial sync, and a state that is sent again, do not ask.)
    ///
    /// It is asked once for each entry: what comes of it is stored in the log, and is what is sent however often that takes. (If the
    /// program ends before it is stored, it is asked again.) Who drops the creation of an object should drop its updates too, which
    /// other devices could not apply.
    fn before_send(&self, entry: &mut PassingEntry<'_>) -> Verdict {
        let _ = entry;
        Verdict::Pass
    }

    /// An entry of another device has arrived. It may be changed, or dropped: it counts as applied then. What is parked comes here
    /// again when it is tried again, as it was sent. Devices that are not to differ do the same here.
    fn after_receive(&self, entry: &mut PassingEntry<'_>) -> Verdict {
        let _ = entry;
        Verdict::Pass
    }

    /// What has arrived is about to be written to an object, inside the transaction. It cannot be changed: devices would differ.
    ///
    /// # Errors
    /// The reason why it must not be written. The transaction that it comes from is parked with it, and is tried again when something
    /// else has arrived. Of an initial sync the object is parked.
    fn before_apply(&self, write: &ObjectWrite<'_>) -> std::result::Result<(), String> {
        let _ = write;
        Ok(())
    }

    /// A write of this device has lost to one of another device; neither had seen the other. What is decided here is a write like any
    /// other: it is logged, reaches all devices, and has seen both.
    ///
    /// It is asked once for each conflict, on the device whose write has lost, and on no other: so devices that decide differently do
    /// not answer each other for ever. It is called after the transaction that has merged; if the program ends before, it is called
    /// when sync begins again. Where the field was changed since, the decision is passed over, and the conflict stays in the
    /// [journal](crate::ConflictJournal).
    fn on_conflict(&self, conflict: &Conflict) -> Decision {
        let _ = conflict;
        Decision::Leave
    }
}

/// Whether an entry goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Pass,
    /// It does not.
    Drop,
}

/// What is decided about a conflict.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// What has won is right, and what has lost stays in the journal.
    Leave,
    /// What has lost is put back: this device's value, or its object if another device has deleted it.
    Restore,
    /// The field gets this value.
    Replace(Value),
}

/// An entry on its way.
#[derive(Debug)]
pub struct PassingEntry<'a> {
    /// When it was written, and by which device.
    pub stamp: Stamp,
    /// What happened.
    pub kind: EntryKind,
    /// The collection.
    pub collection: &'a Name,
    /// The object.
    pub key: Key,
    fields: &'a [Name],
    values: &'a mut [EntryValue],
    is_changed: bool,
}

impl PassingEntry<'_> {
    /// The fields that it is about, beside the key.
    #[must_use]
    pub fn fields(&self) -> &[Name] {
        self.fields
    }

    /// What a field holds after it; `None`: it is not about this field.
    #[must_use]
    pub fn value(&self, field: &str) -> Option<&Value> {
        self.values.get(self.place(field)?).map(EntryValue::value)
    }

    /// Gives a field another value; whether it is about this field. It counts as set plainly then, even if it was incremented or has a
    /// strategy.
    pub fn set(&mut self, field: &str, value: impl Into<Value>) -> bool {
        let place = self.place(field);
        let Some(known) = place.and_then(|at| self.values.get_mut(at)) else { return false };
        *known = EntryValue::Set(value.into());
        self.is_changed = true;
        true
    }

    fn place(&self, field: &str) -> Option<usize> {
        self.fields.iter().position(|name| &**name == field)
    }
}

/// What is about to be written to an object.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectWrite<'a> {
    /// The collection.
    pub collection: &'a Name,
    /// The object.
    pub key: &'a Key,
    /// What becomes of it.
    pub change: WrittenAs<'a>,
}

/// What becomes of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum WrittenAs<'a> {
    /// It is created, or all its fields are written.
    Whole(&'a Record),
    /// These fields are written.
    Fields(Vec<(&'a Name, &'a Value)>),
    /// It is deleted.
    Deleted,
}

/// Asks the application. A panic of its function is its error, and not the end of whoever asks.
pub(crate) fn ask<T>(during: &'static str, hook: impl FnOnce() -> T) -> Result<T> {
    // What a function has left half changed is not used.
    catch_unwind(AssertUnwindSafe(hook)).map_err(|panic| {
        let said = panic.downcast_ref::<&str>().copied();
        let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let said = said.unwrap_or("it said nothing");
        let reason = format!("a function of the application panicked: {said}");
        SyncError::Storage { during, source: Error::Aborted { reason } }
    })
}

/// Leads the entries of a transaction past a hook; whether anything was changed or dropped.
fn lead(transaction: &mut Transaction, hook: impl Fn(&mut PassingEntry<'_>) -> Verdict) -> bool {
    let mut changed = false;
    for n in 0..transaction.entries.len() {
        let stamp = transaction.stamp(n);
        let (shapes, Some(entry)) = (&transaction.shapes, transaction.entries.get_mut(n)) else {
            continue;
        };
        let Some(shape) = shapes.get(entry.shape).filter(|_| entry.life != 0) else { continue };
        let key_len = shape.key_len.min(entry.values.len());
        let (key, values) = entry.values.split_at_mut(key_len);
        let mut passing = PassingEntry {
            stamp,
            kind: entry.kind,
            collection: &shape.collection,
            key: Key::compound(key.iter().map(|value| value.value().clone())),
            fields: shape.fields.get(key_len..).unwrap_or_default(),
            values,
            is_changed: false,
        };
        let verdict = hook(&mut passing);
        changed |= passing.is_changed;
        if verdict == Verdict::Drop {
            *entry = Entry::taken_out();
            changed = true;
        }
    }
    changed
}

impl Merging {
    /// What the application makes of a transaction before it is sent; whether it is another than before.
    pub(crate) fn outgoing(&self, transaction: &mut Transaction) -> Result<bool> {
        let Some(hooks) = &self.hooks else { return Ok(false) };
        ask("asking the application about what is sent", || {
            lead(transaction, |entry| hooks.before_send(entry))
        })
    }

    /// What is made of a transaction that has arrived.
    pub(crate) fn arriving(&self, transaction: &mut Transaction) -> Result<()> {
        let Some(hooks) = &self.hooks else { return Ok(()) };
        ask("asking the application about what has arrived", || {
            lead(transaction, |entry| hooks.after_receive(entry));
        })
    }

    /// Asks whether an object may be written.
    pub(crate) fn may_write(
        &self,
        collection: &Arc<Collection>,
        key: &Key,
        change: WrittenAs<'_>,
    ) -> Result<()> {
        let Some(hooks) = &self.hooks else { return Ok(()) };
        let write = ObjectWrite { collection: collection.name(), key, change };
        let during = "asking the application about what is written";
        ask(during, || hooks.before_apply(&write))?.map_err(|reason| SyncError::Storage {
            during: "applying what other devices wrote",
            source: Error::Aborted {
                reason: format!(
                    "the application refuses what becomes of object {key} of collection `{}`: {reason}",
                    collection.name()
                ),
            },
        })
    }
}
