//! [`Quarrel`]: what two devices have written at once, and what becomes of it.

use notes::{Edit, Note, Result};
use storex_core::Value;
use storex_sync::{ConflictId, ConflictQuery, Content, NotedConflict};
use wasm_bindgen_futures::spawn_local;

use crate::app::App;
use crate::words;

/// The fields that are shown; of the others (pinned, times) the later one is good.
const SHOWN: [&str; 2] = ["title", "body"];

/// What two devices have written at once, of which one has won: as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quarrel {
    pub(crate) noted: NotedConflict,
    /// The note.
    pub(crate) note: String,
    /// What it is called now.
    pub(crate) name: String,
    /// Somebody has decided, and may take it back for a moment.
    is_settled: bool,
}

impl Quarrel {
    /// Which part of the note.
    pub(crate) fn part(&self) -> &'static str {
        match self.noted.conflict.field.as_deref() {
            Some("title") => "Title",
            Some(_) => "Text",
            None => "Deleted here, changed there",
        }
    }

    /// Both, one below the other, where both are texts of some length.
    pub(crate) fn both(&self) -> Option<String> {
        let conflict = &self.noted.conflict;
        let text = |content: &Content| Some(content.value()?.as_text()?.to_owned());
        let is_body = conflict.field.as_deref() == Some("body");
        let (won, lost) = (text(&conflict.won.content)?, text(&conflict.lost.content)?);
        is_body.then(|| format!("{won}\n\n{lost}"))
    }

    /// The edit that brings back what has won.
    fn as_it_was(&self) -> Option<Edit> {
        let won = self.noted.conflict.won.content.value()?.as_text()?.to_owned();
        match self.noted.conflict.field.as_deref() {
            Some("title") => Some(Edit { title: Some(won), ..Edit::default() }),
            Some("body") => Some(Edit { body: Some(won), ..Edit::default() }),
            _ => None,
        }
    }
}

/// Reads the journal, the newest first.
pub(crate) async fn read(app: App) {
    let Some(running) = app.running.get_clone_untracked() else { return };
    let of_notes = ConflictQuery::new().collection("note");
    // It is asked again soon, and what is wrong is in the status.
    let Ok(noted) = running.sync.conflicts(&of_notes).await else { return };
    let settled = app.quarrels.with_untracked(|known| settled(known));
    let mut quarrels = Vec::new();
    for noted in noted {
        let field = noted.conflict.field.as_deref();
        if !noted.conflict.is_loss() || field.is_some_and(|field| !SHOWN.contains(&field)) {
            continue;
        }
        let id = noted.conflict.key.as_text();
        let id = id.unwrap_or_default().to_owned();
        let note = app.notes().get(&id).await.ok().flatten();
        let name = note.map_or_else(
            || "A deleted note".to_owned(),
            |it: Note| words::title(&it.title, &it.body),
        );
        let is_settled = settled.contains(&noted.id);
        quarrels.push(Quarrel { noted, note: id, name, is_settled });
    }
    if app.quarrels.with_untracked(|known| *known != quarrels) {
        app.quarrels.set(quarrels);
    }
}

fn settled(known: &[Quarrel]) -> Vec<ConflictId> {
    known.iter().filter(|it| it.is_settled).map(|it| it.noted.id).collect()
}

/// Those that wait for somebody to decide; tracked.
pub(crate) fn open(app: App) -> Vec<Quarrel> {
    app.quarrels.with(|all| all.iter().filter(|it| !it.is_settled).cloned().collect())
}

fn settle(app: App, conflict: ConflictId, is_settled: bool) {
    app.quarrels.update(|all| {
        for quarrel in all.iter_mut().filter(|it| it.noted.id == conflict) {
            quarrel.is_settled = is_settled;
        }
    });
}

/// What has won is right. What has lost is forgotten when nobody takes that back; a page that is closed before has forgotten nothing.
pub(crate) fn keep(app: App, quarrel: &Quarrel) {
    let id = quarrel.noted.id;
    settle(app, id, true);
    let forget = move || {
        spawn_local(async move {
            let Some(running) = app.running.get_clone_untracked() else { return };
            app.expect(running.sync.forget_conflict(id).await);
            read(app).await;
        });
    };
    app.say_before("Kept as it is".to_owned(), move || settle(app, id, false), forget);
}

/// What has lost is there again, on all devices.
pub(crate) fn swap(app: App, quarrel: &Quarrel) {
    let quarrel = quarrel.clone();
    spawn_local(async move {
        let Some(running) = app.running.get_clone_untracked() else { return };
        if app.expect(running.sync.undo_conflict(quarrel.noted.id).await).is_some() {
            done(app, "The other version is back".to_owned(), &quarrel).await;
        }
    });
}

/// Both are there, one below the other, on all devices.
pub(crate) fn join(app: App, quarrel: &Quarrel, both: String) {
    let quarrel = quarrel.clone();
    spawn_local(async move {
        let Some(running) = app.running.get_clone_untracked() else { return };
        let replaced = running.sync.replace_conflict(quarrel.noted.id, Value::from(both)).await;
        if app.expect(replaced).is_some() {
            done(app, "Both are in the note now".to_owned(), &quarrel).await;
        }
    });
}

/// Says it, and offers the way back.
async fn done(app: App, text: String, quarrel: &Quarrel) {
    read(app).await;
    let Some(edit) = quarrel.as_it_was() else { return app.say(text) };
    let note = quarrel.note.clone();
    app.say_with_undo(text, move || {
        let (note, edit) = (note.clone(), edit.clone());
        spawn_local(async move {
            let edited: Result<bool> = app.notes().edit(&note, edit).await;
            app.expect(edited);
        });
    });
}
