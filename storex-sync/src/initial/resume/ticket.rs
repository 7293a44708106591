//! What a sender knows a token by: a checksum of all that has to be the same for the part that is there to be complete.

use storex_core::{Record, Runtime};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::super::InitialSync;
use super::super::frame::Hello;
use crate::apply::Replica;
use crate::error::{During, Result, SyncError};
use crate::meta::{fresh_mark, meta_query, meta_row};
use crate::pack::Packer;
use crate::scope::{BACKFILL, DOUBTS, SCOPES, SWEPT};

/// The order in which everything is sent. A program that changes it counts on.
const ORDER: u64 = 1;

/// The row of `_storex_meta` that is drawn anew when objects have come that are older than sync: no clock says
/// when they came.
const UNDATED: &str = "undated";

/// A row for that.
pub(crate) fn undated(runtime: &dyn Runtime) -> (&'static str, Vec<u8>) {
    (UNDATED, fresh_mark(runtime))
}

const DURING: &str = "reading what an initial sync can go on from";

/// The ticket of a sender: who it is, its schema, what it sends and in which order, what it holds, and when it got something without a
/// clock. `source` is what is sent.
pub(super) async fn ticket(source: &Replica, hello: &Hello) -> Result<Vec<u8>> {
    let (head, devices) = source.head().await?;
    let me = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
    let mut packer = Packer::default();
    packer.uint(ORDER);
    packer.device(me);
    packer.uint(hello.schema);
    for collection in &hello.collections {
        packer.str(&collection.name);
        collection.fields.iter().for_each(|field| packer.str(field));
        collection.numbers.iter().for_each(|number| packer.uint(u64::from(*number)));
    }
    packer.array(hello.local.len());
    for (collection, field) in &hello.local {
        packer.str(collection);
        packer.str(field);
    }
    pack_rows(source, &[SCOPES, BACKFILL, DOUBTS, SWEPT, UNDATED], &mut packer).await?;
    Ok(xxh3_128(&packer.out).to_be_bytes().to_vec())
}

/// What a receiver has to be like to go on: its schema, what it keeps to itself, what it holds.
pub(super) async fn conditions(sync: &InitialSync) -> Result<u64> {
    let mut packer = Packer::default();
    packer.uint(sync.replica.storage.registry().fingerprint());
    for (collection, numbers) in sync.collections() {
        packer.str(collection.name());
        numbers.local.iter().for_each(|at| packer.uint(*at as u64));
    }
    pack_rows(&sync.replica, &[SCOPES, BACKFILL], &mut packer).await?;
    Ok(xxh3_64(&packer.out))
}

async fn pack_rows(replica: &Replica, names: &[&str], packer: &mut Packer) -> Result<()> {
    let rows: Vec<Record> = replica.storage.find(meta_query(names)).await.during(DURING)?;
    for name in names {
        packer.bin(meta_row(&rows, name).unwrap_or_default());
    }
    Ok(())
}
