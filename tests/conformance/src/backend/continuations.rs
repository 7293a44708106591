//! Continuations and preconditions: read, decide, write, in one transaction.

use std::sync::{Arc, Mutex};

use serde_json::json;
use storex_core::{
    Batch, Changes, Definition, Direction, Error, ErrorKind, FieldType, Filter, Key, KeyFormat,
    Name, OnConflict, Query, Registry, Step, StepOutcome, Value, field,
};

use crate::Harness;
use crate::support::{
    OBJECT, assert_objects, assert_refused, ids, numbers, record, records, refused, step,
};

fn all() -> Query {
    Query::new(OBJECT).order_by("id", Direction::Ascending)
}

/// A continuation sees what each step before it did.
pub async fn sees_what_was_done(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2), (3, 3)]).await;
    let seen: Arc<Mutex<Vec<StepOutcome>>> = Arc::default();
    let sees = Arc::clone(&seen);
    let batch = Batch::new()
        .step(Step::create_or(OBJECT, vec![record![1, 0], record![4, 4]], OnConflict::Skip))
        .update(OBJECT, field("n").eq(2), Changes::new().set("n", 20))
        .update(OBJECT, field("n").eq(3), Changes::new().increment("n", 27))
        .delete(OBJECT, Filter::Keys(vec![Key::single(9), Key::single(1)]))
        .find(all())
        .step(Step::Count(Query::new(OBJECT).filter(field("n").gte(20))))
        .then(move |trace| {
            let outcomes = trace.executed().iter().map(|executed| executed.outcome.clone());
            *sees.lock().unwrap() = outcomes.collect();
            Ok(vec![])
        });
    storage.execute(batch).await.unwrap();
    let expected = [
        StepOutcome::Created { skipped: vec![0] },
        StepOutcome::Updated { keys: vec![Key::single(2)], records: vec![], unchanged: vec![] },
        StepOutcome::Updated {
            keys: vec![Key::single(3)],
            records: vec![record![3, 30]],
            unchanged: vec![],
        },
        StepOutcome::Deleted { keys: vec![Key::single(1)] },
        StepOutcome::Found(vec![record![2, 20], record![3, 30], record![4, 4]]),
        StepOutcome::Counted(2),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// Update by filter, then write down exactly the objects that were touched.
pub async fn writes_down_what_an_update_touched(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2), (3, 2), (4, 4)]).await;
    let batch =
        Batch::new().update(OBJECT, field("n").eq(2), Changes::new().set("n", 3)).then(|trace| {
            let Some(StepOutcome::Updated { keys, .. }) = trace.last().map(|it| &it.outcome) else {
                return Err(Error::Aborted { reason: "no update".to_owned() });
            };
            let log = keys.iter().map(|key| record![100 + key.as_int().unwrap(), 0]);
            Ok(vec![Step::create(OBJECT, log.collect())])
        });
    storage.execute(batch).await.unwrap();
    assert_eq!(ids(&records(&storage, OBJECT).await), [1, 2, 3, 4, 102, 103]);
}

pub async fn reads_decides_and_writes(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 10), (2, 3)]).await;
    let transfer = |amount: i64| {
        Batch::new().find(Query::new(OBJECT).filter(Filter::key(1))).then(move |trace| {
            let balance = trace.found(0)[0].get(1).as_int().unwrap();
            if balance < amount {
                return Err(Error::Aborted { reason: format!("only {balance} left") });
            }
            let grow = |id: i64, by: i64| Step::Update {
                collection: OBJECT.into(),
                filter: Filter::key(id),
                changes: Changes::new().increment("n", by),
            };
            Ok(vec![grow(1, -amount), grow(2, amount)])
        })
    };
    storage.execute(transfer(7)).await.unwrap();
    let result = storage.execute(transfer(7)).await;
    refused(result, ErrorKind::Conflict, &["only 3 left"]);
    assert_objects(&storage, json!([{ "id": 1, "n": 3 }, { "id": 2, "n": 10 }])).await;
}

