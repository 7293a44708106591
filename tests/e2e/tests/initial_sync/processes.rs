//! Two processes, one of which is killed or stopped at some moment. A failure names its seed: `STOREX_SEED=<seed>` repeats its
//! choices.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use storex_e2e::place::Place;
use storex_e2e::process::{Process, text};
use storex_e2e::rng::Rng;
use storex_e2e::shop::{self, assert_equal};
use storex_e2e::{audit, block_on, is_long};

use crate::{assert_in_step, both_ways, exchange};

const CHILD: &str = env!("CARGO_BIN_EXE_storex-e2e-child");
const ROWS: u64 = 1200;

/// Nothing here may take longer, on a machine with much else to do: it hangs.
const HANGS: Duration = Duration::from_secs(120);

/// One of the two processes, and what it has said.
struct Side {
    process: Process,
    said: Receiver<String>,
    end: End,
}

/// How a side has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Through,
    Timeout,
    /// It found the other side gone.
    Gone,
    /// The other side has given up, and said so.
    GivenUp,
    /// It was killed, or could not connect to one that was.
    Nothing,
}

impl Side {
    fn start(database: &Path, socket: &Path, end: &str, wants: &str, stops: Stops) -> Self {
        let (deadline, at_page) = (stops.deadline.to_string(), stops.at_page.to_string());
        let args = ["initial", text(database), text(socket), end, wants, &deadline, &at_page];
        let mut process = Process::start(CHILD, &args);
        let lines = process.take_lines();
        let (told, said) = channel();
        // So that a process that says nothing does not hold up this one.
        std::thread::spawn(move || {
            for line in lines {
                let _ = told.send(line);
            }
        });
        Self { process, said, end: End::Nothing }
    }

    /// The next line; `None` at its end.
    fn line(&mut self) -> Option<String> {
        let line = match self.said.recv_timeout(HANGS) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => panic!("it hangs"),
        };
        match line.as_str() {
            "through" => self.end = End::Through,
            "failed: timeout" => self.end = End::Timeout,
            "failed: gone" => self.end = End::Gone,
            "failed: given up" => self.end = End::GivenUp,
            other => assert!(!other.starts_with("failed"), "{other}"),
        }
        Some(line)
    }

    fn wait_for(&mut self, beginning: &str) -> bool {
        std::iter::from_fn(|| self.line()).any(|line| line.starts_with(beginning))
    }

    /// Waits until it has told of so many pages, or has ended.
    fn pages(&mut self, count: u64) {
        for _ in 0..count {
            self.wait_for("progress");
        }
    }

    fn end(mut self) -> End {
        while self.line().is_some() {}
        self.end
    }
}

/// When a side stops itself, as if it was stopped from outside (0: never), and when it gives up the other, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Stops {
    at_page: u64,
    deadline: u64,
}

impl Stops {
    const NEVER: Self = Self { at_page: 0, deadline: 60_000 };
}

/// What the two do: A, then B.
const MODES: [(&str, &str); 5] = [
    ("send", "receive"),
    ("both", "both"),
    ("receive", "send"),
    ("difference-send", "difference-receive"),
    // With a writer at work in each process.
    ("both-writing", "both-writing"),
];

/// Starts both sides, and waits until they are connected.
fn start(place: &Place, attempt: u64, modes: (&str, &str)) -> (Side, Side) {
    start_and_stop(place, attempt, modes, [Stops::NEVER; 2])
}

fn start_and_stop(
    place: &Place,
    attempt: u64,
    (at_a, at_b): (&str, &str),
    [a_stops, b_stops]: [Stops; 2],
) -> (Side, Side) {
    let socket = place.file(&format!("socket-{attempt}"));
    let mut a = Side::start(&place.a(), &socket, "listen", at_a, a_stops);
    assert!(a.wait_for("ready"), "A starts");
    let mut b = Side::start(&place.b(), &socket, "connect", at_b, b_stops);
    assert!(b.wait_for("ready"), "B starts");
    (a, b)
}

#[allow(clippy::disallowed_methods)] // other processes go on meanwhile: no virtual clock can stand for that
fn wait(time: Duration) {
    std::thread::sleep(time);
}

/// Two shops as files, that hold a part in common.
fn shops() -> Place {
    let place = Place::new();
    block_on(async {
        let a = shop::found(&place.a(), ROWS, 0..50, 50..60).await.unwrap();
        let b = shop::found(&place.b(), ROWS, 40..60, 60..100).await.unwrap();
        let gone = serde_json::json!({"id": shop::key("album", 3)});
        a.dynamic("album").unwrap().delete(&gone).await.unwrap();
        a.close().await.unwrap();
        b.close().await.unwrap();
    });
    place
}

