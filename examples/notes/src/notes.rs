//! [`Notes`]: the notes of a device, with or without a server.

use std::sync::Arc;

use storex_core::{AutoPk, Backend, Filter, Registry, Runtime, Select, Storage, TypedCollection};
use storex_sync::{Strategy, SyncLog};

use crate::account::{ACCOUNT, Kept};
use crate::error::Result;
use crate::note::{Edit, Note};

/// Of many notes that are written at once, so many are one transaction, which is sent as a whole.
const AT_ONCE: usize = 250;

/// The notes of a device, in a database of its own. They are there without a connection, and before there is a server at all: a [`Link`]
/// keeps them in step. Cheap to clone; all clones are the same notes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::sync::Arc;
/// # use storex_core::TokioRuntime;
/// # use storex_memory::MemoryBackend;
/// use notes::{Edit, Notes};
///
/// let notes = Notes::open(MemoryBackend::new(), Arc::new(TokioRuntime)).await?; // or SQLite, or IndexedDB
/// let note = notes.create("Shopping", "Milk, bread").await?;
/// notes.edit(&note.id, Edit { pinned: Some(true), ..Edit::default() }).await?;
///
/// let mut found = notes.query("milk shop")?.live()?; // and again after each change
/// let found = found.next().await.transpose()?.unwrap_or_default();
/// assert_eq!((found.len(), found[0].pinned), (1, true));
/// # Ok(()) }
/// ```
///
/// [`Link`]: crate::Link
#[derive(Debug, Clone)]
pub struct Notes {
    storage: Storage,
}

impl Notes {
    /// Opens the notes in a database, which is brought to the schema.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn open(backend: impl Backend, runtime: Arc<dyn Runtime>) -> Result<Self> {
        let registry = Registry::builder()
            .collection(Note::definition())
            .collection(Kept::definition())
            .build()?;
        let log = SyncLog::new()
            // By which server, with which keys: of this device only.
            .local_only([ACCOUNT])
            // What two devices have written at once is not lost: the other one is in the journal until somebody has looked at it.
            .strategy("note", "title", Strategy::KeepBoth)
            .strategy("note", "body", Strategy::KeepBoth)
            // Two that edit at once do not disagree about when.
            .strategy("note", "updated_at", Strategy::Max);
        let builder = Storage::builder(backend, registry, runtime);
        let storage = builder.middleware(AutoPk::new()).middleware(log).open().await?;
        Ok(Self { storage })
    }

    /// What is below: for the journal of conflicts, the change feed, and to close it.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Writes a new note.
    ///
    /// # Errors
    /// Those of the database; nothing was written then.
    pub async fn create(&self, title: impl Into<String>, body: impl Into<String>) -> Result<Note> {
        let mut note = Note::new(title.into(), body.into(), self.storage.runtime().now());
        let key = self.collection()?.create(&note).await?;
        note.id = key.as_text().unwrap_or_default().to_owned();
        Ok(note)
    }

    /// Writes new notes, some hundred at once; how many. For those of another program, say.
    ///
    /// # Errors
    /// Those of the database; those of the last hundreds were not written then.
    pub async fn create_many(
        &self,
        texts: impl IntoIterator<Item = (String, String)>,
    ) -> Result<u64> {
        let now = self.storage.runtime().now();
        let notes = texts.into_iter().map(|(title, body)| Note::new(title, body, now));
        let (notes, mut count) = (notes.collect::<Vec<_>>(), 0);
        for notes in notes.chunks(AT_ONCE) {
            self.collection()?.create_many(notes).await?;
            count += notes.len() as u64;
        }
        Ok(count)
    }

    /// The note with this id.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn get(&self, id: &str) -> Result<Option<Note>> {
        Ok(self.collection()?.get(id).await?)
    }

    /// The notes with all of these words, each in the title or the body, whatever their case and however they go on; with none all notes.
    /// Pinned ones come first, then those that were edited last. To be read once (`all`), or now and after each change (`live`).
    ///
    /// # Errors
    /// Those of the database.
    pub fn query(&self, words: &str) -> Result<Select<Note>> {
        let words = words.split_whitespace().map(|word| {
            let word = format!("{word}*");
            Note::TITLE.search(word.clone()).or(Note::BODY.search(word))
        });
        let order = [Note::PINNED.desc(), Note::UPDATED_AT.desc(), Note::ID.desc()];
        Ok(self.collection()?.query().filter(Filter::And(words.collect())).order(order))
    }

    /// Changes a note; false when there is none.
    ///
    /// # Errors
    /// Those of the database; nothing was written then.
    pub async fn edit(&self, id: &str, edit: Edit) -> Result<bool> {
        let changes = edit.changes(self.storage.runtime().now());
        Ok(self.collection()?.update_one(id, changes).await?)
    }

    /// Removes a note, from all devices; false when there is none.
    ///
    /// # Errors
    /// Those of the database; nothing was removed then.
    pub async fn delete(&self, id: &str) -> Result<bool> {
        Ok(self.collection()?.delete_one(id).await?)
    }

    /// Writes a note that was removed again, as it was.
    ///
    /// # Errors
    /// Those of the database; nothing was written then.
    pub async fn restore(&self, note: &Note) -> Result<()> {
        self.collection()?.create(note).await?;
        Ok(())
    }

    fn collection(&self) -> Result<TypedCollection<Note>> {
        Ok(self.storage.collection()?)
    }
}
