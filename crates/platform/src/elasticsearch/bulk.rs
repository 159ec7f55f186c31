//! Elasticsearch, Elastic serverless and OpenSearch, through `_bulk`. A reply of 200 may hold failures: each event is judged by its own
//! item, by position. `create` with an id of our own makes sending again harmless.
//!
//! Facts: the references of Elasticsearch and of OpenSearch, "Bulk API". The index template is in [`super::template`], the reply in
//! [`super::bulk_reply`].

use std::io::Write as _;
use std::time::Duration;

use jiff::civil::Date;
use serde::{Deserialize, Serialize, Serializer};
use toktra_siem_core::connector::{Compression, Credentials};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{EventId, OrgId};
use toktra_siem_core::time::Timestamp;
use url::Url;

use super::bulk_reply;
use super::document::Document;
use super::search::{self, Search};
use crate::body;
use crate::destination::{
    Batch, BatchLimits, Destination, EncodeError, Encoded, Header, HeaderText, Omitted, OnRequest, Reply, SetupStep,
    Verdict,
};
use crate::registry::BuildError;
use crate::reply::{Endpoint, Redactor, basic};
use crate::search::{Lookup, Sighting};

/// What is read of a connector's settings.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    /// The base URL, normalised; where a Cloud id was given, what it decodes to.
    pub(super) url: String,
    /// For `Basic` authorisation.
    pub(super) username: Option<String>,
    /// Daily indices are `<index_prefix>-YYYY.MM.DD`; the template's name and pattern follow it.
    pub(super) index_prefix: String,
    /// Whether the index template is put in place before the first bulk.
    pub(super) manage_template: bool,
    /// The namespace of the data stream that takes the events instead of daily indices.
    pub(super) data_stream: Option<String>,
}

/// Where documents go.
pub(super) enum Place {
    /// `<prefix>-YYYY.MM.DD`.
    Daily(String),
    /// A data stream of this name.
    Stream(String),
}

/// What data streams of ours begin with; the namespace follows. Their template has its name without the hyphen.
const STREAMS: &str = "logs-toktra.siem";

impl Place {
    pub(super) fn of(prefix: &str, namespace: Option<&str>) -> Self {
        namespace.map_or_else(|| Self::Daily(prefix.to_owned()), |name| Self::Stream(format!("{STREAMS}-{name}")))
    }

    /// What searches and privileges name.
    pub(super) fn pattern(&self) -> String {
        match self {
            Self::Daily(prefix) => format!("{prefix}-*"),
            Self::Stream(name) => name.clone(),
        }
    }

    /// The template's name; its pattern is this with `-*`.
    pub(super) fn template(&self) -> &str {
        match self {
            Self::Daily(prefix) => prefix,
            Self::Stream(_) => STREAMS,
        }
    }

    fn index(&self, day: Date) -> String {
        match self {
            Self::Daily(prefix) => index_name(prefix, day),
            Self::Stream(name) => name.clone(),
        }
    }
}

/// Where VictoriaLogs takes bulk requests.
const VICTORIA_LOGS: &str = "/insert/elasticsearch";
/// One request, uncompressed: a good batch, as Vector has it too. The limit is 100 MB by default.
const MAX_BYTES: usize = 5_000_000;
/// Events in one request; the reply holds an item for each.
const MAX_EVENTS: usize = 5_000;
/// An event that was older when it was accepted goes into the index of the day of acceptance: each day would otherwise take an index, and a
/// cluster has few to give. An event has the same index whenever it is sent.
const OLD: Duration = Duration::from_hours(48);

/// The stream of an Elasticsearch connector.
pub(super) struct Bulk {
    url: String,
    target: String,
    /// `None` without security.
    authorization: Option<HeaderText>,
    pub(super) place: Place,
    manage_template: bool,
    /// The length of an action line: the same for every event.
    action_len: usize,
    compression: Compression,
    pub(super) endpoint: Endpoint,
    search: Search,
}

/// The header value for a connector's credential; `None` where the cluster has no security.
pub(super) fn authorization(config: &Config, credentials: &Credentials) -> Result<Option<HeaderText>, BuildError> {
    Ok(match (credentials.get("api_key"), credentials.get("password")) {
        (Some(key), _) => Some(body::authorization("ApiKey", key)),
        (None, Some(password)) => Some(body::authorization("Basic", &basic(config.username.as_deref(), password))),
        // What only searches, or identifies a client, says nothing of how to log in.
        (None, None) if config.username.is_none() || credentials.parts().all(|(name, _)| name == search::KEY) => None,
        (None, None) => return Err(BuildError::Credentials),
    })
}

#[derive(Serialize)]
struct Action<'a> {
    create: Target<'a>,
}

#[derive(Serialize)]
struct Target<'a> {
    _index: &'a str,
    _id: DocumentId,
}

/// Unique per tenant and event, 73 characters.
struct DocumentId(OrgId, EventId);

impl Serialize for DocumentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}:{}", self.0, self.1))
    }
}

