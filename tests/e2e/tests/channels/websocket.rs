//! What a `WebSocketChannel` makes of a peer that is written by hand.

use storex_sync::{Channel, SyncError, WebSocketChannel};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// A client by hand, behind its handshake, and the server's channel with a limit of 1,000 bytes.
async fn by_hand() -> (DuplexStream, WebSocketChannel<DuplexStream>) {
    let (mut raw, there) = duplex(64 << 10);
    let request = "GET /sync HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    raw.write_all(request.as_bytes()).await.unwrap();
    let server = WebSocketChannel::accept_limited(there, 1000).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(raw.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    (raw, server)
}

/// A frame as a client sends it, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

async fn refused(sent: &[u8]) -> (SyncError, DuplexStream) {
    let (mut raw, mut server) = by_hand().await;
    raw.write_all(&frame(0x82, &[7])).await.unwrap();
    raw.write_all(sent).await.unwrap();
    assert_eq!(server.recv().await.unwrap(), Some(vec![7]), "what was there before");
    let error = server.recv().await.unwrap_err();
    assert!(server.send(vec![1]).await.is_err());
    (error, raw)
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_by_name() {
    let too_large = [&[0x82, 0xff][..], &(1u64 << 40).to_be_bytes(), &[0; 4]].concat();
    let in_parts = [frame(0x02, &[1; 100]), frame(0x00, &[1; 100]).repeat(10)].concat();
    for (sent, word) in [
        (frame(0x81, b"hi"), "text message"),
        (vec![0x82, 2, 1, 2], "mask"),
        (too_large, "too long"),
        (in_parts, "too long"),
        (frame(0x80, b"goes on"), "ontinue"),
        (frame(0xf2, b"reserved"), "eserved"),
        (frame(0x83, b"unknown"), "opcode"),
    ] {
        let (error, _) = refused(&sent).await;
        assert!(matches!(error, SyncError::Protocol { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test]
async fn the_other_side_is_told_why() {
    let (_, mut raw) = refused(&frame(0x81, b"hi")).await;
    let mut answer = [0; 4];
    raw.read_exact(&mut answer).await.unwrap();
    assert_eq!((answer[0], u16::from_be_bytes([answer[2], answer[3]])), (0x88, 1003));
    let (mut raw, mut server) = by_hand().await;
    let reason = [&1011u16.to_be_bytes()[..], b"no room"].concat();
    raw.write_all(&frame(0x88, &reason)).await.unwrap();
    let error = server.recv().await.unwrap_err();
    assert!(matches!(error, SyncError::Transport { .. }), "{error}");
    assert!(error.to_string().contains("1011") && error.to_string().contains("no room"), "{error}");
}

#[tokio::test]
async fn a_cut_is_told_from_an_end() {
    for sent in [&[][..], &[0x82], &frame(0x02, &[1]), &frame(0x82, &[1; 9])[..9]] {
        let (mut raw, mut server) = by_hand().await;
        raw.write_all(sent).await.unwrap();
        drop(raw);
        let error = server.recv().await.unwrap_err();
        assert!(
            matches!(&error, SyncError::Transport { reason, .. } if reason.contains("cut")),
            "{error}"
        );
        assert!(matches!(server.send(vec![1]).await, Err(SyncError::Closed { .. })));
    }
    let (mut raw, mut server) = by_hand().await;
    raw.write_all(&frame(0x88, &[])).await.unwrap();
    assert_eq!(server.recv().await.unwrap(), None);
    let mut answer = [0; 2];
    raw.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [0x88, 0], "and it is answered");
    assert!(matches!(server.send(vec![1]).await, Err(SyncError::Closed { .. })));
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_ping_is_answered_and_is_no_frame() {
    let (mut raw, mut server) = by_hand().await;
    raw.write_all(&frame(0x89, &[9])).await.unwrap();
    raw.write_all(&frame(0x8a, &[])).await.unwrap();
    raw.write_all(&frame(0x82, &[7])).await.unwrap();
    assert_eq!(server.recv().await.unwrap(), Some(vec![7]));
    let mut answer = [0; 3];
    raw.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [0x8a, 1, 9]);
}

#[tokio::test]
async fn a_server_that_refuses_and_one_that_is_none_are_told() {
    for (answer, word) in [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "403"),
        ("220 mail.example.org ESMTP\r\n\r\n", ""),
        ("", ""),
    ] {
        let (here, mut raw) = duplex(4096);
        raw.write_all(answer.as_bytes()).await.unwrap();
        raw.shutdown().await.unwrap();
        let error = WebSocketChannel::connect(here, "ws://localhost/sync").await.unwrap_err();
        assert!(matches!(error, SyncError::Transport { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    let (here, mut raw) = duplex(4096);
    raw.write_all(&[0x80; 64]).await.unwrap();
    raw.shutdown().await.unwrap();
    assert!(matches!(WebSocketChannel::accept(here).await, Err(SyncError::Transport { .. })));
    let (here, _raw) = duplex(4096);
    let error = WebSocketChannel::connect(here, "no address").await.unwrap_err();
    assert!(matches!(error, SyncError::Transport { .. }), "{error}");
}
