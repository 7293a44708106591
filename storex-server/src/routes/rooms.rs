//! `/v1/rooms`: the relay.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use storex_sync::http::Code;
use storex_sync::http::messages::RoomAnswer;

use super::{Access, Endpoint, Form};
use crate::app::App;
use crate::http::{
    Caller, Close, Failure, InPath, Json, Outcome, Peer, Upgrade, authenticate, bearer, greet,
    origin, socket_config,
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
async fn caller(app: &App, headers: &HeaderMap, from: &Who) -> Outcome<Option<Caller>> {
    match bearer(headers)? {
        Some(token) => Ok(Some(authenticate(app, token).await?)),
        None if app.config.relay.open => {
            app.take_request(from.clone())?;
            Ok(None)
        }
        None => Ok(None),
    }
}

/// As whom somebody without a token is counted.
fn stranger(app: &App, headers: &HeaderMap, Peer(peer): Peer) -> Who {
    Who::Address(origin(peer, headers, &app.config.proxies))
}

async fn make(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Outcome<Json<RoomAnswer>> {
    let stranger = stranger(&app, &headers, peer);
    let caller = caller(&app, &headers, &stranger).await?;
    if caller.is_none() && !app.config.relay.open {
        return Err(Failure::new(Code::Unauthorized, "there is no `authorization: Bearer ..`"));
    }
    let maker = match &caller {
        Some(caller) => Who::User(caller.user.clone()),
        None => stranger,
    };
    let room = app.rooms.make(owner(&app, caller), maker, &*app.runtime)?;
    Ok(Json(RoomAnswer { room }))
}

/// Whose a room is: in an open relay nobody's, as the other one may have no token.
fn owner(app: &App, caller: Option<Caller>) -> Option<User> {
    caller.filter(|_| !app.config.relay.open).map(|caller| caller.user)
}

async fn enter(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    InPath(room): InPath<String>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Outcome<Response> {
    let caller = caller(&app, &headers, &stranger(&app, &headers, peer)).await?;
    // Who is not known yet says in the first message who it is.
    let entered = match caller.is_some() || app.config.relay.open {
        true => Ok(go_in(&app, &room, caller)?),
        false => Err(app.greeting()?),
    };
    let runtime = Arc::clone(&app.runtime);
    let config = socket_config(app.config.relay.message_bytes, BUFFER);
    Ok(upgrade.accept(&*runtime, config, async move |mut socket| {
        let entered = match entered {
            Ok(inside) => Ok(inside),
            Err(_greeting) => match greet(&app, &mut socket).await {
                Ok(caller) => go_in(&app, &room, Some(caller)).map_err(Close::from),
                Err(close) => Err(close),
            },
        };
        match entered {
            Ok((entered, seat)) => stay(&app, entered, Guest::new(socket, seat)).await,
            Err(close) => close.tell(socket).await,
        }
    }))
}

fn go_in(app: &App, room: &str, caller: Option<Caller>) -> Outcome<(Entered, Seat)> {
    let seat = match &caller {
        None => Seat::Stranger(app.slot()?),
        Some(caller) => Seat::User(app.session(caller)?),
    };
    let owner = owner(app, caller);
    Ok((app.rooms.enter(room, owner.as_ref(), app.runtime.now())?, seat))
}

async fn stay(app: &App, entered: Entered, guest: Guest) {
    match entered {
        Entered::First(comes, room) => wait_for_other(app, guest, comes, room).await,
        Entered::Second(waiting) => join(guest, waiting).await,
    }
}
