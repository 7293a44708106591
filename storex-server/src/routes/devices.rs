//! `/v1/devices`: the devices of whoever asks.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use storex_sync::http::messages::{ListedDevice, LogAnswer, Register};
use storex_sync::http::{Code, id_of_text};

use super::{Endpoint, Form};
use crate::app::App;
use crate::http::{Caller, InPath, Json, JsonBody, Outcome, malformed, revoked};
use crate::store::DeviceInfo;

/// The most bytes of what people call a device.
const LONGEST_NAME: usize = 200;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/v1/devices",
            "Make a device a member of the log; again, it stays one",
            register,
        )
        .body(Form::Json("Register"))
        .answers(200, "The log's identity", Form::Json("LogAnswer"))
        .fails(&[Code::Malformed, Code::Forbidden, Code::Revoked, Code::BodyTooLarge]),
        Endpoint::get("/v1/devices", "The devices that have come, in that order", list).answers(
            200,
            "The devices",
            Form::Json("Devices"),
        ),
        Endpoint::delete("/v1/devices/{id}", "Shut a device out for good", revoke)
            .in_path("id", "Id", "The device, whatever its incarnation")
            .answers(204, "It is shut out", Form::Nothing)
            .fails(&[Code::Malformed, Code::Forbidden]),
    ]
}

async fn register(
    State(app): State<Arc<App>>,
    caller: Caller,
    JsonBody(Register { device, name }): JsonBody<Register>,
) -> Outcome<Json<LogAnswer>> {
    caller.allow(device.id)?;
    let name = name.as_deref();
    if name.is_some_and(|name| name.len() > LONGEST_NAME || name.chars().any(char::is_control)) {
        return Err(malformed("a name has at most 200 bytes, and no control characters"));
    }
    let log = caller.log(&app).await?;
    let noted = app.store.note_device(&caller.user, device.id, name, app.runtime.now()).await?;
    if noted.revoked_at.is_some() {
        return Err(revoked());
    }
    let log = log.register(device).await?;
    Ok(Json(LogAnswer { log }))
}

async fn list(State(app): State<Arc<App>>, caller: Caller) -> Outcome<Json<Vec<ListedDevice>>> {
    let devices = app.store.devices(&caller.user).await?;
    Ok(Json(devices.into_iter().map(listed).collect()))
}

fn listed(
    DeviceInfo { id, name, registered_at, last_seen, revoked_at }: DeviceInfo,
) -> ListedDevice {
    let (registered_at, last_seen) = (registered_at.0, last_seen.0);
    ListedDevice { id, name, registered_at, last_seen, revoked: revoked_at.is_some() }
}

async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    InPath(id): InPath<String>,
) -> Outcome<StatusCode> {
    let device = id_of_text(&id).map_err(|error| malformed(error.to_string()))?;
    caller.allow(device)?;
    app.store.revoke(&caller.user, device, app.runtime.now()).await?;
    app.shut_out(&caller.user, device);
    let log = caller.log_to_manage(&app).await?;
    for member in log.members().await?.into_iter().filter(|it| it.device.id == device) {
        log.dismiss(member.device).await?;
    }
    app.trim_later(&caller.user);
    Ok(StatusCode::NO_CONTENT)
}
