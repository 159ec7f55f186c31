//! Working jobs off: what a person asked to be sent again goes beside everything else, after parked events and ranges, while the breaker
//! is closed.
//!
//! A job is one more source of backlog. Its next stretch is looked up anew each time, from the job's stored cursor: what is parked there
//! moves in the stream's account, what came to its end before is sent beside it, and what another delivery brings is passed over. One
//! `open` pins all of it and moves the cursor, so that a restart goes on where the job stood.
//!
//! What was parked may fail again for its own sake, as in [`super::resend`]: it neither holds up fresh events nor opens the breaker. What
//! is replayed was fine before, so its failure speaks of the endpoint and opens the breaker, which keeps the rest of the job from being
//! burned; and where nothing else waits, the job's next event is what the probe tries.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use toktra_siem_core::delivery::{Delivery, ParkKind, Trigger};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::filter::FilterTimeline;
use toktra_siem_core::ids::{Seq, StreamKind};
use toktra_siem_core::job::{Job, JobKind};
use toktra_siem_core::members::Members;
use toktra_siem_store::{JobStep, Open, Taken};

use super::attempt::{self, Carried};
use super::memory::Held;
use super::select::pack;
use super::worker::{Waiting, Worker, WorkerError};

/// How often a worker looks for a job although nothing told it of one: covers a lost hint.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The job that the stream works on.
#[derive(Debug)]
pub(super) struct Jobs {
    current: Option<Job>,
    /// The events of the delivery that the current one sends again.
    members: Members,
    /// When to look for one.
    look_at: Instant,
    /// Probes that were made with its events: each takes another one.
    probed: usize,
    /// The process is ending: a shutdown does not wait for a job, which goes on after the restart.
    ending: bool,
}

impl Jobs {
    /// None is known yet.
    pub(super) fn new() -> Self {
        Self { current: None, members: Members::default(), look_at: Instant::now(), probed: 0, ending: false }
    }

    /// Jobs may have come or gone: looks at once.
    pub(super) fn hint(&mut self) {
        self.look_at = Instant::now();
    }

    /// Nothing more is taken from one.
    pub(super) fn end(&mut self) {
        self.ending = true;
    }

    /// Whether the process is ending.
    pub(super) fn is_ending(&self) -> bool {
        self.ending
    }

    /// Whether there is something to take from one.
    pub(super) fn has_some(&self) -> bool {
        self.current.is_some() && !self.ending
    }

    /// Whether a person has taken what is parked into their hands: it is not sent again automatically meanwhile.
    pub(super) fn takes_parked(&self) -> bool {
        self.has_some() && self.current.as_ref().is_some_and(|job| job.kind == JobKind::RedeliverFailed)
    }

    /// When to look for one.
    pub(super) fn next_due(&self) -> Instant {
        self.look_at
    }
}

/// Whether a delivery brings what was parked, because a person asked for it.
pub(super) fn redelivers_parked(delivery: &Delivery) -> bool {
    delivery.job.is_some() && delivery.accounted
}

/// What a job has before it.
struct Stretch {
    /// Events that are meant and can be sent, ascending.
    events: Vec<Arc<StoredEvent>>,
    /// How far they were looked for.
    to: Seq,
}

impl Worker {
    /// Finds the stream's next job, where it is time to look.
    pub(super) async fn look_for_job(&mut self) -> Result<(), WorkerError> {
        let now = Instant::now();
        if self.jobs.look_at > now || self.stream.kind == StreamKind::Metrics {
            return Ok(());
        }
        self.jobs.look_at = now + LOOK_EVERY;
        self.jobs.current = self.ctx.store.next_job(self.stream).await?;
        self.jobs.members = match self.jobs.current.as_ref().and_then(|job| job.delivery) {
            Some(id) => self.ctx.store.delivery_record(id).await?.map(|d| d.members).unwrap_or_default(),
            None => Members::default(),
        };
        Ok(())
    }

