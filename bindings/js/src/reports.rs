//! What is told of sync: status, events and reports, as `lib/sync.js` reads them.

use serde_json::{Value as Json, json};
use storex_core::Timestamp;
use storex_sync::{Phase, SyncEvent, SyncReport, SyncStatus};

pub(crate) fn status_json(status: &SyncStatus) -> Json {
    let at = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
    json!({
        "phase": phase_word(status.phase),
        "inStep": status.in_step,
        "rounds": status.rounds,
        "failures": status.failures,
        "unsent": status.unsent,
        "parked": status.parked,
        "rejected": status.rejected,
        "missing": status.missing.len(),
        "lastSuccess": at(status.last_success),
        "lastError": status.last_error,
        "lastErrorAt": at(status.last_error_at),
        "nextAttempt": at(status.next_attempt),
        "progress": status.progress.map(|it| {
            json!({ "sent": it.sent, "toSend": it.to_send, "received": it.received })
        }),
    })
}

fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "waiting",
        Phase::Sending => "sending",
        Phase::Receiving => "receiving",
        Phase::Offline => "offline",
        Phase::Paused => "paused",
        Phase::NeedsLogin => "needs-login",
        Phase::BackingOff { .. } => "backing-off",
        Phase::StandingBy => "standing-by",
        Phase::Stopped => "stopped",
        _ => "disconnected",
    }
}

pub(crate) fn event_json(event: &SyncEvent) -> Json {
    match event {
        SyncEvent::Exchanged(report) => {
            json!({ "type": "exchanged", "report": report_json(report) })
        }
        SyncEvent::Failed { error, attempts } => json!({
            "type": "failed",
            "message": error.to_string(),
            "retryable": error.is_retryable(),
            "attempts": attempts,
        }),
        SyncEvent::Compacted(_) => json!({ "type": "compacted" }),
        _ => json!({ "type": "other" }),
    }
}

pub(crate) fn report_json(report: &SyncReport) -> Json {
    json!({
        "sent": report.sent_transactions,
        "received": report.received.transactions,
        "conflicts": report.received.conflicts.len(),
        "rejected": report.rejected.len(),
    })
}
