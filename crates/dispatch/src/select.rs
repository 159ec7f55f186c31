//! Choosing what goes next: fresh events, backlog ranges and parked events, packed into batches and pinned.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use toktra_siem_base::clock::Clock;
use toktra_siem_base::random::Random;
use toktra_siem_core::delivery::{Delivery, Trigger};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::filter::FilterTimeline;
use toktra_siem_core::ids::{DeliveryId, OrgId, Revision, Seq, StreamId};
use toktra_siem_core::invariant::Invariant;
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::destination::{Destination, Pacing};
use toktra_siem_store::rules::time::STEP;
use toktra_siem_store::{BacklogRange, Open, Passed, ReadLimit, StoreError, Taken};

use super::attempt::{self, Carried};
use super::memory::Held;
use super::worker::{Worker, WorkerError};

/// Read at most this many batches ahead in one call.
pub(super) const BATCHES_AT_ONCE: usize = 8;

/// Single events that are read in one call.
const MEMBERS_AT_ONCE: usize = 256;

/// Moves of a cursor before the worker looks at what else has happened: a long stretch that is passed by fills no slot.
const STEPS_AT_ONCE: usize = 64;

/// Events cut into batches, and how far the cursor moves for them.
pub(super) struct Packed {
    pub(super) batches: Vec<PackedBatch>,
    pub(super) to: Seq,
    pub(super) passed: Passed,
}

/// A batch within the platform's limits.
pub(super) struct PackedBatch {
    pub(super) events: Vec<Arc<StoredEvent>>,
    /// Nothing more would have fitted.
    pub(super) full: bool,
}

/// Packs `events` (ascending, from just after `from`) into at most `most` batches. Gaps are events whose payload is gone or damaged: they are
/// passed as expired, and the store knows better. Stops before an event that has no place left.
pub(super) fn pack(
    destination: &dyn Destination,
    timeline: &FilterTimeline,
    from: Seq,
    events: Vec<Arc<StoredEvent>>,
    most: usize,
) -> Packed {
    let limits = destination.limits();
    let mut packed = Packed { batches: Vec::new(), to: from, passed: Passed::default() };
    let mut batch: Vec<Arc<StoredEvent>> = Vec::new();
    let mut bytes = limits.overhead;
    for event in events {
        let refused = timeline.at(event.seq).is_some_and(|v| v.filters(event.event_type, event.severity).is_some());
        if !refused {
            let cost = destination.cost(&event);
            if !batch.is_empty() && (batch.len() >= limits.events || bytes + cost > limits.bytes) {
                packed.batches.push(PackedBatch { events: std::mem::take(&mut batch), full: true });
                bytes = limits.overhead;
            }
            if packed.batches.len() >= most {
                break;
            }
            bytes += cost;
        }
        packed.passed.expired += packed.to.until(event.seq) - 1;
        packed.passed.filtered += u64::from(refused);
        packed.to = event.seq;
        if !refused {
            batch.push(event);
        }
    }
    if !batch.is_empty() {
        packed.batches.push(PackedBatch { full: batch.len() >= limits.events, events: batch });
    }
    packed
}

/// Events that wait for company: what is known of them, so that they are read again only when they go.
pub(super) struct Lingering {
    /// They follow the cursor here.
    from: Seq,
    /// Up to here they were looked at.
    to: Seq,
    /// As this version of the connector has it.
    revision: Option<Revision>,
    events: usize,
    bytes: usize,
    /// They go then, with company or without.
    pub(super) due: Instant,
}

/// For how long the last batch waits for company, where the destination wants that: it is not full, and its first event is young. Whoever was
/// accepted by a clock that was ahead has waited long enough.
fn lingers(destination: &dyn Destination, packed: &Packed, now: Timestamp) -> Option<Duration> {
    let Pacing::Linger { age } = destination.pacing() else { return None };
    let last = packed.batches.last().filter(|batch| !batch.full)?;
    let left = last.events.first()?.accepted_at.plus(age).since(now);
    (!left.is_zero() && left <= age + STEP).then_some(left.min(age))
}

