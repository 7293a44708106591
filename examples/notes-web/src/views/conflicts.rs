//! Conflicts: both versions side by side, and what is to become of them.

use storex_core::Value;
use storex_sync::{Content, Version};
use sycamore::prelude::*;

use super::dialog;
use crate::app::App;
use crate::quarrels::{self, Quarrel};
use crate::words;

/// All that wait for somebody to decide.
pub(super) fn dialog(app: App) -> View {
    // Who has written them.
    app.ask_for_devices();
    let open = create_selector(move || quarrels::open(app));
    let content = view! {
        (if open.with(Vec::is_empty) {
            view! { p(class="nothing") { strong { "No conflicts" } "Where two devices edit the same part of a note at once, you can compare both here." } }
        } else {
            view! {
                p(class="soft") { "Two devices have edited the same part of a note, and neither had seen the other's edit. The later one is in the note; nothing is lost." }
            }
        })
        Keyed(list=open, view=move |quarrel| conflict(app, quarrel), key=|quarrel: &Quarrel| (quarrel.noted.id, quarrel.name.clone()))
    };
    dialog::dialog(app, "Conflicts", content)
}

fn conflict(app: App, quarrel: Quarrel) -> View {
    let conflict = &quarrel.noted.conflict;
    let won = version(app, "In the note now", "version won", &conflict.won, {
        let quarrel = quarrel.clone();
        view! { button(class="button", on:click=move |_| quarrels::keep(app, &quarrel)) { "Keep this" } }
    });
    let lost = version(app, "Set aside", "version", &conflict.lost, {
        let quarrel = quarrel.clone();
        view! { button(class="button", on:click=move |_| quarrels::swap(app, &quarrel)) { "Use this instead" } }
    });
    let both = quarrel.both().map(|both| {
        let quarrel = quarrel.clone();
        view! {
            footer {
                button(class="button plain", on:click=move |_| quarrels::join(app, &quarrel, both.clone())) { "Keep both, one below the other" }
            }
        }
    });
    let (name, part) = (quarrel.name.clone(), quarrel.part());
    let label = format!("Conflict: {name}");
    view! {
        article(class="conflict", aria-label=label) {
            header {
                h3 { (name) }
                span(class="soft") { (part) }
            }
            div(class="sides") { (won) (lost) }
            (both)
        }
    }
}

fn version(
    app: App,
    label: &'static str,
    class: &'static str,
    version: &Version,
    button: View,
) -> View {
    let (text, at) = (text(&version.content), version.stamp.hlc.millis());
    let device = version.stamp.device.id;
    let by = move || {
        let name =
            app.devices.with(|all| all.iter().find(|it| it.id == device).map(|it| it.name.clone()));
        let name = name.filter(|name| !name.is_empty());
        let by = match (app.me.get() == device, name) {
            (true, Some(name)) => format!("{name} (this one)"),
            (true, None) => "This device".into(),
            (false, name) => name.unwrap_or_else(|| "Another device".into()),
        };
        format!("{by}, {}", words::ago(words::millis(at), app.now.get()))
    };
    view! {
        section(class=class) {
            div(class="label") { (label) }
            div(class="text") { (text) }
            div(class="by") { (by) }
            (button)
        }
    }
}

fn text(content: &Content) -> String {
    let shown = |value: &Value| value.as_text().unwrap_or_default().to_owned();
    match content {
        Content::Value(value) if shown(value).trim().is_empty() => "(empty)".into(),
        Content::Value(value) => shown(value),
        Content::Object(fields) => {
            let texts = fields.iter().filter(|(name, _)| ["title", "body"].contains(&&**name));
            texts.map(|(_, value)| shown(value)).collect::<Vec<_>>().join("\n\n")
        }
        Content::Deleted => "(deleted)".into(),
    }
}
