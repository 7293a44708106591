//! Logs are trimmed behind what all their devices have.

use std::collections::HashSet;
use std::sync::Arc;

use storex_core::Timestamp;
use storex_sync::SharedSyncLog;

use crate::app::App;
use crate::error::Result;
use crate::store::DeviceId;
use crate::user::User;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Trims now and then until the server stops.
pub(super) fn start(app: &Arc<App>) {
    let Some(every) = app.config.retention.trim_every else { return };
    let app = Arc::clone(app);
    let runtime = Arc::clone(&app.runtime);
    runtime.spawn(Box::pin(async move {
        loop {
            tokio::select! {
                () = app.runtime.sleep(every) => trim_all(&app).await,
                () = app.sessions.stopped() => return,
            }
        }
    }));
}

/// Only the logs that have changed have something to drop.
async fn trim_all(app: &App) {
    let mut dropped = 0;
    for user in app.users_to_trim() {
        match trim(app, &user).await {
            Ok(transactions) => dropped += transactions,
            Err(error) => {
                tracing::warn!(%user, %error, "a log is trimmed later");
                app.trim_later(&user);
            }
        }
    }
    app.metrics.trimmed.add(dropped);
    tracing::info!(transactions = dropped, "trimmed");
}

async fn trim(app: &App, user: &User) -> Result<u64> {
    let log = app.store.log(user).await?;
    if let Some(days) = app.config.retention.dismiss_after_days {
        let before = Timestamp(app.runtime.now().0.saturating_sub(i64::from(days) * DAY_MS));
        dismiss_unseen(app, user, &*log, before).await?;
    }
    Ok(log.trim().await?.transactions)
}

/// Devices that have not come for long no longer hold back what is kept for them.
async fn dismiss_unseen(
    app: &App,
    user: &User,
    log: &dyn SharedSyncLog,
    before: Timestamp,
) -> Result<()> {
    let devices = app.store.devices(user).await?;
    let unseen: HashSet<DeviceId> =
        devices.iter().filter(|it| it.last_seen < before).map(|it| it.id).collect();
    if unseen.is_empty() {
        return Ok(());
    }
    for member in log.members().await?.into_iter().filter(|it| unseen.contains(&it.device.id)) {
        tracing::info!(%user, device = %member.device, "a device that has not come for long is dismissed");
        log.dismiss(member.device).await?;
    }
    Ok(())
}
