//! [`Walk`]: goes through the ranges of a plan page by page, in the order of values.
//!
//! A page is one `getAll`, and the next one is under way while it is being read. Backwards, where `getAll` cannot go, a
//! key cursor first leaps to the beginning of the page. Pages grow and shrink with the size of the objects, so that memory
//! holds a few megabytes of them, not a collection. Of many ranges several are asked for at a time, which share a page among
//! them: the way to the database and back costs more than most ranges hold.

use std::collections::VecDeque;

use js_sys::Array;
use storex_core::{Direction, Record, Result, Value, compare_all};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{IdbCursor, IdbCursorDirection, IdbIndex};

use crate::layout::{IndexForm, KeyForm, StoreIndex};
use crate::multi::Sought;
use crate::native::{self, Bound, Range};
use crate::order_code::{self, AFTER};
use crate::plan::Plan;
use crate::raw::{DomError, Request};
use crate::read::{Reading, Row, sort};

/// Objects of the first page.
const FIRST_PAGE: u32 = 1_000;
/// The most objects of a page: small enough that the browser reads the next one while we go through this one.
const MOST: usize = 1_000;
/// About so many bytes of objects are a page.
const PAGE_BYTES: usize = 2 << 20;
/// So many ranges are asked for at a time.
const RANGES: usize = 64;

/// Goes through the ranges of a plan.
pub(crate) struct Walk<'r, 't> {
    reading: &'r Reading<'t>,
    index: Option<(&'r StoreIndex, IdbIndex)>,
    /// What is looked up, in an index that has several entries of one object.
    sought: Option<Sought>,
    direction: Direction,
    /// What is still to be read, and the page of it that is under way.
    ranges: VecDeque<(Range, Option<Page>)>,
    /// Whether each range holds one object at the most.
    points: bool,
    page: u32,
    /// Whether all of it will be read.
    eager: bool,
    /// So many ranges are asked for at a time.
    ahead: usize,
}

/// Requests for a page.
struct Page {
    objects: Request,
    /// The keys, where they stand beside the objects.
    keys: Option<Request>,
    /// How many objects were asked for; `None`: all of the range.
    limit: Option<u32>,
}

impl<'r, 't> Walk<'r, 't> {
    /// `needed`: so many objects may be enough.
    pub(crate) fn new(
        reading: &'r Reading<'t>,
        plan: &Plan,
        needed: Option<usize>,
    ) -> Result<Self> {
        let index = match plan.index.and_then(|at| reading.store.indices.get(at)) {
            Some(index) => {
                let live = reading.store.live_index(&reading.objects, index);
                Some((index, live.map_err(|source| reading.failed(source))?))
            }
            None => None,
        };
        let mut ranges: VecDeque<_> =
            plan.ranges.iter().map(|range| (range.clone(), None)).collect();
        if plan.direction == Direction::Descending {
            ranges.make_contiguous().reverse();
        }
        let first = needed.and_then(|needed| u32::try_from(needed.saturating_add(1)).ok());
        let page = first.map_or(FIRST_PAGE, |first| first.clamp(1, FIRST_PAGE));
        let ahead = match needed {
            None => RANGES,
            // Of a range that is no point nobody knows how much it holds: the first one may be enough.
            Some(needed) if plan.points => needed.clamp(1, RANGES),
            Some(_) => 1,
        };
        Ok(Self {
            reading,
            index,
            sought: plan.sought.clone(),
            direction: plan.direction,
            ranges,
            points: plan.points,
            page,
            eager: needed.is_none(),
            ahead,
        })
    }

    /// The objects of the next page, all of them before or after those of the page before, in the order of the path;
    /// `None` behind the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Row>>> {
        let rows = match self.direction {
            Direction::Descending if !self.points => self.backward().await?,
            _ => self.forward().await?,
        };
        if let Some(rows) = &rows {
            self.adapt(rows);
        }
        Ok(rows)
    }

