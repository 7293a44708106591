//! Objects with their related objects, in one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use storex_core::{
    Batch, Branch, Context, Definition, Direction, ErrorKind, FieldType, Middleware, Next, Object,
    Operation, Outcome, Query, Registry, RelationDefinition, Result, Storage, field,
};

use crate::Harness;
use crate::support::{record, refused, registry};

/// Authors with posts with comments, whose writers are authors again; and a profile for each author.
fn blog() -> Registry {
    let keyed = |name: &str| Definition::new(name).field("id", FieldType::Int).primary_key(["id"]);
    let child = RelationDefinition::child_of;
    registry([
        keyed("author").field("name", FieldType::String),
        keyed("profile")
            .field("text", FieldType::String)
            .relation(RelationDefinition::single_child_of("author").column("author_id")),
        keyed("post")
            .field("title", FieldType::String)
            .relation(child("author").reverse_alias("posts"))
            .index(["author"]),
        keyed("comment")
            .field("text", FieldType::String)
            .relation(child("post").reverse_alias("comments"))
            .relation(child("author").alias("writer").reverse_alias("said").optional()),
    ])
}

async fn filled(h: &Harness) -> Storage {
    let storage = h.open(blog()).await;
    fill(&storage).await;
    storage
}

async fn fill(storage: &Storage) {
    let batch = Batch::new()
        .create("author", vec![record![1, "Ann"], record![2, "Ben"], record![3, "Cid"]])
        .create("profile", vec![record![5, "about Ann", 1]])
        .create("post", vec![record![10, "one", 1], record![11, "two", 1], record![20, "three", 2]])
        .create(
            "comment",
            vec![
                record![100, "yes", 10, 2],
                record![101, "no", 10, None::<i64>],
                record![102, "well", 20, 2],
            ],
        );
    storage.execute(batch).await.unwrap();
}

fn by_key(collection: &str) -> Query {
    Query::new(collection).order_by("id", Direction::Ascending)
}

pub async fn children_by_reverse_alias(h: Harness) {
    let storage = filled(&h).await;
    let authors = storage.find_with(by_key("author"), ["posts"]).await.unwrap();
    let authors: Vec<Json> = authors.iter().map(|author| author.to_json().unwrap()).collect();
    let expected = json!([
        { "id": 1, "name": "Ann", "posts": [
            { "id": 10, "title": "one", "author": 1 },
            { "id": 11, "title": "two", "author": 1 },
        ] },
        { "id": 2, "name": "Ben", "posts": [{ "id": 20, "title": "three", "author": 2 }] },
        { "id": 3, "name": "Cid", "posts": [] },
    ]);
    assert_eq!(json!(authors), expected);
}

pub async fn a_parent_by_alias_stands_in_the_place_of_its_key(h: Harness) {
    let storage = filled(&h).await;
    let comments = storage.find_with(by_key("comment"), ["writer"]).await.unwrap();
    let writers: Vec<Json> =
        comments.iter().map(|comment| comment.to_json().unwrap()["writer"].clone()).collect();
    let ben = json!({ "id": 2, "name": "Ben" });
    assert_eq!(writers, [ben.clone(), Json::Null, ben]);
    assert_eq!(*comments[0].record(), record![100, "yes", 10, 2]);
}

pub async fn a_single_child_is_one_object(h: Harness) {
    let storage = filled(&h).await;
    let authors = storage.find_with(by_key("author"), ["profile"]).await.unwrap();
    let profile = authors[0].to_json().unwrap()["profile"].clone();
    assert_eq!(profile, json!({ "id": 5, "text": "about Ann", "author": 1 }));
    assert!(matches!(authors[1].branch("profile"), Some(Branch::One(None))));
    assert!(authors[0].branch("posts").is_none(), "nobody asked for them");
}

pub async fn paths_go_on_at_every_level(h: Harness) {
    let storage = filled(&h).await;
    let paths = ["posts.comments.writer.profile", "posts.comments.writer.posts"];
    let query = by_key("author").filter(field("name").eq("Ann"));
    let found = storage.find_with(query, paths).await.unwrap();
    let ann = found[0].to_json().unwrap();
    let writer = &ann["posts"][0]["comments"][0]["writer"];
    assert_eq!(writer["name"], "Ben");
    assert_eq!(writer["profile"], Json::Null);
    assert_eq!(writer["posts"], json!([{ "id": 20, "title": "three", "author": 2 }]));
    assert_eq!(ann["posts"][0]["comments"][1]["writer"], Json::Null);
    assert_eq!(ann["posts"][1]["comments"], json!([]));
}

