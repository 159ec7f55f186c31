//! How a stream stands, in one sentence for a person.

use std::time::Duration;

use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::ids::PlatformId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_dispatch::watchdog::{PATIENCE, Verdict};
use toktra_siem_wire::{self as wire, DelayReason as Reason};

use crate::phrase;

/// Why a stream is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Off {
    /// The connector is switched off.
    Connector,
    /// The connector was never switched on.
    New,
    /// The connector does not send metrics.
    Metrics,
}

/// What the state of a stream follows from.
#[derive(Debug, Clone)]
pub(crate) struct Facts<'a> {
    pub(crate) platform: PlatformId,
    pub(crate) now: Timestamp,
    pub(crate) off: Option<Off>,
    pub(crate) breaker: &'a Breaker,
    /// Events on their way or waiting.
    pub(crate) pending: u64,
    /// Events parked as failed.
    pub(crate) failed: u64,
    /// When the oldest event that is on its way or waiting was accepted.
    pub(crate) oldest_pending: Option<Timestamp>,
    /// When the oldest event that is parked as failed was accepted.
    pub(crate) oldest_failed: Option<Timestamp>,
    /// Events delivered a minute.
    pub(crate) rate: f64,
    pub(crate) last_success: Option<Timestamp>,
    /// Since when this service cannot do its part.
    pub(crate) failing: Option<Timestamp>,
    /// Why nothing moves.
    pub(crate) verdict: Verdict,
    /// Events that were found to be damaged, and when the last of them was.
    pub(crate) damaged: Option<(u64, Timestamp)>,
}

/// For so long after a damaged event was found the stream is not called healthy, so that somebody hears of it.
const DAMAGE_TOLD: Duration = Duration::from_hours(24);

