//! One outage of a stream: from the moment that its breaker opens until it closes. It is stored with the stream and follows the breaker in
//! the same transaction, so that what has to be told of it is known after a crash, too.
//!
//! Pure: [`follow`] is called by every store for each change of a breaker, and [`Outage::alerts`] says what a person is promised to hear of.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::breaker::{Breaker, OpenKind};
use crate::cause::Cause;
use crate::ids::DeliveryId;
use crate::time::Timestamp;

/// An endpoint that is down for less is not worth an alert. A misconfigured one needs a person in any case.
pub const WORTH_AN_ALERT: Duration = Duration::from_mins(1);
/// Outages that are remembered of a stream until all of them was told. Looks are far more frequent than outages.
pub const REMEMBERED: usize = 8;

/// Of the probes of an outage that failed, the first few and the last few are kept as attempts; all of them are counted.
pub const FIRST_PROBES: u32 = 5;
/// See [`FIRST_PROBES`].
pub const LAST_PROBES: u32 = 15;

/// Which attempt is forgotten when an outage's probe with this number has failed.
pub fn forgotten(number: u32) -> Option<u32> {
    number.checked_sub(LAST_PROBES).filter(|old| *old > FIRST_PROBES)
}

/// How long an outage lasts: what its one delivery in the history says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lasts {
    /// When the breaker opened.
    pub since: Timestamp,
    /// When it closed; `None` while it is open.
    pub until: Option<Timestamp>,
}

/// The state that an alert reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Went {
    /// The endpoint does not answer.
    Down,
    /// A person has to act.
    Misconfigured,
    /// It delivers again.
    Back,
}

/// One change of state that is told, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The new state.
    pub went: Went,
    /// When it did.
    pub at: Timestamp,
    /// Why; of [`Went::Back`] what had been wrong.
    pub cause: Cause,
}

/// A stop that is worth an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stop {
    kind: OpenKind,
    at: Timestamp,
    cause: Cause,
}

/// From the moment that a breaker opens until it closes. While its connector is switched off it goes on, but nothing is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// When the breaker opened.
    pub since: Timestamp,
    /// When it closed.
    pub until: Option<Timestamp>,
    /// What the breaker says at present; `None` once it is closed, which it is while the connector is off, too.
    kind: Option<OpenKind>,
    /// Since when it says so.
    kind_since: Timestamp,
    cause: Cause,
    /// In order, each kind once.
    stops: Vec<Stop>,
    /// How many of its alerts were told.
    pub told: usize,
    /// The first probe that failed: the others are attempts of this delivery.
    #[serde(default)]
    pub probes: Option<DeliveryId>,
}

impl Outage {
    fn new(kind: OpenKind, cause: &Cause, since: Timestamp) -> Self {
        let mut outage = Self {
            since,
            until: None,
            kind: Some(kind),
            kind_since: since,
            cause: cause.clone(),
            stops: Vec::new(),
            told: 0,
            probes: None,
        };
        outage.needs_a_person();
        outage
    }

    /// What is promised to be told up to `now`, in order: each kind of stop once (down after [`WORTH_AN_ALERT`]), and then that it is over.
    /// What was in this list stays where it is.
    pub fn alerts(&self, now: Timestamp) -> Vec<Alert> {
        let mut stops = self.stops.clone();
        stops.extend(self.lasting(now));
        let alert = |stop: Stop| Alert {
            went: if stop.kind == OpenKind::Down { Went::Down } else { Went::Misconfigured },
            at: stop.at,
            cause: stop.cause,
        };
        let mut alerts: Vec<Alert> = stops.into_iter().map(alert).collect();
        if let (Some(until), Some(last)) = (self.until, alerts.last()) {
            let cause = last.cause.clone();
            alerts.push(Alert { went: Went::Back, at: until, cause });
        }
        alerts
    }

    /// Whether there is nothing left to tell, now and later.
    pub fn is_told(&self) -> bool {
        self.until.is_some_and(|until| self.told >= self.alerts(until).len())
    }

    /// The stop of an endpoint that has been down for long enough.
    fn lasting(&self, now: Timestamp) -> Option<Stop> {
        // What was told of it holds, whatever a clock says that was read earlier or set back.
        let told = self.told > self.stops.len();
        let long = self.kind == Some(OpenKind::Down) && (told || now.since(self.kind_since) >= WORTH_AN_ALERT);
        let first = self.stops.iter().all(|stop| stop.kind != OpenKind::Down);
        let at = self.kind_since.plus(WORTH_AN_ALERT);
        (long && first).then(|| Stop { kind: OpenKind::Down, at, cause: self.cause.clone() })
    }

