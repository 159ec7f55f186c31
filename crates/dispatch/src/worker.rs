//! The worker of one stream: a loop that starts what may start, and records what came back.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toktra_siem_core::breaker::{Breaker, FOR_GOOD, PROBE_DEADLINE};
use toktra_siem_core::delivery::Delivery;
use toktra_siem_core::ids::{DeliveryId, OrgId, Seq, StreamId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::destination::Pacing;
use toktra_siem_store::{BacklogRange, Lease, StoreError, StreamRecord};

use super::Context;
use super::ahead::Ahead;
use super::attempt::{self, Carried, Done, Order};
use super::concurrency::Concurrency;
use super::job::Jobs;
use super::link::{Link, LinkError, Prepared};
use super::memory::Share;
use super::node::Member;
use super::resend::Resend;
use super::run::UNUSABLE;
use super::select::Lingering;
use super::watchdog::Turning;

/// How others steer a worker.
#[derive(Clone)]
pub struct Control {
    /// Counts the saves of the connector: the worker takes its link and its stream anew.
    pub changed: watch::Receiver<u64>,
    /// Counts the changes of the connector's jobs: the worker looks for the next one.
    pub jobs: watch::Receiver<u64>,
    /// Switched off or deleted: start nothing more, finish what is in flight, end.
    pub stop: CancellationToken,
    /// The process is ending: go on while there is something to do at once, then end.
    pub drain: CancellationToken,
    /// Who has claimed the stream: the worker ends with it.
    pub member: Arc<Member>,
}

/// A pending delivery that is not in flight.
pub(super) struct Waiting {
    pub(super) delivery: Delivery,
    /// When its next attempt may start.
    pub(super) due: Instant,
    /// It waits because a request failed: nothing new starts meanwhile, unless a request started after this one has succeeded.
    pub(super) after_failure: Option<u64>,
}

/// When the next probe may start, and with which event.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProbePlan {
    pub(super) due: Instant,
    /// Parked events up to this one were tried often enough; the next probe takes a later one.
    pub(super) after: Seq,
    /// Probes that failed with the present event.
    pub(super) tries: u32,
    /// How many parked events were refused as probes.
    pub(super) refused: u32,
    /// The last probe was refused for its event's own sake, so the endpoint may be well.
    pub(super) poison: bool,
    /// The request that is the probe under way.
    pub(super) under_way: Option<u64>,
}

impl ProbePlan {
    /// The first probe may start at `due`, with the first event.
    pub(super) fn at(due: Instant) -> Self {
        Self { due, after: Seq(0), tries: 0, refused: 0, poison: false, under_way: None }
    }
}

/// Faults of this service, not of the receiver.
pub(super) struct Faults {
    /// It may be told that there is one.
    pub(super) told: bool,
    /// Deliveries whose last attempt could not be made, and how often in a row that was so.
    pub(super) unmade: HashMap<DeliveryId, u32>,
    /// The worker before this one failed: that is over once an attempt has come to its end, or there is none to make.
    pub(super) unproven: bool,
}