impl Facts<'_> {
    /// How the stream stands.
    pub(crate) fn state(&self) -> wire::HealthState {
        use toktra_siem_core::breaker::OpenKind;
        match self.breaker {
            _ if self.off.is_some() => wire::HealthState::Off,
            _ if self.stalled().is_some() => wire::HealthState::Stalled,
            Breaker::Open { kind: OpenKind::Misconfigured, .. } => wire::HealthState::Misconfigured,
            Breaker::Open { kind: OpenKind::Down, .. } => wire::HealthState::Degraded,
            Breaker::Closed { .. } if self.is_late() => wire::HealthState::Degraded,
            Breaker::Closed { .. } if self.failing.is_some() || self.damaged_lately().is_some() => {
                wire::HealthState::Degraded
            }
            Breaker::Closed { .. } => wire::HealthState::Healthy,
        }
    }

    /// Since when nothing moves that should, and nothing else explains it.
    pub(crate) fn stalled(&self) -> Option<Timestamp> {
        match &self.verdict {
            Verdict::Stalled { since, .. } if self.off.is_none() && self.failing.is_none() && self.is_late() => {
                Some(*since)
            }
            _ => None,
        }
    }

    /// Why the oldest event has not arrived yet, if it is late.
    pub(crate) fn delay(&self) -> Option<wire::Delay> {
        use toktra_siem_core::breaker::OpenKind;
        if !self.is_late() {
            return None;
        }
        let (reason, since) = match self.breaker {
            _ if self.off.is_some() => (Reason::Paused, None),
            _ if self.failing.is_some() => (Reason::OwnFailure, self.failing),
            _ if self.stalled().is_some() => (Reason::Stalled, self.stalled()),
            Breaker::Open { cause, since, .. } if phrase::is_unusable(cause) => (Reason::Unusable, Some(*since)),
            Breaker::Open { kind: OpenKind::Misconfigured, since, .. } => (Reason::Misconfigured, Some(*since)),
            Breaker::Open { kind: OpenKind::Down, since, .. } => (Reason::Down, Some(*since)),
            Breaker::Closed { .. } => (self.reason(), None),
        };
        Some(wire::Delay { reason, since })
    }

    /// Why events are late that nothing keeps from being sent.
    fn reason(&self) -> Reason {
        match self.verdict {
            Verdict::Sending => Reason::Sending,
            Verdict::Retrying => Reason::Retrying,
            Verdict::Confirming => Reason::Confirming,
            // What failed before is in a delivery while it is tried.
            _ if !self.late(self.oldest_pending) => Reason::Failing,
            Verdict::Failing => Reason::Failing,
            Verdict::Starting => Reason::Starting,
            Verdict::Moves | Verdict::Stalled { .. } => Reason::CatchingUp,
        }
    }

    fn is_late(&self) -> bool {
        self.late(self.oldest_pending) || self.late(self.oldest_failed)
    }

    fn damaged_lately(&self) -> Option<(u64, Timestamp)> {
        self.damaged.filter(|(_, found_at)| self.now.since(*found_at) < DAMAGE_TOLD)
    }

    fn late(&self, accepted: Option<Timestamp>) -> bool {
        accepted.is_some_and(|at| self.now.since(at) > PATIENCE)
    }

    /// The same for a person.
    pub(crate) fn sentence(&self) -> String {
        if let Some(off) = self.off {
            return self.off_sentence(off);
        }
        if let Some(since) = self.failing {
            let whole = phrase::long(self.now.since(since));
            return format!(
                "Action needed: this server has not been able to do its part for {whole}{}",
                self.and_waiting()
            );
        }
        if let Some(since) = self.stalled() {
            let whole = phrase::long(self.now.since(since));
            return format!("Stalled: nothing has moved for {whole}{}", self.and_waiting());
        }
        match self.breaker {
            Breaker::Open { cause, since, .. } => {
                let head = match self.state() {
                    wire::HealthState::Misconfigured => "Action needed",
                    _ => "Waiting",
                };
                let next = match self.breaker.next_probe().map(|at| at.since(self.now)) {
                    None => ", not tried again by itself".to_owned(),
                    Some(Duration::ZERO) => String::new(),
                    Some(until) => format!(", next try in {}", phrase::long(until.max(Duration::from_secs(1)))),
                };
                format!(
                    "{head}: {} {}{}{next}",
                    phrase::of(cause, Some(self.platform)),
                    self.ago(*since),
                    self.and_waiting()
                )
            }
            Breaker::Closed { .. } if self.late(self.oldest_pending) => {
                let late = self.oldest_pending.map_or_else(String::new, |at| phrase::long(self.now.since(at)));
                let what = match self.reason() {
                    Reason::Sending => "Waiting for an answer",
                    Reason::Retrying | Reason::Failing => "Trying again",
                    Reason::Confirming => "Waiting for confirmation",
                    Reason::Starting => "Starting",
                    _ => "Catching up",
                };
                format!("{what}: {}, the oldest for {late}", self.waiting())
            }
            Breaker::Closed { .. } if self.late(self.oldest_failed) => {
                let late = self.oldest_failed.map_or_else(String::new, |at| phrase::long(self.now.since(at)));
                let (keep, oldest) =
                    if self.failed == 1 { ("keeps", "accepted") } else { ("keep", "the oldest accepted") };
                format!("Delivering, but {} {keep} failing, {oldest} {late} ago", phrase::events(self.failed))
            }
            Breaker::Closed { .. } => match self.damaged_lately() {
                Some((1, at)) => format!("Delivering, but 1 event was found damaged {}", self.ago(at)),
                Some((many, at)) => {
                    format!("Delivering, but {} were found damaged, the last {}", phrase::events(many), self.ago(at))
                }
                None => self.healthy_sentence(),
            },
        }
    }

    fn waiting(&self) -> String {
        let waiting = self.pending + self.failed;
        format!("{} {}", phrase::events(waiting), if waiting == 1 { "waits" } else { "wait" })
    }

    fn and_waiting(&self) -> String {
        if self.pending + self.failed > 0 { format!(", {}", self.waiting()) } else { String::new() }
    }

    fn off_sentence(&self, off: Off) -> String {
        let what = match off {
            Off::Connector => "Paused",
            Off::New => "Not switched on yet",
            Off::Metrics => "Metrics are switched off",
        };
        format!("{what}{}", self.and_waiting())
    }

    fn healthy_sentence(&self) -> String {
        if self.rate >= 1.0 {
            let rounded = self.rate.round();
            return format!("Delivering, {rounded} {}/min", if rounded > 1.0 { "events" } else { "event" });
        }
        if self.rate > 0.0 {
            return "Delivering, less than 1 event/min".to_owned();
        }
        let what = match self.last_success {
            Some(at) => format!("Idle, last delivery {}", self.ago(at)),
            None => "Ready, nothing delivered yet".to_owned(),
        };
        format!("{what}{}", self.and_waiting())
    }

    fn ago(&self, at: Timestamp) -> String {
        format!("{} ago", phrase::long(self.now.since(at)))
    }
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::breaker::{FOR_GOOD, OpenKind};
    use toktra_siem_core::cause::Cause;

    use super::*;

    const NOW: Timestamp = Timestamp(1_736_942_400_000);

    fn ago(seconds: u64) -> Timestamp {
        NOW.minus(Duration::from_secs(seconds))
    }

    fn facts(breaker: &Breaker) -> Facts<'_> {
        Facts {
            platform: PlatformId::fixed("splunk"),
            now: NOW,
            off: None,
            breaker,
            pending: 0,
            failed: 0,
            oldest_pending: None,
            oldest_failed: None,
            rate: 0.0,
            last_success: None,
            failing: None,
            verdict: Verdict::Moves,
            damaged: None,
        }
    }

    fn open(kind: OpenKind, code: &'static str, probe_in: u64) -> Breaker {
        let probe_at = NOW.plus(Duration::from_secs(probe_in));
        Breaker::Open { kind, cause: Cause::new(code, "…"), since: ago(250), failures: 3, probe_at }
    }

    #[test]
    fn every_state_has_its_sentence() {
        let closed = Breaker::default();
        let down = open(OpenKind::Down, "network_refused", 12);
        let wrong = open(OpenKind::Misconfigured, "splunk_4_invalid_token", 0);
        let gone = open(OpenKind::Misconfigured, "webhook_gone", FOR_GOOD.as_secs());
        let unusable = open(OpenKind::Misconfigured, "connector_unusable", 30);
        let base = || facts(&closed);
        let late = || Facts { pending: 2, oldest_pending: Some(ago(720)), ..base() };
        let stalled = || Verdict::Stalled { since: ago(190), cause: Cause::new("stalled_worker", "…") };
        let cases = [
            Facts { off: Some(Off::Connector), pending: 312, ..base() },
            Facts { off: Some(Off::New), ..base() },
            Facts { off: Some(Off::Metrics), ..base() },
            base(),
            Facts { rate: 12.4, last_success: Some(ago(1)), ..base() },
            Facts { rate: 1.2, ..base() },
            Facts { rate: 0.2, ..base() },
            Facts { last_success: Some(ago(3 * 3600)), ..base() },
            Facts { pending: 3, oldest_pending: Some(ago(2)), last_success: Some(ago(90)), ..base() },
            Facts { pending: 300, failed: 12, oldest_pending: Some(ago(720)), oldest_failed: Some(ago(900)), ..base() },
            Facts { failed: 3, oldest_failed: Some(ago(900)), rate: 40.0, ..base() },
            Facts { failed: 1, oldest_failed: Some(ago(7200)), ..base() },
            Facts { failed: 1, pending: 311, breaker: &down, ..base() },
            Facts { failed: 1, breaker: &wrong, ..base() },
            Facts { failed: 1, pending: 311, breaker: &wrong, off: None, ..base() },
            Facts { failed: 1, pending: 311, breaker: &gone, ..base() },
            Facts { failing: Some(ago(190)), pending: 2, oldest_pending: Some(ago(200)), ..base() },
            Facts { failing: Some(ago(190)), failed: 1, pending: 311, breaker: &down, ..base() },
            Facts { damaged: Some((1, ago(190))), rate: 12.4, ..base() },
            Facts { damaged: Some((12, ago(86_399))), ..base() },
            Facts { damaged: Some((12, ago(86_400))), last_success: Some(ago(90)), ..base() },
            Facts { damaged: Some((1, ago(10))), pending: 3, oldest_pending: Some(ago(720)), ..base() },
            Facts { verdict: stalled(), ..late() },
            Facts { verdict: stalled(), breaker: &down, ..late() },
            Facts { verdict: stalled(), off: Some(Off::Connector), ..late() },
            Facts { verdict: stalled(), failing: Some(ago(190)), ..late() },
            Facts { verdict: stalled(), pending: 2, oldest_pending: Some(ago(5)), ..base() },
            Facts { verdict: Verdict::Sending, ..late() },
            Facts { verdict: Verdict::Retrying, ..late() },
            Facts { verdict: Verdict::Confirming, ..late() },
            Facts { verdict: Verdict::Starting, ..late() },
            Facts { verdict: Verdict::Failing, failed: 3, oldest_failed: Some(ago(720)), ..base() },
            Facts { off: Some(Off::Connector), ..late() },
            Facts { breaker: &unusable, ..late() },
        ];
        let reason =
            |facts: &Facts<'_>| facts.delay().map_or_else(String::new, |delay| format!(" ({:?})", delay.reason));
        let shown: Vec<String> =
            cases.iter().map(|facts| format!("{:?}{}: {}", facts.state(), reason(facts), facts.sentence())).collect();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn an_event_is_late_after_a_minute() {
        let closed = Breaker::default();
        let state = |seconds| Facts { pending: 1, oldest_pending: Some(ago(seconds)), ..facts(&closed) }.state();
        assert_eq!((state(60), state(61)), (wire::HealthState::Healthy, wire::HealthState::Degraded));
    }
}
