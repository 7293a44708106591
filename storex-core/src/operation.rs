//! [`Operation`] and [`Outcome`]: what goes down the chain, and what comes up.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::aggregate::Aggregation;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::observe::Observer;
use crate::query::Query;
use crate::record::Record;
use crate::run::BatchOutcome;
use crate::value::Name;

/// What an application wants done. Operations are data: a middleware may look at them, rewrite, refuse or answer them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Operation {
    /// Reads objects.
    Find(Query),
    /// Counts objects.
    Count(Query),
    /// What objects come to.
    Aggregate(Aggregation),
    /// Writes. A single create, update or delete is a batch of one step.
    Execute(Batch),
    /// Something that a module has registered, or that only this backend can do.
    Custom(CustomOperation),
}

/// Something that a [`Module`](crate::Module) has registered, or that only one backend can do, such as `integrity_check`.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomOperation {
    /// Its name; [`Capabilities::custom_operations`](crate::Capabilities::custom_operations) lists those of a backend.
    pub name: Name,
    /// Its arguments.
    pub arguments: Json,
}

/// What an [`Operation`] did.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The objects of a find.
    Found(Vec<Record>),
    /// The number of a count.
    Counted(u64),
    /// What objects come to: one record per group.
    Aggregated(Vec<Record>),
    /// What a batch did.
    Executed(BatchOutcome),
    /// What a custom operation gave.
    Custom(Json),
}

impl Operation {
    /// A word for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Find(_) => "find",
            Self::Count(_) => "count",
            Self::Aggregate(_) => "aggregate",
            Self::Execute(_) => "execute",
            Self::Custom(_) => "custom",
        }
    }

    /// With an observer, where it is a batch.
    pub(crate) fn observed_by(self, observer: &Arc<dyn Observer>) -> Self {
        match self {
            Self::Execute(batch) => Self::Execute(batch.observed_by(Arc::clone(observer))),
            other => other,
        }
    }
}

impl Outcome {
    fn mismatch(&self, wanted: &str) -> Error {
        let got = match self {
            Self::Found(_) => "found objects",
            Self::Counted(_) => "a count",
            Self::Aggregated(_) => "an aggregation",
            Self::Executed(_) => "an executed batch",
            Self::Custom(_) => "a custom result",
        };
        Error::Aborted {
            reason: format!("a middleware answered with {got} where {wanted} was asked for"),
        }
    }

    /// The objects of a find.
    ///
    /// # Errors
    /// When a middleware answered with something else.
    pub fn into_found(self) -> Result<Vec<Record>> {
        match self {
            Self::Found(records) => Ok(records),
            other => Err(other.mismatch("a find")),
        }
    }

    /// The number of a count.
    ///
    /// # Errors
    /// When a middleware answered with something else.
    pub fn into_counted(self) -> Result<u64> {
        match self {
            Self::Counted(count) => Ok(count),
            other => Err(other.mismatch("a count")),
        }
    }

    /// What objects come to.
    ///
    /// # Errors
    /// When a middleware answered with something else.
    pub fn into_aggregated(self) -> Result<Vec<Record>> {
        match self {
            Self::Aggregated(records) => Ok(records),
            other => Err(other.mismatch("an aggregation")),
        }
    }

    /// What a batch did.
    ///
    /// # Errors
    /// When a middleware answered with something else.
    pub fn into_executed(self) -> Result<BatchOutcome> {
        match self {
            Self::Executed(outcome) => Ok(outcome),
            other => Err(other.mismatch("a batch")),
        }
    }

    /// What a custom operation gave.
    ///
    /// # Errors
    /// When a middleware answered with something else.
    pub fn into_custom(self) -> Result<Json> {
        match self {
            Self::Custom(json) => Ok(json),
            other => Err(other.mismatch("a custom operation")),
        }
    }
}
