//! Whether a page breaks a relation: looked at before it is written as it is.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use storex_core::{Error, Key, Name, Record, Step, Trace};

use super::page::Page;
use super::row::{Row, Work};
use super::settle::{parent_of, with_values};
use crate::clock_rows::{clock_key, clocks_at, read_clock_rows};
use crate::error::{Result, SyncError};
use crate::key_code;
use crate::meta::Devices;
use crate::rules::Link;

/// What has to be known of the relations that a page may break.
pub(super) struct Look {
    /// The clocks of these objects, which the page has others point to.
    parents: BTreeSet<(i64, Vec<u8>)>,
    /// The objects that point by a link to these, which the page deletes.
    children: Vec<(Link, Vec<Key>)>,
    /// Per link: the objects of the page that point there no longer.
    leaving: Vec<HashSet<Vec<u8>>>,
    devices: Devices,
}

impl Page {
    /// What is to be looked at before the page is written as it is; `None`: it can break no relation.
    pub(super) fn look_at_links(&self, works: &[Work], devices: &Devices) -> Result<Option<Look>> {
        if !self.rules.has_links() {
            return Ok(None);
        }
        let places: HashMap<(i64, &[u8]), usize> = self
            .objects
            .iter()
            .enumerate()
            .map(|(at, object)| ((object.number, object.code.as_slice()), at))
            .collect();
        let mut parents = BTreeSet::new();
        let mut children: Vec<(Link, Vec<Key>)> = Vec::new();
        for (object, work) in self.objects.iter().zip(works).filter(|(_, work)| work.clock_changed)
        {
            let name = object.collection.name();
            for link in self.rules.parents(name) {
                let Some(parent) = points_to(link, &work.row).map_err(refusal)? else { continue };
                match places.get(&(parent.0, parent.1.as_slice())) {
                    Some(at) if is_dead(&works[*at]) => return Err(refusal(broken(link))),
                    Some(_) => {}
                    None => {
                        parents.insert(parent);
                    }
                }
            }
            if is_dead(work) {
                for link in self.rules.children(name) {
                    let key = object.key.clone();
                    let known = children.iter_mut().find(|(it, _)| is_same(it, link));
                    match known {
                        Some((_, keys)) => keys.push(key),
                        None => children.push((link.clone(), vec![key])),
                    }
                }
            }
        }
        if parents.is_empty() && children.is_empty() {
            return Ok(None);
        }
        let leaving = self.leaving(works, &children);
        Ok(Some(Look { parents, children, leaving, devices: devices.clone() }))
    }

    /// The steps, behind a look at the relations that the page may break. They are given up with [`Error::Relation`] when it
    /// does; it is to be settled then.
    pub(super) fn unless_links_break(self: Arc<Self>, look: Look, steps: Vec<Step>) -> Vec<Step> {
        let Look { parents, children, leaving, devices } = look;
        let mut questions = vec![clocks_of(parents)];
        let mut asked = Vec::new();
        for (n, (link, keys)) in children.iter().enumerate() {
            questions.extend(with_values(&link.child, &link.fields, keys));
            asked.resize(questions.len() - 1, n);
        }
        questions.push(Step::then(move |trace: &Trace| {
            let clocks = read_clock_rows(trace.found(asked.len()), &devices);
            let clocks = self.failure.keep(clocks)?;
            if clocks.values().any(|clock| !clock.is_alive()) {
                return Err(self.a_link_breaks());
            }
            for (found, n) in (0..asked.len()).rev().zip(&asked) {
                let (link, leaving) = (&children[*n].0, &leaving[*n]);
                if trace.found(found).iter().any(|it| !leaving.contains(&code_of(link, it))) {
                    return Err(broken(link));
                }
            }
            Ok(steps.clone())
        }));
        questions
    }

    /// Per link: the objects of the page that point there no longer.
    fn leaving(&self, works: &[Work], links: &[(Link, Vec<Key>)]) -> Vec<HashSet<Vec<u8>>> {
        let leaves = |link: &Link, row: &Row| match row {
            Row::Delete | Row::Put(_) => true,
            Row::Set(values) => link.fields.iter().any(|at| values.contains_key(at)),
            Row::Keep => false,
        };
        let leaving = links.iter().map(|(link, _)| {
            let objects = self.objects.iter().zip(works);
            let its = objects.filter(|(object, _)| object.number == link.child_numbers.collection);
            its.filter(|(_, work)| leaves(link, &work.row)).map(|(it, _)| it.code.clone()).collect()
        });
        leaving.collect()
    }

    fn a_link_breaks(&self) -> Error {
        let link =
            self.objects.iter().find_map(|it| self.rules.parents(it.collection.name()).next());
        link.map_or(Error::Aborted { reason: BROKEN.to_owned() }, broken)
    }
}

const BROKEN: &str = "it points to an object that was deleted";

fn is_same(a: &Link, b: &Link) -> bool {
    a.child.name() == b.child.name() && a.fields == b.fields
}

fn is_dead(work: &Work) -> bool {
    work.clock.as_ref().is_some_and(|clock| !clock.is_alive())
}

/// What a row that is written points to. A key of several fields that is written in part is not known without a look at the row.
fn points_to(link: &Link, row: &Row) -> Result<Option<(i64, Vec<u8>)>, Error> {
    match row {
        Row::Keep | Row::Delete => Ok(None),
        Row::Put(record) => Ok(parent_of(link, record)),
        Row::Set(values) => {
            let set = link.fields.iter().filter(|at| values.contains_key(at)).count();
            if set == 0 {
                return Ok(None);
            }
            if set < link.fields.len() {
                return Err(broken(link));
            }
            let mut record = Record::nulls(link.child.fields().len());
            values.iter().for_each(|(at, value)| record.set(*at, value.clone()));
            Ok(parent_of(link, &record))
        }
    }
}

fn code_of(link: &Link, child: &Record) -> Vec<u8> {
    key_code::of(child, link.child.primary_key())
}

fn clocks_of(objects: BTreeSet<(i64, Vec<u8>)>) -> Step {
    let keys = objects.into_iter().map(|(number, code)| clock_key(number, code)).collect();
    Step::Find(clocks_at(keys))
}

fn broken(link: &Link) -> Error {
    let field = link.fields.first().and_then(|at| link.child.fields().get(*at));
    Error::Relation {
        collection: Name::clone(link.child.name()),
        field: field.map(|field| Name::clone(&field.name)).unwrap_or_default(),
        reason: BROKEN.to_owned(),
    }
}

fn refusal(source: Error) -> SyncError {
    SyncError::Storage { during: "applying transactions of other devices", source }
}
