//! Migrations that are refused when the registry is built, and plans.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use storex_core::{
    Definition, Error, FieldOption, FieldType, Migration, PlanStep, Record, Registry,
    SchemaVersion, StoredSchema, Value, plan,
};

fn note(version: u64) -> Definition {
    Definition::new("note").version(version).field("title", FieldType::String)
}

fn built(
    definitions: impl IntoIterator<Item = Definition>,
    migrations: impl IntoIterator<Item = Migration>,
) -> storex_core::Result<Registry> {
    Registry::builder().collections(definitions).migrations(migrations).build()
}

#[track_caller]
fn refused(
    definitions: impl IntoIterator<Item = Definition>,
    migrations: impl IntoIterator<Item = Migration>,
    words: &str,
) {
    let error = built(definitions, migrations).unwrap_err();
    assert!(matches!(error, Error::Definition { .. }), "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn migrations_that_cannot_be_meant_are_refused() {
    let to = |version| Migration::new("note", version);
    let headline = || Definition::new("note").version(2).field("headline", FieldType::String);
    refused([note(1)], [to(2)], "no definition of the collection with this version");
    refused([note(1), note(2)], [to(2), to(2)], "is there twice");
    refused([note(1), headline()], [to(2).rename_field("titel", "headline")], "`titel`");
    refused([note(1), headline()], [to(2).rename_field("title", "headlines")], "`headlines`");
    refused([note(1), note(2)], [to(2).remove_field("title")], "`title`");
    refused([note(1), note(2)], [to(2).remove_field("body")], "`body`");
    refused([note(1), note(2)], [to(2).renamed_from("note")], "the name that it has");
    refused([note(2)], [to(2).renamed_from("_storex_note")], "_storex_");
    refused([note(2)], [Migration::remove("note", 2)], "a definition has this version");
    let two = note(2).field("other", FieldType::String);
    let both = to(2).rename_field("title", "other");
    refused([note(1), two.clone()], [both.clone().rename_field("title", "title")], "`title`");
    refused([note(1).field("other", FieldType::String), two], [both], "`other`");
    let adopted = Definition::new("note").version(2).adopted("note").field("x", FieldType::Int);
    refused([adopted], [to(2).change(|_| Ok(()))], "adopted");
}

#[test]
fn what_was_renamed_or_removed_is_no_collection_any_more() {
    let memo = Definition::new("memo").version(2).field("title", FieldType::String);
    let renamed = Migration::new("memo", 2).renamed_from("note");
    let registry = built([note(1), memo], [renamed]).unwrap();
    assert!(registry.find("note").is_none() && registry.find("memo").is_some());
    let registry = built([note(1)], [Migration::remove("note", 7)]).unwrap();
    assert!(registry.find("note").is_none());
    assert_eq!(registry.version(), SchemaVersion(7));
}

#[test]
fn reserved_collections_do_not_count_for_the_applications_version() {
    let log = Definition::new("_storex_log").reserved().version(9).field("x", FieldType::Int);
    let log_migration = Migration::new("_storex_log", 9).change(|_| Ok(()));
    assert_eq!(built([note(2), log], [log_migration]).unwrap().version(), SchemaVersion(2));
}

#[test]
fn a_plan_from_a_schema_to_itself_is_empty() {
    let registry = built([note(3).index(["title"])], []).unwrap();
    let plan = plan(&StoredSchema::of(&registry), &registry).unwrap();
    assert!(plan.is_empty());
    assert_eq!(plan.to_string(), "nothing to do, the schema has version 3\n");
    assert_eq!(plan.target, plan.stored);
}

/// A collection goes through all its names, with the migrations of each.
#[test]
fn a_plan_goes_over_several_versions_and_names() {
    let second = Definition::new("memo").version(2).field("headline", FieldType::String);
    let third = Definition::new("paper").version(3).field("head", FieldType::String);
    let migrations = [
        Migration::new("paper", 3).renamed_from("memo").rename_field("headline", "head"),
        Migration::new("memo", 2).renamed_from("note").rename_field("title", "headline"),
    ];
    let old = StoredSchema::of(&built([note(1)], []).unwrap());
    let new = built([note(1), second, third], migrations).unwrap();
    let plan = plan(&old, &new).unwrap();
    assert_eq!(
        plan.steps[1..],
        [
            PlanStep::RenameCollection { from: "note".into(), to: "paper".into() },
            PlanStep::RenameField {
                collection: "paper".into(),
                from: "title".into(),
                to: "head".into()
            }
        ]
    );
    let transform = plan.collections[0].transform().unwrap().unwrap();
    let record = Record::new(vec!["k".into(), "x".into()]);
    assert_eq!(transform.record(record.clone()).unwrap(), record);
}

#[test]
fn two_fields_change_names() {
    let pair = |version| {
        let pair = Definition::new("pair").version(version);
        pair.field("a", FieldType::Int).field("b", FieldType::Int)
    };
    let swapped = Migration::new("pair", 2).rename_field("a", "b").rename_field("b", "a");
    let old = StoredSchema::of(&built([pair(1)], []).unwrap());
    let plan = plan(&old, &built([pair(2)], [swapped]).unwrap()).unwrap();
    let transform = plan.collections[0].transform().unwrap().unwrap();
    let position = |name| transform.old().position(name).unwrap();
    let mut record = Record::nulls(3);
    for (name, value) in [("id", "k".into()), ("a", 1.into()), ("b", Value::from(2))] {
        record.set(position(name), value);
    }
    let expected = Record::new(vec!["k".into(), 2.into(), 1.into()]);
    assert_eq!(transform.record(record).unwrap(), expected);
}

#[test]
fn a_function_that_panics_is_an_error_with_the_objects_key() {
    let panics = Migration::new("note", 2).change(|_| panic!("no way"));
    let old = StoredSchema::of(&built([note(1)], []).unwrap());
    let plan = plan(&old, &built([note(2)], [panics]).unwrap()).unwrap();
    let transform = plan.collections[0].transform().unwrap().unwrap();
    let error = transform.record(Record::new(vec!["the key".into(), "x".into()])).unwrap_err();
    assert!(
        error.to_string().contains("the key") && error.to_string().contains("no way"),
        "{error}"
    );
}

/// The same column under another name is the same field, without a migration.
#[test]
fn a_field_is_known_by_its_column() {
    let other = [FieldOption::Column("title".into())];
    let other = Definition::new("note").field_with("headline", FieldType::String, other);
    let old = StoredSchema::of(&built([note(1)], []).unwrap());
    let plan = plan(&old, &built([other], []).unwrap()).unwrap();
    assert!(plan.collections[0].keeps_shape());
    let transform = plan.collections[0].transform().unwrap().unwrap();
    let record = Record::new(vec!["k".into(), Value::from("x")]);
    assert_eq!(transform.record(record.clone()).unwrap(), record);
}

#[test]
fn a_description_comes_back_from_its_text() {
    let registry =
        built([note(3).optional("x", FieldType::Json).multi_entry("x").unique(["title"])], []);
    let schema = StoredSchema::of(&registry.unwrap());
    let text = schema.to_text();
    assert_eq!(StoredSchema::from_text(&text).unwrap(), schema);
    for end in 0..text.len() {
        assert!(StoredSchema::from_text(&text[..end]).is_err(), "{end}");
    }
    let newer = text.replacen("\"format\":1", "\"format\":2", 1);
    let error = StoredSchema::from_text(&newer).unwrap_err();
    assert!(matches!(error, Error::NewerSchema { stored: 2, known: 1, .. }), "{error}");
}
