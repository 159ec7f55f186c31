//! The HTTP Event Collector: Splunk's, or a receiver's that speaks as it does ([`super::dialect`]). Splunk's reads a request as a stream of objects and stops at the first one it cannot take: what stands
//! before that one is indexed already, so its number in the reply is worth more than the status.
//!
//! Facts: Splunk's documentation, "Format events for HTTP Event Collector" and "HTTP Event Collector REST API endpoints".

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Compression;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{ConnectorId, EventId};
use toktra_siem_core::time::Timestamp;

use crate::body;
use crate::destination::{
    Batch, BatchLimits, Confirmed, Destination, EncodeError, Encoded, EndpointState, Header, HeaderText, Judgement,
    Method, OutboundRequest, Outcome, Receipt, Reply, Verdict, push_run,
};
use crate::reply::{Endpoint, Redactor, is_html, retry_after};
use crate::search::{Lookup, Sighting};
use crate::splunk::answer::{Answer, Class, is_splunkd, meaning, says_otherwise};
use crate::splunk::dialect::{ACKS, Dialect};
use crate::splunk::search::Search;

/// What is read of a connector's settings.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    /// The base URL, normalised: scheme, host, port and prefix, without `/services/collector…` and without a trailing slash.
    pub(super) hec_url: String,
    /// Which receiver it is.
    #[serde(default)]
    pub(super) dialect: String,
    /// The index to write to; `None` leaves it to the receiver.
    pub(super) index: Option<String>,
    /// The sourcetype of every event.
    pub(super) sourcetype: String,
    /// Whether a delivery waits for the indexer's acknowledgement.
    #[serde(default)]
    pub(super) indexer_ack: bool,
    /// Whether only Splunk's own words count as success.
    #[serde(default)]
    pub(super) strict: bool,
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

/// One request, uncompressed. Splunk Cloud is said to cap at 1 MB; Enterprise caps at 800 MB (`max_content_length` in limits.conf).
const MAX_BYTES: usize = 900_000;
/// Events in one request: at the usual size of an event the bytes are reached first, and one poison event resends no more than this.
const MAX_EVENTS: usize = 2_000;
/// Acknowledgements asked for at once.
const MAX_ACKS: usize = 1_000;
const BEFORE_TIME: &[u8] = br#"{"time":"#;
/// The longest time that is written: that of the year 9999, with three decimals.
const MAX_TIME: usize = 16;
const AFTER_EVENT: &[u8] = b"}\n";
const CHANNEL: &str = "x-splunk-request-channel";
/// The stream of a Splunk connector.
pub(super) struct Hec {
    dialect: &'static Dialect,
    event_url: String,
    ack_url: String,
    authorization: Option<HeaderText>,
    /// Set where the token has indexer acknowledgement on.
    channel: Option<String>,
    /// Between the time and the event: the same for every event.
    metadata: Vec<u8>,
    index: Option<String>,
    strict: bool,
    compression: Compression,
    endpoint: Endpoint,
    search: Search,
}

/// What goes with every event, in the order in which it is written.
#[derive(Serialize)]
struct Metadata<'a> {
    host: &'static str,
    source: &'static str,
    sourcetype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
}

