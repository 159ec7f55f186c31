//! How connectors stand: state, lag, rates and the last error of each stream (`…/health`).

use std::cmp::Reverse;
use std::time::Duration;

use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::Delivery;
use toktra_siem_core::ids::{ConnectorId, OrgId};
use toktra_siem_core::notice::Acknowledgement;
use toktra_siem_core::time::Timestamp;
use toktra_siem_core::traffic::{Traffic, bucket};
use toktra_siem_dispatch::watchdog::Verdict;
use toktra_siem_store::{DeliveryDetail, EventRecord, Scope, Standing, StoreError};
use toktra_siem_wire as wire;

use crate::connectors::{CONNECTOR, load};
use crate::sentence::{Facts, Off};
use crate::traffic::{per_minute, percentile};
use crate::{App, Caller, Refusal, Result};

/// The two spans over which rates are told.
const SHORT: Duration = Duration::from_mins(5);
const LONG: Duration = Duration::from_hours(1);

/// How one connector stands.
pub async fn of_connector(app: &App, caller: &Caller, id: ConnectorId) -> Result<wire::Health> {
    let org = caller.org(Scope::SiemRead)?;
    Ok(match views(app, org, Some(id)).await?.pop() {
        Some(view) => view,
        None => health(&load(app, org, id).await?.connector, Vec::new(), &[], app.parts.clock.now()),
    })
}

/// How all connectors of the org stand, the worst first, on one page.
pub async fn of_all(app: &App, caller: &Caller) -> Result<wire::List<wire::Health>> {
    let mut views = views(app, caller.org(Scope::SiemRead)?, None).await?;
    // Stable: among equals the order of creation stays.
    views.sort_by_key(|view| Reverse((view.state, undelivered_of(view))));
    Ok(wire::List::whole(views))
}

async fn views(app: &App, org: OrgId, only: Option<ConnectorId>) -> Result<Vec<wire::Health>> {
    let now = app.parts.clock.now();
    let standings = app.parts.store.standings(org, only, bucket(now.minus(LONG))).await;
    let standings = standings.map_err(|error| Refusal::store(CONNECTOR, error))?;
    let known = app.parts.store.acknowledgements(org).await.map_err(|error| Refusal::store(CONNECTOR, error))?;
    let mut standings = standings;
    for standing in &mut standings {
        with_probes(app, org, standing).await?;
    }
    let of_one = standings.chunk_by(|a, b| a.connector.id == b.connector.id);
    Ok(of_one
        .map(|streams| {
            let shown = streams.iter().map(|standing| stream_health(app, standing, now)).collect();
            health(&streams[0].connector, shown, &known, now)
        })
        .collect())
}

/// The failed probes of an outage are attempts of a delivery that is older than others, and newer than those is what it ran into last.
async fn with_probes(app: &App, org: OrgId, standing: &mut Standing) -> Result<()> {
    let Some(id) = standing.stream.outages.last().and_then(|outage| outage.probes) else { return Ok(()) };
    if standing.last_failure.as_ref().is_some_and(|newest| newest.id == id) {
        return Ok(());
    }
    match app.parts.store.delivery(org, id).await {
        // The history forgets.
        Err(StoreError::NotFound) => Ok(()),
        Err(error) => Err(Refusal::store(CONNECTOR, error)),
        Ok(DeliveryDetail { delivery, .. }) => {
            let failures = standing.last_failure.take().into_iter().chain(Some(delivery));
            standing.last_failure = failures.max_by_key(|delivery| delivery.settled_at);
            Ok(())
        }
    }
}

fn health(
    connector: &Connector,
    streams: Vec<wire::StreamHealth>,
    known: &[(ConnectorId, Acknowledgement)],
    now: Timestamp,
) -> wire::Health {
    let known = known.iter().find(|(id, _)| *id == connector.id).map(|(_, known)| known);
    let known =
        known.filter(|known| known.holds_during(streams.iter().filter_map(|stream| stream.since), now)).cloned();
    let worst = streams.iter().rev().max_by_key(|stream| stream.state);
    wire::Health {
        connector_id: connector.id,
        name: connector.name.clone(),
        platform: connector.settings.platform,
        active: connector.active,
        state: worst.map_or(wire::HealthState::Off, |stream| stream.state),
        sentence: worst.map(|stream| stream.sentence.clone()).unwrap_or_default(),
        streams,
        acknowledged: known,
    }
}

fn undelivered_of(health: &wire::Health) -> u64 {
    health.streams.iter().map(|stream| stream.undelivered.total).max().unwrap_or(0)
}

