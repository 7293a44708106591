//! What opens over the page: the browser's own dialog, which keeps the keys within it and closes by Escape.

use sycamore::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{HtmlDialogElement, MouseEvent};

use super::toast;
use crate::app::App;
use crate::joining::Joining;

/// A dialog with a title, and a button that closes it.
pub(super) fn dialog(app: App, title: &'static str, content: View) -> View {
    let element = create_node_ref();
    on_mount(move || {
        let dialog = element.try_get().and_then(|it| it.dyn_into::<HtmlDialogElement>().ok());
        // It is refused for one that is open.
        let _ = dialog.map(|it| it.show_modal());
    });
    let close = move || app.dialog.set(None);
    // A click beside it is one on the dialog itself: its content covers it.
    let beside = move |event: MouseEvent| {
        if event.target() == event.current_target() {
            close();
        }
    };
    view! {
        dialog(ref=element, aria-label=title, on:close=move |_| close(), on:mousedown=beside) {
            header {
                h2 { (title) }
                button(class="button plain", on:click=move |_| close()) { "Close" }
            }
            div(class="content") { (content) }
            (toast::toast(app))
        }
    }
}

/// What has come of an attempt: nothing yet, something to wait for, or why it has failed.
pub(super) fn outcome(app: App, busy: &'static str) -> View {
    let stage = create_selector(move || app.joining.with(Joining::stage));
    view! {
        (match stage.get_clone() {
            Joining::Failed(why) => view! { p(class="problem", role="alert") { (why) } },
            Joining::Busy => view! { p(class="soft", role="status") { (busy) } },
            _ => View::new(),
        })
    }
}
