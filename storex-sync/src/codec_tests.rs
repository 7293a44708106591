//! The forms that are stored and that travel, there and back, and what becomes of bytes that are none. The vectors of
//! `docs/wire-format.md` are read from there and compared.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value as Json;
use smallvec::SmallVec;
use storex_core::{
    Definition, FieldType, Key, Migration, Name, Record, Registry, Timestamp, Value,
};

use crate::catalogue::{Catalogue, Followed};
use crate::clock::{Clock, LAST_LIFE, MAX_LIFE};
use crate::counter::{Amount, Counted, Counter, Sum};
use crate::error::SyncError;
use crate::field_state::{Contribution, Element, FieldState, Held, Item, Joined};
use crate::initial::frame::{
    Accept, Capabilities, CollectionHello, Frame, Greeting, Hello, Rows, Take, Terms, Tombstones,
    VERSIONS, Wants,
};
use crate::initial::resume::{Phase, Position, Token};
use crate::key_code;
use crate::meta::{Devices, Head, Numbers, decode_names, encode_names};
use crate::pack::{Packer, Unpacker};
use crate::parked::{Parked, WaitsFor};
use crate::place::Place;
use crate::relative::Relative;
use crate::scope::{Marker, is_marker};
use crate::shared_log::{Cursor, LogId, SnapshotId};
use crate::snapshot::{MAGIC, VERSION, page_checksum};
use crate::stamp::{Device, Hlc, Stamp};
use crate::transaction::{Entry, EntryKind, EntryValue, Header, Shape, Transaction};

pub(crate) fn device() -> impl Strategy<Value = Device> {
    // Few, so that they meet again; nobody among them.
    (0..4_u8, 0..3_u32).prop_map(|(id, incarnation)| Device { id: [id; 16], incarnation })
}

fn hlc() -> impl Strategy<Value = Hlc> {
    prop_oneof![0..1000_u64, 0..Hlc::LIMIT.0, Just(Hlc::LIMIT.0)].prop_map(Hlc)
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (hlc(), device()).prop_map(|(hlc, device)| Stamp { hlc, device })
}

pub(crate) fn clock() -> impl Strategy<Value = Clock> {
    let fields = prop::collection::btree_map(any::<u32>(), stamp(), 0..5);
    let counters = prop::collection::btree_map(any::<u32>(), counter(), 0..3);
    let states = prop::collection::btree_map(any::<u32>(), state(), 0..3);
    let parts = (1..=LAST_LIFE, stamp(), fields, counters, states);
    parts.prop_map(|(life, row, fields, counters, states)| {
        let fields: SmallVec<_> = fields.into_iter().filter(|(_, stamp)| *stamp != row).collect();
        let counters = counters.into_iter().filter(|_| life % 2 == 1).collect();
        let states = states.into_iter().filter(|_| life % 2 == 1).collect();
        Clock { life, row, fields, counters, states }
    })
}

fn state() -> impl Strategy<Value = FieldState> {
    let held = || (stamp(), key_value()).prop_map(|(at, value)| Held { at, value });
    let json =
        || prop_oneof![any::<i64>().prop_map(Json::from), any::<String>().prop_map(Json::from)];
    let element = (stamp(), any::<u32>(), any::<bool>());
    let set = prop::collection::btree_map(json().prop_map(|json| json.to_string()), element, 0..4);
    let list = prop::collection::btree_map((stamp(), any::<u32>()), json(), 0..4);
    prop_oneof![
        held().prop_map(FieldState::Max),
        held().prop_map(FieldState::Min),
        ("[a-z]{1,5}", held()).prop_map(|(name, held)| FieldState::Custom(name.into(), held)),
        set.prop_map(|set| FieldState::Set(
            set.into_iter()
                .map(|(text, (at, place, is_in))| Element { text, at, place, is_in })
                .collect()
        )),
        list.prop_map(|list| FieldState::List(
            list.into_iter().map(|((at, place), element)| Item { at, place, element }).collect()
        )),
    ]
}

fn counter() -> impl Strategy<Value = Counter> {
    let finite = || any::<f64>().prop_filter("counters are finite", |float| float.is_finite());
    let number =
        move || prop_oneof![any::<i64>().prop_map(Value::Int), finite().prop_map(Value::from)];
    let from = prop_oneof![number(), any::<i64>().prop_map(|at| Value::Timestamp(Timestamp(at)))];
    let amount = prop_oneof![
        any::<i64>().prop_map(Amount::Int),
        finite().prop_map(|float| Amount::Float(float + 0.0, 0.0)),
        (finite(), finite()).prop_map(|(float, rest)| Amount::Float(float + 0.0, rest + 0.0)),
    ];
    let sums = prop::collection::btree_map(device(), (hlc(), amount), 0..4);
    (from, sums).prop_map(|(from, sums)| {
        let sums = sums
            .into_iter()
            .map(|(device, (hlc, amount))| Sum { at: Stamp { hlc, device }, amount });
        Counter { from, sums: sums.collect() }
    })
}

pub(crate) fn devices() -> impl Strategy<Value = Devices> {
    prop::collection::vec((device(), any::<u64>(), hlc()), 0..6).prop_map(|known| {
        let mut devices = Devices::new();
        for (device, sequence, hlc) in known {
            devices.advance(device, sequence, hlc);
        }
        devices
    })
}

