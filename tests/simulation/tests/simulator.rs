//! The simulator itself: it is deterministic, it says what is wrong, and it finds mistakes.

use storex_simulation::{DeliberateFault, Options, Profile, simulate};

#[test]
fn c68_the_same_seed_gives_the_same_trace() {
    for profile in Profile::EVERY {
        let seeds = if profile == Profile::Sqlite { 1 } else { 2 };
        for seed in 1..=seeds {
            let options = Options { profile, trace: true, ..Options::default() };
            let (one, other) = (simulate(seed, &options), simulate(seed, &options));
            assert_eq!(one.trace, other.trace, "seed {seed}, profile {profile}");
            assert_eq!(one.hash, other.hash);
            if seed > 1 {
                continue;
            }
            let without = simulate(seed, &Options { trace: false, ..options });
            assert_eq!(one.hash, without.hash, "the hash does not depend on keeping the trace");
        }
    }
}

#[test]
fn c68_other_seeds_give_other_traces() {
    let options = Options::default();
    assert_ne!(simulate(1, &options).hash, simulate(2, &options).hash);
}

#[test]
fn c68_a_number_of_devices_that_was_drawn_can_be_told() {
    let drawn = simulate(3, &Options::default());
    let told = simulate(3, &Options { devices: Some(drawn.devices), ..Options::default() });
    assert_eq!(drawn.hash, told.hash);
}

#[test]
fn c68_a_profile_has_a_name() {
    for profile in Profile::EVERY {
        assert_eq!(profile.name().parse(), Ok(profile));
    }
    let error = "moon".parse::<Profile>().unwrap_err().to_string();
    assert!(error.contains("`moon`") && error.contains("network, partitions"), "{error}");
}

/// Each mistake is found within so many seeds.
const SEEDS: u64 = 60;

fn is_found(fault: DeliberateFault, profile: Profile) {
    let options = Options { fault: Some(fault), ..Options::new(profile) };
    let found = (1..=SEEDS).find(|seed| simulate(*seed, &options).failure.is_some());
    assert!(found.is_some(), "{fault:?} was not found within {SEEDS} seeds");
}

mod c68_a_planted_mistake_is_found {
    use super::{DeliberateFault, Profile, is_found};

    #[test]
    fn the_place_is_noted_before_the_page_is_applied() {
        is_found(DeliberateFault::CursorBeforePage, Profile::All);
    }

    #[test]
    fn the_own_log_is_trimmed_before_the_shared_log_has_it() {
        is_found(DeliberateFault::TrimBeforeAppend, Profile::All);
    }

    #[test]
    fn a_gap_is_passed_over() {
        is_found(DeliberateFault::GapPassedOver, Profile::Network);
    }

    #[test]
    fn the_arriving_write_wins_ties() {
        is_found(DeliberateFault::ArrivingWinsTies, Profile::Skew);
    }

    #[test]
    fn increments_are_applied_twice() {
        is_found(DeliberateFault::IncrementsTwice, Profile::Network);
    }

    #[test]
    fn no_timer_after_a_failure() {
        is_found(DeliberateFault::NoTimerAfterFailure, Profile::All);
    }
}
