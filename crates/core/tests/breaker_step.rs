//! `breaker::Breaker::step` under any sequence of signals, against a plain model of when a stream may send.

use std::time::Duration;

use proptest::prelude::*;
use toktra_siem_core::breaker::{
    Breaker, OpenKind, PROBE_CAP_DOWN, PROBE_CAP_MISCONFIGURED, SUSPECTS, Signal, Transition,
};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::ids::Seq;
use toktra_siem_core::time::Timestamp;

fn any_signal() -> impl Strategy<Value = Signal> {
    let failed = (any::<bool>(), 0u64..61).prop_map(|(misconfigured, asked)| Signal::Failed {
        cause: Cause::new("down", "why"),
        misconfigured,
        asked: Duration::from_secs(asked),
    });
    let single = (1u64..30, 0u8..20).prop_map(|(seq, other)| Signal::SingleRejected {
        seq: Seq(seq),
        cause: Cause::new(if other == 0 { "other" } else { "400" }, "why"),
    });
    prop_oneof![
        1 => Just(Signal::Nothing),
        1 => Just(Signal::Backoff),
        1 => Just(Signal::SlowDown),
        1 => Just(Signal::Success),
        1 => Just(Signal::Reset),
        1 => failed,
        20 => single,
    ]
}

/// What the breaker must be, kept by hand.
#[derive(Default)]
struct Model {
    open: bool,
    /// Single events rejected in a row, and why.
    row: Vec<Seq>,
    code: String,
}

impl Model {
    /// Applies `signal`; gives the events that are held when it opens the breaker.
    fn apply(&mut self, signal: &Signal) -> Option<Vec<Seq>> {
        let was_open = self.open;
        match signal {
            Signal::Success | Signal::SlowDown | Signal::Reset => *self = Self::default(),
            Signal::Failed { .. } => {
                self.open = true;
                self.row.clear();
            }
            Signal::SingleRejected { seq, cause } if !self.open => {
                if self.code != cause.code {
                    self.row.clear();
                }
                self.code = cause.code.clone().into_owned();
                if !self.row.contains(seq) {
                    self.row.push(*seq);
                }
                self.open = self.row.len() == 10;
            }
            Signal::Nothing | Signal::Backoff | Signal::SingleRejected { .. } => {}
        }
        (self.open && !was_open).then(|| std::mem::take(&mut self.row))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn opens_closes_and_probes_as_the_model_says(
        signals in proptest::collection::vec((any_signal(), 0u32..5000, 0.0f64..1.0), 1..60),
    ) {
        let (mut breaker, mut model, mut now) = (Breaker::default(), Model::default(), Timestamp(0));
        for (signal, later, jitter) in signals {
            now = Timestamp(now.0 + i64::from(later));
            let was_open = model.open;
            let held = model.apply(&signal);
            let (next, transition) = breaker.step(&signal, now, jitter);
            prop_assert_eq!(next.is_closed(), !model.open);
            let asked = if let Signal::Failed { asked, .. } = &signal { *asked } else { Duration::ZERO };
            match &transition {
                Transition::Opened { held: found, .. } => prop_assert_eq!(Some(found), held.as_ref()),
                Transition::Closed => prop_assert!(was_open && !model.open),
                Transition::ProbeAgain { .. } => prop_assert!(was_open && model.open),
                Transition::None => prop_assert!(held.is_none() && was_open == model.open),
            }
            if let Breaker::Open { kind, probe_at, since, .. } = &next {
                prop_assert!(*since <= now);
                if let Transition::Opened { probe_in, .. } | Transition::ProbeAgain { probe_in } = transition {
                    let cap = if *kind == OpenKind::Down { PROBE_CAP_DOWN } else { PROBE_CAP_MISCONFIGURED };
                    prop_assert_eq!(*probe_at, now.plus(probe_in));
                    prop_assert!(probe_in >= asked.max(Duration::from_millis(500)) && probe_in <= cap.max(asked));
                }
            }
            if let Breaker::Closed { suspects, .. } = &next {
                prop_assert!(suspects.len() < SUSPECTS);
            }
            let stored: Breaker = serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap();
            prop_assert_eq!(&stored, &next, "a hold survives a restart");
            breaker = next;
        }
        let (closed, _) = breaker.step(&Signal::Success, now, 0.5);
        prop_assert_eq!(closed, Breaker::default());
    }
}
