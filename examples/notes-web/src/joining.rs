//! How this device comes into an account; how another one does from here, and how it is shut out.

use notes::{Account, Link, PairingEvent};
use storex_core::{Runtime, WebRuntime};
use storex_sync::http::{RoomCode, Token};
use storex_sync::{Passphrase, SyncError};
use sycamore::prelude::*;
use tokio::sync::oneshot;
use wasm_bindgen_futures::spawn_local;

use crate::app::{App, Dialog};
use crate::engine::{self, Running};
use crate::page::Invitation;
use crate::words;

/// How far it has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Joining {
    /// Nothing has begun.
    #[default]
    Idle,
    /// The server is asked, or keys are made.
    Busy,
    /// This is to be typed on the other device.
    Code(String),
    /// The other device is there, and so are the keys.
    Paired,
    /// So many notes are through, of so many.
    Progress(u64, u64),
    /// It is through.
    Done,
    /// It did not work; why.
    Failed(String),
}

impl Joining {
    /// Whether somebody has to wait.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self, Self::Busy | Self::Code(_) | Self::Paired | Self::Progress(..))
    }

    /// The same, whatever number of notes is through: what is shown changes with it, and is not made anew.
    pub(crate) fn stage(&self) -> Self {
        match self {
            Self::Progress(..) => Self::Paired,
            other => other.clone(),
        }
    }
}

/// As which device, and where.
pub(crate) fn account(invitation: &Invitation, device_name: &str) -> Account {
    Account {
        server: invitation.server.trim().to_owned(),
        token: Token::new(invitation.token.trim()),
        device_name: device_name.trim().to_owned(),
    }
}

/// Begins an account, on its first device.
pub(crate) fn found(app: App, account: Account, passphrase: String) {
    begin(app, async move |app: App| {
        let passphrase = Passphrase::new(passphrase);
        Link::found(&app.notes(), engine::transport(), account, passphrase).await
    });
}

/// Comes into an account by its passphrase.
pub(crate) fn unlock(app: App, account: Account, passphrase: String) {
    begin(app, async move |app: App| {
        let passphrase = Passphrase::new(passphrase.trim());
        Link::unlock(&app.notes(), engine::transport(), account, &passphrase).await
    });
}

/// Comes into an account by the code that a device of it shows.
pub(crate) fn pair(app: App, account: Account, typed: String) {
    begin(app, async move |app: App| {
        let code: RoomCode = typed.parse()?;
        let tell = move |event| tell(app, event);
        Link::pair(&app.notes(), engine::transport(), account, &code, tell).await
    });
}

/// Does it, and goes on as a device of the account. What was not through when it broke off goes on then, too: the keys are here.
fn begin(app: App, link: impl AsyncFnOnce(App) -> notes::Result<Link> + 'static) {
    app.joining.set(Joining::Busy);
    spawn_local(async move {
        // Keys that are made of a passphrase hold up the page: what it shows is shown first.
        WebRuntime.sleep(words::MOMENT).await;
        match link(app).await {
            Ok(link) => enter(app, engine::run(link, &app.version()).await),
            Err(error) => match engine::resume(&app.notes(), &app.version()).await {
                Ok(Some(running)) => enter(app, Ok(running)),
                _ => app.joining.set(Joining::Failed(words::failure(&error))),
            },
        }
    });
}

fn enter(app: App, running: notes::Result<Running>) {
    match running {
        Ok(running) => {
            app.joining.set(Joining::Done);
            app.begin(running);
        }
        Err(error) => app.joining.set(Joining::Failed(words::failure(&error))),
    }
}

/// Tries something that takes a moment and may fail; how that goes is in `joining`, for the dialog in which it was asked for.
pub(crate) fn attempt(
    app: App,
    work: impl Future<Output = notes::Result<()>> + 'static,
    done: impl FnOnce(App) + 'static,
) {
    app.joining.set(Joining::Busy);
    let asked_in = app.dialog.get_untracked();
    spawn_local(async move {
        WebRuntime.sleep(words::MOMENT).await;
        let done_with = work.await;
        let is_seen = app.dialog.get_untracked() == asked_in;
        match done_with {
            Ok(()) => {
                if is_seen {
                    app.joining.set(Joining::Done);
                }
                done(app);
            }
            Err(error) if is_seen => app.joining.set(Joining::Failed(words::failure(&error))),
            Err(error) => drop(app.expect(Err::<(), _>(error))),
        }
    });
}

/// Shuts a device out. It goes on with a new key, which the others get by the new passphrase.
pub(crate) fn shut_out(app: App, device: [u8; 16], name: String, passphrase: String) {
    let work = async move {
        let Some(running) = app.running.get_clone_untracked() else { return Ok(()) };
        running.link.revoke(device, Passphrase::new(passphrase)).await?;
        app.read_devices(0.0).await;
        Ok(())
    };
    attempt(app, work, move |app| {
        if app.dialog.get_untracked() == Some(Dialog::ShutOut(device)) {
            app.dialog.set(Some(Dialog::Devices));
        }
        app.say(format!("{name} is shut out"));
    });
}

/// Shows a code, and lets the device in that has it; until the view that calls this is gone.
pub(crate) fn invite(app: App) {
    let Some(running) = app.running.get_clone_untracked() else { return };
    let (open, closed) = oneshot::channel::<()>();
    on_cleanup(move || drop(open));
    app.joining.set(Joining::Busy);
    spawn_local(async move {
        let link = running.link;
        let invited = tokio::select! {
            invited = link.invite(move |event| tell(app, event)) => invited,
            _ = closed => return app.joining.set(Joining::Idle),
        };
        app.joining.set(match invited {
            Ok(()) => Joining::Done,
            Err(notes::Error::Sync(SyncError::PairingCodeSpent { .. })) => Joining::Failed(
                "The code is not good any more. Close this and show a new one.".into(),
            ),
            Err(error) => Joining::Failed(words::failure(&error)),
        });
        // So that it is in the list.
        app.read_devices(0.0).await;
    });
}

fn tell(app: App, event: PairingEvent) {
    match event {
        PairingEvent::Code(code) => app.joining.set(Joining::Code(code)),
        PairingEvent::Refused(_) => app.say("Somebody typed another code, and was not let in"),
        PairingEvent::Paired => app.joining.set(Joining::Paired),
        PairingEvent::Progress { done, total } => app.joining.set(Joining::Progress(done, total)),
        _ => {}
    }
}
