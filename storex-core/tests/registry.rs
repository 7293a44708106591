//! Definitions, versions, and what is refused of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use storex_core::{
    Affinity, Definition, Error, ErrorKind, FieldDefault, FieldOption, FieldType, KeyFormat,
    Registry, RelationDefinition, RelationKind, SchemaVersion, Timestamp, Value,
};

fn build(definitions: impl IntoIterator<Item = Definition>) -> Result<Registry, Error> {
    Registry::builder().collections(definitions).build()
}

/// The fixture of storex-facts 1.15: foo and bar, each first with spam, then with spam and eggs.
fn versions() -> [Definition; 4] {
    let spam = |name: &str, version| {
        Definition::new(name).version(version).field("spam", FieldType::String)
    };
    [
        spam("foo", 20_190_201),
        spam("foo", 20_190_202).field("eggs", FieldType::String),
        spam("bar", 20_190_201),
        spam("bar", 20_190_202).field("eggs", FieldType::String),
    ]
}

fn field_names(definition: &Definition) -> Vec<String> {
    let registry = build([definition.clone()]).unwrap();
    let collection = &registry.collections()[0];
    collection.fields().iter().map(|field| field.name.to_string()).collect()
}

/// storex-facts 1.15, case 1.
#[test]
fn the_newest_definition_is_current_whatever_the_order() {
    let reversed = versions().into_iter().rev();
    for definitions in [versions().to_vec(), reversed.collect()] {
        let registry = build(definitions).unwrap();
        assert_eq!(registry.version(), SchemaVersion(20_190_202));
        assert_eq!(registry.collections().len(), 2);
        for name in ["foo", "bar"] {
            let collection = registry.collection(name).unwrap();
            assert_eq!(collection.version(), SchemaVersion(20_190_202));
            assert!(collection.position("eggs").is_some(), "{name}");
        }
    }
}

/// storex-facts 1.15, case 2.
#[test]
fn the_collections_of_each_version() {
    let registry = build(versions()).unwrap();
    for (version, fields) in [
        (20_190_201, vec!["id", "spam"]),
        (20_190_202, vec!["id", "spam", "eggs"]),
        (20_200_101, vec!["id", "spam", "eggs"]),
    ] {
        let current = registry.at_version(SchemaVersion(version));
        assert_eq!(current.keys().map(|name| &**name).collect::<Vec<_>>(), ["bar", "foo"]);
        for definition in current.values() {
            assert_eq!(field_names(definition), fields, "at {version}");
        }
    }
    assert!(registry.at_version(SchemaVersion(20_190_131)).is_empty());
}

/// storex-facts 1.15, case 3.
#[test]
fn the_history_of_the_schema() {
    let mut definitions = versions().to_vec();
    definitions.push(Definition::new("late").version(20_190_203));
    let registry = build(definitions).unwrap();
    let history: Vec<(u64, Vec<&str>)> = registry
        .history()
        .map(|(version, changed)| (version.0, changed.keys().map(|name| &**name).collect()))
        .collect();
    assert_eq!(
        history,
        [
            (20_190_201, vec!["bar", "foo"]),
            (20_190_202, vec!["bar", "foo"]),
            (20_190_203, vec!["late"]),
        ]
    );
    let first = registry.at_version(SchemaVersion(20_190_201));
    assert!(!first.contains_key("late"), "a collection that is not there yet");
}

#[test]
fn a_key_is_added_in_front() {
    let registry = build([Definition::new("a").field("x", FieldType::Int)]).unwrap();
    let collection = registry.collection("a").unwrap();
    assert_eq!(&*collection.fields()[0].name, "id");
    assert_eq!(collection.fields()[0].field_type, FieldType::AutoPk(KeyFormat::Text));
    assert_eq!(collection.primary_key(), [0]);
    let named = Definition::new("a").field("x", FieldType::Int).primary_key(["key"]);
    let registry = build([named]).unwrap();
    assert_eq!(&*registry.collections()[0].fields()[0].name, "key");
}

#[test]
fn a_compound_key_in_its_own_order() {
    let definition = Definition::new("a")
        .field("x", FieldType::Int)
        .field("y", FieldType::String)
        .field("z", FieldType::Int)
        .primary_key(["z", "x"]);
    let registry = build([definition]).unwrap();
    assert_eq!(registry.collections()[0].primary_key(), [2, 0]);
    assert!(registry.collections()[0].is_key(2) && !registry.collections()[0].is_key(1));
}

