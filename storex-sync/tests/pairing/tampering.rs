//! Somebody sits between the two devices and does what he likes with their messages.

use proptest::prelude::*;
use proptest::sample::Index;
use storex_sync::{Channel, MemoryChannel, Result, SecureChannel, SyncError};

use super::{Secure, Two, rest, run};

/// Messages of each side in the run below: three of the handshake, two frames, the first of them in two parts, and the end.
const MESSAGES: usize = 6;

/// A sealed message of a frame that goes on behind it.
const PART: usize = 65_543;

/// What is done to one message.
#[derive(Debug, Clone)]
enum Deed {
    Flip(Index),
    Drop,
    Repeat,
    Cut(Index),
    Lengthen(u8),
    /// It comes behind the next one of its side, or not at all.
    Delay,
    /// Back to who has sent it, instead of to the other side.
    Reflect,
    /// It is sent on, and back too.
    Echo,
    Replace(Vec<u8>),
    /// By the message with that number of the same side, if that was there already.
    ReplaceByEarlier(Index),
    /// Each of its parts comes as a frame.
    Split,
    /// The message with that number of the same side comes in the same frame, in front of it.
    JoinToEarlier(Index),
    /// One of its parts is left out.
    DropPart(Index),
    RepeatPart(Index),
    ReverseParts,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => any::<Index>().prop_map(Deed::Flip),
        1 => Just(Deed::Drop),
        1 => Just(Deed::Repeat),
        1 => any::<Index>().prop_map(Deed::Cut),
        1 => any::<u8>().prop_map(Deed::Lengthen),
        1 => Just(Deed::Delay),
        1 => Just(Deed::Reflect),
        1 => Just(Deed::Echo),
        1 => any::<Vec<u8>>().prop_map(Deed::Replace),
        1 => any::<Index>().prop_map(Deed::ReplaceByEarlier),
        1 => Just(Deed::Split),
        1 => any::<Index>().prop_map(Deed::JoinToEarlier),
        1 => any::<Index>().prop_map(Deed::DropPart),
        1 => any::<Index>().prop_map(Deed::RepeatPart),
        1 => Just(Deed::ReverseParts),
    ]
}

/// A line from one side to the other. What is done is done to its message number `at`.
struct Line<'a> {
    at: Option<usize>,
    deed: &'a Deed,
    seen: Vec<Vec<u8>>,
    delayed: Option<Vec<u8>>,
    /// Something was done that could matter.
    disturbed: bool,
}

impl Line<'_> {
    /// What arrives at the other side, and what comes back.
    fn carry(&mut self, frame: Vec<u8>) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let number = self.seen.len();
        self.seen.push(frame.clone());
        if self.at != Some(number) {
            let delayed = self.delayed.take();
            return ([frame].into_iter().chain(delayed).collect(), Vec::new());
        }
        self.disturbed = true;
        let mut changed = frame.clone();
        let mut parts: Vec<&[u8]> = frame.chunks(PART).collect();
        match self.deed {
            Deed::Flip(bit) => {
                let bit = bit.index(changed.len() * 8);
                changed[bit / 8] ^= 1 << (bit % 8);
            }
            Deed::Cut(at) => changed.truncate(at.index(frame.len())),
            Deed::Lengthen(byte) => changed.push(*byte),
            Deed::Replace(by) => changed = by.clone(),
            Deed::ReplaceByEarlier(which) => changed = self.seen[which.index(number + 1)].clone(),
            Deed::JoinToEarlier(which) => {
                changed = [&self.seen[which.index(number + 1)][..], &frame].concat();
            }
            Deed::Split => {
                self.disturbed = parts.len() > 1;
                return (parts.into_iter().map(<[u8]>::to_vec).collect(), vec![]);
            }
            Deed::DropPart(which) => {
                parts.remove(which.index(parts.len()));
                changed = parts.concat();
            }
            Deed::RepeatPart(which) => {
                let which = which.index(parts.len());
                parts.insert(which, parts[which]);
                changed = parts.concat();
            }
            Deed::ReverseParts => {
                parts.reverse();
                changed = parts.concat();
            }
            Deed::Drop => return (vec![], vec![]),
            Deed::Repeat => return (vec![frame.clone(), frame], vec![]),
            Deed::Delay => {
                self.delayed = Some(frame);
                return (vec![], vec![]);
            }
            Deed::Reflect => return (vec![], vec![frame]),
            Deed::Echo => return (vec![frame.clone()], vec![frame]),
        }
        self.disturbed = changed != frame;
        (vec![changed], vec![])
    }
}

/// Carries until both sides have closed.
async fn carry(
    mut guest: MemoryChannel,
    mut host: MemoryChannel,
    to_host: &mut Line<'_>,
    to_guest: &mut Line<'_>,
) {
    let (mut guest_sends, mut host_sends) = (true, true);
    while guest_sends || host_sends {
        let (there, back, from_guest) = tokio::select! {
            frame = guest.recv(), if guest_sends => match frame.unwrap() {
                Some(frame) => { let (there, back) = to_host.carry(frame); (there, back, true) }
                None => { guest_sends = false; host.close().await.unwrap(); continue }
            },
            frame = host.recv(), if host_sends => match frame.unwrap() {
                Some(frame) => { let (there, back) = to_guest.carry(frame); (there, back, false) }
                None => { host_sends = false; guest.close().await.unwrap(); continue }
            },
        };
        let (to_guest, to_host) = if from_guest { (back, there) } else { (there, back) };
        // Who is gone gets nothing.
        for frame in to_guest {
            let _ = guest.send(frame).await;
        }
        for frame in to_host {
            let _ = host.send(frame).await;
        }
    }
}

