//! The comparison over a channel.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use storex_core::{Collection, FieldType, Name, Value};

use super::canonical::Field;
use super::comparison::Comparison;
use super::fingerprint::truncated;
use super::message::{CollectionOpening, Message, Opening};
use super::reading::{Common, Reading};
use super::{DURING, Share};
use crate::apply::Replica;
use crate::error::Result;
use crate::initial::frame::Frame;
use crate::initial::line::Line;
use crate::meta::Numbers;
use crate::pack::Packer;
use crate::scope::{Holding, Lacks};

/// What it cost to find what differs between two devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compared {
    /// How often this side asked, and waited for the answer.
    pub round_trips: u64,
    /// Bytes of the frames, in both directions.
    pub bytes: u64,
}

/// The sender's side: finds what the receiver does not have as it is here.
///
/// It has read what it tells of itself (devices and place) before: what is written while both compare is found, or it comes through the
/// shared log.
pub(in crate::initial) async fn ask(
    replica: &Replica,
    held: &Holding,
    line: &mut Line<'_>,
) -> Result<(Share, Compared)> {
    let before = line.bytes;
    let mut salt = [0; 16];
    replica.storage.runtime().fill_random(&mut salt);
    let own = opening(replica, held, salt);
    line.send(&Frame::Opening(own.clone())).await?;
    let theirs = receive_opening(line).await?;
    let collections = common(replica, &own, &theirs);
    let names: Vec<Name> = collections.iter().map(|it| Name::clone(it.collection.name())).collect();
    let reading = Reading { replica, salt: own.salt, collections };
    let mut comparison = line.alive(Comparison::new(reading, true)).await?;
    // The openings.
    let round_trips = 1 + converse(&mut comparison, line, None).await?;
    let mut parts = comparison.finish().into_iter();
    let mut share = Share::default();
    for name in names {
        let both = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        share.0.insert(name, both);
    }
    Ok((share, Compared { round_trips, bytes: line.bytes - before }))
}

/// The receiver's side.
pub(in crate::initial) async fn answer(replica: &Replica, line: &mut Line<'_>) -> Result<Compared> {
    let before = line.bytes;
    let held = Holding::read(replica).await?;
    let theirs = receive_opening(line).await?;
    let own = opening(replica, &held, theirs.salt);
    line.send(&Frame::Opening(own.clone())).await?;
    let collections = common(replica, &own, &theirs);
    let reading = Reading { replica, salt: own.salt, collections };
    let mut comparison = line.alive(Comparison::new(reading, false)).await?;
    let begun = line.alive(comparison.begin()).await?;
    let round_trips = converse(&mut comparison, line, Some(begun)).await?;
    Ok(Compared { round_trips, bytes: line.bytes - before })
}

async fn receive_opening(line: &mut Line<'_>) -> Result<Opening> {
    match line.receive(DURING).await? {
        Frame::Opening(opening) => Ok(opening),
        other => Err(other.unexpected(DURING)),
    }
}

/// Each side speaks in turn; tells how often this side was answered.
async fn converse(
    comparison: &mut Comparison<Reading<'_>>,
    line: &mut Line<'_>,
    mut next: Option<Message>,
) -> Result<u64> {
    let mut answered = 0;
    loop {
        let asked = next.is_some();
        if let Some(message) = next {
            let ends = comparison.ends_with(&message);
            line.send(&Frame::Ranges(message)).await?;
            if ends {
                return Ok(answered);
            }
        }
        let arrived = match line.receive(DURING).await? {
            Frame::Ranges(message) => message,
            other => return Err(other.unexpected(DURING)),
        };
        answered += u64::from(asked);
        next = line.alive(comparison.answer(arrived)).await?;
        if next.is_none() {
            return Ok(answered);
        }
    }
}

/// What this side can compare.
fn opening(replica: &Replica, held: &Holding, salt: [u8; 16]) -> Opening {
    let synced = replica.storage.registry().collections().iter();
    let synced = synced.filter_map(|it| Some((it, replica.numbers.get(it.name())?)));
    // Ranges are of the order of keys: where the storage has another one, rows would be missing in them.
    let other_order = replica.storage.storage().capabilities().other_text_order;
    let synced = synced.filter(|(it, _)| !other_order || is_of_numbers(it));
    let mut collections: Vec<CollectionOpening> =
        synced.map(|(it, numbers)| compared(it, numbers, &held.lacks)).collect();
    collections.sort_by(|a, b| a.name.cmp(&b.name));
    Opening { salt, collections }
}

fn compared(collection: &Collection, numbers: &Numbers, lacks: &Lacks) -> CollectionOpening {
    let name = |at: &usize| collection.fields().get(*at).map(|it| Name::clone(&it.name));
    let fields = numbers.synced().filter(|at| !collection.is_key(*at));
    CollectionOpening {
        name: Name::clone(collection.name()),
        key: collection.primary_key().iter().filter_map(name).collect(),
        fields: fields.filter_map(|at| name(&at)).collect(),
        held: held(numbers, lacks),
    }
}

/// Whether a key has no texts in it.
fn is_of_numbers(collection: &Collection) -> bool {
    let mut key = collection.primary_key().iter().filter_map(|at| collection.fields().get(*at));
    key.all(|field| matches!(field.field_type, FieldType::Int | FieldType::Timestamp))
}

/// What of a collection whose scope is not sure, which is as no other.
const UNSURE: [u8; 1] = [0];

fn held(numbers: &Numbers, lacks: &Lacks) -> Vec<u8> {
    if !lacks.some_of(numbers) {
        return Vec::new();
    }
    match lacks.subscriptions.of(numbers.collection) {
        Some(scopes) if !lacks.is_unsure() => {
            let mut packer = Packer::default();
            scopes.iter().flat_map(|it| it.values()).for_each(|it: &Value| packer.value(it));
            truncated(&Sha256::digest(&packer.out)).to_vec()
        }
        _ => UNSURE.to_vec(),
    }
}

/// The collections that both sides have with the same key, and of which they hold the same scopes, by name.
fn common(replica: &Replica, own: &Opening, theirs: &Opening) -> Vec<Common> {
    let mut common = Vec::new();
    for ours in &own.collections {
        let other = theirs.collections.iter().find(|it| {
            it.name == ours.name && it.key == ours.key && it.held == ours.held && it.held != UNSURE
        });
        let collection = replica.storage.registry().find(&ours.name);
        let (Some(other), Some(collection), Some(numbers)) =
            (other, collection, replica.numbers.get(&ours.name))
        else {
            continue;
        };
        let mut shared: Vec<&Name> =
            ours.fields.iter().filter(|it| other.fields.contains(it)).collect();
        shared.sort();
        let field = |name: &&Name| {
            let at = collection.position(name)?;
            Some(Field { at, number: *numbers.fields.get(at)? })
        };
        common.push(Common {
            collection: Arc::clone(collection),
            numbers: Arc::clone(numbers),
            fields: shared.iter().filter_map(field).collect(),
        });
    }
    common
}
