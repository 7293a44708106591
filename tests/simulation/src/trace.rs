//! [`Trace`]: what has happened, line by line.

use std::fmt::{self, Write as _};
use std::time::Duration;

/// What has happened in a run. The same seed gives the same bytes; their hash is known even where they are not kept.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    kept: Option<String>,
    line: String,
    hash: u64,
    lines: u64,
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

impl Trace {
    /// `keep`: the lines too, and not only their hash.
    pub(crate) fn new(keep: bool) -> Self {
        let kept = keep.then(String::new);
        Self { kept, line: String::new(), hash: FNV_OFFSET, lines: 0 }
    }

    pub(crate) fn line(&mut self, at: Duration, who: &str, what: fmt::Arguments<'_>) {
        self.line.clear();
        // Writing to a string does not fail.
        let _ = writeln!(self.line, "{:>10.3} {who:<9} {what}", at.as_secs_f64());
        for byte in self.line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        self.lines += 1;
        if let Some(kept) = &mut self.kept {
            kept.push_str(&self.line);
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    pub(crate) fn into_text(self) -> Option<String> {
        self.kept
    }
}
