//! Jobs: what a person asks to be sent again, or given up, and how far that is (interface.md, `…/redeliver-failed`, `…/replay`,
//! `…/discard`, `…/jobs`).

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{HeaderValue, LOCATION};
use http::{Request, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use toktra_siem_core::breaker::{Breaker, OpenKind};
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::{Delivery, Status, Trigger};
use toktra_siem_core::fault::Wrong;
use toktra_siem_core::ids::{ConnectorId, DeliveryId, JobId, StreamKind};
use toktra_siem_core::job::{Job, JobKind, JobState};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{Change, JobQuery, StoreError};

use super::connectors::{CONNECTOR, load};
use super::deliveries::DELIVERY;
use super::error::{ApiError, Result};
use super::guard::Caller;
use super::named::InOrg;
use super::object::Object;
use super::query::{List, Query};
use super::state::AppState;
use super::{answer, words};

/// What the API calls this in its messages.
const JOB: &str = "job";
/// Jobs looked at in one go where a list is filtered by what they wait for.
const PAGE: usize = 100;

fn failed(error: StoreError) -> ApiError {
    ApiError::store(JOB, error)
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "JobState")]
enum Standing {
    /// It goes on once what stands in its way is gone; `reason` says what that is.
    Waiting,
    /// It is being worked off.
    Running,
    /// Every event that it was about has come to its end.
    Done,
    /// Somebody ended it, or its connector was deleted.
    Cancelled,
}

/// Work that was asked for: to send events again, or to give them up.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Job")]
struct JobView {
    /// Its id.
    id: JobId,
    /// What was asked for.
    kind: JobKind,
    /// Of which connector.
    connector_id: ConnectorId,
    /// The delivery whose events are sent again (`redeliver`).
    delivery_id: Option<DeliveryId>,
    /// Events accepted at or after this, where the request said so.
    from: Option<Timestamp>,
    /// Events accepted before this, where the request said so.
    to: Option<Timestamp>,
    /// How it stands.
    state: Standing,
    /// While it waits: what for.
    reason: Option<String>,
    /// How many events it is about.
    total: u64,
    /// How many of them have come to their end: those delivered, rejected, failed and discarded, and those passed over because another
    /// delivery brings them, or their payload is gone.
    processed: u64,
    /// Accepted by the platform in deliveries of this job.
    delivered: u64,
    /// Refused for good.
    rejected: u64,
    /// Not accepted after three attempts.
    failed: u64,
    /// Given up.
    discarded: u64,
    /// Who asked for it.
    created_by: String,
    /// When.
    created_at: Timestamp,
    /// When it was done or cancelled.
    finished_at: Option<Timestamp>,
}

/// What a dry run answers.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "JobDryRun")]
struct DryRun {
    /// Always true.
    dry_run: bool,
    /// How many events the job would be about.
    total: u64,
}

impl JobView {
    fn of(job: Job, (state, reason): (Standing, Option<String>)) -> Self {
        Self {
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
        }
    }
}

/// How a job stands, and what it waits for. Nothing of this is stored with the job: it follows from what stands in its way now.
async fn standing(state: &AppState, job: &Job) -> Result<(Standing, Option<String>)> {
    match job.state {
        JobState::Done => return Ok((Standing::Done, None)),
        JobState::Cancelled => return Ok((Standing::Cancelled, None)),
        JobState::Open => {}
    }
    let unfinished = job.has_more() || job.pending > 0;
    let Some(stream) = job.stream_id().filter(|_| unfinished) else { return Ok((Standing::Running, None)) };
    let waits = |reason: String| Ok((Standing::Waiting, Some(reason)));
    let store = &state.parts.store;
    let connector = match store.connector(job.org, job.connector).await {
        // Removed since the job was read, and the job with it.
        Err(StoreError::NotFound) => return Ok((Standing::Cancelled, None)),
        found => found.map_err(failed)?.connector,
    };
    if !connector.active {
        return waits("The connector is switched off. The job goes on once it is switched on again.".to_owned());
    }
    let breaker = match store.stream(stream).await {
        Err(StoreError::NotFound) => return Ok((Standing::Cancelled, None)),
        found => found.map_err(failed)?.breaker,
    };
    match breaker {
        Breaker::Open { kind: OpenKind::Misconfigured, cause, .. } => {
            return waits(format!(
                "The SIEM refuses what it is sent: {} The job goes on once that is put right, at the latest five minutes after.",
                cause.message
            ));
        }
        Breaker::Open { kind: OpenKind::Down, cause, .. } => {
            return waits(format!(
                "The SIEM takes nothing at the moment: {} The job goes on by itself once it does, within about 20 seconds.",
                cause.message
            ));
        }
        Breaker::Closed { .. } => {}
    }
    match store.next_job(stream).await.map_err(failed)? {
        Some(first) if first.id != job.id && job.has_more() => {
            waits(format!("The job {} was asked for before this one, and goes first.", first.id))
        }
        _ => Ok((Standing::Running, None)),
    }
}