/// A delivery of a stream of an org, with a new id.
pub(super) fn new_delivery(
    clock: &dyn Clock,
    random: &dyn Random,
    (org, stream): (OrgId, StreamId),
    trigger: Trigger,
    members: Members,
) -> Delivery {
    let now = clock.now();
    Delivery::new(DeliveryId(random.uuid_v7(now)), org, stream, trigger, members, now)
}

impl Worker {
    /// Fills the free slots. Where there is both, fresh events and backlog (parked events, ranges, jobs) share the slots half and half, so
    /// that a fresh event never waits behind a day of backlog.
    pub(super) async fn start_fresh_and_backlog(&mut self) -> Result<(), WorkerError> {
        for _ in 0..STEPS_AT_ONCE {
            let free = self.free_slots();
            if free == 0 {
                return Ok(());
            }
            let (fresh, backlog) = (self.has_fresh(), self.has_backlog());
            let started = match (fresh, backlog) {
                (false, false) => return Ok(()),
                (true, false) => self.start_fresh(free).await?,
                (false, true) => self.start_backlog(free).await?,
                (true, true) => self.start_shared(free).await?,
            };
            if !started {
                return Ok(());
            }
        }
        self.eager = true;
        Ok(())
    }

    async fn start_shared(&mut self, free: usize) -> Result<bool, WorkerError> {
        let half = (self.concurrency.limit() / 2).max(1);
        let backlog_may = half.saturating_sub(self.backlog_in_flight.len()).min(free);
        if free == 1 {
            self.backlog_turn = !self.backlog_turn;
            if self.backlog_turn && backlog_may > 0 && self.start_backlog(1).await? {
                return Ok(true);
            }
            return self.start_fresh(1).await;
        }
        let fresh_may = free - backlog_may.min(free - 1);
        let fresh = self.start_fresh(fresh_may).await?;
        let backlog = backlog_may > 0 && self.start_backlog(backlog_may.min(free - 1)).await?;
        Ok(fresh || backlog)
    }

    /// Whether parked events, a range, or a job wait for a request.
    pub(super) fn has_backlog(&self) -> bool {
        self.resend_is_due() || !self.ranges.is_empty() || self.jobs.has_some()
    }

    /// A job that is about to send what is parked goes first, so that both do not halve the same events between them.
    fn resend_is_due(&self) -> bool {
        self.resend.is_due() && !(self.ranges.is_empty() && self.jobs.takes_parked())
    }

    /// Takes events behind the live cursor. True where anything moved.
    async fn start_fresh(&mut self, slots: usize) -> Result<bool, WorkerError> {
        // What has just been pinned of them is told first.
        if !self.withdraw() || self.still_lingers().await? {
            return Ok(false);
        }
        let slots = slots.min(BATCHES_AT_ONCE);
        // Before the read: what is committed after it was not looked for.
        let head = *self.head.borrow();
        let wanted = self.link.destination.limits().bytes * slots;
        let Some(room) = self.claim(wanted) else { return Ok(false) };
        let events = self.read(self.cursor, slots, room.bytes()).await?;
        let destination = Arc::clone(&self.link.destination);
        let pack = |events, most| pack(&*destination, &self.link.timeline, self.cursor, events, most);
        let again = matches!(destination.pacing(), Pacing::Linger { .. }).then(|| events.clone());
        let mut packed = pack(events, slots);
        // There is company for it, and only no memory.
        let cut = room.bytes() < wanted && packed.to < head;
        let left = lingers(&*destination, &packed, self.ctx.clock.now()).filter(|_| !cut);
        if let (Some(left), Some(events)) = (left, again) {
            // The last batch waits for company; those before it are full.
            match packed.batches.len() - 1 {
                0 => {
                    self.lingering = self.lingering_of(&packed, Instant::now() + left);
                    return Ok(false);
                }
                full => packed = pack(events, full),
            }
        }
        if packed.batches.is_empty() && packed.to == self.cursor && head > self.cursor {
            // Nothing readable although the head is ahead: all of it is gone from the log, or damaged.
            packed.passed.expired = self.cursor.until(head);
            packed.to = head;
        }
        if packed.to == self.cursor {
            return Ok(false);
        }
        let Some(revision) = self.link.timeline.revision() else { return Ok(false) };
        let taken = Taken::Live { from: self.cursor, to: packed.to, passed: packed.passed, revision };
        let to = packed.to;
        if !self.open(packed, Trigger::Live, taken, room, false).await? {
            return Ok(false);
        }
        self.cursor = to;
        Ok(true)
    }

