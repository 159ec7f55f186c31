//! `delivery::step` driven to the end by a small interpreter, against the invariants (ARCHITECTURE.md, "What always holds"): whatever platforms
//! answer, every event comes to exactly one end, and it does so after a bounded number of attempts.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use toktra_siem_core::accounting::{Accounting, Counts};
use toktra_siem_core::breaker::Signal;
use toktra_siem_core::delivery::{Delivery, Input, ParkKind, Policy, Status, Step, Trigger, Window, step};
use toktra_siem_core::destination::{EndpointState, Judgement, Omitted, Outcome, Receipt, Run, Tally, Verdict};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::ids::Seq;
use toktra_siem_core::members::Members;

use support::{NOW, all, cause, delivery, items, verdict};

mod support;

/// A platform that answers as its script says, for ever.
struct Script(Box<dyn Iterator<Item = u8>>);

impl Script {
    fn new(bytes: Vec<u8>) -> Self {
        Self(Box::new(bytes.into_iter().cycle()))
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.0.next().unwrap_or(0) as usize % sides
    }

    fn outcome(&mut self) -> Outcome {
        match self.roll(8) {
            0 | 1 => Outcome::Delivered { warning: None },
            2 => Outcome::Delivered { warning: Some(cause("warned")) },
            3 => Outcome::Rejected(cause(["poison", "conflict"][self.roll(2)])),
            4 => Outcome::Held(cause("held")),
            5 => Outcome::Unread,
            6 => Outcome::Refused(cause(["poison", "conflict"][self.roll(2)])),
            _ => Outcome::Retry(cause("later")),
        }
    }

