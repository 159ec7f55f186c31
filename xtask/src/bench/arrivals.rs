//! When each event was accepted and when it arrived, by one clock: generator and sink are one process where this is asked for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::histogram::Histogram;

/// Notes times. Does nothing until it is switched on.
pub(super) struct Arrivals {
    started: Instant,
    noted: Mutex<Option<Noted>>,
}

/// Keys of events, each with a time in microseconds.
#[derive(Default)]
struct Noted {
    accepted: Vec<(u64, u64)>,
    received: Vec<(u64, u64)>,
}

/// From accepted to received, in microseconds, over all receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Lags {
    /// Of all events.
    pub(super) p50: u64,
    /// The same.
    pub(super) p99: u64,
    /// The median of the first quarter.
    pub(super) first: u64,
    /// And of the last: more, where a lag builds up.
    pub(super) last: u64,
}

impl Arrivals {
    /// Switched off.
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), noted: Mutex::new(None) }
    }

    /// Begins anew.
    pub(super) fn start(&self) {
        *self.noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Noted::default());
    }

    /// These events were accepted just now.
    pub(super) fn accepted(&self, keys: impl Iterator<Item = u64>) {
        self.note(keys, |noted| &mut noted.accepted);
    }

    /// These events arrived just now.
    pub(super) fn received(&self, keys: impl Iterator<Item = u64>) {
        self.note(keys, |noted| &mut noted.received);
    }

    fn note(&self, keys: impl Iterator<Item = u64>, list: impl Fn(&mut Noted) -> &mut Vec<(u64, u64)>) {
        let now = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Some(noted) = self.noted.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            list(noted).extend(keys.map(|key| (key, now)));
        }
    }

    /// What was noted since [`Self::start`].
    pub(super) fn lags(&self) -> Lags {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Noted::lags).unwrap_or_default()
    }
}

impl Noted {
    /// An event may arrive before the answer to its producer does: then it did not lag at all.
    fn lags(&self) -> Lags {
        let accepted: HashMap<u64, u64> = self.accepted.iter().copied().collect();
        let lag = |(key, at): &(u64, u64)| accepted.get(key).map(|since| (*since, at.saturating_sub(*since)));
        let mut lags: Vec<(u64, u64)> = self.received.iter().filter_map(lag).collect();
        lags.sort_unstable();
        let of = |lags: &[(u64, u64)]| {
            let mut histogram = Histogram::new();
            for (_, lag) in lags {
                histogram.record(*lag);
            }
            histogram
        };
        let (all, quarter) = (of(&lags), lags.len() / 4);
        Lags {
            p50: all.percentile(50),
            p99: all.percentile(99),
            first: of(&lags[..quarter]).percentile(50),
            last: of(&lags[lags.len() - quarter..]).percentile(50),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_are_told_by_event_and_show_whether_they_grow() {
        let accepted = (0..100).map(|n| (n, 1_000 * n)).collect();
        let steady = Noted { accepted, received: (0..100).rev().map(|n| (n, 1_000 * n + 10)).collect() };
        assert_eq!(steady.lags(), Lags { p50: 10, p99: 10, first: 10, last: 10 });
        let growing = Noted { received: (0..100).map(|n| (n, 1_010 * n)).collect(), ..steady };
        let lags = growing.lags();
        assert!(lags.last > 5 * lags.first, "{lags:?}");
        let early = Noted { accepted: vec![(1, 50)], received: vec![(1, 20), (2, 90)] };
        assert_eq!(early.lags().p99, 0);
    }

    #[test]
    fn nothing_is_noted_before_it_begins() {
        let arrivals = Arrivals::new();
        arrivals.accepted(std::iter::once(1));
        arrivals.received(std::iter::once(1));
        assert_eq!(arrivals.lags(), Lags::default());
        arrivals.start();
        arrivals.accepted(std::iter::once(1));
        arrivals.received(std::iter::once(1));
        assert!(arrivals.noted.lock().unwrap().as_ref().is_some_and(|noted| noted.received.len() == 1));
    }
}
