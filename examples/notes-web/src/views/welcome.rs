//! The first run: how this device comes into an account.

use std::rc::Rc;

use notes::Account;
use storex_core::WebRuntime;
use sycamore::prelude::*;
use web_sys::{MouseEvent, SubmitEvent};

use super::progress;
use crate::app::App;
use crate::joining::{self, Joining};
use crate::page::{self, Invitation};

/// Which way was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Undecided,
    Fresh,
    Code,
    Passphrase,
}

/// What is filled in.
#[derive(Clone, Copy)]
struct Form {
    app: App,
    way: Signal<Way>,
    name: Signal<String>,
    server: Signal<String>,
    token: Signal<String>,
    code: Signal<String>,
    passphrase: Signal<String>,
    is_noted: Signal<bool>,
    /// Somebody has opened the page by a link, which says where.
    has_link: bool,
}

/// The whole page, until this device is in an account.
pub(super) fn welcome(app: App, invitation: Invitation) -> View {
    let Invitation { server, token } = invitation;
    let has_link = !server.is_empty() && !token.is_empty();
    let form = Form {
        app,
        way: create_signal(Way::Undecided),
        name: create_signal(page::device_name()),
        server: create_signal(server),
        token: create_signal(token),
        code: create_signal(String::new()),
        passphrase: create_signal(String::new()),
        is_noted: create_signal(false),
        has_link,
    };
    view! {
        div(class="welcome") {
            main {
                div(class="brand") {
                    img(src="icon.svg", alt="")
                    h1 { "Notes" }
                    p { "On all your devices, with or without network. Only they can read them." }
                }
                (match form.way.get() {
                    Way::Undecided => ways(form),
                    Way::Fresh => fresh(form),
                    Way::Code => code(form),
                    Way::Passphrase => passphrase(form),
                })
            }
        }
    }
}

fn ways(form: Form) -> View {
    let go = move |way: Way| move |_: MouseEvent| form.way.set(way);
    let fresh = move |_: MouseEvent| {
        form.passphrase.set(notes::new_passphrase(&WebRuntime));
        form.way.set(Way::Fresh);
    };
    view! {
        div(class="card") {
            label(class="field") {
                span { "What shall this device be called?" }
                input(id="name", autocomplete="off", bind:value=form.name)
            }
            (if form.has_link { View::new() } else { server(form) })
            div(class="ways") {
                button(id="fresh", on:click=fresh) {
                    strong { "Start fresh" }
                    small { "This is my first device. It makes the key." }
                }
                button(id="pair", on:click=go(Way::Code)) {
                    strong { "Add this device to mine" }
                    small { "Another device shows a code, and hands over the key and all notes." }
                }
                button(id="recover", on:click=go(Way::Passphrase)) {
                    strong { "Use the recovery passphrase" }
                    small { "No other device is at hand." }
                }
            }
        }
    }
}

/// Where it is kept, for whoever came without a link.
fn server(form: Form) -> View {
    view! {
        label(class="field") {
            span { "Address of the server" }
            input(id="server", r#type="url", placeholder="https://", bind:value=form.server)
        }
        label(class="field") {
            span { "Token" }
            input(id="token", autocomplete="off", bind:value=form.token)
        }
    }
}

fn fresh(form: Form) -> View {
    let create = move |account: Account| {
        joining::found(form.app, account, form.passphrase.get_clone_untracked());
    };
    let content = view! {
        h2 { "Your recovery passphrase" }
        output(class="code long", id="passphrase") { (form.passphrase) }
        p(class="soft") { "Without it and without your devices nobody can read your notes: not you, not who keeps the server. Write it down now; it is not shown again." }
        label(class="check") {
            input(id="noted", r#type="checkbox", bind:checked=form.is_noted)
            span { "I have written it down" }
        }
    };
    step(form, content, "Create my notes", move || form.is_noted.get(), Rc::new(create))
}

fn code(form: Form) -> View {
    let pair = move |account: Account| {
        joining::pair(form.app, account, form.code.get_clone_untracked());
    };
    let content = view! {
        h2 { "Add this device to mine" }
        p(class="soft") { "On a device that has your notes, open " strong { "Devices" } ", then " strong { "Add a device" } ". It shows a code." }
        label(class="field code-field") {
            span { "Code" }
            input(id="typed", autocomplete="off", autocapitalize="characters", placeholder="4821-7KMD-2XQP", bind:value=form.code)
        }
    };
    step(
        form,
        content,
        "Add this device",
        move || form.code.with(|it| it.len() >= 12),
        Rc::new(pair),
    )
}

fn passphrase(form: Form) -> View {
    let unlock = move |account: Account| {
        joining::unlock(form.app, account, form.passphrase.get_clone_untracked());
    };
    let content = view! {
        h2 { "Recovery passphrase" }
        p(class="soft") { "Your first device has shown it. The notes come from the server, where they are encrypted." }
        label(class="field") {
            span { "Passphrase" }
            input(id="typed", autocomplete="off", bind:value=form.passphrase)
        }
    };
    let is_ready = move || form.passphrase.with(|it| !it.trim().is_empty());
    step(form, content, "Open my notes", is_ready, Rc::new(unlock))
}

/// One way: what is asked for, and what is going on when it was answered.
fn step(
    form: Form,
    content: View,
    go: &'static str,
    is_ready: impl Fn() -> bool + Copy + 'static,
    then: Rc<dyn Fn(Account)>,
) -> View {
    let joining = form.app.joining;
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let (server, token) = (form.server.get_clone_untracked(), form.token.get_clone_untracked());
        then(joining::account(&Invitation { server, token }, &form.name.get_clone_untracked()));
    };
    let back = move |_: MouseEvent| {
        joining.set(Joining::Idle);
        form.way.set(Way::Undecided);
    };
    let stage = create_selector(move || joining.with(Joining::stage));
    let is_under_way = create_selector(move || joining.with(Joining::is_under_way));
    let is_coding = move || form.way.get_untracked() == Way::Code;
    view! {
        form(class="card", on:submit=submit) {
            (content)
            (match stage.get_clone() {
                Joining::Failed(why) => view! { p(class="problem", role="alert") { (why) } },
                Joining::Idle | Joining::Done => View::new(),
                _ if is_coding() => progress::progress(form.app, "Receiving notes"),
                _ => view! { p(class="soft", role="status") { "Making keys of the passphrase, which takes a moment on purpose …" } },
            })
            div(class="actions") {
                button(class="button plain", r#type="button", disabled=move || is_under_way.get(), on:click=back) { "Back" }
                button(class="button main", r#type="submit", id="go", disabled=move || is_under_way.get() || !is_ready()) { (go) }
            }
        }
    }
}
