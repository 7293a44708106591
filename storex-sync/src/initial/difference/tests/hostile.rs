//! Sides that do not play by the rules.

use proptest::prelude::*;

use super::super::fingerprint::Fingerprint;
use super::super::message::{Content, Run, Wanted};
use super::*;
use crate::error::SyncError;

fn furnished() -> Set {
    let mut set = Set::new(2);
    for number in 0..2000 {
        set.put(usize::try_from(number).unwrap() % 2, number, 0);
    }
    set
}

async fn begun() -> Comparison<Set> {
    let mut side = Comparison::new(furnished(), true).await.unwrap();
    side.begin().await.unwrap();
    side
}

fn whole(content: Content) -> Message {
    let runs = vec![Run { part: 0, lower: None, ranges: vec![(None, content)] }];
    Message { runs, ..Message::default() }
}

fn lie() -> Content {
    Content::Fingerprint(Fingerprint { hash: [1; 16], count: 1 << 60 })
}

fn is_refused<T: std::fmt::Debug>(result: &Result<T>) -> bool {
    matches!(result, Err(SyncError::Protocol { .. }))
}

/// One that always finds a difference, and one that always says that more follows.
#[tokio::test]
async fn one_that_comes_to_no_end_is_refused() {
    for message in [whole(lie()), Message { more: true, ..Message::default() }] {
        let mut side = begun().await;
        let mut rounds = 0;
        let end = loop {
            rounds += 1;
            let answer = side.answer(message.clone()).await;
            if !matches!(answer, Ok(Some(_))) {
                break answer;
            }
        };
        assert!(is_refused(&end), "{end:?}");
        assert!(rounds < 300, "after {rounds} rounds");
    }
}

#[tokio::test]
async fn what_has_no_place_in_a_message_is_refused() {
    let ranges =
        |ranges| Message { runs: vec![Run { part: 0, lower: None, ranges }], ..Message::default() };
    let at = |number| Some(spot(0, number));
    let refused = [
        ranges(vec![(None, lie()), (at(1), lie())]),
        ranges(vec![(at(1), lie()), (at(1), lie())]),
        ranges(vec![(
            None,
            Content::Items(vec![
                Item { spot: spot(0, 1), hash: [0; 16] },
                Item { spot: spot(0, 1), hash: [0; 16] },
            ]),
        )]),
        ranges(vec![(None, Content::Items(vec![Item { spot: spot(0, 1), hash: [0; 16] }; 40]))]),
    ];
    for message in refused {
        let bytes = Frame::Ranges(message.clone()).encode();
        assert!(is_refused(&Frame::decode(&bytes)), "{message:?}");
    }
    let runs = |parts: &[usize]| Message {
        runs: parts
            .iter()
            .map(|part| Run { part: *part, ..whole(lie()).runs[0].clone() })
            .collect(),
        ..Message::default()
    };
    for message in [runs(&[0, 0]), runs(&[2])] {
        assert!(is_refused(&begun().await.answer(message.clone()).await), "{message:?}");
    }
}

#[tokio::test]
async fn one_that_only_takes_is_not_asked_to_send() {
    let mut side = Comparison::new(furnished(), false).await.unwrap();
    side.begin().await.unwrap();
    let span = Span { lower: None, upper: None };
    let wanted = vec![Wanted { part: 0, spans: vec![span], codes: Vec::new() }];
    assert!(is_refused(&side.answer(Message { wanted, ..Message::default() }).await));
}

/// It gets everything once, however often it asks for it.
#[tokio::test]
async fn what_is_wanted_again_and_again_is_sent_once() {
    let mut side = begun().await;
    let spans =
        vec![Span { lower: Some(spot(0, 4)), upper: None }, Span { lower: None, upper: None }];
    let all = vec![Wanted { part: 0, spans: [spans.clone(), spans].concat(), codes: Vec::new() }];
    side.answer(Message { wanted: all, more: true, ..Message::default() }).await.unwrap();
    let mut spots: Vec<Spot> = (0..100).map(|number| spot(1, number)).collect();
    spots.sort();
    let at = |n: usize| Some(spots[n].clone());
    let piece = |from, to| Span { lower: at(from), upper: at(to) };
    let spans = vec![piece(51, 91), piece(1, 21), piece(11, 31), piece(5, 9)];
    let some = vec![Wanted { part: 1, spans, codes: Vec::new() }];
    side.answer(Message { wanted: some, more: true, ..Message::default() }).await.unwrap();
    let picked = side.finish();
    assert_eq!(picked[0].spans, [Span { lower: None, upper: None }]);
    assert_eq!(picked[1].spans, [piece(1, 31), piece(51, 91)]);
}

fn any_spot(part: usize) -> impl Strategy<Value = Option<Spot>> {
    proptest::option::of((0_u64..2500).prop_map(move |number| spot(part, number)))
}

fn any_content(part: usize) -> impl Strategy<Value = Content> {
    let item = (0_u64..2500, any::<[u8; 16]>())
        .prop_map(move |(number, hash)| Item { spot: spot(part, number), hash });
    let fingerprint = (any::<[u8; 16]>(), any::<u64>())
        .prop_map(|(hash, count)| Content::Fingerprint(Fingerprint { hash, count }));
    prop_oneof![fingerprint, proptest::collection::vec(item, 0..4).prop_map(Content::Items),]
}

fn any_message() -> impl Strategy<Value = Message> {
    let run = (0_usize..3).prop_flat_map(|part| {
        let ranges = proptest::collection::vec((any_spot(part), any_content(part)), 0..4);
        (any_spot(part), ranges).prop_map(move |(lower, ranges)| Run { part, lower, ranges })
    });
    (any::<bool>(), any::<u64>(), any::<u64>(), proptest::collection::vec(run, 0..3)).prop_map(
        |(more, listed, differing, runs)| Message {
            more,
            listed,
            differing,
            runs,
            wanted: Vec::new(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = Frame::decode(&bytes);
        for kind in [[0x93, 20], [0x96, 21]] {
            let _ = Frame::decode(&[&kind[..], &bytes].concat());
        }
    }

    /// Neither does a side panic, nor does it talk for ever.
    #[test]
    fn any_messages_come_to_an_end(messages in proptest::collection::vec(any_message(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut side = begun().await;
            let mut rounds = 0;
            for message in messages.iter().cycle() {
                rounds += 1;
                assert!(rounds < 1000, "it goes on and on");
                if !matches!(side.answer(message.clone()).await, Ok(Some(_))) {
                    break;
                }
            }
        });
    }
}
