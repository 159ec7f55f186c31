//! `settle`: the end of an attempt, after which every event of the delivery is still somewhere (invariant D1).

use toktra_siem_core::accounting::Counts;
use toktra_siem_core::delivery::{Delivery, ParkKind, Status, Trigger};
use toktra_siem_core::ids::{DeliveryId, Seq};
use toktra_siem_core::members::Members;

use super::parked::ParkState;
use super::{check_new, conflict, count, unaccounted};
use crate::deliveries::Settlement;
use crate::error::Result;

/// Whether the settlement speaks of the delivery as it stands: pending, and with the attempts that the caller knows of.
pub fn check_state(before: &Delivery, settlement: &Settlement) -> Result<()> {
    let (id, has, expected) = (before.id, before.attempts, settlement.expected_attempts);
    if before.status != Status::Pending {
        return Err(conflict(format!("delivery {id} is settled already")));
    }
    if has != expected {
        return Err(conflict(format!("delivery {id} has {has} attempts, not {expected}")));
    }
    if settlement.delivery.attempts != expected + u32::from(settlement.attempt.is_some()) {
        return Err(unaccounted(format!("the attempts of delivery {id} are not those that are recorded")));
    }
    Ok(())
}

/// Whether the children are pending, counted like their parent, and share out some of its events, under ids that are not in use. `known`
/// has the ids that are.
pub fn check_children(before: &Delivery, children: &[Delivery], known: &[DeliveryId]) -> Result<()> {
    let mut theirs = Vec::new();
    for (at, child) in children.iter().enumerate() {
        check_new(child.id, &children[..at], known)?;
        let related = child.stream == before.stream && child.org == before.org && child.parent == Some(before.id);
        let alike = child.accounted == before.accounted && child.job == before.job;
        if !related || child.status != Status::Pending || !alike {
            return Err(unaccounted(format!("{} is no pending child of {}", child.id, before.id)));
        }
        theirs.extend(child.members.iter());
    }
    theirs.sort_unstable();
    if theirs.windows(2).any(|pair| pair[0] == pair[1]) || theirs.iter().any(|seq| !before.members.contains(*seq)) {
        return Err(unaccounted(format!("the children of {} do not share out its events", before.id)));
    }
    Ok(())
}

/// Whether what leaves the delivery is in a child, or counted where it went.
pub fn check_counts(before: &Delivery, settlement: &Settlement) -> Result<()> {
    let expected = if before.accounted { expected_counts(before, settlement) } else { Some(Counts::default()) };
    if expected == Some(settlement.counts) {
        return Ok(());
    }
    Err(unaccounted(format!("the settlement of delivery {} loses or invents events", before.id)))
}

/// How the counts have to move, from what the settlement says of the events. `None` if it loses or invents some.
fn expected_counts(before: &Delivery, settlement: &Settlement) -> Option<Counts> {
    let Settlement { delivery, children, parked, counts, .. } = settlement;
    if delivery.status == Status::Pending {
        return (children.is_empty() && parked.is_empty()).then(Counts::default);
    }
    let kept = |kind| parked.iter().filter(|p| p.kind == kind).map(|p| p.events).sum::<u64>();
    let handed_on: u64 = children.iter().map(Delivery::events).sum();
    let expected = Counts {
        delivered: count(delivery.delivered),
        rejected: count(kept(ParkKind::Rejected)),
        failed: count(kept(ParkKind::Failed)),
        expired: counts.expired,
        pending: count(handed_on) - count(before.events()),
        ..Counts::default()
    };
    let whole = expected.total() == 0 && counts.expired >= 0 && delivery.rejected == kept(ParkKind::Rejected);
    (whole && parked.iter().all(|p| before.members.contains(p.seq))).then_some(expected)
}

/// Whether the settlement ends an accounted delivery, so that its events are somewhere else from now on.
pub fn distributes(before: &Delivery, settlement: &Settlement) -> bool {
    before.accounted && settlement.delivery.status != Status::Pending
}

/// The event that a failed probe had taken up, if the settlement is of one: its row says what it was parked as before.
pub fn failed_probe(before: &Delivery, settlement: &Settlement) -> Option<Seq> {
    let failed =
        before.probe && before.accounted && before.job.is_none() && settlement.delivery.status == Status::Failed;
    before.members.first().filter(|_| failed && !settlement.parked.is_empty())
}