pub(crate) fn key_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Int),
        (-3..3_i64).prop_map(Value::Int),
        any::<i64>().prop_map(|at| Value::Timestamp(Timestamp(at))),
        any::<f64>().prop_filter("NaN is no key", |it| !it.is_nan()).prop_map(Value::from),
        // Floats that are whole, on both sides of where integers stop being exact.
        (any::<i64>(), 0..12_u32).prop_map(|(int, shift)| {
            #[allow(clippy::cast_precision_loss)]
            Value::from((int >> shift) as f64)
        }),
        Just(Value::from(f64::INFINITY)),
        "[a-f0-9-]{0,4}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        any::<[u8; 16]>()
            .prop_map(|id| { Value::Text(uuid::Uuid::from_bytes(id).hyphenated().to_string()) }),
        any::<[u8; 16]>().prop_map(|id| {
            Value::Text(uuid::Uuid::from_bytes(id).hyphenated().to_string().to_uppercase())
        }),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
    ]
}

/// Other forms of the same value, as another device or database may hold it.
#[allow(clippy::cast_precision_loss)]
fn same_otherwise(value: &Value) -> Vec<Value> {
    let candidates = match value {
        Value::Int(int) => vec![Value::Timestamp(Timestamp(*int)), Value::from(*int as f64)],
        Value::Timestamp(at) => vec![Value::Int(at.0), Value::from(at.0 as f64)],
        Value::Float(float) => {
            #[allow(clippy::cast_possible_truncation)]
            let int = *float as i64;
            vec![Value::Int(int), Value::Timestamp(Timestamp(int))]
        }
        _ => Vec::new(),
    };
    candidates.into_iter().filter(|other| value.compare(other).is_eq()).collect()
}

fn frame() -> impl Strategy<Value = Frame> {
    let hello = (any::<u64>(), devices(), any::<Option<[u8; 3]>>()).prop_map(
        |(schema, devices, cursor)| {
            Frame::Hello(Hello {
                local: Vec::new(),
                schema,
                devices: stored(&devices),
                place: cursor.map(|it| Place { log: LogId([9; 16]), cursor: Cursor(it.to_vec()) }),
                collections: vec![CollectionHello {
                    name: "note".into(),
                    fields: vec!["id".into(), "title".into()],
                    numbers: vec![0, 7],
                    count: schema,
                }],
            })
        },
    );
    let row = (prop::collection::vec(key_value(), 1..4), prop::collection::vec(any::<u8>(), 0..9));
    let object =
        (prop::collection::vec(any::<u8>(), 0..9), prop::collection::vec(any::<u8>(), 0..9));
    let rows = (0..9_usize, devices(), prop::collection::vec(row, 0..4)).prop_map(
        |(collection, devices, rows)| {
            Frame::Rows(Rows { collection, devices: stored(&devices), rows, number: 0 })
        },
    );
    let tombstones = (0..9_usize, devices(), prop::collection::vec(object, 0..4)).prop_map(
        |(collection, devices, objects)| {
            Frame::Tombstones(Tombstones {
                collection,
                devices: stored(&devices),
                objects,
                number: 7,
            })
        },
    );
    let parked = (device(), any::<u64>(), any::<bool>(), any::<String>()).prop_map(
        |(device, sequence, update, reason)| {
            let waits_for = if update { WaitsFor::Update } else { WaitsFor::Change };
            Frame::Parked(vec![Parked { device, sequence, waits_for, reason, payload: vec![1] }])
        },
    );
    prop_oneof![
        hello,
        rows,
        tombstones,
        parked,
        session_frame(),
        Just(Frame::Received),
        Just(Frame::Finish),
        Just(Frame::Finished),
    ]
}

/// What is said beside the pages.
fn session_frame() -> impl Strategy<Value = Frame> {
    let wants = prop_oneof![Just(Wants::Send), Just(Wants::Receive), Just(Wants::BothWays)];
    let greeting = (any::<u64>(), device(), any::<u64>(), wants, any::<u64>(), any::<u64>());
    let greeting = greeting.prop_map(|(bits, device, schema, wants, objects, window)| {
        let capabilities = Capabilities(bits);
        let terms = Terms { capabilities, device, schema, wants, objects, window };
        Frame::Greeting(Greeting { versions: VERSIONS, terms: Some(terms) })
    });
    let take = prop_oneof![
        Just(Take::Nothing),
        Just(Take::Parked),
        prop::collection::vec(0..9_usize, 0..3).prop_map(Take::Without),
    ];
    let otherwise = prop::collection::vec((0..9_usize, take), 0..3);
    let accept = (prop::collection::vec(any::<u8>(), 0..9), otherwise)
        .prop_map(|(resume, otherwise)| Frame::Accept(Accept { resume, otherwise }));
    let package = (any::<String>(), prop::collection::vec(any::<u8>(), 0..9))
        .prop_map(|(kind, bytes)| Frame::Package { kind, bytes });
    prop_oneof![
        greeting,
        accept,
        package,
        Just(Frame::Paused),
        Just(Frame::Running),
        Just(Frame::Cancel),
        Just(Frame::CaughtUp),
        (prop::collection::vec(any::<u8>(), 0..9), any::<bool>())
            .prop_map(|(ticket, resumes)| Frame::Resumable { ticket, resumes }),
        (0..9_usize, any::<u64>())
            .prop_map(|(collection, count)| Frame::KeptBack { collection, count }),
        any::<String>()
            .prop_map(|reason| Frame::Failed { kind: storex_core::ErrorKind::Full, reason }),
    ]
}

