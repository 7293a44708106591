//! Meets the other machine in a room of a server: one side makes it and shows a code, the other has it.

use std::sync::Arc;

use storex_core::Runtime;
use storex_sync::http::{HttpClient, NativeTransport, RoomCode, StaticToken};
use storex_sync::{DeviceKey, Pairing, SecureChannel, SyncError};

use super::channel::Connection;
use super::connect::{LASTS, Paired, WHAT, spent, within_its_time};
use super::{Observer, Relay};
use crate::error::{CliError, During as _, Result, describe};

/// Rooms that are made for one code, at most: whoever comes into one with another code spoils it.
const ROOMS: u32 = 10;

/// What the server says to who comes.
fn meeting<T>(outcome: storex_sync::Result<T>) -> Result<T> {
    match outcome {
        Err(SyncError::Unauthorized { reason }) => Err(CliError::Peer {
            reason: format!(
                "the server does not let this machine in ({reason}); give a token that it accepts with --token-file"
            ),
        }),
        outcome => outcome.during("meeting in a room of the server"),
    }
}

fn client(relay: &Relay, runtime: &Arc<dyn Runtime>) -> storex_sync::Result<HttpClient> {
    let transport = Arc::new(NativeTransport::new()?);
    let client = HttpClient::new(transport, &relay.address, Arc::clone(runtime))?;
    Ok(match &relay.token {
        Some(token) => client.credentials(Arc::new(StaticToken(token.clone()))),
        None => client,
    })
}

/// Makes a room, and lets in the first who comes into it with the code.
pub(super) async fn wait(
    relay: &Relay,
    key: &DeviceKey,
    runtime: &Arc<dyn Runtime>,
    observer: &dyn Observer,
) -> Result<Paired> {
    let client = meeting(client(relay, runtime))?;
    let mut pairing = Pairing::new(Arc::clone(runtime)).lasts(LASTS);
    let guests = async {
        for _ in 0..ROOMS {
            let room = meeting(client.open_room().await)?;
            let mut channel = meeting(client.join_room(&room).await)?;
            observer.room(&room, pairing.code());
            // Somebody still types.
            channel.spoken_to().await;
            let connection = Connection::relayed(channel);
            let traffic = connection.traffic();
            match pairing.accept(connection, key).await {
                Ok(channel) => return Ok((channel, traffic)),
                Err(SyncError::PairingRefused { .. }) => observer.refused(pairing.attempts_left()),
                Err(error) => observer.not_let_in(&describe(&error)),
            }
            if let Err(SyncError::PairingCodeSpent { reason }) = pairing.still_valid() {
                return spent(reason);
            }
        }
        spent(format!("nobody who came into {ROOMS} rooms had it"))
    };
    within_its_time(guests).await
}

/// Goes into the room of the other side.
pub(super) async fn join(
    relay: &Relay,
    code: &RoomCode,
    key: &DeviceKey,
    runtime: &Arc<dyn Runtime>,
) -> Result<Paired> {
    let client = meeting(client(relay, runtime))?;
    let channel = meeting(client.join_room(&code.room).await)?;
    let connection = Connection::relayed(channel);
    let traffic = connection.traffic();
    let channel = SecureChannel::pair(connection, &code.code, key, Arc::clone(runtime)).await;
    Ok((channel.during(WHAT)?, traffic))
}
