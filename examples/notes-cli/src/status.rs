//! One exchange, and what is known of the last one.

use std::time::Duration;

use serde_json::json;
use storex_core::Timestamp;
use storex_sync::engine::Triggers;
use storex_sync::http::id_text;
use storex_sync::{ConflictJournal, ContinuousSync, Phase, SyncError, SyncStatus};
use tokio::time::timeout;

use crate::conflicts::losses;
use crate::device::Device;
use crate::error::{CliError, Result};
use crate::output::{Output, ago, counted};

/// How long whoever only asks waits for the server.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long another program has that syncs this database.
const ELSEWHERE: Duration = Duration::from_secs(10);

/// Sends what was written here, and gets what others wrote.
pub(crate) async fn sync(device: &Device, output: &Output) -> Result<()> {
    let link = device.link().await?;
    let sync = manual(device, &link).await?;
    let report = sync.sync_now().await.unwrap_or(Err(SyncError::Stopped));
    let report = match report {
        Err(error) if matches!(error.cause(), SyncError::HeldElsewhere) => {
            let sent = timeout(ELSEWHERE, all_sent(device, &sync)).await;
            sent.map_err(|_| CliError::from(error))??;
            return output
                .value(&json!({"watched": true}), "in step: `notes watch` has sent everything");
        }
        report => report?,
    };
    sync.stop().await;
    link.settle_keys().await?;
    let (sent, received) = (report.sent_entries, report.received.entries);
    output.value(
        &json!({"sent": sent, "received": received, "conflicts": report.received.conflicts.len()}),
        format!("in step: {} sent, {received} received", counted(sent, "change")),
    )
}

/// Makes exchanges when it is asked to, and knows what was before.
async fn manual(device: &Device, link: &notes::Link) -> Result<ContinuousSync> {
    let sync = link.sync(device.exclusive().await?).await?;
    Ok(ContinuousSync::builder(sync).triggers(Triggers::MANUAL).start())
}

/// Returns when another program has sent everything.
async fn all_sent(device: &Device, sync: &ContinuousSync) -> Result<()> {
    while sync.sync().unsent().await? > 0 {
        device.notes.storage().runtime().sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

pub(crate) async fn status(device: &Device, output: &Output) -> Result<()> {
    let notes = device.notes.query("")?.count().await?;
    let conflicts = losses(&ConflictJournal::open(device.notes.storage()).await?).await?.len();
    let Some(account) = device.notes.account().await? else {
        return output.value(
            &json!({"notes": notes, "conflicts": conflicts}),
            format!("notes      {notes}\naccount    none yet (`notes init`, `notes pair`, `notes unlock`)"),
        );
    };
    let link = device.link().await?;
    let sync = manual(device, &link).await?;
    // What it remembers is there with its first word.
    let mut told = sync.status();
    let _ = timeout(PATIENCE, told.changed()).await;
    let SyncStatus { last_success, last_error, .. } = told.borrow().clone();
    sync.stop().await;
    let unsent = sync.sync().unsent().await?;
    let watched = device.exclusive().await?.try_acquire().await?.is_none();
    let this = link.device().await?;
    let devices = timeout(PATIENCE, link.client().devices()).await;
    let devices = devices.map_err(|_| "it did not answer".to_owned());
    let devices = devices.and_then(|answer| answer.map_err(|error| error.to_string()));
    let now = device.notes.storage().runtime().now();
    let when = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| ago(at, now));
    let names = match &devices {
        Ok(devices) if devices.is_empty() => "not known yet (`notes sync`)".to_owned(),
        Ok(devices) => {
            let there = devices.iter().filter(|it| !it.revoked);
            let names = there.map(|it| match it.id == this {
                true => format!("{} (this one)", it.name),
                false => it.name.clone(),
            });
            names.collect::<Vec<_>>().join(", ")
        }
        Err(why) => format!("the server cannot be asked: {why}"),
    };
    let mut text = format!(
        "notes      {notes}\naccount    {} as {}\nto send    {unsent}\nlast sync  {}\ndevices    {names}\n",
        account.server,
        account.device_name,
        when(last_success),
    );
    if watched {
        text.push_str("syncing    by another program (`notes watch`)\n");
    }
    if let Some(error) = &last_error {
        text.push_str(&format!("failed     {error}\n"));
    }
    if conflicts > 0 {
        text.push_str(&format!("conflicts  {conflicts} (`notes conflicts`)\n"));
    }
    let listed = devices.as_ref().ok().map(|devices| {
        let ids = devices.iter().filter(|it| !it.revoked).map(|it| id_text(it.id));
        ids.collect::<Vec<_>>()
    });
    output.value(
        &json!({
            "notes": notes,
            "server": account.server,
            "name": account.device_name,
            "device": id_text(this),
            "unsent": unsent,
            "last_sync": last_success,
            "error": last_error,
            "watched": watched,
            "conflicts": conflicts,
            "devices": listed,
        }),
        text,
    )
}

/// What sync is doing, in a few words.
pub(crate) fn describe(status: &SyncStatus, now: Timestamp) -> String {
    let doing = match status.phase {
        _ if status.in_step => "in step",
        Phase::Sending => "sending",
        Phase::Receiving => "receiving",
        Phase::Offline => "off-line",
        Phase::Paused => "paused",
        Phase::NeedsLogin => "the server does not accept the token (`notes login`)",
        Phase::BackingOff { .. } => "cannot reach the server",
        Phase::StandingBy => "another program syncs",
        _ => "waiting",
    };
    let last = status.last_success.map_or_else(|| "never".to_owned(), |at| ago(at, now));
    format!("{doing} · {} to send · last sync {last}", status.unsent)
}
