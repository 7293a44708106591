//! The suite of channels, through the relay; and rooms.

use std::sync::Arc;

use storex_conformance::channel::{ChannelHarness, Ends};
use storex_conformance::channel_conformance;
use storex_core::TokioRuntime;
use storex_server::{Config, Relay};
use storex_sync::http::{Room, RoomCode};
use storex_sync::{Channel, DeviceKey, Pairing, PairingCode, SecureChannel, SyncError};

use crate::support::{Site, in_time};

const BYTES: usize = 4 << 20;

fn site(open: bool) -> Site {
    let relay = Relay { message_bytes: BYTES, open, ..Relay::default() };
    Site::with(Config { relay, ..Config::default() })
}

fn relay() -> ChannelHarness {
    let site = Arc::new(site(false));
    ChannelHarness::new(move || {
        let site = Arc::clone(&site);
        Box::pin(async move {
            let client = site.client("ada");
            let room = client.open_room().await.unwrap();
            let ends: Ends = (
                Box::new(client.join_room(&room).await.unwrap().limit(BYTES)),
                Box::new(client.join_room(&room).await.unwrap().limit(BYTES)),
            );
            ends
        })
    })
}

mod c51_through_a_relay {
    use super::*;

    channel_conformance!(relay);
}

/// The error of somebody who goes into a room.
async fn refused(site: &Site, room: &Room) -> SyncError {
    let mut channel = site.client("ada").join_room(room).await.unwrap();
    in_time(channel.recv()).await.unwrap_err()
}

#[tokio::test]
async fn a_room_is_for_two_and_has_to_be_made() {
    let site = site(false);
    let client = site.client("ada");
    let room = client.open_room().await.unwrap();
    let mut here = client.join_room(&room).await.unwrap();
    let mut there = client.join_room(&room).await.unwrap();
    here.send(b"hello".to_vec()).await.unwrap();
    assert_eq!(in_time(there.recv()).await.unwrap(), Some(b"hello".to_vec()));
    assert!(refused(&site, &room).await.to_string().contains("two are in the room"));
    here.close().await.unwrap();
    assert_eq!(in_time(there.recv()).await.unwrap(), None);
    let other = if room.to_string() == "123456" { "654321" } else { "123456" };
    assert!(refused(&site, &other.parse().unwrap()).await.to_string().contains("no such room"));
}

/// The end of the other side can be overtaken by what was sent meanwhile: then the connection is gone before its end was read.
#[tokio::test]
async fn whoever_sends_to_one_that_has_left_is_told_that_it_is_closed_and_closes_in_order() {
    let site = site(false);
    let client = site.client("ada");
    let room = client.open_room().await.unwrap();
    let mut here = client.join_room(&room).await.unwrap();
    let mut there = client.join_room(&room).await.unwrap();
    there.send(b"hello".to_vec()).await.unwrap();
    assert_eq!(in_time(here.recv()).await.unwrap(), Some(b"hello".to_vec()));
    here.close().await.unwrap();
    let refused = in_time(async {
        loop {
            if let Err(error) = there.send(vec![0; 1000]).await {
                return error;
            }
        }
    });
    let refused = refused.await;
    assert!(matches!(refused, SyncError::Closed { .. }), "{refused:?}");
    in_time(there.close()).await.unwrap();
    assert_eq!(in_time(there.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn whoever_has_no_token_is_not_let_in() {
    let site = site(false);
    let room = site.client("ada").open_room().await.unwrap();
    let nobody = site.client_without_token();
    let refused = nobody.open_room().await.unwrap_err();
    assert!(matches!(refused, SyncError::Unauthorized { .. }), "{refused:?}");
    let mut channel = nobody.join_room(&room).await.unwrap();
    channel.send(b"hello".to_vec()).await.unwrap();
    assert!(in_time(channel.recv()).await.is_err());
}

/// What people type is the room and the code in one; the server knows the room. In an open relay a token is not asked for, and does no harm.
#[tokio::test]
async fn two_devices_are_paired_in_a_room() {
    let site = site(true);
    let client = site.client_without_token();
    let room = client.open_room().await.unwrap();
    let mut pairing = Pairing::new(Arc::new(TokioRuntime));
    let shown = format!("{room}-{}", pairing.code());
    let typed: RoomCode = shown.to_lowercase().replace('-', " ").parse().unwrap();
    assert_eq!((&typed.room, typed.to_string()), (&room, shown.clone()));
    let here = client.join_room(&room).await.unwrap();
    let there = site.client("ada").join_room(&typed.room).await.unwrap();
    let keys = [(); 2].map(|()| DeviceKey::generate(&TokioRuntime));
    let accepting = pairing.accept(here, &keys[0]);
    let joining = SecureChannel::pair(there, &typed.code, &keys[1], Arc::new(TokioRuntime));
    let (here, there) = in_time(async { tokio::join!(accepting, joining) }).await;
    let (mut here, mut there) = (here.unwrap(), there.unwrap());
    here.send(b"a secret".to_vec()).await.unwrap();
    assert_eq!(in_time(there.recv()).await.unwrap(), Some(b"a secret".to_vec()));
}

#[test]
fn room_and_code_are_told_apart_however_they_are_typed() {
    let code = PairingCode::generate(&TokioRuntime);
    for room in ["4821", "48213", "482130"] {
        let room: Room = room.parse().unwrap();
        let bare = code.to_string().replace('-', "");
        for typed in
            [format!("{room}-{code}"), format!("{room}{bare}"), format!(" {room}  {bare} ")]
        {
            let read: RoomCode = typed.parse().unwrap();
            assert_eq!((read.room, read.code.to_string()), (room.clone(), code.to_string()));
        }
    }
    for typed in [String::new(), code.to_string(), format!("123-{code}"), format!("1234567-{code}")]
    {
        assert!(typed.parse::<RoomCode>().is_err(), "{typed}");
    }
}
