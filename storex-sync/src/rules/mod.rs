//! What the merge is to do where devices that did not know of each other have broken a rule together: [`UniqueRule`],
//! [`RelationRule`], and which collections' updates win over deletes.

mod chosen;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use storex_core::{Collection, Error, Field, FieldType, Name, OnDelete, Registry};

pub(crate) use self::chosen::Chosen;
use crate::error::{During, Result};
use crate::lane::Lane;
use crate::meta::{Numbers, RULES, meta_query, meta_row};
use crate::numbers::AllNumbers;

/// What becomes of an object whose unique value another object keeps.
///
/// Of two objects with the same value that one keeps it whose value was written earlier (by the stamp; the devices' names decide
/// between equal ones, and the keys between values older than sync).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UniqueRule {
    /// The last text of the index gets a suffix that is made from the object's key: `ada` becomes `ada~5f1c09e2`.
    Rename,
    /// The last field of the index that may be null becomes null.
    Clear,
    /// The object is deleted.
    Delete,
    /// The transaction waits, on each device, until somebody changes the one or the other. Devices differ until then.
    Park,
}

/// What becomes of an object that points to one which another device has deleted meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationRule {
    /// It keeps pointing to what is gone.
    Keep,
    /// The fields that point become null.
    SetNull,
    /// It is deleted too.
    DeleteChild,
}

/// What holds for this schema.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    synced: HashMap<Name, Arc<Collection>>,
    unique: HashMap<Name, Vec<UniqueIndex>>,
    links: Vec<Link>,
    /// Also those of which the schema says nothing; not those of which the application says that they may point to what is not there.
    pointers: Vec<Link>,
    update_wins: BTreeSet<Name>,
}

/// A unique index, and its rule.
#[derive(Debug, Clone)]
pub(crate) struct UniqueIndex {
    pub(crate) fields: Vec<usize>,
    pub(crate) label: String,
    pub(crate) rule: UniqueRule,
    /// The field that is renamed.
    pub(crate) renamed: Option<usize>,
    /// The field that is cleared.
    pub(crate) cleared: Option<usize>,
}

/// Fields that hold the key of an object in another collection, and their rule.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) child: Arc<Collection>,
    pub(crate) child_numbers: Arc<Numbers>,
    /// In the order of the parent's key.
    pub(crate) fields: Vec<usize>,
    pub(crate) parent: Name,
    pub(crate) parent_number: i64,
    pub(crate) rule: RelationRule,
}

impl Rules {
    pub(crate) async fn read(storage: &Lane, numbers: &AllNumbers) -> Result<Self> {
        let rows =
            storage.find(meta_query(&[RULES])).await.during("reading the rules of the merge")?;
        let chosen = Chosen::decode(meta_row(&rows, RULES).unwrap_or_default())?;
        Ok(Self::new(&chosen, storage.registry(), numbers))
    }

    fn new(chosen: &Chosen, registry: &Registry, numbers: &AllNumbers) -> Self {
        let mut rules = Self { update_wins: chosen.update_wins.clone(), ..Self::default() };
        let synced = registry.collections().iter().filter(|it| numbers.get(it.name()).is_some());
        for collection in synced {
            let name = Name::clone(collection.name());
            rules.synced.insert(Name::clone(&name), Arc::clone(collection));
            let mut indices = unique_indices(collection, UniqueRule::Park);
            for index in &mut indices {
                let fields = names(collection, &index.fields);
                let rule = chosen.unique.get(&(Name::clone(&name), fields));
                index.rule = rule.copied().unwrap_or_else(|| index.usual_rule(collection));
            }
            let pointers = links(collection, chosen, registry, numbers);
            let ruled = pointers.iter().filter(|link| link.rule != RelationRule::Keep);
            rules.links.extend(ruled.cloned());
            rules.pointers.extend(pointers);
            if !indices.is_empty() {
                rules.unique.insert(name, indices);
            }
        }
        rules
    }

    pub(crate) fn unique(&self, collection: &str) -> &[UniqueIndex] {
        self.unique.get(collection).map_or(&[], Vec::as_slice)
    }

    /// Whether any collection points to another.
    pub(crate) fn has_links(&self) -> bool {
        !self.links.is_empty()
    }

    /// What points to a collection.
    pub(crate) fn children<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = &'a Link> {
        self.links.iter().filter(move |link| &*link.parent == parent)
    }

    /// What a collection points to.
    pub(crate) fn parents<'a>(&'a self, child: &'a str) -> impl Iterator<Item = &'a Link> {
        self.links.iter().filter(move |link| &**link.child.name() == child)
    }

    /// What a collection points to, whether or not something becomes of it when that is deleted.
    pub(crate) fn pointers<'a>(&'a self, child: &'a str) -> impl Iterator<Item = &'a Link> {
        self.pointers.iter().filter(move |link| &**link.child.name() == child)
    }

    pub(crate) fn update_wins(&self, collection: &str) -> bool {
        self.update_wins.contains(collection)
    }

    /// Whether a rule is about a field.
    pub(crate) fn is_about(&self, collection: &str, field: &str) -> bool {
        // What is not known may be anything.
        let Some(schema) = self.synced.get(collection) else { return true };
        let Some(at) = schema.position(field) else { return true };
        self.unique(collection).iter().any(|index| index.fields.contains(&at))
            || self.parents(collection).any(|link| link.fields.contains(&at))
    }

    /// All collections that a rule may change when these are changed.
    pub(crate) fn reach(&self, collections: BTreeSet<Name>) -> BTreeSet<Name> {
        let mut reached = collections;
        loop {
            let before = reached.len();
            for link in &self.links {
                if reached.contains(&link.parent) {
                    reached.insert(Name::clone(link.child.name()));
                }
            }
            if reached.len() == before {
                return reached;
            }
        }
    }
}