    fn lingering_of(&self, packed: &Packed, due: Instant) -> Option<Lingering> {
        let (destination, batch) = (&self.link.destination, packed.batches.last()?);
        let bytes =
            destination.limits().overhead + batch.events.iter().map(|event| destination.cost(event)).sum::<usize>();
        let revision = self.link.timeline.revision();
        Some(Lingering { from: self.cursor, to: packed.to, revision, events: batch.events.len(), bytes, due })
    }

    /// Whether the newest events still wait for company: their time is not over, and what came meanwhile does not fill their batch.
    async fn still_lingers(&mut self) -> Result<bool, StoreError> {
        let Some(mut lingering) = self.lingering.take() else { return Ok(false) };
        let is_same = lingering.from == self.cursor && lingering.revision == self.link.timeline.revision();
        if !is_same || lingering.due <= Instant::now() {
            return Ok(false);
        }
        let head = *self.head.borrow();
        if head > lingering.to {
            let limits = self.link.destination.limits();
            let Some(room) = self.claim(limits.bytes) else {
                self.lingering = Some(lingering);
                return Ok(true);
            };
            let events = self.read(lingering.to, 1, room.bytes()).await?;
            // There may be more behind them.
            self.eager |= events.last().is_some_and(|event| event.seq < head);
            for event in events {
                lingering.to = event.seq;
                let version = self.link.timeline.at(event.seq);
                if version.is_some_and(|v| v.filters(event.event_type, event.severity).is_some()) {
                    continue;
                }
                lingering.events += 1;
                lingering.bytes += self.link.destination.cost(&event);
                if lingering.events >= limits.events || lingering.bytes > limits.bytes {
                    return Ok(false);
                }
            }
        }
        self.lingering = Some(lingering);
        Ok(true)
    }

    /// Takes parked events, or events of the oldest range, or of a job. True where anything moved.
    async fn start_backlog(&mut self, slots: usize) -> Result<bool, WorkerError> {
        if self.resend_is_due() && self.start_parked().await? {
            return Ok(true);
        }
        let Some(range) = self.ranges.first().cloned() else {
            return if self.jobs.has_some() { self.start_job().await } else { Ok(false) };
        };
        let slots = slots.min(BATCHES_AT_ONCE);
        let Some(held) = self.claim(self.link.destination.limits().bytes * slots) else { return Ok(false) };
        let mut events = self.read(range.cursor, slots, held.bytes()).await?;
        events.retain(|event| event.seq <= range.to);
        let mut packed = pack(&*self.link.destination, &self.link.timeline, range.cursor, events, slots);
        if packed.batches.is_empty() && packed.to == range.cursor {
            packed.passed.expired = range.cursor.until(range.to);
            packed.to = range.to;
        }
        let to = packed.to;
        let taken = Taken::Range { id: range.id, from: range.cursor, to, passed: packed.passed };
        if self.open(packed, range.trigger, taken, held, true).await? {
            self.range_moved(&range, to);
        }
        Ok(true)
    }

    pub(super) fn range_moved(&mut self, range: &BacklogRange, to: Seq) {
        if to >= range.to {
            self.ranges.retain(|r| r.id != range.id);
        } else if let Some(r) = self.ranges.iter_mut().find(|r| r.id == range.id) {
            r.cursor = to;
        }
    }

