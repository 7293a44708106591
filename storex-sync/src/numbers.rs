//! [`AllNumbers`]: what the collections and fields that are kept in step are called in clocks.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use storex_core::{Name, Query, Record, Registry};

use crate::catalogue::Catalogue;
use crate::error::{Result, SyncError};
use crate::local_fields::LocalFields;
use crate::meta::{
    CATALOGUE, LOCAL_FIELDS, LOCAL_ONLY, Numbers, decode_names, meta_query, meta_row,
};
use crate::scope::ScopeFields;

/// The numbers of all synced collections, read once when the storage is opened; those kept local are not among them.
#[derive(Debug, Default)]
pub(crate) struct AllNumbers(HashMap<Name, Arc<Numbers>>);

impl AllNumbers {
    pub(crate) fn new(
        registry: &Registry,
        catalogue: &Catalogue,
        local_only: &BTreeSet<Name>,
        local_fields: &LocalFields,
        scopes: &ScopeFields,
    ) -> Result<Self> {
        let synced = registry
            .collections()
            .iter()
            .filter(|it| !it.is_reserved() && !local_only.contains(it.name()));
        let numbers = synced.map(|it| {
            let (local, scope) = (local_fields.of(it), scopes.of(it));
            let numbers = Numbers { local, scope, ..catalogue.numbers(it)? };
            Ok((Name::clone(it.name()), Arc::new(numbers)))
        });
        Ok(Self(numbers.collect::<Result<_>>()?))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Numbers>> {
        self.0.values()
    }

    pub(crate) fn get(&self, collection: &str) -> Option<&Arc<Numbers>> {
        self.0.get(collection)
    }
}

/// Reads the numbers of all synced collections.
pub(crate) async fn read_numbers(
    backend_find: impl Future<Output = storex_core::Result<Vec<Record>>>,
    registry: &Registry,
    scopes: &ScopeFields,
) -> Result<AllNumbers> {
    let rows = backend_find
        .await
        .map_err(|source| SyncError::Storage { during: "reading the catalogue", source })?;
    let bytes = meta_row(&rows, CATALOGUE).ok_or(SyncError::NoSyncLog)?;
    let local_only = decode_names(meta_row(&rows, LOCAL_ONLY).unwrap_or_default())?;
    let local_fields = LocalFields::decode(meta_row(&rows, LOCAL_FIELDS).unwrap_or_default())?;
    AllNumbers::new(registry, &Catalogue::decode(bytes)?, &local_only, &local_fields, scopes)
}

pub(crate) fn catalogue_query() -> Query {
    meta_query(&[CATALOGUE, LOCAL_ONLY, LOCAL_FIELDS])
}
