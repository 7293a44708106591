//! Asking the application about conflicts that this device has lost.

use storex_core::{Batch, Changes, Direction, ErrorKind, Query, Step, field};

use super::list::key;
use super::row::read;
use super::{CONFLICTS, ConflictId, ConflictJournal, Standing};
use crate::apply::Replica;
use crate::error::{During, Result, SyncError, describe};
use crate::hooks::{Decision, ask};

impl Replica {
    /// Asks the application about the conflicts that wait for it, and does what it says.
    pub(crate) async fn decide(&self) -> Result<()> {
        let Some(hooks) = &self.merging.hooks else { return Ok(()) };
        let query = Query::new(CONFLICTS)
            .filter(field("standing").eq(Standing::Asked.code()))
            .order_by("number", Direction::Ascending);
        let rows = self.storage.find(query).await.during("reading the conflicts to decide")?;
        let journal = ConflictJournal { replica: self.clone() };
        for row in &rows {
            let noted = read(row)?;
            let decision = ask("asking the application about a conflict", || {
                hooks.on_conflict(&noted.conflict)
            });
            let decision = decision.unwrap_or_else(|error| {
                tracing::warn!(error = %describe(&error), conflict = %noted.id, "it stays in the journal");
                Decision::Leave
            });
            let done = match decision {
                Decision::Leave => None,
                Decision::Restore => Some(journal.undo(noted.id).await),
                Decision::Replace(value) => Some(journal.replace(noted.id, value).await),
            };
            match done {
                Some(Ok(())) => {}
                None => self.leave(noted.id).await?,
                Some(Err(error)) if is_passed_over(&error) => {
                    tracing::debug!(%error, conflict = %noted.id, "a decision is passed over");
                    self.leave(noted.id).await?;
                }
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// It waits no longer.
    async fn leave(&self, conflict: ConflictId) -> Result<()> {
        let (collection, filter) = (CONFLICTS.into(), key(conflict));
        let step = if self.merging.journal == 0 {
            Step::Delete { collection, filter }
        } else {
            let changes = Changes::new().set("standing", Standing::Noted.code());
            Step::Update { collection, filter, changes }
        };
        let left = self.storage.apply(Batch::new().step(step)).await;
        left.during("noting a decision").map(drop)
    }
}

/// Whether the same decision would be refused again, however often it is tried.
fn is_passed_over(error: &SyncError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Conflict | ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Unsupported
    )
}
