//! Finds streams in which events wait and nothing moves, and that nobody tells of otherwise: a worker that hangs, one that is not there, a cursor
//! that stands still for a defect of our own.
//!
//! It compares what the log holds with what each stream has accounted for, as both are stored, and needs nothing of the workers for that. So it
//! sees a dead one, and a node sees the streams of all others. It is a task of its own, and one look is one question to the store for all
//! streams; only of those that do not move it asks more. What workers and the hub say of themselves ([`Watch::worker`],
//! [`Watch::hub_turns`]) only tells where the fault is.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use toktra_siem_core::accounting::Counts;
use toktra_siem_core::breaker::{Breaker, OpenKind, PROBE_CAP_DOWN, PROBE_CAP_MISCONFIGURED};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::Delivery;
use toktra_siem_core::ids::{Seq, StreamId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::rules::time::is_ahead;
use toktra_siem_store::{Standing, StoreError, StreamRecord};
use toktra_siem_telemetry::Seen;

use super::Context;
use super::resend::LONGEST_PAUSE;

/// An event that has waited for longer is late, and health says why. A stream in which one waits, and nothing has moved for so long, is looked into.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// A stream that has not moved for so long is asked for its reason, so that one is there once an event is late.
const LOOKED_INTO: Duration = Duration::from_secs(20);
/// How often there is a look.
pub const EVERY: Duration = Duration::from_secs(15);
/// How long a look may take: a store that does not answer must not end the watch.
const A_LOOK: Duration = Duration::from_secs(30);
/// How long after the last moment at which an outcome may come it has to be on record.
const SLACK: Duration = Duration::from_secs(15);

/// Why a stream has not moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It moves, or nothing waits, or not for long.
    Moves,
    /// A request is under way.
    Sending,
    /// A request failed, and is sent again: after a pause that grows, or that the SIEM asked for.
    Retrying,
    /// The SIEM has accepted events and has not confirmed yet that they are indexed.
    Confirming,
    /// What waits has failed before and is sent again after a pause.
    Failing,
    /// Nothing explains it, so the fault is this service's own.
    Stalled {
        /// Since when nothing has moved, as far as is known.
        since: Timestamp,
        /// What is known of it.
        cause: Cause,
    },
    /// Nobody knows yet: the service has just started.
    Starting,
}

/// What is known of streams that do not move.
#[derive(Debug)]
pub struct Watch {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the hub last turned.
    hub: Option<Instant>,
    /// When each worker of this node last turned.
    workers: HashMap<StreamId, Arc<Mutex<Instant>>>,
    /// The end of the last look.
    looked: Option<(Instant, Timestamp)>,
    /// Of streams that do not move.
    verdicts: HashMap<StreamId, Verdict>,
}

/// A worker under watch, until it is dropped.
#[derive(Debug)]
pub struct Turning<'w> {
    watch: &'w Watch,
    stream: StreamId,
    last: Arc<Mutex<Instant>>,
}

impl Turning<'_> {
    /// The worker has come to the beginning of its loop.
    pub fn turns(&self) {
        *self.last.lock() = Instant::now();
    }
}

impl Drop for Turning<'_> {
    fn drop(&mut self) {
        let mut state = self.watch.state.lock();
        // A successor may be there already.
        if state.workers.get(&self.stream).is_some_and(|last| Arc::ptr_eq(last, &self.last)) {
            state.workers.remove(&self.stream);
        }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self { began: Instant::now(), state: Mutex::default() }
    }
}

impl Watch {
    /// A worker of `stream` begins here.
    pub fn worker(&self, stream: StreamId) -> Turning<'_> {
        let last = Arc::new(Mutex::new(Instant::now()));
        self.state.lock().workers.insert(stream, Arc::clone(&last));
        Turning { watch: self, stream, last }
    }

    /// The hub has come to the beginning of its loop.
    pub fn hub_turns(&self) {
        self.state.lock().hub = Some(Instant::now());
    }

    /// Why `stream` has not moved. It says nothing of breakers that are open, nor of what this service knows that it cannot do
    /// ([`crate::warnings::Warnings::failing`]), unless the tries that belong to those do not come.
    pub fn of(&self, stream: StreamId) -> Verdict {
        let state = self.state.lock();
        let last = state.looked.map_or(self.began, |(at, _)| at);
        if last.elapsed() <= PATIENCE + EVERY {
            let started = self.began.elapsed() <= PATIENCE + EVERY;
            let known = state.verdicts.get(&stream).cloned();
            return known.unwrap_or(if started { Verdict::Starting } else { Verdict::Moves });
        }
        let cause = Cause::new(
            "stalled_unwatched",
            "This server has not looked for more than a minute whether this connector gets on. Its database probably does not answer: look at \
             its log, and restart it if that does not end by itself.",
        );
        Verdict::Stalled { since: state.looked.map_or_else(Timestamp::default, |(_, at)| at), cause }
    }

    /// Which fault of ours it is that nothing moves. `elsewhere`: another node has the stream.
    fn cause(&self, stream: StreamId, elsewhere: bool) -> Cause {
        let state = self.state.lock();
        let hub_hangs = state.hub.is_none_or(|at| at.elapsed() > PATIENCE);
        let restart =
            "Restart this server: nothing that was accepted is lost. If it comes again, report it with the log.";
        match state.workers.get(&stream).map(|last| last.lock().elapsed()) {
            None if !elsewhere && hub_hangs => Cause::new(
                "stalled_dispatcher",
                format!(
                    "Nobody works on this connector, and the part of this server that would start that hangs. {restart}"
                ),
            ),
            None if !elsewhere => Cause::new("stalled_unclaimed", format!("Nobody works on this connector. {restart}")),
            None => Cause::new(
                "stalled_elsewhere",
                "The node that works on this connector does not get on. Look at the health of the other nodes, restart the one that has it, and \
                 report it with its log.",
            ),
            Some(silent) if silent > PATIENCE => Cause::new(
                "stalled_worker",
                format!("What works on this connector hangs, probably in the database. {restart}"),
            ),
            Some(_) => Cause::new(
                "stalled_no_progress",
                format!("What works on this connector runs, and takes up nothing of what waits. {restart}"),
            ),
        }
    }
}

