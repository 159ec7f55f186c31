//! The events that the service makes itself, where they are switched on (interface.md, "Event"): a `heartbeat`, so that a SIEM can notice
//! when nothing comes any more, and a `connector_alert` when a connector stops delivering, and when it delivers again.
//!
//! Work is derived from what is stored, as everywhere: each look compares breakers and clock with what was said before. Ids are made from
//! what an event says (which stream, since when), so that saying it again after a restart is a duplicate and changes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use toktra_siem_base::clock::Clock;
use toktra_siem_base::random::Random;
use toktra_siem_core::breaker::{Breaker, OpenKind};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::event::NewEvent;
use toktra_siem_core::event::intake::{Intake, OrgRule, normalise_own};
use toktra_siem_core::ids::{EventId, OrgId, StreamId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{Store, StoreError, StreamRecord};

/// How often there is a look.
const EVERY: Duration = Duration::from_secs(5);
/// An endpoint that is down for less is not worth an alert. A misconfigured one needs a person in any case.
const WORTH_AN_ALERT: Duration = Duration::from_mins(1);

/// What is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The pause between two heartbeats of an org.
    pub heartbeat: Option<Duration>,
    /// Alerts about connectors.
    pub alerts: bool,
}

/// Makes them.
pub struct OwnEvents {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// The last heartbeat.
    beat: Option<Timestamp>,
    /// The streams that an alert was made for, and since when they had been down.
    alerted: HashMap<StreamId, Timestamp>,
}

