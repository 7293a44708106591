//! An initial sync that was cut goes on where it was.
//!
//! ```text
//!   sender                                              receiver
//!   Hello                                          ──▶
//!                                                  ◀──  Accept: the token of the one that was cut
//!   Resumable: the ticket; whether it goes on there ──▶  from here on a token is committed with each page
//!   what was written since in the part that is there ─▶
//!   CaughtUp                                       ──▶
//!   the pages behind the token                     ──▶
//! ```
//!
//! The token says how far the receiver is, and what the sender had applied of every device when what is there was read. What the
//! sender has written or applied since has a stamp that is not among that, so the part that is there already is not sent again: its
//! clocks are gone through, and what has such a stamp is sent. Then all that is there is as new as the new hello says, and the
//! receiver goes on from that in the end.
//!
//! Whatever does not fit begins anew. That is always right: what has arrived merges with itself to itself.

mod catch_up;
mod noting;
mod resuming;
mod ticket;
mod token;

use storex_core::{Filter, Step};

use crate::apply::Replica;
use crate::error::Result;
use crate::meta::META;

pub(super) use catch_up::Resumed;
pub(super) use noting::Noting;
pub(crate) use ticket::undated;
pub(crate) use token::{Cut, Phase, Position, Token};

/// The row of `_storex_meta` with the token of an initial sync that was not received to its end.
pub(crate) const RESUME: &str = "resume";

/// A step that makes the next initial sync begin anew.
pub(crate) fn begin_anew() -> Step {
    Step::Delete { collection: META.into(), filter: Filter::key(RESUME) }
}

/// Makes the next initial sync begin anew.
pub(super) async fn forget(replica: &Replica) -> Result<()> {
    replica.write(vec![begin_anew()], "ending the initial sync").await
}