    async fn forward(&mut self) -> Result<Option<Vec<Row>>> {
        loop {
            self.ask_ahead().map_err(|source| self.reading.failed(source))?;
            let Some((range, Some(page))) = self.ranges.pop_front() else { return Ok(None) };
            let limit = page.limit;
            let (objects, keys) =
                page.answer().await.map_err(|source| self.reading.failed(source))?;
            let full = limit.is_some_and(|limit| objects.length() >= limit);
            let mut rows = Vec::new();
            if full {
                let last = objects.length() - 1;
                let key = keys.as_ref().map(|keys| keys.get(last));
                let last = self.reading.row(objects.get(last), key.as_ref())?;
                let rest = self.continued(&range, &last.record).await?;
                let ahead =
                    if self.eager { self.ask(&rest.range, Some(self.page)) } else { Ok(None) };
                let ahead = ahead.map_err(|source| self.reading.failed(source))?;
                self.ranges.push_front((rest.range.clone(), ahead));
                rows = self.read(&objects, keys.as_ref())?;
                let kept = rows.len() - rest.tied(&rows);
                rows.truncate(kept);
                rows.extend(rest.rows);
            } else {
                rows.extend(self.read(&objects, keys.as_ref())?);
            }
            if !rows.is_empty() {
                self.sort_texts(&mut rows);
                return Ok(Some(rows));
            }
        }
    }

    /// Asks for the first ranges; those that nothing can lie in are dropped.
    fn ask_ahead(&mut self) -> std::result::Result<(), DomError> {
        let together = self.ahead.min(self.ranges.len()).max(1);
        // A range that holds more than its share goes on with whole pages.
        let share = (self.page / u32::try_from(together).unwrap_or(1)).max(1);
        let limit = if self.points { None } else { Some(share) };
        let mut at = 0;
        while at < self.ahead {
            match self.ranges.get(at) {
                None => break,
                Some((_, Some(_))) => at += 1,
                Some((range, None)) => match self.ask(range, limit)? {
                    Some(page) => {
                        self.ranges[at].1 = Some(page);
                        at += 1;
                    }
                    None => drop(self.ranges.remove(at)),
                },
            }
        }
        Ok(())
    }

    /// What follows a full page. Objects that share its last entry, or whose texts IndexedDB orders another way, belong
    /// to the page.
    async fn continued(&self, range: &Range, last: &Record) -> Result<Continued> {
        let upper = range.upper.clone();
        let from =
            |key: JsValue| Range { lower: Some(Bound { key, open: true }), upper: upper.clone() };
        if let Some(entry) = self.entry(last) {
            return Ok(Continued {
                range: from(entry),
                fields: Vec::new(),
                last: Vec::new(),
                rows: Vec::new(),
            });
        }
        let fields = self.fields();
        let values: Vec<Value> = fields.iter().map(|at| last.get(*at).clone()).collect();
        if let Some(odd) = values.iter().position(native::is_odd) {
            // To the end of all texts that begin as this one does.
            let (end, mut tail) = self.text_group(range, &values, odd, last)?;
            let rows = self.all(&tail).await?;
            tail.lower = Some(Bound { key: end, open: false });
            tail.upper = upper;
            let (fields, last) =
                if self.index.is_some() { (fields.to_vec(), values) } else { Default::default() };
            return Ok(Continued { range: tail, fields, last, rows });
        }
        let Some(key) = native::key(&values) else { return Ok(Continued::nothing()) };
        if self.index.is_none() {
            return Ok(Continued {
                range: from(key),
                fields: Vec::new(),
                last: Vec::new(),
                rows: Vec::new(),
            });
        }
        let only = Bound { key: key.clone(), open: false };
        let rows = self.all(&Range { lower: Some(only.clone()), upper: Some(only) }).await?;
        Ok(Continued { range: from(key), fields: fields.to_vec(), last: values, rows })
    }

    /// The end of the texts that begin as the odd one among the values does, and the range from behind `last` to there.
    fn text_group(
        &self,
        range: &Range,
        values: &[Value],
        odd: usize,
        last: &Record,
    ) -> Result<(JsValue, Range)> {
        let text = values[odd].as_text().unwrap_or_default();
        let plain = native::plain_part(text).unwrap_or(text);
        let mut parts: Vec<JsValue> = values[..odd].iter().filter_map(native::part).collect();
        parts.push(native::after_prefix(plain));
        let end = self.key_of_parts(&parts);
        let key = self.fields().iter().map(|at| last.get(*at).clone()).collect::<Vec<_>>();
        let key = native::key(&key).unwrap_or(JsValue::UNDEFINED);
        let mut tail = Range {
            // In an index others may share the entry.
            lower: Some(Bound { key, open: self.index.is_none() }),
            upper: range.upper.clone(),
        };
        tail.sink(Some(&Bound { key: end.clone(), open: true }));
        Ok((end, tail))
    }

