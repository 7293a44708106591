//! [`Room`]: where two devices meet.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::client::{Call, HttpClient};
use super::messages::{RoomAnswer, WatchToken};
use super::transport::{Method, SocketMessage};
use crate::channel::RelayChannel;
use crate::error::{Result, SyncError};
#[cfg(feature = "pairing")]
use crate::pairing::PairingCode;

/// The number of a room of a server, in which two devices meet: 4 to 6 digits.
///
/// ```
/// use storex_sync::http::Room;
///
/// let room: Room = "4821".parse()?;
/// assert_eq!(room.to_string(), "4821");
/// assert!("48".parse::<Room>().is_err());
/// # Ok::<(), storex_sync::SyncError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Room(String);

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Room {
    type Err = SyncError;

    fn from_str(text: &str) -> Result<Self> {
        let is_one = (4..=6).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit());
        match is_one {
            true => Ok(Self(text.to_owned())),
            false => Err(invalid("the number of a room has 4 to 6 digits")),
        }
    }
}

fn invalid(reason: &str) -> SyncError {
    SyncError::InvalidPairingCode { reason: reason.to_owned() }
}

impl HttpClient {
    /// Makes a room for two. It is there for ten minutes until both are in it, and then until one of them leaves.
    ///
    /// # Errors
    /// [`SyncError::RateLimited`] when there are too many; [`SyncError::Unauthorized`], [`SyncError::Transport`] and the others of a request.
    pub async fn open_room(&self) -> Result<Room> {
        let call = Call::new(Method::Post, "/v1/rooms", "asking for a room");
        let RoomAnswer { room } = self.json(&call).await?;
        let during = "asking for a room";
        room.parse()
            .map_err(|_| SyncError::Protocol { during, reason: format!("{room:?} is none") })
    }

    /// Goes into a room. That it is there, and has place, is found out by the first [`recv`](crate::Channel::recv) at the latest.
    ///
    /// Whoever shows the number waits in it for the other one with [`RelayChannel::spoken_to`]. A relay that is open to everybody wants no
    /// credentials.
    ///
    /// # Errors
    /// [`SyncError::Transport`], [`SyncError::Timeout`].
    pub async fn join_room(&self, room: &Room) -> Result<RelayChannel> {
        let token = self.token().await?;
        let mut socket = self.connect(&format!("/v1/rooms/{room}"), &[]).await?;
        if let Some(token) = token {
            let said = WatchToken { token: token.reveal().to_owned() };
            let text = serde_json::to_string(&said).unwrap_or_default();
            let saying = socket.sender.send(SocketMessage::Text(text));
            self.in_time("going into a room", Duration::ZERO, saying).await?;
        }
        Ok(RelayChannel::new(socket))
    }
}

/// What is shown on one device and typed on the other, so that they meet in a room and know each other: `4821-7KMD-2XQP`. The server
/// learns the number of the room only.
///
/// It is read as a [`PairingCode`] is: in small and large letters, with or without dashes and spaces. `Debug` does not show the code.
///
/// ```
/// # use storex_memory::TestRuntime;
/// use storex_sync::PairingCode;
/// use storex_sync::http::RoomCode;
///
/// let code = PairingCode::generate(&TestRuntime::new(1));
/// let shown = RoomCode { room: "4821".parse()?, code }.to_string();
/// let typed: RoomCode = shown.to_lowercase().replace('-', " ").parse()?;
/// assert_eq!(typed.to_string(), shown);
/// # Ok::<(), storex_sync::SyncError>(())
/// ```
#[cfg(feature = "pairing")]
#[derive(Debug)]
pub struct RoomCode {
    /// Where they meet.
    pub room: Room,
    /// By what they know each other.
    pub code: PairingCode,
}

#[cfg(feature = "pairing")]
impl fmt::Display for RoomCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.room, self.code)
    }
}

#[cfg(feature = "pairing")]
impl FromStr for RoomCode {
    type Err = SyncError;

    fn from_str(typed: &str) -> Result<Self> {
        // The code has eight characters; what is in front of them is the room.
        let is_character = |it: &(usize, char)| it.1.is_alphanumeric();
        let code = typed.char_indices().rev().filter(is_character).nth(7);
        let (at, _) = code.ok_or_else(|| invalid("it is a number and eight characters"))?;
        let (room, code) = typed.split_at(at);
        let digit = |it: char| match it {
            'O' | 'o' => '0',
            'I' | 'i' | 'L' | 'l' => '1',
            other => other,
        };
        let room: String = room.chars().filter(|it| it.is_alphanumeric()).map(digit).collect();
        Ok(Self { room: room.parse()?, code: code.parse()? })
    }
}
