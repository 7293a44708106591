//! [`Definition`]: a collection as an application writes it down.

use std::sync::Arc;

use crate::schema::{
    Check, CustomType, Default, FieldType, KeyFormat, ObjectCheck, ObjectView, OnDelete,
    RelationKind, SchemaVersion,
};
use crate::value::{Name, Value};

/// The definition of a collection, one per schema version.
///
/// ```
/// use storex_core::{Definition, FieldType};
///
/// let note = Definition::new("note")
///     .field("title", FieldType::String)
///     .optional("body", FieldType::Text)
///     .field("created_at", FieldType::Timestamp)
///     .index(["created_at"]);
/// # let _ = note;
/// ```
///
/// Without [`Definition::primary_key`] the key is a field `id`, a UUID as text.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    pub(super) name: Name,
    pub(super) table: Option<Name>,
    pub(super) version: SchemaVersion,
    pub(super) fields: Vec<FieldDefinition>,
    pub(super) primary_key: Vec<Name>,
    pub(super) indices: Vec<IndexDefinition>,
    pub(super) relations: Vec<RelationDefinition>,
    pub(super) foreign_keys: Vec<ForeignKeyDefinition>,
    pub(super) checks: Vec<ObjectCheck>,
    pub(super) adopted: bool,
    pub(super) reserved: bool,
}

/// A foreign key with something to do when its target is deleted; see [`Definition::foreign_key`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForeignKeyDefinition {
    pub(super) fields: Vec<Name>,
    pub(super) target: Name,
    pub(super) target_fields: Vec<Name>,
    pub(super) on_delete: OnDelete,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct FieldDefinition {
    pub(super) name: Name,
    pub(super) column: Option<Name>,
    pub(super) field_type: FieldType,
    pub(super) nullable: bool,
    pub(super) default: Option<Default>,
    pub(super) checks: Vec<Check>,
    pub(super) custom: Option<Arc<dyn CustomType>>,
}

/// What a field may have beside its name and type; see [`Definition::field_with`].
#[derive(Debug, Clone, PartialEq)]
pub enum FieldOption {
    /// May be null; null when it is not given.
    Optional,
    /// May be null, but must be given, be it as null.
    Nullable,
    /// Has this value when it is not given.
    Default(Value),
    /// Has the time of the write when it is not given; see [`Default::CurrentTimestamp`](crate::FieldDefault).
    DefaultNow,
    /// Is stored under another name.
    Column(Name),
    /// Must be like this beyond its type.
    Check(Check),
    /// Is of a type of the application's own; the field's type is what that is stored as.
    Custom(Arc<dyn CustomType>),
}

/// An index of a [`Definition`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDefinition {
    /// The fields, in order.
    pub fields: Vec<Name>,
    /// Whether two objects may not have the same values.
    pub unique: bool,
    /// Whether each element of the field, a JSON array, has an entry of its own.
    pub multi_entry: bool,
}

/// A relationship of a [`Definition`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationDefinition {
    pub(super) kind: RelationKind,
    pub(super) target: Name,
    pub(super) alias: Option<Name>,
    pub(super) reverse_alias: Option<Name>,
    pub(super) column: Option<Name>,
    pub(super) optional: bool,
    pub(super) on_delete: Option<OnDelete>,
}

impl RelationDefinition {
    fn new(kind: RelationKind, target: impl Into<Name>) -> Self {
        Self {
            kind,
            target: target.into(),
            alias: None,
            reverse_alias: None,
            column: None,
            optional: false,
            on_delete: None,
        }
    }

    /// The name of the field.
    pub(super) fn field(&self) -> Name {
        Name::clone(self.alias.as_ref().unwrap_or(&self.target))
    }

    /// Many objects of this collection belong to one of `target`.
    pub fn child_of(target: impl Into<Name>) -> Self {
        Self::new(RelationKind::ChildOf, target)
    }

    /// One object of this collection belongs to one of `target`.
    pub fn single_child_of(target: impl Into<Name>) -> Self {
        Self::new(RelationKind::SingleChildOf, target)
    }

