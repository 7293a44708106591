//! [`Validate`]: rules of the application, checked in the transaction.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::maybe::{MaybeSend, MaybeSync};
use crate::middleware::{Context, Middleware, Next, OpenContext};
use crate::observe::{ObjectImages, Observer};
use crate::operation::{Operation, Outcome};
use crate::schema::{Collection, ObjectView};
use crate::value::Name;
use async_trait::async_trait;

/// Refuses creates and updates whose object would break a rule, with [`Error::BrokenRule`]; nothing of the batch is written
/// then.
///
/// A rule sees the object as the step leaves it, read back in the transaction: so it holds for updates by filter and for
/// increments too, and for what continuations and cascades do. What is deleted is not checked, nor is what another device
/// did: it was checked there.
///
/// ```
/// # use std::sync::Arc;
/// use serde_json::json;
/// use storex_core::{Definition, FieldType, ObjectView, Registry, Storage, Validate};
/// use storex_memory::{MemoryBackend, TestRuntime};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> storex_core::Result<()> {
/// let rules = Validate::new().check("account", |account: &ObjectView<'_>| {
///     match account.get("cents").as_int() {
///         Some(cents) if cents < 0 => Err(format!("{cents} cents are less than nothing")),
///         _ => Ok(()),
///     }
/// });
/// let account = Definition::new("account").field("id", FieldType::Int).primary_key(["id"]);
/// let registry = Registry::builder().collection(account.field("cents", FieldType::Int)).build()?;
/// let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
///     .middleware(rules)
///     .open()
///     .await?;
/// let accounts = storage.dynamic("account")?;
/// accounts.create(json!({"id": 1, "cents": 70})).await?;
/// let refused = accounts.update(&json!({}), &json!({"cents": {"$inc": -100}})).await;
/// assert!(refused.unwrap_err().to_string().contains("-30 cents"));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Validate {
    rules: Rules,
}

#[derive(Clone, Default)]
struct Rules(HashMap<Name, Vec<Arc<dyn Rule>>>);

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, rules)| (name, rules.len()))).finish()
    }
}

trait Rule: MaybeSend + MaybeSync {
    fn check(&self, object: &ObjectView<'_>) -> Result<(), String>;
}

impl<F> Rule for F
where
    F: Fn(&ObjectView<'_>) -> Result<(), String> + MaybeSend + MaybeSync,
{
    fn check(&self, object: &ObjectView<'_>) -> Result<(), String> {
        self(object)
    }
}

impl Validate {
    /// Without rules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule for the objects of a collection: an error is its reason to refuse. A collection may have several rules;
    /// one that the registry does not know is refused when the storage is opened. Called again when a batch is run a second time.
    #[must_use]
    pub fn check(
        mut self,
        collection: impl Into<Name>,
        rule: impl Fn(&ObjectView<'_>) -> Result<(), String> + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        self.rules.0.entry(collection.into()).or_default().push(Arc::new(rule));
        self
    }
}

impl Observer for Rules {
    fn observes(&self, collection: &Collection) -> bool {
        self.0.contains_key(collection.name())
    }

    fn after(&self, collection: &Collection, changes: &[ObjectImages]) -> Result<()> {
        for rule in self.0.get(collection.name()).into_iter().flatten() {
            for images in changes {
                let Some(record) = &images.after else { continue };
                let object =
                    ObjectView::new(collection, record).with_before(images.before.as_ref());
                rule.check(&object).map_err(|reason| Error::BrokenRule {
                    collection: Name::clone(collection.name()),
                    key: images.key.to_string(),
                    reason,
                })?;
            }
        }
        Ok(())
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Validate {
    async fn open(&self, cx: &OpenContext<'_>) -> Result<()> {
        cx.require(self.rules.0.keys().cloned())
    }

    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        let rules: Arc<dyn Observer> = Arc::new(self.rules.clone());
        next.run(cx, operation.observed_by(&rules)).await
    }
}
