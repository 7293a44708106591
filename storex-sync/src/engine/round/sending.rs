//! What goes to the shared log, and what follows when it has it.

use super::{Action, Next, Outbox, Purpose, Round, out_of_turn};
use crate::error::Result;

/// What a request has carried.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) transactions: u64,
    pub(super) entries: u64,
    pub(super) last: u64,
    pub(super) more: bool,
    /// Whether it is to be read behind it, by a request of its own.
    pub(super) reads_next: bool,
}

impl Round {
    pub(super) fn send(&mut self, outbox: Outbox) -> Next {
        let Outbox { transactions, entries, more, next, state } = outbox;
        let Some(last) = transactions.last() else {
            if more {
                // Somebody else has sent and trimmed meanwhile what was read; there is something behind it.
                return Next::Do(Action::ReadOutbox(self.device));
            }
            self.sent_to = next;
            if state {
                return Next::Do(Action::LogState);
            }
            return if self.purpose == Purpose::Send {
                self.finish()
            } else {
                Next::Do(self.read())
            };
        };
        if !self.registered {
            return Next::Do(Action::Register(self.device));
        }
        let (last, count) = (last.sequence, transactions.len() as u64);
        let more = more || state;
        self.sent_to = next.max(last.saturating_add(1));
        // At first one after the other: whatever has failed before is not to fail again with all that shares its request.
        let reads = self.purpose != Purpose::Send && !more && !self.first;
        let reads_next = self.purpose != Purpose::Send && !more && !reads;
        let asked = self.ask(transactions, reads.then(|| self.cursor()));
        self.sending = Some(Sending { transactions: count, entries, last, more, reads_next });
        Next::Do(asked)
    }

    pub(super) fn sent(&mut self) -> Result<Next> {
        let Sending { transactions, entries, more, reads_next, .. } =
            self.sending.take().ok_or_else(out_of_turn)?;
        self.report.sent_transactions += transactions;
        self.report.sent_entries += entries;
        if std::mem::take(&mut self.below_floor) {
            return self.restore().map(Next::Do);
        }
        if more {
            return Ok(Next::Do(Action::ReadOutbox(self.device)));
        }
        if reads_next { Ok(Next::Do(self.read())) } else { self.answered() }
    }
}