/// As it is after it was written and read: nothing to write.
pub(crate) fn stored(devices: &Devices) -> Devices {
    Devices::decode(&devices.encode()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn clocks_there_and_back(clocks in prop::collection::vec(clock(), 1..6)) {
        let mut devices = Devices::new();
        let bytes: Vec<Vec<u8>> = clocks.iter().map(|clock| clock.encode(&mut devices)).collect();
        let devices = stored(&devices);
        for (clock, bytes) in clocks.iter().zip(&bytes) {
            prop_assert_eq!(&Clock::decode(bytes, &devices).unwrap(), clock);
            for cut in 0..bytes.len() {
                if let Ok(read) = Clock::decode(&bytes[..cut], &devices) {
                    let shorter = read.fields.len() < clock.fields.len()
                        || read.counters.len() < clock.counters.len()
                        || read.states.len() < clock.states.len();
                    prop_assert!(shorter, "a shorter list of fields or counters");
                }
            }
        }
    }

    /// What begins like a clock with counters, and what a flipped byte makes of one.
    #[test]
    fn damaged_counters_are_read_or_refused(
        clock in clock(), at in any::<prop::sample::Index>(), to in any::<u8>(),
        rest in prop::collection::vec(0..4_u8, 0..40)
    ) {
        let mut devices = Devices::new();
        let mut bytes = clock.encode(&mut devices);
        let at = at.index(bytes.len());
        bytes[at] = to;
        let begun = [&[0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0][..], &rest].concat();
        let states = [&[0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0][..], &rest].concat();
        for bytes in [bytes, begun, states] {
            if let Ok(read) = Clock::decode(&bytes, &devices) {
                let mut devices = devices.clone();
                let again = Clock::decode(&read.encode(&mut devices), &devices).unwrap();
                prop_assert_eq!(again, read);
            }
        }
    }

    #[test]
    fn the_short_form_of_a_fresh_clock_is_the_long_one(hlc in hlc(), life in 1..=MAX_LIFE) {
        let mut devices = Devices::new();
        let device = Device { id: [1; 16], incarnation: 0 };
        let number = devices.number(device);
        let clock = Clock::created(life, Stamp { hlc, device });
        prop_assert_eq!(clock.encode(&mut devices), Clock::encode_created(life, hlc, number));
    }

    #[test]
    fn any_bytes_are_a_clock_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..40), devices in devices()) {
        if let Ok(clock) = Clock::decode(&bytes, &devices) {
            prop_assert!((1..=MAX_LIFE).contains(&clock.life), "{MAX_LIFE}");
            prop_assert!(clock.newest().hlc <= Hlc::LIMIT);
            for (_, counter) in &clock.counters {
                let devices = counter.sums.iter().map(|sum| sum.at.device);
                prop_assert!(devices.is_sorted_by(|a, b| a < b));
                let _ = counter.value();
            }
        }
        let _ = Devices::decode(&bytes);
        let _ = Head::decode(&bytes);
        let _ = Catalogue::decode(&bytes);
        let _ = decode_names(&bytes);
        let _ = Place::decode(&bytes);
        let _ = key_code::decode(&bytes);
        let _ = Frame::decode(&bytes);
    }

    #[test]
    fn a_device_keeps_its_number(all in prop::collection::vec(device(), 1..20)) {
        let mut devices = Devices::new();
        let mut numbers = Vec::new();
        for device in &all {
            devices.advance(*device, 1, Hlc(1));
            numbers.push((*device, devices.number(*device)));
            devices = stored(&devices);
            for (device, number) in &numbers {
                prop_assert_eq!(devices.number(*device), *number);
                prop_assert_eq!(devices.device(*number), Some(*device));
            }
            prop_assert!(!devices.is_changed());
        }
    }

    #[test]
    fn what_is_known_of_a_device_never_goes_back(steps in prop::collection::vec((device(), any::<u64>(), hlc()), 1..20)) {
        let mut devices = Devices::new();
        for (n, (device, sequence, hlc)) in steps.iter().enumerate() {
            devices.advance(*device, *sequence, *hlc);
            devices = stored(&devices);
            let past = steps[..=n].iter().filter(|(other, ..)| other == device);
            let known = devices.find(*device).unwrap();
            prop_assert_eq!(known.sequence, past.clone().map(|it| it.1).max().unwrap());
            prop_assert_eq!(known.hlc, past.map(|it| it.2).max().unwrap());
        }
    }

    #[test]
    fn key_codes_there_and_back(values in prop::collection::vec(key_value(), 1..4)) {
        let key = Key::compound(values.clone());
        let code = key_code::encode(&values);
        let back = key_code::decode(&code).unwrap();
        prop_assert_eq!(&back, &key);
        prop_assert_eq!(&key_code::encode(back.values()), &code);
        for cut in 0..code.len() {
            if let Ok(part) = key_code::decode(&code[..cut]) {
                prop_assert!(part.values().len() < values.len(), "fewer values, never another one");
            }
        }
    }

    #[test]
    fn keys_have_the_same_code_exactly_when_they_are_the_same(
        a in prop::collection::vec(key_value(), 1..3), b in prop::collection::vec(key_value(), 1..3)
    ) {
        let same = Key::compound(a.clone()) == Key::compound(b.clone());
        prop_assert_eq!(key_code::encode(&a) == key_code::encode(&b), same);
        for value in &a {
            for other in same_otherwise(value) {
                prop_assert_eq!(key_code::encode([&other]), key_code::encode([value]), "{:?} {:?}", other, value);
            }
        }
    }

    #[test]
    fn frames_there_and_back(frame in frame(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let bytes = frame.encode();
        let read = Frame::decode(&bytes).unwrap();
        prop_assert_eq!(&read.encode(), &bytes);
        for cut in 0..bytes.len() {
            prop_assert!(Frame::decode(&bytes[..cut]).is_err());
        }
        let mut flipped = bytes;
        let at = at.index(flipped.len());
        flipped[at] = to;
        let _ = Frame::decode(&flipped);
    }

    #[test]
    fn small_forms_there_and_back(names in prop::collection::btree_set(any::<String>(), 0..4), me in any::<u32>(), next in any::<u64>(), hlc in hlc()) {
        let names = names.into_iter().map(Name::from).collect();
        prop_assert_eq!(decode_names(&encode_names(&names)).unwrap(), names);
        let head = Head { me, next, hlc };
        prop_assert_eq!(Head::decode(&head.encode()).unwrap(), head);
        let place = Place { log: LogId([3; 16]), cursor: Cursor(next.to_be_bytes().to_vec()) };
        prop_assert_eq!(Place::decode(&place.encode()).unwrap(), place);
    }
}

