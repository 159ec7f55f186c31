//! How a connector stands: its state and lag by stream, and the accounts that always add up (interface.md, `…/health`, `…/accounting`).

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{Request, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use toktra_siem_core::breaker::{Breaker, OpenKind};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::{Delivery, Status};
use toktra_siem_core::ids::{ConnectorId, DeliveryId, Seq, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{HistoryQuery, ReadLimit, StreamRecord};

use super::connectors::{CONNECTOR, load};
use super::error::{ApiError, Result};
use super::guard::Caller;
use super::query::Query;
use super::state::AppState;
use super::{answer, parse_id};

/// How a stream, or a connector by its worst stream, stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum HealthState {
    /// It does not send, because a person said so.
    Off,
    /// It delivers what there is.
    Healthy,
    /// The endpoint does not take anything at the moment; the service keeps trying.
    Degraded,
    /// A person has to change the settings, here or there.
    Misconfigured,
}

/// How a connector stands.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Health")]
struct HealthView {
    /// The connector.
    connector_id: ConnectorId,
    /// The state of its worst stream.
    state: HealthState,
    /// Whether it is switched on.
    active: bool,
    /// Its streams.
    streams: Vec<StreamHealth>,
}

/// How one stream stands.
#[derive(Serialize, JsonSchema)]
struct StreamHealth {
    /// Which of the connector's streams.
    stream: StreamKind,
    /// How it stands.
    state: HealthState,
    /// Events that have not come to an end.
    lag_events: i64,
    /// The age of the oldest of them.
    lag_seconds: u64,
    /// When the SIEM last took something.
    last_success: Option<Timestamp>,
    /// What last went wrong.
    last_error: Option<LastError>,
    /// Since when nothing is sent; only there while the breaker is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// When it is tried next whether the SIEM is back; only there while the breaker is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_probe_at: Option<Timestamp>,
}

/// What last went wrong.
#[derive(Serialize, JsonSchema)]
struct LastError {
    /// When.
    at: Timestamp,
    /// Why.
    cause: Cause,
    /// The delivery that it happened to, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_id: Option<DeliveryId>,
}

/// Whether each stream works, and how far it is behind.
pub(super) async fn health(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let (org, id) = (caller.org()?, parse_id(&id, CONNECTOR)?);
    let record = load(&state, org, id).await?;
    let streams = state.parts.store.connector_streams(org, id).await.map_err(failed)?;
    let mut shown = Vec::with_capacity(streams.len());
    for stream in &streams {
        shown.push(stream_health(&state, &record.connector, stream).await?);
    }
    let worst = shown.iter().map(|stream| stream.state).max().unwrap_or(HealthState::Off);
    let view = HealthView { connector_id: id, state: worst, active: record.connector.active, streams: shown };
    Ok(answer::json(StatusCode::OK, &view))
}

fn failed(error: toktra_siem_store::StoreError) -> ApiError {
    ApiError::store(CONNECTOR, error)
}

async fn stream_health(state: &AppState, connector: &Connector, stream: &StreamRecord) -> Result<StreamHealth> {
    let (since, next_probe_at) = match &stream.breaker {
        Breaker::Closed { .. } => (None, None),
        Breaker::Open { since, probe_at, .. } => (Some(*since), Some(*probe_at)),
    };
    Ok(StreamHealth {
        stream: stream.id.kind,
        state: state_of(connector, stream),
        lag_events: stream.accounting().pending(),
        lag_seconds: lag_seconds(state, stream).await?,
        last_success: stream.last_success,
        last_error: last_error(state, stream).await?,
        since,
        next_probe_at,
    })
}

fn state_of(connector: &Connector, stream: &StreamRecord) -> HealthState {
    if !connector.active || (stream.id.kind == StreamKind::Metrics && !connector.settings.send_metrics()) {
        return HealthState::Off;
    }
    match &stream.breaker {
        Breaker::Closed { .. } => HealthState::Healthy,
        Breaker::Open { kind: OpenKind::Down, .. } => HealthState::Degraded,
        Breaker::Open { kind: OpenKind::Misconfigured, .. } => HealthState::Misconfigured,
    }
}

/// The oldest event that is waiting stands behind the cursor, in a backlog range, or in a pending delivery.
async fn lag_seconds(state: &AppState, stream: &StreamRecord) -> Result<u64> {
    if stream.accounting().pending() <= 0 {
        return Ok(0);
    }
    let store = &state.parts.store;
    let behind_cursor = (stream.cursor < stream.head).then_some(stream.cursor);
    let ranges = store.ranges(stream.id).await.map_err(failed)?;
    let pending = store.pending(stream.id).await.map_err(failed)?;
    let before = |delivery: &Delivery| delivery.members.first().map(|first| Seq(first.0.saturating_sub(1)));
    let oldest = behind_cursor
        .into_iter()
        .chain(ranges.iter().map(|range| range.cursor))
        .chain(pending.iter().filter(|delivery| delivery.accounted).filter_map(before))
        .min();
    let Some(oldest) = oldest else { return Ok(0) };
    let events = store.read(stream.org, oldest, ReadLimit { events: 1, bytes: 1 }).await.map_err(failed)?;
    let now = state.parts.clock.now();
    Ok(events.first().map_or(0, |event| now.since(event.accepted_at).as_secs()))
}

/// What keeps the breaker open, or else the newest failure of the history.
async fn last_error(state: &AppState, stream: &StreamRecord) -> Result<Option<LastError>> {
    let mut newest: Option<LastError> = None;
    for status in [Status::Failed, Status::Rejected] {
        let query = HistoryQuery {
            connector: Some(stream.id.connector),
            stream: Some(stream.id.kind),
            status: Some(status),
            limit: 1,
            ..HistoryQuery::default()
        };
        let page = state.parts.store.history(stream.org, query).await.map_err(failed)?;
        let found = page.items.into_iter().next().and_then(error_of);
        newest = newest.into_iter().chain(found).max_by_key(|error| error.at);
    }
    match &stream.breaker {
        Breaker::Open { cause, since, .. } if newest.as_ref().is_none_or(|error| error.at < *since) => {
            Ok(Some(LastError { at: *since, cause: cause.clone(), delivery_id: None }))
        }
        Breaker::Open { .. } | Breaker::Closed { .. } => Ok(newest),
    }
}

fn error_of(delivery: Delivery) -> Option<LastError> {
    let at = delivery.settled_at.unwrap_or(delivery.created_at);
    delivery.cause.map(|cause| LastError { at, cause, delivery_id: Some(delivery.id) })
}

/// Where every event is.
pub(super) async fn accounting(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let (org, id) = (caller.org()?, parse_id(&id, CONNECTOR)?);
    let streams = state.parts.store.connector_streams(org, id).await.map_err(failed)?;
    let adds_up = streams.iter().all(|stream| stream.accounting().adds_up());
    if !adds_up {
        tracing::error!(connector = %id, invariant = "D1", "the accounts of a connector do not add up");
    }
    let view = AccountingView { connector_id: id, streams: streams.iter().map(account).collect(), adds_up };
    Ok(answer::json(StatusCode::OK, &view))
}

/// Where every event is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Accounting")]
struct AccountingView {
    /// The connector.
    connector_id: ConnectorId,
    /// Its streams.
    streams: Vec<AccountView>,
    /// Whether the counts of each stream add up to what it accepted. Anything but `true` is a defect of the service.
    adds_up: bool,
}

/// Where every event of a stream is: `accepted` is the sum of the others.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StreamAccount")]
struct AccountView {
    /// Which of the connector's streams.
    stream: StreamKind,
    /// Events that were accepted since the stream exists.
    accepted: u64,
    /// The SIEM has them.
    delivered: i64,
    /// The SIEM refused them for good.
    rejected: i64,
    /// Their delivery failed; they are sent again when the SIEM is back.
    failed: i64,
    /// They outlived their retention undelivered.
    expired: i64,
    /// Given up by a person.
    discarded: i64,
    /// Passed over when the connector was switched on from now.
    skipped: i64,
    /// On their way, or waiting for their turn.
    pending: i64,
    /// Passed by, because the filter does not forward them.
    filtered: i64,
}

fn account(stream: &StreamRecord) -> AccountView {
    let accounting = stream.accounting();
    let counts = accounting.counts;
    AccountView {
        stream: stream.id.kind,
        accepted: accounting.accepted,
        delivered: counts.delivered,
        rejected: counts.rejected,
        failed: counts.failed,
        expired: counts.expired,
        discarded: counts.discarded,
        skipped: counts.skipped,
        pending: accounting.pending(),
        filtered: counts.filtered,
    }
}

/// What these routes say of themselves.
pub(super) mod doc {
    use super::super::doc::{Doc, Tag};
    use super::{AccountingView, HealthView};

    pub(in crate::api) fn health() -> Doc {
        Doc::new("getConnectorHealth", Tag::Connectors, "Show a connector's health")
            .about("Whether each stream works, how far it is behind, and what last went wrong.")
            .ok::<HealthView>("How it stands.")
    }

    pub(in crate::api) fn accounting() -> Doc {
        Doc::new("getConnectorAccounting", Tag::Connectors, "Show a connector's accounting")
            .about("Where every event is. The counts always add up.")
            .ok::<AccountingView>("The counts of each stream.")
    }
}
