//! [`News`]: tells the other tabs and workers that have the database open what was committed, and hears what they commit.
//!
//! ```text
//!   the batch's requests are answered ─▶ "7 begins" ─▶ commit ─▶ "7 is over: note, created, [a, b]"
//!                                           │                        │
//!                       a BroadcastChannel of the database's own     │
//!                                           ▼                        ▼
//!                     nothing follows: ChangeSink::elsewhere      ChangeSink::changed
//! ```
//!
//! A tab may be killed, closed or frozen when its batch is committed and not told yet. So it says before that it will, and
//! whoever has heard that and no more looks for himself. `docs/decisions/0044-changes-in-every-tab.md` tells why so.

mod begun;
mod message;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use js_sys::{Array, Reflect};
use storex_core::{ChangeSet, ChangeSink, Runtime};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{BroadcastChannel, Event, EventTarget, MessageEvent};

use self::begun::Begun;
use self::message::{Message, Over};
use crate::layout::Stores;
use crate::raw::DomError;

/// The channel of a database is called so, with the name of the database behind it.
const CHANNEL: &str = "storex-changes ";

/// When a page comes back, it may have missed messages.
const RETURNS: [&str; 2] = ["pageshow", "resume"];

/// Where to tell what others commit; `None`: nobody has asked for it yet.
pub(crate) type Audience = Rc<RefCell<Option<ChangeSink>>>;

/// The way to the other tabs and workers; closed when dropped.
pub(crate) struct News {
    channel: BroadcastChannel,
    stores: Rc<Stores>,
    /// The number of the last commit; those of others begin elsewhere.
    last: Cell<i64>,
    /// What the browser calls.
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    on_return: Closure<dyn FnMut(Event)>,
}

impl News {
    /// Opens the channel of this database; `None` where the browser has none.
    pub(crate) fn open(
        database: &str,
        stores: &Rc<Stores>,
        audience: &Audience,
        runtime: &Arc<dyn Runtime>,
    ) -> Option<Self> {
        let channel = BroadcastChannel::new(&format!("{CHANNEL}{database}"));
        let channel = channel
            .map_err(|error| {
                let error = DomError::from(error);
                tracing::warn!(%error, "no BroadcastChannel: other tabs look for changes instead");
            })
            .ok()?;
        let hearing = Rc::new(Hearing {
            stores: Rc::clone(stores),
            audience: Rc::clone(audience),
            begun: Begun::new(audience, runtime),
        });
        let on_message = Closure::new({
            let hearing = Rc::clone(&hearing);
            move |event: MessageEvent| hearing.hear(&event.data())
        });
        let on_return = Closure::new(move |event: Event| hearing.returned(&event));
        let function: &js_sys::Function = on_message.as_ref().unchecked_ref();
        channel.set_onmessage(Some(function));
        // What cannot be cloned here has no data, and tells that something was written.
        channel.set_onmessageerror(Some(function));
        for_returns(&on_return, EventTarget::add_event_listener_with_callback_and_bool);
        let mut random = [0; 8];
        runtime.fill_random(&mut random);
        // Far from the end of what a number can tell apart.
        let last = Cell::new(i64::from_le_bytes(random) & 0xffff_ffff_ffff);
        let stores = Rc::clone(stores);
        Some(Self { channel, stores, last, _on_message: on_message, on_return })
    }

    /// This is about to be committed.
    pub(crate) fn begin(&self, set: ChangeSet) -> Commit {
        let number = self.last.get() + 1;
        self.last.set(number);
        post(&self.channel, &message::begun(number));
        Commit { channel: self.channel.clone(), number, set, stores: Rc::clone(&self.stores) }
    }
}

impl Drop for News {
    fn drop(&mut self) {
        // The closures go with this value.
        self.channel.set_onmessage(None);
        self.channel.set_onmessageerror(None);
        self.channel.close();
        for_returns(&self.on_return, EventTarget::remove_event_listener_with_callback_and_bool);
    }
}

impl fmt::Debug for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("News").field("channel", &self.channel.name()).finish_non_exhaustive()
    }
}

/// A commit that others know to have begun.
#[must_use]
pub(crate) struct Commit {
    channel: BroadcastChannel,
    number: i64,
    set: ChangeSet,
    stores: Rc<Stores>,
}

impl Commit {
    /// Tells what became of it.
    pub(crate) fn end(self, committed: bool) {
        let told = match committed {
            true => message::committed(self.number, &self.set, &self.stores),
            false => message::given_up(self.number),
        };
        post(&self.channel, &told);
    }
}

/// Whoever does not hear of it looks for himself, later.
fn post(channel: &BroadcastChannel, message: &Array) {
    if let Err(error) = channel.post_message(message) {
        tracing::debug!(error = %DomError::from(error), "other tabs cannot be told of a commit");
    }
}

type Listen = fn(&EventTarget, &str, &js_sys::Function, bool) -> Result<(), JsValue>;

/// In a page its window, where events of the document pass by, too; no other context has such events.
fn for_returns(function: &Closure<dyn FnMut(Event)>, listen: Listen) {
    let global: EventTarget = js_sys::global().unchecked_into();
    for event in RETURNS {
        if let Err(error) = listen(&global, event, function.as_ref().unchecked_ref(), true) {
            tracing::debug!(error = %DomError::from(error), event, "cannot be listened to");
        }
    }
}

/// What is done with the messages of others.
struct Hearing {
    stores: Rc<Stores>,
    audience: Audience,
    begun: Rc<Begun>,
}

impl Hearing {
    fn hear(&self, message: &JsValue) {
        let Some(sink) = heard(&self.audience) else { return };
        match message::read(message, &self.stores) {
            Some(Message::Begun(number)) => Begun::add(&self.begun, number),
            Some(Message::Over(number, over)) => {
                self.begun.forget(number);
                match over {
                    Over::GivenUp => {}
                    Over::Something => sink.elsewhere(),
                    Over::Committed(set) => sink.changed(set),
                }
            }
            // Of another build, which has something to tell; or of somebody who has lost his way.
            None => sink.elsewhere(),
        }
    }

    fn returned(&self, event: &Event) {
        // A page is shown the first time, too.
        let is_first = event.type_() == "pageshow"
            && Reflect::get(event, &"persisted".into()).is_ok_and(|it| it.is_falsy());
        if !is_first && let Some(sink) = heard(&self.audience) {
            sink.elsewhere();
        }
    }
}

/// The audience, if there is one.
fn heard(audience: &Audience) -> Option<ChangeSink> {
    audience.borrow().clone().filter(ChangeSink::is_heard)
}
