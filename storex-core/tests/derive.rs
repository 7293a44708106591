//! `#[derive(Collection)]`: what it writes is what one would write by hand, and its constants work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use storex_core::{
    Affinity, AutoPk, Changes, Check, Collection, Definition, Direction, Error, FieldOption,
    FieldType, Filter, KeyFormat, Object, ObjectView, OnDelete, Property, Registry,
    RelationDefinition, Storage, Timestamp, Value, field,
};
use storex_memory::{MemoryBackend, TestRuntime};

async fn open(definitions: impl IntoIterator<Item = Definition>) -> Storage {
    let registry = Registry::builder().collections(definitions).build().unwrap();
    Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
        .middleware(AutoPk::new())
        .open()
        .await
        .unwrap()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Collection)]
struct User {
    id: String,
    #[storex(unique)]
    name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Collection)]
#[storex(name = "note", version = 2, index(author, created_at), unique(author, slug))]
struct Note {
    #[storex(key)]
    id: String,
    #[storex(index)]
    title: String,
    slug: String,
    #[storex(text)]
    body: Option<String>,
    stars: i64,
    #[storex(default = 0)]
    views: i64,
    #[storex(json, multi_entry)]
    tags: Vec<String>,
    #[storex(child_of = "user", reverse = "notes", on_delete = "cascade")]
    author: String,
    #[storex(column = "created")]
    created_at: Timestamp,
}

fn note(title: &str, stars: i64) -> Note {
    Note {
        id: String::new(),
        title: title.into(),
        slug: title.to_lowercase(),
        body: None,
        stars,
        views: 0,
        tags: vec!["new".into()],
        author: "ada".into(),
        created_at: Timestamp(1_000 + stars),
    }
}

async fn notes() -> Storage {
    let storage = open([User::definition(), Note::definition()]).await;
    let ada = User { id: "ada".into(), name: "Ada".into() };
    storage.collection::<User>().unwrap().create(&ada).await.unwrap();
    storage
}

#[test]
fn the_definition_is_the_one_written_by_hand() {
    let by_hand = Definition::new("note")
        .version(2)
        .field("title", FieldType::String)
        .field("slug", FieldType::String)
        .optional("body", FieldType::Text)
        .field("stars", FieldType::Int)
        .field_with("views", FieldType::Int, [FieldOption::Default(0_i64.into())])
        .field("tags", FieldType::Json)
        .field_with("created_at", FieldType::Timestamp, [FieldOption::Column("created".into())])
        .relation(
            RelationDefinition::child_of("user")
                .alias("author")
                .reverse_alias("notes")
                .on_delete(OnDelete::Cascade),
        )
        .index(["title"])
        .multi_entry("tags")
        .index(["author", "created_at"])
        .unique(["author", "slug"]);
    assert_eq!(Note::definition(), by_hand);
    assert_eq!(Note::COLLECTION, "note");
    let by_hand = Definition::new("user").field("name", FieldType::String).unique(["name"]);
    assert_eq!(User::definition(), by_hand);
}

type Shapes = BTreeMap<String, Vec<(i64, i64)>>;

