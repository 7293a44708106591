//! Two servers in one program: one for the files of the application, one for the notes.

// That of the notes in a terminal.
#[path = "../../../notes-cli/src/private.rs"]
mod private;
mod site;

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use storex_core::{Runtime, TokioRuntime};
use storex_server::{Server, SqliteStore, Tokens};
use tokio::net::TcpListener;

use site::Site;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Serves Notes, and keeps the devices in step that use it.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder of the built application; `cargo xtask notes-web` builds it, and starts this
    #[arg(long, value_name = "FOLDER")]
    site: Option<PathBuf>,
    /// Where browsers find the application
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000")]
    listen: String,
    /// Where devices find the notes
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8001")]
    sync: String,
    /// Where the notes are kept; without it, in a temporary folder until this ends
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let served = runtime.map_err(Into::into).and_then(|it| it.block_on(run(arguments)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is there to be told that nobody can be told.
            let _ = writeln!(std::io::stderr(), "notes-web: error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let Some(folder) = arguments.site else {
        return say("`cargo xtask notes-web` builds the application, and serves it");
    };
    let site = Site::read(&folder)?;
    let temporary = tempfile::tempdir()?;
    let data = arguments.data.as_deref().unwrap_or(temporary.path());
    private::folder().recursive(true).create(data)?;
    let token = token(data)?;

    let store = SqliteStore::open(data.join("server.db"), Arc::new(TokioRuntime)).await?;
    // Everybody who has the link is the same user: it is one person's.
    let tokens = Tokens::parse(&format!("{token} owner"))?;
    let of_notes = TcpListener::bind(&arguments.sync).await?;
    let of_site = TcpListener::bind(&arguments.listen).await?;

    let (page, sync) = (of_site.local_addr()?, of_notes.local_addr()?);
    say(&format!("the module is {} kB, compressed", site.module_bytes()? / 1000))?;
    match &arguments.data {
        Some(folder) => say(&format!("the notes are kept in {}", folder.display()))?,
        None => say("the notes are kept until this ends; --data FOLDER keeps them")?,
    }
    // Behind the `#` it stays in the browser: no server sees it, this one included.
    say(&format!("open http://{page}/#server=http://{sync}&token={token}"))?;

    let serving = Server::new(Arc::new(store), Arc::new(tokens)).serve(of_notes, stopped());
    let (served, notes) = tokio::join!(site.serve(of_site, stopped()), serving);
    served?;
    Ok(notes?)
}

/// Until Ctrl-C.
async fn stopped() {
    // An error means that it cannot be asked that way.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// By which the server knows whose notes they are: the same for as long as the folder is there.
fn token(data: &Path) -> Result<String> {
    let file = data.join("token");
    if let Ok(token) = std::fs::read_to_string(&file) {
        return Ok(token.trim().to_owned());
    }
    let mut random = [0; 24];
    TokioRuntime.fill_random(&mut random);
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    private::file()
        .write(true)
        .create(true)
        .truncate(true)
        .open(file)?
        .write_all(token.as_bytes())?;
    Ok(token)
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "notes-web: {line}")?)
}
