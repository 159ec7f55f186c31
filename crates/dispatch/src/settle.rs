//! Recording what came back, and doing what the state machines say.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use toktra_siem_core::breaker::{Breaker, OpenKind, Signal, Transition};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{self, Attempt, Delivery, Input, ParkKind, Parked, Parking, Status, Step};
use toktra_siem_core::ids::{DeliveryId, PlatformId, RangeId, Seq};
use toktra_siem_core::invariant::Invariant;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{Settlement, StoreError};
use toktra_siem_telemetry::Followed;

use super::Context;
use super::attempt::{Done, Judged, OwnFailure};
use super::concurrency::Sample;
use super::job;
use super::run::LONGEST_FOR_STORE;
use super::worker::{ProbePlan, Waiting, Worker, WorkerError};

/// How long an attempt that failed on our side waits before it is made: the first time, and at most; twice as long each time.
const AFTER_OWN_FAILURE: Duration = Duration::from_secs(1);
const AFTER_OWN_FAILURES: Duration = Duration::from_mins(1);

/// What an attempt left for the records.
#[derive(Default)]
pub(super) struct Learnt {
    /// The row of the history, where a request was made.
    pub(super) attempt: Option<Attempt>,
    /// Those events that are followed by a trace; `None` where that is not known.
    pub(super) followed: Option<Vec<Followed>>,
}

/// What is sent after a pause. If it was `refused`, nothing else waits for it.
struct Queued {
    delivery: Delivery,
    pause: Duration,
    refused: bool,
}

impl Worker {
    /// An attempt has ended.
    pub(super) async fn finished(&mut self, done: Done) -> Result<(), WorkerError> {
        self.backlog_in_flight.retain(|ordinal| *ordinal != done.ordinal);
        self.started.retain(|(ordinal, _)| *ordinal != done.ordinal);
        let probe = self.probe.under_way.take_if(|ordinal| *ordinal == done.ordinal).is_some();
        match done.result {
            Ok(Judged { input, attempt, followed, unprepared: _ }) => {
                self.faults.unproven = false;
                if attempt.as_ref().is_some_and(|attempt| attempt.http_status.is_some()) {
                    self.needs = done.round_trip;
                }
                let step = self.decide(&done.delivery, input);
                if probe {
                    self.probe.poison = matches!(step.signal, Signal::SingleRejected { .. });
                }
                // What a probe brings says nothing of how many requests the endpoint takes at once.
                let sample =
                    Sample { saturated: !probe && self.is_saturated(), full: done.full, round_trip: done.round_trip };
                self.learn(&step.signal, done.ordinal, sample);
                let learnt = Learnt { attempt, followed: Some(followed) };
                self.settle(&done.delivery, step, learnt, done.ordinal, done.started).await
            }
            Err(OwnFailure::NotHeld) => {
                self.waiting.push(Waiting { delivery: done.delivery, due: Instant::now(), after_failure: None });
                Ok(())
            }
            Err(failure) => {
                let times = self.faults.unmade.get(&done.delivery.id).copied().unwrap_or(0);
                if times == 0 {
                    tracing::error!(stream = %self.stream, connector_name = self.name(), delivery = %done.delivery.id, error = %failure,
                        "an attempt could not be made; it is not counted, and made after a pause, which grows");
                }
                self.ctx.warnings.failed(self.stream, self.ctx.clock.now(), Cause::own_failure(&failure));
                self.faults.told = true;
                self.faults.unmade.insert(done.delivery.id, times.saturating_add(1));
                // A store is back at any moment, and then nothing should wait.
                let waits = matches!(&failure, OwnFailure::Store(error) if error.is_retryable());
                let longest = if waits { LONGEST_FOR_STORE } else { AFTER_OWN_FAILURES };
                let due = Instant::now() + (AFTER_OWN_FAILURE * (1 << times.min(6))).min(longest);
                self.waiting.push(Waiting { delivery: done.delivery, due, after_failure: Some(done.ordinal) });
                Ok(())
            }
        }
    }

    /// What the state machine makes of it.
    pub(super) fn decide(&self, delivery: &Delivery, input: Input) -> Step {
        delivery::step(delivery, input, self.ctx.clock.now(), &self.ctx.policy)
    }

    /// Adapts the number of requests in flight.
    fn learn(&mut self, signal: &Signal, ordinal: u64, sample: Sample) {
        match signal {
            Signal::Success => {
                self.succeeded = self.succeeded.max(ordinal);
                self.concurrency.succeeded(sample);
            }
            Signal::SlowDown => {
                self.succeeded = self.succeeded.max(ordinal);
                self.concurrency.pressed();
            }
            Signal::Backoff | Signal::Failed { .. } => self.concurrency.pressed(),
            Signal::Nothing | Signal::SingleRejected { .. } | Signal::Reset => {}
        }
    }