/// What a nested create has taken apart comes back as it was.
pub async fn a_nested_object_comes_back(h: Harness) {
    let storage = h.open(blog()).await;
    let nested = json!({
        "id": 1, "name": "Ann",
        "profile": { "id": 5, "text": "about Ann", "author": 1 },
        "posts": [
            { "id": 10, "title": "one", "author": 1, "comments": [
                { "id": 100, "text": "yes", "post": 10, "writer": null },
            ] },
            { "id": 11, "title": "two", "author": 1, "comments": [] },
        ],
    });
    let authors = storage.dynamic("author").unwrap();
    let created = authors.create(without_links(nested.clone())).await.unwrap();
    assert_eq!(created["posts"][0]["comments"][0]["post"], 10);
    let options = json!({ "with": ["profile", "posts.comments"] });
    assert_eq!(authors.find_with(&json!({}), &options).await.unwrap(), [nested]);
}

/// Children know their parents by where they stand.
fn without_links(mut object: Json) -> Json {
    if let Some(map) = object.as_object_mut() {
        for name in ["author", "post"] {
            map.remove(name);
        }
        map.values_mut().for_each(|value| *value = without_links(value.take()));
    } else if let Some(list) = object.as_array_mut() {
        list.iter_mut().for_each(|value| *value = without_links(value.take()));
    }
    object
}

#[derive(Serialize, Deserialize)]
struct Author {
    id: i64,
    name: String,
}

impl Object for Author {
    const COLLECTION: &'static str = "author";
}

#[derive(Debug, PartialEq, Deserialize)]
struct AuthorWithPosts {
    name: String,
    profile: Option<Profile>,
    posts: Vec<Post>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Profile {
    text: String,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Post {
    title: String,
    author: i64,
    comments: Vec<Comment>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Comment {
    writer: Option<Writer>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Writer {
    name: String,
}

pub async fn structs_with_structs_in_them(h: Harness) {
    let storage = filled(&h).await;
    let authors = storage.collection::<Author>().unwrap();
    let select = || {
        let query = authors.query().order_by("id", Direction::Ascending);
        query.with::<AuthorWithPosts, _>(["profile", "posts.comments.writer"])
    };
    let ann = select().first().await.unwrap().unwrap();
    let ben = Comment { writer: Some(Writer { name: "Ben".into() }) };
    let expected = AuthorWithPosts {
        name: "Ann".into(),
        profile: Some(Profile { text: "about Ann".into() }),
        posts: vec![
            Post { title: "one".into(), author: 1, comments: vec![ben, Comment { writer: None }] },
            Post { title: "two".into(), author: 1, comments: vec![] },
        ],
    };
    assert_eq!(ann, expected);
    let all = select().all().await.unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(all[2], AuthorWithPosts { name: "Cid".into(), profile: None, posts: vec![] });
}

/// Counts reads.
#[derive(Debug, Default)]
struct Counting(AtomicU64);

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Counting {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        if matches!(operation, Operation::Find(_)) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        next.run(cx, operation).await
    }
}

/// One read for the objects and one per relation, however many objects there are.
pub async fn there_are_as_many_reads_as_relations(h: Harness) {
    let counting = Arc::new(Counting::default());
    let storage = h.open_with(blog(), vec![Arc::<Counting>::clone(&counting)]).await;
    fill(&storage).await;
    let more = (1000..1200).map(|id| record![id, "more", id % 3 + 1]).collect();
    storage.execute(Batch::new().create("post", more)).await.unwrap();
    counting.0.store(0, Ordering::Relaxed);
    let found = storage.find_with(by_key("author"), ["posts.comments", "profile"]).await.unwrap();
    let Some(Branch::Many(posts)) = found[0].branch("posts") else { panic!("no posts") };
    assert!(posts.len() > 60);
    assert_eq!(counting.0.load(Ordering::Relaxed), 4);
}

pub async fn a_filter_an_order_and_a_page(h: Harness) {
    let storage = filled(&h).await;
    let query = Query::new("post")
        .filter(field("author").eq(1))
        .order_by("title", Direction::Descending)
        .limit(1);
    let posts = storage.find_with(query, ["author"]).await.unwrap();
    assert_eq!(posts.len(), 1);
    let expected = json!({ "id": 11, "title": "two", "author": { "id": 1, "name": "Ann" } });
    assert_eq!(posts[0].to_json().unwrap(), expected);
}

pub async fn what_is_not_there_is_refused(h: Harness) {
    let storage = filled(&h).await;
    for path in ["pots", "posts.coments", "name", ""] {
        let name = path.split('.').next_back().unwrap_or_default();
        let found = storage.find_with(Query::new("author"), [path]).await;
        refused(found, ErrorKind::Invalid, &[name]);
    }
    let found = storage.find_with(Query::new("author").select(["name"]), ["posts"]).await;
    refused(found, ErrorKind::Invalid, &["author"]);
    let authors = storage.dynamic("author").unwrap();
    for with in [json!("posts"), json!([1]), json!({})] {
        let found = authors.find_with(&json!({}), &json!({ "with": with })).await;
        refused(found, ErrorKind::Invalid, &["with"]);
    }
}