/// What is renamed keeps its number, once; what is gone keeps its number too, and gives it to nobody.
#[test]
fn what_is_renamed_keeps_its_number() {
    let note = |name: &str, version: u64, fields: &[&str]| {
        let note = Definition::new(name).version(version);
        fields.iter().fold(note, |note, field| note.optional(*field, FieldType::Int))
    };
    let steps = [
        note("note", 1, &["a", "b", "c"]),
        note("note", 2, &["b", "a", "c"]),
        note("memo", 3, &["b", "d", "a"]),
        note("memo", 4, &["b", "d", "a", "c"]),
    ];
    let migrations = [
        Migration::new("note", 2).rename_field("a", "b").rename_field("b", "a"),
        Migration::new("memo", 3)
            .renamed_from("note")
            .rename_field("a", "d")
            .rename_field("c", "a"),
    ];
    let registry = |upto: usize| {
        let upto = upto.min(steps.len());
        let migrations: Vec<Migration> =
            migrations.iter().filter(|it| it.version().0 <= upto as u64).cloned().collect();
        let definitions = steps[..upto].to_vec();
        Registry::builder().collections(definitions).migrations(migrations).build().unwrap()
    };
    let number = |catalogue: &Catalogue, registry: &Registry, name: &str, field: &str| {
        let collection = registry.collection(name).unwrap();
        let numbers = catalogue.numbers(collection).unwrap();
        numbers.fields[collection.position(field).unwrap()]
    };
    let mut catalogue = Catalogue::default();
    let first = registry(1);
    let never = Followed::default();
    assert!(!catalogue.follow(&first, &never) && catalogue.extend(&first));
    let mut followed = catalogue.followed(&first, &never);
    let [a, b, c] = ["a", "b", "c"].map(|field| number(&catalogue, &first, "note", field));
    // All versions at once, and one by one, and again.
    let last = registry(4);
    let mut at_once = catalogue.clone();
    assert!(at_once.follow(&last, &followed));
    at_once.extend(&last);
    for upto in 2..=4 {
        let now = registry(upto);
        catalogue.follow(&now, &followed);
        catalogue.extend(&now);
        followed = catalogue.followed(&now, &followed);
        assert_eq!(Followed::decode(&followed.encode()).unwrap(), followed);
        assert!(!catalogue.follow(&now, &followed), "nothing is left to follow");
    }
    assert_eq!(catalogue, at_once);
    let now = |field| number(&catalogue, &last, "memo", field);
    assert_eq!([now("b"), now("d"), now("a")], [a, b, c]);
    assert!(![a, b, c].contains(&now("c")), "the name is somebody else's now");
    assert_eq!(Catalogue::decode(&catalogue.encode()).unwrap(), catalogue);
}