#[derive(Serialize, Deserialize, Collection)]
struct EveryType {
    id: String,
    string: std::string::String,
    boolean: bool,
    int8: i8,
    int16: i16,
    int32: i32,
    int64: i64,
    nat8: u8,
    nat16: u16,
    nat32: u32,
    float32: f32,
    float64: f64,
    timestamp: storex_core::Timestamp,
    bytes: Vec<u8>,
    four: [u8; 4],
    value: serde_json::Value,
    maybe: Option<bool>,
    maybe_bytes: std::option::Option<Vec<u8>>,
    maybe_any: Option<serde_json::Value>,
    #[storex(json)]
    shapes: Shapes,
    #[storex(json)]
    maybe_shapes: Option<Shapes>,
    #[storex(text)]
    text: String,
    #[storex(type = "DateTime")]
    date_time: Timestamp,
    #[storex(type = "Blob")]
    blob: Vec<u8>,
    #[storex(type = "Media")]
    media: Vec<u8>,
    #[storex(type = "RandomKey")]
    random_key: Option<String>,
    #[storex(type = "Url")]
    url: String,
    #[storex(type = "Int")]
    big: u64,
    #[storex(type = "ForeignKey(Bytes)")]
    foreign: Vec<u8>,
    #[storex(type = "Dynamic(Integer)")]
    dynamic: i64,
    #[storex(nullable)]
    must_be_given: Option<i64>,
    #[storex(default_now)]
    now: Timestamp,
    #[storex(default = "en")]
    lang: String,
    #[storex(default = 1.5)]
    factor: Option<f64>,
    #[storex(json, default = json!([]))]
    list: Vec<String>,
    #[storex(type = "String", default = "red")]
    color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Color {
    Red,
    Green,
}

impl From<Color> for Value {
    fn from(color: Color) -> Self {
        match color {
            Color::Red => "red".into(),
            Color::Green => "green".into(),
        }
    }
}

#[test]
fn every_type_of_field() {
    let by_hand = Definition::new("every_type")
        .field("string", FieldType::String)
        .field("boolean", FieldType::Boolean)
        .field("int8", FieldType::Int)
        .field("int16", FieldType::Int)
        .field("int32", FieldType::Int)
        .field("int64", FieldType::Int)
        .field("nat8", FieldType::Int)
        .field("nat16", FieldType::Int)
        .field("nat32", FieldType::Int)
        .field("float32", FieldType::Float)
        .field("float64", FieldType::Float)
        .field("timestamp", FieldType::Timestamp)
        .field("bytes", FieldType::Binary)
        .field("four", FieldType::Binary)
        .field("value", FieldType::Json)
        .optional("maybe", FieldType::Boolean)
        .optional("maybe_bytes", FieldType::Binary)
        .optional("maybe_any", FieldType::Json)
        .field("shapes", FieldType::Json)
        .optional("maybe_shapes", FieldType::Json)
        .field("text", FieldType::Text)
        .field("date_time", FieldType::DateTime)
        .field("blob", FieldType::Blob)
        .field("media", FieldType::Media)
        .optional("random_key", FieldType::RandomKey)
        .field("url", FieldType::Url)
        .field("big", FieldType::Int)
        .field("foreign", FieldType::ForeignKey(KeyFormat::Bytes))
        .field("dynamic", FieldType::Dynamic(Affinity::Integer))
        .field_with("must_be_given", FieldType::Int, [FieldOption::Nullable])
        .field_with("now", FieldType::Timestamp, [FieldOption::DefaultNow])
        .field_with("lang", FieldType::String, [FieldOption::Default("en".into())])
        .field_with(
            "factor",
            FieldType::Float,
            [FieldOption::Optional, FieldOption::Default(1.5.into())],
        )
        .field_with("list", FieldType::Json, [FieldOption::Default(json!([]).into())])
        .field_with("color", FieldType::String, [FieldOption::Default("red".into())]);
    assert_eq!(EveryType::definition(), by_hand);
    Registry::builder().collection(EveryType::definition()).build().unwrap();
}

/// What serde makes of the Rust type is what the field takes, and comes back.
#[tokio::test]
async fn every_type_is_stored_and_found() {
    let storage = open([EveryType::definition()]).await;
    let objects = storage.collection::<EveryType>().unwrap();
    let shapes: Shapes = [("line".to_owned(), vec![(1, -1)])].into();
    let object = EveryType {
        id: String::new(),
        string: "s".into(),
        boolean: true,
        int8: i8::MIN,
        int16: i16::MIN,
        int32: i32::MIN,
        int64: i64::MIN,
        nat8: u8::MAX,
        nat16: u16::MAX,
        nat32: u32::MAX,
        float32: 0.5,
        float64: f64::MAX,
        timestamp: Timestamp(-1),
        bytes: vec![0, 255],
        four: [1, 2, 3, 4],
        value: json!({ "a": [1, null] }),
        maybe: Some(true),
        maybe_bytes: None,
        maybe_any: None,
        shapes: shapes.clone(),
        maybe_shapes: Some(shapes),
        text: "t".into(),
        date_time: Timestamp(1_700_000_000_000),
        blob: vec![],
        media: vec![9],
        random_key: None,
        url: "https://example.org".into(),
        big: i64::MAX as u64,
        foreign: vec![7; 16],
        dynamic: 5,
        must_be_given: None,
        now: Timestamp(3),
        lang: "de".into(),
        factor: None,
        list: vec!["x".into()],
        color: Color::Green,
    };
    let key = objects.create(&object).await.unwrap();
    let found = objects.get(key).await.unwrap().unwrap();
    assert_eq!(found.random_key.as_ref().map(String::len), Some(40));
    let mut expected = serde_json::to_value(&object).unwrap();
    expected["id"] = json!(found.id);
    expected["random_key"] = json!(found.random_key);
    assert_eq!(serde_json::to_value(&found).unwrap(), expected);

    // Each constant finds it by a value of its Rust type.
    type E = EveryType;
    let filters = [
        E::ID.eq(&found.id),
        E::STRING.eq("s"),
        E::STRING.eq(String::from("s")),
        E::BOOLEAN.eq(true),
        E::INT8.eq(-128),
        E::INT16.lt(0),
        E::INT32.lte(i32::MIN),
        E::INT64.ne(0),
        E::NAT8.gt(254),
        E::NAT16.gte(u16::MAX),
        E::NAT32.is_in([1, u32::MAX]),
        E::FLOAT32.eq(0.5),
        E::FLOAT64.gt(1e300),
        E::TIMESTAMP.eq(Timestamp(-1)),
        E::BYTES.eq(vec![0, 255]),
        E::BYTES.eq(&[0, 255][..]),
        E::FOUR.eq([1, 2, 3, 4]),
        E::VALUE.eq(json!({ "a": [1, null] })),
        E::MAYBE.eq(true),
        E::MAYBE.eq(Some(true)),
        E::MAYBE.ne(None),
        E::MAYBE_BYTES.is_null(),
        E::MAYBE_BYTES.eq(None),
        E::MAYBE_ANY.is_null(),
        E::MAYBE_SHAPES.is_not_null(),
        E::TEXT.is_in(["t", "u"]),
        E::DATE_TIME.gt(Timestamp(0)),
        E::RANDOM_KEY.is_not_null(),
        E::LIST.contains("x"),
        E::LIST.eq(vec!["x".to_owned()]),
        E::COLOR.eq(Color::Green),
        E::COLOR.is_in([Color::Red, Color::Green]),
    ];
    for filter in filters {
        let count = objects.query().filter(filter.clone()).count().await.unwrap();
        assert_eq!(count, 1, "{filter:?}");
        let count = objects.query().filter(filter.clone().negate()).count().await.unwrap();
        assert_eq!(count, 0, "{filter:?}");
    }
}

#[tokio::test]
async fn a_life_by_constants() {
    let storage = notes().await;
    let notes = storage.collection::<Note>().unwrap();
    let keys = notes.create_many(&[note("A", 1), note("B", 2), note("C", 3)]).await.unwrap();

    let titles = |found: Vec<Note>| found.into_iter().map(|note| note.title).collect::<Vec<_>>();
    let found = notes.find(Note::STARS.gte(2).and(Note::TITLE.ne("C"))).await.unwrap();
    assert_eq!(titles(found), ["B"]);
    let ordered = notes.query().order([Note::VIEWS.asc(), Note::STARS.desc()]).all().await.unwrap();
    assert_eq!(titles(ordered), ["C", "B", "A"]);
    let ordered = notes.query().order_by(Note::STARS, Direction::Descending).limit(1);
    assert_eq!(titles(ordered.all().await.unwrap()), ["C"]);

    let star = Note::STARS.increment(10).and(Note::TITLE.set("D")).and(Note::BODY.set("long"));
    assert!(notes.update_one(keys[0].clone(), star).await.unwrap());
    let tagged = Note::TAGS.set(vec!["old".to_owned(), "red".to_owned()]);
    let later = Note::CREATED_AT.increment(500).and(tagged);
    assert_eq!(notes.update(Note::STARS.eq(2), later).await.unwrap(), keys[1..2]);
    let first = notes.get(keys[0].clone()).await.unwrap().unwrap();
    assert_eq!((first.title.as_str(), first.stars, first.body), ("D", 11, Some("long".into())));
    let second = notes.find(Note::TAGS.contains("red")).await.unwrap().pop().unwrap();
    assert_eq!((second.title.as_str(), second.created_at), ("B", Timestamp(1_502)));

    notes.update(Note::BODY.is_not_null(), Note::BODY.unset()).await.unwrap();
    assert_eq!(notes.query().filter(Note::BODY.is_null()).count().await.unwrap(), 3);
    assert_eq!(notes.delete(Note::CREATED_AT.lt(Timestamp(1_500))).await.unwrap().len(), 2);
}

/// A relation's field is a constant like any other, nested creates find it by its reverse name, and a delete of the parent
/// brings the children with it.
#[tokio::test]
async fn nested_relations() {
    let storage = notes().await;
    let users = storage.dynamic("user").unwrap();
    let grace = users
        .create(json!({ "name": "Grace", "notes": [
            { "title": "N", "slug": "n", "stars": 5, "tags": [], "created_at": 7 },
        ]}))
        .await
        .unwrap();
    let grace = grace["id"].as_str().unwrap();
    let notes = storage.collection::<Note>().unwrap();
    notes.create(&note("Ada's", 1)).await.unwrap();
    let found = notes.find(Note::AUTHOR.eq(grace)).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].author.as_str(), found[0].views), (grace, 0));

    storage.collection::<User>().unwrap().delete(User::NAME.eq("Grace")).await.unwrap();
    let left = notes.query().all().await.unwrap();
    assert_eq!(left.iter().map(|note| note.title.as_str()).collect::<Vec<_>>(), ["Ada's"]);
}

