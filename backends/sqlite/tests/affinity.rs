//! Core converts what an adopted column is given by SQLite's own rules: what is logged is what is stored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;
use std::sync::Arc;
use storex_core::{Affinity, Collection, Definition, FieldType, Registry, Value};

const COLUMNS: [(&str, Affinity); 5] = [
    ("TEXT", Affinity::Text),
    ("NUMERIC", Affinity::Numeric),
    ("INTEGER", Affinity::Integer),
    ("REAL", Affinity::Real),
    ("BLOB", Affinity::Blob),
];

fn sql(value: &Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Int(it) => SqlValue::Integer(*it),
        Value::Float(it) => SqlValue::Real(*it),
        Value::Text(it) => SqlValue::Text(it.clone()),
        Value::Bytes(it) => SqlValue::Blob(it.clone()),
        other => panic!("{other:?}"),
    }
}

struct Fixture {
    conn: Connection,
    collection: Arc<Collection>,
}

impl Fixture {
    fn new() -> Self {
        let conn = Connection::open_in_memory().unwrap();
        let mut definition = Definition::new("t").adopted("t");
        let mut columns = Vec::new();
        for (name, affinity) in COLUMNS {
            definition = definition.optional(name, FieldType::Dynamic(affinity));
            columns.push(format!("{name} {name}"));
        }
        conn.execute_batch(&format!("CREATE TABLE t({})", columns.join(", "))).unwrap();
        let registry = Registry::builder().collection(definition).build().unwrap();
        Self { conn, collection: Arc::clone(registry.collection("t").unwrap()) }
    }

    fn check(&self, value: &Value) {
        for (name, affinity) in COLUMNS {
            let field = &self.collection.fields()[self.collection.position(name).unwrap()];
            let mut ours = value.clone();
            self.collection.check_value(field, &mut ours).unwrap();
            assert_same(name, value, &self.stored(name, &ours), &ours);
            // How a float reads as a text differs from one version of SQLite to the next, so core makes the text.
            if !matches!((affinity, value), (Affinity::Text, Value::Float(_))) {
                assert_same(name, value, &self.stored(name, value), &ours);
            }
        }
    }

    fn stored(&self, column: &str, value: &Value) -> SqlValue {
        self.conn.execute(&format!("INSERT INTO t({column}) VALUES (?1)"), [sql(value)]).unwrap();
        let stored =
            self.conn.query_row(&format!("SELECT {column} FROM t"), [], |row| row.get(0)).unwrap();
        self.conn.execute("DELETE FROM t", []).unwrap();
        stored
    }
}

fn assert_same(column: &str, value: &Value, stored: &SqlValue, ours: &Value) {
    let same = match (stored, &sql(ours)) {
        // SQLite reads a text of more than 15 digits to the nearest float or the one beside it; core to the nearest.
        (SqlValue::Real(a), SqlValue::Real(b)) if matches!(value, Value::Text(_)) => {
            a.to_bits().abs_diff(b.to_bits()) <= 1
        }
        (SqlValue::Real(a), SqlValue::Real(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    };
    assert!(same, "{value:?} in a {column} column: SQLite {stored:?}, core {ours:?}");
}

#[test]
fn the_edges() {
    let fixture = Fixture::new();
    let p51 = 1_i64 << 51;
    let p53 = 1_i64 << 53;
    for int in [
        0,
        1,
        -1,
        p51,
        p51 + 1,
        p53,
        p53 + 1,
        i64::MAX,
        i64::MIN,
        i64::MAX - 1,
        i64::MIN + 1,
        i64::MAX - 512,
    ] {
        fixture.check(&Value::Int(int));
        fixture.check(&Value::from(int as f64));
        fixture.check(&Value::from(int.to_string()));
        fixture.check(&Value::from(format!("{int}.0")));
    }
    for float in [
        0.5,
        -0.0,
        1e15,
        1e16,
        1e18,
        9.2e18,
        1e19,
        1e300,
        5e-324,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.1,
        1.0 / 3.0,
        123_456_789.123_456_79,
    ] {
        fixture.check(&Value::from(float));
        fixture.check(&Value::from(float.to_string()));
        fixture.check(&Value::from(format!("{float:e}")));
    }
    for text in [
        "",
        " ",
        "+5",
        "-5",
        "+-5",
        "5.",
        ".5",
        ".",
        "-",
        "+",
        "5e",
        "5e+",
        "e5",
        "1e5",
        "1E5",
        "1e+5",
        "1e-5",
        " 5",
        "5 ",
        "\t5\n",
        "\u{a0}5",
        "5 6",
        "0x10",
        "1_000",
        "inf",
        "Infinity",
        "nan",
        "NaN",
        "007",
        "0.0",
        "-0",
        "-0.0",
        "1e400",
        "-1e400",
        "1e-400",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "9223372036854775807.0",
        "9223372036854775806.5",
        "4503599627370497.0",
        "99999999999999999999",
        "1.0e0",
        "5\0",
        "5\0abc",
        "\0",
        "5 \0 ",
        " 5\0 6",
        "5e\0",
        "\u{b}5\u{c}",
        "123abc",
        "ten",
        "٣",
        "2251799813685248.0",
        "1e15",
        "12345678901234567890123",
        "0.1e1",
        "1e18",
        "1.5e1",
        "00000000000000000000000005",
    ] {
        fixture.check(&Value::from(text));
    }
    fixture.check(&Value::from(vec![b'5']));
    fixture.check(&Value::Null);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_number_like_text(text in "[ ]?[+-]?[0-9]{0,20}[.]?[0-9]{0,18}([eE][+-]?[0-9]{1,3})?[ ]?") {
        Fixture::new().check(&Value::from(text));
    }

    #[test]
    fn any_float(float in proptest::num::f64::ANY) {
        prop_assume!(!float.is_nan());
        let fixture = Fixture::new();
        fixture.check(&Value::from(float));
        fixture.check(&Value::from(float.to_string()));
    }

    #[test]
    fn any_small_float(int in -1_000_000_000_000_000_i64..1_000_000_000_000_000, digits in 0..6_i32) {
        Fixture::new().check(&Value::from(int as f64 / 10_f64.powi(digits)));
    }
}
