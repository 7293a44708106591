//! [`Chosen`]: the rules that the application has chosen; the row `rules` of `_storex_meta`.

use std::collections::{BTreeMap, BTreeSet};

use storex_core::{Name, Registry};

use super::{RelationRule, UniqueRule, may_be_null, names, parents, refuse, unique_indices};
use crate::bytes::{Reader, write_varint};
use crate::error::{Result, SyncError};
use crate::meta::{read_name, write_name};

/// What the application has chosen, by names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(super) unique: BTreeMap<(Name, Vec<Name>), UniqueRule>,
    pub(super) relations: BTreeMap<(Name, Vec<Name>), RelationRule>,
    pub(super) update_wins: BTreeSet<Name>,
}

impl Chosen {
    pub(crate) fn unique(&mut self, collection: Name, fields: Vec<Name>, rule: UniqueRule) {
        self.unique.insert((collection, fields), rule);
    }

    pub(crate) fn relation(&mut self, collection: Name, fields: Vec<Name>, rule: RelationRule) {
        self.relations.insert((collection, fields), rule);
    }

    pub(crate) fn update_wins(&mut self, collections: impl IntoIterator<Item = Name>) {
        self.update_wins.extend(collections);
    }

    /// Refuses what the schema does not have, and what a rule could not do.
    pub(crate) fn check(&self, registry: &Registry) -> storex_core::Result<()> {
        for ((name, fields), rule) in &self.unique {
            let collection = registry.collection(name)?;
            let indices = unique_indices(collection, *rule);
            let Some(index) =
                indices.into_iter().find(|it| names(collection, &it.fields) == *fields)
            else {
                return Err(refuse(name, fields, "is no unique index of it"));
            };
            let why = match rule {
                UniqueRule::Rename if index.renamed.is_none() => "has no text that may be renamed",
                UniqueRule::Clear if index.cleared.is_none() => "has no field that may be null",
                _ => continue,
            };
            return Err(refuse(name, fields, why));
        }
        for ((name, fields), rule) in &self.relations {
            let collection = registry.collection(name)?;
            if parents(collection, fields, registry).is_empty() {
                return Err(refuse(name, fields, "is no relation or foreign key of it"));
            }
            let positions = fields.iter().filter_map(|field| collection.position(field));
            if *rule == RelationRule::SetNull
                && !positions.clone().all(|at| may_be_null(collection, at))
            {
                return Err(refuse(name, fields, "is required, so it cannot become null"));
            }
        }
        self.update_wins.iter().try_for_each(|name| registry.collection(name).map(drop))
    }

    /// Refuses rules of relations between collections that do not belong together.
    pub(crate) fn between(
        &self,
        registry: &Registry,
        together: impl Fn(&Name, &Name) -> bool,
    ) -> storex_core::Result<()> {
        for (name, fields) in self.relations.keys() {
            let parents = parents(registry.collection(name)?, fields, registry);
            if !parents.iter().all(|parent| together(name, parent)) {
                return Err(refuse(name, fields, "points to a collection in another lane"));
            }
        }
        Ok(())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let write = |out: &mut Vec<u8>, kind: u8, name: &Name, fields: &[Name], rule: u8| {
            out.push(kind);
            write_name(out, name);
            write_varint(out, fields.len() as u64);
            fields.iter().for_each(|field| write_name(out, field));
            out.push(rule);
        };
        for ((name, fields), rule) in &self.unique {
            let code = match rule {
                UniqueRule::Rename => 0,
                UniqueRule::Clear => 1,
                UniqueRule::Delete => 2,
                UniqueRule::Park => 3,
            };
            write(&mut out, UNIQUE, name, fields, code);
        }
        for ((name, fields), rule) in &self.relations {
            let code = match rule {
                RelationRule::Keep => 0,
                RelationRule::SetNull => 1,
                RelationRule::DeleteChild => 2,
            };
            write(&mut out, RELATION, name, fields, code);
        }
        self.update_wins.iter().for_each(|name| write(&mut out, UPDATE_WINS, name, &[], 0));
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, WHAT);
        let mut chosen = Self::default();
        while !reader.is_empty() {
            let kind = reader.byte()?;
            let name = read_name(&mut reader, WHAT)?;
            let count = reader.varint_usize()?;
            let mut fields = Vec::new();
            for _ in 0..count {
                fields.push(read_name(&mut reader, WHAT)?);
            }
            match (kind, reader.byte()?) {
                (UNIQUE, 0) => chosen.unique(name, fields, UniqueRule::Rename),
                (UNIQUE, 1) => chosen.unique(name, fields, UniqueRule::Clear),
                (UNIQUE, 2) => chosen.unique(name, fields, UniqueRule::Delete),
                (UNIQUE, 3) => chosen.unique(name, fields, UniqueRule::Park),
                (RELATION, 0) => chosen.relation(name, fields, RelationRule::Keep),
                (RELATION, 1) => chosen.relation(name, fields, RelationRule::SetNull),
                (RELATION, 2) => chosen.relation(name, fields, RelationRule::DeleteChild),
                (UPDATE_WINS, 0) => chosen.update_wins([name]),
                (kind, rule) => {
                    let reason =
                        format!("rule {rule} of kind {kind} is not known; update the program");
                    return Err(SyncError::corrupt(WHAT, reason));
                }
            }
        }
        Ok(chosen)
    }
}

const WHAT: &str = "the rules of the merge";
const UNIQUE: u8 = 0;
const RELATION: u8 = 1;
const UPDATE_WINS: u8 = 2;