pub async fn its_steps_run_before_the_next_step(h: Harness) {
    let (storage, _) = numbers::<i64>(&h, &[]).await;
    let batch = Batch::new()
        .touching([OBJECT])
        .then(|_| {
            Ok(vec![
                Step::create(OBJECT, vec![record![1, 0]]),
                Step::Find(all()),
                Step::create(OBJECT, vec![record![2, 0]]),
            ])
        })
        .find(all());
    let outcome = storage.execute(batch).await.unwrap();
    let of_the_first: Vec<_> = outcome.of_step(0).map(|executed| &executed.outcome).collect();
    let created = StepOutcome::Created { skipped: vec![] };
    assert_eq!(of_the_first, [&created, &StepOutcome::Found(vec![record![1, 0]]), &created]);
    let both = vec![record![1, 0], record![2, 0]];
    assert_eq!(step(&outcome, 1), &StepOutcome::Found(both));
}

pub async fn adds_further_continuations(h: Harness) {
    fn down(n: i64) -> Step {
        Step::then(move |trace| {
            // Each sees what those before it have done.
            assert_eq!(i64::try_from(trace.executed().len()).unwrap(), 5 - n);
            let create = Step::create(OBJECT, vec![record![n, 0]]);
            Ok(if n == 0 { vec![create] } else { vec![create, down(n - 1)] })
        })
    }
    let (storage, _) = numbers::<i64>(&h, &[]).await;
    let outcome = storage.execute(Batch::new().touching([OBJECT]).step(down(5))).await.unwrap();
    assert_eq!(outcome.of_step(0).count(), 6);
    assert_eq!(ids(&records(&storage, OBJECT).await), [0, 1, 2, 3, 4, 5]);
}

pub async fn nothing_to_add(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let outcome =
        storage.execute(Batch::new().touching([OBJECT]).then(|_| Ok(vec![]))).await.unwrap();
    assert_eq!(outcome.of_step(0).count(), 0);
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

/// The error that a continuation gives is the error of the batch.
pub async fn its_error_is_the_error_of_the_batch(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let batch = Batch::new().delete(OBJECT, Filter::All).then(|_| {
        Err(Error::InvalidValue {
            collection: "mine".into(),
            field: "own".into(),
            reason: "because".to_owned(),
        })
    });
    let error = storage.execute(batch).await.unwrap_err();
    assert!(
        matches!(&error, Error::InvalidValue { collection, field, reason }
            if &**collection == "mine" && &**field == "own" && reason == "because"),
        "{error:?}"
    );
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

/// What a continuation adds is checked like what the application gives.
pub async fn its_steps_are_checked(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let add = |step: Step| Batch::new().touching([OBJECT]).then(move |_| Ok(vec![step.clone()]));
    let wrong = Step::create(OBJECT, vec![record![2, "text"]]);
    assert_refused!(storage.execute(add(wrong)).await, Error::InvalidValue { .. });
    let wrong = Step::Delete { collection: OBJECT.into(), filter: field("x").eq(1) };
    assert_refused!(storage.execute(add(wrong)).await, Error::UnknownField { .. });
    let wrong = Step::Delete { collection: "x".into(), filter: Filter::All };
    assert_refused!(storage.execute(add(wrong)).await, Error::UnknownCollection { .. });
    let wrong = Step::Update {
        collection: OBJECT.into(),
        filter: Filter::All,
        changes: Changes::new().set("id", 5),
    };
    assert_refused!(storage.execute(add(wrong)).await, Error::KeyChange { .. });
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

/// A transaction covers what the batch names: a continuation cannot go beyond, on any backend.
pub async fn stays_within_what_the_batch_names(h: Harness) {
    let numbers =
        |name: &str| Definition::new(name).key_format(KeyFormat::Int).field("n", FieldType::Int);
    let builder = Registry::builder().collection(numbers("a")).collection(numbers("b"));
    let storage = h.open(builder.build().unwrap()).await;
    let create = |name: &'static str| {
        move |_: &storex_core::Trace| Ok(vec![Step::create(name, vec![record![1, 1]])])
    };
    let beyond = Batch::new().create("a", vec![record![1, 0]]).then(create("b"));
    let error = storage.execute(beyond.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("touching([\"b\"])"), "{error}");
    let nested = Batch::new()
        .create("a", vec![record![1, 0]])
        .then(move |_| Ok(vec![Step::then(create("b"))]));
    assert_eq!(storage.execute(nested).await.unwrap_err().kind(), ErrorKind::Invalid);
    for name in ["a", "b"] {
        assert_eq!(storage.count(Query::new(name)).await.unwrap(), 0, "nothing was written");
    }
    storage.execute(beyond.touching(["b"])).await.unwrap();
    for name in ["a", "b"] {
        assert_eq!(storage.count(Query::new(name)).await.unwrap(), 1);
    }
}

pub async fn placeholders_reach_into_continuations_and_out(h: Harness) {
    let (storage, _) = numbers::<i64>(&h, &[]).await;
    fn create(id: i64, own: &str, link: Option<&str>) -> Step {
        let mut step = Step::create(OBJECT, vec![record![id, None::<i64>]]);
        if let Step::Create(create) = &mut step {
            create.placeholders.push((0, own.into()));
            create.links.extend(link.map(|placeholder| storex_core::Link {
                record: 0,
                field: "n".into(),
                placeholder: placeholder.into(),
            }));
        }
        step
    }
    let batch = Batch::new()
        .step(create(1, "a", None))
        .then(|_| Ok(vec![create(2, "b", Some("a"))]))
        .step(create(3, "c", Some("b")));
    let outcome = storage.execute(batch).await.unwrap();
    assert_eq!(outcome.key("b"), Some(&Key::single(2)));
    let n: Vec<Value> =
        records(&storage, OBJECT).await.iter().map(|record| record.get(1).clone()).collect();
    assert_eq!(n, [Value::Null, Value::Int(1), Value::Int(2)]);
}

/// A continuation that writes 5,000 objects.
pub async fn adds_much(h: Harness) {
    let (storage, _) = numbers::<i64>(&h, &[]).await;
    let batch = Batch::new().touching([OBJECT]).then(|_| {
        Ok((0..500_i64)
            .map(|n| Step::create(OBJECT, (0..10).map(|m| record![n * 10 + m, n]).collect()))
            .collect())
    });
    storage.execute(batch).await.unwrap();
    assert_eq!(storage.count(Query::new(OBJECT)).await.unwrap(), 5000);
}

pub async fn a_precondition_that_holds(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 1)]).await;
    let ones = || Query::new(OBJECT).filter(field("n").eq(1));
    let batch = Batch::new()
        .require(ones(), 2)
        .require(Query::new(OBJECT).filter(Filter::key(9)), 0)
        .update(OBJECT, Filter::key(1), Changes::new().set("n", 2))
        .require(ones(), 1)
        .create(OBJECT, vec![record![3, 3]]);
    let outcome = storage.execute(batch).await.unwrap();
    assert_eq!(step(&outcome, 4), &StepOutcome::Created { skipped: vec![] });
    assert_eq!(records(&storage, OBJECT).await, [record![1, 2], record![2, 1], record![3, 3]]);
}

