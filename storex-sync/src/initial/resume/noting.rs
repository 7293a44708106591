//! [`Noting`]: what the receiver notes so that it can go on after a cut.

use super::super::InitialSync;
use super::super::frame::Hello;
use super::super::receive::DURING;
use super::ticket::conditions;
use super::{Cut, Phase, Position, RESUME, Token};
use crate::error::{During, Result, SyncError};
use crate::meta::{Devices, meta_query, meta_row, write_meta};
use crate::scope::Holding;
use storex_core::Step;

/// What the receiver notes.
#[derive(Debug, Default)]
pub(in super::super) struct Noting {
    conditions: u64,
    /// Where an earlier one was cut.
    earlier: Option<Cut>,
    /// Where this one is; `None`: it is not noted.
    now: Option<Token>,
    is_catching_up: bool,
    /// Numbered pages so far.
    pages: u64,
    has_begun: bool,
    /// Nothing is noted.
    is_off: bool,
}

impl Noting {
    /// Looks for where an earlier one was cut.
    pub(in super::super) async fn begin(sync: &InitialSync) -> Result<Self> {
        let rows = sync.replica.storage.find(meta_query(&[RESUME])).await;
        let rows = rows.during("reading where an initial sync was cut")?;
        let token = meta_row(&rows, RESUME).map(Token::decode).transpose();
        let token = token.unwrap_or_else(|error| {
            tracing::warn!(%error, "the initial sync begins anew");
            None
        });
        let conditions = conditions(sync).await?;
        let earlier = match token.filter(|token| token.conditions == conditions) {
            Some(token) => Some(Cut { token, has: has(sync).await? }),
            None => None,
        };
        Ok(Self { conditions, earlier, ..Self::default() })
    }

    /// What the sender is told; empty: nothing.
    pub(in super::super) fn offer(&self) -> Vec<u8> {
        self.earlier.as_ref().map(Cut::encode).unwrap_or_default()
    }

    /// Notes nothing, so that the next one begins anew.
    pub(in super::super) fn stop(&mut self) {
        (self.is_off, self.earlier) = (true, None);
    }

    /// Whether the sender has given its ticket.
    pub(in super::super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The sender gives its ticket; gives how many rows are there already.
    pub(in super::super) fn ticket(
        &mut self,
        ticket: Vec<u8>,
        resumes: bool,
        hello: &Hello,
    ) -> Result<u64> {
        let earlier = self.earlier.take().filter(|_| resumes).map(|cut| cut.token);
        if resumes && earlier.is_none() {
            let reason = "the sender goes on from a place that it was not told of".to_owned();
            return Err(SyncError::Protocol { during: DURING, reason });
        }
        (self.has_begun, self.is_catching_up) = (true, resumes);
        if self.is_off {
            return Ok(0);
        }
        let done = earlier.as_ref().map_or(0, |token| token.done);
        self.now = Some(earlier.unwrap_or_else(|| Token {
            ticket,
            devices: hello.devices.clone(),
            position: Position {
                phase: Phase::Tombstones,
                collection: "".into(),
                after: Vec::new(),
            },
            done: 0,
            conditions: self.conditions,
            is_sifted: false,
            has_parked: false,
        }));
        Ok(done)
    }

    /// Whether this is the next page.
    pub(in super::super) fn is_next(&mut self, number: u64) -> bool {
        self.pages += 1;
        !self.has_begun || self.pages == number
    }

    /// What was there is as new as the hello says.
    pub(in super::super) fn caught_up(&mut self, hello: &Hello) -> bool {
        let is_due = std::mem::take(&mut self.is_catching_up);
        if let Some(token) = &mut self.now {
            token.devices = hello.devices.clone();
        }
        is_due
    }

    /// Whether some of it was parked, or not taken, the last time.
    pub(in super::super) fn has_parked(&self) -> bool {
        self.now.as_ref().is_some_and(|token| token.has_parked)
    }

    pub(in super::super) fn is_sifted(&self) -> bool {
        self.now.as_ref().is_some_and(|token| token.is_sifted)
    }

    /// Notes what became of what has arrived.
    pub(in super::super) fn flag(&mut self, is_sifted: bool, has_parked: bool) {
        if let Some(token) = &mut self.now {
            token.is_sifted |= is_sifted;
            token.has_parked |= has_parked;
        }
    }

    /// The row to be committed with a page that ends there; `None`: nothing is noted.
    pub(in super::super) fn behind(&mut self, position: Position, done: u64) -> Option<Vec<u8>> {
        if self.is_catching_up {
            // Where it was cut is still right, but for what was not taken.
            return None;
        }
        let token = self.now.as_mut()?;
        (token.position, token.done) = (position, done);
        Some(token.encode())
    }

    /// The row as it is now.
    pub(in super::super) fn row(&self) -> Option<Vec<u8>> {
        self.now.as_ref().map(Token::encode)
    }

    /// Notes that everything is there.
    pub(in super::super) fn through(&mut self, done: u64) -> Option<Step> {
        let (collection, after) = ("".into(), Vec::new());
        let row = self.behind(Position { phase: Phase::Through, collection, after }, done)?;
        Some(write_meta(vec![(RESUME, row)]))
    }
}

/// What is here of every device. Who holds a part, or is still to get some, has passed over objects of what the table of devices tells of,
/// and has let go of its own: nothing is claimed then.
async fn has(sync: &InitialSync) -> Result<Devices> {
    if !Holding::read(&sync.replica).await?.lacks.nothing() {
        return Ok(Devices::new());
    }
    let (head, mut has) = sync.replica.head().await?;
    let me = has.device(head.me).ok_or(SyncError::NoSyncLog)?;
    has.advance(me, head.next.saturating_sub(1), head.hlc);
    Ok(has)
}
