//! [`Account`]: where a device's notes are kept in step, and as whose; kept in the database, with the keys.

use std::fmt;

use serde::{Deserialize, Serialize};
use storex_core::Collection;
use storex_sync::KeyRing;
use storex_sync::http::Token;

use crate::error::Result;
use crate::notes::Notes;

/// The collection of one object that stays on this device.
pub(crate) const ACCOUNT: &str = "account";

/// Its key.
const THIS: &str = "this";

/// Where the notes are kept in step, and as whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The address of the server, like `https://sync.example.org`.
    pub server: String,
    /// By which the server knows whose notes these are.
    pub token: Token,
    /// What people call this device.
    pub device_name: String,
}

/// As it is kept. It is as safe as the rest of the database: where a system has a place for secrets, the token and the keys go there.
#[derive(Serialize, Deserialize, Collection)]
#[storex(name = "account")]
pub(crate) struct Kept {
    id: String,
    server: String,
    token: String,
    device_name: String,
    keys: Vec<u8>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Notes {
    /// The account that this device is in, if it is in one.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn account(&self) -> Result<Option<Account>> {
        Ok(self.kept().await?.map(|(account, _)| account))
    }

    pub(crate) async fn kept(&self) -> Result<Option<(Account, KeyRing)>> {
        let kept = self.storage().collection::<Kept>()?.get(THIS).await?;
        let Some(Kept { server, token, device_name, keys, .. }) = kept else { return Ok(None) };
        let account = Account { server, token: Token::new(token), device_name };
        Ok(Some((account, KeyRing::from_bytes(&keys)?)))
    }

    pub(crate) async fn keep(&self, account: &Account, keys: &KeyRing) -> Result<()> {
        let kept = Kept {
            id: THIS.to_owned(),
            server: account.server.clone(),
            token: account.token.reveal().to_owned(),
            device_name: account.device_name.clone(),
            keys: keys.to_bytes().to_vec(),
        };
        // Nothing is written where it is the same.
        self.storage().collection::<Kept>()?.upsert(&kept).await?;
        Ok(())
    }
}
