//! What is seen. A view reads signals of the [`App`], and calls its functions.

mod conflicts;
mod devices;
mod dialog;
mod editor;
mod keys;
mod list;
mod mend;
mod progress;
mod shut_out;
mod status;
mod toast;
mod welcome;

use sycamore::prelude::*;

use crate::app::{App, Dialog};
use crate::page::Invitation;

/// Everything: the first run, until this device is in an account; then the page.
pub(crate) fn whole(app: App, invitation: Invitation) -> View {
    keys::listen(app);
    let is_in = create_selector(move || app.running.with(Option::is_some));
    // Over a dialog nothing is seen that is not in it.
    let is_alone = create_selector(move || app.dialog.get().is_none());
    view! {
        (if is_in.get() { page(app) } else { welcome::welcome(app, invitation.clone()) })
        (if is_alone.get() { toast::toast(app) } else { View::new() })
    }
}

fn page(app: App) -> View {
    // On a phone one of the two is seen.
    let class = move || if app.draft.id.with(Option::is_some) { "page reading" } else { "page" };
    view! {
        div(class=class) {
            (list::side(app))
            (editor::sheet(app))
            (status::line(app))
        }
        (match app.dialog.get() {
            Some(Dialog::Conflicts) => conflicts::dialog(app),
            Some(Dialog::Devices) => devices::dialog(app),
            Some(Dialog::Invite) => devices::invite(app),
            Some(Dialog::ShutOut(device)) => shut_out::dialog(app, device),
            Some(Dialog::Mend) => mend::dialog(app),
            None => View::new(),
        })
    }
}
