//! The events that the service makes itself, where they are switched on: a `heartbeat`, so that a SIEM can notice
//! when nothing comes any more, and a `connector_alert` when a connector stops delivering, and when it delivers again.
//!
//! Work is derived from what is stored, as everywhere. The store keeps each outage until all of it was told ([`outage`]), so that a
//! change which a restart or a crash came between is told afterwards, in its place. Ids are made from what an event says (which stream, since
//! when, what), and an event that is in the log is not made again.
//!
//! [`outage`]: toktra_siem_core::outage

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use toktra_siem_base::clock::Clock;
use toktra_siem_base::random::Random;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::event::NewEvent;
use toktra_siem_core::event::intake::{Intake, OrgRule, normalise_own};
use toktra_siem_core::ids::{EventId, OrgId, StreamId};
use toktra_siem_core::outage::{Alert, Outage, Went};
use toktra_siem_core::time::Timestamp;
use toktra_siem_dispatch::node::Node;
use toktra_siem_store::{Role, Store, StoreError, StreamOverview, StreamRecord};

use crate::notices::Notices;

/// How often there is a look, and how often if there is nobody to tell.
const EVERY: Duration = Duration::from_secs(5);
const SELDOM: Duration = Duration::from_mins(1);

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
    /// What people are told beside it.
    notices: Notices,
    /// The last heartbeat.
    beat: Option<Timestamp>,
    /// The last look.
    looked: Option<Timestamp>,
}

impl OwnEvents {
    /// Nothing was said yet.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, random: Arc<dyn Random>, notices: Notices) -> Self {
        Self { store, clock, random, notices, beat: None, looked: None }
    }

    /// Makes what is `wanted` until `stop`, where this node has the role.
    pub async fn run(mut self, wanted: Wanted, node: Arc<Node>, stop: CancellationToken) -> anyhow::Result<()> {
        while stop.run_until_cancelled(node.until_it_has(Role::OwnEvents)).await.is_some() {
            if let Err(failure) = self.look(wanted).await {
                tracing::warn!(error = %failure, "the service's own events could not be made; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        Ok(())
    }

    /// Makes what is due now. That it was told is kept only once it is on disk.
    pub(crate) async fn look(&mut self, wanted: Wanted) -> Result<(), StoreError> {
        let now = self.clock.now();
        let channels = self.store.all_channels().await?;
        let nobody = channels.is_empty() && wanted == (Wanted { heartbeat: None, alerts: false });
        if nobody && self.looked.is_some_and(|at| at <= now && now.since(at) < SELDOM) {
            return Ok(());
        }
        let connectors: Vec<Connector> =
            self.store.all_connectors().await?.into_iter().map(|record| record.connector).collect();
        let overview = self.store.overview().await?;
        self.notices.look(&channels, &connectors, &overview, now).await?;
        if let Some(pause) = wanted.heartbeat {
            self.beat(&connectors, pause, now).await?;
        }
        self.alert(&connectors, overview, wanted.alerts, now).await?;
        self.looked = Some(now);
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

    /// Tells what is due of the outages that the store keeps, in their order. What happened before a stream was switched off is still told. If
    /// nobody wants to be told, what is over is forgotten, so that nobody is told later, either.
    async fn alert(
        &self,
        connectors: &[Connector],
        overview: Vec<StreamOverview>,
        wanted: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for StreamOverview { record, .. } in overview.into_iter().filter(|stream| !stream.record.outages.is_empty()) {
            let Some(connector) = connectors.iter().find(|connector| connector.id == record.id.connector) else {
                continue;
            };
            let newest = record.outages.len() - 1;
            for (which, outage) in record.outages.iter().enumerate() {
                if !wanted && outage.until.is_none() {
                    continue;
                }
                let alerts = outage.alerts(now);
                for (at, alert) in alerts.iter().enumerate().skip(outage.told) {
                    let untried = alert.went == Went::Back && ended_by_a_save(connector, &record, outage);
                    if untried && which == newest {
                        break;
                    }
                    // One that began anew before anything arrived was never back.
                    if !untried && wanted {
                        self.say(connector, &record, outage, alert).await?;
                    }
                    Self::noted(self.store.tell_outage(record.id, outage.since, at + 1).await)?;
                }
            }
        }
        Ok(())
    }

    /// A connector that was removed meanwhile is no failure.
    fn noted(noted: Result<(), StoreError>) -> Result<(), StoreError> {
        if matches!(noted, Err(StoreError::NotFound)) { Ok(()) } else { noted }
    }

    /// Makes the event of an alert, unless it is in the log already: its id says which outage of which stream, and what happened.
    async fn say(
        &self,
        connector: &Connector,
        stream: &StreamRecord,
        outage: &Outage,
        alert: &Alert,
    ) -> Result<(), StoreError> {
        let state = match alert.went {
            Went::Down => "degraded",
            Went::Misconfigured => "misconfigured",
            Went::Back => "healthy",
        };
        let id = alert_id(stream.id, outage.since, state);
        match self.store.event(connector.org, id).await {
            Ok(_) => return Ok(()),
            Err(StoreError::NotFound) => {}
            Err(failure) => return Err(failure),
        }
        let mut details = about(connector, stream, state);
        let (severity, at, what) = match alert.went {
            Went::Down => ("medium", outage.since, "does not answer: its events wait"),
            Went::Misconfigured => ("high", alert.at, "needs a change of its settings: its events wait"),
            Went::Back => ("low", alert.at, "delivers again"),
        };
        if alert.went == Went::Back {
            details["down_seconds"] = json!(alert.at.since(outage.since).as_secs());
        } else {
            details["since"] = json!(outage.since);
            details["cause"] = json!(alert.cause);
        }
        let event = self.make(
            connector.org,
            &json!({
                "event_id": id,
                "event_type": "connector_alert",
                "severity": severity,
                "timestamp": at,
                "summary": format!("The SIEM connector {} {what}", connector.name),
                "details": details,
            }),
        );
        self.append(event.into_iter().collect()).await
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

/// Whether an outage is over because its connector was saved, and nothing has arrived since: it is tried again, which is not yet to deliver.
pub(crate) fn ended_by_a_save(connector: &Connector, stream: &StreamRecord, outage: &Outage) -> bool {
    let arrived = stream.last_success.is_some_and(|at| at >= outage.since);
    !arrived && outage.until.is_some_and(|until| connector.updated_at >= until)
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
pub(crate) mod tests;
