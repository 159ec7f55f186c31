//! One attempt of one delivery: prepare the endpoint, encode, sign, send, judge. Runs in a task of its own and touches no shared state.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Attempt, Delivery, Input, Trigger};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::exchange::Headers;
use toktra_siem_platform::destination::{Batch, EncodeError, Encoded, Judgement, Omitted, Outcome, Verdict};
use toktra_siem_store::{Damage, StoreError};
use toktra_siem_telemetry::{Answered, Followed};

use super::Context;
use super::link::{Exchanged, Holds, Link, SendLimits};
use super::memory::Held;
use super::node::Member;

/// An attempt that is to be made.
pub(super) struct Order {
    /// The pinned delivery; its `open` has committed.
    pub(super) delivery: Delivery,
    /// Its events, and what they hold of the budget.
    pub(super) carried: Carried,
    /// The number of this request in the worker's order of starts.
    pub(super) ordinal: u64,
    /// The batch is as large as the platform allows.
    pub(super) full: bool,
    /// How long it may take.
    pub(super) deadline: Duration,
    /// Who has claimed the stream: nothing is sent that it does not hold.
    pub(super) member: Arc<Member>,
}

/// The events of an attempt.
#[derive(Default)]
pub(super) struct Carried {
    /// Where they are at hand; read from the store otherwise.
    events: Option<Vec<Arc<StoredEvent>>>,
    /// Of the budget for all, until the attempt has ended.
    held: Option<Held>,
}

impl Carried {
    /// They are at hand.
    pub(super) fn read(events: Vec<Arc<StoredEvent>>, held: Option<Held>) -> Self {
        Self { events: Some(events), held }
    }

    /// They are still to be read.
    pub(super) fn unread(held: Option<Held>) -> Self {
        Self { events: None, held }
    }
}

/// What events take of the budget.
pub(super) fn bytes(events: &[Arc<StoredEvent>]) -> usize {
    events.iter().map(|event| event.payload.len()).sum()
}

/// What came of it.
pub(super) struct Done {
    /// The delivery as it was.
    pub(super) delivery: Delivery,
    /// As in the order.
    pub(super) ordinal: u64,
    /// As in the order.
    pub(super) full: bool,
    /// When it started.
    pub(super) started: Instant,
    /// How long the request took.
    pub(super) round_trip: Duration,
    /// What to tell the state machine.
    pub(super) result: Result<Judged, OwnFailure>,
}

/// An attempt that can be recorded.
pub(super) struct Judged {
    /// For the state machine.
    pub(super) input: Input,
    /// The row of the history; `None` where no request was made.
    pub(super) attempt: Option<Attempt>,
    /// The endpoint could not be prepared wholly; the request went all the same.
    pub(super) unprepared: Option<Cause>,
    /// Those of its events that are followed by a trace.
    pub(super) followed: Vec<Followed>,
}

