//! A stream's breaker: stops sending while the endpoint is down or misconfigured, and decides when to try whether it is back.
//!
//! Pure, and part of the stored state: a hold survives a restart. Opening parks nothing by itself (the failed delivery did that) and
//! closing sends nothing by itself: the dispatcher acts on the [`Transition`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::ids::Seq;
use crate::time::Timestamp;

/// Single events rejected in a row for one cause, before the stream is held.
pub const SUSPECTS: usize = 10;
/// The longest pause between probes of an endpoint that is down, counted from a probe's start.
pub const PROBE_CAP_DOWN: Duration = Duration::from_secs(20);
/// The longest pause between probes of a misconfigured endpoint.
pub const PROBE_CAP_MISCONFIGURED: Duration = Duration::from_mins(5);
/// The pause before the next probe of an endpoint that wants no more: longer than any service runs.
pub const FOR_GOOD: Duration = Duration::from_hours(24 * 365 * 100);
/// The deadline of the first probe: short, so that a hanging endpoint does not delay the next probe. See [`Breaker::probe_deadline`].
pub const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// After this many failures with one event, the next probe takes another: the event itself may be what hurts.
pub const PROBES_PER_EVENT: u32 = 2;

/// Why a breaker is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenKind {
    /// The endpoint does not answer, or asks to be left alone.
    Down,
    /// A person has to change the settings, here or there.
    Misconfigured,
}

/// The state of the switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Breaker {
    /// Sending.
    Closed {
        /// Single events rejected in a row for the same cause: they may be poison, or it may be a proxy that refuses everything.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        suspects: Vec<Seq>,
        /// The code of that cause.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        suspect_code: Option<String>,
    },
    /// Not sending, but for probes.
    Open {
        /// Why.
        kind: OpenKind,
        /// What a person should know.
        cause: Cause,
        /// Since when.
        since: Timestamp,
        /// Probes that failed in a row.
        failures: u32,
        /// When the next probe is due (wall clock; only read after a restart).
        probe_at: Timestamp,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { suspects: Vec::new(), suspect_code: None }
    }
}

/// What a delivery tells the breaker, and the stream's concurrency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Nothing that matters here.
    Nothing,
    /// Events were accepted, and the endpoint asks for less.
    SlowDown,
    /// An attempt failed, more will follow.
    Backoff,
    /// Events were accepted.
    Success,
    /// A delivery failed after its attempts (a probe: after its only one).
    Failed {
        /// Why.
        cause: Cause,
        /// Whether a person has to act.
        misconfigured: bool,
        /// The pause that the endpoint asked for, capped; zero where it did not.
        asked: Duration,
    },
    /// A single event, alone in its request, was rejected.
    SingleRejected {
        /// The event.
        seq: Seq,
        /// Why.
        cause: Cause,
    },
    /// Settings were saved, or a test delivery succeeded: start afresh.
    Reset,
}

/// What the dispatcher has to do about a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// Nothing.
    None,
    /// Stop starting deliveries; the next probe is due after this pause, counted from now.
    Opened {
        /// Rejected events that are now held instead: their outcome returns from rejected to failed.
        held: Vec<Seq>,
        /// The pause before the first probe.
        probe_in: Duration,
    },
    /// A probe failed; the next one is due after this pause, counted from the start of the failed one.
    ProbeAgain {
        /// The pause.
        probe_in: Duration,
    },
    /// Turn what waits into a backlog range, and go on.
    Closed,
}

impl Breaker {
    /// Whether the stream may start deliveries.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// When the next probe is due; `None` while it is closed, and where only a person opens the way again.
    pub fn next_probe(&self) -> Option<Timestamp> {
        match self {
            Self::Open { since, probe_at, .. } if probe_at.since(*since) < FOR_GOOD / 2 => Some(*probe_at),
            _ => None,
        }
    }

    /// How long the next probe waits for an answer: twice as long as the probe before, so that an endpoint that has become slow, or that was
    /// always so, is not taken for one that hangs; from the start twice as long as it was last seen to `need`; and never longer than any
    /// `request`. By what is stored, so that a restart does not begin anew.
    pub fn probe_deadline(&self, need: Duration, request: Duration) -> Duration {
        let failures = match self {
            Self::Open { failures, .. } => (*failures).min(16),
            Self::Closed { .. } => 0,
        };
        (PROBE_DEADLINE * (1 << failures)).max(need * 2).min(request)
    }

