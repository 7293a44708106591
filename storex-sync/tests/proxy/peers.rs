//! Peers that say what they should not, or what only later versions know. Their frames are written by hand here, as
//! `docs/wire-format.md` describes them.

use storex_sync::{Channel, MemoryChannel, Phase, SyncError, SyncHandle, SyncHost, SyncStatus};
use tokio::time::{Instant, sleep, timeout};

use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{Device, shared_log};
use crate::{SECOND, assert_disconnected, assert_lost, client, connect, host, let_run, phase};

const HELLO: [u8; 2] = [0x91, 0x01];
const TAKEN: [u8; 2] = [0x91, 0x02];

/// A client that says what it likes.
struct Raw(MemoryChannel);

impl Raw {
    async fn greet(host: &SyncHost) -> Self {
        let (here, there) = MemoryChannel::pair();
        host.serve(there);
        let mut raw = Self(here);
        raw.0.send(HELLO.to_vec()).await.unwrap();
        let welcome = raw.0.recv().await.unwrap().unwrap();
        assert_eq!(welcome[..3], [0x93, 0x00, 0x01]);
        raw
    }

    /// Sends a frame, and waits until it is taken in; passes over what it is told meanwhile. `None`: it was let go.
    async fn say(&mut self, frame: &[u8]) -> Option<()> {
        self.0.send(frame.to_vec()).await.ok()?;
        loop {
            let frame = self.0.recv().await.unwrap()?;
            if frame == TAKEN {
                return Some(());
            }
        }
    }

    /// The next answer, as bytes.
    async fn answer(&mut self) -> Vec<u8> {
        loop {
            let frame = self.0.recv().await.unwrap().unwrap();
            if frame[..2] == [0x93, 0x03] {
                return frame;
            }
        }
    }
}

/// A frame with these messages.
fn frame(messages: &[&[u8]]) -> Vec<u8> {
    let mut frame = vec![0x90 + u8::try_from(messages.len()).unwrap()];
    for message in messages {
        frame.extend([0xc4, u8::try_from(message.len()).unwrap()]);
        frame.extend(*message);
    }
    frame
}

/// A request under number 7.
fn ask(name: &str, arguments: &[u8]) -> Vec<u8> {
    let mut message = vec![0x94, 0x00, 0x07, 0xa0 + u8::try_from(name.len()).unwrap()];
    message.extend(name.as_bytes());
    message.extend([0xc4, u8::try_from(arguments.len()).unwrap()]);
    message.extend(arguments);
    message
}

