//! [`Obstacle`]: what keeps this device from being in step until somebody types something; and what becomes of that.

use notes::{Link, Result};
use storex_sync::http::Token;
use storex_sync::{Passphrase, Phase, SyncError, SyncEvent};
use wasm_bindgen_futures::spawn_local;

use crate::app::{App, Dialog};
use crate::engine::{self, Running};
use crate::joining;
use crate::page;

/// What keeps this device from being in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The server does not take the token any more.
    Token,
    /// A device was shut out, and this one has not got the new key yet.
    Passphrase,
    /// This is the device that was shut out.
    ShutOut,
}

/// What is in the way, if anything is; tracked.
pub(crate) fn obstacle(app: App) -> Option<Obstacle> {
    let me = app.me.get();
    let is_out = app.devices.with(|all| all.iter().any(|it| it.id == me && it.revoked));
    match app.status.with(|it| it.phase) {
        _ if is_out => Some(Obstacle::ShutOut),
        Phase::NeedsLogin => Some(Obstacle::Token),
        _ => app.lacks_keys.get().then_some(Obstacle::Passphrase),
    }
}

/// Learns what is in the way, and when it is not any more: for as long as the page is there.
pub(crate) fn follow(app: App, running: &Running) {
    let (sync, mut events) = (running.sync.clone(), running.sync.events());
    spawn_local(async move {
        while let Some(event) = events.next().await {
            match event {
                SyncEvent::Failed { error, .. } => failed(app, &error),
                SyncEvent::Exchanged(_) => app.lacks_keys.set(false),
                _ => {}
            }
        }
    });
    let mut status = sync.status();
    spawn_local(async move {
        // One that has failed before this page was there tells why when it is tried again.
        let has_failed = status.wait_for(|it| it.last_error.is_some()).await.is_ok();
        if has_failed && let Some(Err(error)) = sync.sync_now().await {
            failed(app, &error);
        }
    });
    let sync = running.sync.clone();
    spawn_local(async move {
        let Some(mut accounts) = app.expect(app.notes().accounts()) else { return };
        while accounts.next().await.is_some() {
            // There may be another token, in whichever tab somebody has typed it.
            sync.logged_in();
        }
    });
}

fn failed(app: App, error: &SyncError) {
    if matches!(error.cause(), SyncError::UnknownKey { .. } | SyncError::RivalKeys) {
        app.lacks_keys.set(true);
    }
}

/// Goes on with the passphrase that is in force since.
pub(crate) fn unlock(app: App, passphrase: String) {
    attempt(app, "Going on with the new passphrase", async move {
        let account = app.notes().account().await?.ok_or(notes::Error::NoAccount)?;
        let passphrase = Passphrase::new(passphrase.trim());
        // The sync takes up the keys that are kept by this.
        Link::unlock(&app.notes(), engine::transport(), account, &passphrase).await?;
        app.lacks_keys.set(false);
        Ok(())
    });
}

/// Goes on with another token. A whole link will do.
pub(crate) fn log_in(app: App, typed: String) {
    attempt(app, "The server takes this device again", async move {
        let Some(running) = app.running.get_clone_untracked() else { return Ok(()) };
        running.link.log_in(Token::new(page::token(&typed))).await
    });
}

fn attempt(app: App, done: &'static str, work: impl Future<Output = Result<()>> + 'static) {
    joining::attempt(app, work, move |app| {
        if app.dialog.get_untracked() == Some(Dialog::Mend) {
            app.dialog.set(None);
        }
        app.say(done);
    });
}
