//! What was lost where two devices had written at once.

use clap::Args;
use serde::Serialize;
use storex_core::{Timestamp, Value};
use storex_sync::{ConflictId, ConflictJournal, ConflictQuery, Content, NotedConflict};

use crate::device::Device;
use crate::error::Result;
use crate::output::{Output, ago, short};

#[derive(Debug, Args)]
pub(crate) struct Conflicts {
    /// Put back what was lost, on all devices
    #[arg(long, value_name = "NUMBER", conflicts_with = "keep")]
    undo: Option<u64>,
    /// What is there is right: forget what was lost
    #[arg(long, value_name = "NUMBER")]
    keep: Option<u64>,
}

impl Conflicts {
    pub(crate) async fn run(self, device: &Device, output: &Output) -> Result<()> {
        let journal = ConflictJournal::open(device.notes.storage()).await?;
        if let Some(number) = self.undo {
            journal.undo(ConflictId(number)).await?;
            return output.text("It was put back.");
        }
        if let Some(number) = self.keep {
            journal.forget(ConflictId(number)).await?;
            return output.text("It was forgotten.");
        }
        let lost: Vec<_> = losses(&journal).await?.into_iter().map(Lost::from).collect();
        let now = device.notes.storage().runtime().now();
        let lines = lost.iter().map(|Lost { id, at, note, field, is, lost }| {
            let (note, field) = (short(note), field.as_deref().unwrap_or("all of it"));
            format!(
                "{id}  note {note}, {field}  ({})\n   is    {is}\n   lost  {lost}\n",
                ago(*at, now)
            )
        });
        let lines = lines.collect::<String>();
        output.value(&lost, if lines.is_empty() { "no conflicts" } else { &lines })
    }
}

/// A conflict as it is printed.
#[derive(Debug, Serialize)]
struct Lost {
    id: u64,
    at: Timestamp,
    note: String,
    field: Option<String>,
    is: String,
    lost: String,
}

impl From<NotedConflict> for Lost {
    fn from(NotedConflict { id, at, conflict, .. }: NotedConflict) -> Self {
        Self {
            id: id.0,
            at,
            note: conflict.key.as_text().unwrap_or_default().to_owned(),
            field: conflict.field.as_deref().map(str::to_owned),
            is: text(&conflict.won.content),
            lost: text(&conflict.lost.content),
        }
    }
}

/// What somebody may want back, the newest first.
pub(crate) async fn losses(journal: &ConflictJournal) -> Result<Vec<NotedConflict>> {
    let mut noted = journal.list(&ConflictQuery::new().collection("note")).await?;
    noted.retain(|it| it.conflict.is_loss());
    Ok(noted)
}

fn text(content: &Content) -> String {
    let plain = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        Value::Bool(is) => is.to_string(),
        other => format!("{other:?}"),
    };
    match content {
        Content::Value(value) => plain(value),
        Content::Deleted => "(removed)".to_owned(),
        Content::Object(fields) => {
            let title = fields.iter().find(|(name, _)| &**name == "title");
            title.map_or_else(|| "(the note)".to_owned(), |(_, value)| plain(value))
        }
    }
}
