//! `open`: what is taken, from where, and that every sequence passed is accounted for (invariant D3).

use toktra_siem_core::delivery::{Delivery, Status, Trigger};
use toktra_siem_core::ids::{DeliveryId, RangeId, Revision, Seq};
use toktra_siem_core::time::Timestamp;

use super::stream::Found;
use super::time::is_ahead;
use super::{check_new, conflict, unaccounted};
use crate::deliveries::{BacklogRange, Open, Passed, Taken};
use crate::error::{Result, StoreError};

/// Whether the new deliveries are pending ones of the stream that say truly whether they are accounted, under ids that are not in use.
/// `known` has the ids that are.
pub fn check_deliveries(stream: Found, open: &Open, known: &[DeliveryId]) -> Result<()> {
    let accounted = open.taken != Taken::Beside;
    // Of what a job sends again some may be parked and some not.
    let mixed = open.job.is_some() && matches!(open.taken, Taken::Parked(_));
    for (at, delivery) in open.deliveries.iter().enumerate() {
        if delivery.stream != stream.id || delivery.org != stream.org || delivery.status != Status::Pending {
            return Err(unaccounted(format!("delivery {} is not a pending one of {}", delivery.id, stream.id)));
        }
        if delivery.trigger == Trigger::Test {
            return Err(unaccounted(format!("{} is a test delivery, which is not the stream's", delivery.id)));
        }
        if delivery.accounted != accounted && !mixed {
            return Err(unaccounted(format!(
                "delivery {} says that its outcome {} the stream's counts, and where its events come from says otherwise",
                delivery.id,
                if delivery.accounted { "moves" } else { "does not move" }
            )));
        }
        check_new(delivery.id, &open.deliveries[..at], known)?;
    }
    Ok(())
}

/// Whether the live cursor can go from `from` to `to`. `head` is the org's, `newest` the newest revision whose filter holds for a sequence up
/// to `to`, `applied` the one that the caller applied.
pub fn check_live(stream: Found, (from, to): (Seq, Seq), head: Seq, newest: Revision, applied: Revision) -> Result<()> {
    if stream.cursor != from {
        return Err(conflict(format!("the cursor of {} stands at {}, not at {from}", stream.id, stream.cursor)));
    }
    if to > head {
        return Err(unaccounted(format!("{to} is beyond the org's head {head}")));
    }
    if newest > applied {
        return Err(StoreError::Stale);
    }
    Ok(())
}

/// Whether the windows strictly increase along the stream, so that their points can be told from earlier ones. A last window that lies ahead of
/// the clock is not counted: no other would be sent until the clock has come there.
pub fn check_windows(stream: Found, deliveries: &[Delivery], now: Timestamp) -> Result<()> {
    let mut last = stream.last_window.filter(|last| !is_ahead(*last, now));
    for start in deliveries.iter().filter_map(|d| d.window.as_ref()).map(|window| window.start) {
        if last.is_some_and(|last| start <= last) {
            return Err(conflict(format!("a window of {} was pinned already, and this one is not later", stream.id)));
        }
        last = Some(start);
    }
    Ok(())
}

/// Whether what a cursor passes is in a delivery, or counted by the reason it was passed for.
pub fn check_move(deliveries: &[Delivery], (from, to): (Seq, Seq), passed: Passed) -> Result<()> {
    let accounted = passed.filtered + passed.expired + events(deliveries);
    if to < from || from.until(to) != accounted {
        return Err(unaccounted(format!("from {from} to {to}, but {accounted} events are accounted for")));
    }
    let mut spans: Vec<(Seq, Seq)> =
        deliveries.iter().filter_map(|d| Some((d.members.first()?, d.members.last()?))).collect();
    spans.sort_unstable();
    let inside = spans.iter().all(|(first, last)| *first > from && *last <= to);
    if !inside || spans.windows(2).any(|pair| pair[0].1 >= pair[1].0) {
        return Err(unaccounted(format!("the deliveries overlap, or hold events outside of {from} to {to}")));
    }
    Ok(())
}

/// The backlog range `id` among the stream's `ranges`, whose cursor has to stand at `from` and can go to `to`.
pub fn range(ranges: Vec<BacklogRange>, id: RangeId, (from, to): (Seq, Seq)) -> Result<BacklogRange> {
    let range = ranges.into_iter().find(|range| range.id == id);
    let range = range.ok_or_else(|| conflict(format!("there is no backlog range {id} any more")))?;
    if range.cursor != from {
        return Err(conflict(format!("the cursor of range {id} stands at {}, not at {from}", range.cursor)));
    }
    if to > range.to {
        return Err(unaccounted(format!("{to} is beyond the range's end {}", range.to)));
    }
    Ok(range)
}