/// The names are serde's.
#[tokio::test]
async fn names_by_serde() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, Collection)]
    #[serde(rename_all = "camelCase")]
    #[storex(index(created_at))]
    struct WebPage {
        id: String,
        created_at: Timestamp,
        #[serde(rename = "type")]
        kind: String,
        r#fn: i64,
        #[serde(rename(serialize = "both", deserialize = "both"), default)]
        renamed_twice: Option<i64>,
        #[serde(skip)]
        cached: Option<std::time::Duration>,
    }
    let by_hand = Definition::new("web_page")
        .field("createdAt", FieldType::Timestamp)
        .field("type", FieldType::String)
        .field("fn", FieldType::Int)
        .optional("both", FieldType::Int)
        .index(["createdAt"]);
    assert_eq!(WebPage::definition(), by_hand);
    assert_eq!(WebPage::CREATED_AT.name(), "createdAt");
    let storage = open([WebPage::definition()]).await;
    let pages = storage.collection::<WebPage>().unwrap();
    let page = WebPage {
        id: "a".into(),
        created_at: Timestamp(5),
        kind: "blog".into(),
        r#fn: 1,
        renamed_twice: Some(2),
        cached: Some(std::time::Duration::from_secs(1)),
    };
    pages.create(&page).await.unwrap();
    let filter = WebPage::KIND.eq("blog").and(WebPage::FN.eq(1)).and(WebPage::RENAMED_TWICE.eq(2));
    let found = pages.find(filter.and(WebPage::CREATED_AT.lte(Timestamp(5)))).await.unwrap();
    assert_eq!(found, [WebPage { cached: None, ..page }]);
}