/// Our own failure: nothing left, and it never counts as the receiver's.
#[derive(Debug, thiserror::Error)]
pub(super) enum OwnFailure {
    /// The events could not be read.
    #[error("the events could not be read: {0}")]
    Store(#[from] StoreError),
    /// The request could not be made.
    #[error("the request could not be made: {0}")]
    Encode(#[from] EncodeError),
    /// The stream may be another's by now.
    #[error("this node may have been given up")]
    NotHeld,
}

/// Makes the attempt.
pub(super) async fn run(ctx: Arc<Context>, link: Arc<Link>, order: Order) -> Done {
    let started = Instant::now();
    let Order { delivery, carried, ordinal, full, deadline, member } = order;
    let Carried { events, mut held } = carried;
    let flight = ctx.telemetry.in_flight(delivery.stream);
    let limits = SendLimits { deadline, anew: delivery.probe };
    let result = match read(&ctx, &delivery, events).await {
        Ok(events) => {
            if let (Some(held), Some(events)) = (&mut held, &events) {
                held.set(bytes(events));
            }
            attempt(&ctx, &link, &delivery, events, limits, &|| member.holds()).await
        }
        Err(failure) => Err(failure.into()),
    };
    drop((flight, held));
    if matches!(&result, Err(failure) if !matches!(failure, OwnFailure::NotHeld)) {
        ctx.telemetry.not_made(link.connector.settings.platform, delivery.stream);
    }
    Done { delivery, ordinal, full, started, round_trip: started.elapsed(), result }
}

/// The events of a delivery; `None` of a window, which has a tally.
async fn read(
    ctx: &Context,
    delivery: &Delivery,
    events: Option<Vec<Arc<StoredEvent>>>,
) -> Result<Option<Vec<Arc<StoredEvent>>>, StoreError> {
    if events.is_some() || delivery.window.is_some() {
        return Ok(events);
    }
    ctx.store.read_members(delivery.org, &delivery.members).await.map(Some)
}

/// Makes one attempt, whatever the delivery's trigger: there is no other way from events to an endpoint. `holds` is asked right before the
/// request leaves.
pub(super) async fn attempt(
    ctx: &Context,
    link: &Link,
    delivery: &Delivery,
    events: Option<Vec<Arc<StoredEvent>>>,
    limits: SendLimits,
    holds: &Holds<'_>,
) -> Result<Judged, OwnFailure> {
    let (now, started) = (ctx.clock.now(), Instant::now());
    let (encoded, events) = encode(ctx, link, delivery, events).await?;
    let Encoded { request, omitted } = encoded;
    let mut carried = ctx.telemetry.carry(&*ctx.store, delivery, events).await;
    let Some(request) = request else {
        let followed = carried.followed;
        return Ok(Judged { input: Input::Unsendable { omitted }, attempt: None, unprepared: None, followed });
    };
    let sent = delivery.items() - omitted.len();
    let Exchanged { answer, warning: unprepared, prepared, asked, held_back } =
        link.exchange(&request, delivery.id, &*ctx.clock, &*ctx.random, limits, holds).await;
    if held_back {
        return Err(OwnFailure::NotHeld);
    }
    // A test may be one of settings that are not saved.
    if delivery.trigger != Trigger::Test {
        let until = link.sender.certificate_until();
        ctx.warnings.certificate(delivery.stream, until);
        ctx.telemetry.certificate(delivery.stream, until);
    }
    if prepared && delivery.trigger != Trigger::Test {
        ctx.warnings.prepared(delivery.stream, unprepared.clone());
    }
    if let Some(warning) = &unprepared {
        let (code, why) = (warning.code.as_ref(), warning.message.as_str());
        // A probe would say so for as long as the outage lasts.
        if delivery.probe {
            tracing::debug!(connector = %link.connector.id, connector_name = link.connector.name, cause = code, why, "the endpoint could not be prepared");
        } else {
            tracing::warn!(connector = %link.connector.id, connector_name = link.connector.name, cause = code, why, "the endpoint could not be prepared");
        }
    }
    let (verdict, status, excerpt) = match &answer {
        Ok(reply) => {
            (link.destination.classify(reply, sent, ctx.clock.now()), Some(reply.status), link.redactor.excerpt(reply))
        }
        Err(unreached) => (Verdict::unreachable(unreached.cause.clone(), unreached.misconfigured, sent), None, None),
    };
    let cause = cause_of(&verdict);
    let kept = is_looked_at(delivery, cause.as_ref());
    let attempt = Attempt {
        number: delivery.attempts + 1,
        at: now,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        http_status: status,
        excerpt,
        cause,
        request: asked.filter(|_| kept),
        response_headers: answer.as_ref().ok().filter(|_| kept).map(|reply| Headers::of(reply, &link.redactor)),
    };
    if !omitted.is_empty() {
        carried.forget_positions();
    }
    let platform = link.connector.settings.platform;
    let answered = Answered { platform, delivery, verdict: &verdict, attempt: &attempt };
    ctx.telemetry.attempted(&answered, &mut carried);
    let (input, followed) = (Input::Judged { verdict, omitted }, carried.followed);
    Ok(Judged { input, attempt: Some(attempt), unprepared, followed })
}

/// Makes the request; with it the events of the batch, unless it is a window. Events whose payload is gone or damaged are omitted with that
/// cause.
async fn encode(
    ctx: &Context,
    link: &Link,
    delivery: &Delivery,
    events: Option<Vec<Arc<StoredEvent>>>,
) -> Result<(Encoded, Option<Vec<Arc<StoredEvent>>>), OwnFailure> {
    let now = ctx.clock.now();
    if let Some(window) = &delivery.window {
        let batch = Batch::Window { start: window.start, tally: &window.tally };
        return Ok((link.destination.encode(batch, now)?, None));
    }
    let events = read(ctx, delivery, events).await?.unwrap_or_default();
    ctx.traffic.sent(delivery, &events);
    let mut encoded = if events.is_empty() {
        Encoded { request: None, omitted: Vec::new() }
    } else {
        link.destination.encode(Batch::Events(&events), now)?
    };
    if events.len() < delivery.items() {
        let damaged = ctx.store.damaged(delivery.org, &delivery.members).await?;
        encoded.omitted = with_missing(delivery, &events, &damaged, encoded.omitted);
    }
    Ok((encoded, Some(events)))
}

/// Turns positions among the events that were found into positions in the batch, and adds those that were not found.
fn with_missing(
    delivery: &Delivery,
    found: &[Arc<StoredEvent>],
    damaged: &[Damage],
    omitted: Vec<Omitted>,
) -> Vec<Omitted> {
    let mut omitted = omitted.into_iter().peekable();
    let mut all = Vec::new();
    let mut at = 0;
    for (position, seq) in delivery.members.iter().enumerate() {
        if found.get(at).is_some_and(|event| event.seq == seq) {
            if let Some(out) = omitted.next_if(|o| o.position == at) {
                all.push(Omitted { position, cause: out.cause });
            }
            at += 1;
        } else {
            let damaged = damaged.binary_search_by_key(&seq, |damage| damage.seq).is_ok();
            let cause = if damaged { Cause::payload_damaged() } else { Cause::payload_gone() };
            all.push(Omitted { position, cause });
        }
    }
    all
}

/// Whether somebody will want to see what was sent and answered. Where live events simply arrive nobody does, and there are most of them:
/// keeping it would make the history of a healthy connector several times as large.
fn is_looked_at(delivery: &Delivery, cause: Option<&Cause>) -> bool {
    cause.is_some() || !matches!(delivery.trigger, Trigger::Live | Trigger::Recovery)
}

/// The cause to show with an attempt: that of the first event that was not simply delivered.
fn cause_of(verdict: &Verdict) -> Option<Cause> {
    match &verdict.judgement {
        Judgement::Split(cause) => Some(cause.clone()),
        Judgement::Counted { refused, cause, .. } => (*refused > 0).then(|| cause.clone()),
        Judgement::Items(runs) => runs.iter().find_map(|run| match &run.outcome {
            Outcome::Delivered { warning } => warning.clone(),
            Outcome::Retry(cause) | Outcome::Rejected(cause) | Outcome::Refused(cause) | Outcome::Held(cause) => {
                Some(cause.clone())
            }
            Outcome::Unread => None,
        }),
    }
}
