//! How connectors stand: state, lag, rates and the last error of each stream (interface.md, `…/health`).

use std::cmp::Reverse;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::Delivery;
use toktra_siem_core::ids::{ConnectorId, DeliveryId, EventId, OrgId, PlatformId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_core::traffic::{Traffic, bucket};
use toktra_siem_store::{EventRecord, Standing};

use super::answer;
use super::connectors::{CONNECTOR, load};
use super::error::{ApiError, Result};
use super::guard::Caller;
use super::named::InOrg;
use super::query::{List, Query};
use super::sentence::{Facts, HealthState, Off};
use super::state::AppState;
use super::traffic::{per_minute, percentile};

/// The two spans over which rates are told.
const SHORT: Duration = Duration::from_mins(5);
const LONG: Duration = Duration::from_hours(1);

/// How a connector stands.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Health")]
struct HealthView {
    /// The connector.
    connector_id: ConnectorId,
    /// Its name.
    name: String,
    /// Its platform.
    platform: PlatformId,
    /// Whether it is switched on.
    active: bool,
    /// That of its worst stream.
    state: HealthState,
    /// The same for a person: that of its worst stream.
    sentence: String,
    /// Its streams.
    streams: Vec<StreamHealth>,
}

/// How a stream stands.
#[derive(Debug, Serialize, JsonSchema)]
struct StreamHealth {
    /// Which of the connector's streams.
    stream: StreamKind,
    /// How it stands.
    state: HealthState,
    /// The state and what goes with it, for a person.
    sentence: String,
    /// Events that are on their way or waiting. Those that are parked are not among them.
    lag_events: u64,
    /// The age, since its acceptance, of the oldest event that is on its way or waiting; 0 where there is none.
    lag_seconds: u64,
    /// When the oldest event was accepted that has not arrived though it still shall: on its way, waiting, or parked as failed.
    oldest_undelivered_at: Option<Timestamp>,
    /// That event.
    oldest_undelivered_event_id: Option<EventId>,
    /// Events that still shall arrive.
    undelivered: Undelivered,
    /// Events that a delivery left behind.
    parked: ParkedEvents,
    /// Events a minute. At most ten seconds old; a restart does not lose them.
    rates: Rates,
    /// From acceptance to delivery, over the last hour; `null` where nothing was delivered.
    latency: Option<Latency>,
    /// When the SIEM last took something.
    last_success: Option<Timestamp>,
    /// What last went wrong.
    last_error: Option<LastError>,
    /// While it does not send: since when.
    since: Option<Timestamp>,
    /// While it does not send: when it tries again.
    next_probe_at: Option<Timestamp>,
}

/// Events that still shall arrive.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UndeliveredEvents")]
struct Undelivered {
    /// All of them.
    total: u64,
    /// In the log, not taken up yet.
    waiting: u64,
    /// In deliveries, or set apart to be sent beside the fresh ones.
    pending: u64,
    /// Parked after their delivery failed; sent again by themselves.
    failed: u64,
}

/// Events that a delivery left behind.
#[derive(Debug, Serialize, JsonSchema)]
struct ParkedEvents {
    /// Sent again by themselves once the endpoint takes them.
    failed: u64,
    /// Refused for good: only a person sends them again.
    rejected: u64,
}

/// How fast events flow.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeliveryRates")]
struct Rates {
    /// Over the last five minutes.
    last_5_minutes: Rate,
    /// Over the last hour.
    last_hour: Rate,
}

/// Events a minute.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeliveryRate")]
struct Rate {
    /// Taken by the SIEM.
    delivered: f64,
    /// Parked by a failed delivery; an event that fails again counts again.
    failed: f64,
}

/// How long events take from acceptance to delivery; told up to an eighth too high.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeliveryLatency")]
struct Latency {
    /// Half of the events took no longer.
    p50_ms: u64,
    /// 99 of 100 events took no longer.
    p99_ms: u64,
}

/// What went wrong last.
#[derive(Debug, Serialize, JsonSchema)]
struct LastError {
    /// When.
    at: Timestamp,
    /// Why.
    cause: Cause,
    /// The delivery that it happened to, where it is known.
    delivery_id: Option<DeliveryId>,
}

/// How one connector stands.
pub(super) async fn of_connector(
    State(state): State<AppState>,
    InOrg { org, id, .. }: InOrg<ConnectorId>,
) -> Result<Response> {
    let view = match views(&state, org, Some(id)).await?.pop() {
        Some(view) => view,
        None => HealthView::of(&load(&state, org, id).await?.connector, Vec::new()),
    };
    Ok(answer::json(StatusCode::OK, &view))
}

/// How all connectors of the org stand, the worst first, on one page.
pub(super) async fn of_all(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let mut views = views(&state, caller.org()?, None).await?;
    // Stable: among equals the order of creation stays.
    views.sort_by_key(|view| Reverse((view.state, view.undelivered())));
    Ok(answer::json(StatusCode::OK, &List::whole(views)))
}

async fn views(state: &AppState, org: OrgId, only: Option<ConnectorId>) -> Result<Vec<HealthView>> {
    let now = state.parts.clock.now();
    let standings = state.parts.store.standings(org, only, bucket(now.minus(LONG))).await;
    let standings = standings.map_err(|error| ApiError::store(CONNECTOR, error))?;
    let of_one = standings.chunk_by(|a, b| a.connector.id == b.connector.id);
    Ok(of_one
        .map(|streams| {
            let shown = streams.iter().map(|standing| StreamHealth::of(standing, now)).collect();
            HealthView::of(&streams[0].connector, shown)
        })
        .collect())
}

impl HealthView {
    fn of(connector: &Connector, streams: Vec<StreamHealth>) -> Self {
        let worst = streams.iter().rev().max_by_key(|stream| stream.state);
        Self {
            connector_id: connector.id,
            name: connector.name.clone(),
            platform: connector.settings.platform,
            active: connector.active,
            state: worst.map_or(HealthState::Off, |stream| stream.state),
            sentence: worst.map(|stream| stream.sentence.clone()).unwrap_or_default(),
            streams,
        }
    }

    fn undelivered(&self) -> u64 {
        self.streams.iter().map(|stream| stream.undelivered.total).max().unwrap_or(0)
    }
}

impl StreamHealth {
    fn of(standing: &Standing, now: Timestamp) -> Self {
        let counts = standing.stream.counts;
        let undelivered = Undelivered::of(standing);
        let accepted = |event: &EventRecord| event.accepted_at;
        let oldest_failed = standing.oldest_failed.as_ref().map(|(event, _)| event);
        let rate = |span, count| per_minute(&standing.traffic, now, span, count);
        let both = |span| Rate { delivered: rate(span, |t| t.delivered), failed: rate(span, |t| t.failed) };
        let facts = Facts {
            platform: standing.connector.settings.platform,
            now,
            off: off(standing),
            breaker: &standing.stream.breaker,
            pending: undelivered.waiting + undelivered.pending,
            failed: undelivered.failed,
            oldest_pending: standing.oldest_pending.as_ref().map(accepted),
            oldest_failed: oldest_failed.map(accepted),
            rate: rate(SHORT, |traffic| traffic.delivered),
            last_success: standing.stream.last_success,
        };
        let oldest = standing.oldest_pending.iter().chain(oldest_failed).min_by_key(|event| event.seq);
        let (since, next_probe_at) = match &standing.stream.breaker {
            Breaker::Closed { .. } => (None, None),
            Breaker::Open { since, probe_at, .. } => (Some(*since), Some(*probe_at)),
        };
        Self {
            stream: standing.stream.id.kind,
            state: facts.state(),
            sentence: facts.sentence(),
            lag_events: facts.pending,
            lag_seconds: facts.oldest_pending.map_or(0, |at| now.since(at).as_secs()),
            oldest_undelivered_at: oldest.map(accepted),
            oldest_undelivered_event_id: oldest.map(|event| event.event_id),
            parked: ParkedEvents { failed: undelivered.failed, rejected: unsigned(counts.rejected) },
            undelivered,
            rates: Rates { last_5_minutes: both(SHORT), last_hour: both(LONG) },
            latency: latency(standing),
            last_success: standing.stream.last_success,
            last_error: last_error(standing),
            since,
            next_probe_at,
        }
    }
}

impl Undelivered {
    fn of(standing: &Standing) -> Self {
        let accounting = standing.stream.accounting();
        let (waiting, pending) = (accounting.waiting, unsigned(accounting.counts.pending));
        let failed = unsigned(accounting.counts.failed);
        Self { total: waiting + pending + failed, waiting, pending, failed }
    }
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn off(standing: &Standing) -> Option<Off> {
    let connector = &standing.connector;
    if !connector.active {
        return Some(Off::Connector);
    }
    let metrics_off = !connector.settings.sends(standing.stream.id.kind);
    metrics_off.then_some(Off::Metrics)
}

fn latency(standing: &Standing) -> Option<Latency> {
    let mut sum = Traffic::default();
    standing.traffic.iter().for_each(|row| sum += &row.traffic);
    Some(Latency { p50_ms: percentile(&sum, 50)?, p99_ms: percentile(&sum, 99)? })
}

/// What keeps the breaker open, or else the newest failure of the history.
fn last_error(standing: &Standing) -> Option<LastError> {
    let newest = standing.last_failure.as_ref().and_then(error_of);
    match &standing.stream.breaker {
        Breaker::Open { cause, since, .. } if newest.as_ref().is_none_or(|error| error.at < *since) => {
            Some(LastError { at: *since, cause: cause.clone(), delivery_id: None })
        }
        Breaker::Open { .. } | Breaker::Closed { .. } => newest,
    }
}

fn error_of(delivery: &Delivery) -> Option<LastError> {
    let at = delivery.settled_at.unwrap_or(delivery.created_at);
    delivery.cause.clone().map(|cause| LastError { at, cause, delivery_id: Some(delivery.id) })
}

/// What these routes say of themselves.
pub(super) mod doc {
    use super::super::doc::{Doc, Tag};
    use super::super::query::List;
    use super::HealthView;

    pub(crate) fn of_connector() -> Doc {
        Doc::new("getConnectorHealth", Tag::Connectors, "Show a connector's health")
            .about("Whether each stream works, how far it is behind, how fast events flow, and what last went wrong.")
            .ok::<HealthView>("How it stands.")
    }

    pub(crate) fn of_all() -> Doc {
        Doc::new("listConnectorHealth", Tag::Connectors, "Show the health of all connectors")
            .about("The worst first, all of them on one page.")
            .ok::<List<HealthView>>("How they stand.")
    }
}