/// What changes whenever a stream gets on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Progress {
    cursor: Seq,
    counts: Counts,
    last_window: Option<Timestamp>,
    last_success: Option<Timestamp>,
    breaker: Breaker,
}

impl Progress {
    fn of(record: &StreamRecord) -> Self {
        let StreamRecord { cursor, counts, last_window, last_success, breaker, .. } = record.clone();
        Self { cursor, counts, last_window, last_success, breaker }
    }
}

/// Since when a stream in which something waits has not moved.
struct Mark {
    progress: Progress,
    since: Instant,
    at: Timestamp,
    /// It needs no other look before that.
    explained: Option<(Verdict, Instant)>,
}

/// The watchdog.
pub struct Watchdog {
    ctx: Arc<Context>,
    marks: HashMap<StreamId, Mark>,
    /// A failure was told.
    told: bool,
}

impl Watchdog {
    /// One that has not looked yet.
    pub fn new(ctx: Arc<Context>) -> Self {
        Self { ctx, marks: HashMap::new(), told: false }
    }

    /// Looks until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            match timeout(A_LOOK, self.look()).await {
                Ok(Ok(())) => self.told = false,
                Ok(Err(failure)) if !self.told => {
                    self.told = true;
                    tracing::error!(error = %failure, "the watchdog could not look whether streams get on; trying again");
                }
                Err(_) if !self.told => {
                    self.told = true;
                    tracing::error!("the store did not answer the watchdog in time; trying again");
                }
                Ok(Err(_)) | Err(_) => {}
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        Ok(())
    }

    /// Looks once at all streams.
    pub async fn look(&mut self) -> Result<(), StoreError> {
        let overview = self.ctx.store.overview().await?;
        let (now, at) = (Instant::now(), self.ctx.clock.now());
        let waiting = overview.into_iter().filter(|stream| stream.active && stream.record.undelivered() > 0);
        let waiting: Vec<StreamRecord> = waiting.map(|stream| stream.record).collect();
        let present: HashSet<StreamId> = waiting.iter().map(|record| record.id).collect();
        self.marks.retain(|stream, _| present.contains(stream));
        let mut verdicts = HashMap::new();
        for record in &waiting {
            let progress = Progress::of(record);
            let mark = self.marks.entry(record.id).or_insert_with(|| Mark {
                progress: progress.clone(),
                since: now,
                at,
                explained: None,
            });
            if mark.progress != progress {
                *mark = Mark { progress, since: now, at, explained: None };
            }
            let (unmoved, since) = (now - mark.since, mark.at);
            let known = mark.explained.as_ref().filter(|(_, until)| now < *until).map(|(verdict, _)| verdict.clone());
            let patience = patience(&record.breaker, self.ctx.timing.request, self.ctx.policy.retry_after_cap);
            if unmoved < if record.breaker.is_closed() { LOOKED_INTO } else { patience } {
                continue;
            }
            // What this service knows of its own failures explains it, and is told as such.
            if self.ctx.warnings.failing(record.id).is_some() {
                continue;
            }
            let verdict = match known {
                Some(verdict) => verdict,
                None => self.judge(record, since).await?,
            };
            if unmoved >= patience || !matches!(verdict, Verdict::Stalled { .. }) {
                verdicts.insert(record.id, verdict);
            }
        }
        self.tell(verdicts);
        Ok(())
    }

    /// Why a stream does not move that should.
    async fn judge(&mut self, record: &StreamRecord, since: Timestamp) -> Result<Verdict, StoreError> {
        let (store, now) = (&self.ctx.store, self.ctx.clock.now());
        let pending = store.pending(record.id).await?;
        // What a person has sent again is among them: while it fails, others wait behind it.
        let explained = pending.iter().map(|delivery| self.explanation(delivery, now)).max_by_key(|(_, until)| *until);
        let mut explained = explained.filter(|(_, until)| now < *until);
        if explained.is_none() && record.breaker.is_closed() && record.accounting().pending() == 0 {
            let standings = store.standings(record.org, Some(record.id.connector), now).await;
            let standing = match standings {
                Err(StoreError::NotFound) => None,
                standings => standings?.into_iter().find(|standing| standing.stream.id == record.id),
            };
            explained = standing.and_then(|standing| self.failing(&standing, now)).filter(|(_, until)| now < *until);
        }
        if let Some((verdict, until)) = explained {
            if let Some(mark) = self.marks.get_mut(&record.id) {
                mark.explained = Some((verdict.clone(), Instant::now() + until.since(now)));
            }
            return Ok(verdict);
        }
        let owner = store.owner(record.id).await?;
        let member = self.ctx.node.member();
        let elsewhere = owner.is_some_and(|owner| owner != member.id());
        let cause = if elsewhere || member.holds() { self.ctx.watch.cause(record.id, elsewhere) } else { not_heard() };
        Ok(Verdict::Stalled { since, cause })
    }

    /// What a pending delivery says of why nothing moves, and until when: by then something has to have become of it.
    fn explanation(&self, delivery: &Delivery, now: Timestamp) -> (Verdict, Timestamp) {
        let (timing, policy) = (&self.ctx.timing, &self.ctx.policy);
        // A time that lies ahead was written by a clock that was wrong.
        let known =
            |at: Timestamp| if is_ahead(at, now.plus(policy.retry_after_cap)) { Timestamp::default() } else { at };
        let answered = timing.request + SLACK;
        if let Some(awaiting) = &delivery.awaiting {
            return (Verdict::Confirming, known(awaiting.since).plus(timing.acknowledgement + answered));
        }
        match delivery.due_at.filter(|_| delivery.attempts > 0) {
            Some(due) => (Verdict::Retrying, known(due).plus(answered)),
            None => (Verdict::Sending, known(delivery.created_at).plus(answered)),
        }
    }

    /// The same of what is parked: its last try is not so long ago that the next should have come.
    fn failing(&self, standing: &Standing, now: Timestamp) -> Option<(Verdict, Timestamp)> {
        let tried = standing.last_failure.as_ref().and_then(|delivery| delivery.settled_at);
        let parked = standing.oldest_failed.as_ref().map(|(_, parked)| parked.since);
        let last = tried.into_iter().chain(parked).filter(|at| !is_ahead(*at, now)).max()?;
        Some((Verdict::Failing, last.plus(LONGEST_PAUSE + self.ctx.timing.request + SLACK)))
    }

    /// Keeps what was found, and tells of what is new and what is over.
    fn tell(&self, verdicts: HashMap<StreamId, Verdict>) {
        let stalled = |verdict: &Verdict| matches!(verdict, Verdict::Stalled { .. });
        let (now, at) = (Instant::now(), self.ctx.clock.now());
        let mut state = self.ctx.watch.state.lock();
        for (stream, verdict) in &verdicts {
            if let Verdict::Stalled { since, cause } = verdict
                && !state.verdicts.get(stream).is_some_and(stalled)
            {
                let (code, why) = (cause.code.as_ref(), cause.message.as_str());
                tracing::error!(%stream, %since, cause = code, why, "events wait and nothing moves: the stream is stalled");
            }
        }
        for (stream, _) in state.verdicts.iter().filter(|(_, verdict)| stalled(verdict)) {
            if !verdicts.get(stream).is_some_and(stalled) {
                tracing::info!(%stream, "the stream is no longer stalled");
            }
        }
        let all = verdicts.iter().filter(|(_, verdict)| stalled(verdict)).map(|(stream, _)| *stream).collect();
        (state.verdicts, state.looked) = (verdicts, Some((now, at)));
        let hub = state.hub.unwrap_or(self.ctx.watch.began);
        drop(state);
        self.ctx.telemetry.watched(Seen { stalled: all, failing: self.ctx.warnings.all_failing(), turned: hub });
    }
}

/// This node may have been given up, so its workers begin no requests.
fn not_heard() -> Cause {
    Cause::new(
        "stalled_node",
        "This server cannot tell the database that it lives, so it sends nothing that another server may be sending by now. Look at its \
         connection to the database, and at its log.",
    )
}

/// For how long a stream may stand still before it is looked into. While its breaker is open it gets on from probe to probe.
fn patience(breaker: &Breaker, request: Duration, asked: Duration) -> Duration {
    match breaker {
        Breaker::Closed { .. } => PATIENCE,
        open if open.next_probe().is_none() => Duration::MAX,
        Breaker::Open { kind, .. } => {
            let pause = match kind {
                OpenKind::Down => PROBE_CAP_DOWN,
                OpenKind::Misconfigured => PROBE_CAP_MISCONFIGURED,
            };
            pause.max(asked) + request + PATIENCE
        }
    }
}
