//! [`Begun`]: the commits of others that have begun, and of which it is not known how they ended.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use storex_core::Runtime;

use super::{Audience, heard};

/// How long a commit is waited for, at least; at most twice as long. (One that takes longer is told twice.)
const PATIENCE: Duration = Duration::from_millis(70);

/// Waits for the end of commits, and says when one does not come: whoever began it may be gone.
pub(super) struct Begun {
    audience: Audience,
    runtime: Arc<dyn Runtime>,
    /// Those since the last look, and those before it.
    young: RefCell<Vec<i64>>,
    old: RefCell<Vec<i64>>,
    is_looking: Cell<bool>,
}

impl Begun {
    pub(super) fn new(audience: &Audience, runtime: &Arc<dyn Runtime>) -> Rc<Self> {
        Rc::new(Self {
            audience: Rc::clone(audience),
            runtime: Arc::clone(runtime),
            young: RefCell::default(),
            old: RefCell::default(),
            is_looking: Cell::new(false),
        })
    }

    /// A commit has begun.
    pub(super) fn add(this: &Rc<Self>, number: i64) {
        this.young.borrow_mut().push(number);
        if !this.is_looking.replace(true) {
            this.runtime.spawn(Box::pin(look(Rc::downgrade(this), Arc::clone(&this.runtime))));
        }
    }

    /// A commit is over.
    pub(super) fn forget(&self, number: i64) {
        for some in [&self.young, &self.old] {
            some.borrow_mut().retain(|it| *it != number);
        }
    }

    /// Whether there is something left to wait for.
    fn look(&self) -> bool {
        let next = self.young.take();
        let goes_on = !next.is_empty();
        let is_missed = !self.old.replace(next).is_empty();
        if is_missed && let Some(sink) = heard(&self.audience) {
            sink.elsewhere();
        }
        self.is_looking.set(goes_on);
        goes_on
    }
}

async fn look(begun: Weak<Begun>, runtime: Arc<dyn Runtime>) {
    loop {
        runtime.sleep(PATIENCE).await;
        if !begun.upgrade().is_some_and(|begun| begun.look()) {
            return;
        }
    }
}
