//! Metrics: closed windows of acceptance time, one request in flight, each window until it is too old.

use std::time::Duration;

use tokio::time::Instant;
use toktra_siem_core::delivery::{Input, ParkKind, Trigger, Window};
use toktra_siem_core::destination::Tally;
use toktra_siem_core::ids::Seq;
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::rules::time::is_ahead;
use toktra_siem_store::{Open, Passed, ReadLimit, Taken};

use super::attempt::Carried;
use super::settle::Learnt;
use super::worker::{Worker, WorkerError};

/// Events read at once while a window is counted: a busy window does not fit into memory.
const CHUNK: ReadLimit = ReadLimit { events: 4096, bytes: 8 << 20 };

/// A window as it was counted.
struct Counted {
    tally: Tally,
    filtered: u64,
    expired: u64,
    to: Seq,
    /// All that was read, as runs.
    read: Vec<(u64, u32)>,
}

impl Worker {
    /// Sends the next closed window, oldest first; parked ones before new ones, since their time runs out first.
    pub(super) async fn start_window(&mut self, length: Duration, max_age: Duration) -> Result<(), WorkerError> {
        if !self.in_flight.is_empty() || !self.waiting.is_empty() {
            return Ok(());
        }
        while self.parked_windows {
            if self.start_parked_window(max_age, false).await? {
                return Ok(());
            }
        }
        self.start_next_window(length, max_age, false).await
    }

    /// A probe is a window: the oldest parked one, or else the next.
    pub(super) async fn probe_with_window(&mut self, length: Duration, max_age: Duration) -> Result<(), WorkerError> {
        self.parked_windows = true;
        while self.parked_windows {
            if self.start_parked_window(max_age, true).await? {
                return Ok(());
            }
        }
        self.start_next_window(length, max_age, true).await
    }

    /// Sends the oldest parked window again. False where there was none, or it was too old (then there may be another).
    async fn start_parked_window(&mut self, max_age: Duration, probe: bool) -> Result<bool, WorkerError> {
        let parked = self.ctx.store.parked(self.stream, ParkKind::Failed, Seq(0), 1).await?;
        let Some(row) = parked.into_iter().next() else {
            self.parked_windows = false;
            return Ok(false);
        };
        let failed = self.ctx.store.delivery_record(row.delivery).await?;
        let Some((members, window)) = failed
            .and_then(|d| d.window.map(|w| (d.members, w)))
            .filter(|(_, window)| !self.too_old(window.start, max_age))
        else {
            self.expire_parked(vec![row.seq]).await?;
            return Ok(false);
        };
        let mut delivery = self.new_delivery(Trigger::Recovery, members);
        delivery.window = Some(window);
        delivery.probe = probe;
        self.start_pinned(delivery, Taken::Parked(Members::from_ascending([row.seq])), Carried::default(), false).await
    }

    /// Pins the next window once it is closed; passes it by where it is too old, or the filter lets nothing of it through.
    async fn start_next_window(&mut self, length: Duration, max_age: Duration, probe: bool) -> Result<(), WorkerError> {
        loop {
            self.window_due = None;
            if !self.has_fresh() {
                return Ok(());
            }
            // Before the read: what is committed after it was not looked for.
            let head = *self.head.borrow();
            let now = self.ctx.clock.now();
            let Some(start) = self.next_window_start(length, now).await? else { return self.pass_unread(head).await };
            let closes = start.plus(length + self.ctx.timing.window_grace);
            if now < closes {
                self.window_due = Some(Instant::now() + closes.since(now));
                return Ok(());
            }
            let Some(revision) = self.revision() else { return Ok(()) };
            let counted = self.count_window(start.plus(length), now).await?;
            let from = self.cursor;
            let mut passed = Passed { filtered: counted.filtered, expired: counted.expired };
            let mut deliveries = Vec::new();
            if self.too_old(start, max_age) {
                passed.expired += counted.tally.total();
            } else if counted.tally.total() > 0 {
                let mut delivery = self.new_delivery(Trigger::Live, Members::from_runs(counted.read));
                delivery.window = Some(Window { start, tally: counted.tally });
                delivery.probe = probe;
                deliveries.push(delivery);
            }
            let taken = Taken::Live { from, to: counted.to, passed, revision };
            if !self.pin(Open { deliveries: deliveries.clone(), taken, job: None }).await? {
                return Ok(());
            }
            self.cursor = counted.to;
            if let Some(delivery) = deliveries.pop() {
                self.last_window = Some(start);
                self.start_attempt(delivery, Carried::default(), false);
                return Ok(());
            }
        }
    }

