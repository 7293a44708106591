//! [`Pending`]: ranges that are still to be answered, in order.

use std::collections::BTreeMap;

use super::message::{Content, Run, refuse};
use super::{Span, Spot};
use crate::error::Result;

/// So many bytes of questions may wait. A side that plays by the rules leaves one message per level of splitting.
const MOST: usize = 32 << 20;

/// What is known of a range that is to be answered.
#[derive(Debug)]
pub(super) enum Question {
    /// The other side has said nothing of it.
    Unasked,
    Asked(Content),
}

/// Ranges that are still to be answered. No two of them overlap, so answering them all goes through the data once.
#[derive(Debug, Default)]
pub(super) struct Pending {
    ranges: BTreeMap<(usize, Option<Spot>), (Option<Spot>, Question)>,
    bytes: usize,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// A whole part, of which this side speaks first.
    pub(super) fn begin(&mut self, part: usize) {
        self.ranges.insert((part, None), (None, Question::Unasked));
    }

    /// Takes the questions of a message.
    pub(super) fn take(&mut self, run: Run) -> Result<()> {
        let mut lower = run.lower;
        for (upper, content) in run.ranges {
            let from = std::mem::replace(&mut lower, upper.clone());
            self.ask((run.part, from), upper, content)?;
        }
        Ok(())
    }

    fn ask(
        &mut self,
        at: (usize, Option<Spot>),
        upper: Option<Spot>,
        content: Content,
    ) -> Result<()> {
        let before = self.ranges.range(..&at).next_back();
        let into = before
            .is_some_and(|((part, _), (end, _))| *part == at.0 && (end.is_none() || *end > at.1));
        let after = self.ranges.range(&at..).next();
        let over = after
            .is_some_and(|((part, start), _)| *part == at.0 && (upper.is_none() || *start < upper));
        if into || over {
            return Err(refuse("the same range is asked about twice"));
        }
        self.bytes = self.bytes.saturating_add(size(&upper, &content));
        if self.bytes > MOST {
            return Err(refuse("more ranges are asked about than can be"));
        }
        self.ranges.insert(at, (upper, Question::Asked(content)));
        Ok(())
    }

    /// The next range to be answered.
    pub(super) fn next(&mut self) -> Option<(usize, Span, Question)> {
        let ((part, lower), (upper, question)) = self.ranges.pop_first()?;
        if let Question::Asked(content) = &question {
            self.bytes = self.bytes.saturating_sub(size(&upper, content));
        }
        Some((part, Span { lower, upper }, question))
    }
}

/// About how many bytes a range takes in a message.
pub(super) fn size(upper: &Option<Spot>, content: &Content) -> usize {
    let bound = upper.as_ref().map_or(0, |it| it.code().len());
    let content = match content {
        Content::Fingerprint(_) => 24,
        Content::Items(items) => items.iter().map(|it| it.spot.code().len() + 20).sum(),
    };
    bound + content + 8
}