/// How many events the deliveries hold.
pub fn events(deliveries: &[Delivery]) -> u64 {
    deliveries.iter().map(Delivery::events).sum()
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::delivery::Window;
    use toktra_siem_core::destination::Tally;
    use toktra_siem_core::ids::{JobId, OrgId, StreamId, StreamKind};
    use toktra_siem_core::members::Members;
    use toktra_siem_core::time::Timestamp;
    use uuid::Uuid;

    use super::super::samples::{NOW, delivery, found, kind};
    use super::*;
    use crate::jobs::JobStep;

    fn live(deliveries: Vec<Delivery>) -> Open {
        let taken = Taken::Live { from: Seq(0), to: Seq(9), passed: Passed::default(), revision: Revision(1) };
        Open { deliveries, taken, job: None }
    }

    #[test]
    fn a_new_delivery_is_pending_and_the_streams_under_a_new_id() {
        let good = delivery(1, 1, 2);
        let check = |open: &Open, known: &[DeliveryId]| check_deliveries(found(0), open, known);
        assert!(check(&live(vec![good.clone()]), &[]).is_ok());
        assert_eq!(kind(check(&live(vec![good.clone()]), &[good.id])), "conflict");
        assert_eq!(kind(check(&live(vec![good.clone(), delivery(1, 3, 4)]), &[])), "conflict");
        let other = StreamId { kind: StreamKind::Metrics, ..good.stream };
        for bad in [
            Delivery { stream: other, ..good.clone() },
            Delivery { org: OrgId(Uuid::from_u128(77)), ..good.clone() },
            Delivery { status: Status::Delivered, ..good.clone() },
            Delivery { trigger: Trigger::Test, ..good.clone() },
            Delivery { accounted: false, ..good.clone() },
        ] {
            assert_eq!(kind(check(&live(vec![bad.clone()]), &[])), "unaccounted", "{bad:?}");
        }
    }

    #[test]
    fn only_beside_parked_events_of_a_job_may_be_what_is_not_accounted() {
        let mixed = vec![delivery(1, 1, 2), Delivery { accounted: false, ..delivery(2, 3, 3) }];
        let step = JobStep { id: JobId(Uuid::from_u128(5)), from: Seq(0), to: Seq(3), passed: 0 };
        let parked = Taken::Parked(Members::from_ascending([Seq(1), Seq(2)]));
        let of_job = Open { deliveries: mixed.clone(), taken: parked, job: Some(step) };
        assert!(check_deliveries(found(0), &of_job, &[]).is_ok());
        assert_eq!(kind(check_deliveries(found(0), &Open { job: None, ..of_job.clone() }, &[])), "unaccounted");
        let beside = Open { taken: Taken::Beside, ..of_job };
        assert_eq!(kind(check_deliveries(found(0), &beside, &[])), "unaccounted");
    }

    #[test]
    fn the_live_cursor_is_compared_before_the_filter() {
        let check =
            |from, to, newest| check_live(found(4), (Seq(from), Seq(to)), Seq(9), Revision(newest), Revision(2));
        assert_eq!(kind(check(4, 9, 2)), "fine");
        assert_eq!(kind(check(4, 9, 1)), "fine");
        assert_eq!(kind(check(3, 9, 3)), "conflict");
        assert_eq!(kind(check(4, 10, 3)), "unaccounted");
        assert_eq!(kind(check(4, 9, 3)), "stale");
    }

    #[test]
    fn windows_increase() {
        let window = |id, ms| {
            let window = Window { start: Timestamp(NOW.0 + ms), tally: Tally::default() };
            Delivery { window: Some(window), ..delivery(id, 1, 1) }
        };
        let stream = Found { last_window: Some(NOW), ..found(0) };
        assert!(check_windows(stream, &[window(1, 60), window(2, 120), delivery(3, 5, 5)], NOW).is_ok());
        assert_eq!(kind(check_windows(stream, &[window(1, 0)], NOW)), "conflict");
        assert_eq!(kind(check_windows(stream, &[window(1, 60), window(2, 60)], NOW)), "conflict");
        assert!(check_windows(found(0), &[window(1, 0)], NOW).is_ok(), "the first window of a stream");
        let ahead = Found { last_window: Some(Timestamp(NOW.0 + 86_400_000)), ..found(0) };
        assert!(check_windows(ahead, &[window(1, 0), window(2, 60)], NOW).is_ok(), "the clock was wrong");
        assert_eq!(kind(check_windows(ahead, &[window(1, 60), window(2, 0)], NOW)), "conflict");
    }

    #[test]
    fn every_sequence_is_accounted_for() {
        let check = |deliveries: &[Delivery], from, to, filtered, expired| {
            kind(check_move(deliveries, (Seq(from), Seq(to)), Passed { filtered, expired }))
        };
        let two = [delivery(1, 5, 6), delivery(2, 8, 9)];
        assert_eq!(check(&two, 4, 9, 1, 0), "fine");
        assert_eq!(check(&two, 4, 10, 1, 1), "fine");
        assert_eq!(check(&[], 4, 9, 5, 0), "fine");
        assert_eq!(check(&[], 4, 4, 0, 0), "fine");
        assert_eq!(check(&two, 4, 9, 0, 0), "unaccounted", "one is lost");
        assert_eq!(check(&two, 4, 9, 2, 0), "unaccounted", "one is invented");
        assert_eq!(check(&[], 9, 4, 0, 0), "unaccounted", "backwards");
        assert_eq!(check(&two, 5, 9, 0, 0), "unaccounted", "the first was passed before");
        assert_eq!(check(&two, 4, 8, 0, 0), "unaccounted", "the last is beyond");
        assert_eq!(check(&[delivery(1, 5, 7), delivery(2, 7, 8)], 4, 9, 0, 0), "unaccounted", "one is in two");
    }

    #[test]
    fn a_range_is_compared_and_has_an_end() {
        let id = RangeId(Uuid::from_u128(6));
        let all = || vec![BacklogRange { id, cursor: Seq(4), to: Seq(7), trigger: Trigger::Recovery, since: NOW }];
        assert_eq!(range(all(), id, (Seq(4), Seq(7))).ok(), all().pop());
        assert_eq!(kind(range(all(), id, (Seq(5), Seq(7)))), "conflict");
        assert_eq!(kind(range(all(), id, (Seq(4), Seq(8)))), "unaccounted");
        assert_eq!(kind(range(all(), RangeId(Uuid::from_u128(7)), (Seq(4), Seq(7)))), "conflict");
    }
}