impl Hec {
    /// A connector's stream. Its acknowledgement channel follows from the connector's id, so that it survives restarts.
    pub(super) fn new(
        config: &Config,
        token: Option<&SecretString>,
        connector: ConnectorId,
        compression: Compression,
        redactor: Redactor,
        search: Search,
    ) -> Self {
        let Config { hec_url, dialect, index, sourcetype, indexer_ack, strict } = config;
        let dialect = Dialect::named(dialect);
        let index = index.as_deref().filter(|index| !index.is_empty());
        let object = body::json(&Metadata { host: "toktra", source: "toktra", sourcetype, index });
        let mut metadata = vec![b','];
        metadata.extend_from_slice(object.strip_prefix(b"{").unwrap_or_default());
        metadata.pop();
        metadata.extend_from_slice(br#","event":"#);
        Self {
            dialect,
            event_url: format!("{hec_url}{}", dialect.path),
            ack_url: format!("{hec_url}{ACKS}"),
            authorization: token.map(|token| body::authorization(dialect.scheme, token)),
            channel: indexer_ack.then(|| channel_of(connector)),
            metadata,
            index: index.map(str::to_owned),
            strict: *strict,
            compression,
            endpoint: Endpoint { name: dialect.name, key: "splunk", address: dialect.address().into(), redactor },
            search,
        }
    }

    /// Those of every request.
    fn headers(&self) -> Vec<Header> {
        let authorization = self.authorization.clone().map(|value| ("authorization".into(), value));
        authorization.into_iter().chain([("content-type".into(), body::JSON)]).collect()
    }

    /// A cause in this receiver's words.
    fn said(&self, code: &'static str, message: &str) -> Cause {
        Cause::new(code, self.dialect.fill(message))
    }

    fn accepted(&self, answer: &Answer, sent: usize, slow_down: bool) -> Verdict {
        let ack = answer.ack_id.as_ref().and_then(Value::as_u64);
        let confirm = self.channel.clone().zip(ack).map(|(channel, id)| Ack { channel, id }.receipt());
        let warning = (self.channel.is_some() && confirm.is_none()).then(|| self.no_ack_id());
        let endpoint = if slow_down { EndpointState::SlowDown } else { EndpointState::Healthy };
        Verdict { endpoint, confirm, ..Verdict::delivered(sent, warning) }
    }

    /// An acknowledgement was asked for, and the answer has no number for it.
    fn no_ack_id(&self) -> Cause {
        self.said(
            "splunk_no_ack_id",
            "{name} accepted the events without an acknowledgement number: indexer acknowledgement is probably off for this token. {tick}",
        )
    }

    /// Success in other words than Splunk's, such as `OK` or nothing: receivers that speak HEC answer so, and what they say is taken at its
    /// word. A receiver that is known for it gets no warning. A page for a browser is no success, nor is an answer in HEC's form with a code that says otherwise.
    fn taken_at_its_word(&self, reply: &Reply, sent: usize) -> Verdict {
        if !self.dialect.hec_words {
            let warning = self.channel.as_ref().map(|_| self.no_ack_id());
            return Verdict::delivered(sent, warning);
        }
        let why = "the answer is not in the words of the HTTP Event Collector. The events count as delivered. If none arrive, the HEC URL \
                   probably leads to another service: correct it, or switch strict on in the connector, so that nothing but Splunk's own \
                   answer counts.";
        Verdict::delivered(sent, Some(self.endpoint.cause("not_in_hec_words", reply, why)))
    }

    /// What the events before a refused one are: taken in, but with acknowledgement on nobody will ever confirm them.
    fn head(&self) -> Outcome {
        let warning = self.channel.as_ref().map(|_| {
            self.said(
                "splunk_unconfirmed_head",
                "{name} took these events in before it refused a later one of the same request, and gives no \
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
        push_run(&mut runs, 1, Outcome::Refused(cause));
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
            Class::WrongIndex => {
                let named =
                    self.index.as_ref().map(|index| why.replacen("the index", &format!("the index “{index}”"), 1));
                self.endpoint.known_cause(what, reply, &self.dialect.fill(named.as_deref().unwrap_or(why)))
            }
            _ => self.endpoint.known_cause(what, reply, &self.dialect.fill(why)),
        };
        let number = answer.number().filter(|_| self.dialect.counts);
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
                judgement: Judgement::all(sent, Outcome::Refused(cause())),
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
            + body::len_without_nulls(&event.payload)
            + AFTER_EVENT.len()
    }

    fn encode(&self, batch: Batch<'_>, _now: Timestamp) -> Result<Encoded, EncodeError> {
        let Batch::Events(events) = batch else { return Err(EncodeError::WrongBatch { expected: "events" }) };
        // Somewhat more than it takes: what `cost` says exactly has to be looked for.
        let around = BEFORE_TIME.len() + MAX_TIME + self.metadata.len() + AFTER_EVENT.len();
        let mut body = Vec::with_capacity(events.iter().map(|event| around + event.payload.len()).sum());
        for event in events {
            body.extend_from_slice(BEFORE_TIME);
            body::push_epoch_seconds(&mut body, event.event_time);
            body.extend_from_slice(&self.metadata);
            // Splunk shows a null as the word `null`, a value like any other: there, what is not known is left out.
            body::push_without_nulls(&mut body, &event.payload);
            body.extend_from_slice(AFTER_EVENT);
        }
        let mut headers = self.headers();
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
                self.endpoint.cause("not_hec", reply, &self.dialect.fill("a page for a browser came back, so {page}")),
            ),
            200..=299 if !self.strict && !says_otherwise(reply) => self.taken_at_its_word(reply, sent),
            200..=299 => Endpoint::held(
                sent,
                self.endpoint.cause(
                    "not_hec",
                    reply,
                    "the answer is not that of the HTTP Event Collector, so the events cannot be taken as accepted. The HEC \
                     URL probably leads to another service: correct it, then test again.",
                ),
            ),
            status => match self.dialect.status(status).filter(|_| !is_html(reply)) {
                Some(why) => {
                    let cause = self.endpoint.cause(&format!("http_{status}"), reply, &why);
                    if status < 500 { Endpoint::held(sent, cause) } else { Endpoint::retry(reply, sent, now, cause) }
                }
                None => self.endpoint.by_status(reply, sent, now),
            },
        })
    }