    /// Nothing up to `head` can be read any more: it is in no window.
    async fn pass_unread(&mut self, head: Seq) -> Result<(), WorkerError> {
        let (from, Some(revision)) = (self.cursor, self.revision()) else { return Ok(()) };
        let passed = Passed { filtered: 0, expired: from.until(head) };
        let taken = Taken::Live { from, to: head, passed, revision };
        if from < head && self.pin(Open { deliveries: Vec::new(), taken, job: None }).await? {
            self.cursor = head;
        }
        Ok(())
    }

    /// The window of the next event: that of its acceptance, but always later than the last one that was sent. An event that was
    /// committed so late that its own window is gone counts in the next: sums stay exact, and no point is written twice.
    ///
    /// What lies ahead of the clock was written when the clock was wrong: such an event counts in the window of the next one that is not, or in the newest that is closed, and such a last
    /// window holds none up.
    async fn next_window_start(&self, length: Duration, now: Timestamp) -> Result<Option<Timestamp>, WorkerError> {
        let one = ReadLimit { events: 1, bytes: usize::MAX };
        let mut next = self.ctx.store.read(self.org, self.cursor, one).await?;
        if next.is_empty() {
            return Ok(None);
        }
        if next.iter().any(|event| is_ahead(event.accepted_at, now)) {
            let some = ReadLimit { events: 256, bytes: 1 << 20 };
            next = self.ctx.store.read(self.org, self.cursor, some).await?;
        }
        let ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        let closed = now.minus(length + self.ctx.timing.window_grace);
        let at = next.iter().map(|event| event.accepted_at).find(|at| !is_ahead(*at, now)).unwrap_or(closed);
        let natural = Timestamp(at.0.div_euclid(ms) * ms);
        let last = self.last_window.filter(|last| !is_ahead(*last, now));
        Ok(Some(last.map_or(natural, |last| natural.max(last.plus(length)))))
    }

    /// Counts everything after the cursor that was accepted before `end`, as far as it can be read. A damaged event is in no window: its type
    /// and its severity are under the checksum that does not hold.
    async fn count_window(&mut self, end: Timestamp, now: Timestamp) -> Result<Counted, WorkerError> {
        let mut counted =
            Counted { tally: Tally::default(), filtered: 0, expired: 0, to: self.cursor, read: Vec::new() };
        // Nothing is under way, so there is something for it.
        let Some(held) = self.claim(CHUNK.bytes) else { return Ok(counted) };
        let chunk = ReadLimit { events: CHUNK.events, bytes: held.bytes() };
        loop {
            let events = self.ctx.store.read(self.org, counted.to, chunk).await?;
            if events.is_empty() {
                return Ok(counted);
            }
            for event in events {
                if event.accepted_at >= end && !is_ahead(event.accepted_at, now) {
                    return Ok(counted);
                }
                counted.expired += counted.to.until(event.seq) - 1;
                counted.to = event.seq;
                match counted.read.last_mut() {
                    Some((first, events)) if *first + u64::from(*events) == event.seq.0 => *events += 1,
                    _ => counted.read.push((event.seq.0, 1)),
                }
                let version = self.link.timeline.at(event.seq);
                let passes =
                    version.is_none_or(|v| v.send_metrics && v.filters(event.event_type, event.severity).is_none());
                if passes {
                    counted.tally.add(event.event_type, event.severity);
                } else {
                    counted.filtered += 1;
                }
            }
        }
    }

    fn too_old(&self, start: Timestamp, max_age: Duration) -> bool {
        self.ctx.clock.now().since(start) > max_age
    }

    /// Gives up pending windows that have become too old while they waited for an attempt.
    pub(super) async fn expire_waiting_windows(&mut self, max_age: Duration) -> Result<(), WorkerError> {
        let Some(at) = self
            .waiting
            .iter()
            .position(|w| w.delivery.window.as_ref().is_some_and(|window| self.too_old(window.start, max_age)))
        else {
            return Ok(());
        };
        let waiting = self.waiting.remove(at);
        let step = self.decide(&waiting.delivery, Input::Expired(self.link.destination.too_late()));
        self.settle(&waiting.delivery, step, Learnt::default(), self.ordinal, Instant::now()).await
    }
}
