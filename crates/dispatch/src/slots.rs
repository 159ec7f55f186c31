//! What a worker may start: free slots, what holds them up, and the memory that a batch takes.

use std::time::Duration;

use tokio::time::Instant;

use super::attempt::Carried;
use super::memory::Held;
use super::worker::{Waiting, Worker};

/// A request that is under way for so long seems to hang.
const HANGING: Duration = Duration::from_secs(5);
/// What an event that was not read yet is thought to take.
const EVENT: usize = 1024;

impl Worker {
    /// Starts pending deliveries that are due. While the breaker is open only those that have begun go on with their attempts.
    pub(super) fn start_waiting(&mut self) {
        let now = Instant::now();
        // Depth first: of two halves the first one goes first, and its own halves before the second.
        while self.free_slots() > 0 {
            let closed = self.breaker.is_closed();
            let startable = |w: &Waiting| w.due <= now && (closed || w.delivery.attempts > 0);
            let Some(at) = self.waiting.iter().rposition(startable) else { return };
            // A window has a tally, and no events.
            let bytes = self.waiting[at].delivery.window.is_none().then(|| self.waiting[at].delivery.items() * EVENT);
            let held = bytes.map(|bytes| self.claim(bytes));
            if let Some(None) = held {
                return;
            }
            let waiting = self.waiting.remove(at);
            self.start_attempt(waiting.delivery, Carried::unread(held.flatten()), false);
        }
    }

    /// While a delivery waits for a retry, no new one starts on the stream unless a later request has succeeded.
    pub(super) fn held_up_by_retry(&self) -> bool {
        self.waiting.iter().any(|w| w.after_failure.is_some_and(|failed| failed >= self.succeeded))
    }

    /// Free slots for new deliveries. Where every request in flight seems to hang there is one more: the endpoint may be well again, and a
    /// fresh event should not wait for their deadline.
    pub(super) fn free_slots(&self) -> usize {
        let limit = self.concurrency.limit();
        let hanging = self.hanging_at().is_some_and(|at| at <= Instant::now());
        (limit + usize::from(hanging)).saturating_sub(self.in_flight.len())
    }

    /// Whether the request that has just ended was one of as many as there may be, and another would have had something to carry: fresh
    /// events, backlog, or what was pinned before.
    pub(super) fn is_saturated(&self) -> bool {
        let now = Instant::now();
        let waits = || self.has_fresh() || self.has_backlog() || self.waiting.iter().any(|w| w.due <= now);
        self.in_flight.len() + 1 >= self.concurrency.limit() && waits()
    }

    /// When the newest request in flight will have been under way for so long that it seems to hang.
    pub(super) fn hanging_at(&self) -> Option<Instant> {
        self.started.iter().map(|(_, at)| *at + HANGING).max()
    }

    /// Bytes for reading about `wanted`. `None` where the worker has to wait; the end of what it has under way wakes it, or its turn.
    pub(super) fn claim(&mut self, wanted: usize) -> Option<Held> {
        self.memory.claim(wanted, self.link.destination.limits().bytes, self.in_flight.is_empty())
    }
}
