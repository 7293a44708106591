//! The suite for channels, on each of them.

use std::sync::Arc;

use storex_conformance::channel::{ChannelHarness, Ends};
use storex_conformance::channel_conformance;
use storex_core::BoxFuture;
use storex_memory::TestRuntime;
use storex_sync::{
    Channel, HeartbeatChannel, MemoryChannel, StreamChannel, WebSocketChannel, ZstdChannel,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// Both ends of a connection over loopback.
pub(crate) async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (here, there) = tokio::join!(connecting, listener.accept());
    (here.unwrap(), there.unwrap().0)
}

fn ends(here: impl Channel, there: impl Channel) -> Ends {
    (Box::new(here), Box::new(there))
}

fn streams<S: AsyncRead + AsyncWrite + Send + Sync + 'static>((here, there): (S, S)) -> Ends {
    ends(StreamChannel::new(here), StreamChannel::new(there))
}

fn harness<F: Future<Output = Ends> + Send + 'static>(
    make: impl Fn() -> F + Send + Sync + 'static,
) -> ChannelHarness {
    ChannelHarness::new(move || Box::pin(make()) as BoxFuture<'static, Ends>)
}

mod c51_stream_over_a_pipe_in_memory {
    use super::*;

    fn duplex() -> ChannelHarness {
        harness(|| async { streams(tokio::io::duplex(64 << 10)) })
    }

    channel_conformance!(duplex);
}

/// A pipe that takes few bytes, so that everything is cut everywhere.
mod c51_stream_over_a_narrow_pipe {
    use super::*;

    fn duplex() -> ChannelHarness {
        harness(|| async { streams(tokio::io::duplex(777)) })
    }

    channel_conformance!(duplex);
}

mod c51_stream_over_tcp {
    use super::*;

    fn loopback() -> ChannelHarness {
        harness(|| async { streams(tcp().await) })
    }

    channel_conformance!(loopback);
}

mod c51_stream_over_a_unix_socket {
    use super::*;

    fn socket() -> ChannelHarness {
        harness(|| async { streams(UnixStream::pair().unwrap()) })
    }

    channel_conformance!(socket);
}

async fn websockets<S: AsyncRead + AsyncWrite + Send + 'static>(
    (here, there): (S, S),
) -> (WebSocketChannel<S>, WebSocketChannel<S>) {
    let client = WebSocketChannel::connect(here, "ws://localhost/sync");
    let (client, server) = tokio::join!(client, WebSocketChannel::accept(there));
    (client.unwrap(), server.unwrap())
}

mod c51_websocket_from_client_to_server {
    use super::*;

    fn client() -> ChannelHarness {
        harness(|| async {
            let (client, server) = websockets(tcp().await).await;
            ends(client, server)
        })
    }

    channel_conformance!(client);
}

mod c51_websocket_from_server_to_client {
    use super::*;

    fn server() -> ChannelHarness {
        harness(|| async {
            let (client, server) = websockets(tokio::io::duplex(8 << 10)).await;
            ends(server, client)
        })
    }

    channel_conformance!(server);
}

fn beating<C: Channel>(channel: C) -> HeartbeatChannel<C> {
    HeartbeatChannel::new(channel, Arc::new(TestRuntime::new(1)))
}

fn packed<C: Channel>(channel: C) -> ZstdChannel<C> {
    ZstdChannel::new(channel).unwrap()
}

mod c51_heartbeat_over_memory {
    use super::*;

    fn memory() -> ChannelHarness {
        harness(|| async {
            let (here, there) = MemoryChannel::pair();
            ends(beating(here), beating(there))
        })
    }

    channel_conformance!(memory);
}

mod c51_zstd_over_memory {
    use super::*;

    fn memory() -> ChannelHarness {
        harness(|| async {
            let (here, there) = MemoryChannel::pair();
            ends(packed(here), packed(there))
        })
    }

    channel_conformance!(memory);
}

mod c51_all_wrappers_over_a_stream {
    use super::*;

    fn wrapped() -> ChannelHarness {
        harness(|| async {
            let (here, there) = tokio::io::duplex(4 << 10);
            let wrap = |stream| beating(packed(StreamChannel::new(stream)));
            ends(wrap(here), wrap(there))
        })
    }

    channel_conformance!(wrapped);
}
