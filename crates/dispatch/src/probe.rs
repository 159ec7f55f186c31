//! Trying whether an endpoint is back: one event, in a delivery of its own, with one attempt and a deadline that is short at first.

use std::sync::Arc;

use tokio::time::Instant;
use toktra_siem_core::breaker::{PROBE_CAP_DOWN, PROBES_PER_EVENT};
use toktra_siem_core::delivery::{Delivery, ParkKind, Trigger};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::Seq;
use toktra_siem_core::members::Members;
use toktra_siem_platform::destination::Pacing;
use toktra_siem_store::{Open, Passed, ReadLimit, Taken};

use super::attempt::Carried;
use super::select::pack;
use super::worker::{Waiting, Worker, WorkerError};

/// Every so many parked events that were refused as probes, at the latest, one that waits has its turn.
const TURN: u32 = 8;

/// How far a probe looks for an event that the filter forwards, before it gives the others time.
const LOOK_AHEAD: usize = 512;

impl Worker {
    /// Sends a probe where one is due, one at a time. It does not wait for requests that were in flight when the breaker opened: one that
    /// hangs would keep a stream down whose endpoint is back.
    pub(super) async fn maybe_probe(&mut self) -> Result<(), WorkerError> {
        if Instant::now() < self.probe.due || self.probe.under_way.is_some() || self.jobs.is_ending() {
            return Ok(());
        }
        if let Pacing::Windowed { window, max_age } = self.link.destination.pacing() {
            // One request in flight, or points could overtake each other.
            return if self.in_flight.is_empty() { self.probe_with_window(window, max_age).await } else { Ok(()) };
        }
        if self.probe_with_parked().await? {
            return Ok(());
        }
        self.probe_with_waiting().await
    }

    /// A parked event, or another one after it has failed twice. False if none is parked, or if it is the turn of one that waits: whatever was
    /// refused for its own sake may be poison, thousands of events of one batch, and must not keep the breaker open. If everything is
    /// refused, each such turn parks one event more, so they are rare: after one parked event, two, four, and then every [`TURN`].
    async fn probe_with_parked(&mut self) -> Result<bool, WorkerError> {
        if self.probe.tries >= PROBES_PER_EVENT {
            self.probe.tries = 0;
            if std::mem::take(&mut self.probe.poison) {
                let many = self.probe.refused + 1;
                let turn = if many < TURN { many.is_power_of_two() } else { many.is_multiple_of(TURN) };
                let waits = self.has_fresh() || !self.ranges.is_empty();
                // A turn that nobody took is kept.
                if waits || !turn {
                    self.probe.refused = many;
                }
                if waits && turn {
                    return Ok(false);
                }
            }
        } else if self.probe.tries > 0 {
            // Once more with the same event.
            self.probe.after = Seq(self.probe.after.0.saturating_sub(1));
        }
        let mut parked = self.ctx.store.parked(self.stream, ParkKind::Failed, self.probe.after, 1).await?;
        let waits = self.has_fresh() || !self.ranges.is_empty();
        if parked.is_empty() && self.probe.after > Seq(0) {
            self.probe.after = Seq(0);
            // All that is parked was tried.
            if !waits {
                parked = self.ctx.store.parked(self.stream, ParkKind::Failed, Seq(0), 1).await?;
            }
        }
        let Some(row) = parked.pop() else { return Ok(false) };
        let members = Members::from_ascending([row.seq]);
        let events = self.ctx.store.read_members(self.org, &members).await?;
        if events.is_empty() {
            self.expire_parked(vec![row.seq]).await?;
            // The next one is tried at once: of a damaged run there may be hundreds.
            self.eager = true;
            return Ok(true);
        }
        self.probe.after = row.seq;
        self.probe.tries += 1;
        self.start_probe(members.clone(), Taken::Parked(members), Some(events)).await?;
        Ok(true)
    }

    /// Nothing is parked (it was discarded, or expired): the next event that the filter forwards.
    async fn probe_with_waiting(&mut self) -> Result<(), WorkerError> {
        if let Some(range) = self.ranges.first().cloned() {
            let (events, to, passed) = self.next_event(range.cursor, range.to).await?;
            let taken = Taken::Range { id: range.id, from: range.cursor, to, passed };
            if to > range.cursor && self.start_probe_with(events, taken).await? {
                self.range_moved(&range, to);
            }
            return Ok(());
        }
        if !self.has_fresh() {
            return if self.jobs.has_some() { self.probe_with_job().await } else { self.probe_with_pinned().await };
        }
        let Some(revision) = self.revision() else { return Ok(()) };
        let head = *self.head.borrow();
        let (events, to, passed) = self.next_event(self.cursor, head).await?;
        let taken = Taken::Live { from: self.cursor, to, passed, revision };
        if to > self.cursor && self.start_probe_with(events, taken).await? {
            self.cursor = to;
        }
        Ok(())
    }