/// What a side says when it is in.
fn frames(side: u8) -> [Vec<u8>; 2] {
    [vec![side; 70_000], vec![side, side]]
}

/// Says it, closes, and hears the other side to its end.
async fn talk(channel: Result<Secure>, side: u8) -> (Vec<Vec<u8>>, Option<SyncError>) {
    let mut channel = match channel {
        Ok(channel) => channel,
        Err(error) => return (Vec::new(), Some(error)),
    };
    for frame in frames(side) {
        if let Err(error) = channel.send(frame).await {
            return (Vec::new(), Some(error));
        }
    }
    if let Err(error) = channel.close().await {
        return (Vec::new(), Some(error));
    }
    rest(&mut channel).await
}

/// What both sides have heard, and whether anything was done.
async fn disturbed(
    from_guest: bool,
    at: usize,
    deed: &Deed,
    known: bool,
) -> ([(Vec<Vec<u8>>, Option<SyncError>); 2], bool) {
    let mut two = Two::new(1);
    let (there, relay_guest) = MemoryChannel::pair();
    let (here, relay_host) = MemoryChannel::pair();
    let line = |here: bool| Line {
        at: here.then_some(at),
        deed,
        seen: Vec::new(),
        delayed: None,
        disturbed: false,
    };
    let (mut to_host, mut to_guest) = (line(from_guest), line(!from_guest));
    let carrying = carry(relay_guest, relay_host, &mut to_host, &mut to_guest);
    let (code, runtime) = (two.code(), two.runtime.clone());
    let devices = [two.guest.public()];
    let host_key = two.host.public();
    let host = async {
        let host = match known {
            true => SecureChannel::accept(here, &devices, &two.host, runtime.clone()).await,
            false => two.pairing.accept(here, &two.host).await,
        };
        talk(host, b'h').await
    };
    let guest = async {
        let guest = match known {
            true => SecureChannel::connect(there, &host_key, &two.guest, runtime.clone()).await,
            false => SecureChannel::pair(there, &code, &two.guest, runtime.clone()).await,
        };
        talk(guest, b'g').await
    };
    let (host, guest, ()) = tokio::join!(host, guest, carrying);
    ([host, guest], to_host.disturbed || to_guest.disturbed)
}

proptest! {
    /// Whatever is done to whichever message: somebody notices, and nobody takes anything wrong for right.
    #[test]
    fn whatever_is_done_is_noticed_and_nothing_wrong_is_delivered(
        (from_guest, at, deed, known) in (any::<bool>(), 0..MESSAGES, deed(), any::<bool>()),
    ) {
        let ([host, guest], done) = run(disturbed(from_guest, at, &deed, known));
        for ((heard, _), side) in [(&host, b'g'), (&guest, b'h')] {
            prop_assert!(frames(side).starts_with(heard), "{} frames", heard.len());
        }
        let noticed = host.1.is_some() || guest.1.is_some();
        // Behind the end nobody reads any more.
        let last = at == MESSAGES - 1 - usize::from(known && !from_guest);
        let behind_the_end = last && matches!(deed, Deed::Repeat | Deed::Echo);
        let harmless = behind_the_end || matches!(deed, Deed::Echo) || !done;
        prop_assert!(noticed || harmless, "{deed:?}");
        if !done {
            prop_assert!(!noticed, "{:?} {:?}", host.1, guest.1);
            prop_assert_eq!(&host.0[..], &frames(b'g')[..]);
            prop_assert_eq!(&guest.0[..], &frames(b'h')[..]);
        }
    }
}

/// A second code's owner cannot be put in the place of the first: the guest's messages go to another host.
#[tokio::test(start_paused = true)]
async fn whoever_sits_in_the_middle_without_the_code_gets_in_on_neither_side() {
    let (mut two, mut mallory) = (Two::new(1), Two::new(2));
    let code = two.code();
    let (here, mallory_there) = MemoryChannel::pair();
    let (mallory_here, there) = MemoryChannel::pair();
    let guess = mallory.code();
    let (host, as_guest, as_host, guest) = tokio::join!(
        two.pairing.accept(here, &two.host),
        SecureChannel::pair(mallory_there, &guess, &mallory.guest, mallory.runtime.clone()),
        mallory.pairing.accept(mallory_here, &mallory.host),
        SecureChannel::pair(there, &code, &two.guest, two.runtime.clone()),
    );
    for refused in [host, as_guest, as_host, guest] {
        assert!(matches!(refused, Err(SyncError::PairingRefused { .. })), "{refused:?}");
    }
}

/// Two guests, or two hosts, on one channel: an error, not a wait without end.
#[tokio::test(start_paused = true)]
async fn two_of_the_same_role_do_not_pair() {
    let two = Two::new(1);
    let code = two.code();
    let (here, there) = MemoryChannel::pair();
    let (one, other) = tokio::join!(
        SecureChannel::pair(here, &code, &two.guest, two.runtime.clone()),
        SecureChannel::pair(there, &code, &two.host, two.runtime.clone()),
    );
    assert!(one.is_err() && other.is_err());
    let (mut one, mut other) = (Two::new(1), Two::new(1));
    let (here, there) = MemoryChannel::pair();
    let (one, other) =
        tokio::join!(one.pairing.accept(here, &one.host), other.pairing.accept(there, &other.host));
    assert!(one.is_err() && other.is_err());
}
