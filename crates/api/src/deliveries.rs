//! The history: which deliveries there were, and what became of one (interface.md, `…/deliveries`).

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Attempt, Delivery, Status, Trigger};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::ids::{ConnectorId, DeliveryId, EventId, JobId, OrgId, Seq, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{DeliveryDetail, EventRecord, HistoryQuery, LastAttempt, TestEvent};

use super::connectors::load;
use super::error::{ApiError, Result};
use super::export::{self, Format};
use super::guard::Caller;
use super::named::{Id, InOrg};
use super::query::{List, Query};
use super::state::AppState;
use super::{answer, words};

/// What the API calls this in its messages.
pub(super) const DELIVERY: &str = "delivery";

/// A delivery: one batch of events for one stream.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
pub(super) struct DeliveryView<'a> {
    /// Its id; sent along as `webhook-id`.
    id: DeliveryId,
    /// The connector.
    connector_id: ConnectorId,
    /// Which of the connector's streams.
    stream: StreamKind,
    /// Why it was made.
    trigger: Trigger,
    /// How it stands.
    status: Status,
    /// Events in it.
    event_count: u64,
    /// Events of it that the SIEM has taken.
    delivered: u64,
    /// Events of it that the SIEM has refused for good.
    rejected: u64,
    /// Requests that were made for it.
    attempt_count: u32,
    /// The status that the last of them was answered with; `null` where no answer came, or no request was made.
    last_http_status: Option<u16>,
    /// How long the last of them took; `null` where none was made.
    duration_ms: Option<u64>,
    /// Whether it tries if the SIEM is back.
    probe: bool,
    /// For metrics: the start of the 10 seconds that it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<Timestamp>,
    /// The delivery whose rest it goes on with.
    parent_id: Option<DeliveryId>,
    /// The job that it was made for.
    job_id: Option<JobId>,
    /// When it was made.
    created_at: Timestamp,
    /// When it is tried next; `null` once it is settled.
    next_attempt_at: Option<Timestamp>,
    /// When it came to its end.
    settled_at: Option<Timestamp>,
    /// Why it did not simply succeed.
    cause: Option<&'a Cause>,
}

impl<'a> DeliveryView<'a> {
    /// Everything but its attempts, of which it has the `last`, and its events.
    pub(super) fn of(delivery: &'a Delivery, last: Option<LastAttempt>) -> Self {
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
            last_http_status: last.and_then(|last| last.http_status),
            duration_ms: last.map(|last| last.duration_ms),
            probe: delivery.probe,
            window: delivery.window.as_ref().map(|window| window.start),
            parent_id: delivery.parent,
            job_id: delivery.job,
            created_at: delivery.created_at,
            next_attempt_at: delivery.due_at,
            settled_at: delivery.settled_at,
            cause: delivery.cause.as_ref(),
        }
    }
}

/// A delivery with everything that is known of it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeliveryDetail")]
struct DetailView<'a> {
    #[serde(flatten)]
    delivery: DeliveryView<'a>,
    /// Its requests, in order.
    attempts: &'a [Attempt],
    /// The deliveries that go on with the rest of it.
    children: &'a [DeliveryId],
    /// The later delivery that brought the first of those of its events that had failed or been refused and have arrived since; others may
    /// have brought the rest. `null` where none of them has.
    recovered_by: Option<DeliveryId>,
    /// Its events, at most the first 1,000.
    events: Vec<EventSummary>,
}

/// What is kept of an event after its payload.
#[derive(Serialize, JsonSchema)]
pub(super) struct EventSummary {
    /// Its id.
    event_id: EventId,
    /// Its number within the org: 1, 2, 3 … without gaps. `null` for the event of a test delivery, which is in no account.
    sequence: Option<Seq>,
    /// What happened.
    event_type: EventType,
    /// How serious it is.
    severity: Severity,
    /// The event's own time.
    timestamp: Timestamp,
    /// When it was accepted. `null` for the event of a test delivery.
    accepted_at: Option<Timestamp>,
    /// It is the synthetic event of a test delivery.
    test: bool,
}

impl EventSummary {
    pub(super) fn of(record: &EventRecord) -> Self {
        Self {
            event_id: record.event_id,
            sequence: Some(record.seq),
            event_type: record.event_type,
            severity: record.severity,
            timestamp: record.event_time,
            accepted_at: Some(record.accepted_at),
            test: false,
        }
    }

    /// The event of a test delivery, which is not in the log.
    pub(super) fn of_test(event: &TestEvent) -> Self {
        Self {
            event_id: event.event_id,
            sequence: None,
            event_type: EventType::TestConnection,
            severity: Severity::Low,
            timestamp: event.event_time,
            accepted_at: None,
            test: true,
        }
    }
}

/// Over all connectors of the org.
pub(super) async fn list(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    history(&state, caller.org()?, None, &request.into_parts().0).await
}

