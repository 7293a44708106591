//! Unique indices.

use serde_json::json;
use storex_core::{
    Batch, Changes, Definition, Error, FieldOption, FieldType, Filter, Key, OnConflict, Step,
    Storage, Value, field,
};

use crate::Harness;
use crate::support::{OBJECT, assert_refused, keyed, matching, open_one, record, records};

async fn emails(h: &Harness, emails: &[Option<&str>]) -> Storage {
    let definition = keyed().optional("email", FieldType::String).unique(["email"]);
    let (storage, _) = open_one(h, definition).await;
    let records = emails.iter().zip(1..).map(|(email, id)| record![id, *email]).collect();
    storage.execute(Batch::new().create(OBJECT, records)).await.unwrap();
    storage
}

pub async fn a_second_object_with_the_value_is_refused(h: Harness) {
    let storage = emails(&h, &[Some("a"), Some("b")]).await;
    let before = records(&storage, OBJECT).await;
    let error =
        storage.execute(Batch::new().create(OBJECT, vec![record![9, "b"]])).await.unwrap_err();
    assert!(
        matches!(&error, Error::UniqueViolation { collection, index, values }
            if **collection == *OBJECT && index == "email" && *values == ["b".into()]),
        "{error:?}"
    );
    assert_eq!(records(&storage, OBJECT).await, before);
}

pub async fn within_one_list_too(h: Harness) {
    let storage = emails(&h, &[Some("a")]).await;
    let list = vec![record![2, "x"], record![3, "y"], record![4, "x"]];
    let result = storage.execute(Batch::new().create(OBJECT, list)).await;
    assert_refused!(result, Error::UniqueViolation { .. });
    assert_eq!(records(&storage, OBJECT).await, [record![1, "a"]]);
}

pub async fn an_update_to_the_value_is_refused(h: Harness) {
    let storage = emails(&h, &[Some("a"), Some("b"), Some("c")]).await;
    let before = records(&storage, OBJECT).await;
    let update = |filter, email: &str| {
        Batch::new().update(OBJECT, filter, Changes::new().set("email", email))
    };
    let result = storage.execute(update(Filter::key(1), "b")).await;
    assert_refused!(result, Error::UniqueViolation { .. });
    // Two objects cannot get one value.
    let result = storage.execute(update(field("id").gt(1), "z")).await;
    assert_refused!(result, Error::UniqueViolation { .. });
    assert_eq!(records(&storage, OBJECT).await, before);
}

pub async fn an_update_to_its_own_value(h: Harness) {
    let storage = emails(&h, &[Some("a"), Some("b")]).await;
    let update = Changes::new().set("email", "b");
    storage.execute(Batch::new().update(OBJECT, Filter::key(2), update)).await.unwrap();
    assert_eq!(records(&storage, OBJECT).await, [record![1, "a"], record![2, "b"]]);
}

/// Nulls are equal to nothing here.
pub async fn nulls_are_not_compared(h: Harness) {
    let storage = emails(&h, &[None, None, Some("a")]).await;
    let unset = Batch::new().update(OBJECT, Filter::All, Changes::new().unset("email"));
    storage.execute(unset).await.unwrap();
    assert_eq!(matching(&storage, field("email").is_null()).await, [1, 2, 3]);
}

pub async fn an_empty_text_is_a_value(h: Harness) {
    let storage = emails(&h, &[Some(""), None]).await;
    let result = storage.execute(Batch::new().create(OBJECT, vec![record![9, ""]])).await;
    assert_refused!(result, Error::UniqueViolation { .. });
}

pub async fn case_accents_and_spaces_make_other_values(h: Harness) {
    let texts = ["a", "A", "a ", "a\0", "é", "e\u{301}", "e"];
    let storage = emails(&h, &texts.map(Some)).await;
    for text in texts {
        let result = storage.execute(Batch::new().create(OBJECT, vec![record![99, text]])).await;
        assert_refused!(result, Error::UniqueViolation { .. });
    }
    assert_eq!(records(&storage, OBJECT).await.len(), texts.len());
}

