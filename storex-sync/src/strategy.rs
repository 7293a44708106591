//! [`Strategy`]: how the writes of several devices to one field come together, as the application has configured it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use storex_core::{Collection, Error, Field, FieldType, MaybeSend, MaybeSync, Name, Value};

/// How the writes of several devices to one field come together. Configured with [`SyncLog::strategy`](crate::SyncLog::strategy).
///
/// All devices of a user should have the same. One that has none for a field follows what the object's clock says, once a
/// write of another has told it; a program too old to know strategies parks what it cannot read until it is updated.
///
/// A new life of an object (deleted and created again) begins anew.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Strategy {
    /// The later write wins. Increments of all devices count. So it is without a strategy.
    LastWriter,
    /// As [`Strategy::LastWriter`]; but the value that lost stays in the [journal](crate::ConflictJournal), however many there are,
    /// until the application undoes or forgets it.
    KeepBoth,
    /// The greatest value that was ever written. A lower one changes nothing; null gives way.
    Max,
    /// The least value that was ever written. A greater one changes nothing; null gives way.
    Min,
    /// A JSON array whose elements are added and taken out one by one: additions and removals of all devices count. Of an
    /// addition and a removal of one element the later counts. Writing a whole array adds and removes what differs from what was
    /// there. Each element is there once, in the order of the additions; null becomes an empty array.
    ///
    /// The clock keeps the elements, also those that were taken out.
    Set,
    /// A JSON array to which elements are only added: those of all devices are kept, in the order of their stamps. Writing a whole
    /// array adds what was not in it; what is left out comes back. Null becomes an empty array.
    ///
    /// The clock keeps the elements.
    List,
    /// A function of the application joins two values; see [`Strategy::custom`].
    Custom(CustomJoin),
}

/// A function that joins two values of a field.
#[derive(Clone)]
pub struct CustomJoin {
    name: Name,
    join: Arc<dyn JoinFn>,
}

trait JoinFn: MaybeSend + MaybeSync {
    fn call(&self, a: &Value, b: &Value) -> Value;
}

impl<F: Fn(&Value, &Value) -> Value + MaybeSend + MaybeSync> JoinFn for F {
    fn call(&self, a: &Value, b: &Value) -> Value {
        self(a, b)
    }
}

impl fmt::Debug for CustomJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CustomJoin").field(&self.name).finish()
    }
}

impl Strategy {
    /// A function of the application joins two values. It is called for values that are not null, inside the transaction: it must
    /// be quick, and neither panic nor look at anything but its arguments. Devices agree only if it is
    ///
    /// - commutative: `join(a, b) == join(b, a)`,
    /// - associative: `join(a, join(b, c)) == join(join(a, b), c)`,
    /// - idempotent: `join(a, a) == a`,
    ///
    /// and the same on all devices. The name travels with the values: change it with the function. A device that has no function of
    /// this name parks what it would have to join.
    ///
    /// ```
    /// use storex_core::Value;
    /// use storex_sync::{Strategy, SyncLog};
    ///
    /// // The longer text; of two of one length the greater.
    /// let longer = Strategy::custom("longer", |a: &Value, b: &Value| {
    ///     let rank = |value: &Value| value.as_text().map(|text| (text.len(), text.to_owned()));
    ///     if rank(a) < rank(b) { b.clone() } else { a.clone() }
    /// });
    /// let log = SyncLog::new().strategy("note", "body", longer);
    /// # let _ = log;
    /// ```
    pub fn custom(
        name: impl Into<Name>,
        join: impl Fn(&Value, &Value) -> Value + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        Self::Custom(CustomJoin { name: name.into(), join: Arc::new(join) })
    }

    /// That a field can have this strategy.
    pub(crate) fn check(&self, collection: &Collection, field: &Field) -> storex_core::Result<()> {
        let needed = match (self, &field.field_type) {
            (
                Self::Max | Self::Min,
                FieldType::Json
                | FieldType::Boolean
                | FieldType::AutoPk(_)
                | FieldType::ForeignKey(_),
            ) => "a type whose values have an order",
            (Self::Set | Self::List, kind) if *kind != FieldType::Json => {
                "the type `FieldType::Json`, because it holds an array"
            }
            _ => return Ok(()),
        };
        let reason =
            format!("field `{}` cannot have the strategy {self:?}: it needs {needed}", field.name);
        Err(Error::invalid(collection.name(), reason))
    }
}

/// The functions of the application that join values, by name.
#[derive(Debug, Clone, Default)]
pub struct Joins(HashMap<Name, CustomJoin>);

impl Joins {
    /// The functions among strategies.
    pub(crate) fn of<'a>(strategies: impl Iterator<Item = &'a Strategy>) -> Self {
        let custom = strategies.filter_map(|strategy| match strategy {
            Strategy::Custom(custom) => Some((Name::clone(&custom.name), custom.clone())),
            _ => None,
        });
        Self(custom.collect())
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Two values joined; `None`: there is no such function.
    pub(crate) fn join(&self, name: &str, a: &Value, b: &Value) -> Option<Value> {
        self.0.get(name).map(|custom| custom.join.call(a, b))
    }
}

impl CustomJoin {
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }
}
