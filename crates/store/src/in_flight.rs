//! What retention waits for, and what becomes of a pending delivery that it does not wait for. One rule for every backend.
//!
//! A pending delivery may be on the wire, and then its outcome has to be waited for. But it may as well lie still: its connector was
//! switched off, cannot be used, or is gone from the environment. Such a delivery must not keep payloads for ever, least of all those of
//! other orgs. No attempt lasts longer than about a minute, nor does any pause between two, so time alone tells them apart.

use std::time::Duration;

use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Delivery, Input, ParkKind, Parked, Policy, step};
use toktra_siem_core::ids::Seq;
use toktra_siem_core::time::Timestamp;

use crate::deliveries::Settlement;
use crate::rules::time::is_ahead;

/// How long a pending delivery is waited for after the last thing that is known of it.
pub const WAITED_FOR: Duration = Duration::from_mins(10);

/// Whether a request of the pending `delivery` may be on the wire, or its confirmation about to come: it was opened, its next attempt
/// was due, or the platform accepted it less than [`WAITED_FOR`] ago.
pub fn is_in_flight(delivery: &Delivery, now: Timestamp) -> bool {
    let accepted_at = delivery.awaiting.as_ref().map(|awaiting| awaiting.since);
    let known = [Some(delivery.created_at), delivery.due_at, accepted_at];
    // A time that lies ahead was written by a clock that was wrong, and says nothing.
    known.into_iter().flatten().any(|at| now.since(at) < WAITED_FOR && !is_ahead(at, now))
}

/// The settlement of a pending delivery that is not in flight: failed. Its events up to `last`, whose payloads are about to go, become
/// expired; younger ones are parked, since their time is not over. A window is not divided: it expires.
pub fn give_up(delivery: &Delivery, last: Seq, now: Timestamp) -> Settlement {
    let step = step(delivery, Input::Expired(cause()), now, &Policy::default());
    let mut counts = step.counts;
    let mut parked = Vec::new();
    if delivery.accounted && delivery.window.is_none() {
        parked.extend(delivery.members.iter().filter(|seq| *seq > last).map(|seq| Parked {
            seq,
            events: 1,
            kind: ParkKind::Failed,
            cause: cause(),
            delivery: delivery.id,
            since: now,
        }));
        let younger = i64::try_from(parked.len()).unwrap_or(i64::MAX);
        counts.expired -= younger;
        counts.failed += younger;
    }
    Settlement {
        delivery: step.delivery,
        expected_attempts: delivery.attempts,
        attempt: None,
        children: Vec::new(),
        parked,
        arrived: step.arrived,
        counts,
        breaker: None,
        held: Vec::new(),
    }
}

fn cause() -> Cause {
    Cause::new(
        "retention",
        "The retention period of its events ended while the delivery lay still, most likely because the connector was switched off or \
         could not be used. Switch it on, or correct its settings, before later events reach the same age.",
    )
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::delivery::{Awaiting, Status, Trigger, Window};
    use toktra_siem_core::destination::{Receipt, Tally};
    use toktra_siem_core::ids::{ConnectorId, DeliveryId, OrgId, StreamId, StreamKind};
    use toktra_siem_core::members::Members;
    use uuid::Uuid;

    use super::*;

    const OPENED: Timestamp = Timestamp(1_767_225_600_000);

    fn delivery(trigger: Trigger) -> Delivery {
        let stream = StreamId { connector: ConnectorId(Uuid::from_u128(1)), kind: StreamKind::Events };
        let members = Members::from_ascending((3..=6).map(Seq));
        Delivery::new(DeliveryId(Uuid::from_u128(2)), OrgId(Uuid::from_u128(3)), stream, trigger, members, OPENED)
    }

    #[test]
    fn what_was_touched_lately_is_in_flight() {
        let (opened, later) = (delivery(Trigger::Live), OPENED.plus(WAITED_FOR));
        assert!(is_in_flight(&opened, later.minus(Duration::from_millis(1))));
        assert!(!is_in_flight(&opened, later));
        let due = Delivery { due_at: Some(OPENED.plus(Duration::from_mins(1))), ..opened.clone() };
        assert!(is_in_flight(&due, later));
        let awaiting =
            Awaiting { reference: Receipt(serde_json::Value::Null), since: OPENED.plus(Duration::from_mins(1)) };
        assert!(is_in_flight(&Delivery { due_at: None, awaiting: Some(awaiting), ..opened }, later));
    }

    #[test]
    fn what_is_younger_is_parked() {
        let settled = give_up(&delivery(Trigger::Live), Seq(4), OPENED.plus(WAITED_FOR));
        assert_eq!((settled.delivery.status, settled.delivery.due_at), (Status::Failed, None));
        assert_eq!(settled.delivery.cause.unwrap().code, "retention");
        assert_eq!(settled.parked.iter().map(|parked| parked.seq.0).collect::<Vec<_>>(), [5, 6]);
        assert_eq!((settled.counts.pending, settled.counts.expired, settled.counts.failed), (-4, 2, 2));
    }

    #[test]
    fn a_window_expires_as_one_and_what_is_not_accounted_moves_no_count() {
        let window = Some(Window { start: OPENED, tally: Tally::default() });
        assert!(give_up(&Delivery { window, ..delivery(Trigger::Live) }, Seq(3), OPENED).parked.is_empty());
        let replay = give_up(&delivery(Trigger::Replay), Seq(3), OPENED);
        assert!(replay.parked.is_empty());
        assert_eq!(
            (replay.delivery.status, replay.counts),
            (Status::Failed, toktra_siem_core::accounting::Counts::default())
        );
    }
}