/// The events of the delivery that the settlement says have expired. A window has none: it expires as one.
pub fn expired<'a>(before: &'a Delivery, settlement: &'a Settlement) -> impl Iterator<Item = Seq> + 'a {
    let members = (settlement.counts.expired > 0 && before.window.is_none()).then_some(&before.members);
    let stays = |seq: Seq| settlement.children.iter().any(|child| child.members.contains(seq));
    let parked = |seq: Seq| settlement.parked.iter().any(|parked| parked.seq == seq);
    members.into_iter().flat_map(Members::iter).filter(move |seq| !stays(*seq) && !parked(*seq))
}

/// What becomes of the parked events that the delivery had taken up, and which they are. `None` for the live flow, whose events were never
/// parked.
pub fn ended<'a>(before: &'a Delivery, settlement: &'a Settlement) -> Option<(ParkState, &'a Members)> {
    if before.trigger == Trigger::Live {
        return None;
    }
    Some(if settlement.counts.expired > 0 {
        (ParkState::Expired, &before.members)
    } else {
        (ParkState::Arrived, &settlement.arrived)
    })
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::delivery::{Attempt, Parked, Window};
    use toktra_siem_core::destination::Tally;
    use toktra_siem_core::ids::JobId;
    use uuid::Uuid;

    use super::super::samples::{NOW, delivery, delivery_id, kind, parked, settlement};
    use super::*;

    fn attempt() -> Attempt {
        Attempt {
            number: 1,
            at: NOW,
            duration_ms: 1,
            http_status: None,
            excerpt: None,
            cause: None,
            request: None,
            response_headers: None,
        }
    }

    fn child(id: u128, first: u64, last: u64) -> Delivery {
        Delivery { parent: Some(delivery_id(1)), ..delivery(id, first, last) }
    }

    #[test]
    fn the_delivery_is_compared() {
        let before = Delivery { attempts: 1, ..delivery(1, 1, 4) };
        let end = |attempts, expected, attempt| {
            let delivery = Delivery { attempts, status: Status::Failed, ..before.clone() };
            Settlement { expected_attempts: expected, attempt, ..settlement(delivery) }
        };
        assert_eq!(kind(check_state(&before, &end(2, 1, Some(attempt())))), "fine");
        assert_eq!(kind(check_state(&before, &end(1, 1, None))), "fine");
        assert_eq!(kind(check_state(&before, &end(1, 0, Some(attempt())))), "conflict");
        assert_eq!(kind(check_state(&before, &end(2, 1, None))), "unaccounted");
        assert_eq!(kind(check_state(&before, &end(1, 1, Some(attempt())))), "unaccounted");
        let settled = Delivery { status: Status::Delivered, ..before.clone() };
        assert_eq!(kind(check_state(&settled, &end(2, 1, Some(attempt())))), "conflict");
    }

    #[test]
    fn children_share_out_what_their_parent_held() {
        let before = delivery(1, 1, 4);
        let check = |children: &[Delivery]| kind(check_children(&before, children, &[delivery_id(9)]));
        assert_eq!(check(&[]), "fine");
        assert_eq!(check(&[child(2, 1, 2), child(3, 3, 4)]), "fine");
        assert_eq!(check(&[child(2, 1, 2)]), "fine", "the rest has gone elsewhere");
        assert_eq!(check(&[child(2, 1, 2), child(2, 3, 4)]), "conflict");
        assert_eq!(check(&[child(9, 1, 2)]), "conflict");
        assert_eq!(check(&[child(2, 1, 2), child(3, 2, 4)]), "unaccounted", "one is in two");
        assert_eq!(check(&[child(2, 4, 5)]), "unaccounted", "one is not the parent's");
        for stray in [
            delivery(2, 1, 2),
            Delivery { accounted: false, ..child(2, 1, 2) },
            Delivery { status: Status::Failed, ..child(2, 1, 2) },
            Delivery { job: Some(JobId(Uuid::from_u128(5))), ..child(2, 1, 2) },
        ] {
            assert_eq!(check(&[stray]), "unaccounted");
        }
    }

    #[test]
    fn every_event_is_counted_where_it_went() {
        let before = delivery(1, 1, 4);
        let ended = Delivery { status: Status::Partial, delivered: 1, rejected: 1, ..before.clone() };
        let good = Settlement {
            children: vec![child(2, 4, 4)],
            parked: vec![parked(2, ParkKind::Rejected), parked(3, ParkKind::Failed)],
            counts: Counts { delivered: 1, rejected: 1, failed: 1, pending: -3, ..Counts::default() },
            ..settlement(ended.clone())
        };
        assert_eq!(kind(check_counts(&before, &good)), "fine");
        let counts = |counts| Settlement { counts, ..good.clone() };
        let lost = Delivery { delivered: 0, ..ended.clone() };
        let unsaid = Delivery { rejected: 0, ..ended };
        let stray: Vec<Parked> = vec![parked(2, ParkKind::Rejected), parked(8, ParkKind::Failed)];
        for bad in [
            counts(Counts { pending: -2, ..good.counts }),
            counts(Counts { delivered: 2, pending: -4, ..good.counts }),
            counts(Counts { skipped: 1, ..good.counts }),
            Settlement { delivery: lost, ..good.clone() },
            Settlement { delivery: unsaid, ..good.clone() },
            Settlement { parked: stray, ..good.clone() },
            Settlement { children: vec![], ..good.clone() },
        ] {
            assert_eq!(kind(check_counts(&before, &bad)), "unaccounted", "{bad:?}");
        }
        assert_eq!(kind(check_counts(&Delivery { accounted: false, ..before.clone() }, &good)), "unaccounted");
        let expired = Counts { expired: 4, pending: -4, ..Counts::default() };
        let ended = Delivery { status: Status::Failed, ..before.clone() };
        assert_eq!(kind(check_counts(&before, &Settlement { counts: expired, ..settlement(ended) })), "fine");
    }

    #[test]
    fn what_is_not_settled_moves_nothing() {
        let before = delivery(1, 1, 4);
        let waits = settlement(Delivery { attempts: 1, ..before.clone() });
        assert_eq!(kind(check_counts(&before, &waits)), "fine");
        assert!(!distributes(&before, &waits));
        let parks = Settlement { parked: vec![parked(2, ParkKind::Failed)], ..waits };
        assert_eq!(kind(check_counts(&before, &parks)), "unaccounted");
        let ended = settlement(Delivery { status: Status::Delivered, ..before.clone() });
        assert!(distributes(&before, &ended));
        assert!(!distributes(&Delivery { accounted: false, ..before }, &ended));
    }

    #[test]
    fn a_failed_probe_had_taken_up_its_first_event() {
        let probe = Delivery { probe: true, ..delivery(1, 3, 3) };
        let failed = Settlement {
            parked: vec![parked(3, ParkKind::Failed)],
            ..settlement(Delivery { status: Status::Failed, ..probe.clone() })
        };
        assert_eq!(failed_probe(&probe, &failed), Some(Seq(3)));
        assert_eq!(failed_probe(&Delivery { probe: false, ..probe.clone() }, &failed), None);
        assert_eq!(failed_probe(&Delivery { job: Some(JobId(Uuid::from_u128(5))), ..probe.clone() }, &failed), None);
        assert_eq!(failed_probe(&probe, &Settlement { parked: vec![], ..failed }), None);
    }

    #[test]
    fn what_neither_stays_nor_is_parked_has_expired() {
        let before = delivery(1, 1, 4);
        let ends = Settlement {
            children: vec![child(2, 4, 4)],
            parked: vec![parked(2, ParkKind::Failed)],
            counts: Counts { expired: 2, ..Counts::default() },
            ..settlement(Delivery { status: Status::Failed, ..before.clone() })
        };
        assert_eq!(expired(&before, &ends).collect::<Vec<_>>(), [Seq(1), Seq(3)]);
        let window = Some(Window { start: NOW, tally: Tally::default() });
        assert_eq!(expired(&Delivery { window, ..before.clone() }, &ends).count(), 0);
        assert_eq!(expired(&before, &Settlement { counts: Counts::default(), ..ends }).count(), 0);
    }

    #[test]
    fn what_was_parked_before_arrives_or_expires() {
        let before = Delivery { trigger: Trigger::Recovery, ..delivery(1, 1, 4) };
        let arrived = Members::from_ascending([Seq(1), Seq(2)]);
        let ends = Settlement { arrived: arrived.clone(), ..settlement(before.clone()) };
        assert_eq!(ended(&before, &ends), Some((ParkState::Arrived, &arrived)));
        assert_eq!(ended(&delivery(1, 1, 4), &ends), None);
        let ends = Settlement { counts: Counts { expired: 4, ..Counts::default() }, ..ends };
        assert_eq!(ended(&before, &ends), Some((ParkState::Expired, &before.members)));
    }
}
