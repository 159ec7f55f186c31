//! Plays many seeds: `toktra-siem-sim FROM COUNT`. Ends at the first that breaks a promise, and tells its shortest story.

use std::process::ExitCode;

use tokio::time::Instant;
use toktra_siem_sim::service::{Tally, run};

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let (Some(Ok(from)), Some(Ok(count)), None) = (numbers.next(), numbers.next(), numbers.next()) else {
        eprintln!("usage: toktra-siem-sim FROM COUNT    plays COUNT seeds, the first of them FROM");
        return ExitCode::from(2);
    };
    let (began, mut all) = (Instant::now(), Tally::default());
    for seed in (0..count).map(|n| from.wrapping_add(n)) {
        match run(seed) {
            Ok(tally) => all += tally,
            Err(broken) => {
                eprintln!("{broken}");
                return ExitCode::FAILURE;
            }
        }
        if seed.wrapping_sub(from) % 100 == 99 {
            eprintln!("{} seeds in {} s: {all:?}", seed.wrapping_sub(from) + 1, began.elapsed().as_secs());
        }
    }
    println!("{count} seeds in {} s: {all:?}", began.elapsed().as_secs());
    ExitCode::SUCCESS
}
