//! Compressed frames that grow, break, or are none.

use storex_sync::{Channel, MemoryChannel, SyncError, ZstdChannel};

/// A frame as it travels.
async fn packed(frame: Vec<u8>) -> Vec<u8> {
    let (here, mut there) = MemoryChannel::pair();
    ZstdChannel::new(here).unwrap().send(frame).await.unwrap();
    there.recv().await.unwrap().unwrap()
}

async fn unpacked(bytes: Vec<u8>, limit: usize) -> storex_sync::Result<Option<Vec<u8>>> {
    let (mut here, there) = MemoryChannel::pair();
    here.send(bytes).await.unwrap();
    ZstdChannel::new(there).unwrap().limit(limit).recv().await
}

#[tokio::test]
async fn what_repeats_itself_travels_small() {
    let packed = packed(b"a row, and another row. ".repeat(10_000)).await;
    assert!(packed.len() < 200, "{} bytes", packed.len());
    assert_eq!(self::packed(vec![7]).await, [7, 0], "and what is small as it is");
}

#[tokio::test]
async fn a_frame_that_grows_beyond_the_limit_is_refused() {
    let bomb = packed(vec![0; 64 << 20]).await;
    assert!(bomb.len() < 10_000);
    let error = unpacked(bomb.clone(), (64 << 20) - 1).await.unwrap_err();
    assert!(matches!(error, SyncError::Protocol { .. }), "{error}");
    assert!(error.to_string().contains("limit"), "{error}");
    assert_eq!(unpacked(bomb, 64 << 20).await.unwrap().map(|it| it.len()), Some(64 << 20));
    assert!(unpacked(vec![0; 12], 10).await.is_err(), "one that is not compressed, too");
}

#[tokio::test]
async fn a_frame_beyond_the_limit_is_not_sent() {
    let (here, _there) = MemoryChannel::pair();
    let mut here = ZstdChannel::new(here).unwrap().level(1).unwrap().limit(10);
    assert!(matches!(here.send(vec![0; 11]).await, Err(SyncError::FrameTooLarge { .. })));
    here.send(vec![0; 10]).await.unwrap();
}

#[tokio::test]
async fn what_is_broken_is_refused_and_nothing_panics() {
    let good = packed(b"a row, and another row. ".repeat(20)).await;
    assert_eq!(good.last(), Some(&1));
    for at in 0..good.len() - 1 {
        let short = [&good[..at], &[1]].concat();
        assert!(unpacked(short, 1 << 20).await.is_err(), "cut behind {at}");
        let mut other = good.clone();
        other[at] ^= 0x41;
        let _ = unpacked(other, 1 << 20).await; // another content, or refused: a checksum is not its business
    }
    let longer = [&good[..good.len() - 1], &[9, 1]].concat();
    assert!(unpacked(longer, 1 << 20).await.is_err());
    for none in [vec![], vec![1], vec![7, 2], b"plain text\x01".to_vec()] {
        let error = unpacked(none, 1 << 20).await.unwrap_err();
        assert!(matches!(error, SyncError::Protocol { .. }), "{error}");
    }
}
