//! `POST /v1/events`, the way in, and `GET /v1/events/{event_id}`, what became of one event.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use toktra_siem_core::event::NewEvent;
use toktra_siem_core::event::body::BodyFormat;
use toktra_siem_core::event::intake::OrgRule;
use toktra_siem_core::fault::{FaultCode, FieldFault, Wrong};
use toktra_siem_core::ids::{EventId, OrgId};
use toktra_siem_core::members::Members;
use toktra_siem_store::{Scope, StoreError};
use toktra_siem_telemetry::Receipt;
use toktra_siem_wire as wire;

pub use self::search::list;
use crate::deliveries::{summary, summary_of_test};
use crate::ingest::{self, Fault};
use crate::{App, Caller, Refusal, Result, connectors, outcome};

mod search;
pub(crate) mod turns;

/// Bodies up to this size are read at once; larger ones on a thread where that may take its time.
const INLINE: usize = 64 * 1024;

/// Takes events in: what `body` holds. Comes to the body of the answer once they are on disk.
pub async fn post(app: &App, caller: &Caller, receipt: &Receipt, body: Bytes, format: BodyFormat) -> Result<Bytes> {
    caller.needs(Scope::EventsWrite)?;
    let org = match caller.principal.org {
        Some(own) => OrgRule::Only(own),
        None => OrgRule::Any { default: caller.named_org() },
    };
    let events = prepare(app, body.clone(), format, org).await?;
    if matches!(org, OrgRule::Any { .. }) {
        refuse_unknown_orgs(app, &events, &body, format).await?;
    }
    refuse_full_backlogs(app, &events).await?;
    let ids: Vec<EventId> = events.iter().map(|event| event.event_id).collect();
    let given = Instant::now();
    let appended = app.parts.store.append(events).await.map_err(|error| Refusal::store("org", error))?;
    app.parts.telemetry.ingested(receipt, given, &ids, &appended);
    Ok(ingest::answer(&ids, &appended))
}

/// Large bodies are read on a thread where that may take its time.
async fn prepare(app: &App, body: Bytes, format: BodyFormat, org: OrgRule) -> Result<Vec<NewEvent>> {
    let now = app.parts.clock.now();
    let prepared = if body.len() <= INLINE {
        ingest::prepare(&body, format, org, now, &*app.parts.random)
    } else {
        let random = app.parts.random.clone();
        let reading = spawn_blocking(move || ingest::prepare(&body, format, org, now, &*random));
        reading.await.map_err(|error| {
            tracing::error!(%error, "work on a request's body ended abnormally");
            Refusal::internal()
        })?
    };
    prepared.map_err(|fault| match fault {
        Fault::Body(error) => Refusal::bad_request(format!("Nothing was accepted: {error}.")),
        Fault::Events { faults, found } => Refusal::invalid_among(faults, found),
    })
}

/// A platform key may post events of any org, but only of one that exists.
async fn refuse_unknown_orgs(app: &App, events: &[NewEvent], body: &[u8], format: BodyFormat) -> Result<()> {
    let mut known: HashSet<OrgId> = HashSet::new();
    let mut faults = Vec::new();
    for (index, event) in events.iter().enumerate() {
        if known.contains(&event.org) {
            continue;
        }
        if app.org_exists(event.org).await.map_err(|error| Refusal::store("org", error))? {
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
    if faults.is_empty() { Ok(()) } else { Err(Refusal::invalid(faults)) }
}

/// One connector that is down must not fill the disk for everybody.
async fn refuse_full_backlogs(app: &App, events: &[NewEvent]) -> Result<()> {
    if app.parts.limits.org_backlog.is_none() {
        return Ok(());
    }
    let mut posted: HashMap<OrgId, u64> = HashMap::new();
    for event in events {
        *posted.entry(event.org).or_default() += 1;
    }
    for (org, events) in posted {
        let admitted = app.backlog.admits(&*app.parts.store, org, events).await;
        if !admitted.map_err(|error| Refusal::store("org", error))? {
            return Err(Refusal::backlog_full(org));
        }
    }
    Ok(())
}

/// One event, and where it stands with every stream of the org's connectors.
pub async fn get(app: &App, caller: &Caller, id: EventId) -> Result<wire::EventDetail> {
    let org = caller.org(Scope::SiemRead)?;
    let failed = |error| Refusal::store("event", error);
    let (record, payload, there) = match app.parts.store.whereabouts(org, id).await {
        Err(StoreError::NotFound) => return of_test(app, org, id).await,
        found => found.map_err(failed)?,
    };
    let mut outcomes: Vec<_> =
        there.into_iter().map(|there| outcome::of(&app.parts.registry, &record, there)).collect();
    name_deleted(app, org, &mut outcomes).await?;
    let event = payload.as_deref().map(|payload| read(id, payload)).transpose()?;
    let mut damaged_at = None;
    if event.is_none() {
        let this = Members::from_ascending([record.seq]);
        damaged_at = app.parts.store.damaged(org, &this).await.map_err(failed)?.pop().map(|damage| damage.found_at);
    }
    Ok(wire::EventDetail { summary: summary(&record), event, damaged_at, outcomes })
}

/// Says what the connectors were called that were deleted.
async fn name_deleted(app: &App, org: OrgId, outcomes: &mut [wire::EventOutcome]) -> Result<()> {
    for told in outcomes.iter_mut().filter(|told| told.connector_deleted) {
        let former = connectors::former(app, org, told.connector_id).await;
        told.former_name = former.map_err(|error| Refusal::store("event", error))?.map(|(name, _)| name);
    }
    Ok(())
}

/// A stored payload, to be shown as it is.
fn read(id: EventId, payload: &[u8]) -> Result<Box<RawValue>> {
    serde_json::from_slice(payload).map_err(|error| {
        tracing::error!(%error, event = %id, "a stored event is not JSON");
        Refusal::unavailable()
    })
}

/// The event of a test delivery, and what came of it in each stream that was tried.
async fn of_test(app: &App, org: OrgId, id: EventId) -> Result<wire::EventDetail> {
    let failed = |error| Refusal::store("event", error);
    let (event, deliveries) = app.parts.store.test_event(org, id).await.map_err(failed)?;
    let mut outcomes = Vec::with_capacity(deliveries.len());
    for delivery in &deliveries {
        let connector = match app.parts.store.connector(org, delivery.stream.connector).await {
            Err(StoreError::NotFound) => None,
            found => Some(found.map_err(failed)?.connector),
        };
        outcomes.push(outcome::of_test(&app.parts.registry, &event, delivery, connector.as_ref()));
    }
    name_deleted(app, org, &mut outcomes).await?;
    let (summary, event) = (summary_of_test(&event), Some(read(id, &event.payload)?));
    Ok(wire::EventDetail { summary, event, damaged_at: None, outcomes })
}
