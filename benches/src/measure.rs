//! Measuring both sides in turns.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;

/// What was measured: seconds per side and key, how long single operations took, and figures that are no ratios of times.
#[derive(Debug, Default)]
pub struct Report {
    seconds: BTreeMap<String, (Vec<f64>, Vec<f64>)>,
    operations: BTreeMap<String, usize>,
    latencies: BTreeMap<String, (Vec<f64>, Vec<f64>)>,
    figures: BTreeMap<String, f64>,
}

impl Report {
    /// Notes one turn of a ratio: seconds of the hand-written side and of ours for the same number of operations.
    pub fn turn(&mut self, key: impl Into<String>, operations: usize, hand: f64, ours: f64) {
        let key = key.into();
        let (hands, our) = self.seconds.entry(key.clone()).or_default();
        hands.push(hand);
        our.push(ours);
        self.operations.insert(key, operations);
    }

    /// Notes how many seconds each of the operations of a turn took.
    pub fn latencies(&mut self, key: impl Into<String>, hand: Vec<f64>, ours: Vec<f64>) {
        let (hands, our) = self.latencies.entry(key.into()).or_default();
        hands.extend(hand);
        our.extend(ours);
    }

    /// Notes a figure that is no ratio of times.
    pub fn figure(&mut self, key: impl Into<String>, value: f64) {
        self.figures.insert(key.into(), value);
    }

    /// How many times as fast as the hand-written side: the median of the turns' ratios.
    #[must_use]
    pub fn ratio(&self, key: &str) -> Option<f64> {
        let (hand, ours) = self.seconds.get(key)?;
        Some(median(hand.iter().zip(ours).map(|(hand, ours)| hand / ours).collect()))
    }

    /// As JSON: `{"ratios": {..}, "per_second": {key: {"hand": .., "ours": ..}}, "milliseconds": {key: {"hand": {"p50": .., "p99": ..}, "ours": ..}}}`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        let mut ratios = serde_json::Map::new();
        let mut rates = serde_json::Map::new();
        for (key, (hand, ours)) in &self.seconds {
            ratios.insert(key.clone(), json!(round(self.ratio(key).unwrap_or(f64::NAN))));
            let operations = self.operations[key] as f64;
            let rate = |seconds: &Vec<f64>| (operations / median(seconds.clone())).round();
            rates.insert(key.clone(), json!({"hand": rate(hand), "ours": rate(ours)}));
        }
        for (key, value) in &self.figures {
            ratios.insert(key.clone(), json!(round(*value)));
        }
        let mut milliseconds = serde_json::Map::new();
        for (key, (hand, ours)) in &self.latencies {
            let of = |side: &[f64]| {
                let [p50, p99] = percentiles(side);
                json!({"p50": round(p50), "p99": round(p99)})
            };
            milliseconds.insert(key.clone(), json!({"hand": of(hand), "ours": of(ours)}));
        }
        json!({"ratios": ratios, "per_second": rates, "milliseconds": milliseconds})
    }

    /// As a table.
    #[must_use]
    pub fn to_table(&self) -> String {
        let mut table = format!("{:<46}{:>8}{:>14}{:>14}\n", "", "ratio", "hand /s", "ours /s");
        for (key, (hand, ours)) in &self.seconds {
            let operations = self.operations[key] as f64;
            table += &format!(
                "{key:<46}{:>8.2}{:>14.0}{:>14.0}\n",
                self.ratio(key).unwrap_or(f64::NAN),
                operations / median(hand.clone()),
                operations / median(ours.clone()),
            );
        }
        for (key, value) in &self.figures {
            table += &format!("{key:<46}{value:>8.2}\n");
        }
        if !self.latencies.is_empty() {
            table += &format!(
                "\n{:<46}{:>11}{:>11}{:>11}{:>11}\n",
                "milliseconds", "hand p50", "hand p99", "ours p50", "ours p99"
            );
        }
        for (key, (hand, ours)) in &self.latencies {
            let [[hand_p50, hand_p99], [ours_p50, ours_p99]] =
                [percentiles(hand), percentiles(ours)];
            table += &format!(
                "{key:<46}{hand_p50:>11.2}{hand_p99:>11.2}{ours_p50:>11.2}{ours_p99:>11.2}\n"
            );
        }
        table
    }
}

/// The value that half of these seconds do not exceed, and the one that 99 of 100 do not, in milliseconds.
fn percentiles(seconds: &[f64]) -> [f64; 2] {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |per_cent: usize| {
        let place = (sorted.len() * per_cent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(place).map_or(f64::NAN, |seconds| seconds * 1000.0)
    };
    [at(50), at(99)]
}

/// The middle of the values.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Seconds that a function takes.
pub fn seconds(function: impl FnOnce()) -> f64 {
    let start = Instant::now();
    function();
    start.elapsed().as_secs_f64()
}

/// Seconds that a future takes.
pub async fn seconds_of(future: impl Future<Output = ()>) -> f64 {
    let start = Instant::now();
    future.await;
    start.elapsed().as_secs_f64()
}

/// A line of this process's status, in MiB; not every system tells it.
#[must_use]
pub fn memory(line: &str) -> f64 {
    memory_of("self", line)
}

/// The same of another process, by its number.
#[must_use]
pub fn memory_of(process: &str, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let value = status.lines().find_map(|it| it.strip_prefix(line));
    let kib = value.and_then(|it| it.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

/// Seconds of processor time that this process has used; not every system tells it.
#[must_use]
pub fn processor() -> f64 {
    processor_of("self")
}

/// The same of another process, by its number.
#[must_use]
pub fn processor_of(process: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything; a tick is 10 ms everywhere.
    let fields = status.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|it| it.parse::<f64>().ok()).sum::<f64>() / 100.0
}
