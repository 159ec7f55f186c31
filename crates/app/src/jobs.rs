//! Jobs: what a person asks to be sent again, or given up, and how far that is (`…/redeliver-failed`, `…/replay`,
//! `…/discard`, `…/jobs`).

use serde_json::json;
use toktra_siem_core::breaker::{Breaker, OpenKind, PROBE_CAP_DOWN, PROBE_CAP_MISCONFIGURED};
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::{Delivery, Status, Trigger};
use toktra_siem_core::fault::Wrong;
use toktra_siem_core::ids::{ConnectorId, DeliveryId, JobId, StreamKind};
use toktra_siem_core::job::{Job, JobKind, JobState};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{Change, JobQuery, Scope, StoreError};
use toktra_siem_wire as wire;

use crate::connectors::{CONNECTOR, load};
use crate::deliveries::DELIVERY;
use crate::{App, Caller, Object, Query, Refusal, Result, words};

/// What the API calls this in its messages.
const JOB: &str = "job";
/// Jobs looked at in one go where a list is filtered by what they wait for.
const PAGE: usize = 100;

fn failed(error: StoreError) -> Refusal {
    Refusal::store(JOB, error)
}

/// How a job stands, and what it waits for. Nothing of this is stored with the job: it follows from what stands in its way now.
async fn standing(app: &App, job: &Job) -> Result<(wire::JobState, Option<String>)> {
    match job.state {
        JobState::Done => return Ok((wire::JobState::Done, None)),
        JobState::Cancelled => return Ok((wire::JobState::Cancelled, None)),
        JobState::Open => {}
    }
    let unfinished = job.has_more() || job.pending > 0;
    let Some(stream) = job.stream_id().filter(|_| unfinished) else { return Ok((wire::JobState::Running, None)) };
    let waits = |reason: String| Ok((wire::JobState::Waiting, Some(reason)));
    let store = &app.parts.store;
    let connector = match store.connector(job.org, job.connector).await {
        // Removed since the job was read, and the job with it.
        Err(StoreError::NotFound) => return Ok((wire::JobState::Cancelled, None)),
        found => found.map_err(failed)?.connector,
    };
    if !connector.active {
        return waits("The connector is switched off. The job goes on once it is switched on again.".to_owned());
    }
    let breaker = match store.stream(stream).await {
        Err(StoreError::NotFound) => return Ok((wire::JobState::Cancelled, None)),
        found => found.map_err(failed)?.breaker,
    };
    let by_person = breaker.next_probe().is_none();
    match breaker {
        Breaker::Open { kind: OpenKind::Misconfigured, cause, .. } => {
            let then = if by_person {
                "somebody saves the connector, or a test delivery arrives".to_owned()
            } else {
                format!("that is corrected, at the latest {} minutes after", PROBE_CAP_MISCONFIGURED.as_secs() / 60)
            };
            return waits(format!("The SIEM refuses what it is sent: {} The job goes on once {then}.", cause.message));
        }
        Breaker::Open { kind: OpenKind::Down, cause, .. } => {
            return waits(format!(
                "The SIEM takes nothing at the moment: {} The job goes on by itself once it does, within about {} seconds.",
                cause.message,
                PROBE_CAP_DOWN.as_secs()
            ));
        }
        Breaker::Closed { .. } => {}
    }
    match store.next_job(stream).await.map_err(failed)? {
        Some(first) if first.id != job.id && job.has_more() => {
            waits(format!("The job {} was asked for before this one, and goes first.", first.id))
        }
        _ => Ok((wire::JobState::Running, None)),
    }
}

async fn view(app: &App, job: Job) -> Result<wire::Job> {
    let (state, reason) = standing(app, &job).await?;
    Ok(wire::Job {
        processed: job.processed(),
        id: job.id,
        kind: job.kind,
        connector_id: job.connector,
        delivery_id: job.delivery,
        from: job.from,
        to: job.to,
        state,
        reason,
        total: job.total,
        delivered: job.delivered,
        rejected: job.rejected,
        failed: job.failed,
        discarded: job.discarded,
        created_by: job.created_by,
        created_at: job.created_at,
        finished_at: job.finished_at,
    })
}