pub async fn a_precondition_that_does_not_hold(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 1)]).await;
    for count in [0, 1, 3] {
        let batch = Batch::new()
            .create(OBJECT, vec![record![3, 3]])
            .require(Query::new(OBJECT).filter(field("n").eq(1)), count);
        let error = storage.execute(batch).await.unwrap_err();
        assert!(
            matches!(&error, Error::Precondition { collection, reason }
                if **collection == *OBJECT && reason.contains('2') && reason.contains(&count.to_string())),
            "{error:?}"
        );
    }
    assert_eq!(ids(&records(&storage, OBJECT).await), [1, 2]);
}

/// Compare and swap: of two who read the same version, the second is refused.
pub async fn a_precondition_on_a_version(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let swap = |version: i64| {
        let unchanged = Filter::key(1).and(field("n").eq(version));
        Batch::new().require(Query::new(OBJECT).filter(unchanged), 1).update(
            OBJECT,
            Filter::key(1),
            Changes::new().increment("n", 1),
        )
    };
    storage.execute(swap(1)).await.unwrap();
    assert_refused!(storage.execute(swap(1)).await, Error::Precondition { .. });
    storage.execute(swap(2)).await.unwrap();
    assert_eq!(records(&storage, OBJECT).await, [record![1, 3]]);
}

/// The names of collections are shared, not copied: a continuation may keep what it saw.
pub async fn what_was_seen_can_be_kept(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let kept: Arc<Mutex<Option<Name>>> = Arc::default();
    let keeps = Arc::clone(&kept);
    let batch = Batch::new().find(all()).then(move |trace| {
        *keeps.lock().unwrap() = trace.last().and_then(|it| it.step.collection()).cloned();
        Ok(vec![])
    });
    storage.execute(batch).await.unwrap();
    assert_eq!(kept.lock().unwrap().as_deref(), Some(OBJECT));
}