    /// Reads about as much as `slots` full batches hold, or as `bytes` allow.
    pub(super) async fn read(
        &self,
        after: Seq,
        slots: usize,
        bytes: usize,
    ) -> Result<Vec<Arc<StoredEvent>>, StoreError> {
        let limits = self.link.destination.limits();
        let limit = ReadLimit { events: limits.events * slots, bytes: bytes.min(limits.bytes * slots) };
        self.ctx.store.read(self.org, after, limit).await
    }

    /// Reads these events, or the first of them as `bytes` allow; then also how far it came.
    pub(super) async fn read_some(
        &self,
        members: &Members,
        bytes: usize,
    ) -> Result<(Vec<Arc<StoredEvent>>, Option<Seq>), StoreError> {
        let (mut events, mut read, mut left) = (Vec::new(), 0, members.iter().peekable());
        while left.peek().is_some() {
            let piece = Members::from_ascending(left.by_ref().take(MEMBERS_AT_ONCE));
            let found = self.ctx.store.read_members(self.org, &piece).await?;
            read += attempt::bytes(&found);
            events.extend(found);
            if read >= bytes && left.peek().is_some() {
                return Ok((events, piece.last()));
            }
        }
        Ok((events, None))
    }

    /// Pins the batches and starts them. False where the store knew better; then the worker has caught up with it.
    pub(super) async fn open(
        &mut self,
        packed: Packed,
        trigger: Trigger,
        taken: Taken,
        mut held: Held,
        backlog: bool,
    ) -> Result<bool, WorkerError> {
        held.set(packed.batches.iter().map(|batch| attempt::bytes(&batch.events)).sum());
        let deliveries: Vec<Delivery> = packed
            .batches
            .iter()
            .map(|batch| self.new_delivery(trigger, Members::from_ascending(batch.events.iter().map(|e| e.seq))))
            .collect();
        if !self.pin(Open { deliveries: deliveries.clone(), taken, job: None }).await? {
            return Ok(false);
        }
        for (delivery, batch) in deliveries.into_iter().zip(packed.batches) {
            let part = held.split(attempt::bytes(&batch.events));
            self.start_attempt(delivery, Carried::read(batch.events, Some(part)), batch.full);
            if backlog {
                self.backlog_in_flight.push(self.ordinal);
            }
        }
        Ok(true)
    }

    /// A delivery of this stream, with a new id.
    pub(super) fn new_delivery(&self, trigger: Trigger, members: Members) -> Delivery {
        new_delivery(&*self.ctx.clock, &*self.ctx.random, (self.org, self.stream), trigger, members)
    }

    /// Writes the pin. False where the store refused it because something changed meanwhile; the worker has then taken that up.
    pub(super) async fn pin(&mut self, open: Open) -> Result<bool, WorkerError> {
        let parked = matches!(open.taken, Taken::Parked(_));
        let ids: Vec<DeliveryId> = open.deliveries.iter().filter(|_| parked).map(|delivery| delivery.id).collect();
        match self.ctx.store.open(&self.lease, open).await {
            Ok(()) => {
                self.again.extend(ids);
                Ok(true)
            }
            Err(StoreError::Stale | StoreError::Conflict(_)) => {
                self.refresh().await?;
                Ok(false)
            }
            // The connector was saved, or another has the stream.
            Err(StoreError::Fenced) => {
                self.reload().await?;
                self.eager = true;
                Ok(false)
            }
            Err(failure) => {
                self.ctx.telemetry.refused_by_store(&failure, Invariant::D3);
                Err(failure.into())
            }
        }
    }

    /// Counts parked events as expired. If the connector was saved meanwhile, that is taken up, and they are looked at again.
    pub(super) async fn expire_parked(&mut self, seqs: Vec<Seq>) -> Result<(), WorkerError> {
        match self.ctx.store.expire_parked(&self.lease, seqs, self.ctx.clock.now()).await {
            Err(StoreError::Fenced) => {
                self.reload().await?;
                self.eager = true;
                Ok(())
            }
            expired => Ok(expired?),
        }
    }

    /// The newest revision whose filter this worker applies.
    pub(super) fn revision(&self) -> Option<Revision> {
        self.link.timeline.revision()
    }
}