    /// Takes one batch of the job's events. True where anything moved.
    pub(super) async fn start_job(&mut self) -> Result<bool, WorkerError> {
        let Some(job) = self.jobs.current.clone() else { return Ok(false) };
        let Some(mut held) = self.claim(self.link.destination.limits().bytes) else { return Ok(false) };
        let Stretch { mut events, to } = self.stretch(&job, held.bytes()).await?;
        let members = Members::from_ascending(events.iter().map(|event| event.seq));
        let found = self.ctx.store.place(self.stream, &members).await?;
        events.retain(|event| !found.under_way.contains(event.seq));
        let wanted = events.len();
        let mut fits = pack(&*self.link.destination, &FilterTimeline::default(), job.cursor, events, 1);
        let batch = fits.batches.pop();
        let (events, full) = batch.map(|batch| (batch.events, batch.full)).unwrap_or_default();
        held.set(attempt::bytes(&events));
        let to = if events.len() < wanted { fits.to } else { to };
        let passed = found.under_way.iter().filter(|seq| *seq <= to).count() as u64;

        let (parked, beside): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| found.parked.contains(event.seq));
        let taken = if parked.is_empty() {
            Taken::Beside
        } else {
            Taken::Parked(Members::from_ascending(parked.iter().map(|event| event.seq)))
        };
        let mut batches = Vec::new();
        for (events, trigger, accounted) in [(parked, Trigger::Redelivery, true), (beside, job.kind.trigger(), false)] {
            if !events.is_empty() {
                let members = Members::from_ascending(events.iter().map(|event| event.seq));
                let delivery = self.new_delivery(trigger, members);
                batches.push((Delivery { accounted, job: Some(job.id), ..delivery }, events));
            }
        }
        let deliveries = batches.iter().map(|(delivery, _)| delivery.clone()).collect();
        if !self.move_job(job, to, passed, deliveries, taken).await? {
            return Ok(false);
        }
        for (delivery, events) in batches {
            let part = held.split(attempt::bytes(&events));
            self.start_or_queue(delivery, events, part, full);
        }
        Ok(true)
    }

    /// A stretch may make two deliveries where there is one slot: then the second waits for the next.
    fn start_or_queue(&mut self, delivery: Delivery, events: Vec<Arc<StoredEvent>>, held: Held, full: bool) {
        if self.free_slots() == 0 {
            self.waiting.push(Waiting { delivery, due: Instant::now(), after_failure: None });
            return;
        }
        self.start_attempt(delivery, Carried::read(events, Some(held)), full);
        self.backlog_in_flight.push(self.ordinal);
    }

    /// Pins the deliveries and moves the job's cursor. False where the store knew better: the job has ended, say.
    async fn move_job(
        &mut self,
        mut job: Job,
        to: Seq,
        passed: u64,
        deliveries: Vec<Delivery>,
        taken: Taken,
    ) -> Result<bool, WorkerError> {
        let step = JobStep { id: job.id, from: job.cursor, to, passed };
        let opened = deliveries.iter().map(Delivery::events).sum();
        if !self.pin(Open { deliveries, taken, job: Some(step) }).await? {
            self.jobs.current = None;
            self.jobs.hint();
            return Ok(false);
        }
        job.advance(to, passed, opened, self.ctx.clock.now());
        if job.has_more() {
            self.jobs.current = Some(job);
        } else {
            self.jobs.current = None;
            self.jobs.hint();
        }
        Ok(true)
    }

    /// About a batch of what comes next, of `bytes` or so.
    async fn stretch(&self, job: &Job, bytes: usize) -> Result<Stretch, WorkerError> {
        let most = self.link.destination.limits().events;
        match job.kind {
            JobKind::Replay | JobKind::Discard => {
                let mut events = self.read(job.cursor, 1, bytes).await?;
                let to = events.last().map_or(job.last, |event| event.seq.min(job.last));
                events.retain(|event| {
                    event.seq <= job.last && job.filter.refuses(event.event_type, event.severity).is_none()
                });
                Ok(Stretch { events, to })
            }
            JobKind::Redeliver => {
                let mut left = self.jobs.members.iter().filter(|seq| *seq > job.cursor);
                let next = Members::from_ascending(left.by_ref().take(most));
                let more = left.next().is_some();
                self.payloads(job, &next, more, bytes).await
            }
            JobKind::RedeliverFailed => {
                let mut next: Vec<Seq> = Vec::new();
                for kind in [ParkKind::Failed, ParkKind::Rejected] {
                    let rows = self.ctx.store.parked(self.stream, kind, job.cursor, most).await?;
                    next.extend(rows.into_iter().map(|row| row.seq).filter(|seq| *seq <= job.last));
                }
                next.sort_unstable();
                let more = next.len() >= most;
                next.truncate(most);
                self.payloads(job, &Members::from_ascending(next), more, bytes).await
            }
        }
    }

    /// The stretch of these members; `more`: others come after them.
    async fn payloads(&self, job: &Job, members: &Members, more: bool, bytes: usize) -> Result<Stretch, WorkerError> {
        let (events, cut) = self.read_some(members, bytes).await?;
        let to = cut.or_else(|| members.last().filter(|_| more)).unwrap_or(job.last);
        Ok(Stretch { events, to })
    }

    /// Nothing else is there to probe with: an event of the job, which stays before its cursor, so that an outage of days costs the job
    /// nothing. Each probe takes another one; where the stretch has none, the cursor passes it.
    pub(super) async fn probe_with_job(&mut self) -> Result<(), WorkerError> {
        let Some(job) = self.jobs.current.clone() else { return Ok(()) };
        let Stretch { events, to } = self.stretch(&job, self.link.destination.limits().bytes).await?;
        if events.is_empty() {
            self.eager |= self.move_job(job, to, 0, Vec::new(), Taken::Beside).await?;
            return Ok(());
        }
        self.probe_with_one_of(events).await
    }

    /// Sends one of these events as a probe, beside the account; each probe takes another one.
    pub(super) async fn probe_with_one_of(&mut self, events: Vec<Arc<StoredEvent>>) -> Result<(), WorkerError> {
        let Some(at) = self.jobs.probed.checked_rem(events.len()) else { return Ok(()) };
        self.jobs.probed += 1;
        let event = events[at].clone();
        let delivery = self.new_delivery(Trigger::Recovery, Members::from_ascending([event.seq]));
        let delivery = Delivery { probe: true, accounted: false, ..delivery };
        self.start_pinned(delivery, Taken::Beside, Carried::read(vec![event], None), false).await?;
        Ok(())
    }
}