#[test]
fn keys() {
    #[derive(Serialize, Deserialize, Collection)]
    struct ByInt {
        id: Option<i64>,
    }
    assert_eq!(ByInt::definition(), Definition::new("by_int").key_format(KeyFormat::Int));

    #[derive(Serialize, Deserialize, Collection)]
    struct BySlug {
        #[storex(key, column = "ident")]
        slug: String,
    }
    let column = [FieldOption::Column("ident".into())];
    let by_hand = Definition::new("by_slug")
        .field_with("slug", FieldType::AutoPk(KeyFormat::Text), column)
        .primary_key(["slug"]);
    assert_eq!(BySlug::definition(), by_hand);

    #[derive(Serialize, Deserialize, Collection)]
    struct OwnKey {
        #[storex(key, type = "String")]
        id: String,
    }
    let by_hand = Definition::new("own_key").field("id", FieldType::String);
    assert_eq!(OwnKey::definition(), by_hand);

    #[derive(Serialize, Deserialize, Collection)]
    struct Vote {
        #[storex(key, child_of(User))]
        user: String,
        #[storex(key)]
        poll: i64,
        yes: bool,
    }
    let by_hand = Definition::new("vote")
        .primary_key(["user", "poll"])
        .field("poll", FieldType::Int)
        .field("yes", FieldType::Boolean)
        .relation(RelationDefinition::child_of("user"));
    assert_eq!(Vote::definition(), by_hand);
}

/// A key of 16 bytes whose Rust type is a text: AutoPk makes it, and its text finds it.
#[tokio::test]
async fn a_text_for_a_key_of_bytes() {
    #[derive(Serialize, Deserialize, Collection)]
    struct Photo {
        #[storex(key(bytes))]
        id: Option<String>,
        #[storex(child_of(Photo))]
        original: Option<String>,
    }
    assert_eq!(
        Photo::definition(),
        Definition::new("photo")
            .key_format(KeyFormat::Bytes)
            .relation(RelationDefinition::child_of("photo").alias("original").optional())
    );
    let storage = open([Photo::definition()]).await;
    let photos = storage.collection::<Photo>().unwrap();
    let key = photos.create(&Photo { id: None, original: None }).await.unwrap();
    let id = photos.get(key.clone()).await.unwrap().unwrap().id.unwrap();
    photos.create(&Photo { id: None, original: Some(id.clone()) }).await.unwrap();
    assert_eq!(photos.query().filter(Photo::ID.eq(&id)).count().await.unwrap(), 1);
    assert_eq!(photos.query().filter(Photo::ORIGINAL.eq(&id)).count().await.unwrap(), 1);
    assert!(photos.get(id.as_str()).await.unwrap().is_some());
    assert!(photos.update_one(id.as_str(), Photo::ORIGINAL.set(&id)).await.unwrap());
    assert_eq!(photos.query().filter(Photo::ORIGINAL.eq(&id)).count().await.unwrap(), 2);
    let error = photos.get("no UUID").await.err().unwrap();
    assert!(matches!(error, Error::InvalidValue { .. }), "{error}");
    assert!(photos.delete_one(id).await.unwrap());
}

