//! Sending parked events again once the breaker is closed.
//!
//! What failed before may fail again, and for its own sake: a single event that the platform answers with 503 every time must not keep the
//! others from arriving. So parked events go one batch at a time until one has arrived, and then as many at once as the endpoint takes. If
//! one fails, they go one at a time again: what failed is tried in halves until the event is alone, which is then left for a later round.
//! Neither do their retries hold up fresh events, nor does their failure open the breaker, which has just been closed by a success.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;
use toktra_siem_core::delivery::{Delivery, ParkKind, Status, Trigger};
use toktra_siem_core::filter::FilterTimeline;
use toktra_siem_core::ids::{DeliveryId, Seq};
use toktra_siem_core::members::Members;
use toktra_siem_store::Taken;

use super::attempt::{self, Carried};
use super::select::pack;
use super::worker::{Worker, WorkerError};

/// The pause before events that failed alone are tried again; it doubles with each round that moves nothing.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// What may go beside the parked batches under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    /// Nothing: nobody knows whether they arrive.
    Nothing,
    /// Others, since one has arrived.
    Others,
    /// Others might, but all that is parked is under way.
    NoneLeft,
}

/// How far the present round has come.
#[derive(Debug)]
pub(super) struct Resend {
    /// There may be parked events that this round has not tried.
    left: bool,
    /// The parked batches under way: one at a time, unless the last one arrived.
    under_way: HashSet<DeliveryId>,
    beside: Beside,
    /// They and the deliveries that go on with the rest of them.
    family: HashSet<DeliveryId>,
    /// The round has tried everything up to here.
    after: Seq,
    /// Events in the next batch at most; halved while batches fail.
    batch: usize,
    /// When the next round may begin, where this one left something behind.
    next_round: Option<Instant>,
    left_behind: bool,
    pause: Duration,
}

impl Resend {
    /// Starts with everything that is parked.
    pub(super) fn new() -> Self {
        Self {
            left: true,
            under_way: HashSet::new(),
            beside: Beside::Nothing,
            family: HashSet::new(),
            after: Seq(0),
            batch: usize::MAX,
            next_round: None,
            left_behind: false,
            pause: FIRST_PAUSE,
        }
    }

    /// Begins a round at once: the endpoint has come back, or the connector was saved.
    pub(super) fn begin(&mut self) {
        let (under_way, family) = (std::mem::take(&mut self.under_way), std::mem::take(&mut self.family));
        *self = Self { under_way, family, ..Self::new() };
    }

    /// Whether a parked batch may start.
    pub(super) fn is_due(&self) -> bool {
        let another = self.beside == Beside::Others && self.batch == usize::MAX;
        (self.under_way.is_empty() || another) && (self.left || self.next_round.is_some_and(|at| at <= Instant::now()))
    }

