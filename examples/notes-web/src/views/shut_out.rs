//! Shutting a device out: what that does, and the passphrase that is in force then.

use storex_core::WebRuntime;
use sycamore::prelude::*;
use web_sys::{MouseEvent, SubmitEvent};

use super::{devices, dialog};
use crate::app::{App, Dialog};
use crate::joining::{self, Joining};

/// Asks before it is done. The passphrase is shown before it is in force: nothing that happens meanwhile takes it away.
pub(super) fn dialog(app: App, device: [u8; 16]) -> View {
    app.joining.set(Joining::Idle);
    let passphrase = create_signal(notes::new_passphrase(&WebRuntime));
    let is_noted = create_signal(false);
    let name = devices::name(app, device);
    let is_busy = create_selector(move || app.joining.with(Joining::is_under_way));
    let submit = {
        let name = name.clone();
        move |event: SubmitEvent| {
            event.prevent_default();
            joining::shut_out(app, device, name.clone(), passphrase.get_clone_untracked());
        }
    };
    let back = move |_: MouseEvent| app.dialog.set(Some(Dialog::Devices));
    let content = view! {
        form(class="content", on:submit=submit) {
            p { strong { (name) } " gets no new notes from now on, and nothing that is written on it reaches you. What it has, it keeps. This cannot be taken back." }
            p { "The passphrase changes, because that device may know the old one. Your other devices ask for the new one, once:" }
            output(class="code long", id="passphrase") { (passphrase) }
            label(class="check") {
                input(id="noted", r#type="checkbox", bind:checked=is_noted)
                span { "I have written it down; it is not shown again" }
            }
            (dialog::outcome(app, "Making a new key, which takes a moment on purpose …"))
            div(class="actions") {
                button(class="button plain", r#type="button", disabled=move || is_busy.get(), on:click=back) { "Back" }
                button(class="button main bad", r#type="submit", id="shut-out", disabled=move || is_busy.get() || !is_noted.get()) { "Shut it out" }
            }
        }
    };
    dialog::dialog(app, "Shut a device out", content)
}
