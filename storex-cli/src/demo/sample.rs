//! The built-in sample: a small shop with notes, the same on every run.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params_from_iter};

use crate::error::{Result, With};

const SCHEMA: &str = r#"
CREATE TABLE category (
    id        INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    parent_id INTEGER REFERENCES category (id)
);

CREATE TABLE customer (
    id           INTEGER PRIMARY KEY,
    name         TEXT NOT NULL,
    email        TEXT UNIQUE,
    city         TEXT,
    credit_limit NUMERIC(10, 2),
    since        DATE NOT NULL
);

CREATE TABLE product (
    sku         TEXT NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL,
    description TEXT,
    price       NUMERIC(10, 2) NOT NULL CHECK (price >= 0),
    category_id INTEGER NOT NULL REFERENCES category (id),
    picture     BLOB
);

CREATE TABLE product_tag (
    sku TEXT NOT NULL REFERENCES product (sku),
    tag TEXT NOT NULL,
    PRIMARY KEY (sku, tag)
) WITHOUT ROWID;

CREATE TABLE "order" (
    id          TEXT NOT NULL PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customer (id),
    placed_at   DATETIME NOT NULL,
    shipped_at  DATETIME,
    remark      TEXT
);

CREATE TABLE order_line (
    order_id   TEXT NOT NULL REFERENCES "order" (id),
    line       INTEGER NOT NULL,
    sku        TEXT NOT NULL REFERENCES product (sku),
    quantity   INTEGER NOT NULL DEFAULT 1,
    unit_price NUMERIC(10, 2) NOT NULL,
    gift_text  TEXT,
    PRIMARY KEY (order_id, line)
);

CREATE TABLE note (
    id          TEXT NOT NULL PRIMARY KEY,
    customer_id INTEGER REFERENCES customer (id),
    title       TEXT NOT NULL,
    body        TEXT,
    pinned      INTEGER NOT NULL DEFAULT 0,
    mood        REAL
) STRICT;

CREATE INDEX product_by_category ON product (category_id);
CREATE INDEX order_by_customer ON "order" (customer_id, placed_at);
CREATE INDEX "order line by product" ON order_line (sku);
CREATE INDEX note_by_customer ON note (customer_id);

CREATE VIEW order_total AS
    SELECT order_id, sum(quantity * unit_price) AS total FROM order_line GROUP BY order_id;
"#;

const CATEGORIES: [&str; 24] = [
    "Books", "Atlases", "Novels", "Poetry", "Music", "Scores", "Strings", "Winds", "Kitchen",
    "Knives", "Pans", "Tea", "Garden", "Seeds", "Tools", "Pots", "Paper", "Ink", "Brushes",
    "Pencils", "Toys", "Puzzles", "Kites", "Marbles",
];

const FIRST_NAMES: [&str; 16] = [
    "Ada",
    "Björn",
    "Chloé",
    "Dimitris",
    "Ewa",
    "Faïza",
    "Gökhan",
    "Hana",
    "Iñaki",
    "Júlia",
    "美咲",
    "Øystein",
    "Владимир",
    "עדינה",
    "अमृता",
    "Zoë",
];

const LAST_NAMES: [&str; 12] = [
    "O'Neill",
    "Müller",
    "Nguyễn",
    "García",
    "Smith",
    "Łukasiewicz",
    "Åkesson",
    "D’Angelo",
    "山本",
    "Петрова",
    "Silva",
    "van der Berg",
];

const CITIES: [&str; 10] = [
    "Zürich",
    "Kraków",
    "São Paulo",
    "東京",
    "Reykjavík",
    "Αθήνα",
    "Montréal",
    "İstanbul",
    "Köln",
    "Hồ Chí Minh",
];

const ADJECTIVES: [&str; 10] =
    ["small", "blue", "old", "quiet", "bright", "folded", "round", "heavy", "plain", "rare"];

const THINGS: [&str; 12] = [
    "atlas", "kettle", "kite", "violin", "notebook", "teapot", "rake", "puzzle", "brush", "lamp",
    "score", "basket",
];