    fn needs_a_person(&mut self) {
        let first = self.stops.iter().all(|stop| stop.kind != OpenKind::Misconfigured);
        if self.kind == Some(OpenKind::Misconfigured) && first {
            self.stops.push(Stop { kind: OpenKind::Misconfigured, at: self.kind_since, cause: self.cause.clone() });
        }
    }

    /// The breaker says something else from now on.
    fn turn(&mut self, kind: Option<OpenKind>, now: Timestamp) {
        let lasted = self.lasting(now);
        self.stops.extend(lasted);
        (self.kind, self.kind_since) = (kind, now);
    }
}

/// Brings a stream's outages up to date: its breaker goes from `before` to `after`, `active` is whether its connector is on afterwards.
/// Outages that are over and told are forgotten.
pub fn follow(outages: &mut Vec<Outage>, before: &Breaker, after: &Breaker, active: bool, now: Timestamp) {
    if outages.last().is_none_or(|last| last.until.is_some())
        && let Breaker::Open { kind, cause, since, .. } = if before.is_closed() { after } else { before }
    {
        outages.push(Outage::new(*kind, cause, *since));
    }
    if let Some(last) = outages.last_mut().filter(|last| last.until.is_none()) {
        match after {
            Breaker::Open { kind, cause, .. } => {
                if last.kind != Some(*kind) {
                    last.turn(Some(*kind), now);
                }
                last.cause = cause.clone();
                last.needs_a_person();
            }
            Breaker::Closed { .. } => {
                last.turn(None, now);
                last.probes = None;
                // What is switched off delivers nothing: that it delivers again is told once it is on.
                last.until = active.then_some(now);
            }
        }
    }
    outages.retain(|outage| !outage.is_told());
    let spare = outages.len().saturating_sub(REMEMBERED);
    outages.drain(..spare);
}

/// The delivery that probes which fail now are attempts of.
pub fn probes(outages: &[Outage]) -> Option<DeliveryId> {
    outages.last().filter(|last| last.until.is_none())?.probes
}

