//! [`Accounts`]: the numbers under which the database knows the users.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::database::{Database, Result};
use super::rows::Columns;
use crate::user::User;

const KNOWN: &str = "SELECT id FROM storex.account WHERE name = $1";

/// Nothing is given back when another server was faster.
const MAKE: &str = "INSERT INTO storex.account (id, name, log) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO NOTHING RETURNING id";

/// How many are remembered: some 10 MB at the most.
const MOST: usize = 1 << 16;

/// The numbers that were looked up. They never change, so they are looked up once.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    known: Mutex<HashMap<User, i64>>,
}

impl Database {
    /// The number of a user, who gets one when there is none.
    pub(super) async fn account(&self, user: &User, during: &'static str) -> Result<i64> {
        if let Some(number) = self.accounts.lock().get(user) {
            return Ok(*number);
        }
        let session = self.session(during).await?;
        let name = user.as_str();
        let mut drawn = [0; 8];
        let mut log = [0; 16];
        self.runtime.fill_random(&mut drawn);
        self.runtime.fill_random(&mut log);
        // Without the sign, for the eyes of who looks at the tables.
        let drawn = i64::from_be_bytes(drawn) & i64::MAX;
        let mut rows = session.ask(KNOWN, &[&name]).await?;
        if rows.is_empty() {
            rows = session.ask(MAKE, &[&drawn, &name, &log.as_slice()]).await?;
        }
        if rows.is_empty() {
            rows = session.ask(KNOWN, &[&name]).await?;
        }
        let row = rows.first().ok_or_else(|| session.gone())?;
        let number = Columns { session: &session, row }.get(0)?;
        let mut known = self.accounts.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(user.clone(), number);
        Ok(number)
    }
}

impl Accounts {
    /// A number that was known is not in the database: it was put back to an older state.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<User, i64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