    /// Writes the settlement and acts on it. A plain success is not waited for; whatever something follows from is.
    pub(super) async fn settle(
        &mut self,
        before: &Delivery,
        step: Step,
        Learnt { attempt, followed }: Learnt,
        ordinal: u64,
        started: Instant,
    ) -> Result<(), WorkerError> {
        let now = self.ctx.clock.now();
        self.faults.unmade.remove(&before.id);
        let step = self.again_for_its_job(before, if self.breaker.is_closed() { step } else { step.held() });
        let again = self.again.contains(&before.id);
        self.ctx.traffic.settled(before, &step, attempt.is_some(), again, now);
        let signal = self.heard(&step);
        let (breaker, transition) = self.breaker.step(signal, now, self.ctx.random.jitter());
        let changed = (breaker != self.breaker).then(|| breaker.clone());
        log_end(&step, attempt.as_ref(), self.name());
        self.log_change(&breaker);
        let refused = step.refused;
        let children: Vec<Queued> = step
            .children
            .iter()
            .map(|child| Queued {
                delivery: self.child(&step.delivery, child),
                pause: child.pause,
                refused: child.refused,
            })
            .collect();
        if step.delivery.status != Status::Pending && self.again.remove(&before.id) {
            self.again.extend(children.iter().map(|child| child.delivery.id));
        }
        let held = match &transition {
            Transition::Opened { held, .. } => held.clone(),
            _ => Vec::new(),
        };
        let ends = children.is_empty() && step.retry_in.is_none() && step.delivery.awaiting.is_none();
        let plain = ends && step.parked.is_empty() && changed.is_none();
        let parked = step.parked.iter().map(|parking| parking.members.len()).sum();
        let room = self.ctx.records.room(self.org, parked).await;
        let settlement = Settlement {
            expected_attempts: before.attempts,
            attempt,
            children: children.iter().map(|child| child.delivery.clone()).collect(),
            parked: step.parked.iter().flat_map(|parking| rows(&step.delivery, parking)).collect(),
            arrived: step.arrived,
            counts: step.counts,
            breaker: changed,
            held,
            delivery: step.delivery.clone(),
        };
        let platform = self.link.connector.settings.platform;
        if plain {
            let (ctx, lease) = (self.ctx.clone(), self.lease);
            self.records.spawn(async move { record(&ctx, &lease, settlement, (platform, followed)).await.map(drop) });
            self.resend.ended(&step.delivery, std::iter::empty());
            return Ok(());
        }
        if !record(&self.ctx, &self.lease, settlement, (platform, followed)).await? {
            return self.take_back(step.delivery.id).await;
        }
        drop(room);
        self.resend.ended(&step.delivery, children.iter().map(|child| child.delivery.id));
        if job::redelivers_parked(&step.delivery) && step.parked.iter().any(|p| p.kind == ParkKind::Failed) {
            self.resend.again_later();
        }
        let was = std::mem::replace(&mut self.breaker, breaker);
        let again = step.retry_in.map(|pause| Queued { delivery: step.delivery.clone(), pause, refused });
        self.queue(step.delivery, again, children, ordinal);
        self.act(transition, &was, started).await
    }

    /// What a job sends beside the account parks nothing. Where it fails because the endpoint is down already (a sibling has opened the
    /// breaker), the whole of it goes again in a child, which waits until the breaker closes: an outage costs a job one batch.
    fn again_for_its_job(&self, before: &Delivery, mut step: Step) -> Step {
        let beside = before.job.is_some() && !before.accounted && !before.probe;
        let failed = step.delivery.status == Status::Failed && step.children.is_empty();
        if beside && failed && !self.breaker.is_closed() {
            step.children.push(delivery::Child {
                members: before.members.clone(),
                pause: Duration::ZERO,
                refused: false,
            });
        }
        step
    }