    /// When the next round begins.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.next_round
    }

    /// Whether a delivery carries parked events.
    pub(super) fn holds(&self, id: DeliveryId) -> bool {
        self.family.contains(&id)
    }

    fn started(&mut self, id: DeliveryId, last: Seq) {
        self.under_way.insert(id);
        self.family.insert(id);
        self.after = last;
    }

    /// A delivery of parked events, or of the rest of some, has ended or gone on in `children`.
    pub(super) fn ended(&mut self, delivery: &Delivery, children: impl Iterator<Item = DeliveryId>) {
        if delivery.status == Status::Pending {
            // One that waits for its next attempt speaks against others beside it.
            if delivery.awaiting.is_none() && self.family.contains(&delivery.id) {
                self.beside = Beside::Nothing;
            }
            return;
        }
        if !self.family.remove(&delivery.id) {
            return;
        }
        self.family.extend(children);
        if !self.under_way.remove(&delivery.id) {
            return;
        }
        let (items, first) = (delivery.items(), delivery.members.first().unwrap_or_default());
        self.beside = match self.beside {
            _ if delivery.status == Status::Failed => Beside::Nothing,
            Beside::NoneLeft if !self.under_way.is_empty() => Beside::NoneLeft,
            _ => Beside::Others,
        };
        match delivery.status {
            Status::Failed if items > 1 => {
                self.after = self.after.min(Seq(first.0.saturating_sub(1)));
                self.batch = items / 2;
            }
            Status::Failed => {
                self.left_behind = true;
                self.batch = usize::MAX;
            }
            _ => self.pause = FIRST_PAUSE,
        }
    }

    /// A person's redelivery left something parked as failed: it is tried again in the next round.
    pub(super) fn again_later(&mut self) {
        if self.left {
            self.left_behind = true;
        } else {
            self.next_round.get_or_insert(Instant::now() + self.pause);
        }
    }

    /// Somebody else has settled this delivery.
    pub(super) fn forget(&mut self, id: DeliveryId) {
        self.family.remove(&id);
        self.under_way.remove(&id);
        self.beside = Beside::Nothing;
    }

    /// Nothing is parked that this round has not tried.
    fn round_is_over(&mut self) {
        self.left = false;
        self.after = Seq(0);
        self.batch = usize::MAX;
        self.next_round = self.left_behind.then(|| Instant::now() + self.pause);
        if std::mem::take(&mut self.left_behind) {
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Worker {
    /// Sends one batch of parked events again. False where there is none for this round.
    pub(super) async fn start_parked(&mut self) -> Result<bool, WorkerError> {
        if self.resend.next_round.take().is_some() {
            self.resend.left = true;
        }
        let limits = self.link.destination.limits();
        let Some(mut held) = self.claim(limits.bytes) else { return Ok(false) };
        let most = limits.events.min(self.resend.batch);
        let rows = self.ctx.store.parked(self.stream, ParkKind::Failed, self.resend.after, most).await?;
        if rows.is_empty() {
            // What is under way may leave something of this round.
            if self.resend.under_way.is_empty() {
                self.resend.round_is_over();
            } else {
                self.resend.beside = Beside::NoneLeft;
            }
            return Ok(false);
        }
        let members = Members::from_ascending(rows.iter().map(|p| p.seq));
        let (events, _) = self.read_some(&members, held.bytes()).await?;
        if events.is_empty() {
            let seqs = rows.iter().map(|p| p.seq).collect();
            self.expire_parked(seqs).await?;
            self.eager = true;
            return Ok(true);
        }
        // Parked events have passed the filter already.
        let mut packed = pack(&*self.link.destination, &FilterTimeline::default(), Seq(0), events, 1);
        packed.batches.truncate(1);
        let members = Members::from_ascending(packed.batches.iter().flat_map(|b| b.events.iter().map(|e| e.seq)));
        let delivery = self.new_delivery(Trigger::Recovery, members.clone());
        let (id, last) = (delivery.id, members.last().unwrap_or_default());
        let (events, full) = packed.batches.pop().map(|batch| (batch.events, batch.full)).unwrap_or_default();
        held.set(attempt::bytes(&events));
        if !self.start_pinned(delivery, Taken::Parked(members), Carried::read(events, Some(held)), full).await? {
            return Ok(false);
        }
        self.backlog_in_flight.push(self.ordinal);
        self.resend.started(id, last);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::ids::{ConnectorId, OrgId, StreamId, StreamKind};
    use uuid::Uuid;

    use super::*;

    fn batch(first: u64, last: u64, status: Status) -> Delivery {
        let stream = StreamId { connector: ConnectorId(Uuid::nil()), kind: StreamKind::Events };
        let (id, members) =
            (DeliveryId(Uuid::from_u128(first.into())), Members::from_ascending((first..=last).map(Seq)));
        let now = toktra_siem_core::time::Timestamp(0);
        Delivery { status, ..Delivery::new(id, OrgId(Uuid::nil()), stream, Trigger::Recovery, members, now) }
    }

    fn start(resend: &mut Resend, first: u64, last: u64) {
        assert!(resend.is_due(), "from {first}");
        resend.started(DeliveryId(Uuid::from_u128(first.into())), Seq(last));
    }

    fn end(resend: &mut Resend, first: u64, last: u64, status: Status) {
        resend.ended(&batch(first, last, status), std::iter::empty());
    }

    #[tokio::test]
    async fn many_go_at_once_while_they_arrive_and_one_at_a_time_while_they_do_not() {
        let mut resend = Resend::new();
        start(&mut resend, 1, 10);
        assert!(!resend.is_due(), "nobody knows yet whether they arrive");
        end(&mut resend, 1, 10, Status::Delivered);
        start(&mut resend, 11, 20);
        start(&mut resend, 21, 30);
        start(&mut resend, 31, 40);
        resend.ended(&batch(31, 40, Status::Pending), std::iter::empty());
        assert!(!resend.is_due(), "one waits for its next attempt");
        end(&mut resend, 11, 20, Status::Delivered);
        start(&mut resend, 41, 50);
        end(&mut resend, 21, 30, Status::Failed);
        assert_eq!((resend.is_due(), resend.after, resend.batch), (false, Seq(20), 5));
        end(&mut resend, 31, 40, Status::Delivered);
        assert!(!resend.is_due(), "halves go alone");
        end(&mut resend, 41, 50, Status::Delivered);
        start(&mut resend, 21, 25);
        end(&mut resend, 21, 25, Status::Delivered);
        start(&mut resend, 26, 30);
        assert!(!resend.is_due());
        end(&mut resend, 26, 30, Status::Failed);
        assert_eq!((resend.after, resend.batch), (Seq(25), 2));
    }
}
