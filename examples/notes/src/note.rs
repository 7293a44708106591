//! [`Note`]: what there is one of for each note.

use serde::{Deserialize, Serialize};
use storex_core::{Changes, Collection, Timestamp};

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Collection)]
#[storex(index(pinned, updated_at))]
pub struct Note {
    /// A UUID, made when the note is created.
    pub id: String,
    /// What it is called.
    #[storex(text, index)]
    pub title: String,
    /// What it says.
    #[storex(text, index)]
    pub body: String,
    /// Whether it stays in front of the others.
    #[storex(default = false)]
    pub pinned: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When somebody last edited it, on whichever device.
    pub updated_at: Timestamp,
}

impl Note {
    /// One that is new; it gets its id when it is written.
    pub(crate) fn new(title: String, body: String, now: Timestamp) -> Self {
        Self { id: String::new(), title, body, pinned: false, created_at: now, updated_at: now }
    }
}

/// What is to become of a note: only the fields that are given are written, so that edits of two devices to two fields both hold.
///
/// ```
/// use notes::Edit;
///
/// let edit = Edit { title: Some("Groceries".to_owned()), ..Edit::default() };
/// # let _ = edit;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Another title.
    pub title: Option<String>,
    /// Another body.
    pub body: Option<String>,
    /// Pinned, or not any more.
    pub pinned: Option<bool>,
}

impl Edit {
    /// As storex takes it.
    pub(crate) fn changes(self, now: Timestamp) -> Changes {
        let Self { title, body, pinned } = self;
        // Whoever pins a note has not edited it.
        let edited = (title.is_some() || body.is_some()).then(|| Note::UPDATED_AT.set(now));
        let given = [
            title.map(|title| Note::TITLE.set(title)),
            body.map(|body| Note::BODY.set(body)),
            pinned.map(|pinned| Note::PINNED.set(pinned)),
            edited,
        ];
        given.into_iter().flatten().fold(Changes::new(), Changes::and)
    }
}
