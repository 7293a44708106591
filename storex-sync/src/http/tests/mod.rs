//! The forms, there and back; what becomes of bytes that are none; and the vectors of `docs/wire-format.md`.

mod forms;
mod problems;
mod properties;
