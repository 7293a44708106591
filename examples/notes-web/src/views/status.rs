//! The status line: what the sync does, what is still to be sent, when it was last in step, on which devices.

use storex_sync::http::messages::ListedDevice;
use sycamore::prelude::*;

use crate::app::{App, Dialog};
use crate::{quarrels, words};

/// At the bottom of the page.
pub(super) fn line(app: App) -> View {
    let dot = move || format!("dot {}", app.status.with(words::phase).0);
    let phase = move || app.status.with(words::phase).1;
    view! {
        footer(class="status", id="status", aria-label="Sync") {
            div(class="phase", role="status") {
                span(class=dot, aria-hidden="true")
                span(id="phase") { (phase) }
            }
            (unsent(app))
            (last(app))
            (error(app))
            span(class="room")
            (conflicts(app))
            (devices(app))
        }
    }
}

fn unsent(app: App) -> View {
    let count = create_selector(move || app.status.with(|it| it.unsent));
    view! {
        (match count.get() {
            0 => View::new(),
            count => view! { span(class="fact", id="unsent") { (words::unsent(count)) } },
        })
    }
}

fn last(app: App) -> View {
    let ago = move || {
        let last = app.status.with(|it| it.last_success);
        last.map(|at| format!("In step {}", words::ago(words::millis(at), app.now.get())))
    };
    let ago = create_selector(ago);
    view! {
        (match ago.get_clone() {
            Some(ago) => view! { span(class="fact last") { (ago) } },
            None => View::new(),
        })
    }
}

/// Why the last exchange failed.
fn error(app: App) -> View {
    let error = create_selector(move || app.status.with(|it| it.last_error.clone()));
    view! {
        (match error.get_clone() {
            Some(error) => {
                let error = words::sentence(&error);
                let whole = error.clone();
                view! { span(class="error", title=whole) { (error) } }
            }
            None => View::new(),
        })
    }
}

fn conflicts(app: App) -> View {
    let count = create_selector(move || quarrels::open(app).len());
    view! {
        (match count.get() {
            0 => View::new(),
            count => view! {
                button(class="alarm", id="conflicts", on:click=move |_| app.dialog.set(Some(Dialog::Conflicts))) {
                    (words::count(count, "conflict"))
                }
            },
        })
    }
}

fn devices(app: App) -> View {
    let said = move || {
        let (gone, here): (Vec<bool>, Vec<bool>) =
            app.devices.with(|all| all.iter().map(|it| it.revoked).partition(|gone| *gone));
        match (here.len(), gone.len()) {
            (0, 0) => "Devices".to_owned(),
            (here, 0) => words::count(here, "device"),
            (here, gone) => format!("{}, {gone} shut out", words::count(here, "device")),
        }
    };
    let names = move || {
        let name = |it: &ListedDevice| (!it.revoked).then(|| it.name.clone());
        app.devices.with(|all| all.iter().filter_map(name).collect::<Vec<_>>().join(", "))
    };
    view! {
        button(id="devices", title=names, on:click=move |_| app.dialog.set(Some(Dialog::Devices))) { (said) }
    }
}
