//! [`Unclaimed`]: objects as a transaction of nobody's, which can be parked until they can be taken.

use storex_core::{Collection, Name, Value};

use crate::clock::Clock;
use crate::error::Result;
use crate::meta::{Devices, Numbers};
use crate::shared_log::SealedTransaction;
use crate::stamp::{Device, Hlc};
use crate::state::StatePage;
use crate::transaction::{Header, Shape};

/// Objects of one collection with their packed clocks.
#[derive(Debug)]
pub(super) struct Unclaimed {
    /// The values of each, those of the key first.
    pub(super) living: Vec<(Vec<Value>, Vec<u8>)>,
    /// The code of each key.
    pub(super) deleted: Vec<(Vec<u8>, Vec<u8>)>,
    /// The table of devices, to which the clocks refer by number.
    pub(super) devices: Devices,
}

impl Unclaimed {
    /// The transaction; `places` says which fields the values are of.
    pub(super) fn sealed(
        self,
        collection: &Collection,
        numbers: &Numbers,
        places: &[usize],
    ) -> Result<SealedTransaction> {
        let Self { living, deleted, devices } = self;
        let name = |at: &usize| collection.fields().get(*at).map(|field| Name::clone(&field.name));
        let shape = Shape {
            collection: Name::clone(collection.name()),
            key_len: collection.primary_key().len(),
            fields: places.iter().filter_map(name).collect(),
        };
        let numbers = places.iter().filter_map(|at| numbers.fields.get(*at).copied()).collect();
        let clocks = living.iter().map(|it| &it.1).chain(deleted.iter().map(|it| &it.1));
        let mut hlc = Hlc::ZERO;
        for clock in clocks.filter(|clock| !clock.is_empty()) {
            hlc = hlc.max(Clock::decode(clock, &devices)?.newest().hlc);
        }
        let schema = collection.version().0;
        let header = Header { device: Device::NOBODY, hlc, schema, ..Header::default() };
        StatePage { header, shape, numbers, devices, living, deleted }.sealed_as_nobodys()
    }
}