    fn key_of_parts(&self, parts: &[JsValue]) -> JsValue {
        match parts {
            [part] if self.fields().len() == 1 => part.clone(),
            parts => parts.iter().collect::<Array>().into(),
        }
    }

    async fn backward(&mut self) -> Result<Option<Vec<Row>>> {
        loop {
            let Some((range, _)) = self.ranges.pop_front() else { return Ok(None) };
            let begin = self.leap(&range).await.map_err(|source| self.reading.failed(source))?;
            let mut page = range.clone();
            if let Some(begin) = begin {
                let begin = self.before_texts(begin);
                let upper = Some(Bound { key: begin.clone(), open: true });
                self.ranges.push_front((Range { upper, ..range }, None));
                page.raise(Some(&Bound { key: begin, open: false }));
            }
            let mut rows = self.all(&page).await?;
            if !rows.is_empty() {
                rows.reverse();
                self.sort_texts(&mut rows);
                return Ok(Some(rows));
            }
        }
    }

    /// The key at which a page that ends with the range begins; `None`: the range is no longer than a page.
    async fn leap(&self, range: &Range) -> std::result::Result<Option<JsValue>, DomError> {
        let Some(range) = range.to_js()? else { return Ok(None) };
        let request = match &self.index {
            Some((_, index)) => {
                index.open_key_cursor_with_range_and_direction(&range, IdbCursorDirection::Prev)
            }
            None => self
                .reading
                .objects
                .open_key_cursor_with_range_and_direction(&range, IdbCursorDirection::Prev),
        }?;
        let cursor = Request::of(Ok(request.clone()))?.await?;
        let Some(cursor) = cursor.dyn_ref::<IdbCursor>() else { return Ok(None) };
        if self.page > 1 {
            cursor.advance(self.page - 1)?;
            let there = Request::of(Ok(request))?.await?;
            if !there.is_instance_of::<IdbCursor>() {
                return Ok(None);
            }
        }
        Ok(Some(cursor.key()?))
    }

    /// The place before all texts that begin as the key's odd one does.
    fn before_texts(&self, key: JsValue) -> JsValue {
        let parts: Vec<JsValue> = match key.dyn_ref::<Array>() {
            Some(parts) => parts.iter().collect(),
            None => vec![key.clone()],
        };
        for (at, part) in parts.iter().enumerate() {
            let Some(text) = part.as_string() else { continue };
            if let Some(plain) = native::plain_part(&text) {
                let mut parts = parts[..at].to_vec();
                parts.push(plain.into());
                return self.key_of_parts(&parts);
            }
        }
        key
    }

    fn ask(
        &self,
        range: &Range,
        limit: Option<u32>,
    ) -> std::result::Result<Option<Page>, DomError> {
        let Some(range) = range.to_js()? else { return Ok(None) };
        let store = &self.reading.objects;
        let objects = match (&self.index, limit) {
            (Some((_, index)), Some(limit)) => index.get_all_with_key_and_limit(&range, limit),
            (Some((_, index)), None) => index.get_all_with_key(&range),
            (None, Some(limit)) => store.get_all_with_key_and_limit(&range, limit),
            (None, None) => store.get_all_with_key(&range),
        };
        let objects = Request::of(objects)?;
        let keys = if self.reading.store.key == KeyForm::Beside {
            Some(Request::of(match (&self.index, limit) {
                (Some((_, index)), Some(limit)) => {
                    index.get_all_keys_with_key_and_limit(&range, limit)
                }
                (Some((_, index)), None) => index.get_all_keys_with_key(&range),
                (None, Some(limit)) => store.get_all_keys_with_key_and_limit(&range, limit),
                (None, None) => store.get_all_keys_with_key(&range),
            })?)
        } else {
            None
        };
        Ok(Some(Page { objects, keys, limit }))
    }

    /// Everything in a range.
    async fn all(&self, range: &Range) -> Result<Vec<Row>> {
        let page = self.ask(range, None).map_err(|source| self.reading.failed(source))?;
        let Some(page) = page else { return Ok(Vec::new()) };
        let (objects, keys) = page.answer().await.map_err(|source| self.reading.failed(source))?;
        self.read(&objects, keys.as_ref())
    }