impl UniqueIndex {
    /// What loses nothing and still brings all devices to the same: a text is renamed; else what may be null is cleared. With
    /// neither, somebody has to decide.
    fn usual_rule(&self, collection: &Collection) -> UniqueRule {
        let is_plain = |at: &usize| collection.fields().get(*at).is_some_and(is_plain_text);
        if self.renamed.as_ref().is_some_and(is_plain) {
            UniqueRule::Rename
        } else if self.cleared.is_some() {
            UniqueRule::Clear
        } else {
            UniqueRule::Park
        }
    }
}

/// Whether nothing but a person reads the text: the application's own types may have a form.
fn is_plain_text(field: &Field) -> bool {
    matches!(field.field_type, FieldType::Text | FieldType::String) && field.custom.is_none()
}

/// The unique indices whose values are those of the fields.
fn unique_indices(collection: &Collection, rule: UniqueRule) -> Vec<UniqueIndex> {
    let indices = collection.indices().iter().filter(|index| index.unique && !index.multi_entry);
    let unique = indices.map(|index| {
        let last = |wanted: &dyn Fn(&Field) -> bool| {
            let free = |at: &&usize| {
                let field = collection.fields().get(**at);
                !collection.is_key(**at) && field.is_some_and(wanted)
            };
            index.fields.iter().rev().find(free).copied()
        };
        let points = |field: &Field| {
            collection.relations().iter().any(|relation| relation.alias == field.name)
        };
        let is_text = |field: &Field| {
            matches!(field.field_type, FieldType::Text | FieldType::String | FieldType::Dynamic(_))
                && !points(field)
        };
        let plain = |field: &Field| is_plain_text(field) && !points(field);
        UniqueIndex {
            fields: index.fields.clone(),
            label: collection.index_label(index),
            rule,
            renamed: last(&plain).or_else(|| last(&is_text)),
            cleared: last(&|field| field.nullable),
        }
    });
    unique.collect()
}

fn links(
    child: &Arc<Collection>,
    chosen: &Chosen,
    registry: &Registry,
    numbers: &AllNumbers,
) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    let mut add = |parent: &Collection, fields: &[Name], declared: Option<OnDelete>| {
        let key = (Name::clone(child.name()), fields.to_vec());
        let positions: Option<Vec<usize>> =
            fields.iter().map(|field| child.position(field)).collect();
        let (Some(positions), Some(child_numbers), Some(parent_numbers)) =
            (positions, numbers.get(child.name()), numbers.get(parent.name()))
        else {
            return;
        };
        let usual = || declared.map_or(RelationRule::Keep, |it| usual_rule(child, &positions, it));
        let chosen = chosen.relations.get(&key).copied();
        let rule = chosen.unwrap_or_else(usual);
        let is_kept = |rule| rule == RelationRule::Keep;
        let known = links.iter().any(|link| {
            let is_same = link.parent == *parent.name() && link.fields == positions;
            is_same && is_kept(link.rule) == is_kept(rule)
        });
        if chosen.is_some_and(is_kept) || known {
            return;
        }
        links.push(Link {
            child: Arc::clone(child),
            child_numbers: Arc::clone(child_numbers),
            fields: positions,
            parent: Name::clone(parent.name()),
            parent_number: parent_numbers.collection,
            rule,
        });
    };
    for parent in registry.collections() {
        let referrers = parent.referrers().iter();
        // Only a key has a tombstone by which it is known that it was there.
        for it in
            referrers.filter(|it| it.child == *child.name() && it.target == parent.primary_key())
        {
            add(parent, &it.fields, Some(it.on_delete));
        }
    }
    for relation in child.relations() {
        if let Some(parent) = registry.find(&relation.parent) {
            add(parent, std::slice::from_ref(&relation.alias), relation.on_delete);
        }
    }
    links
}

/// The rule that fits what the schema says of a delete here.
fn usual_rule(child: &Collection, fields: &[usize], declared: OnDelete) -> RelationRule {
    let optional = fields.iter().all(|at| may_be_null(child, *at));
    match declared {
        OnDelete::Cascade => RelationRule::DeleteChild,
        OnDelete::SetNull | OnDelete::Restrict if optional => RelationRule::SetNull,
        OnDelete::SetNull => RelationRule::Keep,
        // The parent is gone, and nobody may point to what is not there.
        OnDelete::Restrict => RelationRule::DeleteChild,
    }
}

fn may_be_null(collection: &Collection, at: usize) -> bool {
    !collection.is_key(at) && collection.fields().get(at).is_some_and(|field| field.nullable)
}

/// The collections that these fields point to.
fn parents(collection: &Collection, fields: &[Name], registry: &Registry) -> Vec<Name> {
    let relations = collection.relations().iter().filter(|it| [Name::clone(&it.alias)] == *fields);
    let all = registry.collections().iter();
    let keys = all.filter(|parent| {
        let mut referrers = parent.referrers().iter();
        referrers.any(|it| {
            it.child == *collection.name()
                && it.fields == *fields
                && it.target == parent.primary_key()
        })
    });
    let relations = relations.map(|relation| Name::clone(&relation.parent));
    relations.chain(keys.map(|parent| Name::clone(parent.name()))).collect()
}

fn names(collection: &Collection, positions: &[usize]) -> Vec<Name> {
    let fields = positions.iter().filter_map(|at| collection.fields().get(*at));
    fields.map(|field| Name::clone(&field.name)).collect()
}

fn refuse(collection: &Name, fields: &[Name], why: &str) -> Error {
    let fields: Vec<&str> = fields.iter().map(|field| &**field).collect();
    Error::invalid(
        collection,
        format!("a rule of the merge is for `{}`, which {why}", fields.join(", ")),
    )
}