/// What the request asks for.
struct Ask {
    kind: JobKind,
    delivery: Option<DeliveryId>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    dry_run: bool,
}

/// What comes of asking for a job.
pub enum Asked {
    /// It was made.
    Made(wire::Job),
    /// Only its size was asked for.
    DryRun(wire::JobDryRun),
}

/// A job over a range of a connector's events: sends again what is parked, failed or rejected; sends all again that the present filter
/// matches; or gives up what is parked.
pub async fn of_range(app: &App, caller: &Caller, kind: JobKind, id: ConnectorId, mut object: Object) -> Result<Asked> {
    let org = caller.org(Scope::SiemWrite)?;
    let (from, to) = range(&mut object, app.now());
    let dry_run = object.flag("dry_run").unwrap_or(false);
    object.finish()?;
    let connector = load(app, org, id).await?.connector;
    begin(app, caller, connector, Ask { kind, delivery: None, from, to, dry_run }).await
}

/// The range of acceptance times; a fault names the member that is wrong.
fn range(object: &mut Object, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
    let (from, to) = (object.time("from"), object.time("to"));
    for (name, at) in [("from", from), ("to", to)] {
        if at.is_some_and(|at| at > now) {
            object.fault(
                name,
                "lies in the future; a job is about events that were accepted already. Leave it out for no limit",
            );
        }
    }
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        object.fault("from", Wrong::not_before("to"));
    }
    (from, to)
}

/// Sends the events of one delivery again.
pub async fn redeliver(app: &App, caller: &Caller, id: DeliveryId, body: Object) -> Result<wire::Job> {
    let org = caller.org(Scope::SiemWrite)?;
    body.finish()?;
    let found = app.parts.store.delivery(org, id).await;
    let delivery = found.map_err(|error| Refusal::store(DELIVERY, error))?.delivery;
    may_be_redelivered(&delivery)?;
    let connector = match app.parts.store.connector(org, delivery.stream.connector).await {
        Err(StoreError::NotFound) => {
            return Err(Refusal::conflict(
                "The connector of this delivery was deleted, so there is nowhere to send it. Replay its events on another connector.",
            ));
        }
        found => found.map_err(|error| Refusal::store(CONNECTOR, error))?.connector,
    };
    let ask = Ask { kind: JobKind::Redeliver, delivery: Some(id), from: None, to: None, dry_run: false };
    match begin(app, caller, connector, ask).await? {
        Asked::Made(job) => Ok(job),
        Asked::DryRun(_) => Err(Refusal::internal()),
    }
}

fn may_be_redelivered(delivery: &Delivery) -> Result<()> {
    let why = if delivery.stream.kind == StreamKind::Metrics {
        "This delivery carries metrics, which are not sent again by hand: their platform takes them for a limited time, and until then the \
         service sends them again by itself. The log entries of its events are deliveries of their own; redeliver those."
    } else if delivery.trigger == Trigger::Test {
        "This is a test delivery, whose event is in no log. Run the test again instead."
    } else if delivery.status == Status::Pending {
        "This delivery is still on its way. Wait until it is settled; what fails is parked, and can be sent again then."
    } else {
        return Ok(());
    };
    Err(Refusal::conflict(why))
}

