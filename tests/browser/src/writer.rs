//! Batches whose effects can be told from the rows alone.
//!
//! - Each batch leaves a row in `batch`, numbered from 1, and one transaction in the log.
//! - The members of a team come, change and go in one batch: at any time a team has all its members or none, and all of
//!   them have the same title and stars.
//! - The account `members` holds how many there are.

use storex_core::{
    Batch, Changes, Direction, Filter, Query, Record, Result, Step, StepOutcome, Storage, Value,
    field,
};

use crate::steps::{mark, step};

/// The account that holds how many members there are.
pub(crate) const MEMBERS: &str = "members";

/// Writes batches one after another, and tells the number of each when it is through.
pub(crate) async fn write(
    storage: &Storage,
    batches: u32,
    seed: u32,
    mut tell: impl FnMut(i64),
) -> Result<()> {
    let mut random = u64::from(seed) << 1 | 1;
    let mut number = last_batch(storage).await?;
    for _ in 0..batches {
        number += 1;
        step("batch.before");
        storage.execute(batch(number, &mut random)).await?;
        tell(number);
        step("batch.told");
    }
    Ok(())
}

/// The number of the last batch that is there; 0 for none.
async fn last_batch(storage: &Storage) -> Result<i64> {
    let last = Query::new("batch").order_by("number", Direction::Descending).limit(1);
    let rows = storage.find(last).await?;
    Ok(rows.first().and_then(|row| row.get(0).as_int()).unwrap_or(0))
}

fn batch(number: i64, random: &mut u64) -> Batch {
    // Most recent teams are still there.
    let team = field("team").eq((number - 1 - draw(random, 6)).max(1));
    let kind = ["gather", "gather", "retitle", "praise", "disband"][usize_of(draw(random, 5))];
    let kind = if number == 1 { "open" } else { kind };
    let row = Record::new(vec![Value::Int(number), Value::from(kind)]);
    let batch = mark(Batch::new().create("batch", vec![row]), "batch.begun");
    let batch = match kind {
        "open" => batch.create("account", vec![Record::new(vec![MEMBERS.into(), 0.into()])]),
        "gather" => gather(batch, number, 2 + draw(random, 60)),
        "retitle" => batch.update("member", team, Changes::new().set("title", title(number))),
        "praise" => batch.update("member", team, Changes::new().increment("stars", 1)),
        _ => disband(batch, team),
    };
    mark(batch, "batch.rows")
}

/// A team comes, in two steps.
fn gather(batch: Batch, team: i64, size: i64) -> Batch {
    let member = |_| {
        let body = Value::Text("a body of some length ".repeat(10));
        let values = [Value::Null, team.into(), size.into(), title(team).into(), 0.into(), body];
        Record::new(values.into())
    };
    let half = size / 2;
    let batch = batch.create("member", (0..half).map(member).collect());
    let batch = mark(batch, "batch.half").create("member", (half..size).map(member).collect());
    batch.update("account", Filter::key(MEMBERS), Changes::new().increment("balance", size))
}

/// A team goes, and how many went is known only then.
fn disband(batch: Batch, team: Filter) -> Batch {
    batch.touching(["account"]).delete("member", team).then(|trace| {
        let gone = match trace.last().map(|last| &last.outcome) {
            Some(StepOutcome::Deleted { keys }) => i64::try_from(keys.len()).unwrap_or(i64::MAX),
            _ => 0,
        };
        let filter = Filter::key(MEMBERS);
        let changes = Changes::new().increment("balance", -gone);
        Ok(vec![Step::Update { collection: "account".into(), filter, changes }])
    })
}

fn title(number: i64) -> String {
    format!("title {number}")
}

/// A number below the limit.
fn draw(random: &mut u64, limit: i64) -> i64 {
    // xorshift64 (Marsaglia, 2003).
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    i64::try_from(*random >> 33).unwrap_or(0) % limit
}

fn usize_of(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}
