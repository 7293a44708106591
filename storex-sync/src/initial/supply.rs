//! [`Supply`]: the objects of a page, on their way into a transaction.

use std::sync::{Arc, Mutex, PoisonError};

use smallvec::SmallVec;
use storex_core::{Collection, Key, Record};

use super::fit::Target;
use super::frame::Frame;
use crate::clock::Clock;
use crate::error::Result;

/// An object that arrives.
#[derive(Debug, Clone)]
pub(super) struct Arriving {
    /// The code of its key; most are short, and need no memory of their own.
    pub(super) code: SmallVec<[u8; 20]>,
    pub(super) content: Content,
    pub(super) clock: Option<Clock>,
}

/// What arrives of an object.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// All of it.
    Living(Record),
    /// Its key: it is deleted.
    Deleted(Key),
}

impl Arriving {
    /// `None`: it is deleted.
    pub(super) fn record(&self) -> Option<&Record> {
        match &self.content {
            Content::Living(record) => Some(record),
            Content::Deleted(_) => None,
        }
    }

    pub(super) fn key(&self, collection: &Collection) -> Key {
        match &self.content {
            Content::Living(record) => collection.key_of(record),
            Content::Deleted(key) => key.clone(),
        }
    }
}

/// The objects of a page. A transaction may be run a second time, after a failure; mostly it is not. So the objects are moved into it, not
/// copied, and are made anew if they are wanted again.
#[derive(Debug)]
pub(super) struct Supply {
    first: Mutex<Option<Vec<Arriving>>>,
    again: Again,
}

/// Where objects come from that are wanted again.
#[derive(Debug)]
enum Again {
    /// They are kept.
    Kept(Vec<Arriving>),
    /// The frame that brought them is read again.
    Read(Vec<u8>, Arc<Target>),
}

impl Supply {
    /// Of objects that cannot be made anew.
    pub(super) fn kept(objects: Vec<Arriving>) -> Self {
        Self { first: Mutex::default(), again: Again::Kept(objects) }
    }

    /// Of objects that are in this frame, just as they are there.
    pub(super) fn read(objects: Vec<Arriving>, frame: Vec<u8>, target: &Arc<Target>) -> Self {
        Self { first: Mutex::new(Some(objects)), again: Again::Read(frame, Arc::clone(target)) }
    }

    /// All objects.
    pub(super) fn take(&self) -> Result<Vec<Arriving>> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (first, &self.again) {
            (Some(objects), _) => Ok(objects),
            (None, Again::Kept(objects)) => Ok(objects.clone()),
            (None, Again::Read(frame, target)) => match Frame::decode(frame)? {
                Frame::Rows(rows) => Ok(target.arriving(rows.rows, &rows.devices)?.objects),
                other => Err(other.unexpected("reading a page again")),
            },
        }
    }
}
