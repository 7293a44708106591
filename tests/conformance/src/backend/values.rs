//! Values come back as they were given.

use serde_json::{Value as Json, json};
use storex_core::{
    Affinity, Batch, Changes, Error, ErrorKind, FieldType, Filter, Query, Storage, Timestamp,
    Value, field,
};

use crate::Harness;
use crate::support::{
    OBJECT, assert_refused, dump, keyed, matching, open_one, record, records, refused,
};

/// Creates an object for each value and gives what is stored.
async fn store(h: &Harness, field_type: FieldType, values: &[Value]) -> (Storage, Vec<Value>) {
    let (storage, _) = open_one(h, keyed().optional("v", field_type)).await;
    let all = values.iter().zip(0..).map(|(value, id)| record![id, value.clone()]).collect();
    storage.execute(Batch::new().create(OBJECT, all)).await.unwrap();
    let stored = stored(&storage).await;
    (storage, stored)
}

async fn stored(storage: &Storage) -> Vec<Value> {
    records(storage, OBJECT).await.iter().map(|record| record.get(1).clone()).collect()
}

/// The values come back the same: after a create, after an update, and from a filter for them.
async fn come_back(h: Harness, field_type: FieldType, values: Vec<Value>) {
    let (storage, created) = store(&h, field_type, &values).await;
    assert_eq!(created, values);
    for (value, id) in values.iter().zip(0..) {
        let found = matching(&storage, field("v").eq(value.clone())).await;
        assert!(found.contains(&id), "{value:?} is not found by itself");
    }
    // Each object gets the value of another one.
    let mut batch = Batch::new();
    for (value, id) in values.iter().rev().zip(0_i64..) {
        let changes = Changes::new().set("v", value.clone());
        batch = batch.update(OBJECT, Filter::key(id), changes);
    }
    storage.execute(batch).await.unwrap();
    let mut reversed = values;
    reversed.reverse();
    assert_eq!(stored(&storage).await, reversed);
}

fn texts() -> Vec<Value> {
    let texts = [
        "",
        " ",
        "  two  spaces  ",
        "\n\r\t",
        "a\0b",
        "\0",
        "\0\0",
        "\u{feff}bom",
        "plain",
        "e\u{301}",
        "é",
        "\u{1100}\u{1161}",
        "가",
        "ﬁ",
        "İ",
        "ß",
        "\u{202e}rtl",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
        "\u{645}\u{631}\u{62d}\u{628}\u{627}",
        "日本語",
        "😀",
        "👩‍👩‍👧‍👦",
        "🇪🇺",
        "\u{10ffff}",
        "\u{fffd}",
        "\u{ffff}",
        "\u{fdd0}",
        "\u{e000}",
        "\u{2028}\u{2029}",
        "'",
        "\"",
        "''",
        "\\",
        "\\0",
        "%",
        "_",
        "?",
        ":a",
        "$1",
        "--",
        "/*",
        ";",
        "'; DROP TABLE object; --",
        "{}",
        "[1]",
    ];
    texts.map(Value::from).to_vec()
}

pub async fn texts_of_every_script(h: Harness) {
    come_back(h, FieldType::String, texts()).await;
}

pub async fn long_texts_of_every_script(h: Harness) {
    come_back(h, FieldType::Text, texts()).await;
}

/// Nothing is guessed: a text stays a text.
pub async fn texts_that_look_like_something_else(h: Harness) {
    let texts = [
        "2026-11-20T12:00:00Z",
        "2026-11-20",
        "12:00",
        "123",
        "-1",
        "1.0",
        "1e5",
        "0x10",
        " 7 ",
        "007",
        "true",
        "false",
        "null",
        "NULL",
        "NaN",
        "Infinity",
        "undefined",
        "{\"a\":1}",
        "[]",
        "\"quoted\"",
        "x'00'",
        "00112233-4455-6677-8899-aabbccddeeff",
        "AAEC",
        "9223372036854775807",
        "9223372036854775808",
    ];
    come_back(h, FieldType::String, texts.map(Value::from).to_vec()).await;
}

