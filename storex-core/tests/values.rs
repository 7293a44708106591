//! The order of values, and keys as keys of maps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::cmp::Ordering;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use proptest::prelude::*;
use serde_json::json;
use storex_core::{Key, Timestamp, Value, compare_all};

/// Values of every kind, with many that are nearly alike; also those that no record holds (NaN, `-0.0`).
fn any_value() -> impl Strategy<Value = Value> {
    let ints = prop_oneof![
        any::<i64>(),
        -2..3_i64,
        Just(1 << 53),
        Just((1 << 53) + 1),
        Just(i64::MAX),
        Just(i64::MIN),
    ];
    let floats = prop_oneof![
        any::<f64>(),
        any::<i64>().prop_map(|int| int as f64),
        prop::sample::select(vec![
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            -0.5,
            5e-324,
            9_007_199_254_740_992.0,
            9.223_372_036_854_776e18,
            -9.223_372_036_854_776e18,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            -f64::NAN,
        ]),
    ];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        ints.clone().prop_map(Value::Int),
        ints.prop_map(|ms| Value::Timestamp(Timestamp(ms))),
        floats.prop_map(Value::Float),
        any::<String>().prop_map(Value::Text),
        "[ab]{0,2}".prop_map(Value::Text),
        any::<Vec<u8>>().prop_map(Value::Bytes),
        "[ab]{0,2}".prop_map(|text| Value::Bytes(text.into_bytes())),
        prop::sample::select(vec![
            json!(null),
            json!(1),
            json!(1.0),
            json!("a"),
            json!({ "a": 1 })
        ])
        .prop_map(Value::Json),
    ]
}

fn hash(key: &Key) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// One step on in the kinds that are compared as numbers.
fn is_number(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Timestamp(_))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_is_total(a in any_value(), b in any_value(), c in any_value()) {
        prop_assert_eq!(a.compare(&a), Ordering::Equal);
        prop_assert_eq!(a.compare(&b), b.compare(&a).reverse());
        if a.compare(&b).is_le() && b.compare(&c).is_le() {
            prop_assert!(a.compare(&c).is_le(), "{a:?} <= {b:?} <= {c:?}");
        }
        if a.compare(&b).is_eq() {
            prop_assert_eq!(a.compare(&c), b.compare(&c), "{:?} = {:?}", a, b);
        }
    }

    /// Equal by `==` is equal in the order; the other way round only numbers of different kinds differ.
    #[test]
    fn equality_is_finer_than_the_order(a in any_value(), b in any_value()) {
        if a == b {
            prop_assert!(a.compare(&b).is_eq());
        }
        if a.compare(&b).is_eq() && a != b {
            prop_assert!(is_number(&a) && is_number(&b), "{a:?} and {b:?}");
        }
    }

    #[test]
    fn keys_that_are_equal_hash_alike(
        a in proptest::collection::vec(any_value(), 0..3),
        b in proptest::collection::vec(any_value(), 0..3),
    ) {
        let (a, b) = (Key::compound(a), Key::compound(b));
        prop_assert_eq!(a == b, a.cmp(&b).is_eq());
        if a == b {
            prop_assert_eq!(hash(&a), hash(&b), "{:?} and {:?}", a, b);
        }
    }

    #[test]
    fn lists_are_ordered_by_their_first_difference(
        a in proptest::collection::vec(any_value(), 0..4),
        b in proptest::collection::vec(any_value(), 0..4),
    ) {
        let first = a.iter().zip(&b).map(|(x, y)| x.compare(y)).find(|order| order.is_ne());
        let expected = first.unwrap_or(a.len().cmp(&b.len()));
        prop_assert_eq!(compare_all(&a, &b), expected);
    }
}

/// Numbers of different kinds that are the same number are one key.
#[test]
fn the_same_number_is_the_same_key() {
    let ones =
        [Value::Int(1), Value::Float(1.0), Value::Bool(true), Value::Timestamp(Timestamp(1))];
    for a in &ones {
        for b in &ones {
            assert_eq!(Key::from(a.clone()), Key::from(b.clone()));
            assert_eq!(hash(&Key::from(a.clone())), hash(&Key::from(b.clone())));
        }
    }
    assert_ne!(Key::from(1), Key::from("1"));
    assert_ne!(Key::from((1_i64 << 53) + 1), Key::from(9_007_199_254_740_992.0));
}
