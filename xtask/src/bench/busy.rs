//! Whether the machine has nothing else to do: figures that were taken beside other work mean nothing.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::sleep;

/// How long it is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// What others may take of all processors, in hundredths.
const TAKEN: u64 = 10;

/// An error where something else keeps the processors busy.
pub(super) async fn check() -> Result<()> {
    let before = read()?;
    sleep(LOOK).await;
    let taken = taken(before, read()?);
    if taken > TAKEN {
        bail!(
            "other programs take {taken} % of the processors, so that the figures would mean nothing: end them and measure again, or say \
             --busy to measure all the same"
        );
    }
    Ok(())
}

/// Ticks of all processors: idle ones, and all.
fn read() -> Result<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/stat").context("the kernel tells nothing of the processors")?;
    ticks(&stat).context("the kernel tells nothing of the processors")
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, and more.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let all: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    Some((all.get(3)? + all.get(4)?, all.iter().sum()))
}

/// How much was not idle between two looks, in hundredths.
fn taken((idle, all): (u64, u64), (idle_then, all_then): (u64, u64)) -> u64 {
    let (all, idle) = (all_then.saturating_sub(all), idle_then.saturating_sub(idle));
    (all.saturating_sub(idle) * 100).checked_div(all).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_is_told_from_an_idle_one() {
        let before = ticks("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\n").unwrap();
        assert_eq!(before, (850, 1000));
        assert_eq!(taken(before, (1045, 1200)), 2);
        assert_eq!(taken(before, (850, 1200)), 100);
        assert_eq!(taken(before, before), 0);
        assert_eq!(ticks("nothing"), None);
    }
}