pub async fn over_several_fields(h: Harness) {
    let definition = keyed()
        .optional("user", FieldType::Int)
        .field_with(
            "email",
            FieldType::String,
            [FieldOption::Optional, FieldOption::Column("mail address".into())],
        )
        .unique(["email", "user"]);
    let (storage, _) = open_one(&h, definition).await;
    let good = vec![
        record![1, 1, "a"],
        record![2, 1, "b"],
        record![3, 2, "a"],
        record![4, None::<i64>, "a"],
        record![5, None::<i64>, "a"],
        record![6, 1, None::<&str>],
        record![7, 1, None::<&str>],
    ];
    storage.execute(Batch::new().create(OBJECT, good.clone())).await.unwrap();
    let error =
        storage.execute(Batch::new().create(OBJECT, vec![record![9, 2, "a"]])).await.unwrap_err();
    assert!(
        matches!(&error, Error::UniqueViolation { index, .. } if index == "email, user"),
        "{error:?}"
    );
    let set = Changes::new().set("user", 1);
    let result = storage.execute(Batch::new().update(OBJECT, Filter::key(4), set)).await;
    assert_refused!(result, Error::UniqueViolation { .. });
    assert_eq!(records(&storage, OBJECT).await, good);
}

pub async fn several_indices_on_one_collection(h: Harness) {
    let definition = keyed()
        .optional("a", FieldType::Int)
        .optional("b", FieldType::Binary)
        .unique(["a"])
        .unique(["b"]);
    let (storage, _) = open_one(&h, definition).await;
    let bytes = |byte: u8| vec![byte, 0];
    let good = vec![record![1, 1, bytes(1)], record![2, 2, bytes(2)]];
    storage.execute(Batch::new().create(OBJECT, good.clone())).await.unwrap();
    for (bad, label) in [(record![3, 1, bytes(3)], "a"), (record![3, 3, bytes(2)], "b")] {
        let error = storage.execute(Batch::new().create(OBJECT, vec![bad])).await.unwrap_err();
        assert!(
            matches!(&error, Error::UniqueViolation { index, .. } if index == label),
            "{error:?}"
        );
    }
    assert_eq!(records(&storage, OBJECT).await, good);
}

/// Of every way to write, the error tells the values that are there already.
pub async fn the_values_are_told(h: Harness) {
    let definition = keyed()
        .optional("a", FieldType::Int)
        .optional("b", FieldType::String)
        .optional("n", FieldType::Int)
        .unique(["b", "a"]);
    let (storage, _) = open_one(&h, definition).await;
    let all = vec![record![1, 1, "x", 0], record![2, 2, "x", 0], record![3, 3, Value::Null, 5]];
    storage.execute(Batch::new().create(OBJECT, all)).await.unwrap();
    let key = |id: i64| Filter::key(id);
    let set = |filter: Filter, changes: Changes| Batch::new().update(OBJECT, filter, changes);
    let replace = Step::create_or(OBJECT, vec![record![3, 2, "x", 1]], OnConflict::Replace);
    let writes = [
        Batch::new().create(OBJECT, vec![record![9, 2, "x", 1]]),
        Batch::new().step(replace),
        set(key(1), Changes::new().set("a", 2)),
        set(key(1), Changes::new().increment("a", 1)),
        set(field("a").eq(1), Changes::new().set("a", 2)),
        set(field("n").eq(5), Changes::new().set("a", 2).set("b", "x")),
        set(field("n").lte(5), Changes::new().set("a", 2).set("b", "x")),
        set(field("n").eq(0), Changes::new().set("a", 2).returning()),
        set(Filter::Keys(vec![Key::single(2), Key::single(1)]), Changes::new().set("a", 2)),
    ];
    for write in writes {
        let shown = format!("{write:?}");
        let error = storage.execute(write).await.unwrap_err();
        let Error::UniqueViolation { values, .. } = &error else { panic!("{shown}: {error:?}") };
        assert_eq!(*values, ["x".into(), Value::Int(2)], "{shown}");
    }
}

