//! The devices of the account, and inviting another one.

use storex_sync::http::messages::ListedDevice;
use sycamore::prelude::*;

use super::{dialog, progress};
use crate::app::{App, Dialog};
use crate::joining::{self, Joining};
use crate::words;

/// Who is in, and who was shut out.
pub(super) fn dialog(app: App) -> View {
    app.ask_for_devices();
    let content = view! {
        ul(class="devices") {
            Keyed(list=app.devices, view=move |device| row(app, device), key=shown)
        }
        (if app.devices.with(Vec::is_empty) {
            view! { p(class="soft") { "The server, which knows them, was not reached yet." } }
        } else {
            View::new()
        })
        div(class="actions") {
            button(class="button main", on:click=move |_| app.dialog.set(Some(Dialog::Invite))) { "Add a device" }
        }
    };
    dialog::dialog(app, "Devices", content)
}

/// What a row is made of: it is made anew when any of it is another.
fn shown(device: &ListedDevice) -> ([u8; 16], String, i64, bool) {
    (device.id, device.name.clone(), device.last_seen, device.revoked)
}

fn row(app: App, device: ListedDevice) -> View {
    let ListedDevice { id, name, last_seen, revoked, .. } = device;
    #[allow(clippy::cast_precision_loss)] // far below 2^53
    let seen = move || format!("Seen {}", words::ago(last_seen as f64, app.now.get()));
    let class = if revoked { "gone" } else { "" };
    let name = called(&name);
    let label = format!("Shut out {name}");
    let tag = move || match revoked {
        true => view! { span(class="tag bad") { "shut out" } },
        false if app.me.get() == id => view! { span(class="tag") { "this device" } },
        false => {
            let label = label.clone();
            view! {
                button(class="button plain danger", aria-label=label, on:click=move |_| app.dialog.set(Some(Dialog::ShutOut(id)))) { "Shut out …" }
            }
        }
    };
    view! {
        li(class=class) {
            div(class="who") { strong { (name) } small { (seen) } }
            (tag)
        }
    }
}

/// What a device is called.
pub(super) fn name(app: App, device: [u8; 16]) -> String {
    let name = app
        .devices
        .with_untracked(|all| all.iter().find(|it| it.id == device).map(|it| it.name.clone()));
    called(&name.unwrap_or_default())
}

fn called(name: &str) -> String {
    if name.is_empty() { "A device without a name".to_owned() } else { name.to_owned() }
}

/// Shows a code for the other device, and how far it is then.
pub(super) fn invite(app: App) -> View {
    joining::invite(app);
    let stage = create_selector(move || app.joining.with(Joining::stage));
    let content = view! {
        (match stage.get_clone() {
            Joining::Idle | Joining::Busy => view! { p(class="soft") { "Asking the server for a room …" } },
            Joining::Code(code) => view! {
                p { "Open the same link on the other device, choose " strong { "Add this device to mine" } ", and type:" }
                output(class="code", id="code") { (code) }
                p(class="soft") { "It is good for one device and five minutes. The keys go straight to it, encrypted; the server cannot read them." }
            },
            Joining::Done => view! {
                (progress::progress(app, "Sending notes"))
                p { "The other device has all your notes. From now on both are kept in step." }
            },
            Joining::Failed(why) => view! { p(class="problem", role="alert") { (why) } },
            Joining::Paired | Joining::Progress(..) => progress::progress(app, "Sending notes"),
        })
    };
    dialog::dialog(app, "Add a device", content)
}