    /// An object of this collection links one of `target` with others: a collection with two of these connects two others.
    pub fn connects(target: impl Into<Name>) -> Self {
        Self::new(RelationKind::Connects, target)
    }

    /// The field that holds the parent's key; by default the parent collection's name.
    #[must_use]
    pub fn alias(mut self, alias: impl Into<Name>) -> Self {
        // The default is kept as such, so that two ways to say the same are equal.
        self.alias = Some(alias.into()).filter(|alias| *alias != self.target);
        self
    }

    /// The name under which a nested create finds the children in the parent; by default this collection's name, with
    /// an `s` where there may be many.
    #[must_use]
    pub fn reverse_alias(mut self, alias: impl Into<Name>) -> Self {
        self.reverse_alias = Some(alias.into());
        self
    }

    /// The column that stores the parent's key; by default the alias.
    #[must_use]
    pub fn column(mut self, column: impl Into<Name>) -> Self {
        self.column = Some(column.into());
        self
    }

    /// The child may stand without a parent.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The relation is kept by the rules: a parent's key that is written must be that of an object which is there, and this
    /// is what happens to the children when their parent is deleted.
    ///
    /// Both are looked at when a batch has come to its end, so within a batch objects may come and go in any order. What
    /// the rule deletes or changes is logged like any write. What sync brings is applied as it is.
    #[must_use]
    pub fn on_delete(mut self, rule: OnDelete) -> Self {
        self.on_delete = Some(rule);
        self
    }
}

impl Definition {
    /// A collection without fields, of schema version 1.
    pub fn new(name: impl Into<Name>) -> Self {
        Self {
            name: name.into(),
            table: None,
            version: SchemaVersion(1),
            fields: Vec::new(),
            primary_key: Vec::new(),
            indices: Vec::new(),
            relations: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            adopted: false,
            reserved: false,
        }
    }

    /// The collection's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The schema version from which this definition holds. Of several definitions with one name the newest is current.
    #[must_use]
    pub fn version(mut self, version: u64) -> Self {
        self.version = SchemaVersion(version);
        self
    }

    /// A required field.
    #[must_use]
    pub fn field(self, name: impl Into<Name>, field_type: FieldType) -> Self {
        self.field_with(name, field_type, [])
    }

    /// A field that may be left out: it is then null.
    #[must_use]
    pub fn optional(self, name: impl Into<Name>, field_type: FieldType) -> Self {
        self.field_with(name, field_type, [FieldOption::Optional])
    }

    /// A field with options.
    #[must_use]
    pub fn field_with(
        mut self,
        name: impl Into<Name>,
        field_type: FieldType,
        options: impl IntoIterator<Item = FieldOption>,
    ) -> Self {
        let mut field = FieldDefinition {
            name: name.into(),
            column: None,
            field_type,
            nullable: false,
            default: None,
            checks: Vec::new(),
            custom: None,
        };
        for option in options {
            match option {
                FieldOption::Optional => {
                    field.nullable = true;
                    field.default.get_or_insert(Default::Null);
                }
                FieldOption::Nullable => field.nullable = true,
                FieldOption::Default(value) => field.default = Some(Default::Value(value)),
                FieldOption::DefaultNow => field.default = Some(Default::CurrentTimestamp),
                FieldOption::Column(column) => field.column = Some(column),
                FieldOption::Check(check) => field.checks.push(check),
                FieldOption::Custom(custom) => field.custom = Some(custom),
            }
        }
        self.fields.push(field);
        self
    }

    /// A required field of a type of the application's own. With other options: [`Definition::field_with`] and
    /// [`FieldOption::Custom`].
    #[must_use]
    pub fn custom_field(self, name: impl Into<Name>, custom: impl CustomType) -> Self {
        let stored_as = custom.stored_as();
        self.field_with(name, stored_as, [FieldOption::Custom(Arc::new(custom))])
    }

    /// The fields of the primary key, in order. A name that is no field yet becomes a UUID text field.
    #[must_use]
    pub fn primary_key<N: Into<Name>>(mut self, fields: impl IntoIterator<Item = N>) -> Self {
        self.primary_key = fields.into_iter().map(Into::into).collect();
        self
    }