/// After a run that was through: who has received holds all that the other has, but for what was deleted here; and both ways
/// nothing is left that differs.
async fn check(place: &Place, modes: (&str, &str)) {
    let a = shop::open(&place.a()).await.unwrap();
    let b = shop::open(&place.b()).await.unwrap();
    let received = [shop::contents(&a).await.unwrap(), shop::contents(&b).await.unwrap()];
    both_ways(&a, &b).await;
    assert_in_step(&[(&a, &place.a()), (&b, &place.b())]).await;
    let all = shop::contents(&a).await.unwrap();
    let [at_a, at_b] = received;
    match modes.0 {
        "both" => {
            assert_equal(&at_a, &all, "A, both ways");
            assert_equal(&at_b, &all, "B, both ways");
        }
        // What was written behind the pages has come just now.
        "both-writing" => exchange(place, &[&a, &b]).await,
        "receive" => assert_equal(&at_a, &all, "A has received"),
        _ => assert_equal(&at_b, &all, "B has received"),
    }
    assert_in_step(&[(&a, &place.a()), (&b, &place.b())]).await;
    a.close().await.unwrap();
    b.close().await.unwrap();
}

/// Of how many pages A tells in a run that nobody disturbs.
fn undisturbed(modes: (&str, &str)) -> u64 {
    let place = shops();
    let (mut a, b) = start(&place, 0, modes);
    let mut pages = 0;
    while a.wait_for("progress") {
        pages += 1;
    }
    assert_eq!((a.end(), b.end()), (End::Through, End::Through), "{modes:?}");
    block_on(check(&place, modes));
    pages
}

#[test]
fn whichever_side_is_killed_at_random_it_ends_equal_and_never_hangs() {
    let seed = std::env::var("STOREX_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    println!("STOREX_SEED={seed}");
    let (mut rng, budget) = (Rng::new(seed), if is_long() { 500 } else { 15 });
    let template = shops();
    let pages = MODES.map(undisturbed);
    let (mut kills, mut rounds, mut in_time) = (0, 0, 0);
    while kills < budget {
        let modes = MODES[rounds % MODES.len()];
        let place = template.copy();
        for attempt in 0.. {
            let (mut a, mut b) = start(&place, attempt, modes);
            // Not always: a run that is always cut short would say nothing about the end.
            let kill = kills < budget && attempt < 3 && rng.below(6) > 0;
            let kills_a = rng.below(2) == 0;
            if kill {
                // Before, between and behind all pages, and anywhere within one.
                a.pages(rng.below(pages[rounds % MODES.len()] + 1));
                wait(Duration::from_micros(rng.below(8000)));
                if kills_a {
                    a.process.kill()
                } else {
                    b.process.kill()
                }
                kills += 1;
            }
            let ends = (a.end(), b.end());
            for end in [&ends.0, &ends.1] {
                assert!(matches!(end, End::Through | End::Gone | End::Nothing), "{ends:?}");
            }
            assert!(kill || ends == (End::Through, End::Through), "{ends:?}");
            let copy = place.copy();
            audit::assert_whole(&copy.a());
            audit::assert_whole(&copy.b());
            // A receiver that dies when it has told the sender of its end judges what hangs in the air with the next run.
            let is_through = |wants: &str, end| wants.ends_with("send") || end == End::Through;
            if is_through(modes.0, ends.0) && is_through(modes.1, ends.1) {
                block_on(check(&place, modes));
                break;
            }
            in_time += 1;
        }
        rounds += 1;
    }
    println!("{kills} kills, {in_time} of them before the end; {rounds} rounds");
    assert!(in_time * 4 >= kills, "too few before the end: {in_time} of {kills}");
}

#[test]
#[allow(clippy::disallowed_methods)] // it is about the time that passes for two other processes
fn whoever_stops_in_the_middle_is_given_up_at_the_deadline_and_a_new_run_goes_on() {
    const DEADLINE: u64 = 2000;
    let template = shops();
    for (n, modes) in MODES.iter().enumerate().take(if is_long() { 5 } else { 2 }) {
        for stops_a in [true, false] {
            let place = template.copy();
            let at_page = 3 + n as u64;
            let (stops, waits) =
                (Stops { at_page, deadline: DEADLINE }, Stops { at_page: 0, deadline: DEADLINE });
            let both = if stops_a { [stops, waits] } else { [waits, stops] };
            let (a, b) = start_and_stop(&place, 0, *modes, both);
            let (mut stopped, other) = if stops_a { (a, b) } else { (b, a) };
            stopped.pages(at_page);
            let begun = Instant::now();
            assert_eq!(other.end(), End::Timeout, "{modes:?}, A stops: {stops_a}");
            let waited = begun.elapsed();
            assert!(waited < Duration::from_secs(30), "{waited:?}");
            stopped.process.go_on();
            assert_ne!(stopped.end(), End::Through);
            let (a, b) = start(&place, 1, *modes);
            assert_eq!((a.end(), b.end()), (End::Through, End::Through), "{modes:?}");
            block_on(check(&place, *modes));
        }
    }
}