/// A name that was given up and taken again is another thing, and a migration that was written late is followed.
#[test]
fn names_that_are_taken_again_get_numbers_of_their_own() {
    let of = |name: &str, version, fields: &[&str]| {
        let start = Definition::new(name).version(version);
        fields.iter().fold(start, |it, field| it.optional(*field, FieldType::Int))
    };
    let numbers = |catalogue: &Catalogue, registry: &Registry, name: &str| {
        catalogue.numbers(registry.collection(name).unwrap()).unwrap()
    };
    let first = [of("note", 1, &["a"]), of("other", 5, &["x"])];
    let first = Registry::builder().collections(first).build().unwrap();
    let mut catalogue = Catalogue::default();
    catalogue.extend(&first);
    let followed = catalogue.followed(&first, &Followed::default());
    let note = numbers(&catalogue, &first, "note");
    // `note` becomes `memo`, its `a` becomes `b`, and both names are taken again; all that below the version of `other`.
    let definitions = [
        of("note", 1, &["a"]),
        of("memo", 2, &["b"]),
        of("note", 3, &["a"]),
        of("memo", 4, &["b", "a"]),
        of("other", 5, &["x"]),
    ];
    let moved = Migration::new("memo", 2).renamed_from("note").rename_field("a", "b");
    let last = Registry::builder().collections(definitions).migration(moved).build().unwrap();
    catalogue.follow(&last, &followed);
    catalogue.extend(&last);
    let memo = numbers(&catalogue, &last, "memo");
    assert_eq!((memo.collection, memo.fields[1]), (note.collection, note.fields[1]));
    assert!(!note.fields.contains(&memo.fields[2]));
    assert_ne!(numbers(&catalogue, &last, "note").collection, note.collection);
    assert!(!catalogue.follow(&last, &catalogue.followed(&last, &followed)));
}

/// Where floats leave the integers behind.
#[test]
fn floats_at_the_edge_of_the_integers_keep_their_own_code() {
    let two_63 = 9_223_372_036_854_775_808.0;
    let code = |value: Value| key_code::encode([&value]);
    assert_ne!(code(Value::from(two_63)), code(Value::Int(i64::MAX)));
    assert_eq!(code(Value::from(-two_63)), code(Value::Int(i64::MIN)));
    assert_eq!(code(Value::from(two_63 / 2.0)), code(Value::Int(1 << 62)));
    assert_eq!(code(Value::Float(-0.0)), code(Value::Int(0)));
    for float in [two_63, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, 0.5, 5e-324] {
        let back = key_code::decode(&code(Value::from(float))).unwrap();
        assert_eq!(back.values(), [Value::from(float)]);
    }
}

/// Nobody is number 0, is not stored, and lends its number to no one.
#[test]
fn nobody_has_a_number_but_no_row() {
    let nobody = Device::default();
    let mut devices = Devices::new();
    assert_eq!(devices.number(nobody), 0);
    assert!(devices.encode().is_empty());
    assert!(devices.find(nobody).is_none());
    // A forged one is followed like any other, so that it is noticed when it comes twice.
    devices.advance(nobody, 1, Hlc(5));
    let mut devices = stored(&devices);
    assert_eq!(devices.find(nobody).map(|known| known.sequence), Some(1));
    assert_eq!(devices.number(nobody), 0, "data older than sync keeps its stamp");
}