pub async fn integers(h: Harness) {
    let ints = [
        i64::MIN,
        i64::MIN + 1,
        -(1 << 53) - 1,
        -(1 << 53),
        -(1 << 31) - 1,
        -256,
        -1,
        0,
        1,
        127,
        128,
        1 << 31,
        1 << 32,
        (1 << 53) - 1,
        1 << 53,
        (1 << 53) + 1,
        i64::MAX - 1,
        i64::MAX,
    ];
    come_back(h, FieldType::Int, ints.map(Value::from).to_vec()).await;
}

/// Neighbours above 2^53, which are one and the same as floats, are told apart.
pub async fn integers_above_2_53_are_told_apart(h: Harness) {
    let big = 1_i64 << 53;
    let ints = [big, big + 1, big + 2, i64::MAX - 1, i64::MAX];
    let (storage, _) = store(&h, FieldType::Int, &ints.map(Value::from)).await;
    for (int, id) in ints.into_iter().zip(0..) {
        assert_eq!(matching(&storage, field("v").eq(int)).await, [id]);
        assert_eq!(matching(&storage, field("v").gt(int)).await, (id + 1..5).collect::<Vec<_>>());
    }
}

pub async fn floats(h: Harness) {
    let floats = [
        f64::NEG_INFINITY,
        f64::MIN,
        -1.5,
        -f64::MIN_POSITIVE,
        -5e-324,
        0.0,
        5e-324,
        2.2e-308,
        f64::MIN_POSITIVE,
        f64::EPSILON,
        0.1,
        0.1 + 0.2,
        1.0 / 3.0,
        1.0,
        1.5,
        100.783_996_582_031_25,
        31.245_270_191_439_438,
        121.487_919_511_619_45,
        9.007_199_254_740_992e15,
        9.223_372_036_854_776e18,
        1e21,
        2.638_344_616_030_823e-256,
        1.797_693_134_862_315_7e308,
        f64::MAX,
        f64::INFINITY,
    ];
    come_back(h, FieldType::Float, floats.map(Value::from).to_vec()).await;
}

pub async fn minus_zero_is_stored_as_zero(h: Harness) {
    let (storage, stored) = store(&h, FieldType::Float, &[Value::Float(-0.0)]).await;
    assert_eq!(stored, [Value::Float(0.0)]);
    assert_eq!(matching(&storage, field("v").eq(Value::Float(-0.0))).await, [0]);
    let changes = Changes::new().set("v", Value::Float(-0.0));
    storage.execute(Batch::new().update(OBJECT, Filter::All, changes)).await.unwrap();
    assert_eq!(records(&storage, OBJECT).await, [record![0, 0.0]]);
}

/// NaN is equal to nothing and no database keeps it alike.
pub async fn nan_is_refused_everywhere(h: Harness) {
    let adopted = FieldType::Dynamic(Affinity::Real);
    let definition = keyed().optional("v", FieldType::Float).optional("w", adopted);
    let (storage, _) = open_one(&h, definition).await;
    let object = record![1, 1.0, 1.0];
    storage.execute(Batch::new().create(OBJECT, vec![object.clone()])).await.unwrap();
    for (name, wrong) in [("v", record![5, f64::NAN, 0.0]), ("w", record![5, 0.0, f64::NAN])] {
        let names = &[OBJECT, &format!("`{name}`")];
        let create = Batch::new().create(OBJECT, vec![wrong]);
        refused(storage.execute(create).await, ErrorKind::Invalid, names);
        for changes in
            [Changes::new().set(name, f64::NAN), Changes::new().increment(name, f64::NAN)]
        {
            let update = Batch::new().update(OBJECT, Filter::All, changes);
            refused(storage.execute(update).await, ErrorKind::Invalid, names);
        }
        for filter in [field(name).eq(f64::NAN), field(name).is_in([1.0, f64::NAN])] {
            let find = storage.find(Query::new(OBJECT).filter(filter)).await;
            refused(find, ErrorKind::Invalid, names);
        }
    }
    assert_eq!(records(&storage, OBJECT).await, [object]);
}