    /// The primary key is a field `id` of this form.
    #[must_use]
    pub fn key_format(self, format: KeyFormat) -> Self {
        self.field("id", FieldType::AutoPk(format)).primary_key(["id"])
    }

    /// An index over one or several fields.
    #[must_use]
    pub fn index<N: Into<Name>>(mut self, fields: impl IntoIterator<Item = N>) -> Self {
        self.indices.push(IndexDefinition {
            fields: fields.into_iter().map(Into::into).collect(),
            unique: false,
            multi_entry: false,
        });
        self
    }

    /// An index over the elements of a field that holds JSON arrays, for [`Filter::Contains`](crate::Filter::Contains). A
    /// backend without such indices (SQLite, memory) answers by looking at every object.
    #[must_use]
    pub fn multi_entry(mut self, field: impl Into<Name>) -> Self {
        let fields = vec![field.into()];
        self.indices.push(IndexDefinition { fields, unique: false, multi_entry: true });
        self
    }

    /// An index whose values no two objects share; objects with a null among them are not compared.
    #[must_use]
    pub fn unique<N: Into<Name>>(mut self, fields: impl IntoIterator<Item = N>) -> Self {
        self.indices.push(IndexDefinition {
            fields: fields.into_iter().map(Into::into).collect(),
            unique: true,
            multi_entry: false,
        });
        self
    }

    /// A relationship to a parent; it adds a field.
    #[must_use]
    pub fn relation(mut self, relation: RelationDefinition) -> Self {
        self.relations.push(relation);
        self
    }

    /// When an object of `target` is deleted, the objects of this collection whose `fields` have the values of its
    /// `target_fields` are deleted too, or their fields become null. No target fields: those of the target's primary key.
    ///
    /// Both happen in the same batch and are logged like any write, so every device learns of exactly the rows that were
    /// touched. A database that does the same by itself (SQLite's `ON DELETE CASCADE`) then finds nothing left to do.
    #[must_use]
    pub fn foreign_key<N: Into<Name>>(
        mut self,
        fields: impl IntoIterator<Item = N>,
        target: impl Into<Name>,
        target_fields: impl IntoIterator<Item = N>,
        on_delete: OnDelete,
    ) -> Self {
        self.foreign_keys.push(ForeignKeyDefinition {
            fields: fields.into_iter().map(Into::into).collect(),
            target: target.into(),
            target_fields: target_fields.into_iter().map(Into::into).collect(),
            on_delete,
        });
        self
    }

    /// A rule for the values of an object together, in words that complete "the object must ..", as in `begin before it ends`.
    /// What the application writes is checked, and what sync brings is not; see [`Check`].
    ///
    /// ```
    /// use storex_core::{Definition, FieldType};
    ///
    /// let meeting = Definition::new("meeting")
    ///     .field("begin", FieldType::Timestamp)
    ///     .field("end", FieldType::Timestamp)
    ///     .check("begin before it ends", |it| it.get("begin").compare(it.get("end")).is_lt());
    /// # let _ = meeting;
    /// ```
    #[must_use]
    pub fn check(
        mut self,
        rule: impl Into<Name>,
        holds: impl Fn(&ObjectView<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.checks.push(ObjectCheck::new(rule, holds));
        self
    }

    /// Objects of this collection link one object of `a` with one of `b`: two required relations. For aliases or rules, add the
    /// two as [`RelationDefinition::connects`].
    #[must_use]
    pub fn connects(self, a: impl Into<Name>, b: impl Into<Name>) -> Self {
        self.relation(RelationDefinition::connects(a)).relation(RelationDefinition::connects(b))
    }

    /// The table is there already, under this name, and is neither made nor changed by storex.
    #[must_use]
    pub fn adopted(mut self, table: impl Into<Name>) -> Self {
        self.table = Some(table.into());
        self.adopted = true;
        self
    }

    /// One of storex's own collections: its name begins with `_storex_`, and applications do not write it.
    #[must_use]
    pub fn reserved(mut self) -> Self {
        self.reserved = true;
        self
    }
}
