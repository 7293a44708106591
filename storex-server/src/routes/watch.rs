//! `/v1/log/watch` and `/v1/log/changed`: to be told of news.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use storex_core::BoxFuture;
use storex_sync::SyncError;
use storex_sync::http::Code;
use storex_sync::http::messages::{ChangedAnswer, WatchNews, WatchPlace};
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::tungstenite::Message;

use super::{Access, Endpoint, Form};
use crate::app::App;
use crate::http::{
    Caller, Close, Failure, InQuery, Json, Outcome, Socket, Upgrade, authenticate, bearer, greet,
    revoked, socket_config,
};
use crate::limiter::Who;
use crate::sessions::{Ending, Session};

/// The most bytes of what a client of the watch says.
const MESSAGE_BYTES: usize = 16 << 10;
/// The buffer of a socket, of which there may be many thousands.
const BUFFER: usize = 1 << 10;
/// So many heartbeats go out without a word from the other side before it is taken for gone.
const UNANSWERED: u32 = 3;
/// For how long a long poll waits if it does not say, and at most.
const WAIT: Duration = Duration::from_secs(25);
const LONGEST_WAIT: Duration = Duration::from_secs(55);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v1/log/watch", "A WebSocket that tells of news", watch)
            .access(Access::Socket)
            .answers(101, "A WebSocket of the subprotocol `storex.v1`", Form::Nothing)
            .fails(&[Code::Malformed, Code::Forbidden, Code::Revoked]),
        Endpoint::get(
            "/v1/log/changed",
            "Wait until something of others may follow a place",
            changed,
        )
        .in_query("device", "Device", "Who waits")
        .in_query("after", "Hex", "The place")
        .maybe_in_query("wait", "Seconds", "For how many seconds; at most 55")
        .answers(200, "Whether something may follow", Form::Json("ChangedAnswer"))
        .fails(&[Code::Malformed, Code::WrongCursor, Code::Forbidden, Code::Revoked]),
    ]
}

#[derive(Debug, Deserialize)]
struct Wait {
    wait: Option<u64>,
}

async fn changed(
    State(app): State<Arc<App>>,
    caller: Caller,
    InQuery(WatchPlace { device, after }): InQuery<WatchPlace>,
    InQuery(Wait { wait }): InQuery<Wait>,
) -> Outcome<Json<ChangedAnswer>> {
    let mut session = app.session(&caller)?;
    session.of_device(device.id);
    caller.admit(&app, device.id).await?;
    let log = caller.log(&app).await?;
    // No longer than a request may take.
    let longest = LONGEST_WAIT.min(app.config.timeouts.request / 2);
    let wait = wait.map_or(WAIT, Duration::from_secs).min(longest);
    let changed = tokio::select! {
        biased;
        ending = session.ended() => match ending {
            Ending::Revoked => return Err(revoked()),
            Ending::GoingAway => false,
        },
        changed = log.changed(device, &after) => changed.map(|()| true)?,
        () = app.runtime.sleep(wait) => false,
    };
    Ok(Json(ChangedAnswer { changed }))
}

