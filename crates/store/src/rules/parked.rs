//! Parked events: where one is, how it moves the counts, and what taking some of them into deliveries comes to.

use toktra_siem_core::accounting::Counts;
use toktra_siem_core::delivery::{Delivery, ParkKind, Parked};
use toktra_siem_core::ids::{DeliveryId, Seq};

use super::{conflict, count, unaccounted};
use crate::error::Result;

/// What has become of a parked event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkState {
    /// Not in any delivery.
    Waiting,
    /// In the delivery that the row links to.
    OnItsWay,
    /// Brought by the delivery that the row links to.
    Arrived,
    /// It will not be sent any more.
    Expired,
    /// Given up by a person.
    Discarded,
}

/// A parked row with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedRow {
    /// As callers see it.
    pub parked: Parked,
    /// What has become of it.
    pub state: ParkState,
    /// The delivery that took it up.
    pub link: Option<DeliveryId>,
}

/// Takes a parked event out of the place where it is counted.
pub fn leave(counts: &mut Counts, parked: &Parked) {
    match parked.kind {
        ParkKind::Failed => counts.failed -= count(parked.events),
        ParkKind::Rejected => counts.rejected -= count(parked.events),
    }
}

/// How the counts move if the row of a rejected event is to be held: parked as failed, so that recovery sends it. `None`: it is not parked as
/// rejected any more, or is on its way, and stays what it is.
pub fn hold(row: &ParkedRow) -> Option<Counts> {
    let rests = row.state == ParkState::Waiting && row.parked.kind == ParkKind::Rejected;
    let events = count(row.parked.events);
    rests.then(|| Counts { rejected: -events, failed: events, ..Counts::default() })
}

/// Parked events that are taken into deliveries, one after the other: from failed or rejected to pending. All of them have to wait, and the
/// accounted deliveries have to hold exactly as many.
#[derive(Debug)]
pub struct Taking<'a> {
    accounted: Vec<&'a Delivery>,
    taken: u64,
    counts: Counts,
    links: Vec<(Seq, DeliveryId)>,
}

impl<'a> Taking<'a> {
    /// Nothing is taken yet.
    pub fn new(deliveries: &'a [Delivery]) -> Self {
        let accounted = deliveries.iter().filter(|delivery| delivery.accounted).collect();
        Self { accounted, taken: 0, counts: Counts::default(), links: Vec::new() }
    }

    /// Takes one, whose row is `row`, if there is any.
    pub fn take(&mut self, seq: Seq, row: Option<ParkedRow>) -> Result<()> {
        let Some(row) = row.filter(|row| row.state == ParkState::Waiting) else {
            return Err(conflict(format!("event {seq} is not parked any more")));
        };
        let Some(delivery) = self.accounted.iter().find(|d| d.members.contains(seq)) else {
            return Err(unaccounted(format!("parked event {seq} is in none of the deliveries")));
        };
        self.links.push((seq, delivery.id));
        self.taken += row.parked.events;
        leave(&mut self.counts, &row.parked);
        self.counts.pending += count(row.parked.events);
        Ok(())
    }

    /// How the counts move, and in which delivery each event is on its way from now on.
    pub fn done(self) -> Result<(Counts, Vec<(Seq, DeliveryId)>)> {
        let events: u64 = self.accounted.iter().map(|delivery| delivery.events()).sum();
        if self.taken != events {
            let taken = self.taken;
            return Err(unaccounted(format!("{taken} parked events are taken, but the deliveries hold {events}")));
        }
        Ok((self.counts, self.links))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{delivery, kind, parked};
    use super::*;

    fn row(seq: u64, kind: ParkKind, state: ParkState) -> ParkedRow {
        ParkedRow { parked: parked(seq, kind), state, link: None }
    }

    #[test]
    fn only_what_rests_as_rejected_is_held() {
        let held = hold(&row(1, ParkKind::Rejected, ParkState::Waiting));
        assert_eq!(held, Some(Counts { rejected: -1, failed: 1, ..Counts::default() }));
        assert_eq!(hold(&row(1, ParkKind::Failed, ParkState::Waiting)), None);
        assert_eq!(hold(&row(1, ParkKind::Rejected, ParkState::OnItsWay)), None);
    }

    #[test]
    fn what_is_taken_moves_to_pending() {
        let deliveries = [delivery(1, 3, 3), delivery(2, 5, 5)];
        let mut taking = Taking::new(&deliveries);
        taking.take(Seq(3), Some(row(3, ParkKind::Failed, ParkState::Waiting))).unwrap();
        taking.take(Seq(5), Some(row(5, ParkKind::Rejected, ParkState::Waiting))).unwrap();
        let (counts, links) = taking.done().unwrap();
        assert_eq!(counts, Counts { failed: -1, rejected: -1, pending: 2, ..Counts::default() });
        assert_eq!(links, [(Seq(3), deliveries[0].id), (Seq(5), deliveries[1].id)]);
    }

    #[test]
    fn all_of_it_waits_and_is_in_the_deliveries() {
        let deliveries = [delivery(1, 3, 4)];
        let mut taking = Taking::new(&deliveries);
        assert_eq!(kind(taking.take(Seq(3), None)), "conflict");
        for state in [ParkState::OnItsWay, ParkState::Arrived, ParkState::Expired, ParkState::Discarded] {
            assert_eq!(kind(taking.take(Seq(3), Some(row(3, ParkKind::Failed, state)))), "conflict", "{state:?}");
        }
        assert_eq!(kind(taking.take(Seq(5), Some(row(5, ParkKind::Failed, ParkState::Waiting)))), "unaccounted");
        taking.take(Seq(3), Some(row(3, ParkKind::Failed, ParkState::Waiting))).unwrap();
        assert_eq!(kind(taking.done()), "unaccounted", "event 4 was never parked");
    }

    #[test]
    fn what_is_not_accounted_takes_nothing() {
        let beside = [Delivery { accounted: false, ..delivery(1, 3, 3) }];
        let mut taking = Taking::new(&beside);
        assert_eq!(kind(taking.take(Seq(3), Some(row(3, ParkKind::Failed, ParkState::Waiting)))), "unaccounted");
        assert_eq!(taking.done().unwrap(), (Counts::default(), vec![]));
    }
}
