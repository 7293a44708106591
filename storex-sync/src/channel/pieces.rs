//! Frames as a stream of bytes: docs/wire-format.md, "Frames over a stream".
//!
//! ```text
//!   4 bytes, big-endian    the highest bit: the frame goes on behind this piece; the others: the length of the piece
//!   the piece              at most 256 KiB
//!   ff ff ff ff            in place of a head: no more frames come
//! ```

/// The bytes of a piece, at most.
pub(super) const PIECE: usize = 256 << 10;

const HEAD: usize = 4;
const GOES_ON: u32 = 1 << 31;
const END: u32 = u32::MAX;

/// The first memory of a frame that is not known to be shorter.
const ASIDE: usize = 64 << 10;

/// Writes frames, piece by piece: one piece is in memory twice, not the frame.
#[derive(Debug, Default)]
pub(super) struct Writer {
    frame: Vec<u8>,
    /// What of the frame was taken into a piece.
    taken: usize,
    /// Whether pieces of the frame are left.
    left: bool,
    /// Whether the end is to follow.
    ending: bool,
    /// The piece that is being written, with its head.
    piece: Vec<u8>,
    written: usize,
}

impl Writer {
    /// Begins with a frame. The one before has to be written.
    pub(super) fn begin(&mut self, frame: Vec<u8>) {
        (self.frame, self.taken, self.left) = (frame, 0, true);
    }

    /// The end follows, behind the frame that was begun.
    pub(super) fn end(&mut self) {
        self.ending = true;
    }

    /// The bytes to write next; none: everything is written.
    pub(super) fn next(&mut self) -> &[u8] {
        if self.written == self.piece.len() {
            self.next_piece();
        }
        self.piece.get(self.written..).unwrap_or_default()
    }

    /// So many of the bytes were written.
    pub(super) fn advance(&mut self, written: usize) {
        self.written = self.piece.len().min(self.written + written);
    }

    fn next_piece(&mut self) {
        self.written = 0;
        self.piece.clear();
        if self.left {
            let rest = self.frame.get(self.taken..).unwrap_or_default();
            let piece = rest.get(..PIECE).unwrap_or(rest);
            self.left = piece.len() < rest.len();
            // A piece is far below 2^31 bytes.
            let head = piece.len() as u32 | if self.left { GOES_ON } else { 0 };
            self.piece.extend_from_slice(&head.to_be_bytes());
            self.piece.extend_from_slice(piece);
            self.taken += piece.len();
            if !self.left {
                self.frame = Vec::new();
            }
        } else if std::mem::take(&mut self.ending) {
            self.piece.extend_from_slice(&END.to_be_bytes());
        }
    }
}

/// What a [`Reader`] has found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A frame.
    Frame(Vec<u8>),
    /// The end.
    End,
}

/// Puts frames together, however the bytes of their pieces arrive.
#[derive(Debug)]
pub(super) struct Reader {
    /// The bytes of a frame, at most.
    limit: usize,
    head: [u8; HEAD],
    /// How much of the head is here.
    headed: usize,
    /// How much of the piece is still to come, when the head is here.
    missing: usize,
    goes_on: bool,
    frame: Vec<u8>,
}

