//! The forms of what the methods of a [`SyncHandle`](crate::SyncHandle) are given and give.

use super::code::{Bytes, Wire, begin, fields, pass_over, variants, wrong};
use crate::apply::{Applied, Cause, Resolution, Ruling};
use crate::blobs::BlobRef;
use crate::compact::Compacted;
use crate::digest::{CollectionDigest, Digest};
use crate::engine::status::{ExchangeProgress, Phase, SyncEvent, SyncStatus};
use crate::error::Result;
use crate::initial::{Compared, InitialSyncReport};
use crate::journal::{Conflict, ConflictId, ConflictQuery, Content, NotedConflict, Version};
use crate::pack::{Packer, Unpacker};
use crate::parked::{Parked, WaitsFor};
use crate::rejected::Rejected;
use crate::report::SyncReport;
use crate::scope::Backfill;
use crate::shared_log::{Cursor, MissingWrite, Snapshot, SnapshotId};
use crate::writes::{WriteId, WriteState};

fields!(SyncStatus {
    phase,
    in_step,
    rounds,
    failures,
    unsent,
    parked,
    last_success,
    last_error,
    last_error_at,
    next_attempt,
    progress,
    rejected,
    missing,
    missing_since
});
fields!(MissingWrite { write, reason });
fields!(ExchangeProgress { sent, to_send, received });
variants!(Phase {
    0 Waiting {}
    1 Sending {}
    2 Receiving {}
    3 Offline {}
    4 Paused {}
    5 NeedsLogin {}
    6 BackingOff { until: until }
    7 StandingBy {}
    8 Stopped {}
    9 Disconnected {}
});
variants!(SyncEvent {
    0 Exchanged { 0: report }
    1 Compacted { 0: compacted }
    2 Failed { error: error, attempts: attempts }
});

fields!(SyncReport {
    sent_transactions,
    sent_entries,
    received,
    incarnation,
    restored,
    rejected,
    backfill,
    missing
});
fields!(Applied { transactions, entries, parked, conflicts, resolutions, restated });
variants!(Backfill {
    0 Complete {}
    1 Pending {}
    2 NoBeginning {}
});
fields!(InitialSyncReport { objects, tombstones, kept, parked, compared });
fields!(Compared { round_trips, bytes });
fields!(Resolution { collection, key, ruling, cause });
variants!(Ruling {
    0 Set { field: field, from: from, to: to }
    1 Deleted { object: object }
    2 Revived {}
});
variants!(Cause {
    0 Unique { index: index, kept: kept }
    1 Relation { parent: parent, key: key }
    2 Updated {}
});

fields!(Conflict { collection, key, field, device, incoming_won, won, lost });
fields!(Version { stamp, content });
variants!(Content {
    0 Value { 0: value }
    1 Object { 0: fields }
    2 Deleted {}
});
fields!(ConflictId { 0 });
fields!(NotedConflict { id, at, conflict, kept });
fields!(ConflictQuery { collection, key, before, limit });

fields!(WriteId { device, sequence });
variants!(WriteState {
    0 Unknown {}
    1 Waiting {}
    2 Sent {}
    3 Parked {}
    4 Applied {}
    5 Rejected {}
});

fields!(Digest { collections });
fields!(CollectionDigest { collection, objects, sum });
fields!(Compacted { snapshot, trimmed, dismissed });
fields!(Snapshot { id, pages, place });
fields!(SnapshotId { maker, number });

impl Wire for Cursor {
    fn write(&self, packer: &mut Packer) {
        packer.bin(&self.0);
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        Bytes::read(unpacker).map(|bytes| Self(bytes.0))
    }
}

/// As in the initial sync.
impl Wire for BlobRef {
    fn write(&self, packer: &mut Packer) {
        self.to_string().write(packer);
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        String::read(unpacker)?.parse()
    }
}

impl Wire for WaitsFor {
    fn write(&self, packer: &mut Packer) {
        packer.uint(u64::from(self.code()));
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        unpacker.uint().map(Self::from_code)
    }
}

impl Wire for Parked {
    fn write(&self, packer: &mut Packer) {
        packer.array(5);
        packer.device(self.device);
        packer.uint(self.sequence);
        self.waits_for.write(packer);
        packer.str(&self.reason);
        packer.bin(&self.payload);
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        let more = begin(unpacker, 5)?;
        let parked = Self {
            device: Wire::read(unpacker)?,
            sequence: Wire::read(unpacker)?,
            waits_for: Wire::read(unpacker)?,
            reason: Wire::read(unpacker)?,
            payload: unpacker.bin()?.to_vec(),
        };
        pass_over(unpacker, more)?;
        Ok(parked)
    }
}

impl Wire for Rejected {
    fn write(&self, packer: &mut Packer) {
        packer.array(4);
        self.write.write(packer);
        packer.str(&self.reason);
        self.is_reverted.write(packer);
        packer.bin(&self.payload);
    }

    fn read(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        let more = begin(unpacker, 4)?;
        let rejected = Self {
            write: Wire::read(unpacker)?,
            reason: Wire::read(unpacker)?,
            is_reverted: Wire::read(unpacker)?,
            payload: unpacker.bin()?.to_vec(),
        };
        pass_over(unpacker, more)?;
        Ok(rejected)
    }
}
