//! Keys that count wherever the focus is.

use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::KeyboardEvent;

use crate::app::App;
use crate::page;

/// Listens for as long as the page is there.
pub(super) fn listen(app: App) {
    let pressed = Closure::<dyn FnMut(KeyboardEvent)>::new(move |event: KeyboardEvent| {
        if pressed(app, &event) {
            event.prevent_default();
        }
    });
    if let Some(window) = web_sys::window() {
        // It is refused for no event of this name.
        let _ =
            window.add_event_listener_with_callback("keydown", pressed.as_ref().unchecked_ref());
    }
    pressed.forget();
}

/// Whether the key was one of ours.
fn pressed(app: App, event: &KeyboardEvent) -> bool {
    let is_in = app.running.with_untracked(Option::is_some);
    if !is_in || app.dialog.get_untracked().is_some() {
        return false;
    }
    let is_typing =
        page::focused().is_some_and(|it| ["INPUT", "TEXTAREA"].contains(&&*it.tag_name()));
    match (event.code().as_str(), event.key().as_str()) {
        ("KeyN", _) if event.alt_key() => app.create_note(),
        (_, "/") if !is_typing => page::focus("search"),
        (_, "Escape") => {
            app.draft.open(app, None);
            page::focus("search");
        }
        _ => return false,
    }
    true
}