    /// What the breaker is told. While it is open only a probe's failure says something new: siblings that were in flight when it opened
    /// fail for the same reason. And parked events that fail again say more of themselves than of the endpoint.
    fn heard<'a>(&self, step: &'a Step) -> &'a Signal {
        let open = !self.breaker.is_closed() && !step.delivery.probe;
        let asked_for = job::redelivers_parked(&step.delivery);
        match step.signal {
            Signal::Failed { .. } if open || asked_for || self.resend.holds(step.delivery.id) => &Signal::Nothing,
            Signal::SingleRejected { .. } if open || asked_for => &Signal::Nothing,
            _ => &step.signal,
        }
    }

    /// An outcome met a delivery that had changed meanwhile: where that one is still pending, it goes on as it is stored.
    async fn take_back(&mut self, id: DeliveryId) -> Result<(), WorkerError> {
        self.again.remove(&id);
        match self.ctx.store.delivery_record(id).await? {
            Some(stored) if stored.status == Status::Pending => self.resume(stored),
            // Retention, or a person, has settled it; what it left parked is sent again in its turn.
            _ => {
                self.resend.forget(id);
                self.resend.begin();
            }
        }
        Ok(())
    }

    /// A delivery that goes on with some of the parent's events.
    fn child(&self, parent: &Delivery, child: &delivery::Child) -> Delivery {
        let mut delivery = self.new_delivery(parent.trigger, child.members.clone());
        delivery.parent = Some(parent.id);
        delivery.job = parent.job;
        delivery.accounted = parent.accounted;
        delivery.due_at = Some(delivery.created_at.plus(child.pause));
        delivery
    }

    /// Keeps what is pending for its time: the delivery itself, or what goes on with its events.
    fn queue(&mut self, delivery: Delivery, again: Option<Queued>, children: Vec<Queued>, ordinal: u64) {
        let now = Instant::now();
        let resent = self.resend.holds(delivery.id)
            || children.iter().any(|child| self.resend.holds(child.delivery.id))
            || job::redelivers_parked(&delivery);
        let after_failure = (!resent).then_some(ordinal);
        if let Some(Queued { delivery, pause, refused }) = again {
            let after_failure = after_failure.filter(|_| !refused);
            self.waiting.push(Waiting { delivery, due: now + pause, after_failure });
        } else if delivery.awaiting.is_some() {
            // It is recorded: what confirms it cannot be faster.
            self.confirming.add(delivery, &self.ctx);
        }
        // The last of the list is started first: depth first, and the first child before the second.
        for Queued { delivery, pause, refused } in children.into_iter().rev() {
            let after_failure = after_failure.filter(|_| !pause.is_zero() && !refused);
            self.waiting.push(Waiting { delivery, due: now + pause, after_failure });
        }
    }

    /// Does what a change of the breaker asks for.
    async fn act(&mut self, transition: Transition, was: &Breaker, started: Instant) -> Result<(), WorkerError> {
        match transition {
            Transition::None => {}
            Transition::Opened { probe_in, .. } => {
                self.log_opening();
                self.probe = ProbePlan { under_way: self.probe.under_way, ..ProbePlan::at(Instant::now() + probe_in) };
            }
            Transition::ProbeAgain { probe_in } => self.probe.due = started + probe_in,
            Transition::Closed => {
                if let Breaker::Open { since, failures, .. } = was {
                    self.log_closing(*since, *failures, "an answer of the endpoint");
                }
                self.recover().await?;
            }
        }
        Ok(())
    }

    /// One line where an outage goes on for another reason: one for each reason.
    fn log_change(&mut self, after: &Breaker) {
        let (Breaker::Open { cause: old, .. }, Breaker::Open { kind, cause, failures, .. }) = (&self.breaker, after)
        else {
            self.causes.clear();
            return;
        };
        if old.code != cause.code && !self.causes.contains(&cause.code) {
            self.causes.extend([old.code.clone(), cause.code.clone()]);
            let (state, code, why) = (word(*kind), cause.code.as_ref(), cause.message.as_str());
            tracing::warn!(stream = %self.stream, connector_name = self.name(), state, cause = code, why, probes = failures, "the endpoint is still failing, for a different reason");
        }
    }

    /// One line that says why, whether a person has to act, and for how long nothing is tried.
    fn log_opening(&self) {
        let Breaker::Open { kind, cause, probe_at, .. } = &self.breaker else { return };
        let state = word(*kind);
        let (code, why) = (cause.code.as_ref(), cause.message.as_str());
        tracing::warn!(stream = %self.stream, connector_name = self.name(), state, cause = code, why, %probe_at, "the breaker opens: events wait until a probe succeeds");
    }

    /// One line for the end of an outage: how long it lasted, and how many probes failed.
    pub(super) fn log_closing(&self, since: Timestamp, probes: u32, by: &'static str) {
        let down_seconds = self.ctx.clock.now().since(since).as_secs();
        tracing::info!(stream = %self.stream, connector_name = self.name(), down_seconds, probes, by, "the endpoint is back: the breaker closes");
    }

    /// The endpoint is back: what waits becomes a backlog range beside the fresh events.
    async fn recover(&mut self) -> Result<(), WorkerError> {
        self.end_offer().await;
        let now = self.ctx.clock.now();
        let id = RangeId(self.ctx.random.uuid_v7(now));
        let trigger = delivery::Trigger::Recovery;
        match self.ctx.store.recover(&self.lease, id, trigger, Breaker::default(), now).await {
            // The connector was saved meanwhile, which has done the same; or another has the stream.
            Err(StoreError::Fenced) => return self.reload().await,
            recovered => recovered?,
        };
        self.resend.begin();
        self.parked_windows = true;
        self.refresh().await
    }

    /// Catches up with what is stored: another writer (a save, retention) may have moved the cursor.
    pub(super) async fn refresh(&mut self) -> Result<(), WorkerError> {
        self.end_offer().await;
        let record = self.ctx.store.stream(self.stream).await?;
        self.ranges = self.ctx.store.ranges(self.stream).await?;
        self.cursor = record.cursor;
        self.last_window = record.last_window;
        if self.revision() != self.ctx.store.timeline(self.stream.connector).await?.revision() {
            self.link = Arc::new(self.ctx.links.link(self.org, self.stream).await?);
        }
        Ok(())
    }
}

