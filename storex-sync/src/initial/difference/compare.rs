//! The comparison over a channel.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use storex_core::{Collection, Name, Value};

use super::canonical::Field;
use super::comparison::{Comparison, Role};
use super::fingerprint::truncated;
use super::message::{Compared, Message, Opening};
use super::reading::{Common, Reading};
use super::{DURING, Picked};
use crate::apply::Replica;
use crate::channel::Channel;
use crate::error::{Result, SyncError};
use crate::initial::frame::Frame;
use crate::meta::Numbers;
use crate::pack::Packer;
use crate::scope::{Holding, Lacks};

/// What differs, as far as this side is to send it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Difference {
    /// Per collection that was compared its objects and its tombstones; of one that is missing all is to be sent.
    pub(crate) collections: BTreeMap<Name, (Picked, Picked)>,
    /// How often this side asked and waited for the answer.
    pub(crate) round_trips: u64,
    /// Bytes of all frames of the comparison, in both directions.
    pub(crate) bytes: u64,
}

/// Bytes and waits of a comparison.
struct Talk<'a> {
    channel: &'a mut dyn Channel,
    round_trips: u64,
    bytes: u64,
    /// Whether something was sent since the other side was waited for.
    asked: bool,
}

impl Talk<'_> {
    async fn send(&mut self, frame: Frame) -> Result<()> {
        self.asked = true;
        let bytes = frame.encode();
        self.bytes += bytes.len() as u64;
        self.channel.send(bytes).await
    }

    async fn receive(&mut self) -> Result<Frame> {
        let bytes = self.channel.recv().await?.ok_or(SyncError::Closed { during: DURING })?;
        self.bytes += bytes.len() as u64;
        self.round_trips += u64::from(std::mem::take(&mut self.asked));
        match Frame::decode(&bytes)? {
            Frame::Failed { reason } => Err(SyncError::Remote { reason }),
            frame => Ok(frame),
        }
    }

    async fn opening(&mut self) -> Result<Opening> {
        match self.receive().await? {
            Frame::Opening(opening) => Ok(opening),
            other => Err(other.unexpected(DURING)),
        }
    }

    async fn ranges(&mut self) -> Result<Message> {
        match self.receive().await? {
            Frame::Ranges(message) => Ok(message),
            other => Err(other.unexpected(DURING)),
        }
    }
}

/// Finds what differs between this device and the other one, which calls the same. Exactly one of the two `opens`.
///
/// The first sender has to read what it tells of itself (devices and place) before: what is written while both compare is found, or it
/// comes through the shared log.
pub(crate) async fn compare(
    replica: &Replica,
    held: &Holding,
    channel: &mut dyn Channel,
    opens: bool,
    role: Role,
) -> Result<Difference> {
    let mut talk = Talk { channel, round_trips: 0, bytes: 0, asked: false };
    let mut own = opening(replica, held);
    let theirs = if opens {
        talk.send(Frame::Opening(own.clone())).await?;
        talk.opening().await?
    } else {
        let theirs = talk.opening().await?;
        own.salt = theirs.salt;
        talk.send(Frame::Opening(own.clone())).await?;
        theirs
    };
    let collections = common(replica, &own, &theirs);
    let names: Vec<Name> = collections.iter().map(|it| Name::clone(it.collection.name())).collect();
    let mut comparison =
        Comparison::new(Reading { replica, salt: own.salt, collections }, role).await?;
    converse(&mut comparison, &mut talk, opens).await?;
    let mut parts = comparison.finish().into_iter();
    let mut difference =
        Difference { round_trips: talk.round_trips, bytes: talk.bytes, ..Difference::default() };
    for name in names {
        let both = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        difference.collections.insert(name, both);
    }
    Ok(difference)
}

/// Each side speaks in turn; the one that has not opened begins.
async fn converse(
    comparison: &mut Comparison<Reading<'_>>,
    talk: &mut Talk<'_>,
    opens: bool,
) -> Result<()> {
    let mut next = if opens { None } else { Some(comparison.begin().await?) };
    loop {
        if let Some(message) = next {
            let ends = comparison.ends_with(&message);
            talk.send(Frame::Ranges(message)).await?;
            if ends {
                return Ok(());
            }
        }
        next = comparison.answer(talk.ranges().await?).await?;
        if next.is_none() {
            return Ok(());
        }
    }
}

/// What this side can compare.
fn opening(replica: &Replica, held: &Holding) -> Opening {
    let mut salt = [0; 16];
    replica.storage.runtime().fill_random(&mut salt);
    let synced = replica.storage.registry().collections().iter();
    let synced = synced.filter_map(|it| Some((it, replica.numbers.get(it.name())?)));
    let mut collections: Vec<Compared> =
        synced.map(|(it, numbers)| compared(it, numbers, &held.lacks)).collect();
    collections.sort_by(|a, b| a.name.cmp(&b.name));
    Opening { salt, collections }
}

fn compared(collection: &Collection, numbers: &Numbers, lacks: &Lacks) -> Compared {
    let name = |at: &usize| collection.fields().get(*at).map(|it| Name::clone(&it.name));
    let fields = numbers.synced().filter(|at| !collection.is_key(*at));
    Compared {
        name: Name::clone(collection.name()),
        key: collection.primary_key().iter().filter_map(name).collect(),
        fields: fields.filter_map(|at| name(&at)).collect(),
        held: held(numbers, lacks),
    }
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