/// The owner of a stream.
pub(super) struct Worker {
    pub(super) ctx: Arc<Context>,
    pub(super) org: OrgId,
    pub(super) stream: StreamId,
    pub(super) member: Arc<Member>,
    pub(super) lease: Lease,
    pub(super) link: Arc<Link>,
    pub(super) head: watch::Receiver<Seq>,
    pub(super) cursor: Seq,
    pub(super) last_window: Option<Timestamp>,
    pub(super) ranges: Vec<BacklogRange>,
    pub(super) breaker: Breaker,
    pub(super) probe: ProbePlan,
    /// Sends parked events again, now that the breaker is closed.
    pub(super) resend: Resend,
    /// Pending deliveries of events that had failed before.
    pub(super) again: HashSet<DeliveryId>,
    /// The causes of the present outage that the log has.
    pub(super) causes: HashSet<Cow<'static, str>>,
    /// What people asked to be sent again.
    pub(super) jobs: Jobs,
    pub(super) waiting: Vec<Waiting>,
    pub(super) confirming: super::confirm::Confirming,
    pub(super) in_flight: JoinSet<Done>,
    /// Requests in flight that carry parked events or those of a range.
    pub(super) backlog_in_flight: Vec<u64>,
    /// What this service could not do.
    pub(super) faults: Faults,
    /// Settlements on their way to the store that nothing waits for.
    pub(super) records: JoinSet<Result<(), StoreError>>,
    pub(super) concurrency: Concurrency,
    /// What it may hold of events.
    pub(super) memory: Share,
    /// The request of the last probe, and when it was started.
    pub(super) probe_task: Option<(AbortHandle, Instant)>,
    /// How long the endpoint took for its last answer.
    pub(super) needs: Duration,
    /// The number of the last request started, and of the last started one that succeeded.
    pub(super) ordinal: u64,
    pub(super) succeeded: u64,
    /// With one slot only, fresh events and backlog take turns.
    pub(super) backlog_turn: bool,
    /// When each request in flight was started, by its number.
    pub(super) started: Vec<(u64, Instant)>,
    /// Parked windows of metrics may be there to be sent again.
    pub(super) parked_windows: bool,
    /// When the open window of metrics can be pinned.
    pub(super) window_due: Option<Instant>,
    /// The newest events, while they wait for company.
    pub(super) lingering: Option<Lingering>,
    /// Offers to take what comes next, where the stream has caught up.
    pub(super) ahead: Ahead,
    /// There is more to do at once, after a look at what has happened meanwhile.
    pub(super) eager: bool,
}

/// How often a worker that may not send asks whether it may again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The way to the endpoint of a stream, as it was last saved. `Off` if nothing is to be sent there: whoever has not been told finds out here.
async fn wanted(ctx: &Context, org: OrgId, stream: StreamId) -> Result<Arc<Link>, WorkerError> {
    let link = ctx.links.link(org, stream).await?;
    if link.connector.active { Ok(Arc::new(link)) } else { Err(WorkerError::Off) }
}

/// Why a worker could not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkerError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the connector is switched off")]
    Off,
    #[error("an attempt ended abnormally: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

impl Worker {
    /// What its connector is called, for the log.
    pub(super) fn name(&self) -> &str {
        &self.link.connector.name
    }

    /// Takes the stream up, which `member` has claimed, and finds out where it stands.
    pub(super) async fn start(
        ctx: Arc<Context>,
        (org, stream): (OrgId, StreamId),
        member: Arc<Member>,
    ) -> Result<Self, WorkerError> {
        // One that panicked may have left an offer behind: what that pins from now on, nobody would know of.
        ctx.store.withdraw(org, stream);
        let (lease, record) = ctx.store.lease(member.id(), stream).await?;
        let link = wanted(&ctx, org, stream).await?;
        let pending = ctx.store.pending(stream).await?;
        let ranges = ctx.store.ranges(stream).await?;
        let head = ctx.store.head(org).await?;
        let now = Instant::now();
        let mut worker = Self {
            concurrency: Concurrency::new(link.connector.settings.max_in_flight),
            memory: Share::of(&ctx.memory),
            ctx,
            org,
            stream,
            member,
            lease,
            link,
            head,
            cursor: record.cursor,
            last_window: record.last_window,
            ranges,
            breaker: Breaker::default(),
            probe: ProbePlan::at(now),
            resend: Resend::new(),
            again: HashSet::new(),
            causes: HashSet::new(),
            jobs: Jobs::new(),
            parked_windows: true,
            waiting: Vec::new(),
            confirming: super::confirm::Confirming::default(),
            in_flight: JoinSet::new(),
            backlog_in_flight: Vec::new(),
            faults: Faults { told: true, unmade: HashMap::new(), unproven: false },
            records: JoinSet::new(),
            probe_task: None,
            needs: Duration::ZERO,
            ordinal: 0,
            succeeded: 0,
            backlog_turn: true,
            started: Vec::new(),
            window_due: None,
            lingering: None,
            ahead: Ahead::default(),
            eager: false,
        };
        worker.take_up(&record);
        for delivery in pending {
            worker.resume(delivery);
        }
        worker.prepare_early();
        Ok(worker)
    }

