//! `notes watch`: stays in step, and prints notes as they change.

use std::collections::BTreeMap;
use std::time::Duration;

use notes::Note;
use serde_json::json;
use storex_sync::{ContinuousSync, SyncError, SyncEvent, SyncEvents, SyncStatus};
use tokio::sync::watch;

use crate::device::{Device, interrupted};
use crate::error::{CliError, Result};
use crate::output::{Output, bar, counted, harmless, short};
use crate::status::describe;
use crate::write::first_line;

/// How often it is told anew how long ago something was.
const TICK: Duration = Duration::from_secs(1);

/// Stays in step until it is interrupted.
pub(crate) async fn watch(device: &Device, output: &Output) -> Result<()> {
    let sync = match device.link().await {
        Ok(link) => Some(link.start(device.exclusive().await?, None, None).await?),
        // They can be watched without a server, too.
        Err(CliError::Notes(notes::Error::NoAccount)) => None,
        Err(error) => return Err(error),
    };
    let done = print_changes(device, output, sync.as_ref()).await;
    if let Some(sync) = sync {
        sync.stop().await;
    }
    done
}

async fn print_changes(
    device: &Device,
    output: &Output,
    sync: Option<&ContinuousSync>,
) -> Result<()> {
    let runtime = device.notes.storage().runtime();
    let bar = bar("{msg}");
    let mut live = device.notes.query("")?.live()?;
    let mut accounts = device.notes.accounts()?;
    let mut seen: Option<BTreeMap<String, Note>> = None;
    let mut status = sync.map(ContinuousSync::status);
    let mut events = sync.map(ContinuousSync::events);
    let mut ticks = tokio::time::interval(TICK);
    let mut end = std::pin::pin!(interrupted());
    loop {
        tokio::select! {
            () = &mut end => break,
            found = live.next() => {
                let Some(found) = found else { break };
                let now = found?.into_iter().map(|note| (note.id.clone(), note)).collect();
                bar.suspend(|| print_difference(output, seen.as_ref(), &now))?;
                seen = Some(now);
            }
            account = accounts.next() => {
                let Some(account) = account else { break };
                account?;
                // `notes login` in another terminal, it may be.
                if let Some(sync) = sync {
                    sync.logged_in();
                }
            }
            told = next_status(&mut status) => bar.set_message(describe(&told, runtime.now())),
            why = next_failure(&mut events) => bar.suspend(|| eprintln!("notes: {}", harmless(&why))),
            _ = ticks.tick() => {
                let Some(sync) = sync else { continue };
                bar.set_message(describe(&sync.status().borrow(), runtime.now()));
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// The next status; none where nothing is synced.
async fn next_status(status: &mut Option<watch::Receiver<SyncStatus>>) -> SyncStatus {
    if let Some(status) = status
        && status.changed().await.is_ok()
    {
        return status.borrow_and_update().clone();
    }
    std::future::pending().await
}

/// Why exchanges fail, once it is more than noise.
async fn next_failure(events: &mut Option<SyncEvents>) -> String {
    while let Some(events) = events {
        match events.next().await {
            Some(SyncEvent::Failed { error, .. }) => {
                return CliError::from(SyncError::Joined(error)).describe();
            }
            Some(_) => {}
            None => break,
        }
    }
    std::future::pending().await
}

/// What has become of the notes since they were last seen; the first time how many there are.
fn print_difference(
    output: &Output,
    before: Option<&BTreeMap<String, Note>>,
    now: &BTreeMap<String, Note>,
) -> Result<()> {
    let Some(before) = before else {
        let count = now.len() as u64;
        return output.value(
            &json!({"event": "watching", "notes": count}),
            format!("watching {}; Ctrl-C ends it", counted(count, "note")),
        );
    };
    for (id, note) in now {
        let (event, sign) = match before.get(id) {
            None => ("created", '+'),
            Some(former) if former != note => ("edited", '~'),
            Some(_) => continue,
        };
        output.value(
            &json!({"event": event, "note": note}),
            format!("{sign} {}  {}", short(id), first_line(note)),
        )?;
    }
    for (id, note) in before.iter().filter(|(id, _)| !now.contains_key(*id)) {
        output.value(
            &json!({"event": "removed", "note": note}),
            format!("- {}  {}", short(id), first_line(note)),
        )?;
    }
    Ok(())
}
