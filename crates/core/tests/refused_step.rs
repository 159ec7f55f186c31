//! Requests that are refused: three attempts as the product specification has it, alone, and without holding up anything else.

use std::time::Duration;

use toktra_siem_core::breaker::Signal;
use toktra_siem_core::delivery::{Delivery, ParkKind, Policy, Status, Trigger, step};
use toktra_siem_core::destination::{EndpointState, Judgement, Outcome, Run};
use toktra_siem_core::ids::Seq;

use support::{NOW, all, cause, delivery, items, verdict};

mod support;

/// The product spec, "Retry behavior": a request that is not answered with success has three attempts, then its delivery has failed.
/// An answer of 2xx that refuses an item ends that one at once.
#[test]
fn a_request_that_is_refused_has_three_attempts_and_an_item_that_is_rejected_has_one() {
    let policy = Policy::default();
    let refusals = [
        all(1, Outcome::Refused(cause("400"))),
        verdict(Judgement::Split(cause("413")), EndpointState::Healthy),
        all(1, Outcome::Retry(cause("503"))),
        all(1, Outcome::Held(cause("401"))),
    ];
    for refusal in refusals {
        let (mut pending, mut pauses) = (delivery(Trigger::Live, [7]), Vec::new());
        let last = loop {
            let next = step(&pending, refusal.clone(), NOW, &policy);
            let Some(pause) = next.retry_in else { break next };
            pauses.push(pause);
            pending = next.delivery;
        };
        assert_eq!((last.delivery.status, last.delivery.attempts), (Status::Failed, 3), "{refusal:?}");
        assert_eq!(pauses, [Duration::from_secs(1), Duration::from_secs(2)], "{refusal:?}");
    }
    let item = step(&delivery(Trigger::Live, [7]), all(1, Outcome::Rejected(cause("mapping"))), NOW, &policy);
    assert_eq!((item.delivery.status, item.delivery.attempts), (Status::Rejected, 1));
}

#[test]
fn one_refused_event_of_a_batch_goes_on_alone_and_keeps_nobody_waiting() {
    let runs = vec![
        Run { len: 2, outcome: Outcome::Delivered { warning: None } },
        Run { len: 1, outcome: Outcome::Refused(cause("6")) },
        Run { len: 4, outcome: Outcome::Unread },
    ];
    let next = step(&delivery(Trigger::Live, 1..=7), items(runs), NOW, &Policy::default());
    assert_eq!((next.delivery.status, next.delivery.delivered), (Status::Partial, 2));
    let told: Vec<_> =
        next.children.iter().map(|c| (c.members.iter().map(|s| s.0).collect::<Vec<_>>(), c.pause, c.refused)).collect();
    assert_eq!(told, [(vec![4, 5, 6, 7], Duration::ZERO, false), (vec![3], Duration::from_secs(1), true)]);
    assert!(next.parked.is_empty() && next.signal == Signal::Success);

    let alone = step(&delivery(Trigger::Live, [3]), all(1, Outcome::Refused(cause("6"))), NOW, &Policy::default());
    assert!(alone.refused && matches!(alone.signal, Signal::SingleRejected { seq: Seq(3), .. }));
    let failing = step(&delivery(Trigger::Live, [3]), all(1, Outcome::Retry(cause("503"))), NOW, &Policy::default());
    assert!(!failing.refused && failing.signal == Signal::Backoff);
}

#[test]
fn what_is_refused_while_the_breaker_is_open_waits_for_recovery() {
    let last = Delivery { attempts: 2, ..delivery(Trigger::Live, [3]) };
    let end = step(&last, all(1, Outcome::Refused(cause("400"))), NOW, &Policy::default());
    assert_eq!((end.counts.rejected, end.parked[0].kind), (1, ParkKind::Rejected));
    let held = end.held();
    assert_eq!((held.counts.rejected, held.counts.failed, held.delivery.rejected), (0, 1, 0));
    assert_eq!((held.delivery.status, held.parked[0].kind), (Status::Failed, ParkKind::Failed));
}
