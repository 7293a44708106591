//! Tokens and passphrases: in no arguments, and not shown while they are typed.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;

use storex_sync::http::Token;

use crate::error::{CliError, Result};

/// The passphrase in the environment, if there is one.
pub(crate) fn given_passphrase() -> Option<String> {
    std::env::var("NOTES_PASSPHRASE").ok().filter(|it| !it.is_empty())
}

/// A passphrase that is typed, or the first line of what is piped in.
pub(crate) fn ask_passphrase(what: &str) -> Result<String> {
    let unread =
        |error: std::io::Error| CliError::asked(format!("the passphrase cannot be read: {error}"));
    let typed = match std::io::stdin().is_terminal() {
        true => rpassword::prompt_password(format!("{what}: ")).map_err(unread)?,
        false => {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map_err(unread)?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        }
    };
    match typed.is_empty() {
        true => Err(CliError::asked(
            "no passphrase was given: type it, pipe it in, or set NOTES_PASSPHRASE",
        )),
        false => Ok(typed),
    }
}

/// The token in a file, or in the environment.
pub(crate) fn token(file: Option<&Path>) -> Result<Option<Token>> {
    let Some(file) = file else {
        let given = std::env::var("NOTES_TOKEN").ok().filter(|it| !it.is_empty());
        return Ok(given.map(Token::new));
    };
    let text = std::fs::read_to_string(file)
        .map_err(|source| CliError::File { path: file.to_owned(), source })?;
    // Lines `TOKEN USER` with comments between, as the server has them, would be one too.
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let token = lines.flat_map(str::split_whitespace).next().map(Token::new);
    let missing = || CliError::asked(format!("there is no token in {}", file.display()));
    token.map(Some).ok_or_else(missing)
}
