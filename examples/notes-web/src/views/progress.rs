//! How far pairing has come.

use sycamore::prelude::*;

use crate::app::App;
use crate::joining::Joining;

/// The steps, and a bar. `last` is the one that takes the time.
pub(super) fn progress(app: App, last: &'static str) -> View {
    // How many of the steps are through, and the notes of the last one.
    let through = create_memo(move || match app.joining.get_clone() {
        Joining::Paired => (2, None),
        Joining::Progress(done, total) => (2, Some((done, total))),
        Joining::Done => (3, None),
        _ => (0, None),
    });
    let class = move |step: usize| match through.get().0 {
        now if now > step => "done",
        now if now == step => "now",
        _ => "",
    };
    let notes = move || match through.get().1 {
        Some((done, total)) => format!("{last}: {done} of {total}"),
        None => last.to_owned(),
    };
    let value = move || match through.get() {
        (_, Some((done, total))) if total > 0 => (100 * done / total).to_string(),
        (3, _) => "100".to_owned(),
        _ => "0".to_owned(),
    };
    view! {
        ol(class="steps", id="steps") {
            li(class=class(0)) { "Finding the other device" }
            li(class=class(1)) { "Handing over the keys" }
            li(class=class(2)) { (notes) }
        }
        progress(max="100", value=value, aria-label=last)
    }
}
