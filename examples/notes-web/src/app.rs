//! [`App`]: the signals that the views are made of, and what fills them.

use std::rc::Rc;
use std::time::Duration;

use notes::{Note, Notes};
use storex_core::{Runtime, WebRuntime};
use storex_sync::http::messages::ListedDevice;
use storex_sync::{Phase, SyncStatus};
use sycamore::prelude::*;
use tokio::sync::watch;
use wasm_bindgen_futures::spawn_local;

use crate::draft::Draft;
use crate::engine::Running;
use crate::joining::Joining;
use crate::mending;
use crate::page;
use crate::quarrels::{self, Quarrel};
use crate::words;

/// How long something can be taken back, from a toast.
const TOAST: Duration = Duration::from_secs(8);

/// How often times like "2 min ago" are said anew.
const TICK: Duration = Duration::from_secs(15);

/// The list of devices is asked for again when it is older than this, in milliseconds.
const DEVICES_AGE: f64 = 20_000.0;

/// What opens over the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialog {
    Conflicts,
    Devices,
    Invite,
    /// This device is to be shut out.
    ShutOut([u8; 16]),
    /// What keeps this device from being in step.
    Mend,
}

/// What has just happened, and the way back.
#[derive(Clone)]
pub(crate) struct Toast {
    pub(crate) text: String,
    pub(crate) is_error: bool,
    pub(crate) undo: Option<Rc<dyn Fn()>>,
    /// What is done when nobody has taken it back.
    settled: Option<Rc<dyn Fn()>>,
    number: u32,
}

/// The application: signals, which all live as long as the page does. It is copied to wherever it is needed.
#[derive(Clone, Copy)]
pub(crate) struct App {
    notes: Signal<Notes>,
    version: Signal<String>,
    /// The account; without one it is the first run.
    pub(crate) running: Signal<Option<Running>>,
    /// The notes that have the words of the search.
    pub(crate) found: Signal<Vec<Note>>,
    /// Whether `found` was read.
    pub(crate) is_read: Signal<bool>,
    pub(crate) search: Signal<String>,
    pub(crate) draft: Draft,
    pub(crate) status: Signal<SyncStatus>,
    /// Exchanges fail for want of a key: the passphrase was changed.
    pub(crate) lacks_keys: Signal<bool>,
    /// The token of the link by which the page was opened; it may be a new one.
    pub(crate) invited: Signal<String>,
    pub(crate) devices: Signal<Vec<ListedDevice>>,
    /// The digits of this device.
    pub(crate) me: Signal<[u8; 16]>,
    pub(crate) quarrels: Signal<Vec<Quarrel>>,
    pub(crate) joining: Signal<Joining>,
    pub(crate) dialog: Signal<Option<Dialog>>,
    pub(crate) toast: Signal<Option<Toast>>,
    /// Milliseconds since 1970, a few times a minute.
    pub(crate) now: Signal<f64>,
    devices_at: Signal<f64>,
    toasts: Signal<u32>,
}

impl App {
    /// To be called where the page is rendered.
    pub(crate) fn new(
        notes: Notes,
        version: String,
        running: Option<Running>,
        invited: String,
    ) -> Self {
        let app = Self {
            notes: create_signal(notes),
            version: create_signal(version),
            running: create_signal(None),
            found: create_signal(Vec::new()),
            is_read: create_signal(false),
            search: create_signal(String::new()),
            draft: Draft::new(),
            status: create_signal(SyncStatus::default()),
            lacks_keys: create_signal(false),
            invited: create_signal(invited),
            devices: create_signal(Vec::new()),
            me: create_signal([0; 16]),
            quarrels: create_signal(Vec::new()),
            joining: create_signal(Joining::default()),
            dialog: create_signal(None),
            toast: create_signal(None),
            now: create_signal(page::now()),
            devices_at: create_signal(0.0),
            toasts: create_signal(0),
        };
        app.follow_notes();
        app.draft.follow(app);
        page::when_left(move || app.draft.write(app));
        app.follow_time();
        if let Some(running) = running {
            app.begin(running);
        }
        app
    }

    pub(crate) fn notes(self) -> Notes {
        self.notes.get_clone_untracked()
    }

    /// That of the build.
    pub(crate) fn version(self) -> String {
        self.version.get_clone_untracked()
    }

