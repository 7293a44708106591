//! Logs are trimmed behind what all their devices have, and blobs dropped that nobody has finished.

use std::collections::HashSet;
use std::sync::Arc;

use storex_core::Timestamp;
use storex_sync::SharedSyncLog;

use crate::app::App;
use crate::error::Result;
use crate::store::{DeviceId, DeviceInfo};
use crate::user::User;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Trims now and then until the server stops.
pub(super) fn start(app: &Arc<App>) {
    let Some(every) = app.config.retention.trim_every else { return };
    let app = Arc::clone(app);
    let runtime = Arc::clone(&app.runtime);
    runtime.spawn(Box::pin(async move {
        loop {
            let once = async {
                app.runtime.sleep(every).await;
                trim_all(&app).await;
                drop_unfinished_blobs(&app).await;
            };
            tokio::select! {
                () = once => {}
                // What a store does may be given up anywhere.
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

async fn drop_unfinished_blobs(app: &App) {
    let days = i64::from(app.config.retention.unfinished_blobs_days);
    let before = Timestamp(app.runtime.now().0.saturating_sub(days * DAY_MS));
    match app.store.drop_unfinished_blobs(before).await {
        Ok(0) => {}
        Ok(blobs) => tracing::info!(blobs, "blobs that nobody has finished were dropped"),
        Err(error) => tracing::warn!(%error, "unfinished blobs are dropped later"),
    }
}

async fn trim(app: &App, user: &User) -> Result<u64> {
    let log = app.store.log(user).await?;
    dismiss(app, user, &*log).await?;
    Ok(log.trim().await?.transactions)
}

/// Devices that are shut out, and those that have not come for long if the operator says so, no longer hold back what is kept for
/// them. One that was shut out may be a member all the same: what it asked for at that moment was done after it was dismissed.
async fn dismiss(app: &App, user: &User, log: &dyn SharedSyncLog) -> Result<()> {
    let now = app.runtime.now().0;
    let days = app.config.retention.dismiss_after_days;
    let before = days.map(|days| Timestamp(now.saturating_sub(i64::from(days) * DAY_MS)));
    let is_unseen = |it: &DeviceInfo| before.is_some_and(|before| it.last_seen < before);
    let devices = app.store.devices(user).await?;
    let gone = devices.iter().filter(|it| it.revoked_at.is_some() || is_unseen(it));
    let gone: HashSet<DeviceId> = gone.map(|it| it.id).collect();
    if gone.is_empty() {
        return Ok(());
    }
    for member in log.members().await?.into_iter().filter(|it| gone.contains(&it.device.id)) {
        tracing::info!(%user, device = %member.device, "a device that is shut out, or has not come for long, is dismissed");
        log.dismiss(member.device).await?;
    }
    Ok(())
}
