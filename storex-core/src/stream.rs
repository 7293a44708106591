//! [`ObjectStream`]: the objects of a query one by one, in bounded memory.

use std::fmt;
use std::vec;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::query::Position;
use crate::record::Record;
use crate::typed::Select;

/// The objects of a query one by one, read page by page: at no time is there more than one page in memory. See
/// [`Select::stream`].
///
/// Each page sees the writes that were committed before it was read. An object that is written meanwhile is seen if it lies
/// behind those that were read already; without an order (or ordered by the key) none is given twice. An object whose value
/// of an order's field changes meanwhile moves, and may be given twice or not at all.
pub struct ObjectStream<T> {
    select: Select<T>,
    size: u64,
    page: vec::IntoIter<Record>,
    is_last: bool,
}

impl<T> fmt::Debug for ObjectStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectStream").field(&self.select).finish()
    }
}

impl<T: DeserializeOwned> Select<T> {
    /// The objects one by one, read in pages of `page` objects (at least one), each behind the one before, at the same cost
    /// however many there are.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use storex_core::{Object, Result, TypedCollection};
    /// # #[derive(Serialize, Deserialize)] struct Note { id: String, title: String }
    /// # impl Object for Note { const COLLECTION: &'static str = "note"; }
    /// async fn export(notes: &TypedCollection<Note>) -> Result<usize> {
    ///     let mut length = 0;
    ///     let mut stream = notes.query().stream(500);
    ///     while let Some(note) = stream.next().await {
    ///         length += note?.title.len();
    ///     }
    ///     Ok(length)
    /// }
    /// ```
    #[must_use]
    pub fn stream(self, page: u64) -> ObjectStream<T> {
        ObjectStream {
            select: self,
            size: page.max(1),
            page: Vec::new().into_iter(),
            is_last: false,
        }
    }
}

impl<T: DeserializeOwned> ObjectStream<T> {
    /// The next object; `None` when there is none any more. After an error there is none either.
    ///
    /// Cancel-safe: when the future is dropped, no object is lost.
    ///
    /// # Errors
    /// As [`Select::all`]; [`Error::InvalidOperation`] with a projection, whose records do not hold the order's fields.
    pub async fn next(&mut self) -> Option<Result<T>> {
        if self.page.as_slice().is_empty() && !self.is_last {
            match self.read().await {
                Ok(page) => self.page = page.into_iter(),
                Err(error) => return Some(Err(self.end(error))),
            }
        }
        let record = self.page.next()?;
        Some(self.select.object(&record).map_err(|error| self.end(error)))
    }

    /// Reads the next page; nothing is changed before it is there.
    async fn read(&mut self) -> Result<Vec<Record>> {
        let Select { storage, collection, query, .. } = &self.select;
        if query.select.is_some() {
            let reason = "a query with a projection cannot be streamed; stream it without";
            return Err(Error::invalid(collection.name(), reason));
        }
        let size = query.limit.map_or(self.size, |left| left.min(self.size));
        let page = storage.find(self.select.stored()?.limit(size)).await?;
        let read = page.len() as u64;
        let end: Option<Position> = page.last().map(|last| query.position_of(collection, last));
        let query = &mut self.select.query;
        query.limit = query.limit.map(|left| left.saturating_sub(read));
        query.offset = 0;
        self.is_last = read < size || query.limit == Some(0);
        query.after = end;
        Ok(page)
    }

    fn end(&mut self, error: Error) -> Error {
        self.page = Vec::new().into_iter();
        self.is_last = true;
        error
    }
}