pub async fn a_value_is_free_after_its_object_is_deleted(h: Harness) {
    let storage = emails(&h, &[Some("a")]).await;
    let batch = Batch::new().delete(OBJECT, Filter::key(1)).create(OBJECT, vec![record![2, "a"]]);
    storage.execute(batch).await.unwrap();
    assert_eq!(records(&storage, OBJECT).await, [record![2, "a"]]);
}

pub async fn a_value_is_free_after_its_object_has_another(h: Harness) {
    let storage = emails(&h, &[Some("a"), Some("b")]).await;
    let set = |id: i64, email: &str| Step::Update {
        collection: OBJECT.into(),
        filter: Filter::key(id),
        changes: Changes::new().set("email", email),
    };
    let swap = Batch::new().step(set(1, "tmp")).step(set(2, "a")).step(set(1, "b"));
    storage.execute(swap).await.unwrap();
    assert_eq!(records(&storage, OBJECT).await, [record![1, "b"], record![2, "a"]]);
    let result = storage.execute(Batch::new().create(OBJECT, vec![record![3, "a"]])).await;
    assert_refused!(result, Error::UniqueViolation { .. });
}

/// Replace is about the key: the object of another key keeps its value and its place.
pub async fn replace_does_not_push_out_another_object(h: Harness) {
    let storage = emails(&h, &[Some("a"), Some("b")]).await;
    for list in [vec![record![1, "b"]], vec![record![7, "c"], record![8, "b"]]] {
        let batch = Batch::new().step(Step::create_or(OBJECT, list, OnConflict::Replace));
        assert_refused!(storage.execute(batch).await, Error::UniqueViolation { .. });
        assert_eq!(records(&storage, OBJECT).await, [record![1, "a"], record![2, "b"]]);
    }
    let list = vec![record![1, "z"], record![3, "a"], record![2, "b"]];
    let batch = Batch::new().step(Step::create_or(OBJECT, list, OnConflict::Replace));
    storage.execute(batch).await.unwrap();
    let expected = [record![1, "z"], record![2, "b"], record![3, "a"]];
    assert_eq!(records(&storage, OBJECT).await, expected);
}

/// Skip is about the key: a value that another object has is an error, not a reason to leave the object out.
pub async fn skip_does_not_hide_a_violation(h: Harness) {
    let storage = emails(&h, &[Some("a"), Some("b")]).await;
    let list = vec![record![5, "e"], record![6, "b"]];
    let batch = Batch::new().step(Step::create_or(OBJECT, list, OnConflict::Skip));
    assert_refused!(storage.execute(batch).await, Error::UniqueViolation { .. });
    assert_eq!(records(&storage, OBJECT).await.len(), 2);
    // The one with the key is left out before anything is compared.
    let list = vec![record![1, "b"], record![5, "e"]];
    let batch = Batch::new().step(Step::create_or(OBJECT, list, OnConflict::Skip));
    storage.execute(batch).await.unwrap();
    assert_eq!(
        records(&storage, OBJECT).await,
        [record![1, "a"], record![2, "b"], record![5, "e"]]
    );
}

/// The primary key's fields may be part of another unique index.
pub async fn over_a_part_of_the_key(h: Harness) {
    let definition = Definition::new(OBJECT)
        .field("a", FieldType::Int)
        .field("b", FieldType::Int)
        .primary_key(["a", "b"])
        .unique(["b"]);
    let (storage, objects) = open_one(&h, definition).await;
    objects.create(json!({ "a": 1, "b": 1 })).await.unwrap();
    assert_refused!(objects.create(json!({ "a": 2, "b": 1 })).await, Error::UniqueViolation { .. });
    objects.create(json!({ "a": 1, "b": 2 })).await.unwrap();
    let keys = [Key::compound([1.into(), 1.into()]), Key::compound([1.into(), 2.into()])];
    let found = storage
        .find(storex_core::Query::new(OBJECT).filter(Filter::Keys(keys.to_vec())))
        .await
        .unwrap();
    assert_eq!(found, [record![1, 1], record![1, 2]]);
}