    /// The page is that of this account from now on.
    pub(crate) fn begin(self, running: Running) {
        self.running.set(Some(running.clone()));
        mending::follow(self, &running);
        spawn_local(async move {
            if let Some(device) = self.expect(running.sync.device().await) {
                self.me.set(device.id);
            }
            let mut status = running.sync.status();
            loop {
                self.status.set(status.borrow_and_update().clone());
                if status.borrow().in_step {
                    // Also where another tab syncs.
                    self.lacks_keys.set(false);
                }
                quarrels::read(self).await;
                // It may be the list that tells why.
                let is_refused = status.borrow().phase == Phase::NeedsLogin;
                self.read_devices(if is_refused { 0.0 } else { DEVICES_AGE }).await;
                if status.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    /// Asks the server for the devices, now.
    pub(crate) fn ask_for_devices(self) {
        spawn_local(async move { self.read_devices(0.0).await });
    }

    /// Asks the server for the devices, if what is known of them is older than so many milliseconds. Without a connection it stays as it was.
    pub(crate) async fn read_devices(self, age: f64) {
        let Some(running) = self.running.get_clone_untracked() else { return };
        if page::now() - self.devices_at.get_untracked() < age {
            return;
        }
        // Also when it fails: it is not asked more often then.
        self.devices_at.set(page::now());
        if let Ok(mut devices) = running.link.client().devices().await {
            // Before its first exchange the server does not know this one, and is asked again behind it.
            let me = self.me.get_untracked();
            if !devices.iter().any(|it| it.id == me) {
                self.devices_at.set(0.0);
            }
            devices.sort_by_key(|it| (it.revoked, it.registered_at));
            self.devices.set(devices);
        }
    }

    /// The notes that have the words of the search: at once, and after each change, whoever made it. Not while they arrive on the first run,
    /// where nobody sees them.
    fn follow_notes(self) {
        let (tell, mut words) = watch::channel(None);
        create_effect(move || {
            let is_seen = self.running.with(Option::is_some);
            tell.send_replace(is_seen.then(|| self.search.get_clone()));
        });
        spawn_local(async move {
            loop {
                let wanted = words.borrow_and_update().clone();
                let Some(wanted) = wanted else {
                    match words.changed().await {
                        Ok(()) => continue,
                        Err(_) => return,
                    }
                };
                let live = self.notes().query(&wanted).and_then(|query| Ok(query.live()?));
                let Some(mut live) = self.expect(live) else { return };
                loop {
                    tokio::select! {
                        found = live.next() => {
                            let Some(found) = found else { return };
                            if let Some(found) = self.expect(found) {
                                self.found.set(found);
                                self.is_read.set(true);
                                quarrels::read(self).await;
                            }
                        }
                        changed = words.changed() => match changed {
                            Ok(()) => break,
                            Err(_) => return,
                        }
                    }
                }
            }
        });
    }

    fn follow_time(self) {
        spawn_local(async move {
            loop {
                WebRuntime.sleep(TICK).await;
                self.now.set(page::now());
                // Another device may have come in that has not written anything yet.
                self.read_devices(DEVICES_AGE).await;
            }
        });
    }

    /// A new note, in the editor.
    pub(crate) fn create_note(self) {
        self.search.set(String::new());
        spawn_local(async move {
            if let Some(note) = self.expect(self.notes().create("", "").await) {
                self.draft.open(self, Some(note));
                page::focus("title");
            }
        });
    }

    /// Removes the note that is in the editor, and offers it back.
    pub(crate) fn delete_note(self) {
        let Some(note) = self.draft.current() else { return };
        self.draft.close();
        spawn_local(async move {
            if self.expect(self.notes().delete(&note.id).await).is_none() {
                return;
            }
            let name = words::title(&note.title, &note.body);
            self.restorable(format!("Deleted “{name}”"), note);
        });
    }

    /// Says what became of a note, and offers it back.
    pub(crate) fn restorable(self, text: String, note: Note) {
        self.say_with_undo(text, move || {
            let note = note.clone();
            spawn_local(async move {
                if self.expect(self.notes().restore(&note).await).is_some() {
                    self.draft.open(self, Some(note));
                }
            });
        });
    }

    /// The value, or nothing and the error in words.
    pub(crate) fn expect<T, E: std::error::Error>(self, result: Result<T, E>) -> Option<T> {
        let show = |error| self.show(Toast { is_error: true, ..Toast::new(words::error(&error)) });
        result.map_err(show).ok()
    }

    pub(crate) fn say(self, text: impl Into<String>) {
        self.show(Toast::new(text));
    }

    pub(crate) fn say_with_undo(self, text: String, undo: impl Fn() + 'static) {
        self.show(Toast { undo: Some(Rc::new(undo)), ..Toast::new(text) });
    }

    /// Says it, and does it when nobody has taken it back.
    pub(crate) fn say_before(
        self,
        text: String,
        undo: impl Fn() + 'static,
        settled: impl Fn() + 'static,
    ) {
        let toast = Toast::new(text);
        self.show(Toast { undo: Some(Rc::new(undo)), settled: Some(Rc::new(settled)), ..toast });
    }

    /// In place of the toast that is there, which is settled.
    fn show(self, toast: Toast) {
        let number = self.toasts.get_untracked().wrapping_add(1);
        self.toasts.set(number);
        self.settle_toast();
        self.toast.set(Some(Toast { number, ..toast }));
        spawn_local(async move {
            WebRuntime.sleep(TOAST).await;
            if self.toast.with_untracked(|it| it.as_ref().is_some_and(|it| it.number == number)) {
                self.settle_toast();
            }
        });
    }

    /// Nobody takes it back any more.
    fn settle_toast(self) {
        let toast = self.toast.get_clone_untracked();
        self.toast.set(None);
        if let Some(settled) = toast.and_then(|toast| toast.settled) {
            settled();
        }
    }

    /// Takes back what the toast says.
    pub(crate) fn undo(self) {
        let toast = self.toast.get_clone_untracked();
        self.toast.set(None);
        if let Some(undo) = toast.and_then(|toast| toast.undo) {
            undo();
        }
    }
}

impl Toast {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_error: false, undo: None, settled: None, number: 0 }
    }
}
