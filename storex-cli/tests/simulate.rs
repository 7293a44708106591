//! `storex simulate`, as a user calls it.

mod support;

use serde_json::Value as Json;
use support::{Ran, storex};

fn simulate(arguments: &[&str]) -> Ran {
    storex(["simulate"].iter().chain(arguments))
}

#[test]
fn c68_json_is_one_object_per_run_and_one_for_all() {
    let output = simulate(&["--seeds", "3", "--first-seed", "5", "--profile", "network", "--json"]);
    assert!(output.code == Some(0), "{}", output.stderr);
    let lines: Vec<Json> =
        output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seeds: Vec<u64> = lines.iter().filter_map(|run| run["seed"].as_u64()).collect();
    assert_eq!(seeds, [5, 6, 7]);
    assert_eq!(lines[0]["profile"], "network");
    let summary = &lines[3]["summary"];
    assert_eq!((summary["runs"].as_u64(), summary["failed"].as_u64()), (Some(3), Some(0)));
}

#[test]
fn c68_a_trace_is_the_same_each_time() {
    let arguments = ["--seed", "4", "--devices", "2", "--profile", "crashes", "--trace"];
    let (one, other) = (simulate(&arguments), simulate(&arguments));
    assert!(one.code == Some(0), "{}", one.stderr);
    assert!(one.stdout.contains("device 1  starts"));
    assert_eq!(one.stdout, other.stdout);
}

#[test]
fn what_is_wrong_with_the_arguments_is_said() {
    for (arguments, said) in [
        (&["--profile", "moon"][..], "there is no profile `moon`"),
        (&["--seeds", "many"][..], "invalid value 'many'"),
        (&["--devices", "1"][..], "1 is not in 2..=100"),
        (&["--seed", "1", "--seeds", "2"][..], "cannot be used with"),
        (&["--trace"][..], "--seed"),
    ] {
        let output = simulate(arguments);
        assert_eq!(output.code, Some(2));
        assert!(output.stderr.contains(said), "{}", output.stderr);
    }
}
