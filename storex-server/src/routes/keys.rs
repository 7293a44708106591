//! `/v1/keys`: what devices that encrypt leave for each other.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use storex_sync::http::{Code, id_of_text};
use storex_sync::{SEALED_KEY_LIMIT, SealedKeyName, SealedKeys, SharedSyncLog, SyncError};

use super::{Endpoint, Form, OCTETS};
use crate::app::App;
use crate::http::{Caller, Failure, InPath, Json, Octets, Outcome, malformed, octets};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let of_one = |endpoint: Endpoint| {
        endpoint.in_path("name", "Id", "Whatever its writer has chosen").fails(&[Code::Malformed])
    };
    vec![
        Endpoint::get("/v1/keys", "The names of all sealed keys, in ascending order", names)
            .answers(200, "The names", Form::Json("Names"))
            .fails(&[Code::NotFound]),
        of_one(Endpoint::get("/v1/keys/{name}", "A sealed key", get))
            .answers(200, "Its bytes", Form::Bytes(OCTETS))
            .fails(&[Code::NotFound]),
        of_one(Endpoint::put("/v1/keys/{name}", "Keep a sealed key; once for each name", put))
            .body(Form::Bytes(OCTETS))
            .answers(204, "It is kept", Form::Nothing)
            .fails(&[Code::Exists, Code::NotFound, Code::BodyTooLarge, Code::Timeout]),
    ]
}

fn of(log: &dyn SharedSyncLog) -> Outcome<&dyn SealedKeys> {
    log.keys().ok_or_else(|| Failure::new(Code::NotFound, "the log keeps no sealed keys"))
}

fn name(text: &str) -> Outcome<SealedKeyName> {
    id_of_text(text).map(SealedKeyName).map_err(|error| malformed(error.to_string()))
}

async fn names(State(app): State<Arc<App>>, caller: Caller) -> Outcome<Json<Vec<String>>> {
    let log = caller.log(&app).await?;
    let names = of(&*log)?.names().await?;
    Ok(Json(names.iter().map(ToString::to_string).collect()))
}

async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    InPath(text): InPath<String>,
) -> Outcome<Response> {
    let log = caller.log(&app).await?;
    let bytes = of(&*log)?.get(name(&text)?).await?;
    let none = || Failure::new(Code::NotFound, "there is no sealed key of this name");
    Ok(octets(OCTETS, bytes.ok_or_else(none)?))
}

async fn put(
    State(app): State<Arc<App>>,
    caller: Caller,
    InPath(text): InPath<String>,
    body: Octets,
) -> Outcome<StatusCode> {
    if body.bytes.len() > SEALED_KEY_LIMIT {
        return Err(Failure::too_large(SEALED_KEY_LIMIT));
    }
    let log = caller.log(&app).await?;
    match of(&*log)?.put(name(&text)?, &body.bytes).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(SyncError::KeyExists { .. }) => {
            Err(Failure::new(Code::Exists, "another one has this name"))
        }
        Err(error) => Err(error.into()),
    }
}