    fn read(&self, objects: &Array, keys: Option<&Array>) -> Result<Vec<Row>> {
        let mut rows = Vec::with_capacity(objects.length() as usize);
        for at in 0..objects.length() {
            let key = keys.map(|keys| keys.get(at));
            rows.push(self.reading.row(objects.get(at), key.as_ref())?);
        }
        Ok(rows)
    }

    /// The fields of the path, when IndexedDB's own keys are its entries.
    fn fields(&self) -> &[usize] {
        match &self.index {
            Some((index, _)) => &index.fields,
            None => self.reading.store.collection.primary_key(),
        }
    }

    /// The entry of a record, when entries are of our own.
    fn entry(&self, record: &Record) -> Option<JsValue> {
        let store = self.reading.store;
        let key = || order_code::encode(store.key_values(record));
        if let Some(sought) = &self.sought {
            return sought.entry(&key());
        }
        match &self.index {
            Some((index, _)) if matches!(index.form, IndexForm::Encoded(_)) => {
                Some(order_code::entry(&store.entry(index, record)))
            }
            None if store.key == KeyForm::Encoded => Some(native::bytes(&key())),
            _ => None,
        }
    }

    /// Within a page, texts that IndexedDB orders another way are put in our order.
    fn sort_texts(&self, rows: &mut [Row]) {
        let encoded = rows.first().is_none_or(|row| self.entry(&row.record).is_some());
        let fields = self.fields();
        let values = |it: &Record| fields.iter().map(|at| it.get(*at).clone()).collect::<Vec<_>>();
        let odd = |row: &Row| fields.iter().any(|at| native::is_odd(row.record.get(*at)));
        if encoded || !rows.iter().any(odd) {
            return;
        }
        sort(rows, &|a, b| match self.direction {
            Direction::Ascending => compare_all(&values(a), &values(b)),
            Direction::Descending => compare_all(&values(b), &values(a)),
        });
    }

    /// The next pages are as large as the objects allow; where few may be enough, they grow step by step.
    fn adapt(&mut self, rows: &[Row]) {
        let bytes: usize =
            rows.iter().map(|row| row.record.values().iter().map(size).sum::<usize>()).sum();
        let each = (bytes / rows.len().max(1)).max(1);
        let page = u32::try_from((PAGE_BYTES / each).clamp(1, MOST)).unwrap_or(FIRST_PAGE);
        self.page = if self.eager { page } else { page.min(self.page.saturating_mul(4)) };
    }
}

/// About how much memory a value takes.
fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => 16 + text.len(),
        Value::Bytes(bytes) => 16 + bytes.len(),
        Value::Json(json) => {
            64 + json.as_object().map_or(0, |it| it.len() * 64)
                + json.as_array().map_or(0, |it| it.len() * 32)
        }
        _ => 16,
    }
}

/// What follows a page.
struct Continued {
    range: Range,
    /// The fields by which rows at the end of the page are among `rows` too.
    fields: Vec<usize>,
    last: Vec<Value>,
    /// What belongs to the end of the page.
    rows: Vec<Row>,
}

impl Continued {
    fn nothing() -> Self {
        let end = Bound { key: native::bytes(&[AFTER]), open: true };
        let range = Range { lower: Some(end.clone()), upper: Some(end) };
        Self { range, fields: Vec::new(), last: Vec::new(), rows: Vec::new() }
    }

    /// How many rows at the end of a page are among `rows` too.
    fn tied(&self, rows: &[Row]) -> usize {
        if self.last.is_empty() {
            return 0;
        }
        let is_tied = |row: &&Row| {
            self.fields
                .iter()
                .zip(&self.last)
                .all(|(at, value)| row.record.get(*at).compare(value).is_eq())
        };
        rows.iter().rev().take_while(is_tied).count()
    }
}

impl Page {
    async fn answer(self) -> std::result::Result<(Array, Option<Array>), DomError> {
        let objects = self.objects.await?.unchecked_into();
        let keys = match self.keys {
            Some(keys) => Some(keys.await?.unchecked_into()),
            None => None,
        };
        Ok((objects, keys))
    }
}
