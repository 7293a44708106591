//! The schema: [`Definition`]s are what an application writes, a [`Registry`] is what they become once checked.

mod check;
mod collection;
mod constraint;
mod custom;
mod definition;
mod diff;
mod field;
mod lineage;
mod migration;
mod plan;
mod registry;
mod stored;
mod transform;

pub use collection::{Collection, Index, OnDelete, Referrer, Relation, RelationKind};
pub use constraint::{Check, CustomCheck, ObjectCheck, ObjectView};
pub use custom::{CustomField, CustomType};
pub use definition::{Definition, FieldOption, IndexDefinition, RelationDefinition};
pub use field::{Affinity, Default, Field, FieldType, KeyFormat};
pub use migration::{Migration, Properties};
pub use plan::{CollectionPlan, Plan, PlanStep, plan};
pub use registry::{Registry, RegistryBuilder, SchemaVersion};
pub use stored::{StoredCollection, StoredField, StoredIndex, StoredKind, StoredSchema};
pub use transform::Transform;
