//! The frames are as `docs/wire-format.md` describes them.

use super::super::fingerprint::Fingerprint;
use super::super::message::{CollectionOpening, Content, Opening, Run, Wanted};
use super::*;
use crate::codec_tests::{assert_vector, vector};

#[test]
fn frames_are_as_described() {
    let salt = std::array::from_fn(|n| u8::try_from(n).unwrap());
    let opening = Opening {
        salt,
        collections: vec![CollectionOpening {
            name: "note".into(),
            key: vec!["id".into()],
            fields: vec!["title".into(), "stars".into()],
            held: Vec::new(),
        }],
    };
    let row = |key: &str| Spot::Row(Key::single(key));
    let message = Message {
        more: true,
        listed: 32,
        differing: 3,
        runs: vec![Run {
            part: 0,
            lower: None,
            ranges: vec![
                (Some(row("b")), Content::Fingerprint(Fingerprint { hash: [0xa0; 16], count: 40 })),
                (None, Content::Items(vec![Item { spot: row("c1"), hash: [0xb0; 16] }])),
            ],
        }],
        wanted: vec![Wanted {
            part: 1,
            spans: vec![Span { lower: None, upper: Some(Spot::Tombstone(vec![1, 2])) }],
            codes: vec![vec![1, 8]],
        }],
    };
    for (name, frame) in
        [("frame, opening", Frame::Opening(opening)), ("frame, ranges", Frame::Ranges(message))]
    {
        assert_vector(name, &frame.encode());
        assert_eq!(Frame::decode(&vector(name)).unwrap(), frame);
    }
}

/// What a hash is made of is a part of the format: two programs have to come to the same.
#[test]
fn the_hash_of_an_item_is_as_described() {
    use crate::clock::Clock;
    use crate::stamp::{Device, Hlc, Stamp};

    let stamp = Stamp { hlc: Hlc(5), device: Device { id: [0xd0; 16], incarnation: 0 } };
    let fields = [1, 2].map(|number| super::super::canonical::Field { number, at: 0 });
    let spot = Spot::Row(Key::single("b"));
    let hash =
        super::super::canonical::hash(&[7; 16], &spot, &Clock::created(1, stamp), &fields, None);
    assert_vector("hash of an item", &hash);
}
