//! Random histories of schemas, in which names are given up and taken again. A database of any version is opened as any
//! later one, and holds what it would hold had it been opened as every version in between.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};
use storex_core::{Definition, FieldOption, FieldType, Migration, Properties, Registry, Value};

use crate::Harness;
use crate::runtime::split_mix;
use crate::support::dump;

const VERSIONS: u64 = 7;
const COLLECTIONS: [&str; 5] = ["a", "b", "c", "d", "e"];
const FIELDS: [&str; 5] = ["p", "q", "r", "s", "t"];

pub async fn any_version_opens_as_any_later_one(h: Harness) {
    let persistent = h.backend().capabilities().persistent;
    for seed in 1..=crate::scripts::count() * 3 / 100 {
        let mut dice = Dice(seed);
        let history = History::random(seed, &mut dice);
        let mut at = dice.below(VERSIONS - 1);
        let storage = h.open(history.registry(at)).await;
        let mut model = history.objects(at, &mut dice);
        for (collection, objects) in &model {
            let objects: Vec<Json> = objects.iter().map(|it| Json::Object(it.clone())).collect();
            storage.dynamic(collection).unwrap().create_many(&objects).await.unwrap();
        }
        storage.close().await.unwrap();
        while at < VERSIONS - 1 {
            let to = at + 1 + dice.below(VERSIONS - 1 - at);
            let opened = h.try_open(history.registry(to), vec![]).await;
            let storage = opened.unwrap_or_else(|error| {
                panic!("seed {seed}, from {at} to {to}: {error}\n{history:#?}")
            });
            (at + 1..=to).for_each(|version| history.steps[version as usize].take(&mut model));
            for (collection, objects) in &model {
                let expected: Vec<Json> =
                    objects.iter().filter(|_| persistent).cloned().map(Json::Object).collect();
                let found = dump(&storage, collection).await;
                assert_eq!(
                    found, expected,
                    "seed {seed}, from {at} to {to}, {collection}\n{history:#?}"
                );
            }
            storage.close().await.unwrap();
            at = to;
        }
    }
}

pub async fn a_name_that_was_given_up_is_taken_again(h: Harness) {
    let keyed = |name: &str| Definition::new(name).field("id", FieldType::Int).primary_key(["id"]);
    let note = || keyed("note").field("text", FieldType::String).index(["text"]);
    let old = note().field("mark", FieldType::Int);
    let storage = h.open(Registry::builder().collection(old.clone()).build().unwrap()).await;
    let object = json!({ "id": 1, "text": "old", "mark": 5 });
    storage.dynamic("note").unwrap().create(object).await.unwrap();
    storage.close().await.unwrap();
    // `note` becomes `memo`, and its `mark` becomes `stars`; at once both names are taken again.
    let memo = keyed("memo").version(2).field("text", FieldType::String).index(["text"]);
    let memo = memo.field("stars", FieldType::Int).optional("mark", FieldType::String);
    let other = Definition::new("note").version(2).field("id", FieldType::String);
    let other = other.primary_key(["id"]).field("text", FieldType::Float).index(["text"]);
    let moved = Migration::new("memo", 2).renamed_from("note").rename_field("mark", "stars");
    let registry = || {
        let all = Registry::builder().collections([old.clone(), memo.clone(), other.clone()]);
        all.migration(moved.clone()).build().unwrap()
    };
    for _ in 0..2 {
        let storage = h.open(registry()).await;
        let expected = json!({ "id": 1, "text": "old", "stars": 5, "mark": null });
        let expected: Vec<Json> =
            Some(expected).into_iter().filter(|_| h.backend().capabilities().persistent).collect();
        assert_eq!(dump(&storage, "memo").await, expected);
        assert_eq!(dump(&storage, "note").await, Vec::<Json>::new());
        let note = storage.dynamic("note").unwrap();
        note.create(json!({ "id": "k", "text": 1.5 })).await.unwrap();
        note.delete(&json!({ "id": "k" })).await.unwrap();
        storage.close().await.unwrap();
    }
}

type Object = serde_json::Map<String, Json>;
type Model = BTreeMap<String, Vec<Object>>;

struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        split_mix(&mut self.0) % sides.max(1)
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }

    /// One of the names that are not taken; there are always more names than things.
    fn free(&mut self, names: &[String], taken: &BTreeSet<String>) -> String {
        let free: Vec<&String> = names.iter().filter(|name| !taken.contains(*name)).collect();
        free[self.below(free.len() as u64) as usize].clone()
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Field {
    text: bool,
    nullable: bool,
    default: Option<Json>,
}

type Fields = BTreeMap<String, Field>;

/// What a version changes.
#[derive(Debug, Default)]
struct Step {
    version: u64,
    removed: Vec<String>,
    /// By the new name.
    changed: BTreeMap<String, Change>,
    /// All collections afterwards.
    all: BTreeMap<String, Fields>,
}

#[derive(Debug, Default)]
struct Change {
    /// The name before; `None`: it is new.
    was: Option<String>,
    renamed: Vec<(String, String)>,
    removed: Vec<String>,
    has_function: bool,
    fields: Fields,
}

#[derive(Debug)]
struct History {
    steps: Vec<Step>,
}

impl History {
    fn random(seed: u64, dice: &mut Dice) -> Self {
        // Each has names and versions of its own, so that all can be in one database.
        let names: Vec<String> = COLLECTIONS.iter().map(|name| format!("{name}{seed}")).collect();
        let mut steps: Vec<Step> = Vec::new();
        for n in 0..VERSIONS {
            let before = steps.last().map(|step| step.all.clone()).unwrap_or_default();
            steps.push(Step::random(seed * 100 + n, &before, &names, dice));
        }
        Self { steps }
    }

    fn registry(&self, upto: u64) -> Registry {
        let mut builder = Registry::builder();
        for step in &self.steps[..=upto as usize] {
            for (name, change) in &step.changed {
                builder = builder.collection(change.definition(name, step.version));
                builder = builder.migrations(change.migration(name, step.version));
            }
            let removed = step.removed.iter();
            builder = builder
                .migrations(removed.map(|name| Migration::remove(name.as_str(), step.version)));
        }
        builder.build().unwrap_or_else(|error| panic!("{error}\n{self:#?}"))
    }

    fn objects(&self, at: u64, dice: &mut Dice) -> Model {
        let of = |(name, fields): (&String, &Fields)| {
            let object = |id: u64| {
                let mut object = Object::new();
                object.insert("id".to_owned(), json!(id));
                for (field, spec) in fields {
                    let value = if spec.nullable && id == 2 {
                        Json::Null
                    } else if spec.text {
                        json!(format!("{name}.{field}.{id}.{}", dice.below(9)))
                    } else {
                        json!(dice.below(1_000_000))
                    };
                    object.insert(field.clone(), value);
                }
                object
            };
            (name.clone(), (1..=3).map(object).collect())
        };
        let mut model = Model::new();
        let mut of = of;
        for collection in &self.steps[at as usize].all {
            let (name, objects) = of(collection);
            model.insert(name, objects);
        }
        model
    }
}

impl Step {
    fn random(
        version: u64,
        before: &BTreeMap<String, Fields>,
        names: &[String],
        dice: &mut Dice,
    ) -> Self {
        let mut step = Self { version, ..Self::default() };
        let mut movers = Vec::new();
        for (name, fields) in before {
            match dice.below(6) {
                0 => step.removed.push(name.clone()),
                1 | 2 => movers.push(name),
                _ => {
                    if dice.one_in(2) {
                        let change = Change::random(version, Some(name), fields, dice);
                        step.all.insert(name.clone(), change.fields.clone());
                        step.changed.insert(name.clone(), change);
                    } else {
                        step.all.insert(name.clone(), fields.clone());
                    }
                }
            }
        }
        for name in movers {
            let mut taken: BTreeSet<String> =
                step.all.keys().chain(&step.removed).cloned().collect();
            taken.insert(name.clone());
            let change = Change::random(version, Some(name), &before[name], dice);
            step.add(dice.free(names, &taken), change);
        }
        if step.all.len() < 3 {
            let taken = step.all.keys().chain(&step.removed).cloned().collect();
            let change = Change::random(version, None, &Fields::new(), dice);
            step.add(dice.free(names, &taken), change);
        }
        step
    }

    fn add(&mut self, name: String, change: Change) {
        self.all.insert(name.clone(), change.fields.clone());
        self.changed.insert(name, change);
    }

    /// What the version makes of the objects.
    fn take(&self, model: &mut Model) {
        let mut before = std::mem::take(model);
        before.retain(|name, _| !self.removed.contains(name));
        let given_up: Vec<(String, Option<Vec<Object>>)> = self
            .changed
            .iter()
            .map(|(name, change)| {
                (name.clone(), change.was.as_ref().and_then(|was| before.remove(was)))
            })
            .collect();
        *model = before;
        for (name, objects) in given_up {
            let mut objects = objects.unwrap_or_default();
            objects.iter_mut().for_each(|object| self.changed[&name].take(object));
            model.insert(name, objects);
        }
    }
}

impl Change {
    fn random(version: u64, was: Option<&String>, before: &Fields, dice: &mut Dice) -> Self {
        let names: Vec<String> = FIELDS.map(str::to_owned).to_vec();
        let mut change =
            Self { was: was.cloned(), has_function: dice.one_in(4), ..Self::default() };
        let mut movers = Vec::new();
        for (name, field) in before {
            match dice.below(6) {
                0 => change.removed.push(name.clone()),
                1 | 2 => movers.push(name),
                _ => drop(change.fields.insert(name.clone(), field.altered(version, dice))),
            }
        }
        for name in movers {
            let mut taken: BTreeSet<String> =
                change.fields.keys().chain(&change.removed).cloned().collect();
            taken.insert(name.clone());
            let to = dice.free(&names, &taken);
            change.fields.insert(to.clone(), before[name].altered(version, dice));
            change.renamed.push((name.clone(), to));
        }
        while change.fields.len() < 3 && (change.fields.is_empty() || dice.one_in(2)) {
            let taken = change.fields.keys().chain(&change.removed).cloned().collect();
            let name = dice.free(&names, &taken);
            let field = Field { text: dice.one_in(2), nullable: true, default: None };
            change.fields.insert(name, field.altered(version, dice));
        }
        change
    }

    fn definition(&self, name: &str, version: u64) -> Definition {
        let mut definition = Definition::new(name).version(version).primary_key(["id"]);
        definition = definition.field("id", FieldType::Int);
        for (name, field) in &self.fields {
            let optional = field.nullable.then_some(FieldOption::Optional);
            let default = field.default.as_ref().map(|it| FieldOption::Default(value(it)));
            let kind = if field.text { FieldType::String } else { FieldType::Int };
            definition =
                definition.field_with(name.as_str(), kind, optional.into_iter().chain(default));
        }
        let indexed = self.fields.keys().next().expect("each has a field");
        definition.index([indexed.as_str()])
    }

    fn migration(&self, name: &str, version: u64) -> Option<Migration> {
        let was = self.was.as_deref()?;
        let mut migration = Migration::new(name, version);
        if was != name {
            migration = migration.renamed_from(was);
        }
        for (from, to) in &self.renamed {
            migration = migration.rename_field(from.as_str(), to.as_str());
        }
        for field in &self.removed {
            migration = migration.remove_field(field.as_str());
        }
        let function = |object: &mut Properties| {
            for (name, value) in object.iter_mut().filter(|(name, _)| *name != "id") {
                *value = match &*value {
                    Value::Int(int) => Value::Int(int * 2 + 1),
                    Value::Text(text) => Value::from(format!("{text}{name}")),
                    other => other.clone(),
                };
            }
            Ok(())
        };
        Some(if self.has_function { migration.change(function) } else { migration })
    }

    fn take(&self, object: &mut Object) {
        let renamed: Vec<_> =
            self.renamed.iter().map(|(from, to)| (to.clone(), object.remove(from))).collect();
        object.extend(renamed.into_iter().filter_map(|(to, value)| Some((to, value?))));
        for (name, value) in
            object.iter_mut().filter(|(name, _)| self.has_function && *name != "id")
        {
            *value = match &*value {
                Json::Number(number) => json!(number.as_i64().unwrap() * 2 + 1),
                Json::String(text) => json!(format!("{text}{name}")),
                other => other.clone(),
            };
        }
        self.removed.iter().for_each(|name| drop(object.remove(name)));
        for (name, field) in &self.fields {
            let default = || field.default.clone().unwrap_or_default();
            let value = object.entry(name.clone()).or_insert_with(default);
            if value.is_null() && !field.nullable {
                *value = default();
            }
        }
    }
}

impl Field {
    fn altered(&self, version: u64, dice: &mut Dice) -> Self {
        let default = || if self.text { json!(format!("v{version}")) } else { json!(version) };
        match dice.below(4) {
            0 => Self { nullable: false, default: Some(default()), ..self.clone() },
            1 => Self { nullable: true, default: Some(default()), ..self.clone() },
            2 => Self { nullable: true, default: None, ..self.clone() },
            _ => self.clone(),
        }
    }
}

fn value(json: &Json) -> Value {
    match json {
        Json::String(text) => text.as_str().into(),
        other => other.as_i64().into(),
    }
}