    /// Prepares the endpoint as soon as the connector is switched on or saved, so that its index template stands before the first event.
    /// Whatever comes of it, the first delivery asks again unless it is done.
    fn prepare_early(&self) {
        let (ctx, link, stream) = (self.ctx.clone(), self.link.clone(), self.stream);
        let connector_name = self.name().to_owned();
        tokio::spawn(async move {
            let outcome = link.prepare(&*ctx.clock, &*ctx.random, Instant::now() + ctx.timing.request).await;
            if let Prepared::Ready { warning, fresh: true, .. } = &outcome {
                ctx.warnings.prepared(stream, warning.clone());
            }
            match outcome {
                Prepared::Ready { warning: None, .. } => {}
                Prepared::Ready { warning: Some(cause), .. } | Prepared::Hold { cause, .. } => {
                    let (code, why) = (cause.code.as_ref(), cause.message.as_str());
                    tracing::warn!(%stream, connector_name, cause = code, why, "the endpoint could not be prepared");
                }
            }
        });
    }

    /// Takes over what the store says of the stream.
    fn take_up(&mut self, record: &StreamRecord) {
        self.cursor = record.cursor;
        self.last_window = record.last_window;
        if let (Breaker::Open { since, failures, .. }, true) = (&self.breaker, record.breaker.is_closed()) {
            self.log_closing(*since, *failures, "a save or a test delivery");
        }
        self.breaker = record.breaker.clone();
        if !record.breaker.is_closed() {
            let stored = record.breaker.next_probe().map_or(FOR_GOOD, |at| self.until(at));
            // What could not be used until now is tried at once.
            let unusable = matches!(&record.breaker, Breaker::Open { cause, .. } if cause.code == UNUSABLE);
            self.probe.due = Instant::now() + if unusable { Duration::ZERO } else { stored };
        }
    }

    /// Takes up a delivery that an earlier run of the process left pending.
    pub(super) fn resume(&mut self, delivery: Delivery) {
        if delivery.probe {
            self.again.insert(delivery.id);
        }
        if delivery.awaiting.is_some() {
            self.confirming.add(delivery, &self.ctx);
            return;
        }
        let due = Instant::now() + delivery.due_at.map_or(Duration::ZERO, |at| self.until(at));
        // What a person sends again holds nobody up, before a restart and after it.
        let after_failure = (delivery.attempts > 0 && !super::job::redelivers_parked(&delivery)).then_some(0);
        self.waiting.push(Waiting { delivery, due, after_failure });
    }

    /// How long until a stored wall-clock time. Capped, since the clock may have been set back since.
    fn until(&self, at: Timestamp) -> Duration {
        at.since(self.ctx.clock.now()).min(self.ctx.policy.retry_after_cap)
    }