const TAGS: [&str; 8] =
    ["new", "sale", "gift", "handmade", "fragile", "✨ staff pick", "last one", "x-large"];

const NOTES: [&str; 8] = [
    "call back",
    "asked for a quote",
    "naïve question",
    "🎉 anniversary",
    "wrong size",
    "two lines\nand a tab\there",
    "“quoted”, 'twice'",
    "لا شيء",
];

/// SplitMix64 (Steele, Lea, Flood; "Fast Splittable Pseudorandom Number Generators", 2014): the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to and without `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn uuid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            b >> 48 & 0x3fff | 0x8000,
            b & 0xffff_ffff_ffff
        )
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// Cents as a decimal number; whole amounts are integers, as SQLite keeps them.
    #[allow(clippy::cast_precision_loss, reason = "a price has few digits")]
    fn price(&mut self, up_to_cents: usize) -> Value {
        Value::Real(self.below(up_to_cents) as f64 / 100.0)
    }

    /// A moment as SQLite programs write it, some days before the end of 2025.
    fn moment(&mut self, with_time: bool) -> String {
        let (day, second) = (self.below(365), self.below(86_400));
        // Days of a year without a leap day.
        let (mut month, mut rest) = (1, day);
        for days in [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            if rest < days {
                break;
            }
            rest -= days;
            month += 1;
        }
        let date = format!("2025-{month:02}-{:02}", rest + 1);
        if !with_time {
            return date;
        }
        format!("{date} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
    }
}

/// How many rows the large tables have.
const CUSTOMERS: usize = 400;
const PRODUCTS: usize = 600;
const ORDERS: usize = 1500;
const NOTE_COUNT: usize = 800;

/// Makes the sample: seven related tables with some eight thousand rows.
///
/// # Errors
/// [`CliError::Sqlite`](crate::CliError::Sqlite).
pub fn create(path: &Path) -> Result<()> {
    fill(path).with("making the sample", path)
}

fn fill(path: &Path) -> rusqlite::Result<()> {
    let mut conn = Connection::open(path)?;
    conn.execute_batch("PRAGMA foreign_keys = ON")?;
    let transaction = conn.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    let mut random = Random(20_251_120);
    categories(&transaction)?;
    customers(&transaction, &mut random)?;
    let skus = products(&transaction, &mut random)?;
    orders(&transaction, &mut random, &skus)?;
    notes(&transaction, &mut random)?;
    transaction.commit()?;
    conn.close().map_err(|(_, error)| error)
}

