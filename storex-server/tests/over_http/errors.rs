//! What is done about each failure on the way.

use std::time::Duration;

use serde_json::json;
use storex_sync::engine::Backoff;
use storex_sync::http::Code;
use storex_sync::{Phase, SyncEvent, parked, rejected};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::SECOND;
use crate::world::{Device, Fault, Site, assert_in_step, let_run};

const EXCHANGE: &str = "/v1/log/exchange";
const PROBLEM: &str = "application/problem+json";

fn answer(status: u16, media_type: &str, body: &str) -> Fault {
    Fault::Answer(status, vec![("content-type", media_type.to_owned())], body.to_owned())
}

fn page_for_people(status: u16) -> Fault {
    answer(status, "text/html", "<h1>an error</h1>")
}

/// What a server of ours answers with this code, about a device.
fn problem(code: Code, device: storex_sync::Device) -> Fault {
    let device = storex_sync::http::device_text(device);
    let body = json!({
        "code": code, "message": "on purpose", "device": device, "sequence": 1, "expected": 1, "found": 1, "limit": 10
    });
    answer(code.status(), PROBLEM, &body.to_string())
}

/// The distances between exchanges that fail, whatever way they do, and the silence about them.
#[tokio::test(start_paused = true)]
async fn c55_over_http_the_waits_grow_with_jitter_and_noise_is_not_told() {
    let (site, _store) = Site::start().await;
    let a = site.device(1).await;
    let (connection, online) = watch::channel(true);
    let backoff = Backoff { cap: SECOND * 60, quiet_attempts: 5, ..Backoff::default() };
    a.join().await.sync_once().await.unwrap();
    a.wire.forget();
    let failures = || {
        [Fault::Fail, page_for_people(502), Fault::LoseAnswer, Fault::CutAnswer]
            .into_iter()
            .cycle()
            .take(12)
    };
    a.wire.script(EXCHANGE, failures());
    let on_a = a.builder().await.backoff(backoff).online(online).start();
    let mut events = on_a.events();
    let mut status = on_a.status();
    status.wait_for(|it| it.rounds == 1).await.unwrap();
    let at = a.wire.exchanges();
    assert_eq!(at.len(), 13, "twelve that fail, and one that does not");
    let mut left_off = false;
    for (n, pair) in at.windows(2).enumerate() {
        let (distance, slack) = (pair[1] - pair[0], Duration::from_millis(5));
        let whole = (SECOND * 2_u32.pow(u32::try_from(n).unwrap())).min(backoff.cap);
        assert!(distance + slack >= whole / 2 && distance <= whole + slack, "{n}: {distance:?}");
        left_off |= distance + slack * 2 < whole;
    }
    assert!(left_off, "devices that fail together do not come back together");
    for attempt in 6..=12 {
        match events.next().await {
            Some(SyncEvent::Failed { attempts, .. }) => assert_eq!(attempts, attempt),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(events.next().await, Some(SyncEvent::Exchanged(_))));

    // A success begins anew, and a connection that comes back cuts the wait.
    a.wire.forget();
    a.wire.script(EXCHANGE, failures());
    a.note("n").await;
    sleep(SECOND * 100).await;
    let tried = a.wire.exchanges().len();
    assert!((6..12).contains(&tried), "{tried} in the first hundred seconds");
    connection.send(false).unwrap();
    let_run().await;
    let back = Instant::now();
    connection.send(true).unwrap();
    let_run().await;
    let at = a.wire.exchanges();
    assert_eq!((at.len(), at[tried] - back), (tried + 1, Duration::ZERO), "at once");
    on_a.stop().await;
}

/// What a failure of an exchange comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comes {
    /// It is noise, and tried again after a second.
    Again,
    /// It is tried again after so many seconds, and not before.
    After(u64),
    /// Somebody has to log in.
    LogIn,
    /// It is told at once, and tried again as rarely as may be.
    Rarely,
    /// The exchange sees to it, and goes through.
    GoesThrough,
    /// The write is put aside, and told of.
    Aside,
}

/// What each code of a server comes to.
fn of_code(code: Code) -> Comes {
    match code {
        Code::Unauthorized | Code::Forbidden | Code::Revoked => Comes::LogIn,
        Code::RateLimited | Code::TooManyRooms => Comes::After(5),
        Code::NotFound | Code::Malformed | Code::WrongCursor | Code::Damaged => Comes::Rarely,
        Code::NoSnapshots | Code::BelowFloor => Comes::Rarely,
        Code::Forked | Code::Gap | Code::LogReplaced => Comes::GoesThrough,
        Code::Rejected | Code::BodyTooLarge => Comes::Aside,
        _ => Comes::Again,
    }
}

