//! Splunk's HTTP Event Collector. It reads a request as a stream of objects and stops at the first one it cannot take: what stands
//! before that one is indexed already, so its number in the reply is worth more than the status.
//!
//! Facts: destinations.md, "Splunk HTTP Event Collector".

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Compression;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_core::time::Timestamp;

use crate::body;
use crate::destination::{
    Batch, BatchLimits, Confirmed, Destination, EncodeError, Encoded, EndpointState, HeaderText, Judgement, Method,
    OutboundRequest, Outcome, Receipt, Reply, Verdict, push_run,
};
use crate::reply::{Endpoint, Redactor, is_html, retry_after};

/// What is read of a connector's settings.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    /// The base URL, normalised: scheme, host, port and prefix, without `/services/collector…` and without a trailing slash.
    pub(super) hec_url: String,
    /// The index to write to.
    pub(super) index: String,
    /// The sourcetype of every event.
    pub(super) sourcetype: String,
    /// Whether a delivery waits for the indexer's acknowledgement.
    #[serde(default)]
    pub(super) indexer_ack: bool,
}

/// Under which Splunk confirms later: its `ackId`, and the channel that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Ack {
    channel: String,
    id: u64,
}

impl Ack {
    fn receipt(&self) -> Receipt {
        Receipt(serde_json::json!(self))
    }

    fn of(receipt: &Receipt) -> Option<Self> {
        serde_json::from_value(receipt.0.clone()).ok()
    }

    /// Those that are asked for in one query: of the first one's channel.
    fn asked(receipts: &[Receipt]) -> Vec<Self> {
        let all: Vec<Self> = receipts.iter().filter_map(Self::of).collect();
        let Some(channel) = all.first().map(|ack| ack.channel.clone()) else { return all };
        all.into_iter().filter(|ack| ack.channel == channel).take(MAX_ACKS).collect()
    }
}

/// One request, uncompressed. Splunk Cloud is said to cap at 1 MB, Enterprise at 800 MB (destinations.md).
const MAX_BYTES: usize = 900_000;
/// Events in one request: at the usual size of an event the bytes are reached first, and one poison event resends no more than this.
const MAX_EVENTS: usize = 2_000;
/// Acknowledgements asked for at once.
const MAX_ACKS: usize = 1_000;
const BEFORE_TIME: &[u8] = br#"{"time":"#;
const AFTER_EVENT: &[u8] = b"}\n";
const CHANNEL: &str = "x-splunk-request-channel";
const ADDRESS: &str = "The HEC URL is probably wrong: it is the base address of the HTTP Event Collector, usually on port 8088. Splunk Web \
                       (usually 8000) and the management port (usually 8089) take no events. Correct it, then test again.";

/// The stream of a Splunk connector.
pub(super) struct Hec {
    event_url: String,
    ack_url: String,
    authorization: HeaderText,
    /// Set where the token has indexer acknowledgement on.
    channel: Option<String>,
    /// Between the time and the event: the same for every event.
    metadata: Vec<u8>,
    index: String,
    compression: Compression,
    endpoint: Endpoint,
}

/// What goes with every event, in the order in which it is written.
#[derive(Serialize)]
struct Metadata<'a> {
    host: &'static str,
    source: &'static str,
    sourcetype: &'a str,
    index: &'a str,
}

