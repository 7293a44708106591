//! Notes that several devices keep in step, encrypted end to end: what `notes-cli` and `notes-web` share. To be copied.
//!
//! ```text
//!   Note, Edit       what is kept                                                   (note.rs)
//!   Notes            the notes of a device: written and read without a connection   (notes.rs)
//!   Account          server, token, name, keys: kept on the device                  (account.rs)
//!   Link             an account founded, unlocked, paired; sync started             (link.rs)
//! ```
//!
//! The database (`Backend`), the way to the server (`HttpTransport`), and time and tasks (`Runtime`) come from the application.

// What a browser's one thread holds need not be `Send`, and an `Arc` of it serves as well as an `Rc`.
#![cfg_attr(target_family = "wasm", allow(clippy::arc_with_non_send_sync))]

mod account;
mod error;
mod link;
mod note;
mod notes;
mod pairing;
mod passphrase;
mod token;

pub use account::{Account, Accounts};
pub use error::{Error, Result};
pub use link::Link;
pub use note::{Edit, Note};
pub use notes::Notes;
pub use pairing::PairingEvent;
pub use passphrase::new_passphrase;