/// Keeps that the first `told` alerts of the outage that began at `since` were told.
pub fn tell(outages: &mut Vec<Outage>, since: Timestamp, told: usize) {
    if let Some(outage) = outages.iter_mut().find(|outage| outage.since == since) {
        outage.told = outage.told.max(told);
    }
    outages.retain(|outage| !outage.is_told());
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Timestamp = Timestamp(1_736_937_000_000);

    fn at(seconds: u64) -> Timestamp {
        ORIGIN.plus(Duration::from_secs(seconds))
    }

    /// A breaker that opened at a second, and says this now.
    fn open(kind: OpenKind, since: u64) -> Breaker {
        let code = if kind == OpenKind::Down { "down" } else { "misconfigured" };
        Breaker::Open { kind, cause: Cause::new(code, "…"), since: at(since), failures: 0, probe_at: at(since) }
    }

    /// What a stream goes through: at which second, to which state (`h`ealthy, `d`own, `m`isconfigured, `o`ff). The alerts up to `until`,
    /// told as soon as they are due or only at the end: that makes no difference.
    fn told(changes: &[(u64, char)], until: u64) -> String {
        let (prompt, late) = (play(changes, until, true), play(changes, until, false));
        assert_eq!(prompt, late, "{changes:?}");
        prompt.iter().map(|(word, second)| format!("{word}@{second}")).collect::<Vec<_>>().join(" ")
    }

    fn play(changes: &[(u64, char)], until: u64, promptly: bool) -> Vec<(char, i64)> {
        let (mut outages, mut breaker, mut active, mut since) = (Vec::new(), Breaker::default(), true, 0);
        let mut told = Vec::new();
        for second in 0..=until {
            for (_, to) in changes.iter().filter(|(when, _)| *when == second) {
                let was_open = !breaker.is_closed();
                since = if was_open { since } else { second };
                active = *to != 'o';
                let next = match to {
                    'd' => open(OpenKind::Down, since),
                    'm' => open(OpenKind::Misconfigured, since),
                    _ => Breaker::default(),
                };
                follow(&mut outages, &breaker, &next, active, at(second));
                // Once more: a probe that fails changes nothing that is told.
                follow(&mut outages, &next, &next, active, at(second));
                breaker = next;
            }
            if promptly || second == until {
                // What is stored is what is read after a restart.
                let stored = serde_json::to_string(&outages).unwrap();
                outages = serde_json::from_str(&stored).unwrap();
                for outage in outages.clone() {
                    let alerts = outage.alerts(at(second));
                    let new = alerts.iter().skip(outage.told).map(|alert| {
                        let word = match alert.went {
                            Went::Down => 'd',
                            Went::Misconfigured => 'm',
                            Went::Back => 'h',
                        };
                        (word, (alert.at.0 - ORIGIN.0) / 1000)
                    });
                    told.extend(new);
                    tell(&mut outages, outage.since, alerts.len());
                }
            }
        }
        assert!(outages.len() <= 1 && !(breaker.is_closed() && active && !outages.is_empty()), "{outages:?}");
        told
    }

    #[test]
    fn every_change_is_told_once_and_in_order() {
        for (changes, expected) in [
            (&[(5, 'd')][..], "d@65"),
            (&[(5, 'm')], "m@5"),
            (&[(5, 'd'), (64, 'h')], ""),
            (&[(5, 'd'), (65, 'h')], "d@65 h@65"),
            (&[(5, 'd'), (90, 'm')], "d@65 m@90"),
            (&[(5, 'd'), (30, 'm')], "m@30"),
            (&[(5, 'd'), (30, 'm'), (90, 'h')], "m@30 h@90"),
            (&[(5, 'm'), (6, 'h')], "m@5 h@6"),
            (&[(5, 'm'), (20, 'd')], "m@5 d@80"),
            (&[(5, 'm'), (20, 'd'), (50, 'm'), (60, 'h')], "m@5 h@60"),
            (&[(5, 'm'), (20, 'd'), (90, 'm'), (160, 'd'), (290, 'h')], "m@5 d@80 h@290"),
            (&[(5, 'm'), (6, 'h'), (7, 'm'), (8, 'h'), (9, 'd')], "m@5 h@6 m@7 h@8 d@69"),
            (&[(5, 'd'), (90, 'o')], "d@65"),
            (&[(5, 'd'), (20, 'o'), (200, 'h')], ""),
            (&[(5, 'd'), (90, 'o'), (200, 'h')], "d@65 h@200"),
            (&[(5, 'm'), (6, 'o'), (200, 'h'), (210, 'm')], "m@5 h@200 m@210"),
            (&[(5, 'o'), (9, 'h')], ""),
        ] {
            assert_eq!(told(changes, 300), expected, "{changes:?}");
        }
    }

    /// The one who looks reads the clock before the one who writes is heard, and clocks are set back.
    #[test]
    fn what_was_told_holds_though_the_next_change_bears_an_earlier_time() {
        for next in [Breaker::default(), open(OpenKind::Misconfigured, 5)] {
            let (down, mut outages) = (open(OpenKind::Down, 5), Vec::new());
            follow(&mut outages, &Breaker::default(), &down, true, at(5));
            assert_eq!(outages[0].alerts(at(66)).len(), 1);
            tell(&mut outages, at(5), 1);
            follow(&mut outages, &down, &next, true, at(64));
            let went: Vec<Went> = outages[0].alerts(at(66)).iter().map(|alert| alert.went).collect();
            let second = if next.is_closed() { Went::Back } else { Went::Misconfigured };
            assert_eq!((went, outages[0].told), (vec![Went::Down, second], 1));
        }
    }

    #[test]
    fn an_outage_that_began_before_outages_were_kept_is_taken_up_as_it_stands() {
        let mut outages = Vec::new();
        follow(&mut outages, &open(OpenKind::Misconfigured, 5), &Breaker::default(), true, at(9));
        let went: Vec<Went> = outages[0].alerts(at(9)).iter().map(|alert| alert.went).collect();
        assert_eq!((outages[0].since, went), (at(5), vec![Went::Misconfigured, Went::Back]));
    }

    #[test]
    fn of_many_probes_the_first_and_the_last_are_kept() {
        let mut kept: Vec<u32> = Vec::new();
        for number in 1..=87 {
            kept.push(number);
            kept.retain(|old| Some(*old) != forgotten(number));
        }
        assert_eq!(kept, (1..=5).chain(73..=87).collect::<Vec<_>>());
    }

    #[test]
    fn what_nobody_is_told_of_does_not_pile_up() {
        let mut outages = Vec::new();
        for n in 0..20 {
            let breaker = open(OpenKind::Misconfigured, n * 2);
            follow(&mut outages, &Breaker::default(), &breaker, true, at(n * 2));
            follow(&mut outages, &breaker, &Breaker::default(), true, at(n * 2 + 1));
        }
        assert_eq!((outages.len(), outages.last().unwrap().since), (REMEMBERED, at(38)));
    }
}