#[test]
fn a_frame_of_a_later_version_is_refused_by_its_number() {
    let told = |bytes: &[u8]| match Frame::decode(bytes) {
        Err(SyncError::Corrupt { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(told(&[0x93, 0x00, 0x02, 0xc0]).contains("version 2"));
    assert!(told(&[0x91, 0x3f]).contains("63"));
    // Forged lengths.
    for kind in [2, 3, 8] {
        assert!(Frame::decode(&[0x94, kind, 0, 0xc4, 0, 0xdd, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(Frame::decode(&[0x92, kind, 0xdd, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}

// ---- The vectors of the description -----------------------------------------------------------------------------------

/// The bytes under a name in `docs/wire-format.md`: lines of hexadecimal digits, each with a comment behind `|`.
pub(crate) fn vector(name: &str) -> Vec<u8> {
    let text = include_str!("../../docs/wire-format.md");
    let begin = format!("```hex {name}\n");
    let from = text.find(&begin).unwrap_or_else(|| panic!("no vector `{name}`")) + begin.len();
    let block = &text[from..from + text[from..].find("```").unwrap()];
    let digits: String = block
        .lines()
        .flat_map(|line| line.split('|').next().unwrap_or_default().chars())
        .filter(char::is_ascii_hexdigit)
        .collect();
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Compares, and shows both as the description writes them.
pub(crate) fn assert_vector(name: &str, bytes: &[u8]) {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|it| format!("{it:02x}")).collect() };
    assert_eq!(hex(bytes), hex(&vector(name)), "vector `{name}`");
}

pub(crate) const A: Device = Device {
    id: *b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
    incarnation: 0,
};
pub(crate) const B: Device = Device {
    id: *b"\xb0\xb1\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xbb\xbc\xbd\xbe\xbf",
    incarnation: 2,
};

/// 2026-01-01T00:00:00Z, and so many writes later.
pub(crate) fn at(n: u64) -> Hlc {
    Hlc(1_767_225_600_000 << 16).plus(n)
}

fn first_transaction() -> Transaction {
    let header =
        Header { device: A, sequence: 1, hlc: at(0), seen: Vec::new(), schema: 20_261_121 };
    let shapes = vec![Shape {
        collection: "note".into(),
        key_len: 1,
        fields: vec!["id".into(), "title".into(), "stars".into()],
    }];
    let values = [Value::from("n1"), Value::from("Hello"), Value::Null];
    let entries = vec![Entry {
        kind: EntryKind::Create,
        shape: 0,
        life: 1,
        values: values.into_iter().map(EntryValue::Set).collect(),
    }];
    Transaction { header, shapes, entries }
}

fn counted(base: Stamp, from: impl Into<Value>, sum: Amount) -> Counted {
    Counted { base, from: from.into(), sum }
}

fn second_transaction() -> Transaction {
    let header =
        Header { device: B, sequence: 300, hlc: at(70_000), seen: vec![(A, at(0))], schema: 1 };
    let shape = |collection: &str, key_len, fields: &[&str]| Shape {
        collection: collection.into(),
        key_len,
        fields: fields.iter().map(|it| Name::from(*it)).collect(),
    };
    let set = |values: Vec<Value>| values.into_iter().map(EntryValue::Set).collect::<Vec<_>>();
    let mut incremented = set(vec![Value::from("n1")]);
    let counted = counted(Stamp { hlc: at(0), device: A }, 0, Amount::Int(-1));
    let change = Relative::Increment { by: Value::Int(-1), counted: Some(counted) };
    incremented.push(EntryValue::Changed { change: Box::new(change), to: Value::Int(-1) });
    let all = vec![
        Value::Int(i64::MIN),
        Value::from("k"),
        Value::Bool(true),
        Value::from(1.5),
        Value::Bytes(vec![0xde, 0xad]),
        Value::Timestamp(Timestamp(-1)),
        Value::Json(serde_json::json!({"a": [1, null]})),
    ];
    Transaction {
        header,
        shapes: vec![
            shape("note", 1, &["id", "stars"]),
            shape("all", 2, &["x", "y", "flag", "float", "bytes", "at", "json"]),
            shape("note", 1, &["id"]),
        ],
        entries: vec![
            Entry { kind: EntryKind::Update, shape: 0, life: 1, values: incremented },
            Entry { kind: EntryKind::Create, shape: 1, life: 3, values: set(all) },
            Entry { kind: EntryKind::Delete, shape: 2, life: 2, values: set(vec!["n1".into()]) },
        ],
    }
}

#[test]
fn transactions_are_as_described() {
    for (name, transaction) in
        [("transaction 1", first_transaction()), ("transaction 2", second_transaction())]
    {
        assert_vector(name, &transaction.encode());
        assert_eq!(Transaction::decode(&vector(name)).unwrap(), transaction);
    }
}

fn read_change(name: &str) -> (Relative, Value) {
    let bytes = vector(name);
    let mut unpacker = Unpacker::new(&bytes, "a change");
    let read = Relative::read(&mut unpacker).unwrap();
    unpacker.end().unwrap();
    read
}

#[test]
fn changes_are_as_described() {
    let increment = |by: Value, counted| Relative::Increment { by, counted };
    let moment = |at| Value::Timestamp(Timestamp(at));
    let json = |json: serde_json::Value| Value::Json(json);
    let joined = |base, contribution| Relative::Joined(Joined { base, contribution });
    let since = Stamp { hlc: at(70_000), device: B };
    for (name, change, to) in [
        ("increment", increment(2.into(), None), Value::Int(5)),
        (
            "increment of a float",
            increment(0.5.into(), Some(counted(Stamp::ZERO, 1.0, Amount::Float(0.5, 0.0)))),
            Value::from(1.5),
        ),
        (
            "increment by more than a float holds",
            increment(0.5.into(), Some(counted(Stamp::ZERO, 1.0, Amount::Float(0.5, 1e-17)))),
            Value::from(1.5),
        ),
        (
            "increment of a moment",
            increment(999.into(), Some(counted(since, moment(0), Amount::Int(1000)))),
            moment(1000),
        ),
        ("multiply", Relative::Multiply(3.into()), 6.into()),
        ("min", Relative::Min(6.into()), 6.into()),
        ("max", Relative::Max(6.into()), 7.into()),
        ("append", Relative::Append("b".into()), "ab".into()),
        ("add elements", Relative::AddElements(vec![2.into(), 1.into()]), json([1, 2].into())),
        ("remove elements", Relative::RemoveElements(vec![2.into()]), json([1].into())),
        (
            "replace prefix",
            Relative::ReplacePrefix { from: "a".into(), to: "b".into() },
            "bc".into(),
        ),
        ("greatest", joined(Stamp::ZERO, Contribution::Max(7.into())), 9.into()),
        ("least", joined(since, Contribution::Min("b".into())), "a".into()),
        (
            "set",
            joined(
                Stamp::ZERO,
                Contribution::Set { added: vec![2.into()], removed: vec!["a".into()] },
            ),
            json([1, 2].into()),
        ),
        (
            "list",
            joined(Stamp::ZERO, Contribution::List(vec![2.into(), 2.into()])),
            json([1, 2, 2].into()),
        ),
        (
            "joined by a function",
            joined(Stamp::ZERO, Contribution::Custom("longer".into(), "ab".into())),
            "abc".into(),
        ),
    ] {
        let name = format!("change, {name}");
        let mut packer = Packer::default();
        change.write(&mut packer, &to);
        assert_vector(&name, &packer.out);
        assert_eq!(read_change(&name), (change, to));
    }
    let first = Relative::Increment { by: Value::Int(-1), counted: None };
    assert_eq!(read_change("change, first form"), (first, Value::Int(41)));
    assert_eq!(read_change("change, unknown"), (Relative::Unknown(1000), Value::from("x")));
}

pub(crate) fn known() -> Devices {
    let mut devices = Devices::new();
    devices.advance(A, 7, at(3));
    devices.advance(B, 300, at(70_002));
    stored(&devices)
}

#[test]
fn clocks_and_the_table_of_devices_are_as_described() {
    let mut devices = known();
    assert_vector("devices", &devices.encode());
    let fresh = Clock::created(1, Stamp { hlc: at(0), device: A });
    let mut edited = Clock::created(3, Stamp { hlc: at(5), device: B });
    edited.set(2, Stamp { hlc: at(4), device: A });
    edited.set(300, Stamp { hlc: at(70_000), device: B });
    let deleted = Clock::created(2, Stamp { hlc: at(1), device: A });
    let mut older = Clock::unstamped();
    older.set(1, Stamp { hlc: at(0), device: A });
    let mut with_counters = Clock::created(1, Stamp { hlc: at(0), device: A });
    with_counters.set(2, Stamp { hlc: at(5), device: B });
    let counter = |from: Value, sums: &[(u64, Device, Amount)]| {
        let sums = sums.iter().map(|(n, device, amount)| Sum {
            at: Stamp { hlc: at(*n), device: *device },
            amount: *amount,
        });
        Counter { from, sums: sums.collect() }
    };
    with_counters.count(
        2,
        counter(10.into(), &[(7, A, Amount::Int(-2)), (69_995, B, Amount::Int(8_000_000))]),
    );
    with_counters.count(3, counter(Value::Timestamp(Timestamp(1000)), &[(1, A, Amount::Int(-1))]));
    with_counters.count(
        4,
        counter(1.5.into(), &[(2, A, Amount::Float(0.1, 0.0)), (2, B, Amount::Float(0.5, 1e-17))]),
    );
    let with_strategies = clock_with_strategies();
    for (name, clock) in [
        ("clock, created", fresh),
        ("clock, edited", edited),
        ("clock, deleted", deleted),
        ("clock, older than sync", older),
        ("clock, with counters", with_counters),
        ("clock, with strategies", with_strategies),
    ] {
        assert_vector(name, &clock.encode(&mut devices));
        assert_eq!(Clock::decode(&vector(name), &devices).unwrap(), clock);
    }
}

/// A note in scope "work": field 2 says it, and field 3 is a counter.
fn marker(me: Device) -> Marker {
    let stamp = |n, device| Stamp { hlc: at(n), device };
    let mut clock = Clock::created(1, stamp(5, B));
    clock.set(3, stamp(0, A));
    let sum = |at, amount| Sum { at, amount: Amount::Int(amount) };
    let sums = vec![sum(stamp(7, A), -2), sum(stamp(69_995, B), 8_000_000)];
    clock.count(3, Counter { from: 10.into(), sums });
    let values = ["n1".into(), "Call".into(), "work".into(), 8_000_008.into()];
    let fields = vec![0, 1, 2, 3];
    let numbers = Numbers { collection: 0, fields, local: BTreeSet::new(), scope: Some(2) };
    Marker::of(&clock, &Record::new(values.into()), &numbers, me).unwrap()
}

#[test]
fn markers_are_as_described() {
    let mut devices = known();
    let nobody = Device { id: [7; 16], incarnation: 0 };
    for (name, marker) in [("marker", marker(nobody)), ("marker, with an own sum", marker(A))] {
        let bytes = marker.encode(&mut devices);
        assert_vector(name, &bytes);
        assert!(is_marker(&bytes));
        assert_eq!(Marker::decode(&bytes, &devices).unwrap(), marker);
        assert!(Clock::decode(&bytes, &devices).is_err(), "it is no clock");
        // Cut anywhere it is refused, or says less.
        for cut in 0..bytes.len() {
            assert_ne!(Marker::decode(&bytes[..cut], &devices).ok(), Some(marker.clone()));
        }
    }
}

fn clock_with_strategies() -> Clock {
    let (a, b) = (Stamp { hlc: at(1), device: A }, Stamp { hlc: at(2), device: B });
    let held = |at, value| Held { at, value };
    let element = |text: &str, at, place, is_in| Element { text: text.into(), at, place, is_in };
    let item = |at, place, element| Item { at, place, element };
    let mut clock = Clock::created(1, Stamp { hlc: at(0), device: A });
    let joins = crate::strategy::Joins::default();
    for (field, state) in [
        (2, FieldState::Max(held(b, 9.into()))),
        (3, FieldState::Min(held(a, "a".into()))),
        (4, FieldState::Set(vec![element("\"x\"", b, 0, false), element("1", a, 1, true)])),
        (5, FieldState::List(vec![item(a, 0, 1.into()), item(b, 0, Json::Null)])),
        (6, FieldState::Custom("longer".into(), held(a, "abc".into()))),
    ] {
        // One of them was set plainly, the row's other fields by the create.
        clock.set(field, if field == 3 { clock.row } else { Stamp::ZERO });
        clock.join(field, &state, &joins);
    }
    clock.set(7, Stamp { hlc: at(3), device: B });
    clock
}

#[test]
fn key_codes_are_as_described() {
    for (name, values) in [
        ("key, uuid", vec![Value::from("0198c0de-0000-7000-8000-0123456789ab")]),
        ("key, text", vec![Value::from("n1")]),
        ("key, integer", vec![Value::Int(-65)]),
        ("key, float", vec![Value::from(0.5)]),
        (
            "key, compound",
            vec![Value::from(2.0), Value::from(""), Value::Bytes(vec![1]), Value::Bool(true)],
        ),
    ] {
        assert_vector(name, &key_code::encode(&values));
        assert_eq!(key_code::decode(&vector(name)).unwrap(), Key::compound(values));
    }
}

#[test]
fn frames_are_as_described() {
    let devices = known();
    let hello = Hello {
        local: Vec::new(),
        schema: 1,
        devices: devices.clone(),
        place: Some(Place { log: LogId([0x70; 16]), cursor: Cursor(vec![0, 0, 0, 0, 0, 0, 0, 9]) }),
        collections: vec![CollectionHello {
            name: "note".into(),
            fields: vec!["id".into(), "stars".into()],
            numbers: vec![0, 2],
            count: 1,
        }],
    };
    let mut numbers = devices.clone();
    let clock = |life, hlc, numbers: &mut Devices| {
        Clock::created(life, Stamp { hlc, device: A }).encode(numbers)
    };
    let rows = Rows {
        collection: 0,
        devices: devices.clone(),
        rows: vec![
            (vec![Value::from("n1"), Value::Int(41)], clock(1, at(0), &mut numbers)),
            (vec![Value::from("old"), Value::Null], Vec::new()),
        ],
        number: 0,
    };
    let code = key_code::encode([&Value::from("n2")]);
    let tombstones = Tombstones {
        collection: 0,
        devices,
        objects: vec![(code, clock(2, at(1), &mut numbers))],
        number: 0,
    };
    let parked = Parked {
        device: B,
        sequence: 301,
        waits_for: WaitsFor::Update,
        reason: "why".into(),
        payload: vec![0x94],
    };
    for (name, frame) in [
        ("frame, hello", Frame::Hello(hello)),
        ("frame, accept", Frame::Accept(Accept::default())),
        (
            "frame, accept otherwise",
            Frame::Accept(Accept {
                resume: vec![0x70],
                otherwise: vec![
                    (1, Take::Nothing),
                    (2, Take::Parked),
                    (3, Take::Without(vec![4, 5])),
                ],
            }),
        ),
        ("frame, rows", Frame::Rows(rows)),
        ("frame, tombstones", Frame::Tombstones(tombstones)),
        ("frame, received", Frame::Received),
        ("frame, finish", Frame::Finish),
        ("frame, finished", Frame::Finished),
        (
            "frame, failed",
            Frame::Failed { kind: storex_core::ErrorKind::Conflict, reason: "why".into() },
        ),
        ("frame, parked", Frame::Parked(vec![parked])),
        ("frame, greeting", Frame::Greeting(Greeting { versions: VERSIONS, terms: Some(terms()) })),
        ("frame, paused", Frame::Paused),
        ("frame, running", Frame::Running),
        ("frame, cancel", Frame::Cancel),
        ("frame, package", Frame::Package { kind: "key".into(), bytes: vec![0x55] }),
        ("frame, kept back", Frame::KeptBack { collection: 0, count: 3 }),
        ("frame, resumable", Frame::Resumable { ticket: vec![0x70, 0x71], resumes: true }),
        ("frame, caught up", Frame::CaughtUp),
    ] {
        assert_vector(name, &frame.encode());
        assert_eq!(Frame::decode(&vector(name)).unwrap(), frame);
    }
}

#[test]
fn a_resume_token_is_as_described() {
    let mut devices = Devices::new();
    devices.advance(A, 7, at(3));
    let token = Token {
        ticket: vec![0x70, 0x71],
        devices: stored(&devices),
        position: Position {
            phase: Phase::Rows,
            collection: "note".into(),
            after: vec![Value::from("n7")],
        },
        done: 70,
        conditions: 9,
        is_sifted: true,
        has_parked: false,
    };
    assert_vector("resume token", &token.encode());
    assert_eq!(Token::decode(&vector("resume token")).unwrap(), token);
}

fn terms() -> Terms {
    Terms {
        capabilities: Capabilities(3),
        device: A,
        schema: 1,
        wants: Wants::BothWays,
        objects: 300,
        window: 4,
    }
}

/// What a later version says beside what is known is passed over; without a common version only the versions are read.
#[test]
fn greetings_of_other_versions_can_be_read() {
    let greet = |versions, terms| Frame::Greeting(Greeting { versions, terms });
    let mut longer = greet(1..=7, Some(terms())).encode();
    longer[0] += 1;
    longer.push(0xc0);
    assert_eq!(Frame::decode(&longer).unwrap(), greet(1..=7, Some(terms())));
    let mut foreign = greet(2..=7, None).encode();
    foreign[0] += 1;
    foreign.extend([0x91, 0xc3]);
    assert_eq!(Frame::decode(&foreign).unwrap(), greet(2..=7, None));
    // One that is shorter than what is known is no greeting.
    assert!(Frame::decode(&greet(1..=1, None).encode()).is_err());
}

#[test]
fn a_page_of_a_snapshot_is_as_described() {
    let id = SnapshotId { maker: A, number: 7 };
    let finish = Frame::Finish.encode();
    let mut contents = MAGIC.to_vec();
    contents.extend([VERSION, u8::try_from(finish.len()).unwrap()]);
    contents.extend(finish);
    let page = [&page_checksum(id, 0, &contents)[..], &contents].concat();
    assert_vector("snapshot, page", &page);
}