impl Hec {
    /// A connector's stream. Its acknowledgement channel follows from the connector's id, so that it survives restarts.
    pub(super) fn new(
        config: &Config,
        token: &SecretString,
        connector: ConnectorId,
        compression: Compression,
        redactor: Redactor,
    ) -> Self {
        let Config { hec_url, index, sourcetype, indexer_ack } = config;
        let base = format!("{hec_url}/services/collector");
        let object = body::json(&Metadata { host: "toktra", source: "toktra", sourcetype, index });
        let mut metadata = vec![b','];
        metadata.extend_from_slice(object.strip_prefix(b"{").unwrap_or_default());
        metadata.pop();
        metadata.extend_from_slice(br#","event":"#);
        Self {
            event_url: format!("{base}/event"),
            ack_url: format!("{base}/ack"),
            authorization: body::authorization("Splunk", token),
            channel: indexer_ack.then(|| channel_of(connector)),
            metadata,
            index: index.clone(),
            compression,
            endpoint: Endpoint { name: "Splunk", key: "splunk", address: ADDRESS.into(), redactor },
        }
    }

    fn accepted(&self, answer: &Answer, sent: usize, slow_down: bool) -> Verdict {
        let ack = answer.ack_id.as_ref().and_then(Value::as_u64);
        let confirm = self.channel.clone().zip(ack).map(|(channel, id)| Ack { channel, id }.receipt());
        let warning = (self.channel.is_some() && confirm.is_none()).then(|| {
            Cause::new(
                "splunk_no_ack_id",
                "Splunk accepted the events without an acknowledgement number: indexer acknowledgement is probably off for this token. In \
                 Splunk: Settings → Data inputs → HTTP Event Collector → the token → tick Enable indexer acknowledgement; or switch \
                 indexer_ack off in the connector.",
            )
        });
        let endpoint = if slow_down { EndpointState::SlowDown } else { EndpointState::Healthy };
        Verdict { endpoint, confirm, ..Verdict::delivered(sent, warning) }
    }

    /// What the events before a refused one are: taken in, but with acknowledgement on nobody will ever confirm them.
    fn head(&self) -> Outcome {
        let warning = self.channel.as_ref().map(|_| {
            Cause::new(
                "splunk_unconfirmed_head",
                "Splunk took these events in before it refused a later one of the same request, and gives no \
                 acknowledgement number in that case: accepted, unconfirmed.",
            )
        });
        Outcome::Delivered { warning }
    }

    /// Everything from `first` on waits for a person; what stands before it is in.
    fn wrong_index(&self, first: usize, sent: usize, cause: Cause) -> Verdict {
        let mut runs = Vec::new();
        push_run(&mut runs, first, self.head());
        push_run(&mut runs, sent - first, Outcome::Held(cause.clone()));
        Verdict { judgement: Judgement::Items(runs), endpoint: EndpointState::Misconfigured(cause), confirm: None }
    }

    fn bad_event(&self, number: usize, sent: usize, cause: Cause) -> Verdict {
        let mut runs = Vec::new();
        push_run(&mut runs, number, self.head());
        push_run(&mut runs, 1, Outcome::Rejected(cause));
        push_run(&mut runs, sent - number - 1, Outcome::Unread);
        Verdict { judgement: Judgement::Items(runs), endpoint: EndpointState::Healthy, confirm: None }
    }

    fn busy(&self, reply: &Reply, number: usize, sent: usize, now: Timestamp, cause: Cause) -> Verdict {
        let mut runs = Vec::new();
        push_run(&mut runs, number, self.head());
        push_run(&mut runs, sent - number, Outcome::Retry(cause));
        let endpoint = EndpointState::Backoff { after: retry_after(reply, now) };
        Verdict { judgement: Judgement::Items(runs), endpoint, confirm: None }
    }

    /// The meaning of one of Splunk's own codes; `None` for a code that is not in the table.
    fn by_code(&self, answer: &Answer, reply: &Reply, sent: usize, now: Timestamp) -> Option<Verdict> {
        let code = answer.code()?;
        let success = (200..300).contains(&reply.status);
        let (class, what, why) = meaning(code)?;
        if success != matches!(class, Class::Accepted { .. }) {
            return None;
        }
        let cause = || match class {
            Class::WrongIndex => self.endpoint.known_cause(
                what,
                reply,
                &why.replace("the index", &format!("the index “{}”", self.index)),
            ),
            _ => self.endpoint.known_cause(what, reply, why),
        };
        let number = answer.number();
        Some(match class {
            Class::Accepted { slow_down } => self.accepted(answer, sent, slow_down),
            Class::Held => Endpoint::held(sent, cause()),
            Class::Retry => self.busy(reply, number.filter(|n| *n < sent).unwrap_or(0), sent, now, cause()),
            // One too high (measured). Should a version count from zero, one event that is in already is sent again: the safe side.
            Class::WrongIndex => {
                let first = number.and_then(|n| n.checked_sub(1)).filter(|n| *n < sent).unwrap_or(0);
                self.wrong_index(first, sent, cause())
            }
            Class::BadEvent => match number {
                Some(number) if number < sent => self.bad_event(number, sent, cause()),
                _ => Endpoint::split(cause()),
            },
            Class::NoData => Verdict {
                judgement: Judgement::all(sent, Outcome::Rejected(cause())),
                endpoint: EndpointState::Healthy,
                confirm: None,
            },
        })
    }
}

impl Destination for Hec {
    fn limits(&self) -> BatchLimits {
        BatchLimits { events: MAX_EVENTS, bytes: MAX_BYTES, overhead: 0 }
    }

