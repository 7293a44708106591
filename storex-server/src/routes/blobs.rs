//! `/v1/blobs`: what is too large for a row.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use storex_sync::http::Code;
use storex_sync::http::messages::{BlobAnswer, BlobQuery};
use storex_sync::{BLOB_CHUNK_LIMIT, BlobRef, BlobStore};

use super::{Endpoint, Form};
use crate::app::App;
use crate::http::{
    Caller, Failure, InPath, InQuery, Json, OCTETS, Outcome, decimal, malformed, octets,
    read_octets,
};
use crate::user::User;

const BLOB: &str = "/v1/blobs/{blob}";
const CHUNK: &str = "/v1/blobs/{blob}/chunks/{number}";

pub(super) fn endpoints() -> Vec<Endpoint> {
    let of_blob = |endpoint: Endpoint| {
        endpoint
            .in_path("blob", "Blob", "The name of the blob")
            .in_query("device", "Device", "The device that asks")
            .fails(&[Code::Malformed, Code::Forbidden, Code::Revoked])
    };
    let of_chunk =
        |endpoint: Endpoint| of_blob(endpoint).in_path("number", "Decimal", "Which chunk, from 0");
    vec![
        of_blob(Endpoint::get(BLOB, "What is there of a blob", state)).answers(
            200,
            "Whether all of it is there, and how many chunks from the front",
            Form::Json("BlobAnswer"),
        ),
        of_chunk(Endpoint::put(CHUNK, "Keep a chunk of a blob", put_chunk))
            .body(Form::Bytes(OCTETS))
            .answers(204, "It is kept", Form::Nothing)
            .fails(&[Code::BodyTooLarge, Code::Timeout]),
        of_chunk(Endpoint::get(CHUNK, "A chunk of a blob", chunk))
            .answers(200, "The chunk", Form::Bytes(OCTETS))
            .fails(&[Code::BlobMissing]),
        of_blob(Endpoint::post(BLOB, "Make the chunks a whole blob", finish))
            .answers(204, "It is whole", Form::Nothing)
            .fails(&[Code::BlobMissing]),
        of_blob(Endpoint::delete(BLOB, "Delete a blob, whole or not", remove)).answers(
            204,
            "It is not there",
            Form::Nothing,
        ),
    ]
}

/// The blobs of who asks: there is no way to another's. What is asked for blobs is counted by itself.
struct Blobs(Arc<dyn BlobStore>, User);

impl FromRequestParts<Arc<App>> for Blobs {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Outcome<Self> {
        let caller = Caller::for_blobs(parts, app).await?;
        let InQuery(BlobQuery { device }) = InQuery::from_request_parts(parts, app).await?;
        caller.admit(app, device.id).await?;
        Ok(Self(app.store.blobs(&caller.user).await?, caller.user))
    }
}

fn blob(text: &str) -> Outcome<BlobRef> {
    text.parse().map_err(|_| malformed("this is no name of a blob"))
}

/// A chunk that the blob has.
fn chunk_of_path((name, number): &(String, String)) -> Outcome<(BlobRef, u64)> {
    let (blob, number) = (blob(name)?, decimal(number)?);
    match blob.chunks() {
        chunks if number < chunks => Ok((blob, number)),
        chunks => Err(malformed(format!("the blob has {chunks} chunks, and none of this number"))),
    }
}

async fn state(Blobs(blobs, _): Blobs, InPath(name): InPath<String>) -> Outcome<Json<BlobAnswer>> {
    let blob = blob(&name)?;
    let (whole, chunks) = (blobs.has(&blob).await?, blobs.sent(&blob).await?);
    Ok(Json(BlobAnswer { whole, chunks }))
}

async fn put_chunk(
    State(app): State<Arc<App>>,
    Blobs(blobs, _): Blobs,
    InPath(path): InPath<(String, String)>,
    request: Request,
) -> Outcome<StatusCode> {
    let (blob, number) = chunk_of_path(&path)?;
    let mut body = read_octets(request, &app, BLOB_CHUNK_LIMIT).await?;
    let (range, found) = (blob.chunk_range(number), body.bytes.len() as u64);
    let expected = range.end - range.start;
    if found != expected {
        let wrong = format!("chunk {number} of this blob has {expected} bytes, and {found} came");
        return Err(malformed(wrong));
    }
    blobs.put_chunk(&blob, number, std::mem::take(&mut body.bytes).into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn chunk(
    State(app): State<Arc<App>>,
    Blobs(blobs, user): Blobs,
    InPath(path): InPath<(String, String)>,
) -> Outcome<Response> {
    let (blob, number) = chunk_of_path(&path)?;
    let room = app.answers.reserve(&user, BLOB_CHUNK_LIMIT).await;
    Ok(room.of(octets(OCTETS, blobs.chunk(&blob, number).await?)))
}

async fn finish(Blobs(blobs, _): Blobs, InPath(name): InPath<String>) -> Outcome<StatusCode> {
    blobs.finish(&blob(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(Blobs(blobs, _): Blobs, InPath(name): InPath<String>) -> Outcome<StatusCode> {
    blobs.remove(&blob(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