/// An integer is a float where a float is wanted, unless it would become another number.
pub async fn integers_in_a_float_field(h: Harness) {
    let (storage, stored) =
        store(&h, FieldType::Float, &[3.into(), (1_i64 << 53).into(), (-7).into()]).await;
    assert_eq!(stored, [3.0, 9_007_199_254_740_992.0, -7.0].map(Value::from));
    assert_eq!(matching(&storage, field("v").eq(3)).await, [0]);
    for inexact in [(1_i64 << 53) + 1, i64::MAX] {
        let create = Batch::new().create(OBJECT, vec![record![9, inexact]]);
        refused(storage.execute(create).await, ErrorKind::Invalid, &[OBJECT, "`v`"]);
    }
}

pub async fn booleans(h: Harness) {
    come_back(h, FieldType::Boolean, vec![true.into(), false.into(), Value::Null]).await;
}

pub async fn timestamps(h: Harness) {
    let moments = [i64::MIN, -62_135_596_800_000, -1, 0, 1, 999, 1_795_178_096_789, i64::MAX];
    come_back(h, FieldType::Timestamp, moments.map(|ms| Timestamp(ms).into()).to_vec()).await;
}

pub async fn datetimes(h: Harness) {
    let moments = [-62_135_596_800_000, -1, 0, 1, 999, 1_795_178_096_789, 253_402_300_799_999];
    come_back(h, FieldType::DateTime, moments.map(|ms| Timestamp(ms).into()).to_vec()).await;
}

/// In JSON a moment is a text by RFC 3339; whatever its offset, it is the same moment.
pub async fn datetimes_in_json(h: Harness) {
    let (storage, objects) = open_one(&h, keyed().optional("at", FieldType::DateTime)).await;
    for (id, (given, kept)) in [
        ("2026-11-20T12:00:00Z", "2026-11-20T12:00:00.000Z"),
        ("2026-11-20T14:30:00.1234+02:30", "2026-11-20T12:00:00.123Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-30T00:00:00.5Z", "9999-12-30T00:00:00.500Z"),
    ]
    .into_iter()
    .enumerate()
    {
        let created = objects.create(json!({ "id": id, "at": given })).await.unwrap();
        assert_eq!(created["at"], json!(kept));
        assert_eq!(dump(&storage, OBJECT).await[id]["at"], json!(kept));
        assert_eq!(objects.count(&json!({ "at": given })).await.unwrap(), 1, "{given}");
    }
}

pub async fn bytes(h: Harness) {
    let all: Vec<u8> = (0..=255).collect();
    let values: [&[u8]; 8] =
        [&[], &[0], &[0, 0, 0], b"text", &[0xff, 0xfe], &[0xc3, 0x28], &[1, 0, 2], &all];
    come_back(h, FieldType::Binary, values.map(Value::from).to_vec()).await;
}

/// The same bytes are a text in one field and bytes in another, and stay so.
pub async fn bytes_are_no_text(h: Harness) {
    let definition =
        keyed().optional("text", FieldType::String).optional("bytes", FieldType::Binary);
    let (storage, _) = open_one(&h, definition).await;
    let object = record![1, "abc", b"abc".to_vec()];
    storage.execute(Batch::new().create(OBJECT, vec![object.clone()])).await.unwrap();
    assert_eq!(records(&storage, OBJECT).await, [object]);
    for wrong in [record![2, b"abc".to_vec(), None::<&str>], record![2, None::<&str>, "abc"]] {
        let result = storage.execute(Batch::new().create(OBJECT, vec![wrong])).await;
        assert_refused!(result, Error::InvalidValue { .. });
    }
}