#[test]
fn relations() {
    #[derive(Serialize, Deserialize, Collection)]
    struct Email {
        id: String,
        #[storex(single_child_of = "user", column = "owner_id")]
        owner: String,
        #[storex(child_of(User), reverse = "seen", on_delete = "set_null")]
        seen_by: Option<String>,
    }
    let by_hand = Definition::new("email")
        .relation(RelationDefinition::single_child_of("user").alias("owner").column("owner_id"))
        .relation(
            RelationDefinition::child_of("user")
                .alias("seen_by")
                .reverse_alias("seen")
                .optional()
                .on_delete(OnDelete::SetNull),
        );
    assert_eq!(Email::definition(), by_hand);
    Registry::builder().collections([User::definition(), by_hand]).build().unwrap();

    #[derive(Serialize, Deserialize, Collection)]
    struct Subscription {
        id: String,
        #[storex(connects = "user")]
        user: String,
        #[storex(connects = "newsletter")]
        newsletter: String,
    }
    let by_hand = Definition::new("subscription").connects("user", "newsletter");
    assert_eq!(Subscription::definition(), by_hand);
}

#[test]
fn adopted_tables() {
    #[derive(Serialize, Deserialize, Collection)]
    #[storex(name = "track", adopted = "Track")]
    struct Track {
        #[storex(key, column = "TrackId", type = "Dynamic(Integer)")]
        id: Option<i64>,
        #[storex(column = "Name", type = "Dynamic(Text)")]
        name: String,
    }
    let dynamic = FieldType::Dynamic;
    let column = |name: &str| [FieldOption::Column(name.into())];
    let by_hand = Definition::new("track")
        .adopted("Track")
        .field_with("id", dynamic(Affinity::Integer), column("TrackId"))
        .field_with("name", dynamic(Affinity::Text), column("Name"));
    assert_eq!(Track::definition(), by_hand);
}

/// storex under another name: what is written names that one alone.
mod renamed {
    /// Not storex's, so that it can be seen which one was taken.
    pub(crate) trait Object {
        const COLLECTION: &'static str;
    }
    pub(crate) use storex_core::{Definition, FieldType, Property};
}

#[test]
fn storex_under_another_name() {
    #[derive(storex_core::Collection)]
    #[storex(crate = "crate::renamed")]
    struct Thing {
        #[allow(dead_code)]
        id: String,
        #[allow(dead_code)]
        n: i64,
    }
    assert_eq!(<Thing as renamed::Object>::COLLECTION, "thing");
    assert_eq!(Thing::definition(), Definition::new("thing").field("n", FieldType::Int));
}

/// A struct of one's own as JSON: a constant takes it by serde.
#[tokio::test]
async fn a_struct_kept_as_json() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Size {
        width: u32,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, Collection)]
    struct Picture {
        id: String,
        #[storex(json)]
        size: Size,
        #[storex(json)]
        thumbnail: Option<Size>,
        #[storex(json)]
        odd: BTreeMap<Vec<i64>, i64>,
    }
    let storage = open([Picture::definition()]).await;
    let pictures = storage.collection::<Picture>().unwrap();
    let picture =
        Picture { id: "a".into(), size: Size { width: 1 }, thumbnail: None, odd: BTreeMap::new() };
    pictures.create(&picture).await.unwrap();
    let size = Picture::SIZE.set_json(&Size { width: 2 }).unwrap();
    let both = size.and(Picture::THUMBNAIL.set_json(&Size { width: 3 }).unwrap());
    pictures.update_one("a", both).await.unwrap();
    let found = pictures.get("a").await.unwrap().unwrap();
    assert_eq!((found.size, found.thumbnail), (Size { width: 2 }, Some(Size { width: 3 })));

    let error = Picture::ODD.set_json(&[(vec![1], 1)].into()).unwrap_err().to_string();
    assert!(error.contains("`picture`") && error.contains("`odd`"), "{error}");
}

/// Constants can be written by hand too, for structs whose collection is defined elsewhere.
#[tokio::test]
async fn properties_by_hand() {
    const NAME: Property<User, String> = Property::new("name");
    let storage = notes().await;
    let users = storage.collection::<User>().unwrap();
    assert_eq!(users.find(NAME.eq("Ada")).await.unwrap().len(), 1);
    assert_eq!(NAME.eq("Ada"), field("name").eq("Ada"));
    assert_eq!(NAME.set("Eve"), Changes::new().set("name", "Eve"));
    assert_eq!(format!("{NAME:?}"), "Property(\"name\")");
}

