//! `/v1/log`: the log of whoever asks.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use storex_sync::http::messages::{
    Dismiss, DismissAnswer, ListedMember, LogAnswer, Reidentify, TrimAnswer, UsageAnswer,
};
use storex_sync::http::{Code, wire};
use storex_sync::{Device, LogRequest, SharedSyncLog, SyncError};

use super::{Endpoint, Form};
use crate::app::App;
use crate::config::Limits;
use crate::http::{Caller, Failure, InQuery, Json, JsonBody, Octets, Outcome, malformed, octets};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/v1/log/exchange",
            "Acknowledge, append and read, as far as it is asked for",
            exchange,
        )
        .maybe_in_query(
            "limit",
            "Limit",
            "The most bytes of transactions in the page; it has one at least if there is one",
        )
        .body(Form::Bytes(wire::REQUEST_TYPE))
        .answers(200, "What was read", Form::Bytes(wire::PAGE_TYPE))
        .answers(204, "Nothing was to be read", Form::Nothing)
        .fails(&[
            Code::Malformed,
            Code::WrongCursor,
            Code::Forked,
            Code::Gap,
            Code::LogReplaced,
            Code::BelowFloor,
            Code::Rejected,
            Code::BodyTooLarge,
            Code::Forbidden,
            Code::Revoked,
            Code::Timeout,
        ]),
        Endpoint::get(
            "/v1/log/members",
            "The devices that the log keeps transactions for",
            members,
        )
        .answers(200, "The members", Form::Json("Members")),
        Endpoint::post(
            "/v1/log/dismiss",
            "Make a device that will not come back no longer a member",
            dismiss,
        )
        .body(Form::Json("Dismiss"))
        .answers(200, "Whether it was one", Form::Json("DismissAnswer"))
        .fails(&[Code::Malformed, Code::Forbidden, Code::BodyTooLarge]),
        Endpoint::post(
            "/v1/log/reidentify",
            "Give the log another identity, if it still has this one",
            reidentify,
        )
        .body(Form::Json("Reidentify"))
        .answers(200, "The identity that it has now", Form::Json("LogAnswer"))
        .fails(&[Code::Malformed, Code::BodyTooLarge]),
        Endpoint::post("/v1/log/trim", "Drop what all members have", trim).answers(
            200,
            "How many transactions were dropped",
            Form::Json("TrimAnswer"),
        ),
        Endpoint::get("/v1/log/usage", "What the log holds", usage)
            .answers(200, "Its numbers", Form::Json("UsageAnswer"))
            .fails(&[Code::NoSnapshots]),
    ]
}

#[derive(Debug, Deserialize)]
struct Limit {
    limit: Option<usize>,
}

async fn exchange(
    State(app): State<Arc<App>>,
    caller: Caller,
    InQuery(Limit { limit }): InQuery<Limit>,
    body: Octets,
) -> Outcome<Response> {
    let request = decode(&app, &body)?;
    let changes = request.acknowledge.is_some() || !request.append.is_empty();
    // Nobody may read, which is how everything is read; but nobody has written nothing.
    if changes || request.device != Device::NOBODY {
        caller.admit(&app, request.device.id).await?;
    }
    let log = caller.log(&app).await?;
    if changes {
        app.trim_later(&caller.user);
    }
    refuse_long(&app, &*log, &request).await?;
    let Limits { page_bytes, entry_bytes, .. } = app.config.limits;
    let limit = limit.unwrap_or(page_bytes).min(page_bytes);
    let room = match request.read {
        // A page has one transaction at least.
        Some(_) => Some(app.answers.reserve(&caller.user, limit.max(entry_bytes)).await),
        None => None,
    };
    let page = log.exchange(&request, limit).await?;
    app.metrics.appended.add(request.append.len() as u64);
    let (Some(page), Some(room)) = (page, room) else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    app.metrics.read.add(page.transactions.len() as u64);
    Ok(room.of(octets(wire::PAGE_TYPE, wire::encode_page(&page))))
}

/// Bytes of the caller that are no request are its fault, not a damage of ours.
fn decode(app: &App, body: &Octets) -> Outcome<LogRequest> {
    let decoded = wire::decode_request(&body.bytes, app.config.limits.transactions);
    decoded.map_err(|error| match error {
        // Sent in parts it fits.
        SyncError::FrameTooLarge { bytes: count, limit } => {
            let message = format!("{count} transactions in one request are more than {limit}");
            Failure::new(Code::BodyTooLarge, message)
        }
        error => malformed(error.to_string()),
    })
}

/// Refuses a transaction that is too long, as an exchange does: what is in front of it was done.
async fn refuse_long(app: &App, log: &dyn SharedSyncLog, request: &LogRequest) -> Outcome<()> {
    let most = app.config.limits.entry_bytes;
    let Some(long) = request.append.iter().find(|it| it.payload.len() > most) else {
        return Ok(());
    };
    if let Some(cursor) = &request.acknowledge {
        log.acknowledge(request.device, cursor).await?;
    }
    let reason = format!("it has {} bytes, and at most {most} are taken", long.payload.len());
    let (device, sequence) = (long.device, long.sequence);
    Err(SyncError::Rejected { device, sequence, reason, is_too_large: true }.into())
}

async fn members(State(app): State<Arc<App>>, caller: Caller) -> Outcome<Json<Vec<ListedMember>>> {
    let members = caller.log_to_manage(&app).await?.members().await?;
    Ok(Json(members.into_iter().map(Into::into).collect()))
}

async fn dismiss(
    State(app): State<Arc<App>>,
    caller: Caller,
    JsonBody(Dismiss { device }): JsonBody<Dismiss>,
) -> Outcome<Json<DismissAnswer>> {
    caller.allow(device.id)?;
    let dismissed = caller.log_to_manage(&app).await?.dismiss(device).await?;
    app.trim_later(&caller.user);
    Ok(Json(DismissAnswer { dismissed }))
}

async fn reidentify(
    State(app): State<Arc<App>>,
    caller: Caller,
    JsonBody(Reidentify { known }): JsonBody<Reidentify>,
) -> Outcome<Json<LogAnswer>> {
    let log = caller.log(&app).await?.reidentify(known).await?;
    Ok(Json(LogAnswer { log }))
}

async fn trim(State(app): State<Arc<App>>, caller: Caller) -> Outcome<Json<TrimAnswer>> {
    Ok(Json(caller.log(&app).await?.trim().await?.into()))
}

async fn usage(State(app): State<Arc<App>>, caller: Caller) -> Outcome<Json<UsageAnswer>> {
    let log = caller.log(&app).await?;
    let snapshots = log.snapshots().ok_or(SyncError::NoSnapshots)?;
    Ok(Json(snapshots.usage().await?.into()))
}
