//! [`Comparison`]: one side of the conversation that finds what differs. It knows nothing of the storage and of the channel.

use std::cmp::Ordering;

use super::fingerprint::Summary;
use super::message::{Content, Message, Run, Wanted, refuse};
use super::pending::{Pending, Question, size};
use super::scan::{Scan, Source};
use super::{Item, LIST, Picked, Span, Spot};
use crate::error::Result;

/// A message has about so many bytes at most, and one range at least; what is left over waits for the next one.
const MESSAGE: usize = 256 << 10;

/// After so many listed items, of which half differ, small ranges are no longer listed: they are sent whole.
const SAMPLE: u64 = 1024;

#[derive(Debug)]
pub(super) struct Comparison<S> {
    scan: Scan<S>,
    /// Whether this side sends, and the other one takes; else the reverse.
    sends: bool,
    pending: Pending,
    picked: Vec<Picked>,
    /// Items that were listed by either side and compared, and how many of them differ.
    listed: u64,
    differing: u64,
    /// Whether the other side has more to say unasked.
    awaits: bool,
    messages: u64,
    most_messages: u64,
    out: Outgoing,
}

/// A message in the making.
#[derive(Debug, Default)]
struct Outgoing {
    message: Message,
    bytes: usize,
}

impl<S: Source> Comparison<S> {
    pub(super) async fn new(source: S, sends: bool) -> Result<Self> {
        // Each message but a few settles or splits what holds more than a list, or is full.
        let most_messages = 64_u64.saturating_add(source.count().await? / 16);
        let picked = vec![Picked::default(); source.parts()];
        Ok(Self {
            scan: Scan::new(source),
            sends,
            pending: Pending::default(),
            picked,
            listed: 0,
            differing: 0,
            awaits: false,
            messages: 0,
            most_messages,
            out: Outgoing::default(),
        })
    }

    /// The first message: all that is here.
    pub(super) async fn begin(&mut self) -> Result<Message> {
        (0..self.picked.len()).for_each(|part| self.pending.begin(part));
        self.fill().await
    }

    /// The answer to a message; `None`: there is nothing to say, and nothing to come.
    pub(super) async fn answer(&mut self, message: Message) -> Result<Option<Message>> {
        self.messages += 1;
        if self.messages > self.most_messages {
            return Err(refuse("the other side comes to no end"));
        }
        self.awaits = message.more;
        let asks = !message.runs.is_empty();
        self.take(message)?;
        if !asks && !self.awaits && self.pending.is_empty() {
            return Ok(None);
        }
        // What was read ahead may have changed since the last message.
        self.scan.forget();
        self.fill().await.map(Some)
    }

    /// Whether nothing is to come when this message has been sent.
    pub(super) fn ends_with(&self, message: &Message) -> bool {
        message.runs.is_empty() && !message.more && !self.awaits
    }

    /// Per part, what this side has to send.
    pub(super) fn finish(mut self) -> Vec<Picked> {
        for picked in &mut self.picked {
            picked.codes.sort();
            picked.codes.dedup();
            picked.merge_spans();
        }
        self.picked
    }

    fn take(&mut self, message: Message) -> Result<()> {
        self.listed = self.listed.saturating_add(message.listed);
        self.differing = self.differing.saturating_add(message.differing);
        for wanted in message.wanted {
            let picked = self.picked.get_mut(wanted.part).filter(|_| self.sends);
            let picked = picked.ok_or_else(|| refuse("what is wanted is not to be sent"))?;
            wanted.spans.into_iter().for_each(|span| picked.add(span));
            picked.codes.extend(wanted.codes);
        }
        for run in message.runs {
            if run.part >= self.picked.len() {
                return Err(refuse("a range is of a part that is not compared"));
            }
            self.pending.take(run)?;
        }
        Ok(())
    }

    /// Answers as much as goes into a message.
    async fn fill(&mut self) -> Result<Message> {
        self.out = Outgoing::default();
        while self.out.bytes < MESSAGE {
            let Some((part, span, question)) = self.pending.next() else { break };
            match question {
                Question::Asked(Content::Items(theirs)) => {
                    self.compare_items(part, span, &theirs).await?;
                }
                Question::Asked(Content::Fingerprint(theirs)) if theirs.count == 0 => {
                    self.pick(part, span);
                }
                Question::Asked(Content::Fingerprint(theirs)) => {
                    let own = self.summary(part, &span, theirs.count).await?;
                    if own.fingerprint() == theirs {
                        continue;
                    }
                    let dense = self.listed >= SAMPLE && self.differing >= self.listed / 2;
                    match own.count() {
                        0 => self.want(part, span),
                        few if few <= LIST as u64 && dense => {
                            self.pick(part, span.clone());
                            self.want(part, span);
                        }
                        _ => self.out.ask(part, span, own),
                    }
                }
                Question::Unasked => {
                    let own = self.summary(part, &span, u64::MAX).await?;
                    self.out.ask(part, span, own);
                }
            }
        }
        let mut message = std::mem::take(&mut self.out).message;
        message.more = !self.pending.is_empty();
        Ok(message)
    }

