//! What a `StreamChannel` refuses, and what it says of a connection that breaks.

use storex_sync::{Channel, StreamChannel, SyncError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

#[tokio::test]
async fn a_frame_beyond_the_limit_is_not_sent_and_the_channel_goes_on() {
    let (here, there) = duplex(64);
    let (mut here, mut there) =
        (StreamChannel::new(here).limit(10), StreamChannel::new(there).limit(10));
    let error = here.send(vec![0; 11]).await.unwrap_err();
    assert!(matches!(error, SyncError::FrameTooLarge { bytes: 11, limit: 10 }), "{error}");
    assert!(!error.is_retryable());
    here.send(vec![1; 10]).await.unwrap();
    assert_eq!(there.recv().await.unwrap(), Some(vec![1; 10]));
}

#[tokio::test]
async fn a_frame_beyond_the_limit_that_arrives_ends_the_channel() {
    let (here, there) = duplex(64);
    let (mut here, mut there) = (StreamChannel::new(here), StreamChannel::new(there).limit(10));
    here.send(vec![1]).await.unwrap();
    here.send(vec![0; 11]).await.unwrap();
    assert_eq!(there.recv().await.unwrap(), Some(vec![1]), "what was there before");
    for _ in 0..2 {
        let error = there.recv().await.unwrap_err();
        assert!(matches!(error, SyncError::Protocol { .. }), "{error}");
        assert!(error.to_string().contains("more than 10 bytes"), "{error}");
    }
    assert!(matches!(there.send(vec![1]).await, Err(SyncError::Protocol { .. })));
}

#[tokio::test]
async fn whoever_speaks_something_else_is_refused() {
    let (mut raw, there) = duplex(64);
    let mut there = StreamChannel::new(there);
    raw.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let error = there.recv().await.unwrap_err();
    assert!(matches!(error, SyncError::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn a_cut_is_told_from_an_end() {
    for sent in [&[][..], &[0, 0], &[0, 0, 0, 2, 7], &[0x80, 0, 0, 1, 7]] {
        let (mut raw, there) = duplex(64);
        let mut there = StreamChannel::new(there);
        raw.write_all(&[0, 0, 0, 1, 9]).await.unwrap();
        raw.write_all(sent).await.unwrap();
        drop(raw);
        assert_eq!(there.recv().await.unwrap(), Some(vec![9]));
        let error = there.recv().await.unwrap_err();
        assert!(
            matches!(&error, SyncError::Transport { reason, .. } if reason.contains("cut")),
            "{error}"
        );
        assert!(matches!(there.send(vec![1]).await, Err(SyncError::Closed { .. })));
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn the_bytes_are_those_of_the_wire_format() {
    let (mut raw, there) = duplex(1 << 20);
    let mut there = StreamChannel::new(there);
    there.send(b"why".to_vec()).await.unwrap();
    there.send(vec![5; (256 << 10) + 1]).await.unwrap();
    there.close().await.unwrap();
    let mut bytes = Vec::new();
    raw.read_to_end(&mut bytes).await.unwrap();
    let (first, rest) = bytes.split_at(7);
    assert_eq!(first, [0, 0, 0, 3, b'w', b'h', b'y']);
    assert_eq!(&rest[..5], [0x80, 4, 0, 0, 5]);
    assert_eq!(&rest[4 + (256 << 10)..], [0, 0, 0, 1, 5, 0xff, 0xff, 0xff, 0xff]);
}

#[tokio::test]
async fn one_side_may_go_on_when_the_other_has_closed() {
    let (here, there) = duplex(64);
    let (mut here, mut there) = (StreamChannel::new(here), StreamChannel::new(there));
    here.close().await.unwrap();
    assert_eq!(there.recv().await.unwrap(), None);
    there.send(vec![1]).await.unwrap();
    there.close().await.unwrap();
    assert_eq!(here.recv().await.unwrap(), Some(vec![1]));
    assert_eq!(here.recv().await.unwrap(), None);
}
