//! [`Account`]: where a device's notes are kept in step, and as whose; kept in the database, with the keys.
//!
//! All programs and tabs on the database have the same one: what one of them is given, a token or keys, the others find there.

use std::fmt;

use serde::{Deserialize, Serialize};
use storex_core::{Changes, Collection, Live};
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

    /// The account now, and after each change of it, whichever program or tab has made it.
    ///
    /// # Errors
    /// Those of the database.
    pub fn accounts(&self) -> Result<Accounts> {
        Ok(Accounts(self.storage().collection::<Kept>()?.query().live()?))
    }

    pub(crate) async fn kept(&self) -> Result<Option<(Account, KeyRing)>> {
        let kept = self.storage().collection::<Kept>()?.get(THIS).await?;
        let Some(kept) = kept else { return Ok(None) };
        let keys = KeyRing::from_bytes(&kept.keys)?;
        Ok(Some((kept.into(), keys)))
    }

    /// Keeps what was joined, in place of what was here.
    pub(crate) async fn keep(&self, account: &Account, keys: &KeyRing) -> Result<()> {
        let kept = Kept {
            id: THIS.to_owned(),
            server: account.server.clone(),
            token: account.token.reveal().to_owned(),
            device_name: account.device_name.clone(),
            keys: keys.to_bytes().to_vec(),
        };
        self.storage().collection::<Kept>()?.upsert(&kept).await?;
        Ok(())
    }

    /// Keeps other keys. The token stays as it is: another program may just have been given one.
    pub(crate) async fn keep_keys(&self, keys: &KeyRing) -> Result<()> {
        self.change_kept(Changes::new().and(Kept::KEYS.set(keys.to_bytes().to_vec()))).await
    }

    /// Keeps another token. The keys stay as they are.
    pub(crate) async fn keep_token(&self, token: &Token) -> Result<()> {
        self.change_kept(Changes::new().and(Kept::TOKEN.set(token.reveal().to_owned()))).await
    }

    async fn change_kept(&self, changes: Changes) -> Result<()> {
        self.storage().collection::<Kept>()?.update_one(THIS, changes).await?;
        Ok(())
    }
}

/// What [`Notes::accounts`] gives.
#[derive(Debug)]
pub struct Accounts(Live<Kept>);

impl Accounts {
    /// The account as it is; `None` when the database was closed. Can be dropped at any time.
    ///
    /// # Errors
    /// Those of the database. The next change is told all the same.
    pub async fn next(&mut self) -> Option<Result<Option<Account>>> {
        let kept = self.0.next().await?;
        Some(kept.map(|kept| kept.into_iter().next().map(Account::from)).map_err(Into::into))
    }
}

impl From<Kept> for Account {
    fn from(Kept { server, token, device_name, .. }: Kept) -> Self {
        Self { server, token: Token::new(token), device_name }
    }
}