fn json_values() -> Vec<Json> {
    vec![
        json!({}),
        json!([]),
        json!(""),
        json!("text"),
        json!("123"),
        json!("null"),
        json!(0),
        json!(-1),
        json!(1.0),
        json!(1),
        json!(0.1),
        json!(true),
        json!(false),
        json!([null]),
        json!([[], {}, [[[]]]]),
        json!({ "a": null, "b": { "c": [1, "2", 3.5, true, null] } }),
        json!({ "": "empty", " ": "space", "\u{0}": "nul", "é": "é", "😀": "\u{10ffff}\u{0}" }),
        json!({ "b": 1, "a": 2, "c": { "z": 1, "y": 2 } }),
        json!({ "$eq": 1, "$placeholder": "x", "$bytes": "AA==" }),
        json!([i64::MIN, i64::MAX, u64::MAX, (1_i64 << 53) + 1]),
        json!([0.1 + 0.2, 5e-324, 1.797_693_134_862_315_7e308, 2.638_344_616_030_823e-256]),
        json!([100.783_996_582_031_25, 31.245_270_191_439_438, 121.487_919_511_619_45]),
        json!("2026-11-20T12:00:00Z"),
        json!("\u{2028}\u{2029}\"\\/\u{8}\u{c}\n\r\t"),
    ]
}

pub async fn json_values_come_back(h: Harness) {
    come_back(h, FieldType::Json, json_values().into_iter().map(Value::Json).collect()).await;
}

/// The same through the dynamic face, where an object with `$` is data when it stands in a JSON field.
pub async fn json_values_in_json_objects(h: Harness) {
    let (storage, objects) = open_one(&h, keyed().optional("v", FieldType::Json)).await;
    for (id, value) in json_values().into_iter().enumerate() {
        let object = json!({ "id": id, "v": value });
        assert_eq!(objects.create(object.clone()).await.unwrap(), object);
        assert_eq!(dump(&storage, OBJECT).await[id], object);
        let filter = json!({ "v": { "$eq": value } });
        assert_eq!(objects.find(&filter).await.unwrap(), [object]);
    }
}

/// A JSON null and no value are one and the same.
pub async fn a_json_null_is_null(h: Harness) {
    let (storage, stored) = store(&h, FieldType::Json, &[Value::Json(Json::Null)]).await;
    assert_eq!(stored, [Value::Null]);
    assert_eq!(matching(&storage, field("v").is_null()).await, [0]);
    let filter = field("v").eq(Value::Json(Json::Null));
    assert_eq!(matching(&storage, filter).await, [0]);
}

pub async fn json_nested_a_hundred_deep(h: Harness) {
    let mut value = json!("core");
    for depth in 0..50 {
        value = json!({ "depth": depth, "list": [value] });
    }
    come_back(h, FieldType::Json, vec![Value::Json(value)]).await;
}

pub async fn a_text_of_8_megabytes(h: Harness) {
    let text = "0123456789abcdé".repeat(512 * 1024);
    assert_eq!(text.len(), 8 << 20);
    let (_storage, stored) = store(&h, FieldType::Text, &[Value::from(text.as_str())]).await;
    assert!(
        stored == [Value::Text(text)],
        "another text of {:?} bytes",
        stored[0].as_text().map(str::len)
    );
}

pub async fn bytes_of_8_megabytes(h: Harness) {
    let bytes: Vec<u8> = (0..8 << 20).map(|n: u32| n.to_le_bytes()[(n % 3) as usize]).collect();
    let (_storage, stored) = store(&h, FieldType::Blob, &[Value::from(bytes.as_slice())]).await;
    assert!(stored == [Value::Bytes(bytes)], "other bytes");
}

pub async fn json_of_a_megabyte(h: Harness) {
    let json = json!({ "list": (0..60_000).map(|n| json!({ "n": n })).collect::<Vec<_>>() });
    let (_storage, stored) = store(&h, FieldType::Json, &[Value::Json(json.clone())]).await;
    assert!(stored == [Value::Json(json)], "another value");
}

/// Infinity has no number in JSON; it does not become null.
pub async fn infinity_in_json(h: Harness) {
    let (storage, objects) = open_one(&h, keyed().optional("v", FieldType::Float)).await;
    let object = json!({ "id": 1, "v": "Infinity" });
    assert_eq!(objects.create(object.clone()).await.unwrap(), object);
    assert_eq!(records(&storage, OBJECT).await, [record![1, f64::INFINITY]]);
    objects.update(&json!({ "v": { "$gt": 1e308 } }), &json!({ "v": "-Infinity" })).await.unwrap();
    assert_eq!(dump(&storage, OBJECT).await, [json!({ "id": 1, "v": "-Infinity" })]);
}