impl Bulk {
    /// A connector's stream.
    pub(super) fn new(
        config: &Config,
        authorization: Option<HeaderText>,
        key: Option<HeaderText>,
        compression: Compression,
        redactor: Redactor,
    ) -> Self {
        let Config { url, index_prefix, manage_template, data_stream, .. } = config;
        let place = Place::of(index_prefix, data_stream.as_deref());
        let mut action = Vec::new();
        let nil = uuid::Uuid::nil();
        push_action(&mut action, &place.index(Date::default()), DocumentId(OrgId(nil), EventId(nil)));
        Self {
            url: url.clone(),
            target: format!("{url}/_bulk"),
            authorization,
            search: Search::new(key, place.pattern()),
            place,
            manage_template: *manage_template,
            action_len: action.len(),
            compression,
            endpoint: Endpoint {
                name: "Elasticsearch",
                key: "elasticsearch",
                address: "The URL is probably wrong: it is the address of Elasticsearch itself, usually on port 9200 or 443, not that of \
                          Kibana or Dashboards (usually 5601). Correct it, then test again."
                    .into(),
                redactor,
            },
        }
    }

    pub(super) fn headers(&self, content_type: HeaderText) -> Vec<Header> {
        let mut headers = vec![("content-type".into(), content_type)];
        headers.extend(self.authorization.clone().map(|value| ("authorization".into(), value)));
        // VictoriaLogs asks in headers which field is the message and which the time (its documentation, "HTTP headers").
        if self.url.contains(VICTORIA_LOGS) {
            let of = |(name, field): (&'static str, &'static str)| (name.into(), HeaderText::Plain(field.into()));
            headers.extend([("vl-msg-field", "summary"), ("vl-time-field", "@timestamp")].map(of));
        }
        headers
    }

    /// An address below the base, each segment escaped.
    pub(super) fn address(&self, segments: &[&str]) -> String {
        match Url::parse(&self.url) {
            Ok(mut url) => {
                if let Ok(mut path) = url.path_segments_mut() {
                    path.pop_if_empty().extend(segments);
                }
                url.into()
            }
            Err(_) => format!("{}/{}", self.url, segments.join("/")),
        }
    }
}

/// The day whose index an event goes to, in UTC: its own, or that of its acceptance if it was [`OLD`] by then. Never that of sending, since
/// an id is unique within its index only.
fn day(event: &StoredEvent) -> Date {
    let old = event.accepted_at.since(event.event_time) > OLD;
    if old { event.accepted_at.date() } else { event.event_time.date() }
}

/// `<prefix>-YYYY.MM.DD`.
fn index_name(prefix: &str, day: Date) -> String {
    // Years are within 0 and 9999: `Timestamp::date` sees to it.
    format!("{prefix}-{:04}.{:02}.{:02}", day.year(), day.month(), day.day())
}

fn push_action(body: &mut Vec<u8>, index: &str, id: DocumentId) {
    // Writing into a vector cannot fail.
    let _ = serde_json::to_writer(&mut *body, &Action { create: Target { _index: index, _id: id } });
    let _ = body.write_all(b"\n");
}

impl Bulk {
    fn line_cost(&self, document: &Document<'_>) -> usize {
        self.action_len + document.len() + b"\n".len()
    }
}

impl Destination for Bulk {
    fn limits(&self) -> BatchLimits {
        BatchLimits { events: MAX_EVENTS, bytes: MAX_BYTES, overhead: 0 }
    }

    fn cost(&self, event: &StoredEvent) -> usize {
        Document::of(event).map_or(0, |document| self.line_cost(&document))
    }

    fn encode(&self, batch: Batch<'_>, _now: Timestamp) -> Result<Encoded, EncodeError> {
        let Batch::Events(events) = batch else { return Err(EncodeError::WrongBatch { expected: "events" }) };
        let mut documents = Vec::with_capacity(events.len());
        let mut omitted = Vec::new();
        for (position, event) in events.iter().enumerate() {
            match Document::of(event) {
                Ok(document) => documents.push((event, document)),
                Err(cause) => omitted.push(Omitted { position, cause }),
            }
        }
        if documents.is_empty() {
            return Ok(Encoded { request: None, omitted });
        }
        let mut body = Vec::with_capacity(documents.iter().map(|(_, document)| self.line_cost(document)).sum());
        let mut last = Date::default();
        let mut index = self.place.index(last);
        for (event, document) in documents {
            let date = day(event);
            if date != last {
                last = date;
                index = self.place.index(last);
            }
            push_action(&mut body, &index, DocumentId(event.org, event.event_id));
            document.push(&mut body);
            body.push(b'\n');
        }
        let request = body::request(&self.target, self.headers(body::NDJSON), body, self.compression)?;
        Ok(Encoded { request: Some(request), omitted })
    }

    fn classify(&self, reply: &Reply, sent: usize, now: Timestamp) -> Verdict {
        bulk_reply::Judge { endpoint: &self.endpoint, indices: &self.place.pattern() }.classify(reply, sent, now)
    }

    fn setup(&self, seen: &[Reply], _now: Timestamp) -> SetupStep {
        if self.manage_template { self.template_step(seen) } else { SetupStep::done() }
    }

    fn setup_on_request(&self, seen: &[Reply]) -> Option<OnRequest> {
        Some(OnRequest { name: self.place.template().to_owned(), step: self.template_step(seen) })
    }

    fn look_for(&self, event: EventId, _event_time: Timestamp) -> Lookup {
        let url = self.address(&[&self.place.pattern(), "_search"]);
        self.search.look_for(url, self.authorization.as_ref(), event)
    }

    fn seen(&self, reply: &Reply) -> Sighting {
        self.search.seen(&self.endpoint, reply)
    }

    fn not_found(&self) -> String {
        self.search.not_found()
    }
}
