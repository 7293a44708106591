//! Which generation of the shared worker the tabs agree on.
//!
//! A number per database and version that only grows, in the `localStorage`, which all tabs of an origin see. It is that of the last
//! worker that was found hanging, and one more; so two tabs that find it at once write the same. Where tabs do not agree (there is no
//! `localStorage`), there are two workers, of which one syncs and the other stands by.

use wasm_bindgen::JsCast;
use web_sys::{Storage, Window};

use super::name::WorkerName;

/// Brings the name up to the generation that the tabs agree on.
pub(super) fn catch_up(name: &mut WorkerName) {
    let noted = storage().and_then(|noted| noted.get_item(&key(name)).ok()?);
    let noted = noted.and_then(|noted| noted.parse().ok()).unwrap_or_default();
    name.generation = name.generation.max(noted);
}

/// Notes that the worker of this name hangs; it is the name of the next one then.
pub(super) fn advance(name: &mut WorkerName) {
    name.generation = name.generation.saturating_add(1);
    catch_up(name);
    let noted = storage().map(|noted| noted.set_item(&key(name), &name.generation.to_string()));
    if !matches!(noted, Some(Ok(()))) {
        tracing::debug!(
            "the other tabs cannot be told of a worker that hangs: they notice it themselves"
        );
    }
}

/// The same for all generations.
fn key(name: &WorkerName) -> String {
    WorkerName { generation: 0, ..name.clone() }.to_text()
}

/// `None`: this is no page, or the user allows it none.
fn storage() -> Option<Storage> {
    js_sys::global().dyn_into::<Window>().ok()?.local_storage().ok()?
}