fn text(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_rubbish_is_let_go_and_the_others_go_on() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let sync = client(&host).await;
    let long = [0xdd, 0xff, 0xff, 0xff, 0xff];
    for rubbish in [&b""[..], b"rubbish", &[0xff; 40], &[0xc0], &long, &[0x91, 0x91, 0x00]] {
        // In place of the greeting.
        let (mut here, there) = MemoryChannel::pair();
        host.serve(there);
        here.send(rubbish.to_vec()).await.unwrap();
        assert_eq!(here.recv().await.unwrap(), None, "{rubbish:?}");
        // Later.
        let mut raw = Raw::greet(&host).await;
        assert!(raw.say(rubbish).await.is_none(), "{rubbish:?}");
        let mut raw = Raw::greet(&host).await;
        assert!(raw.say(&frame(&[rubbish])).await.is_none(), "{rubbish:?}");
        assert_eq!(host.clients(), 1);
    }
    assert!(sync.sync_now().await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_only_a_later_version_knows_is_refused_by_name() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let mut raw = Raw::greet(&host).await;
    raw.say(&frame(&[&ask("dance", &[0x91, 0x01])])).await.unwrap();
    let answer = text(&raw.answer().await);
    assert!(answer.contains("does not know `dance`"), "{answer}");
    // Arguments that are missing, wrong, or no list.
    for arguments in [&[0x90][..], &[0x91, 0xa0], &[0xc0], &[]] {
        raw.say(&frame(&[&ask("write_state", arguments)])).await.unwrap();
        let answer = text(&raw.answer().await);
        assert!(answer.contains("cannot be read"), "{answer}");
    }
    // One more than there were; two at once; a kind of message that is not known; none.
    raw.say(&frame(&[&ask("unsent", &[0x91, 0xc0])])).await.unwrap();
    assert_eq!(raw.answer().await, [0x93, 0x03, 0x07, 0xc4, 0x03, 0x92, 0x00, 0x00]);
    raw.say(&frame(&[&ask("unsent", &[0x90]), &ask("pause", &[0x90])])).await.unwrap();
    raw.answer().await;
    raw.say(&frame(&[&[0x92, 0x3f, 0xc0]])).await.unwrap();
    raw.say(&frame(&[])).await.unwrap();
    // What is not under way cannot be given up, and that is no matter.
    raw.say(&frame(&[&[0x92, 0x01, 0x09]])).await.unwrap();
    raw.say(&frame(&[&ask("resume", &[0x90])])).await.unwrap();
    assert_eq!(raw.answer().await, [0x93, 0x03, 0x07, 0xc4, 0x03, 0x92, 0x00, 0x90]);
}

/// What it has asked for is done, turn by turn, though nobody takes the answers.
#[tokio::test(start_paused = true)]
async fn a_client_that_only_asks_holds_up_nobody() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let sync = client(&host).await;
    sync.sync_now().await.unwrap().unwrap();
    log.script(Call::Append, [Fault::Delay(SECOND * 60)]);
    device.note("n", "x").await;
    sleep(SECOND).await;
    let mut raw = Raw::greet(&host).await;
    // It is next to have the turn.
    raw.0.send(frame(&[&ask("retry_parked", &[0x90])])).await.unwrap();
    let asks = async {
        loop {
            raw.0.send(frame(&[&ask("unsent", &[0x90])])).await.unwrap();
        }
    };
    assert!(timeout(SECOND, asks).await.is_err(), "in the end no more is taken");
    sleep(SECOND * 60).await;
    for n in 0..10 {
        device.note(&format!("{n}"), "x").await;
        timeout(SECOND, sync.sync_now()).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(sync.unsent().await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn c77_another_version_is_refused_by_both() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let (mut here, there) = MemoryChannel::pair();
    host.serve(there);
    here.send(vec![0x92, 0x02, 0xc0]).await.unwrap();
    let refused = here.recv().await.unwrap().unwrap();
    assert!(text(&refused).contains("not version 2"), "{refused:?}");
    assert_eq!(here.recv().await.unwrap(), None);

    let mut welcome = vec![0x93, 0x00, 0x02];
    welcome.extend([0xc4, 0x01, 0xc0]);
    for frame in [refused, welcome, TAKEN.to_vec()] {
        let (here, mut there) = MemoryChannel::pair();
        there.send(frame).await.unwrap();
        let error = connect(here).await.unwrap_err();
        assert!(matches!(error, SyncError::Protocol { .. }), "{error:?}");
        assert!(!error.is_retryable());
    }
}

/// A host that is none: what it says in place of an answer ends the connection, or is passed over.
#[tokio::test(start_paused = true)]
async fn a_client_survives_whatever_its_host_says() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let welcome = {
        let (mut here, there) = MemoryChannel::pair();
        host.serve(there);
        here.send(HELLO.to_vec()).await.unwrap();
        here.recv().await.unwrap().unwrap()
    };
    let too_often = [&TAKEN[..], &TAKEN, &TAKEN];
    for rubbish in [&[&b"rubbish"[..]][..], &[b""], &[&[0xc0]], &[&welcome], &too_often] {
        let (here, mut there) = MemoryChannel::pair();
        there.send(welcome.clone()).await.unwrap();
        let sync = connect(here).await.unwrap();
        let (unsent, ()) = tokio::join!(sync.unsent(), async {
            there.recv().await.unwrap();
            there.recv().await.unwrap();
            for frame in rubbish {
                // It may be gone by now.
                let _ = there.send(frame.to_vec()).await;
            }
        });
        assert_disconnected(&unsent.unwrap_err());
        assert_lost(&sync).await;
    }

    let (here, mut there) = MemoryChannel::pair();
    there.send(welcome).await.unwrap();
    let sync = connect(here).await.unwrap();
    let (unsent, ()) = tokio::join!(sync.unsent(), async {
        there.recv().await.unwrap();
        there.recv().await.unwrap();
        // A kind, an event and a status that it cannot read, an answer that nobody waits for; then one it cannot read.
        there.send(vec![0x91, 0x3f]).await.unwrap();
        there.send(vec![0x92, 0x05, 0xc4, 0x02, 0x91, 0x3f]).await.unwrap();
        there.send(vec![0x92, 0x04, 0xc4, 0x01, 0xc0]).await.unwrap();
        there.send(vec![0x93, 0x03, 0x33, 0xc4, 0x00]).await.unwrap();
        there.send(vec![0x93, 0x03, 0x00, 0xc4, 0x02, 0x92, 0x00]).await.unwrap();
    });
    let error = unsent.unwrap_err();
    assert!(matches!(error, SyncError::Corrupt { .. }), "{error:?}");
    let_run().await;
    assert!(!sync.status().borrow().in_step, "what cannot be read is not in step");
    assert_ne!(phase(&sync), Phase::Disconnected);
}

/// With a status that it cannot read.
const WELCOME: [u8; 6] = [0x93, 0x00, 0x01, 0xc4, 0x01, 0xc0];

#[tokio::test(start_paused = true)]
async fn a_first_status_that_cannot_be_read_is_not_in_step() {
    let (here, mut there) = MemoryChannel::pair();
    there.send(WELCOME.to_vec()).await.unwrap();
    let sync = connect(here).await.unwrap();
    assert_eq!(*sync.status().borrow(), SyncStatus::default());
    assert!(!sync.status().borrow().in_step);
}

#[tokio::test(start_paused = true)]
async fn whatever_a_host_says_is_a_sign_of_life() {
    let (here, mut there) = MemoryChannel::pair();
    there.send(WELCOME.to_vec()).await.unwrap();
    let sync = connect(here).await.unwrap();
    let asks = async {
        let begin = Instant::now();
        let error = sync.unsent().await.unwrap_err();
        assert_disconnected(&error);
        assert_eq!(begin.elapsed(), SECOND * 80);
    };
    tokio::join!(asks, async {
        for _ in 0..4 {
            sleep(SECOND * 15).await;
            // A kind that is not known.
            there.send(vec![0x91, 0x3f]).await.unwrap();
        }
    });
    assert_lost(&sync).await;
}
