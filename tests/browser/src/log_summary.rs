//! [`LogSummary`]: what was written to a shared log, read without a storage.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use storex_core::Name;
use storex_sync::http::{HttpSharedLog, id_text};
use storex_sync::{
    Cursor, Device, Entry, EntryKind, EntryValue, Relative, Shape, SharedSyncLog as _, Transaction,
};

/// So many bytes are read at once.
const PAGE: usize = 1 << 20;

/// By device: what its transactions, which are dense, have done.
#[derive(Debug, Default)]
pub(crate) struct LogSummary(BTreeMap<Device, Done>);

#[derive(Debug, Default)]
struct Done {
    transactions: u64,
    /// The titles of the members that were created, in their order.
    created: Vec<String>,
    /// How many members were deleted.
    deleted: u64,
    /// What each account was opened with, and what was added since.
    counted: BTreeMap<String, i64>,
}

impl LogSummary {
    /// Reads the whole log, or says what is wrong with it.
    pub(crate) async fn of(log: &HttpSharedLog) -> Result<Self, String> {
        let (mut summary, mut after) = (Self::default(), Cursor::default());
        loop {
            let page = log.read(Device::NOBODY, &after, PAGE).await;
            let page = page.map_err(|error| error.to_string())?;
            if let Some(missing) = page.missing.first() {
                return Err(format!("{missing:?} is missing"));
            }
            for sealed in &page.transactions {
                let transaction = Transaction::decode(&sealed.payload);
                let transaction = transaction.map_err(|error| error.to_string())?;
                let done = summary.0.entry(sealed.device).or_default();
                done.transactions += 1;
                let named = (sealed.sequence, transaction.header.sequence);
                if named != (done.transactions, done.transactions) {
                    return Err(format!("{named:?} is not {} of its device", done.transactions));
                }
                done.note(&transaction)?;
            }
            after = page.cursor;
            if !page.more {
                return Ok(summary);
            }
        }
    }

    pub(crate) fn to_json(&self) -> Json {
        let shown = self.0.iter().map(|(device, done)| {
            json!({
                "id": id_text(device.id),
                "incarnation": device.incarnation,
                "transactions": done.transactions,
                "created": done.created,
                "deleted": done.deleted,
                "counted": done.counted,
            })
        });
        shown.collect()
    }
}

impl Done {
    fn note(&mut self, transaction: &Transaction) -> Result<(), String> {
        for entry in &transaction.entries {
            let shape = transaction.shapes.get(entry.shape).ok_or("an entry without a shape")?;
            match (&*shape.collection, entry.kind) {
                ("member", EntryKind::Create) => {
                    let title = value_of(shape, entry, "title").and_then(|it| it.value().as_text());
                    self.created.push(title.ok_or("a member without a title")?.to_owned());
                }
                ("member", EntryKind::Delete) => self.deleted += 1,
                ("account", EntryKind::Create | EntryKind::Update) => self.count(shape, entry)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn count(&mut self, shape: &Shape, entry: &Entry) -> Result<(), String> {
        let name = entry.values.first().and_then(|it| it.value().as_text());
        let name = name.ok_or("an account without a name")?;
        let by = match (entry.kind, value_of(shape, entry, "balance")) {
            (EntryKind::Create, Some(value)) => value.value().as_int(),
            (_, Some(EntryValue::Changed { change, .. })) => match &**change {
                Relative::Increment { by, .. } => by.as_int(),
                _ => None,
            },
            _ => None,
        };
        let by = by.ok_or_else(|| format!("{name}: {entry:?} is no increment"))?;
        *self.counted.entry(name.to_owned()).or_default() += by;
        Ok(())
    }
}

fn value_of<'a>(shape: &Shape, entry: &'a Entry, field: &str) -> Option<&'a EntryValue> {
    let at = shape.fields.iter().position(|name: &Name| &**name == field)?;
    entry.values.get(at)
}