    fn runs(&mut self, count: usize) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut left = count;
        while left > 0 {
            let len = 1 + self.roll(left.min(5));
            runs.push(Run { len, outcome: self.outcome() });
            left -= len;
        }
        runs
    }

    fn endpoint(&mut self) -> EndpointState {
        match self.roll(7) {
            0 | 1 => EndpointState::Healthy,
            2 => EndpointState::SlowDown,
            3 => EndpointState::Backoff { after: None },
            4 => EndpointState::Backoff { after: Some(Duration::from_secs(self.roll(200) as u64)) },
            5 => EndpointState::Gone(cause("gone")),
            _ => EndpointState::Misconfigured(cause("settings")),
        }
    }

    fn input(&mut self, delivery: &Delivery) -> Input {
        if delivery.awaiting.is_some() {
            return if self.roll(2) == 0 { Input::Confirmed } else { Input::Unconfirmed(cause("unconfirmed")) };
        }
        let count = delivery.items();
        let most_omitted = if delivery.window.is_some() { 0 } else { count };
        let omitted: Vec<Omitted> = match self.roll(4) {
            0 => (0..most_omitted)
                .filter(|_| self.roll(3) == 0)
                .map(|position| Omitted { position, cause: cause("large") })
                .collect(),
            _ => Vec::new(),
        };
        let sent = count - omitted.len();
        if sent == 0 {
            return Input::Unsendable { omitted };
        }
        let judgement = match self.roll(10) {
            0 => Judgement::all(sent, Outcome::Retry(cause("down"))),
            1 if self.roll(2) == 0 => Judgement::all(sent, Outcome::Refused(cause("blanket"))),
            1 => Judgement::all(sent, Outcome::Rejected(cause("blanket"))),
            2 => Judgement::all(sent, Outcome::Unread),
            3 | 4 => Judgement::Split(cause("too large")),
            5 => Judgement::Items(self.runs(sent + 1)),
            6 => Judgement::all(sent, Outcome::Delivered { warning: None }),
            _ => Judgement::Items(self.runs(sent)),
        };
        let confirm = (self.roll(3) == 0).then(|| Receipt(serde_json::json!({ "channel": "c", "id": 1 })));
        let endpoint = self.endpoint();
        match self.roll(40) {
            0 => Input::Expired(cause("too old")),
            _ => Input::Judged { verdict: Verdict { judgement, endpoint, confirm }, omitted },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Delivered,
    Rejected,
    Failed,
    Expired,
}

/// What became of a delivery and all that came of it.
#[derive(Debug, Default)]
struct Outcomes {
    ends: BTreeMap<u64, End>,
    counts: Counts,
    deliveries: usize,
    attempts: u32,
    statuses: Vec<Status>,
    signals: Vec<Signal>,
}

/// Drives `first` and its children to the end, checking each step.
fn run(first: Delivery, mut answer: impl FnMut(&Delivery) -> Input) -> Outcomes {
    let policy = Policy::default();
    let bound = 3 * first.items().max(1);
    let mut outcomes = Outcomes::default();
    let mut queue = VecDeque::from([first]);
    while let Some(mut delivery) = queue.pop_front() {
        outcomes.deliveries += 1;
        assert!(outcomes.deliveries <= bound, "no end after {bound} deliveries");
        while delivery.status == Status::Pending {
            let input = answer(&delivery);
            let next = step(&delivery, input.clone(), NOW, &policy);
            check(&delivery, &input, &next, &policy);
            outcomes.counts += next.counts;
            outcomes.signals.push(next.signal.clone());
            record(&mut outcomes.ends, &delivery, &input, &next);
            let children = next.children.iter().rev().map(|child| Delivery {
                parent: Some(delivery.id),
                window: delivery.window.clone(),
                accounted: delivery.accounted,
                probe: delivery.probe,
                due_at: Some(NOW.plus(child.pause)),
                ..delivery_like(&delivery, child.members.clone())
            });
            children.for_each(|child| queue.push_front(child));
            delivery = next.delivery;
        }
        outcomes.attempts += delivery.attempts;
        outcomes.statuses.push(delivery.status);
        let settled = step(&delivery, Input::Confirmed, NOW, &policy);
        assert_eq!(settled.delivery, delivery, "a settled delivery never changes");
        assert_eq!((settled.counts, settled.signal), (Counts::default(), Signal::Nothing));
    }
    outcomes
}

fn delivery_like(parent: &Delivery, members: Members) -> Delivery {
    Delivery::new(parent.id, parent.org, parent.stream, parent.trigger, members, NOW)
}

fn record(ends: &mut BTreeMap<u64, End>, before: &Delivery, input: &Input, next: &Step) {
    let mut end = |members: &Members, end: End| {
        for seq in members.iter() {
            assert_eq!(ends.insert(seq.0, end), None, "{seq} has come to an end twice");
        }
    };
    end(&next.arrived, End::Delivered);
    for parking in &next.parked {
        end(&parking.members, if parking.kind == ParkKind::Failed { End::Failed } else { End::Rejected });
    }
    if matches!(input, Input::Expired(_)) {
        end(&before.members, End::Expired);
    }
}

/// What holds for every single step.
fn check(before: &Delivery, input: &Input, next: &Step, policy: &Policy) {
    let after = &next.delivery;
    assert_eq!(next.counts.total(), 0, "a step moves events, it neither makes nor loses any (D1)");
    assert!(after.attempts <= policy.attempts, "D2");
    if before.probe || before.trigger == Trigger::Test {
        assert!(after.attempts <= 1);
    }
    if matches!(input, Input::Judged { .. }) {
        assert_eq!(after.attempts, before.attempts + 1, "every attempt is recorded");
    } else {
        assert_eq!(after.attempts, before.attempts);
    }
    if after.status == Status::Pending {
        assert!(next.children.is_empty() && next.parked.is_empty() && next.arrived.is_empty());
        assert_eq!(next.counts, Counts::default());
        assert_ne!(next.retry_in.is_some(), after.awaiting.is_some(), "it waits for one thing");
        assert_eq!(after.due_at, next.retry_in.map(|pause| NOW.plus(pause)));
    } else {
        assert_eq!((after.settled_at, after.due_at, &next.retry_in), (Some(NOW), None, &None));
        assert!(after.awaiting.is_none());
    }
    let asked = match input {
        Input::Judged { verdict: Verdict { endpoint: EndpointState::Backoff { after: Some(after) }, .. }, .. } => {
            (*after).min(Duration::from_mins(1))
        }
        _ => Duration::ZERO,
    };
    if let Some(pause) = next.retry_in {
        let literal = [Duration::from_secs(1), Duration::from_secs(2)][after.attempts as usize - 1];
        assert_eq!(pause, literal.max(asked));
    }
    if before.window.is_some() {
        assert!(next.children.is_empty(), "a window is never cut");
    }
    if matches!(after.status, Status::Partial | Status::Split) {
        assert!(!next.children.is_empty() || after.status == Status::Partial);
        assert!(next.children.len() <= 3);
        assert!(next.children.iter().all(|child| !child.members.is_empty() && child.members.len() < before.items()));
    }
    if before.accounted && after.status != Status::Pending && !matches!(input, Input::Expired(_)) {
        let mut accounted: Vec<Seq> = next.arrived.iter().collect();
        accounted.extend(next.children.iter().flat_map(|child| child.members.iter()));
        accounted.extend(next.parked.iter().flat_map(|parking| parking.members.iter()));
        accounted.sort_unstable();
        assert_eq!(accounted, before.members.iter().collect::<Vec<_>>(), "children cover exactly the remainder");
    }
    if !before.accounted {
        assert!(next.parked.is_empty() && next.arrived.is_empty());
        assert_eq!(next.counts, Counts::default());
        assert!(!matches!(next.signal, Signal::SingleRejected { .. }));
    }
}

fn window(trigger: Trigger, counts: &[u64], seqs: std::ops::Range<u64>) -> Delivery {
    let mut tally = Tally::default();
    for (at, count) in counts.iter().enumerate() {
        (0..*count).for_each(|_| tally.add(EventType::ALL[at % EventType::ALL.len()], Severity::High));
    }
    Delivery { window: Some(Window { start: NOW, tally }), ..delivery(trigger, seqs) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_event_comes_to_exactly_one_end(
        seqs in proptest::collection::btree_set(1u64..200, 1..40), script in proptest::collection::vec(any::<u8>(), 1..80),
        recovery: bool,
    ) {
        let trigger = if recovery { Trigger::Recovery } else { Trigger::Live };
        let mut script = Script::new(script);
        let outcomes = run(delivery(trigger, seqs.iter().copied()), |delivery| script.input(delivery));
        prop_assert!(outcomes.ends.keys().eq(seqs.iter()));
        let number = |end| i64::try_from(outcomes.ends.values().filter(|e| **e == end).count()).unwrap();
        let opened = Counts { pending: i64::try_from(seqs.len()).unwrap(), ..Counts::default() };
        let mut counts = opened;
        counts += outcomes.counts;
        prop_assert_eq!(counts, Counts {
            delivered: number(End::Delivered), rejected: number(End::Rejected), failed: number(End::Failed),
            expired: number(End::Expired), ..Counts::default()
        });
        let account = Accounting { accepted: seqs.len() as u64, waiting: 0, counts };
        prop_assert!(account.adds_up());
    }


    #[test]
    fn a_window_is_judged_as_one_and_counts_its_events(
        counts in proptest::collection::vec(1u64..9, 1..4), others in 0u64..9, script in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let events: u64 = counts.iter().sum();
        let mut script = Script::new(script);
        let outcomes = run(window(Trigger::Live, &counts, 1..1 + events + others), |delivery| script.input(delivery));
        prop_assert_eq!(outcomes.deliveries, 1);
        prop_assert_eq!(outcomes.counts.pending, -i64::try_from(events).unwrap());
        let ends: Vec<_> = outcomes.ends.values().collect();
        prop_assert_eq!(ends.len() as u64, events + others);
        prop_assert!(ends.iter().all(|end| *end == ends[0]));
    }


    #[test]
    fn what_is_not_accounted_leaves_outcomes_alone(
        trigger in select(vec![Trigger::Replay, Trigger::Redelivery, Trigger::Test]), count in 1u64..30,
        script in proptest::collection::vec(any::<u8>(), 1..80),
    ) {
        let seqs = if trigger == Trigger::Test { 0..0 } else { 1..count + 1 };
        let mut script = Script::new(script);
        let outcomes = run(delivery(trigger, seqs), |delivery| script.input(delivery));
        prop_assert_eq!(outcomes.counts, Counts::default());
    }


    #[test]
    fn a_probe_has_one_attempt(script in proptest::collection::vec(any::<u8>(), 1..40)) {
        let mut script = Script::new(script);
        let outcomes = run(Delivery { probe: true, ..delivery(Trigger::Recovery, [7]) }, |delivery| script.input(delivery));
        prop_assert_eq!(outcomes.deliveries, 1);
        prop_assert!(outcomes.attempts <= 1);
    }


    #[test]
    fn an_endless_413_ends_with_single_events(count in 1usize..300) {
        let outcomes = run(delivery(Trigger::Live, 1..=count as u64), |_| {
            verdict(Judgement::Split(cause("too large")), EndpointState::Healthy)
        });
        prop_assert_eq!(outcomes.deliveries, 2 * count - 1);
        prop_assert_eq!(outcomes.attempts as usize, count - 1 + 3 * count, "each part has its attempts");
        prop_assert!(outcomes.ends.values().all(|end| *end == End::Rejected));
        let failed = outcomes.statuses.iter().filter(|status| **status == Status::Failed).count();
        prop_assert_eq!(failed, count);
        let singles = outcomes.signals.iter().filter(|s| matches!(s, Signal::SingleRejected { .. })).count();
        prop_assert_eq!(singles, 3 * count, "the breaker hears of each at once");
    }


    #[test]
    fn an_endless_partial_refusal_waits_each_time_and_ends(count in 2usize..60, after in proptest::option::of(0u64..200)) {
        let after = after.map(Duration::from_secs);
        let mut pauses = Vec::new();
        let outcomes = run(delivery(Trigger::Live, 1..=count as u64), |delivery| {
            pauses.push(delivery.due_at.unwrap().since(NOW));
            let mut runs = vec![Run { len: 1, outcome: Outcome::Delivered { warning: None } }];
            if delivery.items() > 1 {
                runs.push(Run { len: delivery.items() - 1, outcome: Outcome::Retry(cause("429")) });
            }
            verdict(Judgement::Items(runs), EndpointState::Backoff { after })
        });
        prop_assert_eq!(outcomes.deliveries, count);
        let wait = after.unwrap_or_default().clamp(Duration::from_secs(1), Duration::from_mins(1));
        prop_assert!(pauses[1..].iter().all(|pause| *pause == wait));
    }
}

#[test]
fn three_attempts_at_once_after_one_and_after_two_seconds() {
    let policy = Policy::default();
    let mut pending = delivery(Trigger::Live, 1..=3);
    assert_eq!(pending.due_at, Some(NOW));
    let mut pauses = Vec::new();
    let signal = loop {
        let next = step(&pending, all(3, Outcome::Retry(cause("down"))), NOW, &policy);
        pending = next.delivery;
        let Some(pause) = next.retry_in else { break next.signal };
        pauses.push(pause);
    };
    assert_eq!((pending.status, pending.attempts), (Status::Failed, 3));
    assert!(matches!(signal, Signal::Failed { misconfigured: false, .. }));
    assert_eq!(pauses, [Duration::from_secs(1), Duration::from_secs(2)]);
}

#[test]
fn a_reply_that_reads_nothing_uses_up_attempts() {
    let outcomes = run(delivery(Trigger::Live, 1..=5), |_| all(5, Outcome::Unread));
    assert_eq!((outcomes.deliveries, outcomes.attempts), (1, 3));
    let mixed = vec![Run { len: 1, outcome: Outcome::Retry(cause("busy")) }, Run { len: 4, outcome: Outcome::Unread }];
    let outcomes = run(delivery(Trigger::Live, 1..=5), |_| items(mixed.clone()));
    assert_eq!((outcomes.deliveries, outcomes.attempts), (1, 3));
}

#[test]
fn a_verdict_that_does_not_fit_the_batch_is_unknown_and_loses_nothing() {
    for len in [0, 2, 4] {
        let outcomes = run(delivery(Trigger::Live, 1..=3), |_| all(len, Outcome::Delivered { warning: None }));
        assert_eq!(outcomes.attempts, 3);
        assert_eq!(outcomes.counts.failed, 3);
    }
    let outcomes = run(delivery(Trigger::Live, 1..=3), |_| Input::Unsendable { omitted: vec![] });
    assert_eq!((outcomes.attempts, outcomes.counts.rejected), (0, 3));
}

#[test]
fn a_blanket_rejection_is_held_and_a_smaller_or_mixed_one_is_not() {
    let same = |delivery: &Delivery| all(delivery.items(), Outcome::Rejected(cause("400")));
    for (count, held) in [(9, false), (10, true), (500, true)] {
        let outcomes = run(delivery(Trigger::Live, 1..=count), same);
        assert_eq!(outcomes.attempts, if held { 3 } else { 1 });
        let expected = if held { End::Failed } else { End::Rejected };
        assert!(outcomes.ends.values().all(|end| *end == expected), "{count}");
        assert_eq!(outcomes.signals.iter().any(|s| matches!(s, Signal::Failed { misconfigured: true, .. })), held);
    }
    let two = vec![
        Run { len: 10, outcome: Outcome::Rejected(cause("400")) },
        Run { len: 1, outcome: Outcome::Rejected(cause("mapping")) },
    ];
    let outcomes = run(delivery(Trigger::Live, 1..=11), |_| items(two.clone()));
    assert_eq!((outcomes.attempts, outcomes.counts.rejected), (1, 11));
}

#[test]
fn what_a_person_sends_again_may_be_refused_as_one_for_good() {
    let same = |delivery: &Delivery| all(delivery.items(), Outcome::Rejected(cause("400")));
    let redelivery = Delivery { accounted: true, ..delivery(Trigger::Redelivery, 1..=12) };
    let outcomes = run(redelivery, same);
    assert_eq!((outcomes.attempts, outcomes.counts.rejected), (1, 12));
    assert!(outcomes.ends.values().all(|end| *end == End::Rejected));
    assert!(!outcomes.signals.iter().any(|signal| matches!(signal, Signal::Failed { .. })));
}

#[test]
fn a_blanket_rejection_is_seen_behind_events_that_could_not_be_encoded() {
    let outcomes = run(delivery(Trigger::Live, 1..=12), |delivery| {
        let fifth = delivery.members.iter().enumerate().filter(|(_, seq)| seq.0 == 5);
        let omitted: Vec<_> = fifth.map(|(position, _)| Omitted { position, cause: cause("large") }).collect();
        let judgement = Judgement::all(delivery.items() - omitted.len(), Outcome::Rejected(cause("400")));
        Input::Judged { verdict: Verdict { judgement, endpoint: EndpointState::Healthy, confirm: None }, omitted }
    });
    assert_eq!((outcomes.counts.rejected, outcomes.counts.failed), (1, 11));
    assert_eq!(outcomes.ends[&5], End::Rejected);
    assert_eq!(outcomes.statuses, [Status::Partial, Status::Failed]);
}

#[test]
fn a_single_test_tells_its_person_and_not_the_breaker_when_it_fails() {
    let tried = step(&delivery(Trigger::Test, []), all(1, Outcome::Retry(cause("down"))), NOW, &Policy::default());
    assert_eq!((tried.delivery.status, tried.delivery.attempts, tried.signal), (Status::Failed, 1, Signal::Nothing));
    let works =
        step(&delivery(Trigger::Test, []), all(1, Outcome::Delivered { warning: None }), NOW, &Policy::default());
    assert_eq!(
        (works.delivery.status, works.delivery.delivered, works.signal),
        (Status::Delivered, 1, Signal::Success)
    );
}

#[test]
fn acceptance_is_not_delivery_where_it_will_be_confirmed() {
    let accepted = |endpoint| Input::Judged {
        verdict: Verdict {
            judgement: Judgement::all(2, Outcome::Delivered { warning: None }),
            endpoint,
            confirm: Some(Receipt(serde_json::json!({ "channel": "c", "id": 9 }))),
        },
        omitted: vec![],
    };
    let policy = Policy::default();
    let waiting = step(&delivery(Trigger::Live, 1..=2), accepted(EndpointState::SlowDown), NOW, &policy);
    assert_eq!(
        (waiting.delivery.status, waiting.counts, waiting.signal),
        (Status::Pending, Counts::default(), Signal::SlowDown)
    );
    let confirmed = step(&waiting.delivery, Input::Confirmed, NOW, &policy);
    assert_eq!((confirmed.counts.delivered, confirmed.delivery.cause), (2, None));
    let unconfirmed = step(&waiting.delivery, Input::Unconfirmed(cause("ack")), NOW, &policy);
    assert_eq!((unconfirmed.counts.delivered, unconfirmed.delivery.cause), (2, Some(cause("ack"))));
}