fn stream_health(app: &App, standing: &Standing, now: Timestamp) -> wire::StreamHealth {
    let counts = standing.stream.counts;
    // What came before a connector is switched on for the first time is not meant for it: nothing waits.
    let unused = standing.connector.was_never_on();
    let undelivered = if unused { wire::UndeliveredEvents::default() } else { undelivered(standing) };
    let accepted = |event: &EventRecord| event.accepted_at;
    let oldest_pending = standing.oldest_pending.as_ref().filter(|_| !unused);
    let oldest_failed = standing.oldest_failed.as_ref().map(|(event, _)| event);
    let rate =
        |span, last, count| per_minute(&standing.traffic, (standing.connector.created_at, last, now), span, count);
    let delivered = |span| rate(span, standing.stream.last_success, |traffic| traffic.delivered);
    let both =
        |span| wire::DeliveryRate { delivered: delivered(span), failed: rate(span, None, |traffic| traffic.failed) };
    let failing = off(standing).is_none().then(|| app.parts.dispatch.failing(standing.stream.id)).flatten();
    let facts = Facts {
        platform: standing.connector.settings.platform,
        now,
        off: off(standing),
        breaker: &standing.stream.breaker,
        pending: undelivered.waiting + undelivered.pending,
        failed: undelivered.failed,
        oldest_pending: oldest_pending.map(accepted),
        oldest_failed: oldest_failed.map(accepted),
        rate: delivered(SHORT),
        last_success: standing.stream.last_success,
        failing: failing.as_ref().map(|(since, _)| *since),
        verdict: app.parts.dispatch.verdict(standing.stream.id),
        damaged: standing.last_damage.map(|last| (unsigned(counts.damaged), last.found_at)),
    };
    let oldest = oldest_pending.into_iter().chain(oldest_failed).min_by_key(|event| event.seq);
    let since = match &standing.stream.breaker {
        _ if facts.stalled().is_some() => facts.stalled(),
        Breaker::Closed { .. } => None,
        Breaker::Open { since, .. } => Some(*since),
    };
    wire::StreamHealth {
        stream: standing.stream.id.kind,
        state: facts.state(),
        sentence: facts.sentence(),
        lag_events: undelivered.total,
        lag_seconds: oldest.map_or(0, |event| now.since(event.accepted_at).as_secs()),
        oldest_undelivered_at: oldest.map(accepted),
        oldest_undelivered_event_id: oldest.map(|event| event.event_id),
        parked: wire::ParkedEvents { failed: undelivered.failed, rejected: unsigned(counts.rejected) },
        undelivered,
        rates: wire::DeliveryRates { last_5_minutes: both(SHORT), last_hour: both(LONG) },
        latency: latency(standing),
        last_success: standing.stream.last_success,
        last_error: failing.clone().or_else(|| stalled(&facts)).map(of_ours).or_else(|| last_error(standing)),
        damaged: (counts.damaged > 0).then(|| damaged(standing)),
        warning: off(standing).is_none().then(|| app.parts.dispatch.warning(standing.stream.id)).flatten(),
        delay: facts.delay(),
        since,
        next_probe_at: standing.stream.breaker.next_probe(),
    }
}

/// Since when it is stalled, and what is known of that.
fn stalled(facts: &Facts<'_>) -> Option<(Timestamp, Cause)> {
    match &facts.verdict {
        Verdict::Stalled { cause, .. } => facts.stalled().map(|since| (since, cause.clone())),
        _ => None,
    }
}

fn of_ours((at, cause): (Timestamp, Cause)) -> wire::LastError {
    wire::LastError { at, cause, delivery_id: None }
}

fn undelivered(standing: &Standing) -> wire::UndeliveredEvents {
    let accounting = standing.stream.accounting();
    let (waiting, pending) = (accounting.waiting, unsigned(accounting.counts.pending));
    let failed = unsigned(accounting.counts.failed);
    wire::UndeliveredEvents { total: accounting.undelivered(), waiting, pending, failed }
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn off(standing: &Standing) -> Option<Off> {
    let connector = &standing.connector;
    if !connector.active {
        return Some(if connector.was_never_on() { Off::New } else { Off::Connector });
    }
    let metrics_off = !connector.settings.sends(standing.stream.id.kind);
    metrics_off.then_some(Off::Metrics)
}

fn latency(standing: &Standing) -> Option<wire::DeliveryLatency> {
    let mut sum = Traffic::default();
    standing.traffic.iter().for_each(|row| sum += &row.traffic);
    Some(wire::DeliveryLatency { p50_ms: percentile(&sum, 50)?, p99_ms: percentile(&sum, 99)? })
}

fn damaged(standing: &Standing) -> wire::DamagedEvents {
    let last = standing.last_damage;
    wire::DamagedEvents {
        total: unsigned(standing.stream.counts.damaged),
        last_found_at: last.map(|damage| damage.found_at),
        last_sequence: last.map(|damage| damage.seq),
        last_event_id: last.and_then(|damage| damage.event_id),
    }
}

/// What keeps the breaker open, or else the newest failure of the history, or the last damage that was found.
fn last_error(standing: &Standing) -> Option<wire::LastError> {
    let damage = standing.last_damage.map(|damage| wire::LastError {
        at: damage.found_at,
        cause: Cause::payload_damaged(),
        delivery_id: None,
    });
    let newest =
        damage.into_iter().chain(standing.last_failure.as_ref().and_then(error_of)).max_by_key(|error| error.at);
    match &standing.stream.breaker {
        Breaker::Open { cause, since, .. } if newest.as_ref().is_none_or(|error| error.at < *since) => {
            Some(wire::LastError { at: *since, cause: cause.clone(), delivery_id: None })
        }
        Breaker::Open { .. } | Breaker::Closed { .. } => newest,
    }
}

fn error_of(delivery: &Delivery) -> Option<wire::LastError> {
    let at = delivery.settled_at.unwrap_or(delivery.created_at);
    delivery.cause.clone().map(|cause| wire::LastError { at, cause, delivery_id: Some(delivery.id) })
}