/// Writes a settlement, however long the store needs, and tells of it. False where somebody else had settled the delivery: nothing was
/// changed.
async fn record(
    ctx: &Context,
    lease: &toktra_siem_store::Lease,
    settlement: Settlement,
    (platform, followed): (PlatformId, Option<Vec<Followed>>),
) -> Result<bool, StoreError> {
    let mut failed = false;
    loop {
        let settled = ctx.store.settle(lease, settlement.clone()).await;
        if failed && matches!(settled, Ok(()) | Err(StoreError::Conflict(_))) {
            ctx.warnings.works(lease.stream);
        }
        match settled {
            Ok(()) => {
                let learnt = (settlement.attempt.as_ref(), followed.as_deref());
                ctx.telemetry.settled(&ctx.store, platform, &settlement.delivery, learnt);
                return Ok(true);
            }
            Err(StoreError::Conflict(why)) => {
                tracing::info!(delivery = %settlement.delivery.id, why, "settled by somebody else");
                return Ok(false);
            }
            Err(failure) if failure.is_retryable() => {
                // Once for each: where the disk is full, this may go on for hours.
                if !failed {
                    tracing::warn!(delivery = %settlement.delivery.id, error = %failure, "an outcome could not be recorded yet");
                }
                ctx.warnings.failed(lease.stream, ctx.clock.now(), Cause::own_failure(&failure));
                failed = true;
                tokio::time::sleep(ctx.timing.after_store_failure).await;
            }
            Err(failure) => {
                ctx.telemetry.refused_by_store(&failure, Invariant::D1);
                return Err(failure);
            }
        }
    }
}

/// The parked rows of a parking: one for each event, one for a whole window.
fn rows(delivery: &Delivery, parking: &Parking) -> Vec<Parked> {
    let since = delivery.settled_at.unwrap_or(delivery.created_at);
    let row = |seq: Seq, events: u64| Parked {
        seq,
        events,
        kind: parking.kind,
        cause: parking.cause.clone(),
        delivery: delivery.id,
        since,
    };
    match (&delivery.window, parking.members.first()) {
        (Some(window), Some(first)) => vec![row(first, window.tally.total())],
        _ => parking.members.iter().map(|seq| row(seq, 1)).collect(),
    }
}

fn word(kind: OpenKind) -> &'static str {
    match kind {
        OpenKind::Down => "down",
        OpenKind::Misconfigured => "misconfigured",
    }
}

/// The product spec asks for it: a delivery that failed is marked and logged. Of the probes of an outage its end tells.
fn log_end(step: &Step, attempt: Option<&Attempt>, connector_name: &str) {
    let delivery = &step.delivery;
    let status = attempt.and_then(|a| a.http_status);
    let (cause, why) = delivery.cause.as_ref().map(|cause| (cause.code.as_ref(), cause.message.as_str())).unzip();
    let (id, stream, events, attempts) = (delivery.id, delivery.stream, delivery.events(), delivery.attempts);
    match delivery.status {
        Status::Failed if !delivery.probe => {
            tracing::warn!(delivery = %id, %stream, org = %delivery.org, connector_name, events, attempts, status, cause, why, "delivery failed");
        }
        Status::Rejected => {
            tracing::warn!(delivery = %id, %stream, org = %delivery.org, connector_name, events, attempts, status, cause, why, "delivery rejected");
        }
        Status::Failed | Status::Pending | Status::Delivered | Status::Partial | Status::Split => {
            let state = delivery.status.as_str();
            tracing::debug!(delivery = %id, %stream, connector_name, state, events, attempts, status, cause, why, "attempt recorded");
        }
    }
}
