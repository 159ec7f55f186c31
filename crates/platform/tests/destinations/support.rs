//! Connectors, events and replies to test with.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::{Credentials, Settings};
use toktra_siem_core::event::{EventType, Severity, StoredEvent};
use toktra_siem_core::ids::{ConnectorId, EventId, OrgId, PlatformId, Seq, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::datadog::Datadog;
use toktra_siem_platform::destination::{
    Batch, Destination, Encoded, EndpointState, HeaderText, Judgement, OutboundRequest, Outcome, Reply, Run, Verdict,
};
use toktra_siem_platform::elasticsearch::Elasticsearch;
use toktra_siem_platform::registry::Registry;
use toktra_siem_platform::splunk::Splunk;
use toktra_siem_platform::webhook::Webhook;

/// The time at which everything happens: 2025-01-15T10:30:00Z.
pub(crate) const NOW: Timestamp = Timestamp(1_736_937_000_000);
/// Every test connector's secret.
pub(crate) const SECRET: &str = "8f2c1b7e-canary-secret";
const ORG: &str = "7f6f1d6e-2b0a-4a5e-9d3c-0c3a5b8e1f10";
const CONNECTOR: &str = "5a5b1f0e-93a7-4b6e-8a43-3f1a0d6c2e77";

/// A reply with this status and body.
pub(crate) fn reply(status: u16, body: &str) -> Reply {
    Reply { status, body: Bytes::copy_from_slice(body.as_bytes()), ..Reply::default() }
}

/// Settings of a platform, and what authorises them.
pub(crate) fn settings(platform: PlatformId, config: &Value) -> Settings {
    Registry::standard().parse_new(platform, config).expect("settings").0
}

/// A Splunk connector as the product spec has it.
pub(crate) fn splunk_settings(indexer_ack: bool) -> Settings {
    let config =
        json!({ "hec_url": "https://splunk.company.com:8088", "hec_token": SECRET, "indexer_ack": indexer_ack });
    settings(Splunk::ID, &config)
}

/// A Datadog connector with the defaults.
pub(crate) fn datadog_settings(site: &str, url: Option<&str>) -> Settings {
    settings(Datadog::ID, &json!({ "site": site, "url": url, "api_key": SECRET }))
}

/// An Elasticsearch connector with the defaults.
pub(crate) fn elasticsearch_settings(manage_template: bool) -> Settings {
    let config = json!({
        "url": "https://es.company.com:9200", "username": "toktra", "password": SECRET, "manage_template": manage_template,
    });
    settings(Elasticsearch::ID, &config)
}

/// The stream `kind` of a connector with these settings and [`SECRET`].
pub(crate) fn stream(settings: &Settings, kind: StreamKind) -> Box<dyn Destination> {
    let name = if settings.platform == Splunk::ID { "hec_token" } else { "api_key" };
    stream_with(settings, &Credentials::of(name, SECRET.to_owned()), kind)
}

/// The same with another credential.
pub(crate) fn stream_with(settings: &Settings, credentials: &Credentials, kind: StreamKind) -> Box<dyn Destination> {
    let connector = ConnectorId(CONNECTOR.parse().expect("a UUID"));
    Registry::standard().build(settings, credentials, org(), connector, kind).expect("a destination")
}

/// The tenant of every event and connector.
pub(crate) fn org() -> OrgId {
    ORG.parse().expect("a UUID")
}

/// A webhook that takes several events in a request.
pub(crate) fn webhook_settings() -> Settings {
    settings(Webhook::ID, &json!({ "url": "https://hooks.company.com/in", "format": "array" }))
}

/// Every kind of stream, uncompressed.
pub(crate) fn all_streams() -> Vec<Box<dyn Destination>> {
    vec![
        stream(&splunk_settings(false), StreamKind::Events),
        stream(&splunk_settings(true), StreamKind::Events),
        stream(&datadog_settings("datadoghq.com", None), StreamKind::Logs),
        stream(&datadog_settings("datadoghq.com", None), StreamKind::Metrics),
        stream(&elasticsearch_settings(true), StreamKind::Events),
        stream(&webhook_settings(), StreamKind::Events),
    ]
}

/// The stored event with this payload; what else is known of it is read from there.
pub(crate) fn stored(payload: &str) -> Arc<StoredEvent> {
    #[derive(Deserialize)]
    struct Known {
        org_id: OrgId,
        event_id: EventId,
        event_type: EventType,
        severity: Severity,
        timestamp: Timestamp,
    }
    let known: Known = serde_json::from_str(payload).expect("a stored event");
    Arc::new(StoredEvent {
        org: known.org_id,
        seq: Seq(1),
        event_id: known.event_id,
        event_type: known.event_type,
        severity: known.severity,
        event_time: known.timestamp,
        accepted_at: NOW,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    })
}

/// The three events of the golden requests.
pub(crate) fn golden_events() -> Vec<Arc<StoredEvent>> {
    include_str!("../../../../fixtures/events.ndjson").lines().map(stored).collect()
}

/// Encodes a batch of events.
pub(crate) fn encode(destination: &dyn Destination, events: &[Arc<StoredEvent>]) -> Encoded {
    destination.encode(Batch::Events(events), NOW).expect("a batch of the right kind")
}

/// Encodes a batch of which nothing may be omitted.
pub(crate) fn encode_all(destination: &dyn Destination, events: &[Arc<StoredEvent>]) -> OutboundRequest {
    let encoded = encode(destination, events);
    assert_eq!(encoded.omitted, []);
    encoded.request.expect("a request")
}

/// The headers with their values laid open, secret ones marked.
pub(crate) fn headers(request: &OutboundRequest) -> Vec<(&str, String)> {
    let show = |value: &HeaderText| match value {
        HeaderText::Plain(text) => text.clone().into_owned(),
        HeaderText::Secret(secret) => format!("secret: {}", secret.expose_secret()),
    };
    request.headers.iter().map(|(name, value)| (name.as_ref(), show(value))).collect()
}

/// The body of a request that is gzip.
pub(crate) fn inflate(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut plain).expect("gzip");
    plain
}