/// What only the database can know is an error when it is asked.
#[tokio::test]
async fn a_constant_of_another_collection_is_refused() {
    let storage = notes().await;
    let error = storage.collection::<User>().unwrap().find(Note::STARS.eq(1)).await.unwrap_err();
    assert!(matches!(&error, Error::UnknownField { field, .. } if &**field == "stars"), "{error}");
}

/// Each filter on texts and arrays finds what it should, and nothing else.
#[tokio::test]
async fn filters_on_texts_and_arrays() {
    let storage = notes().await;
    let notes = storage.collection::<Note>().unwrap();
    let milk = Note { body: Some("Oat, not cow".into()), ..note("Milk", 1) };
    let bread = Note { tags: vec!["old".into(), "red".into()], ..note("Bread", 2) };
    notes.create_many(&[milk, bread]).await.unwrap();

    let cases: [(Filter, &[&str]); 11] = [
        (Note::TITLE.starts_with("Mi"), &["Milk"]),
        (Note::TITLE.starts_with("mi"), &[]),
        (Note::TITLE.includes("rea"), &["Bread"]),
        (Note::TITLE.eq_ignore_case("MILK"), &["Milk"]),
        (Note::TITLE.starts_with_ignore_case("bR"), &["Bread"]),
        (Note::TITLE.includes_ignore_case("L"), &["Milk"]),
        (Note::BODY.search("COW oat"), &["Milk"]),
        (Note::BODY.search("cow bread"), &[]),
        (Note::BODY.starts_with("Oat"), &["Milk"]),
        (Note::TAGS.has_size(2), &["Bread"]),
        (Note::TAGS.has_size(1).or(Note::TAGS.contains("red")), &["Milk", "Bread"]),
    ];
    for (filter, expected) in cases {
        let found = notes.query().filter(filter.clone()).order([Note::STARS.asc()]).all();
        let titles: Vec<String> = found.await.unwrap().into_iter().map(|note| note.title).collect();
        assert_eq!(titles, expected, "{filter:?}");
    }
}

/// Changes, and what they should do to a note.
type Step = (Changes, fn(&mut Note));

#[tokio::test]
async fn relative_changes_by_constants() {
    let storage = notes().await;
    let notes = storage.collection::<Note>().unwrap();
    let key = notes.create(&note("A", 5)).await.unwrap();
    let steps: [Step; 8] = [
        (Note::STARS.multiply(3), |note| note.stars = 15),
        (Note::STARS.min(4), |note| note.stars = 4),
        (Note::STARS.max(6).and(Note::VIEWS.min(9)), |note| note.stars = 6),
        (Note::CREATED_AT.max(Timestamp(9_000)), |note| note.created_at = Timestamp(9_000)),
        (Note::BODY.append("long").and(Note::TITLE.append("B")), |note| {
            note.body = Some("long".into());
            note.title = "AB".into();
        }),
        (Note::TITLE.replace_prefix("A", "to a "), |note| note.title = "to a B".into()),
        (Note::TAGS.add_elements(["red".to_owned(), "new".to_owned()]), |note| {
            note.tags = vec!["new".into(), "red".into()];
        }),
        (Note::TAGS.remove_elements(["new".to_owned()]), |note| note.tags = vec!["red".into()]),
    ];
    let mut expected = notes.get(key.clone()).await.unwrap().unwrap();
    for (changes, change) in steps {
        change(&mut expected);
        assert!(notes.update_one(key.clone(), changes.clone()).await.unwrap());
        assert_eq!(notes.get(key.clone()).await.unwrap().unwrap(), expected, "{changes:?}");
    }
}

/// A long text with an index, which is a full-text index, is said by two words.
#[tokio::test]
async fn a_full_text_index() {
    #[derive(Serialize, Deserialize, Collection)]
    struct Letter {
        id: String,
        #[storex(text, index)]
        body: String,
    }
    let by_hand = Definition::new("letter").field("body", FieldType::Text).index(["body"]);
    assert_eq!(Letter::definition(), by_hand);
    let storage = open([Letter::definition()]).await;
    let letters = storage.collection::<Letter>().unwrap();
    for (id, body) in [("a", "Dear Ada, thank you"), ("b", "Dear Grace, adieu")] {
        letters.create(&Letter { id: id.into(), body: body.into() }).await.unwrap();
    }
    let found = letters.find(Letter::BODY.search("ada dear")).await.unwrap();
    assert_eq!(found.iter().map(|letter| letter.id.as_str()).collect::<Vec<_>>(), ["a"]);
}

mod rules {
    use super::{ObjectView, Value};

    pub(super) fn is_email(value: &Value) -> bool {
        matches!(value, Value::Text(text) if text.contains('@'))
    }

    pub(super) fn is_even(value: &Value) -> bool {
        matches!(value, Value::Int(int) if int % 2 == 0)
    }

