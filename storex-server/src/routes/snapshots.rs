//! `/v1/snapshots`: what the log keeps in place of what it has dropped.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use storex_sync::http::messages::{PublishAnswer, SnapshotForm};
use storex_sync::http::{Code, device_of_text};
use storex_sync::{SharedSyncLog, SnapshotId, Snapshots, SyncError};

use super::{Endpoint, Form};
use crate::app::App;
use crate::http::{
    Caller, Failure, InPath, Json, JsonBody, OCTETS, Octets, Outcome, decimal, malformed, octets,
};

const PAGE: &str = "/v1/snapshots/{maker}/{number}/pages/{page}";

pub(super) fn endpoints() -> Vec<Endpoint> {
    let of_page = |endpoint: Endpoint| {
        endpoint
            .in_path("maker", "Device", "The device that makes the snapshot")
            .in_path("number", "Decimal", "The snapshot's number, drawn by the maker")
            .in_path("page", "Decimal", "The page, from 0")
            .fails(&[Code::Malformed, Code::NoSnapshots])
    };
    vec![
        of_page(Endpoint::put(PAGE, "Keep a page of a snapshot that is to be published", put_page))
            .body(Form::Bytes(OCTETS))
            .answers(204, "It is kept", Form::Nothing)
            .fails(&[Code::Forbidden, Code::Revoked, Code::BodyTooLarge, Code::Timeout]),
        of_page(Endpoint::get(PAGE, "A page of a snapshot", page))
            .answers(200, "The page", Form::Bytes(OCTETS))
            .fails(&[Code::NoSuchPage]),
        Endpoint::post("/v1/snapshots", "Make a snapshot the log's", publish)
            .body(Form::Json("Snapshot"))
            .answers(200, "Whether it is the log's now", Form::Json("PublishAnswer"))
            .fails(&[
                Code::Malformed,
                Code::WrongCursor,
                Code::Forbidden,
                Code::Revoked,
                Code::NoSnapshots,
                Code::BodyTooLarge,
            ]),
        Endpoint::get("/v1/snapshots", "The snapshot with which a device can begin", published)
            .answers(200, "The snapshot", Form::Json("Snapshot"))
            .fails(&[Code::NoSnapshot, Code::NoSnapshots]),
    ]
}

fn of(log: &dyn SharedSyncLog) -> Outcome<&dyn Snapshots> {
    Ok(log.snapshots().ok_or(SyncError::NoSnapshots)?)
}

fn page_of_path((maker, number, page): (String, String, String)) -> Outcome<(SnapshotId, u64)> {
    let maker = device_of_text(&maker).map_err(|error| malformed(error.to_string()))?;
    Ok((SnapshotId { maker, number: decimal(&number)? }, decimal(&page)?))
}

async fn put_page(
    State(app): State<Arc<App>>,
    caller: Caller,
    InPath(path): InPath<(String, String, String)>,
    body: Octets,
) -> Outcome<StatusCode> {
    let (id, page) = page_of_path(path)?;
    caller.admit(&app, id.maker.id).await?;
    let log = caller.log(&app).await?;
    of(&*log)?.put_page(id, page, &body.bytes).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn page(
    State(app): State<Arc<App>>,
    caller: Caller,
    InPath(path): InPath<(String, String, String)>,
) -> Outcome<Response> {
    let (id, page) = page_of_path(path)?;
    let log = caller.log(&app).await?;
    // It came as a body.
    let room = app.answers.reserve(&caller.user, app.config.limits.body_bytes).await;
    let bytes = of(&*log)?.page(id, page).await?;
    let gone = || Failure::new(Code::NoSuchPage, "the snapshot has no such page");
    Ok(room.of(octets(OCTETS, bytes.ok_or_else(gone)?)))
}

async fn publish(
    State(app): State<Arc<App>>,
    caller: Caller,
    JsonBody(snapshot): JsonBody<SnapshotForm>,
) -> Outcome<Json<PublishAnswer>> {
    caller.admit(&app, snapshot.maker.id).await?;
    let log = caller.log(&app).await?;
    let published = of(&*log)?.publish(&snapshot.into()).await?;
    app.trim_later(&caller.user);
    Ok(Json(PublishAnswer { published }))
}

async fn published(State(app): State<Arc<App>>, caller: Caller) -> Outcome<Json<SnapshotForm>> {
    let log = caller.log(&app).await?;
    let none = || Failure::new(Code::NoSnapshot, "the log has no snapshot");
    Ok(Json(of(&*log)?.published().await?.ok_or_else(none)?.into()))
}