impl OwnEvents {
    /// Nothing was said yet.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { store, clock, random, beat: None, alerted: HashMap::new() }
    }

    /// Makes what is `wanted` until `stop`.
    pub async fn run(mut self, wanted: Wanted, stop: CancellationToken) -> anyhow::Result<()> {
        if wanted == (Wanted { heartbeat: None, alerts: false }) {
            stop.cancelled().await;
            return Ok(());
        }
        loop {
            if let Err(failure) = self.look(wanted).await {
                tracing::warn!(error = %failure, "the service's own events could not be made; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Makes what is due now. What was said is remembered only once it is on disk.
    async fn look(&mut self, wanted: Wanted) -> Result<(), StoreError> {
        let now = self.clock.now();
        let connectors: Vec<Connector> =
            self.store.all_connectors().await?.into_iter().map(|record| record.connector).collect();
        if let Some(pause) = wanted.heartbeat {
            self.beat(&connectors, pause, now).await?;
        }
        if wanted.alerts {
            self.alert(&connectors, now).await?;
        }
        Ok(())
    }

    /// One heartbeat at each multiple of `pause`, whenever the service was started.
    async fn beat(&mut self, connectors: &[Connector], pause: Duration, now: Timestamp) -> Result<(), StoreError> {
        let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX).max(1);
        let due = Timestamp(now.0 - now.0.rem_euclid(pause));
        if self.beat == Some(due) {
            return Ok(());
        }
        let mut orgs: Vec<OrgId> = connectors.iter().filter(|c| c.active).map(|c| c.org).collect();
        orgs.sort_unstable();
        orgs.dedup();
        let events = orgs.into_iter().filter_map(|org| {
            let id = id_of(&[b"heartbeat", org.0.as_bytes(), &due.0.to_be_bytes()]);
            let details = json!({ "version": env!("CARGO_PKG_VERSION"), "every_seconds": pause / 1000 });
            self.make(org, &json!({ "event_id": id, "event_type": "heartbeat", "severity": "low", "timestamp": due, "details": details }))
        });
        self.append(events.collect()).await?;
        self.beat = Some(due);
        Ok(())
    }

    async fn alert(&mut self, connectors: &[Connector], now: Timestamp) -> Result<(), StoreError> {
        for connector in connectors.iter().filter(|connector| connector.active) {
            for stream in connector.streams() {
                match self.store.stream(stream).await {
                    Ok(record) => self.alert_of(connector, &record, now).await?,
                    Err(StoreError::NotFound) => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
        let gone = |stream: &StreamId| connectors.iter().all(|c| !c.active || c.id != stream.connector);
        self.alerted.retain(|stream, _| !gone(stream));
        Ok(())
    }

    async fn alert_of(
        &mut self,
        connector: &Connector,
        stream: &StreamRecord,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let before = self.alerted.get(&stream.id).copied();
        let event = match &stream.breaker {
            Breaker::Open { kind, cause, since, .. } if before != Some(*since) => {
                if *kind == OpenKind::Down && now.since(*since) < WORTH_AN_ALERT {
                    return Ok(());
                }
                self.stopped(connector, stream, *kind, cause, *since)
            }
            Breaker::Closed { .. } => match before {
                Some(since) => self.recovered(connector, stream, since, now),
                None => return Ok(()),
            },
            Breaker::Open { .. } => return Ok(()),
        };
        self.append(event.into_iter().collect()).await?;
        match &stream.breaker {
            Breaker::Open { since, .. } => self.alerted.insert(stream.id, *since),
            Breaker::Closed { .. } => self.alerted.remove(&stream.id),
        };
        Ok(())
    }

    fn stopped(
        &self,
        connector: &Connector,
        stream: &StreamRecord,
        kind: OpenKind,
        cause: &Cause,
        since: Timestamp,
    ) -> Option<NewEvent> {
        let (state, severity, what) = match kind {
            OpenKind::Down => ("degraded", "medium", "does not answer"),
            OpenKind::Misconfigured => ("misconfigured", "high", "needs a change of its settings"),
        };
        let mut details = about(connector, stream, state);
        details["since"] = json!(since);
        details["cause"] = json!(cause);
        self.make(
            connector.org,
            &json!({
                "event_id": alert_id(stream.id, since, state),
                "event_type": "connector_alert",
                "severity": severity,
                "timestamp": since,
                "summary": format!("The SIEM connector {} {what}: its events wait", connector.name),
                "details": details,
            }),
        )
    }

    fn recovered(
        &self,
        connector: &Connector,
        stream: &StreamRecord,
        since: Timestamp,
        now: Timestamp,
    ) -> Option<NewEvent> {
        let mut details = about(connector, stream, "healthy");
        details["down_seconds"] = json!(now.since(since).as_secs());
        self.make(
            connector.org,
            &json!({
                "event_id": alert_id(stream.id, since, "healthy"),
                "event_type": "connector_alert",
                "severity": "low",
                "timestamp": now,
                "summary": format!("The SIEM connector {} delivers again", connector.name),
                "details": details,
            }),
        )
    }

    /// Brings it into its stored form, as every event.
    fn make(&self, org: OrgId, event: &Value) -> Option<NewEvent> {
        let now = self.clock.now();
        let fresh_id = || EventId(self.random.uuid_v7(now));
        let made =
            normalise_own(event.to_string().as_bytes(), &Intake { org: OrgRule::Only(org), now, fresh_id: &fresh_id });
        made.inspect_err(|faults| {
            let faults = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            tracing::error!(faults, "an event of the service's own is not valid");
        })
        .ok()
    }

    /// An org that was removed meanwhile is no failure.
    async fn append(&self, events: Vec<NewEvent>) -> Result<(), StoreError> {
        for event in events {
            match self.store.append(vec![event]).await {
                Ok(_) | Err(StoreError::NotFound) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }
}

fn about(connector: &Connector, stream: &StreamRecord, state: &str) -> Value {
    json!({
        "connector_id": connector.id,
        "connector": connector.name,
        "platform": connector.settings.platform,
        "stream": stream.id.kind,
        "state": state,
        "undelivered": stream.undelivered(),
    })
}

fn alert_id(stream: StreamId, since: Timestamp, state: &str) -> EventId {
    let kind = stream.kind.as_str().as_bytes();
    id_of(&[b"connector_alert", stream.connector.0.as_bytes(), kind, &since.0.to_be_bytes(), state.as_bytes()])
}

/// A version 8 UUID (RFC 9562, "custom") of what an event says.
fn id_of(parts: &[&[u8]]) -> EventId {
    let mut hash = Sha256::new_with_prefix(b"toktra-siem own event");
    for part in parts {
        hash.update([0]);
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    EventId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests;
