//! [`Offer`]: what the sender has, and how the receiver takes it.

use std::sync::Arc;

use storex_core::{Collection, Name, Query};

use super::InitialSync;
use super::event::Lack;
use super::frame::{Accept, CollectionHello, Hello, Take};
use crate::apply::Replica;
use crate::error::{During, Result, SyncError};
use crate::meta::Numbers;
use crate::place::read_place;
use crate::scope::Holding;

/// What the sender has.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) collections: Vec<Offered>,
    /// What this device held at the beginning.
    pub(super) held: Holding,
}

/// A collection that is sent.
#[derive(Debug, Clone)]
pub(super) struct Offered {
    /// Its place in the hello.
    pub(super) place: usize,
    pub(super) collection: Arc<Collection>,
    pub(super) numbers: Arc<Numbers>,
    /// The positions of the fields that are sent.
    pub(super) fields: Vec<usize>,
    pub(super) takes: Takes,
}

/// In which form a collection is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Rows,
    Parked,
    Nothing,
}

impl Offer {
    /// What is told before the first page. `source` is what is sent.
    pub(super) async fn make(sync: &InitialSync, source: &Replica) -> Result<(Hello, Self)> {
        let storage = &source.storage;
        // Place and devices come first: what is written from here on follows in the log, or is in later pages where the
        // database has no snapshots.
        let place = read_place(storage).await?;
        let (head, mut devices) = source.head().await?;
        let me = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
        devices.advance(me, head.next - 1, head.hlc);
        // A receiver may tell others of what it got from us; it must not be lost here then.
        storage.flush().await.during("making the database durable")?;
        let held = Holding::read(source).await?;
        let (mut collections, mut local) = (Vec::new(), Vec::new());
        let mut hellos = Vec::new();
        for (collection, numbers) in sync.collections() {
            // Of what is held in part less is known than others exchange, as of what is local.
            let part = numbers.scope.filter(|_| held.lacks.some_of(&numbers));
            let kept = numbers.local.iter().copied().chain(part);
            let kept = kept.filter_map(|at| collection.fields().get(at));
            local.extend(kept.map(|it| (Arc::clone(collection.name()), Arc::clone(&it.name))));
            let query = Query::new(Arc::clone(collection.name()));
            let count = storage.count(query).await.during("counting objects")?;
            let fields: Vec<usize> = numbers.synced().collect();
            let named = fields.iter().filter_map(|at| collection.fields().get(*at));
            hellos.push(CollectionHello {
                name: Arc::clone(collection.name()),
                fields: named.map(|field| Arc::clone(&field.name)).collect(),
                numbers: fields.iter().filter_map(|at| numbers.fields.get(*at).copied()).collect(),
                count,
            });
            let place = collections.len();
            collections.push(Offered { place, collection, numbers, fields, takes: Takes::Rows });
        }
        let schema = storage.registry().fingerprint();
        Ok((
            Hello { schema, devices, place, collections: hellos, local },
            Self { collections, held },
        ))
    }

    /// The collections of which something is sent.
    pub(super) fn taken(&self) -> impl Iterator<Item = &Offered> {
        self.collections.iter().filter(|offered| offered.takes != Takes::Nothing)
    }

    /// Notes how the receiver takes it; tells what it lacks.
    pub(super) fn accepted(&mut self, accept: &Accept) -> Result<Vec<Lack>> {
        let mut lacks = Vec::new();
        for (place, take) in &accept.otherwise {
            let offered = self.collections.get_mut(*place).ok_or_else(|| SyncError::Protocol {
                during: "reading how the receiver takes what is here",
                reason: format!("there is no collection {place} in the hello"),
            })?;
            lacks.extend(offered.accepted(take));
        }
        Ok(lacks)
    }
}

impl Offered {
    fn accepted(&mut self, take: &Take) -> Vec<Lack> {
        let collection = self.collection.name();
        let lack = |field| Lack { collection: Name::clone(collection), field };
        match take {
            Take::Nothing => self.takes = Takes::Nothing,
            Take::Parked => self.takes = Takes::Parked,
            Take::Without(fields) => {
                let left_out: Vec<usize> =
                    fields.iter().filter_map(|n| self.fields.get(*n).copied()).collect();
                let left_out = left_out.into_iter().filter(|at| !self.collection.is_key(*at));
                let left_out: Vec<usize> = left_out.collect();
                self.fields.retain(|at| !left_out.contains(at));
                let named = left_out.iter().filter_map(|at| self.collection.fields().get(*at));
                return named.map(|field| lack(Some(Name::clone(&field.name)))).collect();
            }
        }
        vec![lack(None)]
    }

    /// The positions of the fields that are sent, those of the key first.
    pub(super) fn key_first(&self) -> Vec<usize> {
        let key = self.collection.primary_key().iter().copied();
        let others = self.fields.iter().copied().filter(|at| !self.collection.is_key(*at));
        key.chain(others).collect()
    }
}
