//! Objects as Rust structs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use storex_core::{
    AutoPk, Changes, Definition, Direction, Error, ErrorKind, FieldOption, FieldType, KeyFormat,
    Object, Registry, Storage, TypedCollection, Value, field,
};
use storex_memory::{MemoryBackend, TestRuntime};

async fn open(definition: Definition) -> Storage {
    let registry = Registry::builder().collection(definition).build().unwrap();
    let runtime = Arc::new(TestRuntime::new(1));
    Storage::builder(MemoryBackend::new(), registry, runtime)
        .middleware(AutoPk::new())
        .open()
        .await
        .unwrap()
}

macro_rules! object {
    ($type:ty) => {
        impl Object for $type {
            const COLLECTION: &'static str = "object";
        }
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Color {
    DarkRed,
    Green,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Nothing,
    Circle { radius: f64 },
    Line(i32, i32),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Address {
    street: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u32>,
    tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    id: String,
    text: String,
    letter: char,
    color: Color,
    maybe_color: Option<Color>,
    flag: bool,
    small: i8,
    unsigned: u64,
    maybe: Option<i64>,
    float: f64,
    short_float: f32,
    meters: Meters,
    bytes: Vec<u8>,
    maybe_bytes: Option<Vec<u8>>,
    four: [u8; 4],
    at: i64,
    moment: String,
    address: Address,
    shapes: Vec<Shape>,
    shape: Shape,
    map: BTreeMap<String, Option<i64>>,
    numbers: BTreeMap<u8, bool>,
    pair: (i64, String),
    free: Json,
    maybe_json: Option<Address>,
    #[serde(rename = "type")]
    kind: String,
}
object!(Everything);

fn everything_definition() -> Definition {
    Definition::new("object")
        .field("text", FieldType::String)
        .field("letter", FieldType::String)
        .field("color", FieldType::String)
        .optional("maybe_color", FieldType::String)
        .field("flag", FieldType::Boolean)
        .field("small", FieldType::Int)
        .field("unsigned", FieldType::Int)
        .optional("maybe", FieldType::Int)
        .field("float", FieldType::Float)
        .field("short_float", FieldType::Float)
        .field("meters", FieldType::Float)
        .field("bytes", FieldType::Binary)
        .optional("maybe_bytes", FieldType::Blob)
        .field("four", FieldType::Binary)
        .field("at", FieldType::Timestamp)
        .field("moment", FieldType::DateTime)
        .field("address", FieldType::Json)
        .field("shapes", FieldType::Json)
        .field("shape", FieldType::Json)
        .field("map", FieldType::Json)
        .field("numbers", FieldType::Json)
        .field("pair", FieldType::Json)
        .optional("free", FieldType::Json)
        .optional("maybe_json", FieldType::Json)
        .field("type", FieldType::String)
}

fn everything() -> Everything {
    Everything {
        id: "a".into(),
        text: "é\0😀".into(),
        letter: '😀',
        color: Color::DarkRed,
        maybe_color: None,
        flag: true,
        small: -128,
        unsigned: i64::MAX as u64,
        maybe: None,
        float: f64::INFINITY,
        short_float: 0.1,
        meters: Meters(-1.5),
        bytes: vec![0, 255],
        maybe_bytes: None,
        four: [1, 2, 3, 4],
        at: -1,
        moment: "2026-11-20T12:00:00.123Z".into(),
        address: Address { street: "Main".into(), number: None, tags: vec!["a".into()] },
        shapes: vec![
            Shape::Nothing,
            Shape::Circle { radius: 0.5 },
            Shape::Line(1, -1),
            Shape::Text("x".into()),
        ],
        shape: Shape::Circle { radius: 2.0 },
        map: [("x".to_owned(), None), ("y".to_owned(), Some(1))].into(),
        numbers: [(7, true)].into(),
        pair: (5, "five".into()),
        free: json!({ "a": [1.5, null] }),
        maybe_json: None,
        kind: "k".into(),
    }
}

#[tokio::test]
async fn every_kind_of_field_comes_back() {
    let storage = open(everything_definition()).await;
    let objects = storage.collection::<Everything>().unwrap();
    let first = everything();
    let mut second = everything();
    second.id = "b".into();
    second.maybe = Some(i64::MIN);
    second.maybe_color = Some(Color::Green);
    second.maybe_bytes = Some(vec![]);
    second.shape = Shape::Nothing;
    second.free = Json::Null;
    second.maybe_json = Some(second.address.clone());
    assert_eq!(objects.create(&first).await.unwrap().as_text(), Some("a"));
    objects.create(&second).await.unwrap();
    assert_eq!(objects.get("a").await.unwrap(), Some(first));
    assert_eq!(objects.get("b").await.unwrap(), Some(second));
}

/// The same object is the same record, whichever face has created it.
#[tokio::test]
async fn both_faces_store_the_same() {
    let storage = open(everything_definition()).await;
    let objects = storage.collection::<Everything>().unwrap();
    objects.create(&everything()).await.unwrap();
    let json = storage.dynamic("object").unwrap().get("a").await.unwrap().unwrap();
    assert_eq!(json["color"], json!("dark_red"));
    assert_eq!(json["bytes"], json!("AP8="));
    assert_eq!(json["four"], json!("AQIDBA=="));
    assert_eq!(json["float"], json!("Infinity"));
    assert_eq!(json["moment"], json!("2026-11-20T12:00:00.123Z"));
    assert_eq!(json["at"], json!(-1));
    assert_eq!(json["address"], json!({ "street": "Main", "tags": ["a"] }));
    assert_eq!(
        json["shapes"],
        json!(["Nothing", { "Circle": { "radius": 0.5 } }, { "Line": [1, -1] }, { "Text": "x" }])
    );
    let mut copy = json.clone();
    copy["id"] = json!("c");
    storage.dynamic("object").unwrap().create(copy).await.unwrap();
    let mut expected = everything();
    expected.id = "c".into();
    assert_eq!(objects.get("c").await.unwrap(), Some(expected));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    #[serde(default)]
    id: String,
    title: String,
    stars: i64,
}
object!(Note);

fn note_definition() -> Definition {
    Definition::new("object").field("title", FieldType::String).field("stars", FieldType::Int)
}

async fn notes() -> (Storage, TypedCollection<Note>) {
    let storage = open(note_definition()).await;
    let notes = storage.collection::<Note>().unwrap();
    (storage, notes)
}

fn note(title: &str, stars: i64) -> Note {
    Note { id: String::new(), title: title.into(), stars }
}

#[tokio::test]
async fn a_life() {
    let (_storage, notes) = notes().await;
    let keys = notes.create_many(&[note("a", 1), note("b", 2), note("c", 3)]).await.unwrap();
    assert_eq!(keys.len(), 3);
    let found = notes.find(field("stars").gte(2)).await.unwrap();
    assert_eq!(found.iter().map(|note| note.title.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    let changed =
        notes.update(field("stars").lt(3), Changes::new().increment("stars", 10)).await.unwrap();
    assert_eq!(changed, keys[..2]);
    assert!(notes.update_one(keys[2].clone(), Changes::new().set("title", "z")).await.unwrap());
    assert!(!notes.update_one("nobody", Changes::new().set("title", "z")).await.unwrap());
    let best = notes.query().order_by("stars", Direction::Descending).first().await.unwrap();
    assert_eq!(best.unwrap().stars, 12);
    assert_eq!(notes.query().filter(field("title").eq("z")).count().await.unwrap(), 1);
    assert!(notes.delete_one(keys[0].clone()).await.unwrap());
    assert!(!notes.delete_one(keys[0].clone()).await.unwrap());
    assert_eq!(notes.delete(field("stars").gt(0)).await.unwrap().len(), 2);
    assert_eq!(notes.query().count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_part_as_another_struct() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Title {
        title: String,
    }
    let (_storage, notes) = notes().await;
    notes.create(&note("a", 1)).await.unwrap();
    let titles = notes.query().select::<Title, _>(["title"]).all().await.unwrap();
    assert_eq!(titles, [Title { title: "a".into() }]);
    let error = notes.query().select::<Title, _>(["title"]).page(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let error = notes.query().select::<Title, _>(["stars"]).all().await.unwrap_err();
    assert!(error.to_string().contains("`title`"), "{error}");
}

/// What goes wrong with a struct of `T` in the collection.
async fn refused<T: Object>(definition: Definition, object: &T) -> Error {
    let storage = open(definition).await;
    let objects = storage.collection::<T>().unwrap();
    let error = objects.create(object).await.expect_err("this must be refused");
    assert_eq!(storage.dynamic("object").unwrap().count(&json!({})).await.unwrap(), 0);
    error
}

macro_rules! refuses {
    ($definition:expr, $value:expr, $($word:literal),+) => {{
        #[derive(Serialize, Deserialize)]
        struct Wrong<T> {
            title: T,
        }
        impl<T: Serialize + DeserializeOwned + Send + Sync> Object for Wrong<T> {
            const COLLECTION: &'static str = "object";
        }
        let error = refused($definition, &Wrong { title: $value }).await;
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        for word in ["`object`", "`title`", $($word),+] {
            assert!(error.to_string().contains(word), "`{word}` is not said: {error}");
        }
    }};
}

#[tokio::test]
async fn values_of_a_wrong_type_are_refused_by_name() {
    let of = |field_type| Definition::new("object").field("title", field_type);
    refuses!(of(FieldType::String), 5_i64, "text", "integer");
    refuses!(of(FieldType::String), vec![1_u8], "array");
    refuses!(of(FieldType::String), json!({ "a": 1 }), "object");
    refuses!(of(FieldType::Int), "5".to_owned(), "integer", "text");
    refuses!(of(FieldType::Int), 5.0_f64, "integer", "float");
    refuses!(of(FieldType::Int), u64::MAX, "2^63");
    refuses!(of(FieldType::Float), f64::NAN, "NaN");
    refuses!(of(FieldType::Boolean), 1_i64, "true or false");
    refuses!(of(FieldType::Binary), vec![256_i64], "bytes");
    refuses!(of(FieldType::Binary), vec!["a".to_owned()], "bytes");
    refuses!(of(FieldType::DateTime), "soon".to_owned(), "RFC 3339");
    refuses!(of(FieldType::String), Shape::Line(1, 2), "enum");
    refuses!(of(FieldType::String), Shape::Circle { radius: 1.0 }, "enum");
    refuses!(of(FieldType::String), None::<String>, "no value");
    refuses!(of(FieldType::String), (), "no value");
}

#[tokio::test]
async fn structs_that_do_not_fit_the_collection() {
    #[derive(Debug, Serialize, Deserialize)]
    struct TooMuch {
        title: String,
        stars: i64,
        unknown: i64,
    }
    object!(TooMuch);
    let object = TooMuch { title: "a".into(), stars: 1, unknown: 2 };
    let error = refused(note_definition(), &object).await;
    assert!(
        matches!(&error, Error::UnknownField { field, .. } if &**field == "unknown"),
        "{error:?}"
    );

    #[derive(Debug, Serialize, Deserialize)]
    struct TooLittle {
        title: String,
    }
    object!(TooLittle);
    let error = refused(note_definition(), &TooLittle { title: "a".into() }).await;
    assert!(
        matches!(&error, Error::MissingField { field, .. } if &**field == "stars"),
        "{error:?}"
    );
}

/// What is in the database may not fit the struct: then the field is named.
#[tokio::test]
async fn objects_that_do_not_fit_the_struct() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Other {
        stars: String,
    }
    object!(Other);
    let (storage, notes) = notes().await;
    notes.create(&note("a", 1)).await.unwrap();
    let error =
        storage.collection::<Other>().unwrap().find(storex_core::Filter::All).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error.to_string().contains("`object`") && error.to_string().contains("`stars`"),
        "{error}"
    );

    #[derive(Debug, Serialize, Deserialize)]
    struct Small {
        stars: u8,
    }
    object!(Small);
    notes.update(storex_core::Filter::All, Changes::new().set("stars", 256)).await.unwrap();
    let error =
        storage.collection::<Small>().unwrap().find(storex_core::Filter::All).await.unwrap_err();
    assert!(error.to_string().contains("`stars`"), "{error}");
}

/// Keys of bytes and of integers in a struct.
#[tokio::test]
async fn keys_of_other_forms() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct ByText {
        id: Option<String>,
        n: i64,
    }
    object!(ByText);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct ByBytes {
        id: [u8; 16],
        n: i64,
    }
    object!(ByBytes);
    let definition =
        Definition::new("object").key_format(KeyFormat::Bytes).field("n", FieldType::Int);
    let storage = open(definition).await;
    let key =
        storage.collection::<ByText>().unwrap().create(&ByText { id: None, n: 1 }).await.unwrap();
    let object = storage.collection::<ByText>().unwrap().get(key.clone()).await.unwrap().unwrap();
    let text = object.id.expect("a UUID as text");
    assert_eq!(text.len(), 36);
    let object = storage.collection::<ByBytes>().unwrap().get(key.clone()).await.unwrap().unwrap();
    assert_eq!(Some(&object.id[..]), key.as_single().and_then(Value::as_bytes));
    // A text that is a UUID names the same object.
    let again = ByText { id: Some(text), n: 2 };
    let error = storage.collection::<ByText>().unwrap().create(&again).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct ByInt {
        id: Option<i64>,
    }
    object!(ByInt);
    let storage = open(Definition::new("object").key_format(KeyFormat::Int)).await;
    let objects = storage.collection::<ByInt>().unwrap();
    let key = objects.create(&ByInt { id: None }).await.unwrap();
    assert_eq!(objects.get(key.clone()).await.unwrap(), Some(ByInt { id: key.as_int() }));
}

/// A field that a struct does not mention has its default; one that has to be given is missed.
#[tokio::test]
async fn fields_that_a_struct_leaves_out() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Part {
        id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        n: Option<i64>,
    }
    object!(Part);
    let part = |n| Part { id: "a".into(), n };
    let with = |options: Vec<FieldOption>| {
        Definition::new("object").field_with("n", FieldType::Int, options)
    };
    let storage = open(with(vec![FieldOption::Default(7.into())])).await;
    storage.collection::<Part>().unwrap().create(&part(None)).await.unwrap();
    let found = storage.collection::<Part>().unwrap().get("a").await.unwrap();
    assert_eq!(found, Some(part(Some(7))));
    let error = refused(with(vec![FieldOption::Nullable]), &part(None)).await;
    assert!(matches!(&error, Error::MissingField { field, .. } if &**field == "n"), "{error:?}");
}

/// What is no object cannot be one.
#[tokio::test]
async fn values_that_are_no_objects() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Unit;
    object!(Unit);
    #[derive(Debug, Serialize, Deserialize)]
    struct Number(i64);
    object!(Number);
    assert_eq!(refused(note_definition(), &Unit).await.kind(), ErrorKind::Invalid);
    assert_eq!(refused(note_definition(), &Number(1)).await.kind(), ErrorKind::Invalid);
    let storage = open(note_definition()).await;
    assert!(storage.registry().find("other").is_none());
}

#[tokio::test]
async fn a_collection_that_is_not_there() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Nowhere {}
    impl Object for Nowhere {
        const COLLECTION: &'static str = "nowhere";
    }
    let storage = open(note_definition()).await;
    let error = storage.collection::<Nowhere>().unwrap_err();
    assert!(
        matches!(&error, Error::UnknownCollection { collection } if &**collection == "nowhere")
    );
}