/// Each failure of an exchange with something to send: what the status says, when it is tried again, and who is needed.
#[tokio::test(start_paused = true)]
async fn c56_over_http_each_failure_has_a_state_and_a_way_out() {
    let me = storex_sync::Device::default();
    let seven = |status| {
        let headers =
            vec![("retry-after", "7".to_owned()), ("content-type", "text/html".to_owned())];
        Fault::Answer(status, headers, String::new())
    };
    let mut table = vec![
        ("no connection", Fault::Fail, Comes::Again),
        ("no answer", Fault::Hang, Comes::Again),
        ("a lost answer", Fault::LoseAnswer, Comes::Again),
        ("half an answer", Fault::CutAnswer, Comes::Again),
        (
            "rubbish of the right type",
            answer(200, "application/vnd.storex.page", "\u{1}cut"),
            Comes::Again,
        ),
        (
            "of another version",
            answer(200, "application/vnd.storex.page", "\u{2}later"),
            Comes::Rarely,
        ),
        ("a hotel", page_for_people(200), Comes::Again),
        ("a redirect", page_for_people(302), Comes::Again),
        ("a firewall", page_for_people(403), Comes::Again),
        ("a gateway", page_for_people(502), Comes::Again),
        ("a gateway that checks tokens", page_for_people(401), Comes::LogIn),
        ("a gateway that wants a rest", seven(503), Comes::After(7)),
        ("a gateway with a limit", seven(429), Comes::After(7)),
        ("no problem at all", answer(500, PROBLEM, "{"), Comes::Again),
        ("of a later server", answer(500, PROBLEM, r#"{"code": "of_later"}"#), Comes::Again),
    ];
    let codes = Code::ALL.iter().map(|code| {
        let name = json!(code).as_str().unwrap().to_owned();
        (&*name.leak(), problem(*code, me), of_code(*code))
    });
    table.extend(codes);
    for (name, fault, comes) in table {
        let (site, _store) = Site::start().await;
        let (a, b) = (site.device(1).await, site.device(2).await);
        let on_a = a.start().await;
        let device = on_a.sync().device().await.unwrap();
        on_a.sync_now().await.unwrap().unwrap();
        // About this device, if it is about one.
        let fault = match fault {
            Fault::Answer(status, headers, body) => {
                let (nobody, it) = [me, device].map(storex_sync::http::device_text).into();
                let body = body.replace(&nobody, &it);
                // It says that what was to be appended was appended.
                match status == Code::BelowFloor.status() {
                    true => Fault::AnswerInstead(status, headers, body),
                    false => Fault::Answer(status, headers, body),
                }
            }
            fault => fault,
        };
        a.wire.forget();
        a.wire.script(EXCHANGE, [fault.clone()]);
        let mut events = on_a.events();
        a.note("n").await;
        // In a tenth of a second it is sent; what is never answered is given up after half a minute.
        let failed = if matches!(fault, Fault::Hang) { SECOND * 30 } else { Duration::ZERO };
        sleep(failed + SECOND / 4).await;
        let told = on_a.status().borrow().clone();
        let tried = a.wire.exchanges().len();
        let failing = !matches!(comes, Comes::GoesThrough | Comes::Aside);
        assert_eq!(
            (told.last_error.is_some(), told.in_step),
            (failing, !failing),
            "{name}: {told:?}"
        );
        let backing_off = matches!(told.phase, Phase::BackingOff { .. });
        match comes {
            Comes::Again | Comes::After(_) => {
                assert!(backing_off && tried == 1, "{name}: {told:?}")
            }
            Comes::Rarely => {
                assert!(backing_off && tried == 1, "{name}: {told:?}");
                let event = events.next().await;
                assert!(
                    matches!(event, Some(SyncEvent::Failed { attempts: 1, .. })),
                    "{name}: {event:?}"
                );
            }
            Comes::LogIn => assert_eq!((told.phase, tried), (Phase::NeedsLogin, 1), "{name}"),
            Comes::GoesThrough => {
                assert_eq!((told.phase, told.unsent), (Phase::Waiting, 0), "{name}")
            }
            Comes::Aside => assert_eq!((told.rejected, told.unsent), (1, 0), "{name}"),
        }
        next_attempt(name, comes, &a).await;
        if comes == Comes::LogIn {
            let refused = on_a.sync_now().await.unwrap();
            assert!(refused.is_err(), "{name}");
            assert_eq!(a.wire.exchanges().len(), 1, "{name}: nobody has logged in");
            on_a.logged_in();
        }
        let mut status = on_a.status();
        status.wait_for(|it| it.in_step && it.unsent == 0).await.unwrap();
        assert!(parked(&a.storage).await.unwrap().is_empty(), "{name}");
        let aside = rejected(&a.storage).await.unwrap().len();
        assert_eq!(aside, usize::from(comes == Comes::Aside), "{name}: nothing else is put aside");
        b.sync_once().await;
        assert_eq!(b.get("n").await.is_some(), comes != Comes::Aside, "{name}");
        if comes != Comes::Aside {
            assert_in_step(&[&a, &b]).await;
        }
        on_a.stop().await;
    }
}

/// Whether it is tried again when it should be. A quarter of a second has passed.
async fn next_attempt(name: &str, comes: Comes, a: &Device) {
    let (soonest, latest) = match comes {
        Comes::Again => (SECOND / 2, SECOND),
        Comes::After(seconds) => (SECOND * u32::try_from(seconds).unwrap(), SECOND * 8),
        Comes::Rarely => (SECOND * 150, SECOND * 300),
        Comes::LogIn => {
            sleep(SECOND * 1000).await;
            assert_eq!(a.wire.attempts(), 1, "{name}: nothing is asked, and nobody listened to");
            return;
        }
        Comes::GoesThrough | Comes::Aside => return,
    };
    let quarter = SECOND / 4;
    sleep(soonest.saturating_sub(quarter)).await;
    assert_eq!(a.wire.exchanges().len(), 1, "{name}: not so soon");
    sleep(latest - soonest + quarter).await;
    assert!(a.wire.exchanges().len() >= 2, "{name}: by itself");
}