    pub(super) fn begins_before_it_ends(it: &ObjectView<'_>) -> bool {
        it.get("begin").compare(it.get("ends")).is_lt()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Collection)]
#[storex(check(rules::begins_before_it_ends, "begin before it ends"))]
#[storex(check(Self::is_not_secret, "not be a secret"))]
struct Meeting {
    #[storex(max_length = 8)]
    id: String,
    #[storex(min_length = 1, max_length = 10)]
    title: String,
    #[storex(min = 0, max = 5, default = 0)]
    stars: i64,
    #[storex(min = 0.5)]
    hours: Option<f64>,
    #[storex(type = "String", one_of(Color::Red, "yellow"))]
    color: Color,
    #[storex(json, max_length = 2)]
    guests: Vec<String>,
    #[storex(check(rules::is_email, "an address with an @"), max_length = 20)]
    host: Option<String>,
    #[storex(check(rules::is_even, "even"), check(Self::is_small, "small"))]
    seats: i64,
    begin: Timestamp,
    #[storex(column = "end", min = Timestamp(10))]
    ends: Timestamp,
}

impl Meeting {
    fn is_small(value: &Value) -> bool {
        value.compare(&Value::Int(100)).is_lt()
    }

    fn is_not_secret(it: &ObjectView<'_>) -> bool {
        *it.get("title") != Value::from("secret")
    }

    fn at(id: &str) -> Self {
        Self {
            id: id.into(),
            title: "Tea".into(),
            stars: 3,
            hours: None,
            color: Color::Red,
            guests: vec![],
            host: None,
            seats: 4,
            begin: Timestamp(5),
            ends: Timestamp(10),
        }
    }
}

#[test]
fn checks_are_those_written_by_hand() {
    #[derive(Serialize, Deserialize, Collection)]
    struct Checked {
        #[storex(min_length = 36, max_length = 36)]
        id: String,
        #[storex(type = "Url", column = "address", max_length = 80)]
        url: Option<String>,
        #[storex(one_of("a", "b"))]
        letter: String,
        #[storex(max = 9, min = -1)]
        number: i32,
    }
    let (least, most) = (Check::MinLength(36), Check::MaxLength(36));
    let by_hand = Definition::new("checked")
        .field_with(
            "id",
            FieldType::AutoPk(KeyFormat::Text),
            [FieldOption::Check(least), FieldOption::Check(most)],
        )
        .field_with(
            "url",
            FieldType::Url,
            [
                FieldOption::Optional,
                FieldOption::Column("address".into()),
                FieldOption::Check(Check::MaxLength(80)),
            ],
        )
        .field_with(
            "letter",
            FieldType::String,
            [FieldOption::Check(Check::OneOf(vec!["a".into(), "b".into()]))],
        )
        .field_with(
            "number",
            FieldType::Int,
            [
                FieldOption::Check(Check::Max(9_i64.into())),
                FieldOption::Check(Check::Min((-1_i64).into())),
            ],
        );
    assert_eq!(Checked::definition(), by_hand);
}

/// What breaks a rule is refused by creates, with the field and the reason, and nothing is written.
#[tokio::test]
async fn creates_are_checked() {
    let storage = open([Meeting::definition()]).await;
    let meetings = storage.collection::<Meeting>().unwrap();
    let at = || Meeting::at("a");
    let refused = [
        (Meeting { id: "too long a key".into(), ..at() }, "id", "the length 14 where 8"),
        (Meeting { title: String::new(), ..at() }, "title", "the length 0 where 1"),
        (Meeting { title: "a long title".into(), ..at() }, "title", "the length 12 where 10"),
        (Meeting { stars: -1, ..at() }, "stars", "less than 0"),
        (Meeting { stars: 6, ..at() }, "stars", "greater than 5"),
        (Meeting { hours: Some(0.25), ..at() }, "hours", "less than 0.5"),
        (Meeting { color: Color::Green, ..at() }, "color", "one of `red`, `yellow`"),
        (Meeting { guests: vec![String::new(); 3], ..at() }, "guests", "the length 3 where 2"),
        (Meeting { host: Some("ada".into()), ..at() }, "host", "must be an address with an @"),
        (Meeting { host: Some("@".repeat(21)), ..at() }, "host", "the length 21 where 20"),
        (Meeting { seats: 3, ..at() }, "seats", "must be even"),
        (Meeting { seats: 100, ..at() }, "seats", "must be small"),
        (Meeting { ends: Timestamp(9), ..at() }, "ends", "less than 1970-01-01"),
    ];
    for (meeting, field, reason) in refused {
        let error = meetings.create(&meeting).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("`{field}`")) && text.contains(reason), "{text}");
        assert!(matches!(error, Error::InvalidValue { .. }), "{text}");
    }
    for (meeting, expected) in [
        (Meeting { begin: Timestamp(10), ..at() }, "begin before it ends"),
        (Meeting { title: "secret".into(), ..at() }, "not be a secret"),
    ] {
        let error = meetings.create(&meeting).await.unwrap_err();
        assert!(
            matches!(&error, Error::BrokenRule { reason, .. } if reason.ends_with(expected)),
            "{error}"
        );
    }
    assert_eq!(meetings.query().count().await.unwrap(), 0);

    meetings.create(&at()).await.unwrap();
    let edge = Meeting {
        id: "8 long  ".into(),
        title: "ten long: ".into(),
        stars: 5,
        hours: Some(0.5),
        host: Some("ada@example.org".into()),
        guests: vec!["a".into(), "b".into()],
        ..at()
    };
    meetings.create(&edge).await.unwrap();
    assert_eq!(meetings.get(edge.id.as_str()).await.unwrap(), Some(edge));
}

