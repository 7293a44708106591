//! What has just happened, with a way back.

use sycamore::prelude::*;

use crate::app::App;

/// At the bottom of the page, for a moment.
pub(super) fn toast(app: App) -> View {
    view! {
        div(role="status", aria-live="polite") {
            (match app.toast.get_clone() {
                Some(toast) => {
                    let class = if toast.is_error { "toast bad" } else { "toast" };
                    let (text, undo) = (toast.text, toast.undo.is_some());
                    view! {
                        div(class=class) {
                            span { (text) }
                            (if undo {
                                view! { button(id="undo", on:click=move |_| app.undo()) { "Undo" } }
                            } else {
                                View::new()
                            })
                        }
                    }
                }
                None => View::new(),
            })
        }
    }
}