    /// Applies `signal` at `now`. `jitter` is uniform in `0.0..1.0` and drawn by the caller.
    #[must_use]
    pub fn step(&self, signal: &Signal, now: Timestamp, jitter: f64) -> (Self, Transition) {
        match (self, signal) {
            (Self::Closed { suspects, suspect_code }, Signal::SingleRejected { seq, cause }) => {
                suspect(suspects, suspect_code.as_deref(), *seq, cause, now, jitter)
            }
            (Self::Closed { .. }, Signal::Failed { cause, misconfigured, asked }) => {
                let kind = if *misconfigured { OpenKind::Misconfigured } else { OpenKind::Down };
                open(kind, cause.clone(), Vec::new(), *asked, now, jitter)
            }
            (Self::Closed { suspects, .. }, Signal::Success | Signal::SlowDown | Signal::Reset)
                if !suspects.is_empty() =>
            {
                (Self::default(), Transition::None)
            }
            (Self::Open { .. }, Signal::Success | Signal::SlowDown | Signal::Reset) => {
                (Self::default(), Transition::Closed)
            }
            (Self::Open { .. }, Signal::Failed { cause, misconfigured, asked }) => {
                self.probe_failed(cause, Some(*misconfigured), *asked, now, jitter)
            }
            // The endpoint answers, but not with a delivered event, and only that closes the breaker: try another one soon.
            (Self::Open { .. }, Signal::SingleRejected { cause, .. }) => {
                self.probe_failed(cause, None, Duration::ZERO, now, jitter)
            }
            (_, Signal::Nothing | Signal::Backoff | Signal::Success | Signal::SlowDown | Signal::Reset) => {
                (self.clone(), Transition::None)
            }
        }
    }

    fn probe_failed(
        &self,
        newest: &Cause,
        misconfigured: Option<bool>,
        asked: Duration,
        now: Timestamp,
        jitter: f64,
    ) -> (Self, Transition) {
        let Self::Open { kind, since, failures, cause, .. } = self else { return (self.clone(), Transition::None) };
        let failures = failures.saturating_add(1);
        let (kind, cause) = match misconfigured {
            Some(true) => (OpenKind::Misconfigured, newest.clone()),
            Some(false) => (OpenKind::Down, newest.clone()),
            None => (*kind, cause.clone()),
        };
        let probe_in = pause(kind, failures, jitter).max(asked);
        let open = Self::Open { kind, cause, since: *since, failures, probe_at: now.plus(probe_in) };
        (open, Transition::ProbeAgain { probe_in })
    }
}

fn suspect(
    suspects: &[Seq],
    code: Option<&str>,
    seq: Seq,
    cause: &Cause,
    now: Timestamp,
    jitter: f64,
) -> (Breaker, Transition) {
    let mut suspects = if code == Some(cause.code.as_ref()) { suspects.to_vec() } else { Vec::new() };
    if !suspects.contains(&seq) {
        suspects.push(seq);
    }
    if suspects.len() >= SUSPECTS {
        return open(OpenKind::Misconfigured, cause.clone(), suspects, Duration::ZERO, now, jitter);
    }
    (Breaker::Closed { suspects, suspect_code: Some(cause.code.clone().into_owned()) }, Transition::None)
}

fn open(
    kind: OpenKind,
    cause: Cause,
    held: Vec<Seq>,
    asked: Duration,
    now: Timestamp,
    jitter: f64,
) -> (Breaker, Transition) {
    let probe_in = pause(kind, 0, jitter).max(asked);
    let breaker = Breaker::Open { kind, cause, since: now, failures: 0, probe_at: now.plus(probe_in) };
    (breaker, Transition::Opened { held, probe_in })
}