#[test]
fn relations_are_known_at_both_ends() {
    let registry = build([
        Definition::new("email").relation(RelationDefinition::child_of("user").optional()),
        Definition::new("user").key_format(KeyFormat::Int),
        Definition::new("picture").relation(
            RelationDefinition::single_child_of("user").alias("owner").column("owner_id"),
        ),
        Definition::new("letter").field("name", FieldType::String),
        Definition::new("subscription").connects("user", "letter"),
    ])
    .unwrap();
    let email = registry.collection("email").unwrap();
    let user_field = &email.fields()[email.position("user").unwrap()];
    assert_eq!(user_field.field_type, FieldType::ForeignKey(KeyFormat::Int));
    assert!(user_field.nullable);
    let picture = registry.collection("picture").unwrap();
    let owner = &picture.fields()[picture.position("owner").unwrap()];
    assert_eq!((&*owner.column, owner.nullable), ("owner_id", false));
    let of_user: Vec<(&str, &str, RelationKind)> = registry
        .collection("user")
        .unwrap()
        .children()
        .iter()
        .map(|relation| (&*relation.child, &*relation.reverse_alias, relation.kind))
        .collect();
    assert_eq!(
        of_user,
        [
            ("email", "emails", RelationKind::ChildOf),
            ("picture", "picture", RelationKind::SingleChildOf),
            ("subscription", "subscriptions", RelationKind::Connects),
        ]
    );
}

/// A bad definition is refused with its collection, and its field where one is at fault.
#[test]
fn bad_definitions_are_refused_by_name() {
    let a = || Definition::new("a");
    let text = |name: &str| a().field(name, FieldType::String);
    let with = |option: FieldOption| a().field_with("x", FieldType::Int, [option]);
    let user = || Definition::new("user");
    let pair = Definition::new("pair")
        .field("x", FieldType::Int)
        .field("y", FieldType::Int)
        .primary_key(["x", "y"]);
    let cases: Vec<(Vec<Definition>, Option<&str>, &str)> = vec![
        (vec![Definition::new("")], None, "empty name"),
        (vec![text("")], Some(""), "not empty"),
        (vec![text("$x")], Some("$x"), "begin with `$`"),
        (vec![text("x").field("x", FieldType::Int)], Some("x"), "twice"),
        (vec![text("x").field("X", FieldType::Int)], Some("X"), "column"),
        (
            vec![text("x").field_with("y", FieldType::Int, [FieldOption::Column("x".into())])],
            Some("y"),
            "column `x`",
        ),
        (vec![with(FieldOption::Column("".into()))], Some("x"), "empty name"),
        (vec![text("x").index(["y"])], Some("y"), "index"),
        (vec![text("x").unique(["x", "y"])], Some("y"), "index"),
        (vec![text("x").index(Vec::<&str>::new())], None, "without fields"),
        (vec![text("x").primary_key(["x", "y"])], Some("y"), "primary key"),
        (vec![text("x").primary_key(["x", "x"])], Some("x"), "twice"),
        (vec![a().optional("x", FieldType::Int).primary_key(["x"])], Some("x"), "optional"),
        (vec![a().field("x", FieldType::Json).primary_key(["x"])], Some("x"), "JSON"),
        (vec![a().relation(RelationDefinition::child_of("user"))], Some("user"), "not there"),
        (
            vec![
                user(),
                a().field("user", FieldType::Int).relation(RelationDefinition::child_of("user")),
            ],
            Some("user"),
            "twice",
        ),
        (
            vec![user(), a().relation(RelationDefinition::child_of("user").alias("$user"))],
            Some("$user"),
            "begin with `$`",
        ),
        (
            vec![pair, a().relation(RelationDefinition::child_of("pair"))],
            Some("pair"),
            "several fields",
        ),
        (
            vec![
                user().field("as", FieldType::Int),
                a().relation(RelationDefinition::child_of("user")),
            ],
            Some("user"),
            "reverse alias",
        ),
        (vec![user(), a().connects("user", "user")], Some("user"), "twice"),
        (vec![text("x"), text("y")], None, "same version"),
        (vec![a(), Definition::new("A")], None, "table `A`"),
        (vec![Definition::new("_storex_mine")], None, "kept for storex"),
        (vec![a().reserved()], None, "kept for storex"),
        (vec![with(FieldOption::Default("text".into()))], Some("x"), "default"),
        (vec![with(FieldOption::Default(Value::Null))], Some("x"), "default is null"),
        (vec![with(FieldOption::DefaultNow)], Some("x"), "default is a time"),
        (
            vec![a().field_with("x", FieldType::Float, [FieldOption::Default(f64::NAN.into())])],
            Some("x"),
            "NaN",
        ),
    ];
    for (definitions, at, words) in cases {
        let name = definitions.last().unwrap().name().clone();
        let error = build(definitions).expect_err(words);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let Error::Definition { collection, field, reason } = &error else { panic!("{error:?}") };
        assert_eq!(*collection, name, "{error}");
        assert_eq!(field.as_deref(), at, "{error}");
        assert!(reason.contains(words), "`{words}` is not said: {error}");
        assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
    }
}

