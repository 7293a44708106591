//! What keeps this device from being in step, and what is to be typed.

use sycamore::prelude::*;
use web_sys::SubmitEvent;

use super::dialog;
use crate::app::App;
use crate::joining::Joining;
use crate::mending::{self, Obstacle};

/// Asks for what is missing; what it is may change while this is open.
pub(super) fn dialog(app: App) -> View {
    app.joining.set(Joining::Idle);
    let obstacle = create_selector(move || mending::obstacle(app));
    let content = view! {
        (match obstacle.get() {
            Some(Obstacle::Passphrase) => passphrase(app),
            Some(Obstacle::Token) => token(app),
            Some(Obstacle::ShutOut) => shut_out(),
            None => view! { p { "Nothing is in the way any more." } },
        })
    };
    dialog::dialog(app, "Not in step", content)
}

fn passphrase(app: App) -> View {
    let why = "A device was shut out, and the recovery passphrase was changed with that. Type the new one: what was written here meanwhile is sent then.";
    field(app, why, "New passphrase", String::new(), mending::unlock)
}

fn token(app: App) -> View {
    let why = "The server does not know the token of this device any more. Type another one, or paste the link that has it: what was written here meanwhile is sent then.";
    field(app, why, "Token or link", app.invited.get_clone_untracked(), mending::log_in)
}

fn shut_out() -> View {
    view! {
        p { "Another device of yours has shut this one out: no new notes come, and none are sent from here." }
        p(class="soft") { "What is here can still be read and copied. To use this device again, clear the data of this page in the browser, and add it as a new one." }
    }
}

fn field(
    app: App,
    why: &'static str,
    label: &'static str,
    filled_in: String,
    then: fn(App, String),
) -> View {
    let typed = create_signal(filled_in);
    let is_busy = create_selector(move || app.joining.with(Joining::is_under_way));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        then(app, typed.get_clone_untracked());
    };
    let is_ready = move || typed.with(|it| !it.trim().is_empty());
    view! {
        form(class="content", on:submit=submit) {
            p { (why) }
            label(class="field") {
                span { (label) }
                input(id="typed", "autofocus"="", autocomplete="off", autocapitalize="none", bind:value=typed)
            }
            (dialog::outcome(app, "A moment …"))
            div(class="actions") {
                button(class="button main", r#type="submit", id="go", disabled=move || is_busy.get() || !is_ready()) { "Go on" }
            }
        }
    }
}