fn insert(
    conn: &Transaction<'_>,
    table: &str,
    values: impl IntoIterator<Item = Value>,
) -> rusqlite::Result<()> {
    let values: Vec<Value> = values.into_iter().collect();
    let marks = vec!["?"; values.len()].join(", ");
    let mut statement =
        conn.prepare_cached(&format!("INSERT INTO {} VALUES ({marks})", super::quote(table)))?;
    statement.execute(params_from_iter(values)).map(|_| ())
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

fn int(int: usize) -> Value {
    Value::Integer(i64::try_from(int).unwrap_or(i64::MAX))
}

fn maybe(null: bool, value: Value) -> Value {
    if null { Value::Null } else { value }
}

fn categories(conn: &Transaction<'_>) -> rusqlite::Result<()> {
    for (n, name) in CATEGORIES.iter().enumerate() {
        // Every fourth is the parent of the three behind it.
        let parent = maybe(n % 4 == 0, int(n / 4 * 4 + 1));
        insert(conn, "category", [int(n + 1), text(*name), parent])?;
    }
    Ok(())
}

fn customers(conn: &Transaction<'_>, random: &mut Random) -> rusqlite::Result<()> {
    for n in 1..=CUSTOMERS {
        let name = format!("{} {}", random.of(&FIRST_NAMES), random.of(&LAST_NAMES));
        let email = maybe(random.one_in(10), text(format!("customer{n}@example.org")));
        let city = maybe(random.one_in(7), text(random.of(&CITIES)));
        let credit = maybe(random.one_in(3), random.price(500_000));
        let since = text(random.moment(false));
        insert(conn, "customer", [int(n), text(name), email, city, credit, since])?;
    }
    Ok(())
}

fn products(conn: &Transaction<'_>, random: &mut Random) -> rusqlite::Result<Vec<String>> {
    let mut skus = Vec::new();
    for n in 0..PRODUCTS {
        let (adjective, thing) = (random.of(&ADJECTIVES), random.of(&THINGS));
        let sku = format!("{}-{n:04}", thing.to_ascii_uppercase());
        let description = format!("A {adjective} {thing}, № {n}. {}", "It lasts. ".repeat(n % 5));
        let len = 16 + random.below(240);
        let picture = Value::Blob(random.bytes(len));
        insert(
            conn,
            "product",
            [
                text(&*sku),
                text(format!("{adjective} {thing}")),
                maybe(random.one_in(5), text(description)),
                random.price(20_000),
                int(1 + random.below(CATEGORIES.len())),
                maybe(random.one_in(2), picture),
            ],
        )?;
        let (first, count) = (random.below(TAGS.len()), random.below(4));
        for tag in 0..count {
            let tag = TAGS[(first + tag) % TAGS.len()];
            insert(conn, "product_tag", [text(&*sku), text(tag)])?;
        }
        skus.push(sku);
    }
    Ok(skus)
}

fn orders(conn: &Transaction<'_>, random: &mut Random, skus: &[String]) -> rusqlite::Result<()> {
    for _ in 0..ORDERS {
        let order = random.uuid();
        let shipped = maybe(random.one_in(4), text(random.moment(true)));
        let remark = maybe(!random.one_in(3), text(random.of(&NOTES)));
        let customer = int(1 + random.below(CUSTOMERS));
        let placed = text(random.moment(true));
        insert(conn, "order", [text(&*order), customer, placed, shipped, remark])?;
        for line in 1..=1 + random.below(5) {
            let sku = &skus[random.below(skus.len())];
            insert(
                conn,
                "order_line",
                [
                    text(&*order),
                    int(line),
                    text(sku),
                    int(1 + random.below(9)),
                    random.price(20_000),
                    maybe(!random.one_in(12), text("For you")),
                ],
            )?;
        }
    }
    Ok(())
}

fn notes(conn: &Transaction<'_>, random: &mut Random) -> rusqlite::Result<()> {
    for n in 0..NOTE_COUNT {
        let customer = maybe(random.one_in(6), int(1 + random.below(CUSTOMERS)));
        let body = format!("{}: {}", random.of(&NOTES), random.of(&THINGS)).repeat(1 + n % 7);
        #[allow(clippy::cast_precision_loss, reason = "a number below a thousand")]
        let mood = Value::Real(random.below(1000) as f64 / 999.0);
        insert(
            conn,
            "note",
            [
                text(random.uuid()),
                customer,
                text(random.of(&NOTES)),
                maybe(random.one_in(8), text(body)),
                int(usize::from(random.one_in(20))),
                maybe(random.one_in(4), mood),
            ],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_the_same_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let content = |name: &str| {
            let path = folder.path().join(name);
            create(&path).unwrap();
            std::fs::read(path).unwrap()
        };
        assert!(content("one.db") == content("two.db"));
    }

    #[test]
    fn the_sample_has_what_it_promises() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sample.db");
        create(&path).unwrap();
        let conn = Connection::open(&path).unwrap();
        let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let tables: Vec<String> = conn
            .prepare(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
            )
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        let rows: i64 = tables
            .iter()
            .map(|table| count(&format!("SELECT count(*) FROM {}", crate::demo::quote(table))))
            .sum();
        assert!((5_000..=10_000).contains(&rows), "{rows} rows");
        assert_eq!(count("SELECT count(*) FROM pragma_foreign_key_check"), 0);
        assert!(count("SELECT count(*) FROM customer WHERE typeof(credit_limit) = 'real'") > 100);
        assert!(count("SELECT count(*) FROM customer WHERE credit_limit IS NULL") > 50);
        assert!(count("SELECT count(*) FROM product WHERE typeof(picture) = 'blob'") > 100);
        assert!(count("SELECT count(*) FROM note WHERE length(id) = 36") == 800);
    }
}
