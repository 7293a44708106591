//! The status line: what the sync does, what is still to be sent, when it was last in step, on which devices.

use storex_sync::http::messages::ListedDevice;
use sycamore::prelude::*;

use crate::app::{App, Dialog};
use crate::mending::{self, Obstacle};
use crate::{quarrels, words};

/// At the bottom of the page.
pub(super) fn line(app: App) -> View {
    let said = create_selector(move || match mending::obstacle(app) {
        Some(obstacle) => ("bad", words::obstacle(obstacle).to_owned()),
        None => app.status.with(words::phase),
    });
    let dot = move || format!("dot {}", said.with(|it| it.0));
    let phase = move || said.with(|it| it.1.clone());
    view! {
        footer(class="status", id="status", aria-label="Sync") {
            div(class="phase", role="status") {
                span(class=dot, aria-hidden="true")
                span(id="phase") { (phase) }
            }
            (mend(app))
            (unsent(app))
            (last(app))
            (error(app))
            span(class="room")
            (conflicts(app))
            (devices(app))
        }
    }
}

/// The way out, where something is to be typed.
fn mend(app: App) -> View {
    let obstacle = create_selector(move || mending::obstacle(app));
    view! {
        (match obstacle.get() {
            Some(obstacle) => {
                let label = match obstacle {
                    Obstacle::Passphrase => "Enter the new one",
                    Obstacle::Token => "Enter another token",
                    Obstacle::ShutOut => "What now?",
                };
                view! { button(class="alarm", id="mend", on:click=move |_| app.dialog.set(Some(Dialog::Mend))) { (label) } }
            }
            None => View::new(),
        })
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

/// Why the last exchange failed, where that is not said better.
fn error(app: App) -> View {
    let error = create_selector(move || match mending::obstacle(app) {
        Some(_) => None,
        None => app.status.with(|it| it.last_error.clone()),
    });
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
