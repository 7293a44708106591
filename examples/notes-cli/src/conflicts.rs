//! What was lost where two devices had written at once.

use clap::Args;
use serde_json::json;
use storex_core::Value;
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
        let noted = losses(&journal).await?;
        let values: Vec<_> = noted.iter().map(value).collect();
        let now = device.notes.storage().runtime().now();
        let lines = noted.iter().map(|it| {
            let NotedConflict { id, conflict, at, .. } = it;
            let note = conflict.key.as_text().unwrap_or_default();
            let field = conflict.field.as_deref().unwrap_or("all of it");
            let (won, lost) = (text(&conflict.won.content), text(&conflict.lost.content));
            format!(
                "{id}  note {}, {field}  ({})\n   is    {won}\n   lost  {lost}\n",
                short(note),
                ago(*at, now)
            )
        });
        let lines = lines.collect::<String>();
        output.value(&values, if lines.is_empty() { "no conflicts" } else { &lines })
    }
}

/// What somebody may want back, the newest first.
pub(crate) async fn losses(journal: &ConflictJournal) -> Result<Vec<NotedConflict>> {
    let mut noted = journal.list(&ConflictQuery::new().collection("note")).await?;
    noted.retain(|it| it.conflict.is_loss());
    Ok(noted)
}

fn value(NotedConflict { id, at, conflict, .. }: &NotedConflict) -> serde_json::Value {
    json!({
        "id": id.0,
        "at": at,
        "note": conflict.key.as_text(),
        "field": conflict.field.as_deref(),
        "is": text(&conflict.won.content),
        "lost": text(&conflict.lost.content),
    })
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
