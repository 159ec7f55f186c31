//! Connectors, events and replies to test with.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::{
    Compression, Credentials, DatadogConfig, ElasticsearchConfig, PlatformConfig, Settings, SplunkConfig,
};
use toktra_siem_core::destination::{
    Batch, Destination, Encoded, EndpointState, HeaderText, Judgement, OutboundRequest, Outcome, Reply, Run, Verdict,
    build,
};
use toktra_siem_core::event::{EventType, Severity, StoredEvent};
use toktra_siem_core::ids::{ConnectorId, EventId, OrgId, Seq, StreamKind};
use toktra_siem_core::time::Timestamp;

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

/// Settings around `platform`.
pub(crate) fn settings(platform: PlatformConfig) -> Settings {
    Settings { platform, compression: Compression::None, tls_ca: None, max_in_flight: 8 }
}

/// A Splunk connector as the product spec has it.
pub(crate) fn splunk_settings(indexer_ack: bool) -> Settings {
    settings(PlatformConfig::Splunk(SplunkConfig {
        hec_url: "https://splunk.company.com:8088".into(),
        index: "toktra".into(),
        sourcetype: "toktra:security".into(),
        indexer_ack,
    }))
}

/// A Datadog connector with the defaults.
pub(crate) fn datadog_settings(site: &str, url: Option<&str>) -> Settings {
    settings(PlatformConfig::Datadog(DatadogConfig {
        site: site.into(),
        url: url.map(Into::into),
        service: "toktra".into(),
        send_metrics: true,
        metric_prefix: "toktra.security".into(),
    }))
}

/// An Elasticsearch connector with the defaults.
pub(crate) fn elasticsearch_settings(manage_template: bool) -> Settings {
    settings(PlatformConfig::Elasticsearch(ElasticsearchConfig {
        url: "https://es.company.com:9200".into(),
        cloud_id: None,
        username: Some("toktra".into()),
        index_prefix: "toktra-security-events".into(),
        manage_template,
    }))
}

/// The stream `kind` of a connector with these settings and [`SECRET`].
pub(crate) fn stream(settings: &Settings, kind: StreamKind) -> Box<dyn Destination> {
    let secret = SECRET.to_owned().into();
    let credentials = match &settings.platform {
        PlatformConfig::Splunk(_) => Credentials::HecToken(secret),
        PlatformConfig::Datadog(_) => Credentials::DatadogApiKey(secret),
        PlatformConfig::Elasticsearch(_) => Credentials::ElasticsearchApiKey(secret),
    };
    stream_with(settings, &credentials, kind)
}

/// The same with another credential.
pub(crate) fn stream_with(settings: &Settings, credentials: &Credentials, kind: StreamKind) -> Box<dyn Destination> {
    build(settings, credentials, org(), ConnectorId(CONNECTOR.parse().expect("a UUID")), kind).expect("a destination")
}

/// The tenant of every event and connector.
pub(crate) fn org() -> OrgId {
    ORG.parse().expect("a UUID")
}

/// Every kind of stream, uncompressed.
pub(crate) fn all_streams() -> Vec<Box<dyn Destination>> {
    vec![
        stream(&splunk_settings(false), StreamKind::Events),
        stream(&splunk_settings(true), StreamKind::Events),
        stream(&datadog_settings("datadoghq.com", None), StreamKind::Logs),
        stream(&datadog_settings("datadoghq.com", None), StreamKind::Metrics),
        stream(&elasticsearch_settings(true), StreamKind::Events),
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
pub(crate) fn headers(request: &OutboundRequest) -> Vec<(&'static str, String)> {
    let show = |value: &HeaderText| match value {
        HeaderText::Plain(text) => text.clone().into_owned(),
        HeaderText::Secret(secret) => format!("secret: {}", secret.expose_secret()),
    };
    request.headers.iter().map(|(name, value)| (*name, show(value))).collect()
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
        Judgement::Items(runs) => runs.iter().map(show_run).collect::<Vec<_>>().join(", "),
    };
    let endpoint = match &verdict.endpoint {
        EndpointState::Healthy => "healthy".to_owned(),
        EndpointState::SlowDown => "slow down".to_owned(),
        EndpointState::Backoff { after: None } => "backoff".to_owned(),
        EndpointState::Backoff { after: Some(after) } => format!("backoff {}s", after.as_secs()),
        EndpointState::Misconfigured(cause) => format!("misconfigured {}", cause.code),
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
        Outcome::Held(cause) => format!("held {}", cause.code),
    };
    format!("{} {what}", run.len)
}

/// Every cause that a verdict names.
pub(crate) fn causes(verdict: &Verdict) -> Vec<Cause> {
    let mut causes: Vec<Cause> = match &verdict.judgement {
        Judgement::Split(cause) => vec![cause.clone()],
        Judgement::Items(runs) => runs.iter().filter_map(|run| run_cause(&run.outcome).cloned()).collect(),
    };
    if let EndpointState::Misconfigured(cause) = &verdict.endpoint {
        causes.push(cause.clone());
    }
    causes
}

fn run_cause(outcome: &Outcome) -> Option<&Cause> {
    match outcome {
        Outcome::Delivered { warning } => warning.as_ref(),
        Outcome::Retry(cause) | Outcome::Rejected(cause) | Outcome::Held(cause) => Some(cause),
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
