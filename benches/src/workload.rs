//! The one fixed workload: the same bytes for both sides.

use serde::{Deserialize, Serialize};
use storex_core::{Definition, FieldType, Object};

/// A note of about 330 bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Note {
    /// A UUID version 7 as text.
    pub id: String,
    /// About 40 characters.
    pub title: String,
    /// About 200 characters.
    pub body: String,
    /// A JSON list of three words, as text.
    pub tags: String,
    /// Milliseconds.
    pub created_at: i64,
    /// Milliseconds.
    pub updated_at: i64,
}

impl Object for Note {
    const COLLECTION: &'static str = "note";
}

/// The collection of [`Note`]s.
#[must_use]
pub fn definition() -> Definition {
    Definition::new("note")
        .field("title", FieldType::String)
        .field("body", FieldType::String)
        .field("tags", FieldType::String)
        .field("created_at", FieldType::Int)
        .field("updated_at", FieldType::Int)
        .index(["created_at"])
}

/// A change of one field.
#[derive(Debug, Clone)]
pub struct Update {
    /// Which note.
    pub id: String,
    /// Which field.
    pub field: &'static str,
    /// Its new value.
    pub text: String,
}

const WORDS: [&str; 32] = [
    "time", "river", "stone", "letter", "window", "garden", "number", "people", "water", "light",
    "music", "paper", "morning", "evening", "summer", "winter", "market", "station", "village",
    "mountain", "bridge", "kitchen", "doctor", "teacher", "student", "engine", "signal", "memory",
    "storage", "network", "device", "channel",
];

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from((u128::from(self.next_u64()) * n as u128) >> 64).unwrap_or(0)
    }

    /// A text of about `len` characters.
    pub fn text(&mut self, len: usize) -> String {
        let mut text = String::with_capacity(len + 12);
        while text.len() < len {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(WORDS[self.below(WORDS.len())]);
        }
        text.truncate(len);
        text
    }

    /// A UUID version 7.
    pub fn uuid(&mut self, ms: i64) -> String {
        let (a, b) = (self.next_u64(), self.next_u64());
        let ms = ms.cast_unsigned() & 0xffff_ffff_ffff;
        format!(
            "{:08x}-{:04x}-7{:03x}-{:04x}-{:012x}",
            ms >> 16,
            ms & 0xffff,
            a & 0xfff,
            0x8000 | (a >> 16 & 0x3fff),
            b & 0xffff_ffff_ffff
        )
    }
}

/// `count` notes, with keys that ascend.
#[must_use]
pub fn notes(count: usize, seed: u64) -> Vec<Note> {
    let mut random = Random(seed);
    let mut at = 1_700_000_000_000 + i64::try_from(seed).unwrap_or(0) * 1_000_000_000_000 / 97;
    (0..count)
        .map(|_| {
            at += 1 + i64::try_from(random.below(5_000)).unwrap_or(0);
            let words = [0; 3].map(|_| WORDS[random.below(WORDS.len())]);
            Note {
                id: random.uuid(at),
                title: random.text(40),
                body: random.text(200),
                tags: format!("[\"{}\",\"{}\",\"{}\"]", words[0], words[1], words[2]),
                created_at: at,
                updated_at: at,
            }
        })
        .collect()
}

/// The same with keys without any order, as UUIDs version 4 have.
#[must_use]
pub fn notes_without_order(count: usize, seed: u64) -> Vec<Note> {
    let mut random = Random(!seed);
    let mut notes = notes(count, seed);
    for note in &mut notes {
        let any = i64::try_from(random.next_u64() >> 1).unwrap_or(0);
        note.id = random.uuid(any);
    }
    notes
}

/// `count` changes of one field each, of notes drawn at random.
#[must_use]
pub fn updates(notes: &[Note], count: usize) -> Vec<Update> {
    let mut random = Random(4242);
    (0..count)
        .map(|_| {
            let id = notes[random.below(notes.len())].id.clone();
            let (field, len) = [("title", 40), ("body", 200), ("tags", 30)][random.below(3)];
            Update { id, field, text: random.text(len) }
        })
        .collect()
}
