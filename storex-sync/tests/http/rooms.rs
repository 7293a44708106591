//! Rooms of a server, in which one waits for the other.

use storex_sync::Channel;
use tokio::time::timeout;

use crate::SECOND;
use crate::fake::FakeServer;
use crate::support::shared_log;

/// The laptop shows the code, and somebody takes a minute to type it on the phone.
#[cfg(feature = "pairing")]
#[tokio::test(start_paused = true)]
async fn a_device_that_comes_a_minute_later_is_let_in() {
    use std::sync::Arc;

    use storex_memory::TestRuntime;
    use storex_sync::http::RoomCode;
    use storex_sync::{DeviceKey, Pairing, SecureChannel};
    use tokio::time::sleep;

    let client = FakeServer::new(&shared_log()).client();
    let [laptop, phone] = [1, 2].map(|seed| Arc::new(TestRuntime::new(seed)));
    let keys = [&laptop, &phone].map(|runtime| DeviceKey::generate(&**runtime));
    let mut pairing = Pairing::new(laptop);
    let typed: RoomCode = format!("4821-{}", pairing.code()).parse().unwrap();
    let on_laptop = async {
        let mut joined = client.join_room(&typed.room).await.unwrap();
        joined.spoken_to().await;
        pairing.accept(joined, &keys[0]).await.unwrap()
    };
    let on_phone = async {
        sleep(SECOND * 60).await;
        let joined = client.join_room(&typed.room).await.unwrap();
        SecureChannel::pair(joined, &typed.code, &keys[1], phone.clone()).await.unwrap()
    };
    let (on_laptop, on_phone) = tokio::join!(on_laptop, on_phone);
    assert_eq!(on_laptop.peer(), keys[1].public());
    assert_eq!(on_phone.peer(), keys[0].public());
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_to_be_spoken_to_loses_nothing_and_is_told_the_end() {
    let client = FakeServer::new(&shared_log()).client();
    let room = "4821".parse().unwrap();
    let mut here = client.join_room(&room).await.unwrap();
    let mut there = client.join_room(&room).await.unwrap();
    assert!(timeout(SECOND, here.spoken_to()).await.is_err());
    there.send(b"hello".to_vec()).await.unwrap();
    for _ in 0..2 {
        here.spoken_to().await;
    }
    assert_eq!(here.recv().await.unwrap(), Some(b"hello".to_vec()));
    assert!(timeout(SECOND, here.spoken_to()).await.is_err());
    there.close().await.unwrap();
    here.spoken_to().await;
    assert_eq!(here.recv().await.unwrap(), None);
}
