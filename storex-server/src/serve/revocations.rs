//! Devices that are shut out by another server of the same store.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;

use crate::app::App;

/// Ends what is open of devices that are shut out elsewhere, from now on until the server stops.
pub(super) fn start(app: &Arc<App>) {
    let Some(mut revocations) = app.store.revocations() else { return };
    let app = Arc::clone(app);
    let runtime = Arc::clone(&app.runtime);
    runtime.spawn(Box::pin(async move {
        loop {
            let told = tokio::select! {
                told = revocations.recv() => told,
                () = app.sessions.stopped() => return,
            };
            match told {
                Ok((user, device)) => app.shut_out(&user, device),
                Err(RecvError::Lagged(_)) => look_at_all(&app).await,
                Err(RecvError::Closed) => return,
            }
        }
    }));
}

/// Some were missed: looks at each that something is open of.
async fn look_at_all(app: &App) {
    for (user, device) in app.sessions.devices() {
        app.directory.forget(&user, device);
        let now = app.runtime.now();
        match app.directory.is_revoked(&*app.store, &user, device, now).await {
            Ok(true) => app.shut_out(&user, device),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "whether a device was revoked is looked at later"),
        }
    }
}
