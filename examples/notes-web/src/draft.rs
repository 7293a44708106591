//! [`Draft`]: the note that is in the editor, with what was typed and is not written yet.

use std::time::Duration;

use notes::{Edit, Note};
use storex_core::{Live, Runtime, WebRuntime};
use sycamore::prelude::*;
use tokio::sync::watch;
use wasm_bindgen_futures::spawn_local;

use crate::app::App;

/// What was typed is written this long after the last key.
const PAUSE: Duration = Duration::from_millis(300);

/// The note that is in the editor.
///
/// What was typed into one field does not stand in the way of what another tab or device writes to the other: only fields that were typed into
/// are written, and the other ones follow.
#[derive(Clone, Copy)]
pub(crate) struct Draft {
    pub(crate) title: Signal<String>,
    pub(crate) body: Signal<String>,
    /// As it is in the database; `None`: there is no note in the editor.
    saved: Signal<Option<Note>>,
    /// Which note it is.
    pub(crate) id: ReadSignal<Option<String>>,
    /// How often was typed.
    typed: Signal<u32>,
    /// How many writes are under way.
    writing: Signal<u32>,
}

impl Draft {
    /// To be called where the page is rendered.
    pub(crate) fn new() -> Self {
        let saved = create_signal(None::<Note>);
        Self {
            title: create_signal(String::new()),
            body: create_signal(String::new()),
            saved,
            id: create_selector(move || saved.with(|it| it.as_ref().map(|it| it.id.clone()))),
            typed: create_signal(0),
            writing: create_signal(0),
        }
    }

    /// The note with what was typed; tracked.
    pub(crate) fn current(self) -> Option<Note> {
        let (title, body) = (self.title.get_clone(), self.body.get_clone());
        Some(Note { title, body, ..self.saved.get_clone()? })
    }

    fn current_untracked(self) -> Option<Note> {
        untrack(|| self.current())
    }

    /// Another note, or none, in place of the one that is there.
    pub(crate) fn open(self, app: App, note: Option<Note>) {
        self.write(app);
        let (title, body) =
            note.as_ref().map(|it| (it.title.clone(), it.body.clone())).unwrap_or_default();
        self.title.set(title);
        self.body.set(body);
        self.saved.set(note);
    }

    /// Nothing in its place; what was typed is not written any more.
    pub(crate) fn close(self) {
        self.saved.set(None);
    }

    /// Somebody types: it is written when there is a pause.
    pub(crate) fn typed(self, app: App) {
        let now = self.typed.get_untracked().wrapping_add(1);
        self.typed.set(now);
        spawn_local(async move {
            WebRuntime.sleep(PAUSE).await;
            if self.typed.get_untracked() == now {
                self.write(app);
            }
        });
    }

    /// Writes what was typed, now.
    pub(crate) fn write(self, app: App) {
        let Some(saved) = self.saved.get_clone_untracked() else { return };
        let (title, body) = (self.title.get_clone_untracked(), self.body.get_clone_untracked());
        let edit = Edit {
            title: (title != saved.title).then(|| title.clone()),
            body: (body != saved.body).then(|| body.clone()),
            pinned: None,
        };
        if edit == Edit::default() {
            return;
        }
        let id = saved.id.clone();
        let former = saved.clone();
        self.saved.set(Some(Note { title, body, ..saved }));
        self.writing.set(self.writing.get_untracked() + 1);
        spawn_local(async move {
            let notes = app.notes();
            let written = app.expect(notes.edit(&id, edit).await);
            self.writing.set(self.writing.get_untracked() - 1);
            match written {
                Some(true) => {
                    if let Some(now) = app.expect(notes.get(&id).await) {
                        self.arrived(app, &id, now);
                    }
                }
                Some(false) => self.arrived(app, &id, None),
                None => self.is_unwritten(former),
            }
        });
    }

    /// What was typed is not in the database: it stays in the editor, and the next write takes it along.
    fn is_unwritten(self, former: Note) {
        if self.id.with_untracked(|id| id.as_ref() == Some(&former.id)) {
            self.saved.set(Some(former));
        }
    }

    /// This is in the database now. Fields that were typed into keep what was typed.
    fn arrived(self, app: App, id: &str, now: Option<Note>) {
        let Some(saved) = self.saved.get_clone_untracked() else { return };
        // What was read may be older than what is being written, which is read when it is.
        if saved.id != id || self.writing.get_untracked() > 0 {
            return;
        }
        let Some(now) = now else {
            let typed = self.current_untracked().filter(|typed| *typed != saved);
            self.close();
            return match typed {
                // Whoever deleted it has not seen this.
                Some(note) => {
                    app.restorable("Deleted elsewhere while you were writing".to_owned(), note)
                }
                None => app.say("This note was deleted elsewhere"),
            };
        };
        let follow = |field: Signal<String>, saved: &str, now: &str| {
            if field.with_untracked(|it| it == saved) && saved != now {
                field.set(now.to_owned());
            }
        };
        follow(self.title, &saved.title, &now.title);
        follow(self.body, &saved.body, &now.body);
        if saved != now {
            self.saved.set(Some(now));
        }
    }

    /// Follows what others write to the note, in other tabs and on other devices.
    pub(crate) fn follow(self, app: App) {
        let (tell, mut ids) = watch::channel(None);
        create_effect(move || {
            tell.send_replace(self.id.get_clone());
        });
        spawn_local(async move {
            loop {
                let id = ids.borrow_and_update().clone();
                let mut live = id.as_ref().and_then(|id| app.expect(live(app, id)));
                loop {
                    tokio::select! {
                        found = next(&mut live) => {
                            if let (Some(id), Some(found)) = (&id, app.expect(found)) {
                                self.arrived(app, id, found.into_iter().next());
                            }
                        }
                        changed = ids.changed() => match changed {
                            Ok(()) => break,
                            Err(_) => return,
                        }
                    }
                }
            }
        });
    }
}

/// The note with this id, at once and after each change.
fn live(app: App, id: &str) -> storex_core::Result<Live<Note>> {
    app.notes().storage().collection::<Note>()?.query().filter(Note::ID.eq(id)).live()
}

/// The next result; without a query, or behind its end, there is none.
async fn next(live: &mut Option<Live<Note>>) -> storex_core::Result<Vec<Note>> {
    if let Some(query) = live
        && let Some(found) = query.next().await
    {
        return found;
    }
    std::future::pending().await
}