    fn confirm(&self, receipts: &[Receipt]) -> Option<OutboundRequest> {
        self.channel.as_ref()?;
        let asked = Ack::asked(receipts);
        let channel = asked.first()?.channel.clone();
        let acks: Vec<u64> = asked.iter().map(|ack| ack.id).collect();
        let mut headers = self.headers();
        headers.push((CHANNEL.into(), HeaderText::Plain(channel.into())));
        // Never compressed: Splunk does not read compressed queries.
        Some(OutboundRequest {
            method: Method::Post,
            url: self.ack_url.clone(),
            secret_url: false,
            headers,
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
        let never = code.and_then(meaning);
        let never = never.map(|(_, what, why)| self.endpoint.known_cause(what, reply, &self.dialect.fill(why)));
        let (200..=299, Ok(answer)) = (reply.status, serde_json::from_slice::<Acks>(&reply.body)) else {
            return Confirmed { never, ..Confirmed::default() };
        };
        let confirmed = |ack: &Ack| answer.acks.get(&ack.id.to_string()) == Some(&Value::Bool(true));
        let asked = Ack::asked(receipts).into_iter().filter(confirmed);
        Confirmed { receipts: asked.map(|ack| ack.receipt()).collect(), never }
    }

    fn look_for(&self, event: EventId, event_time: Timestamp) -> Lookup {
        match self.search.look_for(event, event_time) {
            // What stands behind another receiver need not be Splunk.
            Lookup::Without(_) if !self.dialect.is_splunk() => Lookup::Never,
            lookup => lookup,
        }
    }

    fn seen(&self, reply: &Reply) -> Sighting {
        // Whoever takes the events, it is Splunk that is searched.
        Search::seen(&Endpoint { name: "Splunk", ..self.endpoint.clone() }, reply)
    }

    fn not_found(&self) -> String {
        self.search.not_found()
    }

    fn unconfirmed(&self, shortly: bool) -> Cause {
        if shortly {
            return self.said(
                "splunk_ack_pending",
                "{name} accepted the event, but has not confirmed yet that it is indexed. That may take a minute or two: find it with the \
                 search given here. If it stays so, a load balancer in front of HEC probably asks another node: make it sticky, or switch \
                 indexer_ack off in the connector.",
            );
        }
        self.said(
            "splunk_ack_timeout",
            "{name} accepted the events but did not confirm in time that they are indexed. Often the acknowledgement was asked of another \
             node: make the load balancer in front of HEC sticky, or switch indexer acknowledgement off for this connector.",
        )
    }
}

/// A UUID that follows from the connector's id without showing it.
fn channel_of(connector: ConnectorId) -> String {
    let digest = Sha256::new().chain_update(b"splunk request channel").chain_update(connector.0.as_bytes()).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().hyphenated().to_string()
}
