//! Accounts: begun, joined by a code or a passphrase, and the devices in them.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use indicatif::ProgressBar;
use notes::{Account, Link, PairingEvent, new_passphrase};
use serde_json::json;
use storex_core::{Timestamp, TokioRuntime};
use storex_sync::Passphrase;
use storex_sync::http::{RoomCode, id_text};

use crate::device::{Device, ends, only};
use crate::error::{CliError, Result};
use crate::output::{Output, ago, bar, counted, harmless, short};
use crate::secret;

/// Where the account is. A device that is in it already knows.
#[derive(Debug, Args)]
struct At {
    /// The address of the server
    #[arg(long, value_name = "URL", env = "NOTES_SERVER")]
    server: Option<String>,
    /// A file with the token by which the server knows you; or it is in NOTES_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// What this device is called in lists
    #[arg(long, env = "NOTES_DEVICE")]
    name: Option<String>,
}

impl At {
    async fn account(&self, device: &Device) -> Result<Account> {
        let (server, name) = (self.server.clone(), self.name.clone());
        let token = secret::token(self.token_file.as_deref())?;
        if let Some(known) = device.notes.account().await? {
            return Ok(Account {
                server: server.unwrap_or(known.server),
                token: token.unwrap_or(known.token),
                device_name: name.unwrap_or(known.device_name),
            });
        }
        let server = server.ok_or_else(|| CliError::asked("which server? give --server URL"))?;
        let device_name = name.unwrap_or_else(|| "terminal".to_owned());
        Ok(Account { server, token: token.ok_or_else(no_token)?, device_name })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    at: At,
    /// Ask for a passphrase of yours, instead of making one
    #[arg(long)]
    own_passphrase: bool,
    #[arg(skip)]
    passphrase: NewPassphrase,
}

/// A passphrase that is to be in force from now on.
#[derive(Debug, Default)]
struct NewPassphrase {
    text: String,
    /// It was made here, so it has to be shown.
    is_made: bool,
}

impl NewPassphrase {
    fn ask(own: bool) -> Result<Self> {
        let text = match secret::given_passphrase() {
            None if own => Some(secret::ask_passphrase("A new passphrase")?),
            given => given,
        };
        Ok(match text {
            Some(text) => Self { text, is_made: false },
            None => Self { text: new_passphrase(&TokioRuntime), is_made: true },
        })
    }

    fn print(&self, output: &Output) -> Result<()> {
        if !self.is_made {
            return Ok(());
        }
        output.value(
            &json!({"passphrase": self.text}),
            format!("The passphrase, shown once; write it down: {}", self.text),
        )
    }
}

impl Init {
    pub(crate) fn ask(&mut self) -> Result<()> {
        self.passphrase = NewPassphrase::ask(self.own_passphrase)?;
        Ok(())
    }

