//! [`Portion`]: how many rows a query asks for.

/// How many rows the first query of a read asks for.
const FIRST_ROWS: u64 = 4;

/// How many rows a query of a read asks for at most.
const MOST_ROWS: u64 = 64;

/// How many rows the next query of a read asks for. The database reads each of them whole, and nobody knows how large they are: they
/// may be larger than those before.
#[derive(Debug)]
pub(super) struct Portion {
    rows: u64,
    /// The bytes of the largest row so far.
    largest: usize,
}

impl Portion {
    pub(super) fn new() -> Self {
        Self { rows: FIRST_ROWS, largest: 1 }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn saw(&mut self, bytes: usize) {
        self.largest = self.largest.max(bytes);
    }

    /// At most twice as many as before, and no more than fit if all are as large as the largest.
    pub(super) fn grow(&mut self, bytes_left: usize) {
        let fit = (bytes_left / self.largest) as u64;
        self.rows = fit.min(self.rows * 2).clamp(1, MOST_ROWS);
    }
}
