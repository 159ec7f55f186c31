//! Keeping up: a stream that has caught up offers to take the next events, so that they are pinned by the transaction that accepts them.
//!
//! An offer takes none of the worker's decisions away: it is made only where the worker would open at once, it holds for one transaction, and
//! whatever else moves the cursor takes it back first. What it pinned is started as though the worker had opened it.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use toktra_siem_core::delivery::{Delivery, Trigger};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{OrgId, Seq, StreamId};
use toktra_siem_core::members::Members;
use toktra_siem_platform::destination::Pacing;
use toktra_siem_store::{Next, Offer, Open, Taken};

use super::Context;
use super::attempt::{self, Carried};
use super::link::Link;
use super::memory::Held;
use super::select::{PackedBatch, new_delivery, pack};
use super::worker::{Waiting, Worker};

/// What was pinned: the deliveries, their events, and what those hold of the budget.
pub(super) struct Pinned {
    deliveries: Vec<Delivery>,
    batches: Vec<PackedBatch>,
    to: Seq,
    held: Held,
}

/// An offer that stands; it tells what was pinned, or nothing.
pub(super) type Standing = oneshot::Receiver<Pinned>;

/// Cuts the next events for a worker.
struct Cut {
    ctx: Arc<Context>,
    link: Arc<Link>,
    org: OrgId,
    stream: StreamId,
    from: Seq,
    slots: usize,
    pinned: Option<Pinned>,
    tell: oneshot::Sender<Pinned>,
}

impl Next for Cut {
    fn open(&mut self, events: &[Arc<StoredEvent>]) -> Option<Open> {
        let timeline = &self.link.timeline;
        let packed = pack(&*self.link.destination, timeline, self.from, events.to_vec(), self.slots);
        let bytes = packed.batches.iter().map(|batch| attempt::bytes(&batch.events)).sum();
        let held = self.ctx.memory.take_all(bytes)?;
        let revision = timeline.revision()?;
        let taken = Taken::Live { from: self.from, to: packed.to, passed: packed.passed, revision };
        let members = packed.batches.iter().map(|b| Members::from_ascending(b.events.iter().map(|event| event.seq)));
        let deliveries: Vec<Delivery> =
            members.map(|members| new_delivery(&self.ctx, self.org, self.stream, Trigger::Live, members)).collect();
        self.pinned = Some(Pinned { deliveries: deliveries.clone(), batches: packed.batches, to: packed.to, held });
        Some(Open { deliveries, taken, job: None })
    }

    fn ended(self: Box<Self>, pinned: bool) {
        if let Some(what) = self.pinned.filter(|_| pinned) {
            // A worker that is gone finds it pending when it starts afresh.
            let _ = self.tell.send(what);
        }
    }
}

/// Waits for the end of an offer; for ever where there is none.
pub(super) async fn told(standing: &mut Option<Standing>) -> Option<Pinned> {
    match standing {
        Some(offer) => {
            let pinned = offer.await.ok();
            *standing = None;
            pinned
        }
        None => std::future::pending().await,
    }
}

impl Worker {
    /// Offers to take the next events where there is nothing else to do, and takes the offer back where there is.
    pub(super) fn offer(&mut self) {
        let live = matches!(self.link.destination.pacing(), Pacing::Live);
        let (slots, ready) = (self.free_slots(), self.breaker.is_closed() && !self.held_up_by_retry());
        if !live || !ready || slots == 0 || self.has_fresh() || self.has_backlog() {
            self.withdraw();
            return;
        }
        if self.standing.is_some() {
            return;
        }
        let (tell, standing) = oneshot::channel();
        let (ctx, link) = (Arc::clone(&self.ctx), Arc::clone(&self.link));
        let (org, stream, from) = (self.org, self.stream, self.cursor);
        let next = Box::new(Cut { ctx, link, org, stream, from, slots, pinned: None, tell });
        self.ctx.store.offer(Offer { lease: self.lease, org, from, next });
        self.standing = Some(standing);
    }

    /// Takes the offer back, if there is one. False where it has been taken up: its end is about to be told.
    pub(super) fn withdraw(&mut self) -> bool {
        if self.standing.is_some() && self.ctx.store.withdraw(self.org, self.stream) {
            self.standing = None;
        }
        self.standing.is_none()
    }

    /// Takes the offer back, or takes up what came of it: the cursor is where the store has it.
    pub(super) async fn withdraw_for_good(&mut self) {
        if !self.withdraw() {
            let pinned = told(&mut self.standing).await;
            self.start_ahead(pinned);
        }
    }

    /// Takes up what has come of the offer meanwhile.
    pub(super) fn look_at_offer(&mut self) {
        let Some(standing) = &mut self.standing else { return };
        match standing.try_recv() {
            Ok(pinned) => self.start_ahead(Some(pinned)),
            Err(oneshot::error::TryRecvError::Closed) => {}
            Err(oneshot::error::TryRecvError::Empty) => return,
        }
        self.standing = None;
    }

    /// Starts what was pinned. Where something has happened since the offer was made, it waits as any pending delivery does.
    pub(super) fn start_ahead(&mut self, pinned: Option<Pinned>) {
        let Some(Pinned { deliveries, batches, to, mut held }) = pinned else { return };
        self.cursor = to;
        for (delivery, batch) in deliveries.into_iter().zip(batches) {
            if self.breaker.is_closed() && !self.held_up_by_retry() && self.free_slots() > 0 {
                let part = held.split(attempt::bytes(&batch.events));
                self.start_attempt(delivery, Carried::read(batch.events, Some(part)), batch.full);
            } else {
                self.waiting.push(Waiting { delivery, due: Instant::now(), after_failure: None });
            }
        }
    }
}
