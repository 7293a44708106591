//! Tables on disk: reading them, making those that are missing, and refusing those that do not fit.

mod check;
pub(crate) mod inspect;
mod plan;

pub(crate) use plan::{declared_type, prepare};
