//! [`Connection`]: an open database that never stands in anybody's way.
//!
//! Goes under `indexed_db_futures`: its `Database` stays open when dropped, and then blocks every upgrade.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{IdbDatabase, IdbVersionChangeEvent};

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Closed {
    /// We have closed it.
    ByUs,
    /// Somebody upgrades the database, or deletes it (`new_version` is `None` then).
    VersionChange {
        /// The version that it will have.
        new_version: Option<f64>,
    },
    /// The browser has closed it: the user cleared the data of this site, or the disk failed.
    ByBrowser,
}

/// Called when a connection was taken away.
pub(crate) type Lost = Rc<dyn Fn(Closed)>;

/// An open database. Closes when dropped, and at once when somebody wants to upgrade or delete the database;
/// transactions that run are finished first.
pub(crate) struct Connection {
    database: IdbDatabase,
    state: Rc<State>,
    /// What the browser calls.
    _on_version_change: Closure<dyn FnMut(IdbVersionChangeEvent)>,
    _on_close: Closure<dyn FnMut()>,
}

#[derive(Default)]
struct State {
    closed: Cell<Option<Closed>>,
    lost: RefCell<Option<Lost>>,
}

impl Connection {
    /// Takes an open database over. Call it in the task that opened it: an event of the next may be a version change.
    pub(super) fn new(database: IdbDatabase) -> Self {
        let state = Rc::new(State::default());
        let on_version_change = Closure::new({
            let (state, database) = (Rc::clone(&state), database.clone());
            move |event: IdbVersionChangeEvent| {
                database.close();
                state.lose(Closed::VersionChange { new_version: event.new_version() });
            }
        });
        let on_close = Closure::new({
            let state = Rc::clone(&state);
            move || state.lose(Closed::ByBrowser)
        });
        database.set_onversionchange(Some(on_version_change.as_ref().unchecked_ref()));
        database.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        Self { database, state, _on_version_change: on_version_change, _on_close: on_close }
    }

    /// The database itself.
    pub(crate) fn database(&self) -> &IdbDatabase {
        &self.database
    }

    /// Why it is closed; `None` while it is open.
    pub(crate) fn why_closed(&self) -> Option<Closed> {
        self.state.closed.get()
    }

    /// Calls `lost` when somebody else takes the connection away; at once if that has happened already.
    pub(crate) fn on_lost(&self, lost: Lost) {
        match self.why_closed() {
            None => *self.state.lost.borrow_mut() = Some(lost),
            Some(Closed::ByUs) => {}
            Some(closed) => lost(closed),
        }
    }

    /// Closes, after the transactions that run. Closing twice is harmless.
    pub(crate) fn close(&self) {
        self.database.close();
        if self.state.closed.get().is_none() {
            self.state.closed.set(Some(Closed::ByUs));
        }
        // It may hold whoever holds this connection.
        self.state.lost.borrow_mut().take();
    }
}

impl State {
    fn lose(&self, closed: Closed) {
        if self.closed.get().is_some() {
            return;
        }
        tracing::debug!(?closed, "a connection to the database was taken away");
        self.closed.set(Some(closed));
        let lost = self.lost.borrow_mut().take();
        if let Some(lost) = lost {
            lost(closed);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The closures go with this value.
        self.database.set_onversionchange(None);
        self.database.set_onclose(None);
        self.close();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("database", &self.database.name())
            .field("closed", &self.state.closed.get())
            .finish_non_exhaustive()
    }
}
