//! [`Scan`]: goes through items in order, page by page.

use std::collections::VecDeque;

use async_trait::async_trait;
use storex_core::{MaybeSend, MaybeSync};

use super::{Item, Span, Spot};
use crate::error::Result;

/// The most items that are read at once.
const PAGE: usize = 1000;

/// The least: what a small range needs is mostly in one page.
const SMALL_PAGE: usize = 48;

/// Where the items are.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub(super) trait Source: MaybeSend + MaybeSync {
    /// How many parts there are.
    fn parts(&self) -> usize;

    /// About how many items there are.
    async fn count(&self) -> Result<u64>;

    /// The items of a part that follow a place, in order, and whether more may follow them. Looks at so many at most.
    async fn page(&self, part: usize, after: Option<&Spot>, limit: usize) -> Result<Page>;
}

/// Items that follow each other.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    /// The place up to which was looked, if more may follow.
    pub(super) next: Option<Spot>,
}

/// Goes through the items of one span after the other. Where the next begins in what was read already, that is not read again.
#[derive(Debug)]
pub(super) struct Scan<S> {
    pub(super) source: S,
    part: usize,
    /// All that lies behind `from`, up to `next`.
    read: VecDeque<Item>,
    from: Option<Spot>,
    /// `None`: nothing follows.
    next: Option<Option<Spot>>,
    upper: Option<Spot>,
    limit: usize,
}

impl<S: Source> Scan<S> {
    pub(super) fn new(source: S) -> Self {
        let read = VecDeque::new();
        Self { source, part: 0, read, from: None, next: None, upper: None, limit: PAGE }
    }

    /// Forgets what was read ahead.
    pub(super) fn forget(&mut self) {
        self.read.clear();
        self.next = None;
        self.part = usize::MAX;
    }

    /// Goes to the beginning of a span, which holds about so many items.
    pub(super) fn seek(&mut self, part: usize, span: &Span, about: u64) {
        let covers = self.part == part
            && self.from <= span.lower
            && self.read.back().is_some_and(|last| Some(&last.spot) >= span.lower.as_ref());
        if covers {
            while self.read.front().is_some_and(|it| Some(&it.spot) <= span.lower.as_ref()) {
                self.read.pop_front();
            }
        } else {
            self.read.clear();
            self.next = Some(span.lower.clone());
        }
        self.part = part;
        self.from.clone_from(&span.lower);
        self.upper.clone_from(&span.upper);
        let about = usize::try_from(about).unwrap_or(PAGE);
        self.limit = about.saturating_add(1).clamp(SMALL_PAGE, PAGE);
    }

    /// The next item of the span.
    pub(super) async fn next(&mut self) -> Result<Option<Item>> {
        while self.read.is_empty() {
            // Up to where was looked, nothing of the span is left.
            if self.upper.is_some() && self.next.as_ref().is_some_and(|it| *it >= self.upper) {
                return Ok(None);
            }
            let Some(after) = self.next.take() else { return Ok(None) };
            let page = self.source.page(self.part, after.as_ref(), self.limit).await?;
            self.limit = (self.limit * 2).min(PAGE);
            self.read.extend(page.items);
            self.next = page.next.map(Some);
        }
        let ends = |it: &Item| self.upper.as_ref().is_some_and(|upper| it.spot > *upper);
        if self.read.front().is_some_and(ends) {
            return Ok(None);
        }
        let item = self.read.pop_front();
        if let Some(item) = &item {
            self.from = Some(item.spot.clone());
        }
        Ok(item)
    }
}
