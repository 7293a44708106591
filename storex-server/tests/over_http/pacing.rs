//! What makes requests, how often, and how a server is left alone.

use std::time::Duration;

use storex_server::{Config, Limits};
use storex_sync::engine::Triggers;
use storex_sync::{Phase, SyncError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::world::{Asked, Fault, Site, Sockets, assert_in_step, let_run, until, verifier};
use crate::{LONG, SECOND};

const EXCHANGE: &str = "/v1/log/exchange";
const CHANGED: &str = "/v1/log/changed";

fn wait_so_long(milliseconds: u64) -> Fault {
    let body = format!(r#"{{"code": "rate_limited", "retry_after_ms": {milliseconds}}}"#);
    Fault::Answer(429, vec![("content-type", "application/problem+json".to_owned())], body)
}

/// Ten minutes without a connection that the application knows of: no request and no WebSocket. Then everything within a second.
#[tokio::test(start_paused = true)]
async fn c62_over_http_off_line_nothing_is_asked_and_on_line_it_is_in_step_within_a_second() {
    let (site, _store) = Site::start().await;
    let (a, b) = (site.device(1).await, site.device(2).await);
    let (connection, online) = watch::channel(true);
    let on_a = a.builder().await.online(online).start();
    let on_b = b.start().await;
    sleep(SECOND * 5).await;
    connection.send(false).unwrap();
    a.wire.down(true);
    let_run().await;
    assert_eq!(on_a.status().borrow().phase, Phase::Offline);
    a.wire.forget();
    for n in 0..10 {
        a.note(&format!("a{n}")).await;
        b.note(&format!("b{n}")).await;
        sleep(SECOND * 60).await;
    }
    assert_eq!(a.wire.attempts(), 0);
    let status = on_a.status().borrow().clone();
    assert_eq!((status.unsent, status.failures, status.last_error), (10, 0, None));
    a.wire.down(false);
    connection.send(true).unwrap();
    let took = until(async || a.count().await == 20 && b.count().await == 20).await;
    println!("in step {took:?} after there is a connection");
    assert!(took < SECOND, "{took:?}");
    assert_in_step(&[&a, &b]).await;
    on_a.stop().await;
    on_b.stop().await;
}

/// Ten minutes in which nobody says that there is no connection: it is tried as often as the back-off says, and no more.
#[tokio::test(start_paused = true)]
async fn c62_over_http_a_server_that_is_away_is_asked_as_the_back_off_says() {
    let (site, _store) = Site::start().await;
    let (a, b) = (site.device(1).await, site.device(2).await);
    let (connection, online) = watch::channel(true);
    let on_a = a.builder().await.online(online).start();
    let on_b = b.start().await;
    sleep(SECOND * 5).await;
    a.wire.down(true);
    a.wire.forget();
    let begun = Instant::now();
    for n in 0..600 {
        if n % 60 == 0 {
            a.note(&format!("a{n}")).await;
        }
        sleep(SECOND).await;
    }
    // Half of each wait may be left off: 0.5, 1, 2, 4 … 150 s.
    let mut most = 1;
    let (mut at, mut wait) = (Duration::ZERO, SECOND / 2);
    while at < begun.elapsed() {
        (at, wait, most) = (at + wait, (wait * 2).min(SECOND * 150), most + 1);
    }
    let tried = a.wire.rounds();
    println!(
        "{tried} exchanges and {} WebSockets were tried in ten minutes",
        a.wire.connects().len()
    );
    assert!((6..=most).contains(&tried), "{tried}, at most {most}");
    // To listen is tried while it is not known yet that the server is away.
    assert!(a.wire.attempts() <= most + 5, "{} attempts", a.wire.attempts());
    a.wire.down(false);
    connection.send(true).unwrap();
    // There was a connection all the time; a new one is told by a change.
    connection.send(false).unwrap();
    let_run().await;
    connection.send(true).unwrap();
    let took = until(async || b.count().await == 10).await;
    assert!(took < SECOND, "{took:?}");
    on_a.stop().await;
    on_b.stop().await;
}

/// A hundred writes within a tenth of a second.
#[tokio::test(start_paused = true)]
async fn c63_over_http_a_burst_of_writes_is_at_most_two_requests() {
    let (site, _store) = Site::start().await;
    let a = site.device(1).await;
    let on_a = a.start().await;
    sleep(SECOND).await;
    a.wire.forget();
    for n in 0..100 {
        a.note(&format!("{n}")).await;
        let_run().await;
    }
    sleep(SECOND).await;
    let asked = a.wire.asked();
    let sent: usize = asked.iter().filter_map(|it| Some(it.exchange.as_ref()?.append.len())).sum();
    let pushes = asked.iter().filter(|it| it.sends()).count();
    assert!(
        pushes <= 2 && asked.len() <= 2 && sent == 100,
        "{pushes} pushes, {sent} sent, {asked:?}"
    );
    on_a.stop().await;
}

/// Each trigger makes an exchange where it is the only one, and none of the others does then.
#[tokio::test(start_paused = true)]
async fn c63_over_http_each_trigger_works_alone() {
    const INTERVAL: Duration = Duration::from_secs(10);
    let (site, _store) = Site::start().await;
    let (a, other) = (site.device(1).await, site.device(2).await);
    let (connection, online) = watch::channel(false);
    a.sync_once().await;
    // After a start the first exchange sends and receives in a request each.
    let at = || {
        let mut at = a.wire.exchanges();
        at.dedup();
        at
    };
    let exchanges = || at().len();
    let start = async |triggers| {
        a.wire.forget();
        let builder = a.builder().await.triggers(triggers).intervals(INTERVAL, INTERVAL);
        builder.online(online.clone()).start()
    };

    let on_a = start(Triggers { online: true, ..Triggers::MANUAL }).await;
    sleep(INTERVAL * 5).await;
    assert_eq!(exchanges(), 0);
    connection.send(true).unwrap();
    sleep(INTERVAL * 5).await;
    assert_eq!(exchanges(), 1, "a connection");
    on_a.stop().await;

    let on_a = start(Triggers { startup: true, ..Triggers::MANUAL }).await;
    let_run().await;
    a.note("1").await;
    sleep(INTERVAL * 5).await;
    assert_eq!(exchanges(), 1, "the start");
    on_a.stop().await;

    let on_a = start(Triggers { timer: true, ..Triggers::MANUAL }).await;
    let begun = Instant::now();
    a.note("2").await;
    sleep(INTERVAL * 3 + SECOND).await;
    let at: Vec<u64> = at().iter().map(|at| (*at - begun).as_secs()).collect();
    assert_eq!(at, [10, 20, 30], "the interval");
    on_a.stop().await;

    let on_a = start(Triggers { local_change: true, ..Triggers::MANUAL }).await;
    sleep(INTERVAL * 5).await;
    assert_eq!(exchanges(), 0);
    a.note("3").await;
    sleep(INTERVAL * 5).await;
    assert_eq!(exchanges(), 1, "a write");
    on_a.stop().await;

    // News come once it has exchanged, which tells where it is.
    let on_a = start(Triggers { remote_news: true, ..Triggers::MANUAL }).await;
    on_a.sync_now().await.unwrap().unwrap();
    a.note("4").await;
    sleep(INTERVAL * 5).await;
    assert_eq!(exchanges(), 1);
    other.note("5").await;
    other.sync_once().await;
    sleep(SECOND).await;
    assert!(exchanges() >= 2 && a.get("5").await.is_some(), "news");
    on_a.stop().await;

    let on_a = start(Triggers::MANUAL).await;
    a.note("6").await;
    other.note("7").await;
    other.sync_once().await;
    sleep(LONG / 10).await;
    assert_eq!(exchanges(), 0, "eager off: nothing until it is asked for");
    assert_eq!(on_a.sync_now().await.unwrap().unwrap().sent_transactions, 1);
    assert!(a.get("7").await.is_some());
    on_a.stop().await;
}

/// Nothing to do: the interval grows up to the longest. Something to do: it is the shortest again.
#[tokio::test(start_paused = true)]
async fn c65_over_http_the_interval_grows_when_nothing_happens_and_shrinks_when_something_does() {
    let (site, _store) = Site::start().await;
    let (a, b) = (site.device(1).await, site.device(2).await);
    let only = Triggers { startup: true, timer: true, ..Triggers::MANUAL };
    let builder = a.builder().await.triggers(only).intervals(SECOND, SECOND * 6);
    let on_a = builder.start();
    sleep(SECOND * 26).await;
    let distances = || -> Vec<u64> {
        a.wire.exchanges().windows(2).map(|it| (it[1] - it[0]).as_secs()).collect()
    };
    assert_eq!(distances(), [2, 4, 6, 6, 6]);
    a.wire.forget();
    b.note("n").await;
    b.sync_once().await;
    sleep(SECOND * 9).await;
    assert_eq!(distances(), [1, 2], "something has come");
    on_a.stop().await;
}

/// Whoever is behind gets pages, and takes the next one when it has applied the one before: the server is asked for no more than fits.
#[tokio::test(start_paused = true)]
async fn c65_over_http_what_is_received_comes_in_pages_of_the_size_that_was_chosen() {
    let (site, _store) = Site::start().await;
    let (a, b) = (site.device(1).await, site.device(2).await);
    for n in 0..200 {
        a.note(&format!("{n}")).await;
    }
    a.sync_once().await;
    let few = storex_sync::Limits { bytes: 2000, transactions: 1000 };
    b.join().await.limits(few).sync_once().await.unwrap();
    assert_eq!(b.count().await, 200);
    let reads = |it: &&Asked| it.exchange.as_ref().is_some_and(|it| it.read.is_some());
    let asked = b.wire.asked();
    let pages: Vec<_> = asked.iter().filter(reads).collect();
    assert!(pages.len() >= 5, "{} pages", pages.len());
    assert!(pages.iter().all(|it| it.path.ends_with("limit=2000")));
}

/// An answer that says five seconds: the next request of any kind comes five seconds later, whatever happens meanwhile.
#[tokio::test(start_paused = true)]
async fn c66_over_http_nothing_is_asked_while_the_server_wants_to_be_left_alone() {
    for sockets in [Sockets::Served, Sockets::Refused] {
        let (site, _store) = Site::start().await;
        let (a, b) = (site.device(1).await, site.device(2).await);
        a.wire.sockets(sockets);
        let (connection, online) = watch::channel(true);
        let on_a = a.builder().await.online(online).start();
        sleep(SECOND * 20).await;
        a.wire.script(EXCHANGE, [wait_so_long(5000)]);
        a.wire.forget();
        a.note("n").await;
        b.note("m").await;
        b.sync_once().await;
        sleep(SECOND).await;
        assert!(matches!(on_a.status().borrow().phase, Phase::BackingOff { .. }));
        let begun = a.wire.exchanges()[0];
        a.wire.forget();
        let told = on_a.sync_now().await.unwrap().unwrap_err();
        assert!(matches!(told.cause(), SyncError::RateLimited { .. }), "{told:?}");
        connection.send(false).unwrap();
        let_run().await;
        connection.send(true).unwrap();
        a.note("o").await;
        on_a.logged_in();
        sleep((SECOND * 5).saturating_sub(begun.elapsed() + SECOND / 100)).await;
        assert_eq!(a.wire.attempts(), 0, "{sockets:?}");
        let took = until(async || b.count().await + a.count().await >= 4).await;
        assert!(took < SECOND, "{took:?}");
        on_a.stop().await;
    }
}

/// The same where it is the request for news that is told so: a write that is made meanwhile waits too.
#[tokio::test(start_paused = true)]
async fn c66_over_http_what_the_long_poll_is_told_holds_for_exchanges_too() {
    let (site, _store) = Site::start().await;
    let a = site.device(1).await;
    a.wire.sockets(Sockets::Refused);
    a.sync_once().await;
    a.wire.script(CHANGED, [wait_so_long(5000)]);
    let on_a = a.start().await;
    let polled = || a.wire.asked().iter().find(|it| it.path.starts_with(CHANGED)).map(|it| it.at);
    until(async || polled().is_some()).await;
    a.wire.forget();
    let begun = Instant::now();
    a.note("n").await;
    sleep(SECOND * 4).await;
    assert_eq!(a.wire.attempts(), 0, "neither to listen nor to send");
    let mut status = on_a.status();
    status.wait_for(|it| it.in_step && it.unsent == 0).await.unwrap();
    let first = a.wire.asked()[0].at - begun;
    assert!(first >= SECOND * 5 - SECOND / 20 && first < SECOND * 7, "{first:?}");
    on_a.stop().await;
}

/// A server that has too many WebSockets is not asked for another one; exchanges are no WebSockets, and go on.
#[tokio::test(start_paused = true)]
async fn c66_over_http_a_server_with_too_many_websockets_is_asked_for_none() {
    let limits = Limits { sockets_per_user: 1, ..Limits::default() };
    let (site, _store) = Site::with(Config { limits, ..Config::default() }, verifier()).await;
    let (a, b) = (site.device(1).await, site.device(2).await);
    let on_a = a.start().await;
    sleep(SECOND).await;
    let on_b = b.start().await;
    sleep(SECOND * 120).await;
    let connects = b.wire.connects();
    assert!(connects.len() >= 3, "{}", connects.len());
    for pair in connects.windows(2) {
        assert!(pair[1] - pair[0] >= SECOND * 30, "{:?}", pair[1] - pair[0]);
    }
    b.note("n").await;
    let took = until(async || a.get("n").await.is_some()).await;
    assert!(took < SECOND, "{took:?}");
    on_a.stop().await;
    on_b.stop().await;
}

/// The limit of a real server: whoever is over it comes again when it was told to, and everything gets through.
#[tokio::test(start_paused = true)]
async fn c66_over_http_whoever_is_over_the_limit_of_a_server_comes_when_it_is_told_to() {
    let limits = Limits { requests_per_second: 1, burst: 5, ..Limits::default() };
    let (site, store) = Site::with(Config { limits, ..Config::default() }, verifier()).await;
    let (a, b) = (site.device(1).await, site.device(2).await);
    let on_a = a.start().await;
    let on_b = b.start().await;
    for n in 0..100 {
        a.note(&format!("{n}")).await;
        sleep(SECOND / 5).await;
    }
    let took = until(async || b.count().await == 100).await;
    on_a.stop().await;
    on_b.stop().await;
    let metrics = site.metrics().await;
    let (refused, asked) = (metrics["storex_rate_limited_total"], site.answered().await);
    println!(
        "{refused} of {asked} requests were too many; the last write was there {took:?} later"
    );
    assert!(refused >= 1.0, "the limit was reached");
    // Twenty seconds and what it took have been that many permits; each refusal was followed by a wait.
    assert!(refused <= 20.0 + took.as_secs_f64() * 2.0, "{refused} refusals");
    let log = store.log_of("ada").await;
    assert_eq!(log.members().await.unwrap().len(), 2);
}