async fn watch(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Outcome<Response> {
    let arrival = match bearer(&headers)? {
        Some(token) => {
            let caller = authenticate(&app, token).await?;
            let session = app.session(&caller)?;
            Arrival::Known(caller, session)
        }
        None => Arrival::Stranger(app.greeting()?),
    };
    let runtime = Arc::clone(&app.runtime);
    let config = socket_config(MESSAGE_BYTES, BUFFER);
    Ok(upgrade.accept(&*runtime, config, async move |mut socket| {
        if let Some(close) = run(&app, &mut socket, arrival).await {
            close.tell(socket).await;
        }
    }))
}

/// Who comes.
enum Arrival {
    Known(Caller, Session),
    /// It says in its first message who it is.
    Stranger(OwnedSemaphorePermit),
}

/// Runs a watch to its end. Tells why it is to be closed, or `None` when it is gone.
async fn run(app: &App, socket: &mut Socket, arrival: Arrival) -> Option<Close> {
    let (caller, session) = match arrival {
        Arrival::Known(caller, session) => (caller, session),
        Arrival::Stranger(_greeting) => match greet(app, socket).await {
            Ok(caller) => match app.session(&caller) {
                Ok(session) => (caller, session),
                Err(failure) => return Some(failure.into()),
            },
            Err(close) => return Some(close),
        },
    };
    let nothing = Box::pin(std::future::pending());
    let heartbeat = app.runtime.sleep(app.config.timeouts.heartbeat);
    let mut watch =
        Watch { app, caller, session, news: nothing, heartbeat, unanswered: 0, place: None };
    loop {
        match watch.step(socket).await {
            Ok(()) => {}
            Err(End::Close(close)) => return Some(close),
            Err(End::Gone) => return None,
        }
    }
}

/// What a watch is about.
struct Watch<'a> {
    app: &'a App,
    caller: Caller,
    session: Session,
    place: Option<WatchPlace>,
    /// Completes when there is news.
    news: BoxFuture<'static, Result<(), SyncError>>,
    heartbeat: BoxFuture<'static, ()>,
    unanswered: u32,
}

/// How a watch ends.
enum End {
    Close(Close),
    Gone,
}

impl<T: Into<Close>> From<T> for End {
    fn from(why: T) -> Self {
        Self::Close(why.into())
    }
}

impl Watch<'_> {
    async fn step(&mut self, socket: &mut Socket) -> Result<(), End> {
        tokio::select! {
            biased;
            ending = self.session.ended() => Err(ending.into()),
            news = &mut self.news => {
                self.news = Box::pin(std::future::pending());
                news.map_err(Failure::from)?;
                self.app.metrics.news.add(1);
                say(socket, WatchNews { news: true }).await
            }
            message = socket.next() => {
                self.unanswered = 0;
                match message {
                    Some(Ok(Message::Text(text))) => self.place(&text).await,
                    Some(Ok(Message::Binary(_))) => Err(Close::MALFORMED.into()),
                    // Pings are answered by the crate.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
                }
            }
            () = &mut self.heartbeat => self.beat(socket).await,
        }
    }

    /// The client tells where it is.
    async fn place(&mut self, text: &str) -> Result<(), End> {
        self.app.take_request(Who::User(self.caller.user.clone()))?;
        let place: WatchPlace = serde_json::from_str(text).map_err(|_| Close::MALFORMED)?;
        // In this order: a revocation in between is noticed by one of the two.
        self.session.of_device(place.device.id);
        self.caller.admit(self.app, place.device.id).await?;
        let (log, WatchPlace { device, after }) = (self.caller.log(self.app).await?, place.clone());
        self.place = Some(place);
        self.news = Box::pin(async move { log.changed(device, &after).await });
        Ok(())
    }

    /// Says that the server is alive, asks for a sign of life, and looks whether the token is still good and the device still let in.
    async fn beat(&mut self, socket: &mut Socket) -> Result<(), End> {
        if self.unanswered >= UNANSWERED {
            return Err(Close::SILENT.into());
        }
        self.unanswered += 1;
        self.heartbeat = self.app.runtime.sleep(self.app.config.timeouts.heartbeat);
        self.caller.verify_again(self.app).await?;
        if let Some(place) = &self.place {
            self.caller.admit(self.app, place.device.id).await?;
        }
        say(socket, WatchNews::default()).await?;
        socket.send(Message::Ping(bytes::Bytes::new())).await.map_err(|_| End::Gone)
    }
}

async fn say(socket: &mut Socket, news: WatchNews) -> Result<(), End> {
    // A struct of one boolean is always JSON.
    let text = serde_json::to_string(&news).unwrap_or_default();
    socket.send(Message::text(text)).await.map_err(|_| End::Gone)
}