    fn cost(&self, event: &StoredEvent) -> usize {
        BEFORE_TIME.len()
            + body::epoch_seconds_len(event.event_time)
            + self.metadata.len()
            + event.payload.len()
            + AFTER_EVENT.len()
    }

    fn encode(&self, batch: Batch<'_>, _now: Timestamp) -> Result<Encoded, EncodeError> {
        let Batch::Events(events) = batch else { return Err(EncodeError::WrongBatch { expected: "events" }) };
        let mut body = Vec::with_capacity(events.iter().map(|event| self.cost(event)).sum());
        for event in events {
            body.extend_from_slice(BEFORE_TIME);
            body::push_epoch_seconds(&mut body, event.event_time);
            body.extend_from_slice(&self.metadata);
            body.extend_from_slice(&event.payload);
            body.extend_from_slice(AFTER_EVENT);
        }
        let mut headers =
            vec![("authorization".into(), self.authorization.clone()), ("content-type".into(), body::JSON)];
        headers.extend(self.channel.clone().map(|channel| (CHANNEL.into(), HeaderText::Plain(channel.into()))));
        let request = body::request(&self.event_url, headers, body, self.compression)?;
        Ok(Encoded { request: Some(request), omitted: Vec::new() })
    }

    fn classify(&self, reply: &Reply, sent: usize, now: Timestamp) -> Verdict {
        let known = Answer::read(reply).and_then(|answer| self.by_code(&answer, reply, sent, now));
        known.unwrap_or_else(|| match reply.status {
            _ if is_splunkd(reply) => Endpoint::held(
                sent,
                self.endpoint.known_cause(
                    "management_port",
                    reply,
                    "this is Splunk's management port, usually 8089, not the HTTP Event Collector. Use the HEC address, usually on \
                     port 8088, then test again.",
                ),
            ),
            200..=299 if is_html(reply) => Endpoint::held(
                sent,
                self.endpoint.cause(
                    "not_hec",
                    reply,
                    "a page for a browser came back, so this is not the HTTP Event Collector but probably Splunk's web \
                     port. Use the HEC address, usually on port 8088, then test again.",
                ),
            ),
            200..=299 => Endpoint::held(
                sent,
                self.endpoint.cause(
                    "not_hec",
                    reply,
                    "the answer is not that of the HTTP Event Collector, so the events cannot be taken as accepted. The HEC \
                     URL probably leads to another service: correct it, then test again.",
                ),
            ),
            _ => self.endpoint.by_status(reply, sent, now),
        })
    }

    fn confirm(&self, receipts: &[Receipt]) -> Option<OutboundRequest> {
        self.channel.as_ref()?;
        let asked = Ack::asked(receipts);
        let channel = asked.first()?.channel.clone();
        let acks: Vec<u64> = asked.iter().map(|ack| ack.id).collect();
        // Never compressed: Splunk does not read compressed queries (destinations.md).
        Some(OutboundRequest {
            method: Method::Post,
            url: self.ack_url.clone(),
            secret_url: false,
            headers: vec![
                ("authorization".into(), self.authorization.clone()),
                ("content-type".into(), body::JSON),
                (CHANNEL.into(), HeaderText::Plain(channel.into())),
            ],
            body: body::json(&BTreeMap::from([("acks", acks)])).into(),
        })
    }

