//! Notes in a browser: off-line first, in several tabs, on several devices, encrypted end to end.
//!
//! ```text
//!   views/       what is seen: the first run, the list, the editor, the status line, conflicts, devices
//!     │ reads signals, calls functions
//!   app.rs       the signals, and what fills them: the live query, the status of the sync, the journal of conflicts
//!   draft.rs     the note that is being edited
//!   joining.rs   the first run, inviting another device, and shutting one out
//!   mending.rs   what keeps this device from being in step: a token or a passphrase that is to be typed
//!   quarrels.rs  conflicts, and what becomes of them
//!     │
//!   engine.rs    the database, and the sync in a worker that all tabs share
//!   notes        the crate that the notes in a terminal are made of, too
//! ```
//!
//! On native targets this crate is empty; the program beside it serves it.

#![cfg(target_family = "wasm")]
#![allow(clippy::arc_with_non_send_sync)] // a browser has one thread

mod app;
mod draft;
mod engine;
mod joining;
mod mending;
mod page;
mod quarrels;
mod views;
mod words;

use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

/// Opens the notes and shows them, in place of what is in the element `app`. `version`: of the build.
///
/// # Errors
/// When the database cannot be opened, or the page has no such element.
#[wasm_bindgen]
pub async fn start(version: String) -> Result<(), JsError> {
    page::print_panics();
    // Also where it is not needed: a token is not to be seen.
    let invitation = page::invitation();
    let notes = engine::open_notes().await?;
    let running = engine::resume(&notes, &version).await?;
    let element = page::element("app").ok_or_else(|| JsError::new("there is no element `app`"))?;
    element.set_inner_html("");
    let whole = move || {
        let app = app::App::new(notes, version, running, invitation.token.clone());
        views::whole(app, invitation)
    };
    sycamore::render_to(whole, &element);
    Ok(())
}

/// In the script of the worker: keeps the notes in step, for all tabs.
#[wasm_bindgen]
pub fn serve() {
    page::print_panics();
    engine::serve();
}
