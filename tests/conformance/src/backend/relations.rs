//! Relationships: parents, children, links, and nested creates.

use serde_json::{Value as Json, json};
use storex_core::{
    Definition, ErrorKind, FieldType, KeyFormat, Registry, RelationDefinition, Storage,
};

use crate::Harness;
use crate::support::{dump, keyed, refused, registry};

fn user_and_email(relation: RelationDefinition) -> Registry {
    registry([
        Definition::new("user").field("displayName", FieldType::String),
        Definition::new("email").field("address", FieldType::String).relation(relation),
    ])
}

async fn create(storage: &Storage, collection: &str, object: Json) -> Json {
    storage.dynamic(collection).unwrap().create(object).await.unwrap()
}

/// storex-facts 1.14, cases 38 and 41.
async fn an_object_is_created_under_its_parent(h: Harness, relation: RelationDefinition) {
    let storage = h.open(user_and_email(relation.column("userId"))).await;
    let user = create(&storage, "user", json!({ "displayName": "Bob" })).await;
    let email =
        create(&storage, "email", json!({ "address": "bob@bob.com", "user": user["id"] })).await;
    let expected = json!({ "id": email["id"], "address": "bob@bob.com", "user": user["id"] });
    assert_eq!(email, expected);
    assert_eq!(dump(&storage, "email").await, [expected]);
}

/// storex-facts 1.14, cases 39 and 42.
async fn an_object_is_found_by_its_parent(h: Harness, relation: RelationDefinition) {
    let storage = h.open(user_and_email(relation.column("userId"))).await;
    let user = create(&storage, "user", json!({ "displayName": "Bob" })).await;
    let email =
        create(&storage, "email", json!({ "address": "bob@bob.com", "user": user["id"] })).await;
    let emails = storage.dynamic("email").unwrap();
    assert_eq!(emails.find_one(&json!({ "user": user["id"] })).await.unwrap(), Some(email));
    assert_eq!(emails.find_one(&json!({ "user": "nobody" })).await.unwrap(), None);
}

/// storex-facts 1.14, cases 40 and 43.
async fn objects_are_deleted_by_their_parent(h: Harness, relation: RelationDefinition) {
    let storage = h.open(user_and_email(relation.column("userId"))).await;
    let mut emails = Vec::new();
    let mut users = Vec::new();
    for name in ["Bob", "Jane"] {
        let user = create(&storage, "user", json!({ "displayName": name })).await;
        let email = json!({ "address": format!("{name}@bob.com"), "user": user["id"] });
        emails.push(create(&storage, "email", email).await);
        users.push(user);
    }
    let collection = storage.dynamic("email").unwrap();
    assert_eq!(collection.delete(&json!({ "user": users[1]["id"] })).await.unwrap().len(), 1);
    assert_eq!(dump(&storage, "email").await, emails[..1]);
}

pub async fn child_of_is_created(h: Harness) {
    an_object_is_created_under_its_parent(h, RelationDefinition::child_of("user")).await;
}

pub async fn child_of_is_found(h: Harness) {
    an_object_is_found_by_its_parent(h, RelationDefinition::child_of("user")).await;
}

pub async fn child_of_is_deleted(h: Harness) {
    objects_are_deleted_by_their_parent(h, RelationDefinition::child_of("user")).await;
}

pub async fn single_child_of_is_created(h: Harness) {
    an_object_is_created_under_its_parent(h, RelationDefinition::single_child_of("user")).await;
}

pub async fn single_child_of_is_found(h: Harness) {
    an_object_is_found_by_its_parent(h, RelationDefinition::single_child_of("user")).await;
}

pub async fn single_child_of_is_deleted(h: Harness) {
    objects_are_deleted_by_their_parent(h, RelationDefinition::single_child_of("user")).await;
}