    async fn summary(&mut self, part: usize, span: &Span, about: u64) -> Result<Summary> {
        self.scan.seek(part, span, about);
        let mut summary = Summary::default();
        while let Some(item) = self.scan.next().await? {
            summary.add(item);
        }
        Ok(summary)
    }

    /// Compares a range with the list of all that the other side has in it.
    async fn compare_items(&mut self, part: usize, span: Span, theirs: &[Item]) -> Result<()> {
        self.scan.seek(part, &span, theirs.len() as u64);
        let mut left = theirs.iter().peekable();
        // What we have otherwise than they, or they do not have; and the reverse.
        let (mut ours, mut wanted) = (Vec::new(), Vec::new());
        let (mut count, mut differ) = (0_usize, 0_usize);
        // Where more than so many of ours differ, most do, as the other side has no more than these.
        let most = theirs.len() + LIST;
        while let Some(own) = self.scan.next().await? {
            count += 1;
            let earlier = std::iter::from_fn(|| left.next_if(|it| it.spot < own.spot));
            wanted.extend(earlier.map(|it| it.spot.code()));
            match left.peek().map(|it| (it.spot.cmp(&own.spot), it.hash == own.hash)) {
                Some((Ordering::Equal, is_same)) => {
                    left.next();
                    if is_same {
                        continue;
                    }
                    wanted.push(own.spot.code());
                }
                _ if left.peek().is_none() && differ >= most => {
                    // It is sent whole, whatever follows.
                    differ += 1;
                    break;
                }
                _ => {}
            }
            differ += 1;
            if differ <= most {
                ours.push(own.spot.code());
            }
        }
        wanted.extend(left.map(|it| it.spot.code()));
        self.note(theirs.len().max(count), wanted.len().max(differ));
        if !self.sends && !wanted.is_empty() {
            self.out.wanted(part, Vec::new(), wanted);
        }
        if differ > ours.len() {
            self.pick(part, span);
        } else if self.sends
            && let Some(picked) = self.picked.get_mut(part)
        {
            picked.codes.extend(ours);
        }
        Ok(())
    }

    /// Both sides learn from a list how much differs.
    fn note(&mut self, listed: usize, differing: usize) {
        let (listed, differing) = (listed as u64, differing as u64);
        self.listed = self.listed.saturating_add(listed);
        self.differing = self.differing.saturating_add(differing);
        self.out.message.listed = self.out.message.listed.saturating_add(listed);
        self.out.message.differing = self.out.message.differing.saturating_add(differing);
    }

    /// Sends all of a range.
    fn pick(&mut self, part: usize, span: Span) {
        if let Some(picked) = self.picked.get_mut(part).filter(|_| self.sends) {
            picked.add(span);
        }
    }

    /// Lets the other side send all of a range.
    fn want(&mut self, part: usize, span: Span) {
        if !self.sends {
            self.out.wanted(part, vec![span], Vec::new());
        }
    }
}

impl Outgoing {
    /// Tells what is here of a range: a few items, or the fingerprints of the ranges it is split into.
    fn ask(&mut self, part: usize, span: Span, own: Summary) {
        let ranges: Vec<(Option<Spot>, Content)> = match own.few() {
            Some(items) => vec![(span.upper.clone(), Content::Items(items.to_vec()))],
            None => {
                let split = own.split(&span).into_iter();
                split.map(|(upper, it)| (upper, Content::Fingerprint(it))).collect()
            }
        };
        self.bytes +=
            ranges.iter().map(|(upper, content)| size(upper, content)).sum::<usize>() + 24;
        self.message.runs.push(Run { part, lower: span.lower, ranges });
    }

    fn wanted(&mut self, part: usize, spans: Vec<Span>, codes: Vec<Vec<u8>>) {
        self.bytes += 48 * spans.len() + codes.iter().map(|it| it.len() + 2).sum::<usize>();
        match self.message.wanted.last_mut() {
            Some(last) if last.part == part => {
                last.spans.extend(spans);
                last.codes.extend(codes);
            }
            _ => self.message.wanted.push(Wanted { part, spans, codes }),
        }
    }
}