#[test]
fn defaults_are_brought_to_their_stored_form() {
    let definition = Definition::new("a")
        .field_with("f", FieldType::Float, [FieldOption::Default(3.into())])
        .field_with("n", FieldType::Dynamic(Affinity::Integer), [FieldOption::Default("7".into())])
        .field_with("at", FieldType::Timestamp, [FieldOption::DefaultNow])
        .field_with("text", FieldType::String, [FieldOption::DefaultNow]);
    let registry = build([definition]).unwrap();
    let collection = &registry.collections()[0];
    assert_eq!(collection.fields()[1].default, Some(FieldDefault::Value(Value::Float(3.0))));
    let now = Timestamp(1_763_640_000_000);
    let record = collection.blank_record(now);
    assert_eq!(
        record.values(),
        [Value::Null, 3.0.into(), 7.into(), now.into(), "2025-11-20 12:00:00".into()]
    );
}

/// The fingerprint tells schemas apart that cannot exchange objects, and no others.
#[test]
fn fingerprints() {
    let base = || Definition::new("a").field("x", FieldType::Int).optional("y", FieldType::String);
    let of = |definitions: Vec<Definition>| build(definitions).unwrap().fingerprint();
    let other = || Definition::new("other");
    let same = of(vec![base(), other()]);
    for definitions in [
        vec![other(), base()],
        vec![
            Definition::new("a").optional("y", FieldType::String).field("x", FieldType::Int),
            other(),
        ],
        vec![base().index(["x"]), other()],
        vec![base(), other(), Definition::new("_storex_log").reserved()],
        vec![base().version(7), other()],
    ] {
        assert_eq!(of(definitions.clone()), same, "{definitions:?}");
    }
    for definitions in [
        vec![base()],
        vec![base().optional("z", FieldType::Int), other()],
        vec![
            Definition::new("b").field("x", FieldType::Int).optional("y", FieldType::String),
            other(),
        ],
        vec![
            Definition::new("a").field("x", FieldType::Float).optional("y", FieldType::String),
            other(),
        ],
        vec![
            Definition::new("a").optional("x", FieldType::Int).optional("y", FieldType::String),
            other(),
        ],
        vec![base().key_format(KeyFormat::Int), other()],
        vec![base().primary_key(["x"]), other()],
    ] {
        assert_ne!(of(definitions.clone()), same, "{definitions:?}");
    }
}

/// A name of one field cannot be read as the end of another and the beginning of a third.
#[test]
fn fingerprints_keep_names_apart() {
    let of = |names: [&str; 2]| {
        let definition =
            Definition::new("a").field(names[0], FieldType::Int).field(names[1], FieldType::Int);
        build([definition]).unwrap().fingerprint()
    };
    assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
}

#[test]
fn a_registry_grows_by_more_collections() {
    let first = build([Definition::new("a")]).unwrap();
    let more =
        first.with([Definition::new("b").relation(RelationDefinition::child_of("a"))], []).unwrap();
    assert_eq!(more.collections().len(), 2);
    assert_eq!(first.collections().len(), 1);
    assert!(first.with([Definition::new("a")], []).is_err(), "the same collection twice");
    assert!(matches!(first.collection("b"), Err(Error::UnknownCollection { .. })));
}

/// A bound that no value could be held against is a mistake that would never be noticed.
#[test]
fn checks_whose_bounds_are_of_another_kind_are_refused() {
    use storex_core::{Check, FieldOption};
    let built = |field_type: FieldType, check: Check| {
        let checked = [FieldOption::Optional, FieldOption::Check(check)];
        let definition = Definition::new("thing").field_with("f", field_type, checked);
        Registry::builder().collection(definition).build()
    };
    let wrong = [
        (FieldType::Int, Check::MinLength(1)),
        (FieldType::Float, Check::MaxLength(1)),
        (FieldType::Boolean, Check::MinLength(1)),
        (FieldType::Timestamp, Check::MaxLength(1)),
        (FieldType::Int, Check::Min("a".into())),
        (FieldType::Int, Check::Max(1.5.into())),
        (FieldType::String, Check::Max(1.into())),
        (FieldType::Timestamp, Check::Min("2026-01-01".into())),
        (FieldType::Int, Check::Min(Value::Null)),
        (FieldType::String, Check::OneOf(vec!["a".into(), 1.into()])),
    ];
    for (field_type, check) in wrong {
        let shown = format!("{field_type:?} {check:?}");
        let error = built(field_type, check).expect_err(&shown);
        assert!(
            matches!(&error, Error::Definition { collection, field: Some(field), .. }
                if &**collection == "thing" && &**field == "f"),
            "{shown}: {error}"
        );
    }
    let right = [
        (FieldType::Json, Check::MaxLength(1)),
        (FieldType::Binary, Check::MinLength(1)),
        (FieldType::Float, Check::Min(1.into())),
        (FieldType::Timestamp, Check::Min(5.into())),
        (FieldType::Boolean, Check::OneOf(vec![true.into()])),
        (FieldType::Int, Check::custom("odd", |_| true)),
    ];
    for (field_type, check) in right {
        built(field_type, check).unwrap();
    }
}
