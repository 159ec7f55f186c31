//! The service in virtual time, whatever befalls it: a fixed set of seeds, and a few that nobody has tried.

use toktra_siem_sim::seed;
use toktra_siem_sim::service::{Tally, run};

/// Seeds that are played in each run of the suite.
const FIXED: std::ops::Range<u64> = 0..150;
/// How many are drawn.
const FRESH: u64 = 20;

fn play(seeds: impl Iterator<Item = u64>) -> Tally {
    let mut all = Tally::default();
    for seed in seeds {
        match run(seed) {
            Ok(tally) => all += tally,
            Err(broken) => panic!("{broken}"),
        }
    }
    all
}

#[test]
fn nothing_is_lost_whatever_befalls_it() {
    let tally = play(FIXED);
    println!("{tally:?}");
    // Otherwise it would have proved nothing.
    assert!(tally.promised > 10_000 && tally.copies > 100 && tally.damaged > 10 && tally.nodes > 100, "{tally:?}");
}

#[test]
fn nor_with_seeds_that_nobody_has_tried() {
    let first = seed::of_run();
    println!("from seed {first}");
    play((0..FRESH).map(|n| first.wrapping_add(n)));
}
