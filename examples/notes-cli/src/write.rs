//! Reading and writing notes, which needs no connection.

use std::io::Read as _;

use clap::Args;
use notes::Note;
use serde_json::json;

use crate::device::Device;
use crate::error::{CliError, Result};
use crate::output::{Output, ago, short};

#[derive(Debug, Args)]
pub(crate) struct New {
    /// What it is called
    title: String,
    /// What it says; `-` reads it from standard input
    #[arg(long, short, default_value = "", value_name = "TEXT|-")]
    body: String,
}

#[derive(Debug, Args)]
pub(crate) struct Edit {
    id: String,
    /// Another title
    #[arg(long, short)]
    title: Option<String>,
    /// Another body; `-` reads it from standard input
    #[arg(long, short, value_name = "TEXT|-")]
    body: Option<String>,
    /// Keep it in front of the others
    #[arg(long, conflicts_with = "unpin")]
    pin: bool,
    /// Not any more
    #[arg(long)]
    unpin: bool,
}

impl New {
    pub(crate) fn read(&mut self) -> Result<()> {
        read_body(&mut self.body)
    }

    pub(crate) async fn run(self, device: &Device, output: &Output) -> Result<()> {
        let note = device.notes.create(self.title, self.body).await?;
        output.value(&note, format!("{}  {}", short(&note.id), note.title))
    }
}

impl Edit {
    pub(crate) fn read(&mut self) -> Result<()> {
        self.body.as_mut().map_or(Ok(()), read_body)
    }

    pub(crate) async fn run(self, device: &Device, output: &Output) -> Result<()> {
        let Self { id, title, body, pin, unpin } = self;
        let pinned = (pin || unpin).then_some(pin);
        let edit = notes::Edit { title, body, pinned };
        if edit == notes::Edit::default() {
            return Err(CliError::asked(
                "nothing is to be changed: give --title, --body, --pin or --unpin",
            ));
        }
        let note = device.find(&id).await?;
        if !device.notes.edit(&note.id, edit).await? {
            return Err(CliError::Missing { what: "note", id });
        }
        let note = device.find(&note.id).await?;
        output.value(&note, format!("{}  {}", short(&note.id), note.title))
    }
}

fn read_body(body: &mut String) -> Result<()> {
    if body == "-" {
        body.clear();
        let unread = |error| CliError::asked(format!("the body cannot be read: {error}"));
        std::io::stdin().lock().read_to_string(body).map_err(unread)?;
        body.truncate(body.trim_end().len());
    }
    Ok(())
}

pub(crate) async fn list(device: &Device, output: &Output, words: &str) -> Result<()> {
    let notes = device.notes.query(words)?.all().await?;
    let now = device.notes.storage().runtime().now();
    let lines = notes.iter().map(|note| {
        let pin = if note.pinned { '*' } else { ' ' };
        format!("{} {pin} {}  ({})\n", short(&note.id), first_line(note), ago(note.updated_at, now))
    });
    let none = if words.is_empty() { "no notes" } else { "no note has these words" };
    let lines = lines.collect::<String>();
    output.value(&notes, if lines.is_empty() { none } else { &lines })
}

pub(crate) async fn show(device: &Device, output: &Output, id: &str) -> Result<()> {
    let note = device.find(id).await?;
    let separator = if note.body.is_empty() { "" } else { "\n\n" };
    output.value(&note, format!("{}{separator}{}", note.title, note.body))
}

pub(crate) async fn remove(device: &Device, output: &Output, ids: &[String]) -> Result<()> {
    let mut notes = Vec::new();
    for id in ids {
        notes.push(device.find(id).await?);
    }
    for note in notes {
        device.notes.delete(&note.id).await?;
        output.value(&json!({"removed": note.id}), format!("{} was removed", short(&note.id)))?;
    }
    Ok(())
}

/// What stands for a note in a list.
pub(crate) fn first_line(note: &Note) -> &str {
    let body = note.body.lines().next().unwrap_or_default();
    let title = note.title.lines().next().unwrap_or_default();
    if title.is_empty() { body } else { title }
}
