//! `/v1/rooms`: the relay.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use storex_sync::http::Code;
use storex_sync::http::messages::RoomAnswer;
use tokio::sync::OwnedSemaphorePermit;

use super::{Access, Endpoint, Form};
use crate::app::App;
use crate::http::{
    Caller, Close, Failure, InPath, Json, Outcome, Peer, Upgrade, authenticate, bearer, greet,
    socket_config,
};
use crate::limiter::Who;
use crate::relay::{Entered, Guest, Seat, join, wait_for_other};
use crate::user::User;

/// The buffer of a socket that carries data.
const BUFFER: usize = 16 << 10;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/v1/rooms", "Make a room in which two devices meet", make)
            .access(Access::Relay)
            .answers(200, "Its number", Form::Json("RoomAnswer"))
            .fails(&[Code::TooManyRooms]),
        Endpoint::get("/v1/rooms/{room}", "A WebSocket to whoever else is in the room", enter)
            .access(Access::Socket)
            .in_path("room", "Room", "The room's number")
            .answers(101, "A WebSocket of binary messages", Form::Nothing)
            .fails(&[Code::Malformed, Code::NoSuchRoom, Code::RoomFull]),
    ]
}

/// Who is there: somebody with a token, or anybody where the relay is open.
async fn caller(app: &App, headers: &HeaderMap, peer: Peer) -> Outcome<Option<Caller>> {
    match bearer(headers)? {
        Some(token) => Ok(Some(authenticate(app, token).await?)),
        None if app.config.relay.open => {
            app.take_request(Who::Address(peer.0))?;
            Ok(None)
        }
        None => Ok(None),
    }
}

async fn make(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Outcome<Json<RoomAnswer>> {
    let caller = caller(&app, &headers, peer).await?;
    if caller.is_none() && !app.config.relay.open {
        return Err(Failure::new(Code::Unauthorized, "there is no `authorization: Bearer ..`"));
    }
    let maker = match &caller {
        Some(caller) => Who::User(caller.user.clone()),
        None => Who::Address(peer.0),
    };
    let room = app.rooms.make(owner(&app, caller), maker, &*app.runtime)?;
    Ok(Json(RoomAnswer { room }))
}

/// Whose a room is: in an open relay nobody's, as the other one may have no token.
fn owner(app: &App, caller: Option<Caller>) -> Option<User> {
    caller.filter(|_| !app.config.relay.open).map(|caller| caller.user)
}

/// How far somebody has come.
enum Door {
    Inside(Entered, Seat),
    /// It is not known yet who it is.
    Outside(OwnedSemaphorePermit),
}

async fn enter(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    InPath(room): InPath<String>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Outcome<Response> {
    let caller = caller(&app, &headers, peer).await?;
    let door = match caller.is_some() || app.config.relay.open {
        true => go_in(&app, &room, caller)?,
        false => Door::Outside(app.sessions.greeting().ok_or_else(too_many)?),
    };
    let runtime = Arc::clone(&app.runtime);
    let config = socket_config(app.config.relay.message_bytes, BUFFER);
    Ok(upgrade.accept(&*runtime, config, async move |mut socket| {
        let door = match door {
            Door::Outside(_greeting) => match greet(&app, &mut socket).await {
                Ok(caller) => go_in(&app, &room, Some(caller)).map_err(Close::from),
                Err(close) => Err(close),
            },
            inside => Ok(inside),
        };
        match door {
            Ok(Door::Inside(entered, seat)) => stay(&app, entered, Guest::new(socket, seat)).await,
            Ok(Door::Outside(_)) => {}
            Err(close) => close.tell(socket).await,
        }
    }))
}

fn too_many() -> Failure {
    let after = std::time::Duration::from_secs(5);
    Failure::rate_limited(Code::RateLimited, "too many connections are open", after)
}

fn go_in(app: &App, room: &str, caller: Option<Caller>) -> Outcome<Door> {
    let slot = app.sessions.slot().ok_or_else(too_many)?;
    let owner = owner(app, caller.clone());
    let seat = match caller {
        None => Seat::Stranger(slot),
        Some(Caller { user, bound, .. }) => {
            let session = app.sessions.begin(slot, user).ok_or_else(too_many)?;
            bound.into_iter().for_each(|device| session.of_device(device));
            Seat::User(session)
        }
    };
    let entered = app.rooms.enter(room, owner.as_ref(), app.runtime.now())?;
    Ok(Door::Inside(entered, seat))
}

async fn stay(app: &App, entered: Entered, guest: Guest) {
    match entered {
        Entered::First(comes, room) => wait_for_other(app, guest, comes, room).await,
        Entered::Second(waiting) => join(guest, waiting).await,
    }
}
