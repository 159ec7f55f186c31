//! `POST /v1/events`, the way in, and `GET /v1/events/{event_id}`, what became of one event; [`list`] has those in between.

use std::collections::{HashMap, HashSet};

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use toktra_siem_core::event::NewEvent;
use toktra_siem_core::event::body::BodyFormat;
use toktra_siem_core::event::intake::OrgRule;
use toktra_siem_core::fault::{FaultCode, FieldFault, Wrong};
use toktra_siem_core::ids::{EventId, OrgId};
use toktra_siem_store::StoreError;

use super::deliveries::EventSummary;
use super::error::{ApiError, Result};
use super::guard::Caller;
use super::named::InOrg;
use super::outcome::OutcomeView;
use super::query::Query;
use super::state::AppState;
use super::{answer, body};
use crate::ingest::{self, Refusal};

pub(super) mod doc;
pub(super) mod list;

/// Takes events in. Answers 202 once they are on disk.
pub(super) async fn post(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let receipt = state.parts.telemetry.receive(&parts.headers);
    if parts.uri.query().is_some() {
        Query::of(&parts.uri).finish()?;
    }
    let format = format(&parts.headers)?;
    let org = match caller.principal.org {
        Some(own) => OrgRule::Only(own),
        None => OrgRule::Any { default: caller.named_org() },
    };
    let whole = body::read(&state, &parts, body, state.parts.limits.event_body).await?;
    let events = prepare(&state, whole.bytes.clone(), format, org).await?;
    if matches!(org, OrgRule::Any { .. }) {
        refuse_unknown_orgs(&state, &events, &whole.bytes, format).await?;
    }
    refuse_full_backlogs(&state, &events).await?;
    let ids: Vec<EventId> = events.iter().map(|event| event.event_id).collect();
    let given = Instant::now();
    let appended = state.parts.store.append(events).await.map_err(|error| ApiError::store("org", error))?;
    state.parts.telemetry.ingested(&receipt, given, &ids, &appended);
    Ok(answer::bytes(StatusCode::ACCEPTED, ingest::answer(&ids, &appended)))
}

fn format(headers: &HeaderMap) -> Result<BodyFormat> {
    match body::media_type(headers)?.as_deref() {
        None | Some("application/json") => Ok(BodyFormat::Json),
        Some("application/x-ndjson" | "application/ndjson" | "application/jsonl") => Ok(BodyFormat::Ndjson),
        Some(_) => Err(ApiError::unsupported(
            "The Content-Type is not supported. Send JSON as application/json, or one event a line as application/x-ndjson.",
        )),
    }
}

/// Large bodies are read on a thread where that may take its time.
async fn prepare(state: &AppState, body: Bytes, format: BodyFormat, org: OrgRule) -> Result<Vec<NewEvent>> {
    let now = state.parts.clock.now();
    let prepared = if body.len() <= body::INLINE {
        ingest::prepare(&body, format, org, now, &*state.parts.random)
    } else {
        let random = state.parts.random.clone();
        body::off_thread(state, move || ingest::prepare(&body, format, org, now, &*random)).await?
    };
    prepared.map_err(|refusal| match refusal {
        Refusal::Body(error) => ApiError::bad_request(format!("Nothing was accepted: {error}.")),
        Refusal::Events { faults, found } => ApiError::invalid_among(faults, found),
    })
}

/// A platform key may post events of any org, but only of one that exists.
async fn refuse_unknown_orgs(state: &AppState, events: &[NewEvent], body: &[u8], format: BodyFormat) -> Result<()> {
    let mut known: HashSet<OrgId> = HashSet::new();
    let mut faults = Vec::new();
    for (index, event) in events.iter().enumerate() {
        if known.contains(&event.org) {
            continue;
        }
        if state.org_exists(event.org).await.map_err(|error| ApiError::store("org", error))? {
            known.insert(event.org);
        } else {
            let pointer = format!("{}/org_id", ingest::pointer(body, format, index));
            faults.push(FieldFault::new(
                pointer,
                Wrong::new(FaultCode::NotFound, "org_id: there is no such org; create it first, or check the id"),
            ));
            if faults.len() == ingest::FAULTS_KEPT {
                break;
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(ApiError::invalid(faults)) }
}

/// One connector that is down must not fill the disk for everybody.
async fn refuse_full_backlogs(state: &AppState, events: &[NewEvent]) -> Result<()> {
    if state.parts.limits.org_backlog.is_none() {
        return Ok(());
    }
    let mut posted: HashMap<OrgId, u64> = HashMap::new();
    for event in events {
        *posted.entry(event.org).or_default() += 1;
    }
    for (org, events) in posted {
        let admitted = state.backlog.admits(&*state.parts.store, org, events).await;
        if !admitted.map_err(|error| ApiError::store("org", error))? {
            return Err(ApiError::backlog_full(org));
        }
    }
    Ok(())
}

/// An event, and what became of it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventDetail")]
struct EventView<'a> {
    #[serde(flatten)]
    summary: EventSummary,
    /// The event as it is delivered; `null` once its payload is past its retention.
    #[schemars(with = "Option<doc::StoredEvent>")]
    event: Option<&'a RawValue>,
    /// Where it stands with each stream of the org's connectors; deleted connectors that had taken it up come last.
    outcomes: Vec<OutcomeView>,
}

/// One event, and where it stands with every stream of the org's connectors.
pub(super) async fn get(State(state): State<AppState>, InOrg { org, id, .. }: InOrg<EventId>) -> Result<Response> {
    let failed = |error| ApiError::store("event", error);
    let (record, payload, there) = match state.parts.store.whereabouts(org, id).await {
        Err(StoreError::NotFound) => return of_test(&state, org, id).await,
        found => found.map_err(failed)?,
    };
    let outcomes = there.into_iter().map(|there| OutcomeView::of(&state.parts.registry, &record, there)).collect();
    let event = payload.as_deref().map(|payload| read(id, payload)).transpose()?;
    Ok(answer::json(StatusCode::OK, &EventView { summary: EventSummary::of(&record), event, outcomes }))
}

/// A stored payload, to be shown as it is.
fn read(id: EventId, payload: &[u8]) -> Result<&RawValue> {
    serde_json::from_slice(payload).map_err(|error| {
        tracing::error!(%error, event = %id, "a stored event is not JSON");
        ApiError::unavailable()
    })
}

/// The event of a test delivery, and what came of it in each stream that was tried.
async fn of_test(state: &AppState, org: OrgId, id: EventId) -> Result<Response> {
    let failed = |error| ApiError::store("event", error);
    let (event, deliveries) = state.parts.store.test_event(org, id).await.map_err(failed)?;
    let mut outcomes = Vec::with_capacity(deliveries.len());
    for delivery in &deliveries {
        let connector = match state.parts.store.connector(org, delivery.stream.connector).await {
            Err(StoreError::NotFound) => None,
            found => Some(found.map_err(failed)?.connector),
        };
        outcomes.push(OutcomeView::of_test(&state.parts.registry, delivery, connector.as_ref()));
    }
    let view = EventView { summary: EventSummary::of_test(&event), event: Some(read(id, &event.payload)?), outcomes };
    Ok(answer::json(StatusCode::OK, &view))
}
