//! The receiver goes on where it was cut.

use storex_core::{Name, Step, Value};

use super::super::frame::{Accept, Frame};
use super::super::receive::{DURING, Receiver};
use super::{Noting, Phase, Position, RESUME};
use crate::error::{Result, SyncError};
use crate::meta::write_meta;

impl Receiver<'_> {
    /// Tells the sender where an earlier one was cut.
    pub(in super::super) fn accept(&mut self) -> Accept {
        let accept = self.fit.accept.clone();
        let Some(noting) = &mut self.noting else {
            self.count.start(0);
            return accept;
        };
        // What is taken otherwise than it is may be taken otherwise again the next time.
        if !accept.otherwise.is_empty() {
            noting.stop();
        }
        Accept { resume: noting.offer(), ..accept }
    }

    /// The sender says whether it goes on from there.
    pub(in super::super) fn resumable(&mut self, ticket: Vec<u8>, resumes: bool) -> Result<()> {
        let noting = self.noting.as_mut().filter(|noting| !noting.has_begun());
        let Some(noting) = noting else {
            return Err(Frame::Resumable { ticket, resumes }.unexpected(DURING));
        };
        let done = noting.ticket(ticket, resumes, &self.hello)?;
        self.count.start(done);
        self.count.is_catching_up = resumes;
        Ok(())
    }

    /// Whether what was there is not as new yet as the hello says.
    pub(in super::super) fn is_catching_up(&self) -> bool {
        self.count.is_catching_up
    }

    /// What was there is as new as the hello says.
    pub(in super::super) fn caught_up(&mut self) -> Result<()> {
        let is_due = self.noting.as_mut().is_some_and(|noting| noting.caught_up(&self.hello));
        if !is_due {
            return Err(Frame::CaughtUp.unexpected(DURING));
        }
        self.count.is_catching_up = false;
        Ok(())
    }

    /// That no page is missing: what is noted says that all before it is there.
    pub(in super::super) fn expect(&mut self, number: u64) -> Result<()> {
        let Some(noting) = &mut self.noting else { return Ok(()) };
        if noting.is_next(number) {
            return Ok(());
        }
        let reason = format!("page {number} has come, and not the one before it");
        Err(SyncError::Protocol { during: DURING, reason })
    }

    /// What is noted, with what became of what has arrived so far.
    fn flagged(&mut self) -> Option<&mut Noting> {
        let noting = self.noting.as_mut()?;
        noting.flag(self.is_sifted, self.report.parked > 0);
        Some(noting)
    }

    /// What is to be committed with a page of the collection at this place, which ends with this object and brings so many rows.
    pub(in super::super) fn note(
        &mut self,
        phase: Phase,
        place: usize,
        last: Option<Vec<Value>>,
        rows: u64,
    ) -> Option<Vec<u8>> {
        let done = self.count.through().saturating_add(rows);
        let collection = self.hello.collections.get(place).map(|it| Name::clone(&it.name));
        let noting = self.flagged()?;
        noting.behind(Position { phase, collection: collection?, after: last? }, done)
    }

    /// Commits how far it is.
    pub(in super::super) async fn write_note(&mut self) -> Result<()> {
        let Some(row) = self.flagged().and_then(|noting| noting.row()) else { return Ok(()) };
        let row = write_meta(vec![(RESUME, row)]);
        self.sync.replica.write(vec![row], "noting how far the initial sync is").await
    }

    /// Notes that everything is there: if the rest of the session is cut, this leg is not to be repeated. Where the rows
    /// that have come are not as many as the hello says, it stays as it was: some may have been deleted meanwhile, and a sender may be wrong.
    pub(in super::super) fn note_end(&mut self) -> Option<Step> {
        let done = self.count.through();
        let is_whole = self.count.is_whole();
        self.flagged().filter(|_| is_whole)?.through(done)
    }

    /// Whether before the cut some was not taken, and whether some was parked.
    pub(in super::super) fn before_the_cut(&self) -> (bool, bool) {
        self.noting.as_ref().map_or((false, false), |it| (it.is_sifted(), it.has_parked()))
    }
}
