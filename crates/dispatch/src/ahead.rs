//! Keeping up: a stream that has caught up offers to take the next events, so that they are pinned by the transaction that accepts them.
//!
//! An offer takes none of the worker's decisions away: it is made only where the worker would open at once and has nothing under way, it holds for
//! one transaction, and what the worker does to its cursor ends it first. What it pinned is started as though the worker had opened it.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use toktra_siem_base::clock::Clock;
use toktra_siem_base::random::Random;
use toktra_siem_core::delivery::{Delivery, Trigger};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{OrgId, Seq, StreamId};
use toktra_siem_core::members::Members;
use toktra_siem_platform::destination::Pacing;
use toktra_siem_store::{Next, Offer, Open, Taken};

use super::attempt::{self, Carried};
use super::link::Link;
use super::memory::{Held, Memory};
use super::select::{BATCHES_AT_ONCE, PackedBatch, new_delivery, pack};
use super::worker::{Waiting, Worker};

/// What was pinned: the deliveries, their events, and what those hold of the budget.
pub(super) struct Pinned {
    deliveries: Vec<Delivery>,
    batches: Vec<PackedBatch>,
    to: Seq,
    held: Held,
}

/// What becomes of a worker's offers.
#[derive(Default)]
pub(super) struct Ahead {
    /// One stands.
    told: Option<oneshot::Receiver<Pinned>>,
    /// One has ended: with this, or with nothing.
    ended: Option<Result<Pinned, ()>>,
    /// Pinned, and to be started.
    pinned: Option<Pinned>,
    /// One came to nothing with the cursor here: what comes next is opened as ever.
    declined: Option<Seq>,
}

impl Ahead {
    /// Waits for the end of the offer; for ever where there is none.
    pub(super) async fn ended(&mut self) {
        match &mut self.told {
            Some(told) => {
                self.ended = Some(told.await.map_err(drop));
                self.told = None;
            }
            None => std::future::pending().await,
        }
    }
}

/// Cuts the next events for a worker.
struct Cut {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    memory: Arc<Memory>,
    link: Arc<Link>,
    org: OrgId,
    stream: StreamId,
    from: Seq,
    slots: usize,
    pinned: Option<Pinned>,
    tell: oneshot::Sender<Pinned>,
}

impl Next for Cut {
    fn cut(&mut self, events: &[Arc<StoredEvent>]) -> Option<Open> {
        let timeline = &self.link.timeline;
        let packed = pack(&*self.link.destination, timeline, self.from, events.to_vec(), self.slots);
        let bytes = packed.batches.iter().map(|batch| attempt::bytes(&batch.events)).sum();
        let held = self.memory.take_all(bytes)?;
        let revision = timeline.revision()?;
        let taken = Taken::Live { from: self.from, to: packed.to, passed: packed.passed, revision };
        let made = |members| new_delivery(&*self.clock, &*self.random, (self.org, self.stream), Trigger::Live, members);
        let members = packed.batches.iter().map(|b| Members::from_ascending(b.events.iter().map(|event| event.seq)));
        let deliveries: Vec<Delivery> = members.map(made).collect();
        self.pinned = Some(Pinned { deliveries: deliveries.clone(), batches: packed.batches, to: packed.to, held });
        Some(Open { deliveries, taken, job: None })
    }

    fn pinned(self: Box<Self>) {
        if let Some(what) = self.pinned {
            // A worker that is gone finds it pending when it starts afresh.
            let _ = self.tell.send(what);
        }
    }
}

impl Worker {
    /// Offers to take the next events where there is nothing else to do, and takes the offer back where there is.
    pub(super) fn offer(&mut self) {
        let live = matches!(self.link.destination.pacing(), Pacing::Live) && self.in_flight.is_empty();
        let ready = self.breaker.is_closed() && self.waiting.is_empty() && self.ahead.declined != Some(self.cursor);
        if !live || !ready || self.has_fresh() || self.has_backlog() {
            self.withdraw();
            return;
        }
        if self.ahead.told.is_some() {
            return;
        }
        let (tell, told) = oneshot::channel();
        let (clock, random, memory) = (self.ctx.clock.clone(), self.ctx.random.clone(), self.ctx.memory.clone());
        let (link, org, stream, from) = (Arc::clone(&self.link), self.org, self.stream, self.cursor);
        let slots = self.free_slots().min(BATCHES_AT_ONCE);
        let next = Box::new(Cut { clock, random, memory, link, org, stream, from, slots, pinned: None, tell });
        self.ctx.store.offer(Offer { lease: self.lease, org, from, next });
        self.ahead.told = Some(told);
    }

    /// Takes the offer back, if there is one. False where it has been taken up: its end is about to be told.
    pub(super) fn withdraw(&mut self) -> bool {
        if self.ahead.told.is_some() && self.ctx.store.withdraw(self.org, self.stream) {
            self.ahead.told = None;
        }
        self.ahead.told.is_none()
    }

    /// Ends the offer before the cursor is moved otherwise. What it pinned meanwhile is still to be started.
    pub(super) async fn end_offer(&mut self) {
        if !self.withdraw() {
            self.ahead.ended().await;
            self.look_at_offer();
        }
    }

    /// Takes up what has come of the offer: the cursor is where the store has it.
    fn look_at_offer(&mut self) {
        if let Some(told) = &mut self.ahead.told {
            let ended = told.try_recv();
            if !matches!(ended, Err(oneshot::error::TryRecvError::Empty)) {
                (self.ahead.told, self.ahead.ended) = (None, Some(ended.map_err(drop)));
            }
        }
        match self.ahead.ended.take() {
            Some(Ok(pinned)) => {
                self.cursor = pinned.to;
                self.ahead.pinned = Some(pinned);
            }
            Some(Err(())) => self.ahead.declined = Some(self.cursor),
            None => {}
        }
    }

    /// Starts what was pinned. Where something has happened since the offer was made, it waits as any pending delivery does.
    pub(super) fn start_ahead(&mut self) {
        self.look_at_offer();
        let Some(Pinned { deliveries, batches, mut held, .. }) = self.ahead.pinned.take() else { return };
        let failed = self.waiting.iter().filter(|waiting| waiting.after_failure.is_some());
        let due = failed.map(|waiting| waiting.due).max().unwrap_or_else(Instant::now);
        for (delivery, batch) in deliveries.into_iter().zip(batches) {
            if self.breaker.is_closed() && !self.held_up_by_retry() && self.free_slots() > 0 {
                let part = held.split(attempt::bytes(&batch.events));
                self.start_attempt(delivery, Carried::read(batch.events, Some(part)), batch.full);
            } else {
                self.waiting.push(Waiting { delivery, due, after_failure: None });
            }
        }
    }

    /// Whether something that was pinned is still to be started.
    pub(super) fn has_pinned(&self) -> bool {
        self.ahead.ended.is_some() || self.ahead.pinned.is_some()
    }

    /// Leaves what was pinned to the next start.
    pub(super) async fn leave_pinned(&mut self) {
        self.end_offer().await;
        self.ahead = Ahead::default();
    }
}