/// Finds out what the job is about, and makes it; or only says how much that is.
async fn begin(app: &App, caller: &Caller, connector: Connector, ask: Ask) -> Result<Asked> {
    let Ask { kind, delivery, from, to, dry_run } = ask;
    let (now, store) = (app.parts.clock.now(), &app.parts.store);
    let id = JobId(app.parts.random.uuid_v7(now));
    let (org, created_by) = (connector.org, caller.principal.name.clone());
    let mut job = Job::new(id, org, connector.id, kind, created_by, now);
    // Of two streams the first is the one whose events can be sent again; metrics go by themselves, or not at all.
    job.stream = connector.streams().next().map(|stream| stream.kind).filter(|_| kind != JobKind::Discard);
    (job.delivery, job.from, job.to) = (delivery, from, to);
    if kind == JobKind::Replay {
        job.filter = connector.filter.clone();
    }
    let scope = store.job_scope(org, &job).await.map_err(failed)?;
    if dry_run {
        return Ok(Asked::DryRun(wire::JobDryRun { dry_run, total: scope.total }));
    }
    if !connector.active && kind != JobKind::Discard {
        return Err(Refusal::conflict(
            "The connector is switched off, so nothing can be sent. Switch it on first, then ask again.",
        ));
    }
    if scope.total == 0 && kind == JobKind::Redeliver {
        return Err(Refusal::conflict(
            "The events of this delivery are not stored any more: they are older than the retention, or were removed to stay within the \
             disk budget. Only their outcome is still known.",
        ));
    }
    job.begin(scope, now);
    let detail = json!({
        "kind": kind, "connector_id": connector.id, "delivery_id": delivery, "from": from, "to": to, "total": scope.total,
    });
    let audit = caller.audit(now, "job.create", id, detail);
    let job = match store.create_job(org, Change { value: job, audit }).await {
        Err(StoreError::Conflict(_)) => {
            return Err(Refusal::conflict(
                "The connector has as many unfinished jobs as it may have. Wait until some are done, or cancel some.",
            ));
        }
        made => made.map_err(failed)?,
    };
    app.parts.dispatch.job_changed(connector.id);
    Ok(Asked::Made(view(app, job).await?))
}

/// The org's jobs, newest first.
pub async fn list(app: &App, caller: &Caller, mut query: Query) -> Result<wire::List<wire::Job>> {
    let connector = query.take("connector", "the id of a connector", |text| text.parse().ok());
    let wanted: Option<wire::JobState> = query.take("state", "waiting, running, done or cancelled", words::read);
    let mut before = query.take("cursor", "the `next_cursor` of a page of this list", |text| text.parse().ok());
    let limit = query.limit();
    query.finish()?;
    let org = caller.org(Scope::SiemRead)?;
    let stored = wanted.map(|wanted| match wanted {
        wire::JobState::Waiting | wire::JobState::Running => JobState::Open,
        wire::JobState::Done => JobState::Done,
        wire::JobState::Cancelled => JobState::Cancelled,
    });
    let mut items: Vec<wire::Job> = Vec::new();
    loop {
        let page = JobQuery { connector, state: stored, before, limit: PAGE };
        let page = app.parts.store.jobs(org, page).await.map_err(failed)?;
        before = page.items.last().map(|job| job.id);
        for job in page.items {
            let shown = view(app, job).await?;
            if wanted.is_none_or(|wanted| shown.state == wanted) {
                items.push(shown);
            }
            if items.len() > limit {
                break;
            }
        }
        if items.len() > limit || !page.has_more {
            break;
        }
    }
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| has_more).map(|job| job.id.to_string());
    Ok(wire::List { items, next_cursor, has_more, total_count: None })
}

/// One job.
pub async fn get(app: &App, caller: &Caller, id: JobId) -> Result<wire::Job> {
    let org = caller.org(Scope::SiemRead)?;
    let job = app.parts.store.job(org, id).await.map_err(failed)?;
    view(app, job).await
}

/// Cancels a job: nothing more is sent, what is on its way comes to its end. One that has ended stays as it is.
pub async fn cancel(app: &App, caller: &Caller, id: JobId) -> Result<wire::Job> {
    let org = caller.org(Scope::SiemWrite)?;
    let before = app.parts.store.job(org, id).await.map_err(failed)?;
    let detail = json!({ "kind": before.kind, "connector_id": before.connector, "processed": before.processed(), "total": before.total });
    let audit = caller.audit(app.parts.clock.now(), "job.cancel", id, detail);
    let job = app.parts.store.cancel_job(org, id, audit).await.map_err(failed)?;
    app.parts.dispatch.job_changed(job.connector);
    view(app, job).await
}
