//! Finding an event in Elasticsearch or OpenSearch, by `_search`.
//!
//! Facts: Elasticsearch's reference, "Search API" and "Security privileges": it needs the index privilege `read`, and a login without it is
//! answered 403 with a `security_exception`. What a node has taken is found after the index was refreshed, every second unless it says
//! otherwise. Of Kibana's address ("Discover": `_a` is its own state, `_g` the time range, both in Rison) OpenSearch Dashboards understands
//! the same, and rewrites it for its newer Discover.

use serde_json::{Value, json};
use toktra_siem_core::ids::EventId;

use crate::body;
use crate::descriptor::{Checked, Field, Step};
use crate::destination::{HeaderText, Method, OutboundRequest, Reply};
use crate::reply::Endpoint;
use crate::search::{self, Lookup, Sighting, Span};

/// The key that may search.
pub(super) const KEY: &str = "search.api_key";

/// The settings.
pub(super) fn fields() -> [Field; 2] {
    [
        search::web_url(web_url)
            .help("The address of Kibana or OpenSearch Dashboards, to which links to events lead; it is never dialled.")
            .hint(
                "Such as https://kibana.company.com:5601, or any page of it; with its space, /s/<space>. It adds an “Open in Kibana” link to \
                 events, deliveries and test deliveries.",
            ),
        Field::secret(KEY, "API key, for searching")
            .read_secret(super::api_key)
            .step(Step::Advanced)
            .help("An API key with read on the indices: a test delivery searches with it until the event is found. Absent: the connector's own login is tried.")
            .hint(
                "An API key with the privilege read on the indices, in its encoded form or as id:key. Empty: the connector's own login is \
                 tried, which need not be allowed to read. Only test deliveries use it.",
            ),
    ]
}

fn web_url(text: &str) -> Checked {
    search::web(text, |path| {
        let path = path.split("/app/").next().unwrap_or_default();
        path.trim_end_matches('/').trim_end_matches("/login")
    })
}

/// The page that shows these events.
pub(super) fn open_url(web: &str, events: &[EventId], span: Span) -> String {
    let query = search::encoded(&format!("event_id:{}", search::any_of(events, " or ", "\"")));
    let Span { from, to } = span;
    format!("{web}/app/discover#/?_g=(time:(from:'{from}',to:'{to}'))&_a=(query:(language:kuery,query:'{query}'))")
}

/// What is said where something else than a cluster takes the events.
const ADDRESS: &str =
    "What answers there takes events and has no such search: look for the event where its people search.";

/// Asks a cluster for events.
pub(super) struct Search {
    /// The key that was given for it.
    key: Option<HeaderText>,
    pattern: String,
}

impl Search {
    pub(super) fn new(key: Option<HeaderText>, pattern: String) -> Self {
        Self { key, pattern }
    }

    /// `login` is what delivers.
    pub(super) fn look_for(&self, url: String, login: Option<&HeaderText>, event: EventId) -> Lookup {
        // Without the template of ours the field may be text, with its words apart and the whole beside it.
        let should = json!([{ "term": { "event_id": event } }, { "term": { "event_id.keyword": event } }]);
        let query = json!({ "size": 1, "_source": false, "query": { "bool": { "should": should } } });
        let mut headers = vec![("content-type".into(), body::JSON)];
        headers.extend(self.key.as_ref().or(login).cloned().map(|value| ("authorization".into(), value)));
        let request =
            OutboundRequest { method: Method::Post, url, secret_url: false, headers, body: body::json(&query).into() };
        Lookup::Ask { request, own: self.key.is_some() }
    }

    pub(super) fn seen(&self, endpoint: &Endpoint, reply: &Reply) -> Sighting {
        let pattern = &self.pattern;
        let whose = if self.key.is_some() { "the key in search.api_key" } else { "this login" };
        let refused = format!(
            "{whose} may not read {pattern}. Grant it {{\"names\":[\"{pattern}\"],\"privileges\":[\"read\"]}}, or give a key that has it as \
             search.api_key."
        );
        let answer = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
        if reply.status == 404 && answer.pointer("/error/type") == Some(&json!("index_not_found_exception")) {
            return Sighting::NotYet;
        }
        if let Some(sighting) = search::by_status(endpoint, reply, &refused, ADDRESS) {
            return sighting;
        }
        match answer.pointer("/hits/hits").and_then(Value::as_array) {
            Some(hits) if hits.is_empty() => Sighting::NotYet,
            Some(_) => Sighting::Found,
            None => {
                let why = format!("this is not the answer of its search. {ADDRESS}");
                Sighting::Unable(endpoint.cause("search_unable", reply, &why).message)
            }
        }
    }

    pub(super) fn not_found(&self) -> String {
        format!(
            "The cluster took the event, and the search in {} did not find it. The likeliest causes: the login may read none of these indices, an \
             ingest pipeline drops the event or sends it elsewhere, or the indices are refreshed rarely (refresh_interval).",
            self.pattern
        )
    }
}