/// The fixture *UserAdmin* of storex-facts 1.14.
fn user_admin() -> Registry {
    registry([
        Definition::new("user")
            .field("identifier", FieldType::String)
            .optional("passwordHash", FieldType::String)
            .field("isActive", FieldType::Boolean)
            .index(["identifier"]),
        Definition::new("userEmail")
            .field("email", FieldType::String)
            .field("isVerified", FieldType::Boolean)
            .field("isPrimary", FieldType::Boolean)
            .relation(RelationDefinition::child_of("user").reverse_alias("emails"))
            .unique(["user", "email"]),
        Definition::new("userEmailVerificationCode")
            .field("code", FieldType::String)
            .optional("expiry", FieldType::DateTime)
            .relation(
                RelationDefinition::single_child_of("userEmail").reverse_alias("verificationCode"),
            )
            .unique(["code"]),
        Definition::new("newsletter").field("name", FieldType::String),
        Definition::new("newsletterSubscription").connects("user", "newsletter"),
    ])
}

/// Storex-facts 1.14, case A: a user with an email with a verification code.
pub async fn nested_objects_are_created_updated_and_deleted(h: Harness) {
    let storage = h.open(user_admin()).await;
    let users = storage.dynamic("user").unwrap();
    let input = json!({
        "identifier": "email:joe@doe.com",
        "isActive": false,
        "emails": [{
            "email": "joe@doe.com",
            "isVerified": false,
            "isPrimary": true,
            "verificationCode": { "code": "0123456789", "expiry": "2026-11-20T12:00:00.000Z" },
        }],
    });
    let user = users.create(input.clone()).await.unwrap();
    let (email, code) = (&user["emails"][0], &user["emails"][0]["verificationCode"]);
    let expected = json!({
        "id": user["id"],
        "identifier": "email:joe@doe.com",
        "passwordHash": null,
        "isActive": false,
        "emails": [{
            "id": email["id"],
            "user": user["id"],
            "email": "joe@doe.com",
            "isVerified": false,
            "isPrimary": true,
            "verificationCode": {
                "id": code["id"],
                "userEmail": email["id"],
                "code": "0123456789",
                "expiry": "2026-11-20T12:00:00.000Z",
            },
        }],
    });
    assert_eq!(user, expected);
    for object in [&user, email, code] {
        assert!(object["id"].is_string(), "{object} has no key");
    }
    let row = json!({
        "id": user["id"], "identifier": "email:joe@doe.com", "passwordHash": null, "isActive": false,
    });
    assert_eq!(dump(&storage, "user").await, std::slice::from_ref(&row));
    assert_eq!(dump(&storage, "userEmailVerificationCode").await, std::slice::from_ref(code));

    assert!(users.update_one(&row, &json!({ "isActive": true })).await.unwrap());
    let id = user["id"].as_str().unwrap();
    assert_eq!(users.get(id).await.unwrap().unwrap()["isActive"], json!(true));
    assert!(users.delete_one(&row).await.unwrap());
    assert_eq!(users.get(id).await.unwrap(), None);
}

/// storex-facts 1.14, case B.
pub async fn a_link_connects_two_objects(h: Harness) {
    let storage = h.open(user_admin()).await;
    create(&storage, "newsletter", json!({ "name": "first" })).await;
    let newsletter = create(&storage, "newsletter", json!({ "name": "second" })).await;
    let user = create(&storage, "user", json!({ "identifier": "joe", "isActive": true })).await;
    let link = json!({ "user": user["id"], "newsletter": newsletter["id"] });
    let subscription = create(&storage, "newsletterSubscription", link).await;
    let expected =
        json!({ "id": subscription["id"], "user": user["id"], "newsletter": newsletter["id"] });
    assert_eq!(dump(&storage, "newsletterSubscription").await, std::slice::from_ref(&expected));
    let subscriptions = storage.dynamic("newsletterSubscription").unwrap();
    for filter in [json!({ "user": user["id"] }), json!({ "newsletter": newsletter["id"] })] {
        assert_eq!(subscriptions.find(&filter).await.unwrap(), std::slice::from_ref(&expected));
    }
}

pub async fn links_are_created_within_one_of_their_ends(h: Harness) {
    let storage = h.open(user_admin()).await;
    let newsletter = create(&storage, "newsletter", json!({ "name": "first" })).await;
    let input = json!({
        "identifier": "joe",
        "isActive": true,
        "newsletterSubscriptions": [{ "newsletter": newsletter["id"] }],
    });
    let user = create(&storage, "user", input).await;
    let expected = json!({
        "id": user["newsletterSubscriptions"][0]["id"],
        "user": user["id"],
        "newsletter": newsletter["id"],
    });
    assert_eq!(dump(&storage, "newsletterSubscription").await, [expected]);
}