/// A verdict in one line, to compare rows of a table: runs as `2 delivered, 1 rejected splunk_6…`, `split <code>`, then the endpoint.
pub(crate) fn show(verdict: &Verdict) -> String {
    let judgement = match &verdict.judgement {
        Judgement::Split(cause) => format!("split {}", cause.code),
        Judgement::Counted { cause, .. } => format!("counted {}", cause.code),
        Judgement::Items(runs) => runs.iter().map(show_run).collect::<Vec<_>>().join(", "),
    };
    let endpoint = match &verdict.endpoint {
        EndpointState::Healthy => "healthy".to_owned(),
        EndpointState::SlowDown => "slow down".to_owned(),
        EndpointState::Backoff { after: None } => "backoff".to_owned(),
        EndpointState::Backoff { after: Some(after) } => format!("backoff {}s", after.as_secs()),
        EndpointState::Misconfigured(cause) => format!("misconfigured {}", cause.code),
        EndpointState::Gone(cause) => format!("gone {}", cause.code),
    };
    format!("{judgement} | {endpoint}")
}

fn show_run(run: &Run) -> String {
    let what = match &run.outcome {
        Outcome::Delivered { warning: None } => "delivered".to_owned(),
        Outcome::Delivered { warning: Some(cause) } => format!("delivered with {}", cause.code),
        Outcome::Retry(cause) => format!("retry {}", cause.code),
        Outcome::Unread => "unread".to_owned(),
        Outcome::Rejected(cause) => format!("rejected {}", cause.code),
        Outcome::Refused(cause) => format!("refused {}", cause.code),
        Outcome::Held(cause) => format!("held {}", cause.code),
    };
    format!("{} {what}", run.len)
}

/// Every cause that a verdict names.
pub(crate) fn causes(verdict: &Verdict) -> Vec<Cause> {
    let mut causes: Vec<Cause> = match &verdict.judgement {
        Judgement::Split(cause) | Judgement::Counted { cause, .. } => vec![cause.clone()],
        Judgement::Items(runs) => runs.iter().filter_map(|run| run_cause(&run.outcome).cloned()).collect(),
    };
    if let EndpointState::Misconfigured(cause) | EndpointState::Gone(cause) = &verdict.endpoint {
        causes.push(cause.clone());
    }
    causes
}

fn run_cause(outcome: &Outcome) -> Option<&Cause> {
    match outcome {
        Outcome::Delivered { warning } => warning.as_ref(),
        Outcome::Retry(cause) | Outcome::Rejected(cause) | Outcome::Refused(cause) | Outcome::Held(cause) => {
            Some(cause)
        }
        Outcome::Unread => None,
    }
}

/// `Retry-After` of a reply, as a header.
pub(crate) fn asking(mut reply: Reply, retry_after: &str) -> Reply {
    reply.retry_after = Some(retry_after.to_owned());
    reply
}

/// A row's expectation in full: `held <code>` and `retry <code>` stand for all `sent` events and the state that goes with it.
pub(crate) fn in_full(expected: &str, sent: usize) -> String {
    match expected.split_once(' ') {
        Some(("held", code)) => format!("{sent} held {code} | misconfigured {code}"),
        Some(("retry", code)) => format!("{sent} retry {code} | backoff"),
        _ => expected.to_owned(),
    }
}
