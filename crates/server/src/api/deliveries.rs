//! The history: which deliveries there were, and what became of one (interface.md, `…/deliveries`).

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{Request, StatusCode, Uri};
use serde::Serialize;
use serde_json::{Value, json};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Attempt, Delivery, Status, Trigger};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::ids::{ConnectorId, DeliveryId, OrgId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{DeliveryDetail, EventRecord, HistoryQuery, TestEvent};

use super::connectors::{CONNECTOR, load};
use super::error::{ApiError, Result};
use super::guard::Caller;
use super::query::{List, Query};
use super::state::AppState;
use super::{answer, parse_id, words};

/// What the API calls this in its messages.
const DELIVERY: &str = "delivery";

/// A delivery as lists show it.
#[derive(Serialize)]
struct DeliveryView<'a> {
    id: DeliveryId,
    connector_id: ConnectorId,
    stream: StreamKind,
    trigger: Trigger,
    status: Status,
    event_count: u64,
    delivered: u64,
    rejected: u64,
    attempt_count: u32,
    probe: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<Timestamp>,
    parent_id: Option<DeliveryId>,
    created_at: Timestamp,
    next_attempt_at: Option<Timestamp>,
    settled_at: Option<Timestamp>,
    cause: Option<&'a Cause>,
}

impl<'a> DeliveryView<'a> {
    fn of(delivery: &'a Delivery) -> Self {
        Self {
            id: delivery.id,
            connector_id: delivery.stream.connector,
            stream: delivery.stream.kind,
            trigger: delivery.trigger,
            status: delivery.status,
            event_count: delivery.events(),
            delivered: delivery.delivered,
            rejected: delivery.rejected,
            attempt_count: delivery.attempts,
            probe: delivery.probe,
            window: delivery.window.as_ref().map(|window| window.start),
            parent_id: delivery.parent,
            created_at: delivery.created_at,
            next_attempt_at: delivery.due_at,
            settled_at: delivery.settled_at,
            cause: delivery.cause.as_ref(),
        }
    }
}

/// A delivery with everything that is known of it.
#[derive(Serialize)]
struct DetailView<'a> {
    #[serde(flatten)]
    delivery: DeliveryView<'a>,
    attempts: &'a [Attempt],
    children: &'a [DeliveryId],
    events: Vec<Value>,
}

fn event(record: &EventRecord) -> Value {
    json!({
        "event_id": record.event_id,
        "sequence": record.seq,
        "event_type": record.event_type,
        "severity": record.severity,
        "timestamp": record.event_time,
        "accepted_at": record.accepted_at,
    })
}

/// The event of a test delivery, which is not in the log.
fn of_test(event: &TestEvent) -> Value {
    json!({
        "event_id": event.event_id,
        "sequence": null,
        "event_type": EventType::TestConnection,
        "severity": Severity::Low,
        "timestamp": event.event_time,
        "accepted_at": null,
    })
}

/// Over all connectors of the org.
pub(super) async fn list(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    history(&state, caller.org()?, None, request.uri()).await
}

/// Of one connector.
pub(super) async fn of_connector(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response> {
    let (org, id) = (caller.org()?, parse_id(&id, CONNECTOR)?);
    load(&state, org, id).await?;
    history(&state, org, Some(id), request.uri()).await
}

async fn history(state: &AppState, org: OrgId, connector: Option<ConnectorId>, uri: &Uri) -> Result<Response> {
    let mut query = Query::of(uri);
    let wanted = HistoryQuery {
        connector,
        stream: query.take("stream", "events, logs or metrics", |word| word.parse().ok()),
        status: query.take("status", "pending, delivered, partial, split, rejected or failed", words::read),
        trigger: query.take("trigger", "live, test, redelivery, replay or recovery", words::read),
        event_id: query.take("event_id", "a UUID", |text| text.parse().ok()),
        from: query.time("from"),
        to: query.time("to"),
        before: query.take("cursor", "the `next_cursor` of a page of this list", |text| text.parse().ok()),
        limit: query.limit(),
    };
    query.finish()?;
    let page = state.parts.store.history(org, wanted).await.map_err(|error| ApiError::store(DELIVERY, error))?;
    let next_cursor = page.items.last().filter(|_| page.has_more).map(|last| last.id.to_string());
    let items: Vec<_> = page.items.iter().map(DeliveryView::of).collect();
    Ok(answer::json(StatusCode::OK, &List { items, next_cursor, has_more: page.has_more, total_count: None }))
}

/// One delivery with its attempts and events.
pub(super) async fn get(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let id = parse_id(&id, DELIVERY)?;
    let detail = state.parts.store.delivery(caller.org()?, id).await;
    let DeliveryDetail { delivery, attempts, children, events, test_event } =
        detail.map_err(|error| ApiError::store(DELIVERY, error))?;
    let view = DetailView {
        delivery: DeliveryView::of(&delivery),
        attempts: &attempts,
        children: &children,
        events: events.iter().map(event).chain(test_event.as_ref().map(of_test)).collect(),
    };
    Ok(answer::json(StatusCode::OK, &view))
}
