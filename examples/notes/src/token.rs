//! [`KeptToken`]: who asks the server.

use async_trait::async_trait;
use storex_sync::http::{Credentials, Token};
use storex_sync::{Result, SyncError};

use crate::error::Error;
use crate::notes::Notes;

/// The token that is kept with the account, as it is now: somebody may have typed another one since, in another program or tab.
#[derive(Debug)]
pub(crate) struct KeptToken(pub(crate) Notes);

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Credentials for KeptToken {
    async fn token(&self) -> Result<Token> {
        match self.0.account().await {
            Ok(Some(account)) => Ok(account.token),
            Ok(None) => Err(refused("this device is in no account")),
            Err(Error::Storage(source)) => {
                Err(SyncError::Storage { during: "reading the token", source })
            }
            Err(Error::Sync(error)) => Err(error),
            Err(error) => Err(refused(error)),
        }
    }

    async fn refresh(&self, rejected: &Token) -> Result<Token> {
        let token = self.token().await?;
        match token == *rejected {
            true => Err(refused("the token is not accepted")),
            false => Ok(token),
        }
    }
}

fn refused(reason: impl ToString) -> SyncError {
    SyncError::Unauthorized { reason: reason.to_string() }
}