async fn view(state: &AppState, job: Job) -> Result<JobView> {
    let standing = standing(state, &job).await?;
    Ok(JobView::of(job, standing))
}

/// What the request asks for.
struct Ask {
    kind: JobKind,
    delivery: Option<DeliveryId>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    dry_run: bool,
}

/// Sends again what is parked, failed or rejected, of a range.
pub(super) async fn redeliver_failed(
    state: State<AppState>,
    asked: InOrg<ConnectorId>,
    request: Request<Body>,
) -> Result<Response> {
    of_connector(JobKind::RedeliverFailed, state, asked, request).await
}

/// Sends a range again, as far as the present filter matches.
pub(super) async fn replay(
    state: State<AppState>,
    asked: InOrg<ConnectorId>,
    request: Request<Body>,
) -> Result<Response> {
    of_connector(JobKind::Replay, state, asked, request).await
}

/// Gives up what is parked of a range.
pub(super) async fn discard(
    state: State<AppState>,
    asked: InOrg<ConnectorId>,
    request: Request<Body>,
) -> Result<Response> {
    of_connector(JobKind::Discard, state, asked, request).await
}

async fn of_connector(
    kind: JobKind,
    State(state): State<AppState>,
    InOrg { caller, org, id }: InOrg<ConnectorId>,
    request: Request<Body>,
) -> Result<Response> {
    let mut object = Object::read(&state, request).await?;
    let (from, to) = range(&mut object, state.parts.clock.now());
    let dry_run = object.flag("dry_run").unwrap_or(false);
    object.finish()?;
    let connector = load(&state, org, id).await?.connector;
    begin(&state, &caller, connector, Ask { kind, delivery: None, from, to, dry_run }).await
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
pub(super) async fn redeliver(
    State(state): State<AppState>,
    InOrg { caller, org, id }: InOrg<DeliveryId>,
    request: Request<Body>,
) -> Result<Response> {
    Object::read(&state, request).await?.finish()?;
    let found = state.parts.store.delivery(org, id).await;
    let delivery = found.map_err(|error| ApiError::store(DELIVERY, error))?.delivery;
    may_be_redelivered(&delivery)?;
    let connector = match state.parts.store.connector(org, delivery.stream.connector).await {
        Err(StoreError::NotFound) => {
            return Err(ApiError::conflict(
                "The connector of this delivery was deleted, so there is nowhere to send it. Replay its events on another connector.",
            ));
        }
        found => found.map_err(|error| ApiError::store(CONNECTOR, error))?.connector,
    };
    let ask = Ask { kind: JobKind::Redeliver, delivery: Some(id), from: None, to: None, dry_run: false };
    begin(&state, &caller, connector, ask).await
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
    Err(ApiError::conflict(why))
}

/// Finds out what the job is about, and makes it; or only says how much that is.
async fn begin(state: &AppState, caller: &Caller, connector: Connector, ask: Ask) -> Result<Response> {
    let Ask { kind, delivery, from, to, dry_run } = ask;
    let (now, store) = (state.parts.clock.now(), &state.parts.store);
    let id = JobId(state.parts.random.uuid_v7(now));
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
        return Ok(answer::json(StatusCode::OK, &DryRun { dry_run, total: scope.total }));
    }
    if !connector.active && kind != JobKind::Discard {
        return Err(ApiError::conflict(
            "The connector is switched off, so nothing can be sent. Switch it on first, then ask again.",
        ));
    }
    if scope.total == 0 && kind == JobKind::Redeliver {
        return Err(ApiError::conflict(
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
            return Err(ApiError::conflict(
                "The connector has as many unfinished jobs as it may have. Wait until some are done, or cancel some.",
            ));
        }
        made => made.map_err(failed)?,
    };
    state.parts.dispatch.job_changed(connector.id);
    let mut response = answer::json(StatusCode::ACCEPTED, &view(state, job).await?);
    if let Ok(location) = HeaderValue::try_from(format!("/v1/siem/jobs/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// The org's jobs, newest first.
pub(super) async fn list(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    let mut query = Query::of(request.uri());
    let connector = query.take("connector", "the id of a connector", |text| text.parse().ok());
    let wanted: Option<Standing> = query.take("state", "waiting, running, done or cancelled", words::read);
    let mut before = query.take("cursor", "the `next_cursor` of a page of this list", |text| text.parse().ok());
    let limit = query.limit();
    query.finish()?;
    let org = caller.org()?;
    let stored = wanted.map(|wanted| match wanted {
        Standing::Waiting | Standing::Running => JobState::Open,
        Standing::Done => JobState::Done,
        Standing::Cancelled => JobState::Cancelled,
    });
    let mut items: Vec<JobView> = Vec::new();
    loop {
        let page = JobQuery { connector, state: stored, before, limit: PAGE };
        let page = state.parts.store.jobs(org, page).await.map_err(failed)?;
        before = page.items.last().map(|job| job.id);
        for job in page.items {
            let shown = view(&state, job).await?;
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
    Ok(answer::json(StatusCode::OK, &List { items, next_cursor, has_more, total_count: None }))
}

/// One job.
pub(super) async fn get(State(state): State<AppState>, InOrg { org, id, .. }: InOrg<JobId>) -> Result<Response> {
    let job = state.parts.store.job(org, id).await.map_err(failed)?;
    Ok(answer::json(StatusCode::OK, &view(&state, job).await?))
}

/// Cancels a job: nothing more is sent, what is on its way comes to its end. One that has ended stays as it is.
pub(super) async fn cancel(State(state): State<AppState>, InOrg { caller, org, id }: InOrg<JobId>) -> Result<Response> {
    let before = state.parts.store.job(org, id).await.map_err(failed)?;
    let detail = json!({ "kind": before.kind, "connector_id": before.connector, "processed": before.processed(), "total": before.total });
    let audit = caller.audit(state.parts.clock.now(), "job.cancel", id, detail);
    let job = state.parts.store.cancel_job(org, id, audit).await.map_err(failed)?;
    state.parts.dispatch.job_changed(job.connector);
    Ok(answer::json(StatusCode::OK, &view(&state, job).await?))
}

/// What these routes say of themselves.
pub(super) mod doc {
    use http::StatusCode;
    use schemars::JsonSchema;
    use toktra_siem_core::ids::ConnectorId;
    use toktra_siem_core::time::Timestamp;

    use super::super::doc::{Doc, NoMembers, Tag};
    use super::super::error::Code;
    use super::super::query::List;
    use super::{DryRun, JobView, Standing};

    /// Which events a job is about, by the time of their acceptance; without limits, all of them.
    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "describes what is read member by member")]
    struct JobRange {
        /// Accepted at or after this; not in the future.
        from: Option<Timestamp>,
        /// Accepted before this; not in the future.
        to: Option<Timestamp>,
        /// Only says how many events the job would be about.
        #[serde(default)]
        dry_run: bool,
    }

    const OFF: &str = "The connector is switched off, or has as many unfinished jobs as it may have.";

    fn asked(doc: Doc) -> Doc {
        doc.answer::<JobView>(StatusCode::ACCEPTED, "The job. Ask for it again to see how far it is.")
            .sets("Location", "The path of the job.")
    }

    fn ranged(doc: Doc) -> Doc {
        let doc = doc.optional_body::<JobRange>("The range.").ok::<DryRun>("The dry run: how many events.");
        asked(doc)
    }

    pub(crate) fn redeliver_failed() -> Doc {
        ranged(Doc::new("redeliverFailed", Tag::Jobs, "Redeliver what failed").once())
            .about(
                "Sends what is parked, as failed or as rejected, again. Of a connector with metrics only log entries.",
            )
            .error(409, Code::Conflict, OFF)
    }

    pub(crate) fn replay() -> Doc {
        ranged(Doc::new("replay", Tag::Jobs, "Replay a range").once())
            .about(
                "Sends every stored event of the range again that the connector's present filter matches, delivered before or not. Of a \
                 connector with metrics only log entries. Whether a platform recognises an event that it has, `GET /v1/siem/platforms` tells.",
            )
            .error(409, Code::Conflict, OFF)
    }

    pub(crate) fn discard() -> Doc {
        ranged(Doc::new("discard", Tag::Jobs, "Discard what is parked").once())
            .about(
                "Gives up what is parked, as failed or as rejected, in every stream of the connector, also while it is switched off. \
                 What is on its way is not touched.",
            )
            .error(409, Code::Conflict, "The connector has as many unfinished jobs as it may have.")
    }

    pub(crate) fn redeliver() -> Doc {
        let doc =
            Doc::new("redeliver", Tag::Jobs, "Redeliver a delivery").once().optional_body::<NoMembers>("Nothing.");
        asked(doc).about("Sends the events of one delivery again.").error(
            409,
            Code::Conflict,
            "The delivery is pending, a test or of metrics; its events are not stored any more; or its connector is off or deleted.",
        )
    }

    pub(crate) fn list() -> Doc {
        Doc::new("listJobs", Tag::Jobs, "List jobs")
            .query::<ConnectorId>("connector", "Only of this connector.")
            .query::<Standing>("state", "Only those that stand so.")
            .paged()
            .ok::<List<JobView>>("A page of jobs, newest first.")
    }

    pub(crate) fn get() -> Doc {
        Doc::new("getJob", Tag::Jobs, "Show a job").ok::<JobView>("The job.")
    }

    pub(crate) fn cancel() -> Doc {
        Doc::new("cancelJob", Tag::Jobs, "Cancel a job")
            .about("Nothing more is sent; what is on its way comes to its end. A job that has ended stays as it is.")
            .ok::<JobView>("The job.")
    }
}
