//! [`Collection`]: one checked collection.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::record::{Key, Record};
use crate::schema::{Field, ObjectCheck, SchemaVersion};
use crate::value::Name;

/// One collection of a [`Registry`](crate::Registry): checked, immutable, shared.
#[derive(Debug, Clone)]
pub struct Collection {
    pub(super) name: Name,
    pub(super) table: Name,
    pub(super) version: SchemaVersion,
    pub(super) fields: Vec<Field>,
    pub(super) positions: HashMap<Name, usize>,
    pub(super) primary_key: Vec<usize>,
    pub(super) indices: Vec<Index>,
    pub(super) relations: Vec<Relation>,
    pub(super) children: Vec<Relation>,
    pub(super) referrers: Vec<Referrer>,
    pub(super) must_be_given: Vec<usize>,
    pub(super) checks: Vec<ObjectCheck>,
    pub(super) adopted: bool,
    pub(super) reserved: bool,
    pub(super) has_custom: bool,
}

/// A secondary index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Positions of the indexed fields, in order.
    pub fields: Vec<usize>,
    /// Whether two objects may not have the same values. Objects with a null among them are not compared.
    pub unique: bool,
    /// Whether each element of the field, a JSON array, has an entry of its own.
    pub multi_entry: bool,
}

/// A relationship, seen from the child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// One child or many.
    pub kind: RelationKind,
    /// The collection that holds the parent's key.
    pub child: Name,
    /// The field of the child that holds it.
    pub alias: Name,
    /// The collection that is pointed to.
    pub parent: Name,
    /// The name under which a nested create finds the children in the parent.
    pub reverse_alias: Name,
    /// What happens to the children of a parent that is deleted; `None`: nobody keeps the relation, and a key may point to
    /// nothing.
    pub on_delete: Option<OnDelete>,
}

/// How many children a parent has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// Any number.
    ChildOf,
    /// At most one.
    SingleChildOf,
    /// The child is a link between two parents.
    Connects,
}

/// A foreign key of another collection that points to this one, with something to do when its target is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// The collection that points here.
    pub child: Name,
    /// The fields that point, by name.
    pub fields: Vec<Name>,
    /// Positions of the fields here that they point to.
    pub target: Vec<usize>,
    /// What happens to the objects that point when their target is deleted.
    pub on_delete: OnDelete,
}

/// What happens to objects that point to one that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDelete {
    /// They are deleted too, and logged as deleted.
    Cascade,
    /// The fields that point become null, and that is logged.
    SetNull,
    /// As long as they point to it, it cannot be deleted.
    Restrict,
}

impl Collection {
    /// The name that the application uses.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The name of the table or object store.
    #[must_use]
    pub fn table(&self) -> &Name {
        &self.table
    }

    /// The schema version of this definition.
    #[must_use]
    pub fn version(&self) -> SchemaVersion {
        self.version
    }

    /// The fields, in the order of a [`Record`]'s values.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The position of a field.
    #[must_use]
    pub fn position(&self, field: &str) -> Option<usize> {
        self.positions.get(field).copied()
    }

    /// The position of a field, or [`Error::UnknownField`].
    ///
    /// # Errors
    /// [`Error::UnknownField`].
    pub fn require(&self, field: &str) -> Result<usize> {
        self.position(field).ok_or_else(|| Error::UnknownField {
            collection: Name::clone(&self.name),
            field: field.into(),
        })
    }

    /// The positions of the primary key's fields, in order.
    #[must_use]
    pub fn primary_key(&self) -> &[usize] {
        &self.primary_key
    }

    /// Whether a position belongs to the primary key.
    #[must_use]
    pub fn is_key(&self, position: usize) -> bool {
        self.primary_key.contains(&position)
    }

    /// The secondary indices.
    #[must_use]
    pub fn indices(&self) -> &[Index] {
        &self.indices
    }

    /// The relationships in which this collection is the child.
    #[must_use]
    pub fn relations(&self) -> &[Relation] {
        &self.relations
    }

    /// The relationships in which this collection is the parent.
    #[must_use]
    pub fn children(&self) -> &[Relation] {
        &self.children
    }

    /// The foreign keys that point here and have something to do when an object is deleted.
    #[must_use]
    pub fn referrers(&self) -> &[Referrer] {
        &self.referrers
    }

    /// The rules for objects as a whole.
    #[must_use]
    pub fn checks(&self) -> &[ObjectCheck] {
        &self.checks
    }

    /// Whether the table was there before storex and stays as it is.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.adopted
    }

    /// Whether this is one of storex's own collections, which applications do not write.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.reserved
    }

    /// Whether a field has a type of the application's own.
    pub(crate) fn has_custom(&self) -> bool {
        self.has_custom
    }

    /// The key of a full record.
    #[must_use]
    pub fn key_of(&self, record: &Record) -> Key {
        match self.primary_key.as_slice() {
            [position] => Key::single(record.get(*position).clone()),
            positions => Key::compound(positions.iter().map(|at| record.get(*at).clone())),
        }
    }

    /// The fields of an index, for messages.
    #[must_use]
    pub fn index_label(&self, index: &Index) -> String {
        let names: Vec<&str> = index
            .fields
            .iter()
            .filter_map(|at| self.fields.get(*at))
            .map(|field| &*field.name)
            .collect();
        names.join(", ")
    }
}
