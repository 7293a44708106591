//! The editor, which is the right side of the page, and all of a phone's.

use sycamore::prelude::*;

use crate::app::{App, Dialog};
use crate::{quarrels, words};

/// The note that is open, or what to do without one.
pub(super) fn sheet(app: App) -> View {
    let is_open = create_selector(move || app.draft.id.with(Option::is_some));
    view! {
        main(class="sheet") {
            (if is_open.get() { note(app) } else { none() })
        }
    }
}

fn note(app: App) -> View {
    let draft = app.draft;
    let edited = move || {
        let edited =
            draft.current().map(|it| words::ago(words::millis(it.updated_at), app.now.get()));
        edited.map_or_else(String::new, |ago| format!("Edited {ago}"))
    };
    view! {
        div(class="bar") {
            button(class="button plain back", on:click=move |_| draft.open(app, None)) { "‹ Notes" }
            span(class="when") { (edited) }
            button(class="button plain danger", on:click=move |_| app.delete_note()) { "Delete" }
        }
        (disputed(app))
        // What was typed is written before the keys go elsewhere.
        div(class="paper", on:focusout=move |_| draft.write(app)) {
            input(
                id="title", placeholder="Title", aria-label="Title", autocomplete="off",
                bind:value=draft.title, on:input=move |_| draft.typed(app),
            )
            textarea(
                id="body", placeholder="Write …", aria-label="Text",
                bind:value=draft.body, on:input=move |_| draft.typed(app),
            )
        }
    }
}

/// Says that another device has written something else into this note.
fn disputed(app: App) -> View {
    let is_disputed = create_selector(move || {
        let id = app.draft.id.get_clone();
        quarrels::open(app).iter().any(|it| Some(&it.note) == id.as_ref())
    });
    view! {
        (if is_disputed.get() {
            view! {
                div(class="told", role="status") {
                    span { "Two devices have edited this note at once." }
                    button(class="button", on:click=move |_| app.dialog.set(Some(Dialog::Conflicts))) { "Compare" }
                }
            }
        } else {
            View::new()
        })
    }
}

fn none() -> View {
    view! {
        div(class="nothing") {
            strong { "No note is open" }
            "Choose one, or write a new one."
            div(class="keys") {
                kbd { "Alt+N" } span { "new note" }
                kbd { "/" } span { "search" }
                kbd { "↑ ↓" } span { "from note to note" }
                kbd { "Esc" } span { "back to the list" }
            }
        }
    }
}
