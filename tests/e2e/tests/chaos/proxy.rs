//! The network of these tests does what it is told.

use std::io::ErrorKind;
use std::time::Duration;

use storex_core::{Runtime as _, TokioRuntime};
use storex_e2e::block_on;
use storex_e2e::fault_proxy::{Cut, FaultProxy, Passed, Towards};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The end of a device and the end of the server, with the network between them.
async fn connection(listener: &TcpListener, network: &FaultProxy) -> (TcpStream, TcpStream) {
    let connecting = TcpStream::connect(network.address());
    let (device, accepted) = tokio::join!(connecting, listener.accept());
    let (mut device, mut server) = (device.unwrap(), accepted.unwrap().0);
    // Both ways are there.
    device.write_all(b"to").await.unwrap();
    server.read_exact(&mut [0; 2]).await.unwrap();
    server.write_all(b"fro").await.unwrap();
    device.read_exact(&mut [0; 3]).await.unwrap();
    (device, server)
}

/// What arrives until nothing more does, and whether that is told by a reset.
async fn rest(mut end: TcpStream) -> (Vec<u8>, bool) {
    let mut arrived = Vec::new();
    match end.read_to_end(&mut arrived).await {
        Ok(_) => (arrived, false),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            (arrived, true)
        }
    }
}

async fn hears(end: &mut TcpStream) -> std::io::Result<usize> {
    end.read(&mut [0; 1]).await
}

async fn listen() -> (TcpListener, FaultProxy) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let network = FaultProxy::start(listener.local_addr().unwrap());
    (listener, network)
}

#[test]
fn a_cut_is_seen_by_those_who_are_told() {
    block_on(async {
        let (listener, network) = listen().await;
        let (device, server) = connection(&listener, &network).await;
        network.cut_one(7, Cut::Reset);
        assert_eq!(rest(device).await, (Vec::new(), true));
        assert_eq!(rest(server).await, (Vec::new(), true));

        let (device, mut server) = connection(&listener, &network).await;
        network.cut_all(Cut::SeenByDevice);
        assert_eq!(rest(device).await, (Vec::new(), false));
        let (mut device, server) = tokio::select! {
            biased;
            read = hears(&mut server) => panic!("the server was told: {read:?}"),
            another = connection(&listener, &network) => another,
        };
        network.cut_all(Cut::SeenByServer);
        assert_eq!(rest(server).await, (Vec::new(), false));
        tokio::select! {
            biased;
            read = hears(&mut device) => panic!("the device was told: {read:?}"),
            _ = connection(&listener, &network) => {}
        }
        let passed = network.passed();
        assert_eq!(passed, Passed { connections: 4, refused: 0, cut: 3, cut_within: 0, bytes: 20 });
    });
}

#[test]
fn of_an_answer_that_is_cut_a_part_arrives() {
    block_on(async {
        let (listener, network) = listen().await;
        let (device, mut server) = connection(&listener, &network).await;
        network.cut_within(Towards::Device, 10);
        server.write_all(&[5; 100]).await.unwrap();
        assert_eq!(rest(device).await.0, [5; 10]);
        let (mut device, server) = connection(&listener, &network).await;
        network.cut_within(Towards::Server, 0);
        device.write_all(&[5; 100]).await.unwrap();
        assert!(rest(server).await.0.is_empty());
        assert_eq!(network.passed().cut_within, 2);
    });
}

#[test]
fn what_is_stalled_arrives_afterwards_or_is_lost() {
    block_on(async {
        let (listener, network) = listen().await;
        let (mut device, mut server) = connection(&listener, &network).await;
        network.stall(true);
        device.write_all(b"later").await.unwrap();
        let mut arrived = [0; 5];
        tokio::select! {
            biased;
            came = server.read(&mut arrived) => panic!("{came:?}"),
            () = TokioRuntime.sleep(Duration::from_millis(100)) => {}
        }
        network.stall(false);
        server.read_exact(&mut arrived).await.unwrap();
        assert_eq!(&arrived, b"later");
        network.stall(true);
        device.write_all(b"never").await.unwrap();
        network.cut_all(Cut::Reset);
        network.heal();
        assert_eq!(rest(server).await, (Vec::new(), true));
    });
}

#[test]
fn who_is_refused_may_come_again() {
    block_on(async {
        let (listener, network) = listen().await;
        network.refuse(true);
        let refused = TcpStream::connect(network.address()).await.unwrap();
        assert!(rest(refused).await.0.is_empty());
        assert_eq!(network.passed().refused, 1);
        network.refuse(false);
        connection(&listener, &network).await;
    });
}
