//! The list of notes, and the search above it.

use notes::Note;
use sycamore::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, KeyboardEvent};

use crate::app::App;
use crate::{page, quarrels, words};

/// The left side of the page.
pub(super) fn side(app: App) -> View {
    view! {
        nav(class="side", aria-label="Notes") {
            header {
                h1 {
                    img(src="icon.svg", alt="")
                    "Notes"
                }
                button(class="button main", title="Alt+N", on:click=move |_| app.create_note()) { "New note" }
            }
            div(class="search", role="search") {
                input(
                    id="search", r#type="search", placeholder="Search", aria-label="Search all notes",
                    autocomplete="off", bind:value=app.search,
                )
            }
            ul(class="list", id="list", on:keydown=walk) {
                Keyed(list=app.found, view=move |note| row(app, note), key=shown)
                (nothing(app))
            }
        }
    }
}

/// What a row is made of: it is made anew when any of it is another.
fn shown(note: &Note) -> (String, String, String, i64) {
    let Note { id, title, body, updated_at, .. } = note.clone();
    (id, title, body, updated_at.as_millis())
}

fn row(app: App, note: Note) -> View {
    let Note { id, title, body, updated_at, .. } = note.clone();
    let name = words::title(&title, &body);
    let class = if title.trim().is_empty() { "title none" } else { "title" };
    let start = words::start(&body);
    let current = {
        let id = id.clone();
        move || if app.draft.id.with(|it| it.as_ref() == Some(&id)) { "true" } else { "false" }
    };
    let disputed = move || {
        let is_disputed = quarrels::open(app).iter().any(|it| it.note == id);
        if is_disputed {
            view! { span(class="mark") { "two versions" } }
        } else {
            View::new()
        }
    };
    view! {
        li {
            button(aria-current=current, on:click=move |_| app.draft.open(app, Some(note.clone()))) {
                div(class="row") {
                    span(class=class) { (name) }
                    (disputed)
                    time { (move || words::when(updated_at, app.now.get())) }
                }
                div(class="start") { (start) }
            }
        }
    }
}

/// What is there instead of notes.
fn nothing(app: App) -> View {
    view! {
        (if !app.is_read.get() || app.found.with(|found| !found.is_empty()) {
            View::new()
        } else if app.search.with(|words| words.trim().is_empty()) {
            view! { li(class="nothing") { strong { "No notes yet" } "What you write is kept here, and on your other devices." } }
        } else {
            view! { li(class="nothing") { strong { "Nothing found" } "No note has all of these words." } }
        })
    }
}

/// The arrows go from note to note.
fn walk(event: KeyboardEvent) {
    let is_down = match event.key().as_str() {
        "ArrowDown" => true,
        "ArrowUp" => false,
        _ => return,
    };
    let row = page::focused().and_then(|it| it.closest("li").ok().flatten());
    let other = row.and_then(|row| match is_down {
        true => row.next_element_sibling(),
        false => row.previous_element_sibling(),
    });
    let button = other.and_then(|row| row.query_selector("button").ok().flatten());
    if let Some(button) = button.and_then(|it| it.dyn_into::<HtmlElement>().ok()) {
        event.prevent_default();
        page::focus_on(&button);
    }
}