/// So it is by updates, also where only the result shows it, and the object stays as it was.
#[tokio::test]
async fn updates_are_checked() {
    let storage = open([Meeting::definition()]).await;
    let meetings = storage.collection::<Meeting>().unwrap();
    let meeting = Meeting::at("a");
    meetings.create(&meeting).await.unwrap();
    for changes in [
        Meeting::STARS.set(6),
        Meeting::STARS.increment(3),
        Meeting::STARS.multiply(-1),
        Meeting::TITLE.append(" and biscuits"),
        Meeting::COLOR.set(Color::Green),
        Meeting::GUESTS.add_elements(["a".to_owned(), "b".to_owned(), "c".to_owned()]),
        Meeting::HOST.set("ada"),
        Meeting::SEATS.increment(1),
    ] {
        let error = meetings.update_one("a", changes).await.unwrap_err();
        assert!(matches!(error, Error::InvalidValue { .. }), "{error}");
    }
    for changes in [Meeting::BEGIN.set(Timestamp(10)), Meeting::TITLE.set("secret")] {
        let error = meetings.update_one("a", changes).await.unwrap_err();
        assert!(matches!(error, Error::BrokenRule { .. }), "{error}");
    }
    assert_eq!(meetings.get("a").await.unwrap(), Some(meeting));
    let changes = Meeting::STARS.increment(2).and(Meeting::HOST.unset());
    assert!(meetings.update_one("a", changes).await.unwrap());
}

/// A parent must be there, and the rule says what its delete does to the children.
#[tokio::test]
async fn deletes_of_parents() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Collection)]
    struct Task {
        id: String,
        #[storex(child_of(User), reverse = "owned", on_delete = "cascade", index)]
        owner: String,
        #[storex(child_of(User), reverse = "helped", on_delete = "set_null", column = "helper_id")]
        helper: Option<String>,
        #[storex(child_of = "user", reverse = "judged", on_delete = "restrict")]
        judge: Option<String>,
    }
    let relation = |alias: &str| RelationDefinition::child_of("user").alias(alias);
    let by_hand = Definition::new("task")
        .relation(relation("owner").reverse_alias("owned").on_delete(OnDelete::Cascade))
        .relation(
            relation("helper")
                .reverse_alias("helped")
                .column("helper_id")
                .optional()
                .on_delete(OnDelete::SetNull),
        )
        .relation(
            relation("judge").reverse_alias("judged").optional().on_delete(OnDelete::Restrict),
        )
        .index(["owner"]);
    assert_eq!(Task::definition(), by_hand);

    let storage = open([User::definition(), Task::definition()]).await;
    let (users, tasks) =
        (storage.collection::<User>().unwrap(), storage.collection::<Task>().unwrap());
    for id in ["ada", "bob", "eve"] {
        users.create(&User { id: id.into(), name: id.into() }).await.unwrap();
    }
    let task = |id: &str, owner: &str| Task {
        id: id.into(),
        owner: owner.into(),
        helper: Some("bob".into()),
        judge: Some("eve".into()),
    };
    let error = tasks.create(&task("c", "nobody")).await.unwrap_err();
    assert!(matches!(&error, Error::Relation { field, .. } if &**field == "owner"), "{error}");
    tasks.create_many(&[task("a", "ada"), task("b", "eve")]).await.unwrap();

    let error = users.delete_one("eve").await.unwrap_err();
    assert!(matches!(error, Error::Relation { .. }), "{error}");
    assert_eq!(tasks.query().count().await.unwrap(), 2);

    assert!(users.delete_one("ada").await.unwrap());
    assert!(users.delete_one("bob").await.unwrap());
    let left = Task { helper: None, ..task("b", "eve") };
    assert_eq!(tasks.query().all().await.unwrap(), [left]);
}
