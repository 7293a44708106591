//! [`Flow`]: the bytes of a data channel in both directions, each bounded by a window. docs/wire-format.md, "Frames over a data channel".

use std::collections::VecDeque;

/// Bytes that may be under way in each direction: a browser takes in whatever comes, so the receiver has to say how much it has taken.
const WINDOW: usize = 1 << 20;

/// What was taken is told in portions of this.
const PORTION: usize = WINDOW / 4;

/// What has arrived and was not read, and what may still be sent.
#[derive(Debug)]
pub(super) struct Flow {
    arrived: VecDeque<Vec<u8>>,
    /// How much of the first of them was read.
    read: usize,
    /// Bytes that have come, and of which the other side was not told that they were taken.
    untold: usize,
    /// Of those, the bytes that were read.
    taken: usize,
    credit: usize,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self { arrived: VecDeque::new(), read: 0, untold: 0, taken: 0, credit: WINDOW }
    }

    /// How many bytes the other side still takes.
    pub(super) fn credit(&self) -> usize {
        self.credit
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.credit = self.credit.saturating_sub(bytes);
    }

    /// The other side has taken some of what was sent: so many bytes, in decimal.
    pub(super) fn heard(&mut self, taken: &str) -> Result<(), String> {
        let taken: usize = taken.parse().map_err(|_| "a text message that is no number")?;
        match self.credit.checked_add(taken) {
            Some(credit) if credit <= WINDOW => self.credit = credit,
            _ => return Err("more bytes were taken than sent".to_owned()),
        }
        Ok(())
    }

    pub(super) fn arrive(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.untold += bytes.len();
        if self.untold > WINDOW {
            return Err("bytes before their turn".to_owned());
        }
        if !bytes.is_empty() {
            self.arrived.push_back(bytes);
        }
        Ok(())
    }

    /// The next bytes to read; none: nothing has come.
    pub(super) fn next(&self) -> &[u8] {
        self.arrived.front().and_then(|first| first.get(self.read..)).unwrap_or_default()
    }

    /// So many of the next bytes were read. What the other side is to be told, now and then.
    pub(super) fn advance(&mut self, bytes: usize) -> Option<String> {
        self.read += bytes;
        self.taken += bytes;
        if self.next().is_empty() {
            self.arrived.pop_front();
            self.read = 0;
        }
        if self.taken < PORTION {
            return None;
        }
        let taken = std::mem::take(&mut self.taken);
        self.untold -= taken;
        Some(taken.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However much is sent and read at once: all arrives, in order, no more than a window is kept, and it does not come to a stop.
        #[test]
        fn all_arrives_and_no_more_than_a_window_waits(
            sizes in vec(1..300_000usize, 1..12),
            reads in vec(1000..100_000usize, 1..10),
        ) {
            let (mut sender, mut receiver) = (Flow::new(), Flow::new());
            let sent: Vec<u8> = (0..sizes.iter().sum::<usize>()).map(|n| (n % 251) as u8).collect();
            let (mut left, mut got) = (&sent[..], Vec::new());
            let (mut sizes, mut reads) = (sizes.iter().cycle(), reads.iter().cycle());
            while got.len() < sent.len() {
                let size = left.len().min(sender.credit()).min(*sizes.next().unwrap());
                let (message, rest) = left.split_at(size);
                left = rest;
                sender.sent(size);
                receiver.arrive(message.to_vec()).unwrap();
                let waiting = receiver.arrived.iter().map(Vec::len).sum::<usize>() - receiver.read;
                prop_assert!(waiting <= WINDOW, "{waiting}");
                let next = receiver.next();
                let read = next.len().min(*reads.next().unwrap());
                prop_assert!(read > 0, "something has come");
                got.extend_from_slice(&next[..read]);
                if let Some(taken) = receiver.advance(read) {
                    sender.heard(&taken).unwrap();
                }
            }
            prop_assert!(got == sent);
        }
    }

    #[test]
    fn a_sender_that_does_not_wait_is_refused() {
        let mut flow = Flow::new();
        flow.arrive(vec![0; WINDOW]).unwrap();
        assert!(flow.arrive(vec![0]).is_err());
    }

    #[test]
    fn a_receiver_that_takes_what_was_not_sent_is_refused() {
        let mut flow = Flow::new();
        for wrong in ["1", "-1", "", "x", "99999999999999999999999999"] {
            assert!(flow.heard(wrong).is_err(), "{wrong}");
        }
        flow.sent(5);
        flow.heard("5").unwrap();
        assert!(flow.heard("1").is_err());
    }
}