/// Doubles from one second to the cap of `kind`; the upper half is jittered, so that many streams to one endpoint do not return in step
/// and none of them hammers it.
fn pause(kind: OpenKind, failures: u32, jitter: f64) -> Duration {
    let cap = match kind {
        OpenKind::Down => PROBE_CAP_DOWN,
        OpenKind::Misconfigured => PROBE_CAP_MISCONFIGURED,
    };
    let ceiling = Duration::from_secs(1 << failures.min(16)).min(cap);
    ceiling.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(code: &'static str) -> Cause {
        Cause::new(code, "why")
    }

    fn failed(misconfigured: bool) -> Signal {
        Signal::Failed { cause: cause("down"), misconfigured, asked: Duration::ZERO }
    }

    #[test]
    fn opens_on_a_failed_delivery_and_closes_on_the_first_success() {
        let (open, transition) = Breaker::default().step(&failed(false), Timestamp(0), 1.0);
        assert!(!open.is_closed());
        assert_eq!(transition, Transition::Opened { held: vec![], probe_in: Duration::from_secs(1) });
        assert_eq!(open.step(&Signal::Success, Timestamp(5), 0.0), (Breaker::default(), Transition::Closed));
        assert_eq!(open.step(&Signal::Reset, Timestamp(5), 0.0), (Breaker::default(), Transition::Closed));
    }

    #[test]
    fn pauses_grow_to_their_cap_and_no_further() {
        for (misconfigured, cap) in [(false, PROBE_CAP_DOWN), (true, PROBE_CAP_MISCONFIGURED)] {
            let (mut breaker, _) = Breaker::default().step(&failed(misconfigured), Timestamp(0), 1.0);
            let mut last = Duration::ZERO;
            for _ in 0..40 {
                let (next, transition) = breaker.step(&failed(misconfigured), Timestamp(0), 1.0);
                let Transition::ProbeAgain { probe_in } = transition else { panic!("{transition:?}") };
                assert!(probe_in >= last && probe_in <= cap);
                last = probe_in;
                breaker = next;
            }
            assert_eq!(last, cap);
        }
    }

    #[test]
    fn a_probe_waits_longer_each_time_and_as_long_as_the_endpoint_needed() {
        let (request, second) = (Duration::from_secs(30), Duration::from_secs(1));
        let (mut breaker, _) = Breaker::default().step(&failed(false), Timestamp(0), 1.0);
        for expected in [5, 10, 20, 30, 30] {
            assert_eq!(breaker.probe_deadline(second, request), second * expected);
            assert_eq!(breaker.probe_deadline(second * 7, request), second * expected.max(14));
            assert_eq!(breaker.probe_deadline(second * 20, request), request);
            (breaker, _) = breaker.step(&failed(false), Timestamp(0), 1.0);
        }
    }

    #[test]
    fn an_endpoint_that_wants_no_more_is_not_probed() {
        assert_eq!(Breaker::default().next_probe(), None);
        let gone = Signal::Failed { cause: cause("gone"), misconfigured: true, asked: FOR_GOOD };
        let (open, _) = Breaker::default().step(&gone, Timestamp(1_000), 1.0);
        assert_eq!(open.next_probe(), None);
        // Should it fail once more in another way (a request that was under way), that decides.
        let (again, _) = open.step(&failed(false), Timestamp(2_000), 1.0);
        assert_eq!(again.next_probe(), Some(Timestamp(4_000)));
    }

    #[test]
    fn ten_singles_for_one_cause_are_held_and_a_delivered_event_clears_suspicion() {
        let mut breaker = Breaker::default();
        for seq in 1..10 {
            let (next, transition) =
                breaker.step(&Signal::SingleRejected { seq: Seq(seq), cause: cause("x") }, Timestamp(0), 0.0);
            assert_eq!(transition, Transition::None);
            breaker = next;
        }
        let tenth = Signal::SingleRejected { seq: Seq(10), cause: cause("x") };
        let (open, transition) = breaker.step(&tenth, Timestamp(0), 0.0);
        assert!(matches!(open, Breaker::Open { kind: OpenKind::Misconfigured, .. }));
        assert!(matches!(transition, Transition::Opened { held, .. } if held.len() == SUSPECTS));
        assert_eq!(breaker.step(&Signal::Success, Timestamp(0), 0.0).0, Breaker::default());
        let other = Signal::SingleRejected { seq: Seq(10), cause: cause("y") };
        assert!(breaker.step(&other, Timestamp(0), 0.0).0.is_closed());
    }
}
