//! Reading and writing notes, which needs no connection.

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use notes::Note;
use serde::Deserialize;
use serde_json::json;

use crate::device::Device;
use crate::error::{CliError, Result};
use crate::output::{Output, ago, counted, short};

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

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file; `-` reads it from standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    #[arg(skip)]
    notes: Vec<Imported>,
}

/// A note that is new here, whatever it was elsewhere.
#[derive(Debug, Deserialize)]
struct Imported {
    title: String,
    #[serde(default)]
    body: String,
}

impl Import {
    pub(crate) fn read(&mut self) -> Result<()> {
        let text = match self.file.to_str() {
            Some("-") => read_input("the notes")?,
            _ => std::fs::read_to_string(&self.file)
                .map_err(|source| CliError::File { path: self.file.clone(), source })?,
        };
        self.notes = serde_json::from_str(&text)
            .map_err(|error| CliError::asked(format!("this is no JSON list of notes: {error}")))?;
        Ok(())
    }

    pub(crate) async fn run(self, device: &Device, output: &Output) -> Result<()> {
        let notes = self.notes.into_iter().map(|it| (it.title, it.body));
        let count = device.notes.create_many(notes).await?;
        output.value(&json!({"imported": count}), format!("{} imported", counted(count, "note")))
    }
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
        *body = read_input("the body")?;
        body.truncate(body.trim_end().len());
    }
    Ok(())
}

fn read_input(what: &str) -> Result<String> {
    let mut text = String::new();
    let unread = |error| CliError::asked(format!("{what} cannot be read: {error}"));
    std::io::stdin().lock().read_to_string(&mut text).map_err(unread)?;
    Ok(text)
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