/// A column of an adopted database holds any kind, by its affinity; on another device any backend must hold the same.
async fn adopted_column(h: Harness, affinity: Affinity, pairs: &[(Value, Value)]) {
    let given: Vec<Value> = pairs.iter().map(|(given, _)| given.clone()).collect();
    let kept: Vec<Value> = pairs.iter().map(|(_, kept)| kept.clone()).collect();
    let (storage, stored) = store(&h, FieldType::Dynamic(affinity), &given).await;
    assert_eq!(stored, kept);
    for (given, kept) in pairs {
        let found = matching(&storage, field("v").eq(given.clone())).await;
        let same = pairs.iter().zip(0..).filter(|((_, other), _)| other.compare(kept).is_eq());
        let same: Vec<i64> = same.map(|(_, id)| id).collect();
        assert_eq!(found, same, "{given:?}");
    }
}

fn same(value: impl Into<Value>) -> (Value, Value) {
    let value = value.into();
    (value.clone(), value)
}

fn becomes(given: impl Into<Value>, kept: impl Into<Value>) -> (Value, Value) {
    (given.into(), kept.into())
}

pub async fn an_adopted_column_without_affinity(h: Harness) {
    let pairs = [
        same(Value::Null),
        same(1),
        same(1.0),
        same(1.5),
        same("1"),
        same("text"),
        same(b"1".to_vec()),
        same(i64::MAX),
        same(f64::INFINITY),
        becomes(true, 1),
        becomes(Timestamp(5), 5),
    ];
    adopted_column(h, Affinity::Blob, &pairs).await;
}

pub async fn an_adopted_column_of_texts(h: Harness) {
    let pairs = [
        same(Value::Null),
        becomes(1, "1"),
        becomes(1.5, "1.5"),
        same("1"),
        same("1.0"),
        same(b"1".to_vec()),
        becomes(i64::MIN, "-9223372036854775808"),
        becomes(false, "0"),
    ];
    adopted_column(h, Affinity::Text, &pairs).await;
}

pub async fn an_adopted_column_of_integers(h: Harness) {
    let pairs = [
        same(Value::Null),
        same(1),
        becomes(1.0, 1),
        same(1.5),
        becomes("1", 1),
        becomes(" +7 ", 7),
        becomes("1.0", 1),
        becomes("1e2", 100),
        becomes(".5", 0.5),
        same("1x"),
        same("0x10"),
        same(""),
        same("text"),
        same(b"1".to_vec()),
        becomes(1e18, 1_000_000_000_000_000_000_i64),
        same(1e19),
        becomes("9007199254740993", 9_007_199_254_740_993_i64),
        becomes("9223372036854775807", i64::MAX),
        becomes("9223372036854775808", 9.223_372_036_854_776e18),
        same(f64::INFINITY),
    ];
    adopted_column(h, Affinity::Integer, &pairs).await;
}

pub async fn an_adopted_column_of_numbers(h: Harness) {
    let pairs = [
        same(Value::Null),
        same(1),
        becomes(2.0, 2),
        same(0.99),
        becomes("0.99", 0.99),
        becomes("10.00", 10),
        same("2026-11-20"),
        same(b"1".to_vec()),
    ];
    adopted_column(h, Affinity::Numeric, &pairs).await;
}

pub async fn an_adopted_column_of_floats(h: Harness) {
    let pairs = [
        same(Value::Null),
        becomes(1, 1.0),
        same(1.0),
        becomes("1", 1.0),
        becomes("0.5", 0.5),
        same("text"),
        same(b"1".to_vec()),
        becomes(i64::MAX, 9.223_372_036_854_776e18),
        same(f64::NEG_INFINITY),
    ];
    adopted_column(h, Affinity::Real, &pairs).await;
}