    pub(crate) async fn run(self, device: &Device, output: &Output) -> Result<()> {
        let account = self.at.account(device).await?;
        let passphrase = Passphrase::new(&self.passphrase.text);
        // Before it is in force: what is cut short may have gone through at the server.
        self.passphrase.print(output)?;
        let link = Link::found(&device.notes, device.transport()?, account, passphrase).await?;
        output.text(format!(
            "This device is the first of its account at {}. Another one joins with `notes add-device`.",
            link.account().server
        ))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Pair {
    /// What the other device shows, like 4821-7KMD-2XQP; asked for where it is left out
    code: Option<String>,
    #[command(flatten)]
    at: At,
}

impl Pair {
    pub(crate) fn ask(&mut self) -> Result<()> {
        if self.code.is_none() {
            eprint!("The code that the other device shows: ");
            let mut line = String::new();
            let unread = |error| CliError::asked(format!("the code cannot be read: {error}"));
            std::io::stdin().read_line(&mut line).map_err(unread)?;
            self.code = Some(line.trim().to_owned());
        }
        Ok(())
    }

    pub(crate) async fn run(self, device: &Device, output: &Output) -> Result<()> {
        let code: RoomCode = self.code.unwrap_or_default().parse()?;
        let account = self.at.account(device).await?;
        let bar = Arc::new(bar("{spinner} {msg} {wide_bar} {pos}/{len}"));
        let tell = teller(*output, Arc::clone(&bar), "receiving");
        Link::pair(&device.notes, device.transport()?, account, &code, tell).await?;
        bar.finish_and_clear();
        let notes = device.notes.query("")?.count().await?;
        output.value(
            &json!({"notes": notes}),
            format!("Paired, with {} here.", counted(notes, "note")),
        )
    }
}

/// Shows a code, and lets in the device that has it.
pub(crate) async fn add_device(device: &Device, output: &Output) -> Result<()> {
    let bar = Arc::new(bar("{spinner} {msg} {wide_bar} {pos}/{len}"));
    device.link().await?.invite(teller(*output, Arc::clone(&bar), "sending")).await?;
    bar.finish_and_clear();
    output.value(&json!({"paired": true}), "Paired: the other device has all notes.")
}

/// Prints what pairing tells.
fn teller(
    output: Output,
    bar: Arc<ProgressBar>,
    verb: &'static str,
) -> impl Fn(PairingEvent) + Send + Sync + 'static {
    move |event| match event {
        PairingEvent::Code(code) => bar.suspend(|| {
            // Nobody to read it is nobody to type it.
            let _ =
                output.value(&json!({"code": code}), format!("On the other device, type {code}"));
        }),
        PairingEvent::Refused(why) => {
            bar.suspend(|| eprintln!("somebody came and was not let in: {}", harmless(&why)));
        }
        PairingEvent::Paired => bar.set_message(verb),
        PairingEvent::Progress { done, total } => {
            bar.set_length(total);
            bar.set_position(done);
        }
        _ => {}
    }
}

#[derive(Debug, Args)]
pub(crate) struct Unlock {
    #[command(flatten)]
    at: At,
    #[arg(skip)]
    passphrase: String,
}

impl Unlock {
    pub(crate) fn ask(&mut self) -> Result<()> {
        self.passphrase = match secret::given_passphrase() {
            Some(given) => given,
            None => secret::ask_passphrase("The passphrase")?,
        };
        Ok(())
    }

    pub(crate) async fn run(self, device: &Device, output: &Output) -> Result<()> {
        let account = self.at.account(device).await?;
        let passphrase = Passphrase::new(&self.passphrase);
        Link::unlock(&device.notes, device.transport()?, account, &passphrase).await?;
        output.text("This device has the keys. `notes sync` brings the notes.")
    }
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// A file with the new token; or it is in NOTES_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Login {
    pub(crate) async fn run(self, device: &Device, output: &Output) -> Result<()> {
        let token = secret::token(self.token_file.as_deref())?.ok_or_else(no_token)?;
        device.link().await?.log_in(token).await?;
        output.text("The server takes this device. `notes sync` sends what was written meanwhile.")
    }
}

fn no_token() -> CliError {
    CliError::asked(
        "the server wants to know who you are: give --token-file FILE, or set NOTES_TOKEN",
    )
}

#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// Shut this one out for good, and go on with new keys: the other devices are asked for the new passphrase
    #[arg(long, value_name = "ID")]
    revoke: Option<String>,
    /// Ask for a passphrase of yours, instead of making one
    #[arg(long, requires = "revoke")]
    own_passphrase: bool,
    #[arg(skip)]
    passphrase: NewPassphrase,
}

impl Devices {
    pub(crate) fn ask(&mut self) -> Result<()> {
        if self.revoke.is_some() {
            self.passphrase = NewPassphrase::ask(self.own_passphrase)?;
        }
        Ok(())
    }

    pub(crate) async fn run(self, device: &Device, output: &Output) -> Result<()> {
        let link = device.link().await?;
        let this = link.device().await?;
        let mut devices = link.client().devices().await?;
        if let Some(id) = &self.revoke {
            devices.retain(|it| ends(&id_text(it.id), id));
            let named = devices.iter().map(|it| (it.id, id_text(it.id))).collect();
            let (lost, text) = only("device", id, named, |(_, text)| text)?;
            if lost == this {
                return Err(CliError::asked("this is that device: do it on one that stays"));
            }
            self.passphrase.print(output)?;
            link.revoke(lost, Passphrase::new(&self.passphrase.text)).await?;
            return output.text(format!(
                "{} is shut out. On the other devices, `notes unlock` asks for the new passphrase. Take its token away, too.",
                short(&text)
            ));
        }
        let now = device.notes.storage().runtime().now();
        let lines = devices.iter().map(|it| {
            let state = match (it.id == this, it.revoked) {
                (true, _) => "this one".to_owned(),
                (_, true) => "shut out".to_owned(),
                _ => ago(Timestamp(it.last_seen), now),
            };
            format!("{}  {}  ({state})\n", short(&id_text(it.id)), it.name)
        });
        output.value(&devices, lines.collect::<String>())
    }
}