    /// Works until it is told to end, or its node is dead.
    pub(super) async fn serve(&mut self, control: &mut Control, turning: &Turning<'_>) -> Result<(), WorkerError> {
        loop {
            turning.turns();
            if control.stop.is_cancelled() || self.member.is_dead() {
                return Ok(());
            }
            let draining = control.drain.is_cancelled();
            if draining {
                self.jobs.end();
            }
            // Nothing starts by the settings of before, whatever else has woken the worker.
            if control.changed.has_changed().is_ok_and(|changed| changed) {
                control.changed.mark_unchanged();
                self.reload().await?;
            }
            self.head.borrow_and_update();
            // Otherwise the stream may be another's by now: nothing starts until that is known.
            let holds = self.member.holds();
            if holds {
                self.start_ahead();
                self.start_deliveries().await?;
            }
            self.memory.leave();
            let idle = self.in_flight.is_empty() && self.waiting.is_empty() && !self.has_fresh();
            self.faults.unproven &= !idle && self.breaker.is_closed();
            let fine = self.faults.unmade.is_empty() && !self.faults.unproven;
            if fine && std::mem::take(&mut self.faults.told) {
                self.ctx.warnings.works(self.stream);
            }
            if !draining {
                if holds {
                    self.offer();
                }
            } else if self.withdraw() && !(holds && self.has_pinned()) && self.in_flight.is_empty() {
                return Ok(());
            }
            let mut wake = if holds { self.next_wake() } else { Instant::now() + LOOK_AGAIN };
            if draining && let Some(until) = self.give_probe_up() {
                wake = wake.min(until);
            }
            tokio::select! {
                Some(done) = self.in_flight.join_next() => match done {
                    Err(gone) if gone.is_cancelled() => self.probe.under_way = None,
                    done => self.finished(done?).await?,
                },
                Some(recorded) = self.records.join_next() => recorded??,
                answer = self.confirming.answered() => self.confirmed(answer).await?,
                _ = self.head.changed() => {}
                () = self.ahead.ended() => {}
                () = self.memory.given() => {}
                // The next round reloads, before it starts anything.
                Ok(()) = control.changed.changed() => control.changed.mark_changed(),
                Ok(()) = control.jobs.changed() => self.jobs.hint(),
                () = control.stop.cancelled() => {}
                () = control.member.died() => {}
                () = control.drain.cancelled(), if !control.drain.is_cancelled() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Lets what is in flight come to its end and be recorded, whatever ended the worker: an answer that is thrown away would be a
    /// duplicate later. What is pending stays so in the store.
    pub(super) async fn wind_down(&mut self) {
        self.leave_pinned().await;
        loop {
            let until = self.give_probe_up();
            let done = tokio::select! {
                done = self.in_flight.join_next() => done,
                () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => continue,
            };
            let recorded = match done {
                None => break,
                Some(Ok(done)) => self.finished(done).await,
                Some(Err(gone)) if gone.is_cancelled() => Ok(()),
                Some(Err(panicked)) => Err(panicked.into()),
            };
            match recorded {
                // A stream that was switched off, deleted or lost opens nothing more; what was learnt of it is recorded all the same.
                Ok(())
                | Err(WorkerError::Store(StoreError::Fenced) | WorkerError::Off | WorkerError::Link(LinkError::Gone)) =>
                    {}
                Err(failure) => {
                    tracing::error!(stream = %self.stream, connector_name = self.name(), error = %failure, "an outcome was not recorded");
                }
            }
        }
        while let Some(recorded) = self.records.join_next().await {
            if let Err(failure) = recorded.map_err(WorkerError::from).and_then(|r| r.map_err(WorkerError::from)) {
                tracing::error!(stream = %self.stream, connector_name = self.name(), error = %failure, "an outcome was not recorded");
            }
        }
    }

    /// Ends a probe that somebody waits for, once it has had the time of a first one: an endpoint that hangs keeps no shutdown and no removal waiting.
    /// Its delivery stays pending. When to look again, if it is under way.
    fn give_probe_up(&mut self) -> Option<Instant> {
        self.probe.under_way?;
        let until = self.probe_task.as_ref()?.1 + PROBE_DEADLINE;
        if until > Instant::now() {
            return Some(until);
        }
        self.probe_task.take()?.0.abort();
        None
    }

    /// The connector was saved: settings, filter, breaker, ranges and lease may all have changed.
    pub(super) async fn reload(&mut self) -> Result<(), WorkerError> {
        self.end_offer().await;
        // What is on its way to the store first: it was decided before the save.
        while let Some(recorded) = self.records.join_next().await {
            recorded??;
        }
        // A save makes a newer one. If another has the stream, this is where it comes out. Then what was saved is never older than the lease.
        let (lease, record) = self.ctx.store.lease(self.member.id(), self.stream).await?;
        self.lease = lease;
        self.link = wanted(&self.ctx, self.org, self.stream).await?;
        self.concurrency.set_max(self.link.connector.settings.max_in_flight);
        self.prepare_early();
        self.ranges = self.ctx.store.ranges(self.stream).await?;
        self.take_up(&record);
        // What could not be made by the settings of before is tried by these.
        for waiting in &mut self.waiting {
            if self.faults.unmade.remove(&waiting.delivery.id).is_some() {
                waiting.due = Instant::now();
            }
        }
        self.resend.begin();
        self.jobs.hint();
        self.parked_windows = true;
        self.probe = ProbePlan { under_way: self.probe.under_way, ..ProbePlan::at(self.probe.due) };
        Ok(())
    }

    /// Starts everything that may start now.
    async fn start_deliveries(&mut self) -> Result<(), WorkerError> {
        if let Pacing::Windowed { max_age, .. } = self.link.destination.pacing() {
            self.expire_waiting_windows(max_age).await?;
        }
        self.start_waiting();
        self.poll_confirmations();
        self.look_for_job().await?;
        if !self.breaker.is_closed() {
            return self.maybe_probe().await;
        }
        if self.held_up_by_retry() {
            return Ok(());
        }
        match self.link.destination.pacing() {
            Pacing::Live | Pacing::Linger { .. } => self.start_fresh_and_backlog().await,
            Pacing::Windowed { window, max_age } => self.start_window(window, max_age).await,
        }
    }

    /// Sends a pinned delivery, in a task of its own.
    pub(super) fn start_attempt(&mut self, delivery: Delivery, carried: Carried, full: bool) {
        self.ordinal += 1;
        if delivery.probe {
            self.probe.under_way = Some(self.ordinal);
        }
        let now = Instant::now();
        self.started.push((self.ordinal, now));
        let is_probe = delivery.probe;
        let request = self.ctx.timing.request;
        let deadline = if delivery.probe { self.breaker.probe_deadline(self.needs, request) } else { request };
        let member = Arc::clone(&self.member);
        let order = Order { delivery, carried, ordinal: self.ordinal, full, deadline, member };
        let task = self.in_flight.spawn(attempt::run(self.ctx.clone(), self.link.clone(), order));
        if is_probe {
            self.probe_task = Some((task, now));
        }
    }

    /// Whether there are events that no delivery holds.
    pub(super) fn has_fresh(&self) -> bool {
        self.cursor < *self.head.borrow()
    }

    /// When to look again if nothing happens before.
    fn next_wake(&mut self) -> Instant {
        let now = Instant::now();
        if std::mem::take(&mut self.eager) {
            return now;
        }
        let mut wake = now + self.ctx.timing.tick;
        if self.free_slots() > 0 {
            let closed = self.breaker.is_closed();
            // What is due already waits for memory, which wakes the worker.
            let startable = |w: &&Waiting| w.due > now && (closed || w.delivery.attempts > 0);
            for waiting in self.waiting.iter().filter(startable) {
                wake = wake.min(waiting.due);
            }
        }
        if !self.breaker.is_closed() && self.probe.under_way.is_none() && self.probe.due > now {
            wake = wake.min(self.probe.due);
        }
        let jobs = Some(self.jobs.next_due());
        let lingers = self.lingering.as_ref().map(|lingering| lingering.due);
        let others = [self.window_due, lingers, self.resend.next_due(), self.hanging_at(), jobs];
        for due in others.into_iter().flatten().filter(|at| *at > now) {
            wake = wake.min(due);
        }
        if let Some(due) = self.confirming.next_due().filter(|due| *due > now) {
            wake = wake.min(due);
        }
        wake
    }
}
