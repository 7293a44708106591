//! The schema: [`Definition`]s are what an application writes, a [`Registry`] is what they become once checked.

mod check;
mod collection;
mod constraint;
mod custom;
mod definition;
mod field;
mod registry;

pub use collection::{Collection, Index, OnDelete, Referrer, Relation, RelationKind};
pub use constraint::{Check, CustomCheck, ObjectCheck, ObjectView};
pub use custom::{CustomField, CustomType};
pub use definition::{Definition, FieldOption, IndexDefinition, RelationDefinition};
pub use field::{Affinity, Default, Field, FieldType, KeyFormat};
pub use registry::{Registry, RegistryBuilder, SchemaVersion};