    fn confirmed(&self, reply: &Reply, receipts: &[Receipt]) -> Confirmed {
        /// `{"acks":{"0":true,"1":false}}`; `true` is said once and then forgotten.
        #[derive(Deserialize)]
        struct Acks {
            acks: BTreeMap<String, Value>,
        }
        let code = Answer::read(reply).and_then(|answer| answer.code()).filter(|code| *code == 14);
        let never = code.and_then(meaning).map(|(_, what, why)| self.endpoint.known_cause(what, reply, why));
        let (200..=299, Ok(answer)) = (reply.status, serde_json::from_slice::<Acks>(&reply.body)) else {
            return Confirmed { never, ..Confirmed::default() };
        };
        let confirmed = |ack: &Ack| answer.acks.get(&ack.id.to_string()) == Some(&Value::Bool(true));
        let asked = Ack::asked(receipts).into_iter().filter(confirmed);
        Confirmed { receipts: asked.map(|ack| ack.receipt()).collect(), never }
    }

    fn unconfirmed(&self, shortly: bool) -> Cause {
        if shortly {
            return Cause::new(
                "splunk_ack_pending",
                "Splunk accepted the event, but has not confirmed yet that it is indexed. That may take a minute or two: find it with the \
                 search given here. If it stays so, a load balancer in front of HEC probably asks another node: make it sticky, or switch \
                 indexer_ack off in the connector.",
            );
        }
        Cause::new(
            "splunk_ack_timeout",
            "Splunk accepted the events but did not confirm in time that they are indexed. Often the acknowledgement was asked of another \
             node: make the load balancer in front of HEC sticky, or switch indexer acknowledgement off for this connector.",
        )
    }
}

/// The management port answers in XML: `<response><messages><msg type="WARN">call not properly authenticated</msg>…`.
fn is_splunkd(reply: &Reply) -> bool {
    let start = String::from_utf8_lossy(&reply.body[..reply.body.len().min(512)]);
    start.contains("<response>") && start.contains("<msg type=")
}

/// HEC's answer. Every member is read leniently: a number that is none must not hide the code.
#[derive(Deserialize)]
struct Answer {
    code: Option<Value>,
    #[serde(rename = "invalid-event-number")]
    invalid_event_number: Option<Value>,
    #[serde(rename = "ackId")]
    ack_id: Option<Value>,
}

impl Answer {
    fn read(reply: &Reply) -> Option<Self> {
        serde_json::from_slice(&reply.body).ok()
    }

    fn code(&self) -> Option<u64> {
        self.code.as_ref()?.as_u64()
    }