/// storex-facts 1.14, case C.
pub async fn a_batch_with_a_nested_create(h: Harness) {
    let storage = h.open(user_admin()).await;
    let jane = json!({
        "identifier": "jane",
        "isActive": true,
        "emails": [
            { "email": "jane@doe.com", "isVerified": true, "isPrimary": true },
            { "email": "jane@work.com", "isVerified": true, "isPrimary": false },
        ],
    });
    let joe = json!({ "identifier": "joe", "isActive": false });
    let email = json!({
        "email": "joe@doe.com",
        "isVerified": true,
        "isPrimary": true,
        "user": { "$placeholder": "joe" },
    });
    let batch = storex_core::Batch::new()
        .create_json(&storage, "user", "jane", &jane)
        .and_then(|batch| batch.create_json(&storage, "user", "joe", &joe))
        .and_then(|batch| batch.create_json(&storage, "userEmail", "joeEmail", &email))
        .unwrap();
    let outcome = storage.execute(batch).await.unwrap();
    let key = |name| outcome.key(name).unwrap().as_text().unwrap();
    let emails = storage.dynamic("userEmail").unwrap();
    let of_jane = emails.find(&json!({ "user": key("jane") })).await.unwrap();
    assert_eq!(of_jane.len(), 2);
    let of_joe = emails.find(&json!({ "user": key("joe") })).await.unwrap();
    assert_eq!(of_joe.len(), 1);
    assert_eq!(of_joe[0]["id"], json!(key("joeEmail")));
    assert_eq!(dump(&storage, "user").await.len(), 2);
}

/// storex-facts 1.14, case D.
pub async fn a_nested_create_gives_keys_at_every_level(h: Harness) {
    let storage = h.open(user_and_email(RelationDefinition::child_of("user"))).await;
    let input = json!({ "displayName": "Jane", "emails": [{ "address": "jane@doe.com" }] });
    let created = create(&storage, "user", input.clone()).await;
    assert!(created["id"].is_string() && created["emails"][0]["id"].is_string(), "{created}");
    assert_eq!(
        dump(&storage, "user").await,
        [json!({ "id": created["id"], "displayName": "Jane" })]
    );
    assert_eq!(
        dump(&storage, "email").await,
        [json!({
            "id": created["emails"][0]["id"], "address": "jane@doe.com", "user": created["id"],
        })]
    );
    // What the caller gave is as it was.
    assert_eq!(input, json!({ "displayName": "Jane", "emails": [{ "address": "jane@doe.com" }] }));
}

pub async fn many_children_keep_their_order(h: Harness) {
    let storage = h.open(user_and_email(RelationDefinition::child_of("user"))).await;
    let children: Vec<Json> = (0..20).map(|n| json!({ "address": format!("{n}@x") })).collect();
    let created = create(&storage, "user", json!({ "displayName": "J", "emails": children })).await;
    for (n, email) in created["emails"].as_array().unwrap().iter().enumerate() {
        assert_eq!(email["address"], json!(format!("{n}@x")));
        assert_eq!(email["user"], created["id"]);
    }
    assert_eq!(dump(&storage, "email").await.len(), 20);
}

pub async fn an_empty_list_of_children(h: Harness) {
    let storage = h.open(user_and_email(RelationDefinition::child_of("user"))).await;
    create(&storage, "user", json!({ "displayName": "J", "emails": [] })).await;
    assert_eq!(dump(&storage, "user").await.len(), 1);
    assert_eq!(dump(&storage, "email").await, Vec::<Json>::new());
}

/// A nested create is a batch: of a family with one wrong child nobody is created.
pub async fn a_wrong_child_leaves_no_parent(h: Harness) {
    let storage = h.open(user_admin()).await;
    let email = |address: Json| json!({ "email": address, "isVerified": true, "isPrimary": true });
    let users = storage.dynamic("user").unwrap();
    for (children, kind, word) in [
        (json!([email(json!("a")), email(json!(5))]), ErrorKind::Invalid, "`email`"),
        (json!([email(json!("a")), email(json!(null))]), ErrorKind::Invalid, "`email`"),
        // The same address twice under one user.
        (json!([email(json!("a")), email(json!("a"))]), ErrorKind::Conflict, "userEmail"),
        (json!([{ "emil": "a" }]), ErrorKind::Invalid, "`emil`"),
        (json!({ "email": "a" }), ErrorKind::Invalid, "`emails`"),
    ] {
        let input = json!({ "identifier": "joe", "isActive": true, "emails": children });
        refused(users.create(input).await, kind, &[word]);
        assert_eq!(dump(&storage, "user").await, Vec::<Json>::new());
        assert_eq!(dump(&storage, "userEmail").await, Vec::<Json>::new());
    }
}