    /// Nothing else is there to probe with but deliveries that were pinned and never tried. What a job sends beside the account lends one of
    /// its events. What is accounted (it was pending at a restart, and all that was parked was discarded) goes itself: its failure parks
    /// it, and then there is a parked event to probe with.
    async fn probe_with_pinned(&mut self) -> Result<(), WorkerError> {
        let now = Instant::now();
        let untried = |w: &Waiting| w.delivery.attempts == 0 && w.due <= now;
        let Some(at) = self.waiting.iter().position(untried) else { return Ok(()) };
        if !self.waiting[at].delivery.accounted {
            let members = self.waiting[at].delivery.members.clone();
            let events = self.ctx.store.read_members(self.org, &members).await?;
            if !events.is_empty() {
                return self.probe_with_one_of(events).await;
            }
            // It has nothing to send: it ends without a request, and the next one has its turn.
            let waiting = self.waiting.remove(at);
            self.start_attempt(waiting.delivery, Carried::default(), false);
            return Ok(());
        }
        let waiting = self.waiting.remove(at);
        self.start_attempt(waiting.delivery, Carried::default(), false);
        self.probe.under_way = Some(self.ordinal);
        self.probe.due = now + PROBE_CAP_DOWN;
        Ok(())
    }

    /// The next event after `from` up to `last` that the filter forwards, and what is passed on the way to it.
    async fn next_event(&self, from: Seq, last: Seq) -> Result<(Vec<Arc<StoredEvent>>, Seq, Passed), WorkerError> {
        let limit = ReadLimit { events: LOOK_AHEAD, bytes: self.link.destination.limits().bytes };
        let mut events = self.ctx.store.read(self.org, from, limit).await?;
        events.retain(|event| event.seq <= last);
        let forwards = |e: &Arc<StoredEvent>| {
            self.link.timeline.at(e.seq).is_none_or(|v| v.filters(e.event_type, e.severity).is_none())
        };
        if events.is_empty() {
            // Nothing of it can be read any more.
            return Ok((events, last, Passed { filtered: 0, expired: from.until(last) }));
        }
        if let Some(at) = events.iter().position(forwards) {
            events.truncate(at + 1);
        }
        let mut packed = pack(&*self.link.destination, &self.link.timeline, from, events, 1);
        let events = packed.batches.pop().map(|batch| batch.events).unwrap_or_default();
        Ok((events, packed.to, packed.passed))
    }

    async fn start_probe_with(&mut self, events: Vec<Arc<StoredEvent>>, taken: Taken) -> Result<bool, WorkerError> {
        if events.is_empty() {
            // There may be another event behind it to probe with.
            let moved = self.pin(Open { deliveries: Vec::new(), taken, job: None }).await?;
            self.eager |= moved;
            return Ok(moved);
        }
        let members = Members::from_ascending(events.iter().map(|e| e.seq));
        self.start_probe(members, taken, Some(events)).await
    }

    /// Pins and starts a probe. False where the store knew better.
    async fn start_probe(
        &mut self,
        members: Members,
        taken: Taken,
        events: Option<Vec<Arc<StoredEvent>>>,
    ) -> Result<bool, WorkerError> {
        let mut delivery = self.new_delivery(Trigger::Recovery, members);
        delivery.probe = true;
        let carried = events.map_or_else(Carried::default, |events| Carried::read(events, None));
        self.start_pinned(delivery, taken, carried, false).await
    }

    /// Pins `delivery` and starts it; `full`: nothing more would have fitted. False where the store knew better.
    pub(super) async fn start_pinned(
        &mut self,
        delivery: Delivery,
        taken: Taken,
        carried: Carried,
        full: bool,
    ) -> Result<bool, WorkerError> {
        if !self.pin(Open { deliveries: vec![delivery.clone()], taken, job: None }).await? {
            return Ok(false);
        }
        self.start_attempt(delivery, carried, full);
        Ok(true)
    }
}