/// Of one connector.
pub(super) async fn of_connector(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id<ConnectorId>,
    request: Request<Body>,
) -> Result<Response> {
    let org = caller.org()?;
    load(&state, org, id).await?;
    history(&state, org, Some(id), &request.into_parts().0).await
}

async fn history(
    state: &AppState,
    org: OrgId,
    connector: Option<ConnectorId>,
    request: &http::request::Parts,
) -> Result<Response> {
    let mut query = Query::of(&request.uri);
    let format = Format::of(&request.headers);
    let mut wanted = HistoryQuery {
        connector,
        stream: query.take("stream", "events, logs or metrics", |word| word.parse().ok()),
        status: query.take("status", "pending, delivered, partial, split, rejected or failed", words::read),
        trigger: query.take("trigger", "live, test, redelivery, replay or recovery", words::read),
        job: query.take("job", "the id of a job", |text| text.parse().ok()),
        event_id: query.take("event_id", "a UUID", |text| text.parse().ok()),
        from: None,
        to: None,
        before: None,
        limit: export::PAGE,
    };
    (wanted.from, wanted.to) = query.range();
    if let Some(format) = format {
        // An export has no pages: `cursor` and `limit` would mean that something is missing.
        query.finish()?;
        return Ok(export::answer(state, org, wanted, format));
    }
    wanted.before = query.take("cursor", "the `next_cursor` of a page of this list", |text| text.parse().ok());
    wanted.limit = query.limit();
    query.finish()?;
    let page = state.parts.store.history(org, wanted).await.map_err(|error| ApiError::store(DELIVERY, error))?;
    let next_cursor = page.items.last().filter(|_| page.has_more).map(|last| last.delivery.id.to_string());
    let items: Vec<_> = page.items.iter().map(|item| DeliveryView::of(&item.delivery, item.last)).collect();
    Ok(answer::json(StatusCode::OK, &List { items, next_cursor, has_more: page.has_more, total_count: None }))
}

/// One delivery with its attempts and events.
pub(super) async fn get(State(state): State<AppState>, InOrg { org, id, .. }: InOrg<DeliveryId>) -> Result<Response> {
    let detail = state.parts.store.delivery(org, id).await;
    let DeliveryDetail { delivery, attempts, children, recovered_by, events, test_event } =
        detail.map_err(|error| ApiError::store(DELIVERY, error))?;
    let view = DetailView {
        delivery: DeliveryView::of(&delivery, LastAttempt::of(&attempts)),
        attempts: &attempts,
        children: &children,
        recovered_by,
        events: events.iter().map(EventSummary::of).chain(test_event.as_ref().map(EventSummary::of_test)).collect(),
    };
    Ok(answer::json(StatusCode::OK, &view))
}

/// What these routes say of themselves.
pub(super) mod doc {
    use toktra_siem_core::delivery::{Status, Trigger};
    use toktra_siem_core::ids::{EventId, JobId, StreamKind};
    use toktra_siem_core::time::Timestamp;

    use super::super::doc::{Doc, Tag};
    use super::super::query::List;
    use super::{DeliveryView, DetailView};

    fn filtered(doc: Doc) -> Doc {
        doc.query::<StreamKind>("stream", "Only of streams of this kind.")
            .query::<Status>("status", "Only those that stand so.")
            .query::<Trigger>("trigger", "Only those that were made for this reason.")
            .query::<JobId>("job", "Only those that were made for this job.")
            .query::<EventId>("event_id", "Only those that hold this event.")
            .query::<Timestamp>("from", "Only those made at or after this time.")
            .query::<Timestamp>("to", "Only those made before this time.")
            .about(
                "With `Accept: application/x-ndjson` or `text/csv` the answer is the whole filtered history, newest first: a delivery a \
                 line, without pages (then there is no `limit` and no `cursor`). The CSV has a header, and these columns: id, \
                 connector_id, stream, trigger, status, event_count, delivered, rejected, attempt_count, probe, window, parent_id, \
                 job_id, created_at, next_attempt_at, settled_at, cause_code, cause_message; a cell that a spreadsheet would take for a \
                 formula begins with an apostrophe.",
            )
            .paged()
            .ok::<List<DeliveryView<'_>>>("Deliveries, newest first: a page, or all of them.")
            .or_as::<DeliveryView<'_>>("application/x-ndjson")
            .or_as::<String>("text/csv")
    }

    pub(crate) fn list() -> Doc {
        filtered(Doc::new("listDeliveries", Tag::Deliveries, "List deliveries"))
    }

    pub(crate) fn of_connector() -> Doc {
        filtered(Doc::new("listConnectorDeliveries", Tag::Deliveries, "List a connector's deliveries"))
    }

    pub(crate) fn get() -> Doc {
        Doc::new("getDelivery", Tag::Deliveries, "Show a delivery")
            .about("With every attempt, what the SIEM answered, and the events.")
            .ok::<DetailView<'_>>("The delivery.")
    }
}