pub async fn a_required_parent_must_be_given(h: Harness) {
    let storage = h.open(user_and_email(RelationDefinition::child_of("user"))).await;
    let emails = storage.dynamic("email").unwrap();
    let result = emails.create(json!({ "address": "a" })).await;
    refused(result, ErrorKind::Invalid, &["`email`", "`user`"]);
    let user = create(&storage, "user", json!({ "displayName": "J" })).await;
    create(&storage, "email", json!({ "address": "a", "user": user["id"] })).await;
    let result = emails.update(&json!({}), &json!({ "user": null })).await;
    refused(result, ErrorKind::Invalid, &["`email`", "`user`"]);
}

pub async fn an_optional_parent_may_be_left_out(h: Harness) {
    let storage = h.open(user_and_email(RelationDefinition::child_of("user").optional())).await;
    let email = create(&storage, "email", json!({ "address": "a" })).await;
    assert_eq!(email["user"], json!(null));
    let emails = storage.dynamic("email").unwrap();
    assert_eq!(emails.find(&json!({ "user": null })).await.unwrap(), [email]);
}

/// storex does not look whether the parent is there: entries of another device may come in another order.
pub async fn a_parent_need_not_be_there(h: Harness) {
    let storage = h.open(user_and_email(RelationDefinition::child_of("user"))).await;
    let email = create(&storage, "email", json!({ "address": "a", "user": "later" })).await;
    assert_eq!(dump(&storage, "email").await, [email]);
}

/// A child refers to its parent by a key of the parent's form, also where the parent's key is a relation in turn.
pub async fn parents_with_keys_of_every_form(h: Harness) {
    for (format, key) in [
        (KeyFormat::Int, json!(7)),
        (KeyFormat::Text, json!("seven")),
        (KeyFormat::Bytes, json!("00112233-4455-6677-8899-aabbccddeeff")),
    ] {
        let name = |what: &str| format!("{what}{format:?}");
        let profile = Definition::new(name("profile"))
            .relation(RelationDefinition::single_child_of(name("user")).alias("user"))
            .primary_key(["user"]);
        let picture = keyed_as(&name("picture"))
            .relation(RelationDefinition::child_of(name("profile")).alias("profile"));
        let storage = h
            .open(registry([Definition::new(name("user")).key_format(format), profile, picture]))
            .await;
        create(&storage, &name("user"), json!({ "id": key })).await;
        create(&storage, &name("profile"), json!({ "user": key })).await;
        let picture = create(&storage, &name("picture"), json!({ "id": 1, "profile": key })).await;
        let pictures = storage.dynamic(&name("picture")).unwrap();
        assert_eq!(pictures.find(&json!({ "profile": key })).await.unwrap(), [picture]);
        storage.close().await.unwrap();
    }
}

fn keyed_as(name: &str) -> Definition {
    Definition::new(name).field("id", FieldType::Int).primary_key(["id"])
}

/// Two relations to the same parent.
pub async fn two_parents_of_one_collection(h: Harness) {
    let message = keyed()
        .relation(RelationDefinition::child_of("user").alias("sender").reverse_alias("sent"))
        .relation(RelationDefinition::child_of("user").alias("receiver").reverse_alias("received"));
    let storage =
        h.open(registry([Definition::new("user").field("name", FieldType::String), message])).await;
    let joe = create(&storage, "user", json!({ "name": "Joe" })).await;
    let input = json!({ "name": "Jane", "sent": [{ "id": 1, "receiver": joe["id"] }] });
    let jane = create(&storage, "user", input).await;
    let expected = json!({ "id": 1, "sender": jane["id"], "receiver": joe["id"] });
    assert_eq!(dump(&storage, "object").await, [expected]);
}
