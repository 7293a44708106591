//! The simulator over many seeds. What fails here prints the command that makes the same run.
#![allow(clippy::print_stdout)] // the seeds that were drawn are told

use std::env;
use std::hash::{BuildHasher, Hasher, RandomState};

use storex_simulation::{Options, Profile, simulate};

/// Runs seeds, and tells of all that fail.
fn run(seeds: impl IntoIterator<Item = u64>, options: &Options) {
    let mut failures = Vec::new();
    for seed in seeds {
        let run = simulate(seed, options);
        if let Some(why) = &run.failure {
            failures.push(format!("seed {seed}: {why}\n    {}", run.command()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Whether more is asked for than fits into each change's tests.
fn long() -> bool {
    env::var_os("STOREX_LONG").is_some_and(|long| !long.is_empty() && long != "0")
}

/// The seeds that were never tried: told by the environment, so that they can be tried again, or drawn.
fn fresh() -> u64 {
    let told = ["STOREX_SEED", "PROPTEST_RNG_SEED"].iter().find_map(|name| env::var(name).ok());
    let told = told.and_then(|seed| seed.parse::<u64>().ok());
    let seed = told.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    println!("STOREX_SEED={seed}");
    // Far from the fixed ones.
    (seed % 1_000_000_007) * 1000 + 1_000_000
}

macro_rules! parts {
    ($($name:ident: $part:expr;)*) => {
        mod c68_two_hundred_fixed_seeds {
            $(#[test]
            fn $name() {
                super::run($part * 25 + 1..=$part * 25 + 25, &super::Options::default());
            })*
        }
    };
}
parts! {
    part_0: 0;
    part_1: 1;
    part_2: 2;
    part_3: 3;
    part_4: 4;
    part_5: 5;
    part_6: 6;
    part_7: 7;
}

mod c68_a_hundred_fresh_seeds {
    use super::{Options, fresh, run};

    #[test]
    fn part_0() {
        let first = fresh();
        run(first..first + 50, &Options::default());
    }

    #[test]
    fn part_1() {
        let first = fresh() + 50;
        run(first..first + 50, &Options::default());
    }
}

/// What is in each profile is in some of the runs above too; here it is in every run.
#[test]
fn c68_each_profile() {
    for profile in Profile::EVERY {
        let seeds = if profile == Profile::Sqlite { 2 } else { 8 };
        run(1000..1000 + seeds, &Options { profile, ..Options::default() });
    }
}

macro_rules! long_parts {
    ($($name:ident: $part:expr;)*) => {
        /// Two thousand in all, in parts that go on beside each other and are not so long as to be taken for hanging.
        mod c68_many_seeds_with_five_devices {
            use super::{Options, fresh, long, run};

            $(#[test]
            fn $name() {
                if long() {
                    let first = fresh() + 250 * $part;
                    run(first..first + 250, &Options { devices: Some(5), ..Options::default() });
                }
            })*
        }
    };
}
long_parts! {
    part_0: 0;
    part_1: 1;
    part_2: 2;
    part_3: 3;
    part_4: 4;
    part_5: 5;
    part_6: 6;
    part_7: 7;
}