impl Reader {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, head: [0; HEAD], headed: 0, missing: 0, goes_on: false, frame: Vec::new() }
    }

    pub(super) fn limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes bytes from the front, up to the end of a frame. `None`: more bytes are needed.
    ///
    /// # Errors
    /// Says what is not allowed. Nothing may be read then any more.
    pub(super) fn read(&mut self, bytes: &mut &[u8]) -> Result<Option<Found>, String> {
        loop {
            if self.headed < HEAD {
                if !self.read_head(bytes) {
                    return Ok(None);
                }
                if u32::from_be_bytes(self.head) == END {
                    return self.end().map(Some);
                }
                self.begin_piece()?;
            }
            self.read_piece(bytes);
            if self.missing > 0 {
                return Ok(None);
            }
            self.headed = 0;
            if !self.goes_on {
                return Ok(Some(Found::Frame(std::mem::take(&mut self.frame))));
            }
        }
    }

    /// Whether the head is whole.
    fn read_head(&mut self, bytes: &mut &[u8]) -> bool {
        while self.headed < HEAD
            && let Some((first, rest)) = bytes.split_first()
        {
            if let Some(place) = self.head.get_mut(self.headed) {
                *place = *first;
            }
            self.headed += 1;
            *bytes = rest;
        }
        self.headed == HEAD
    }

    fn end(&mut self) -> Result<Found, String> {
        if self.goes_on {
            return Err("the end came in the middle of a frame".to_owned());
        }
        self.headed = 0;
        Ok(Found::End)
    }

    fn begin_piece(&mut self) -> Result<(), String> {
        let head = u32::from_be_bytes(self.head);
        self.goes_on = head & GOES_ON != 0;
        self.missing = (head & !GOES_ON) as usize;
        if self.missing > PIECE {
            let length = self.missing;
            return Err(format!("a piece of {length} bytes, and {PIECE} are the most"));
        }
        if self.goes_on && self.missing == 0 {
            return Err("an empty piece of a frame that goes on".to_owned());
        }
        if self.frame.len() + self.missing > self.limit {
            return Err(format!("a frame of more than {} bytes, which is the limit", self.limit));
        }
        Ok(())
    }

    fn read_piece(&mut self, bytes: &mut &[u8]) {
        let (piece, rest) = bytes.split_at_checked(self.missing).unwrap_or((bytes, &[]));
        self.make_room(piece.len());
        self.frame.extend_from_slice(piece);
        self.missing -= piece.len();
        *bytes = rest;
    }

    /// Room for bytes that have come. What a head promises sets nothing aside: the frame's memory doubles as it fills, up to
    /// its length where that is known, and to the limit.
    fn make_room(&mut self, bytes: usize) {
        let (length, capacity) = (self.frame.len(), self.frame.capacity());
        if capacity - length >= bytes {
            return;
        }
        let most = if self.goes_on { self.limit } else { length + self.missing };
        let grown = (2 * capacity).max(ASIDE).min(most).max(length + bytes);
        self.frame.reserve_exact(grown - length);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::codec_tests::assert_vector;

    /// The bytes of frames and, if asked for, of the end.
    fn written(frames: &[Vec<u8>], end: bool) -> Vec<u8> {
        let (mut writer, mut bytes) = (Writer::default(), Vec::new());
        let mut write = |writer: &mut Writer| {
            while !writer.next().is_empty() {
                let next = writer.next().to_vec();
                writer.advance(next.len());
                bytes.extend(next);
            }
        };
        for frame in frames {
            writer.begin(frame.clone());
            write(&mut writer);
        }
        if end {
            writer.end();
            write(&mut writer);
        }
        bytes
    }

    /// All that is found in bytes that arrive in parts of these lengths, over and over.
    fn found(bytes: &[u8], parts: &[usize], limit: usize) -> (Vec<Found>, Option<String>) {
        let (mut reader, mut all) = (Reader::new(limit), Vec::new());
        let (mut left, mut parts) = (bytes, parts.iter().cycle());
        while !left.is_empty() {
            let part = parts.next().copied().unwrap_or(1).clamp(1, left.len());
            let (mut arrived, rest) = left.split_at(part);
            left = rest;
            while !arrived.is_empty() {
                match reader.read(&mut arrived) {
                    Ok(found) => all.extend(found),
                    Err(reason) => return (all, Some(reason)),
                }
                assert!(
                    reader.frame.capacity() <= limit.max(arrived.len()),
                    "no more than the limit"
                );
            }
        }
        (all, None)
    }

    proptest! {
        /// However the bytes are cut, the frames are the same.
        #[test]
        fn frames_arrive_as_they_were(
            lengths in vec(prop_oneof![0..5usize, 0..2000usize, PIECE - 2..PIECE + 2, 2 * PIECE..2 * PIECE + 2], 0..6),
            parts in vec(prop_oneof![1..8usize, 1..100_000usize], 1..6),
        ) {
            let frames: Vec<Vec<u8>> = lengths.iter().map(|&n| vec![n as u8; n]).collect();
            let (found, wrong) = found(&written(&frames, true), &parts, 1 << 20);
            prop_assert_eq!(wrong, None);
            let expected: Vec<Found> = frames.into_iter().map(Found::Frame).chain([Found::End]).collect();
            prop_assert!(found == expected);
        }

        /// Whatever arrives, it is read or refused, and the same however it is cut.
        #[test]
        fn any_bytes_are_read_or_refused(
            heads in vec((prop_oneof![any::<u32>(), 0..40u32, GOES_ON..GOES_ON + 40], vec(any::<u8>(), 0..40)), 0..8),
            parts in vec(1..20usize, 1..6),
        ) {
            let bytes: Vec<u8> = heads.iter().flat_map(|(head, rest)| [&head.to_be_bytes()[..], rest].concat()).collect();
            prop_assert_eq!(found(&bytes, &parts, 100), found(&bytes, &[usize::MAX], 100));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_description() {
        assert_vector("stream", &written(&[b"why".to_vec(), Vec::new()], true));
    }

    #[test]
    fn what_a_head_promises_sets_nothing_aside() {
        let mut reader = Reader::new(64 << 20);
        for _ in 0..3 {
            let head = (PIECE as u32 | GOES_ON).to_be_bytes();
            assert_eq!(reader.read(&mut &head[..]), Ok(None));
            let held = reader.frame.capacity();
            assert!(held <= 2 * reader.frame.len().max(ASIDE), "{held} bytes");
            assert_eq!(reader.read(&mut &vec![7; PIECE][..]), Ok(None));
        }
    }

    #[test]
    fn what_is_not_allowed_is_named() {
        let refused = |bytes: &[u8]| found(bytes, &[usize::MAX], PIECE + 1).1.unwrap_or_default();
        assert!(refused(&(PIECE as u32 + 1).to_be_bytes()).contains("262144 are the most"));
        assert!(refused(&GOES_ON.to_be_bytes()).contains("empty piece"));
        assert!(refused(&[0x80, 0, 0, 1, 5, 0xff, 0xff, 0xff, 0xff]).contains("middle of a frame"));
        let two = written(&[vec![0; PIECE + 2]], false);
        assert!(refused(&two).contains("more than 262145 bytes"));
        assert_eq!(found(&written(&[vec![0; PIECE + 1]], false), &[9], PIECE + 1).1, None);
    }
}
