//! Live edits, and what happens to them.

use storex_sync::http::SocketMessage;
use tokio::time::sleep;

use crate::world::{Site, Sockets, assert_in_step, let_run, until};
use crate::{LONG, SECOND};

/// News come over a WebSocket, or by requests that wait where there is none.
#[tokio::test(start_paused = true)]
async fn c64_over_http_an_edit_is_with_the_others_within_a_second() {
    for sockets in [Sockets::Served, Sockets::Refused] {
        let (site, _store) = Site::start().await;
        let (a, b) = (site.device(1).await, site.device(2).await);
        for it in [&a, &b] {
            it.wire.sockets(sockets);
            it.wire.latency(SECOND / 50);
        }
        let (on_a, on_b) = (a.start().await, b.start().await);
        // Until nobody tries to get a WebSocket any more.
        sleep(SECOND * 30).await;
        for n in 0..20 {
            let id = format!("{n}");
            let (from, to) = if n % 2 == 0 { (&a, &b) } else { (&b, &a) };
            from.note(&id).await;
            let took = until(async || to.get(&id).await.is_some()).await;
            assert!(took < SECOND, "{sockets:?}: {took:?}");
            // Beyond the time for which a request waits, too.
            sleep(SECOND * 17).await;
        }
        on_a.stop().await;
        on_b.stop().await;
    }
}

/// A message of the watch that is out of date, or made up, costs an exchange and nothing else; the next real one counts.
#[tokio::test(start_paused = true)]
async fn c64_over_http_news_that_are_none_do_no_harm() {
    let (site, _store) = Site::start().await;
    let (a, b) = (site.device(1).await, site.device(2).await);
    let (on_a, on_b) = (a.start().await, b.start().await);
    for n in 0..10 {
        sleep(SECOND * 3).await;
        b.wire.forge(SocketMessage::Text(r#"{"news": true}"#.to_owned()));
        if n % 2 == 0 {
            sleep(SECOND).await;
        }
        let id = format!("{n}");
        a.note(&id).await;
        let took = until(async || b.get(&id).await.is_some()).await;
        assert!(took < SECOND, "{took:?}");
    }
    assert_in_step(&[&a, &b]).await;
    sleep(SECOND).await;
    let before = b.wire.asked().len();
    sleep(SECOND * 100).await;
    assert_eq!(b.wire.asked().len(), before, "then it is quiet");
    on_a.stop().await;
    on_b.stop().await;
}

/// What makes no sense ends that WebSocket, and another one is opened.
#[tokio::test(start_paused = true)]
async fn c64_over_http_a_watch_that_speaks_nonsense_is_left_for_another() {
    let (site, _store) = Site::start().await;
    let (a, b) = (site.device(1).await, site.device(2).await);
    let (on_a, on_b) = (a.start().await, b.start().await);
    sleep(SECOND).await;
    for (n, nonsense) in [
        SocketMessage::Text("{".to_owned()),
        SocketMessage::Binary(vec![0, 1, 2]),
        SocketMessage::Closed { code: 1011, reason: String::new() },
        SocketMessage::Closed { code: 4400, reason: String::new() },
    ]
    .into_iter()
    .enumerate()
    {
        b.wire.forge(nonsense);
        sleep(SECOND * 10).await;
        assert_eq!(b.wire.connects().len(), n + 2);
        let id = format!("{n}");
        a.note(&id).await;
        let took = until(async || b.get(&id).await.is_some()).await;
        assert!(took < SECOND, "{took:?}");
    }
    on_a.stop().await;
    on_b.stop().await;
}

/// The one message that something has come gets lost. The timer makes up for it, and what follows is live again.
#[tokio::test(start_paused = true)]
async fn c64_over_http_a_message_that_is_lost_is_made_up_for() {
    let (site, _store) = Site::start().await;
    let (a, b) = (site.device(1).await, site.device(2).await);
    b.wire.sockets(Sockets::LosesOne);
    let interval = SECOND * 30;
    let on_a = a.start().await;
    let on_b = b.builder().await.intervals(interval, interval).start();
    sleep(SECOND).await;
    a.note("1").await;
    let took = until(async || b.get("1").await.is_some()).await;
    assert!(took > SECOND && took <= interval, "{took:?}");
    for id in ["2", "3"] {
        a.note(id).await;
        let took = until(async || b.get(id).await.is_some()).await;
        assert!(took < SECOND, "{id}: {took:?}");
    }
    on_a.stop().await;
    on_b.stop().await;
}

/// A WebSocket that is open and dead: nothing comes, and nobody says so. It is noticed within a minute, and another one brings what was
/// missed.
#[tokio::test(start_paused = true)]
async fn c64_over_http_a_socket_that_is_silent_is_noticed() {
    let (site, _store) = Site::start().await;
    let (a, b) = (site.device(1).await, site.device(2).await);
    b.wire.sockets(Sockets::Silent);
    let (on_a, on_b) = (a.start().await, b.start().await);
    sleep(SECOND).await;
    assert_eq!(b.wire.connects().len(), 1);
    b.wire.sockets(Sockets::Served);
    a.note("1").await;
    let took = until(async || b.get("1").await.is_some()).await;
    println!("a silent socket was noticed after {took:?}");
    assert!(took > SECOND * 40 && took < SECOND * 60, "{took:?}");
    assert_eq!(b.wire.connects().len(), 2);
    a.note("2").await;
    let took = until(async || b.get("2").await.is_some()).await;
    assert!(took < SECOND, "{took:?}");
    on_a.stop().await;
    on_b.stop().await;
}

/// Whoever pauses closes its WebSocket, and the server keeps nothing for it; whoever answers heartbeats keeps its own for hours.
#[tokio::test(start_paused = true)]
async fn c64_over_http_a_pause_closes_the_socket_and_nothing_else_does() {
    let (site, _store) = Site::start().await;
    let (a, b) = (site.device(1).await, site.device(2).await);
    let on_a = a.start().await;
    let on_b = b.start().await;
    sleep(SECOND).await;
    let sockets = async || site.metrics().await["storex_sockets"];
    assert_eq!(sockets().await, 2.0);
    on_b.pause().await.unwrap();
    sleep(SECOND * 90).await;
    assert_eq!(sockets().await, 1.0);
    on_b.resume().await.unwrap();
    let_run().await;
    sleep(SECOND).await;
    assert_eq!(sockets().await, 2.0);
    sleep(LONG / 100).await;
    assert_eq!(sockets().await, 2.0);
    assert_eq!(b.wire.connects().len(), 2);
    on_a.stop().await;
    on_b.stop().await;
}