    fn number(&self) -> Option<usize> {
        self.invalid_event_number.as_ref()?.as_u64().and_then(|n| usize::try_from(n).ok())
    }
}

/// What a code means for the batch.
#[derive(Clone, Copy)]
enum Class {
    Accepted { slow_down: bool },
    Held,
    Retry,
    BadEvent,
    WrongIndex,
    NoData,
}

/// The reply table (destinations.md): the class of each code, the end of its cause's code, and why with the next step.
fn meaning(code: u64) -> Option<(Class, &'static str, &'static str)> {
    const ENABLE: &str = "this HEC token is disabled. In Splunk: Settings → Data inputs → HTTP Event Collector → enable the \
                          token, then test again.";
    const UNKNOWN: &str = "it does not know this HEC token. It was probably deleted, or belongs to another Splunk. In Splunk: Settings → \
                           Data inputs → HTTP Event Collector → copy the token value into the connector, then test again.";
    const UNHEALTHY: &str = "its HTTP Event Collector is unhealthy, probably because its queues are full. Sending goes on by \
                             itself; if this lasts, look at the indexers.";
    const MALFORMED: &str = "it could not read this event. Other events are not held up by it; look at the event, and \
                             deliver it again once the cause is gone.";
    Some(match code {
        0 => (Class::Accepted { slow_down: false }, "0_success", ""),
        24 => (Class::Accepted { slow_down: true }, "24_queue_near_capacity", ""),
        25 => (Class::Accepted { slow_down: true }, "25_ack_channel_near_capacity", ""),
        1 => (Class::Held, "1_token_disabled", ENABLE),
        22 => (Class::Held, "22_token_disabled", ENABLE),
        4 => (Class::Held, "4_invalid_token", UNKNOWN),
        21 => (Class::Held, "21_invalid_token", UNKNOWN),
        2 => (
            Class::Held,
            "2_token_required",
            "the request arrived without a token. A proxy in between probably removes the Authorization header: let it \
             pass, then test again.",
        ),
        3 => (
            Class::Held,
            "3_invalid_authorization",
            "it could not read the token. It was probably pasted incompletely, or a proxy rewrites the Authorization \
             header: enter the token again, then test.",
        ),
        5 => (
            Class::NoData,
            "5_no_data",
            "the request arrived without events. This is our fault, or that of a proxy which drops the body. Look at the \
             proxy, and deliver the events again.",
        ),
        6 => (Class::BadEvent, "6_invalid_data_format", MALFORMED),
        12 => (Class::BadEvent, "12_event_field_required", MALFORMED),
        13 => (Class::BadEvent, "13_event_field_blank", MALFORMED),
        15 => (Class::BadEvent, "15_indexed_fields", MALFORMED),
        7 => (
            Class::WrongIndex,
            "7_incorrect_index",
            "it refuses the index. It probably does not exist, or this token may not write to it. In Splunk: Settings → Indexes → New \
             Index, or Settings → Data inputs → HTTP Event Collector → the token → Selected Indexes; then test again.",
        ),
        8 => (
            Class::Retry,
            "8_internal_error",
            "it met an internal error. Sending goes on by itself; if this lasts, look into splunkd.log.",
        ),
        9 => (
            Class::Retry,
            "9_busy",
            "it is busy. Sending goes on by itself; if this lasts, the indexers cannot keep up.",
        ),
        10 => (
            Class::Held,
            "10_channel_missing",
            "this token has indexer acknowledgement on, and the connector does not use it. Switch indexer_ack on in the connector, or in \
             Splunk: Settings → Data inputs → HTTP Event Collector → the token → untick Enable indexer acknowledgement; then test \
             again.",
        ),
        11 => (
            Class::Held,
            "11_channel_invalid",
            "it does not accept the acknowledgement channel. A proxy in between probably changes the \
             X-Splunk-Request-Channel header: let it pass, then test again.",
        ),
        14 => (
            Class::Held,
            "14_ack_disabled",
            "indexer acknowledgement is off for this token, so nothing can be confirmed. In Splunk: Settings → Data inputs → HTTP Event \
             Collector → the token → tick Enable indexer acknowledgement; or switch indexer_ack off in the connector.",
        ),
        16 => (
            Class::Held,
            "16_query_string_auth",
            "it found a token in the address. The HEC URL probably holds one: remove everything after the port, then test \
             again.",
        ),
        18 => (Class::Retry, "18_unhealthy_queues_full", UNHEALTHY),
        19 => (Class::Retry, "19_unhealthy_ack_unavailable", UNHEALTHY),
        20 => (Class::Retry, "20_unhealthy", UNHEALTHY),
        23 => (Class::Retry, "23_shutting_down", "it is shutting down. Sending goes on by itself once it is back."),
        26 => (
            Class::Retry,
            "26_queue_full",
            "its queue is full. Sending goes on by itself; if this lasts, the indexers cannot keep up.",
        ),
        27 => (
            Class::Retry,
            "27_ack_channel_full",
            "its acknowledgement channel is full. Sending goes on by itself; if this lasts, the indexers cannot keep up.",
        ),
        _ => return None,
    })
}

/// A UUID that follows from the connector's id without showing it.
fn channel_of(connector: ConnectorId) -> String {
    let digest = Sha256::new().chain_update(b"splunk request channel").chain_update(connector.0.as_bytes()).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().hyphenated().to_string()
}
