//! What the devices keep.

use storex_core::{Definition, FieldType, OnDelete, Registry, RegistryBuilder, RelationDefinition};

/// Fields that are set, one that is incremented, all of them at once.
pub(crate) const NOTE: &str = "note";
/// An object here and one in [`RIGHT`] are always written together, with the same value.
pub(crate) const LEFT: &str = "left";
/// See [`LEFT`].
pub(crate) const RIGHT: &str = "right";
/// Only ever incremented.
pub(crate) const TALLY: &str = "tally";
/// Deleted with its [`CHILD`]ren.
pub(crate) const PARENT: &str = "parent";
/// Belongs to a [`PARENT`].
pub(crate) const CHILD: &str = "child";

/// All collections.
pub(crate) const COLLECTIONS: [&str; 6] = [NOTE, LEFT, RIGHT, TALLY, PARENT, CHILD];

/// The fields of notes that are set.
pub(crate) const NOTE_FIELDS: [&str; 2] = ["title", "body"];

pub(crate) fn schema() -> RegistryBuilder {
    let paired = |name| Definition::new(name).field("value", FieldType::String);
    Registry::builder()
        .collection(
            Definition::new(NOTE)
                .field("title", FieldType::String)
                .field("body", FieldType::Text)
                .field("stars", FieldType::Int),
        )
        .collection(paired(LEFT))
        .collection(paired(RIGHT))
        .collection(Definition::new(TALLY).field("count", FieldType::Int))
        .collection(Definition::new(PARENT).field("name", FieldType::String))
        .collection(
            Definition::new(CHILD)
                .field("name", FieldType::String)
                .relation(RelationDefinition::child_of(PARENT).on_delete(OnDelete::Cascade)),
        )
}
