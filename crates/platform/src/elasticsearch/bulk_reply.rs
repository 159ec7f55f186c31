//! What `_bulk` answers: one item for each event, in their order. A reply to thousands of events is large, so only what is judged is
//! read, and an item's error only where there is one.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::time::Timestamp;

use crate::destination::{EndpointState, Judgement, Outcome, Reply, Run, Verdict, push_run};
use crate::reply::{Endpoint, is_html, retry_after};

/// Why, and what to do, where the disk is full. Held rather than retried: it takes minutes and a person (429 with
/// `cluster_block_exception`), and probing every few seconds would only add to the load.
const FLOOD_STAGE: &str = "its disk is over the flood-stage watermark, so it takes nothing in. Free disk space there, or add a node; \
                           sending goes on by itself within minutes after that.";

const UNKNOWN_CREDENTIAL: &str = "it does not accept the credential. The API key was probably revoked or belongs to another cluster, or user \
                                  name or password are wrong. In Kibana: Stack Management → API keys → Create API key, and enter its \
                                  encoded form here; then test again.";

#[derive(Deserialize)]
struct Bulk<'a> {
    #[serde(borrow)]
    items: Vec<Item<'a>>,
}

/// `{"create":{…}}`. The action's name is not looked at: items are judged by position.
struct Item<'a>(ItemResult<'a>);

#[derive(Deserialize)]
struct ItemResult<'a> {
    #[serde(default)]
    status: u16,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    failure_store: Option<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Item<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct First;

        impl<'de> Visitor<'de> for First {
            type Value = Item<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an action with its result")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                use serde::de::Error as _;
                let Some((IgnoredAny, result)) = map.next_entry()? else {
                    return Err(A::Error::missing_field("create"));
                };
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Item(result))
            }
        }

        deserializer.deserialize_map(First)
    }
}

/// An error as the platform describes it. Some versions and proxies write a bare sentence instead.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Failure {
    #[serde(rename = "type")]
    kind: String,
    reason: String,
    caused_by: Option<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    reason: String,
}

impl Failure {
    fn read(raw: Option<&RawValue>) -> Self {
        let Some(raw) = raw else { return Self::default() };
        serde_json::from_str(raw.get()).unwrap_or_else(|_| Self {
            reason: serde_json::from_str::<String>(raw.get()).unwrap_or_default(),
            ..Self::default()
        })
    }

    /// The platform's sentence with what lies behind it.
    fn sentence(&self) -> String {
        match &self.caused_by {
            Some(cause) if !cause.reason.is_empty() && !self.reason.contains(&cause.reason) => {
                format!("{}: {}", self.reason, cause.reason)
            }
            _ => self.reason.clone(),
        }
    }

    fn is_block(&self) -> bool {
        self.kind == "cluster_block_exception"
    }
}

/// Judges replies about the indices of one connector.
pub(super) struct Judge<'a> {
    /// Who answers.
    pub(super) endpoint: &'a Endpoint,
    /// Where its events go, as a pattern.
    pub(super) indices: &'a str,
}

/// Whether the body is whole, and nothing that a bulk request is answered with: plain text, or JSON without any of its members.
fn is_anothers(reply: &Reply) -> bool {
    let body = reply.body.trim_ascii();
    if reply.truncated || body.is_empty() {
        return false;
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(members)) => {
            !members.is_empty() && !["items", "took", "errors", "error"].iter().any(|own| members.contains_key(*own))
        }
        Ok(_) => true,
        Err(_) => !body.starts_with(b"{"),
    }
}

impl Judge<'_> {
    /// The reply table: the whole request first, then item by item.
    pub(super) fn classify(&self, reply: &Reply, sent: usize, now: Timestamp) -> Verdict {
        let endpoint = self.endpoint;
        match reply.status {
            200..=299 => match serde_json::from_slice::<Bulk<'_>>(&reply.body) {
                Ok(bulk) if bulk.items.len() == sent => self.by_item(&bulk.items, reply, now),
                Err(_) if is_html(reply) || is_anothers(reply) => endpoint.by_status(reply, sent, now),
                // Thousands of long refusals are more than transport reads: the halves are answered more briefly. Unknown as well, but
                // resending the whole would only be answered at the same length.
                Err(_) if reply.truncated && sent > 1 => Endpoint::split(endpoint.cause(
                    "long_reply",
                    reply,
                    "its answer is too long to be read in full, so the events are sent again in halves. Many of them are probably \
                     refused, each with a long reason: see the history of the halves.",
                )),
                // What was taken in is unknown. Sending again is harmless: an event that is there already answers 409.
                _ => Endpoint::retry(
                    reply,
                    sent,
                    now,
                    endpoint.cause(
                        "unreadable_reply",
                        reply,
                        "its answer could not be read in full, so what became of the events is unknown and they are sent again. If \
                         this lasts, a proxy in between probably changes or cuts its answers.",
                    ),
                ),
            },
            400 if refuses_path(reply) => {
                let why = format!("nothing takes events at this address. {}", endpoint.address);
                Endpoint::held(sent, endpoint.cause("wrong_path", reply, &why))
            }
            401 => Endpoint::held(sent, endpoint.cause("http_401", reply, UNKNOWN_CREDENTIAL)),
            403 => Endpoint::held(sent, endpoint.cause("forbidden", reply, &self.forbidden())),
            429 if whole_failure(reply).is_block() => {
                Endpoint::held(sent, endpoint.cause("disk_flood_stage", reply, FLOOD_STAGE))
            }
            _ => endpoint.by_status(reply, sent, now),
        }
    }

    /// Which privileges are missing, and where.
    fn forbidden(&self) -> String {
        format!(
            "this credential may not write to {0}. It probably lacks the index privileges create_doc and auto_configure on {0}. In \
             Kibana: Stack Management → API keys (or Roles, for a user) → grant them; in OpenSearch Dashboards: Security → Roles → index \
             permissions → index and create_index; then test again.",
            self.indices
        )
    }

    fn by_item(&self, items: &[Item<'_>], reply: &Reply, now: Timestamp) -> Verdict {
        let mut runs: Vec<Run> = Vec::new();
        let mut state = EndpointState::Healthy;
        for Item(item) in items {
            let outcome = self.judge(item);
            match (&outcome, &state) {
                (Outcome::Held(_), EndpointState::Misconfigured(_)) => {}
                (Outcome::Held(cause), _) => state = EndpointState::Misconfigured(cause.clone()),
                (Outcome::Retry(_), EndpointState::Healthy) => {
                    state = EndpointState::Backoff { after: retry_after(reply, now) };
                }
                _ => {}
            }
            push_run(&mut runs, 1, outcome);
        }
        Verdict { judgement: Judgement::Items(runs), endpoint: state, confirm: None }
    }

    fn judge(&self, item: &ItemResult<'_>) -> Outcome {
        match item.status {
            200..=299 if item.failure_store.as_deref() == Some("used") => Outcome::Delivered {
                warning: Some(Cause::new(
                    "elasticsearch_failure_store",
                    "Elasticsearch put the event into the failure store: it is kept, but searches of the index do not find it. \
                     Its mapping or an ingest pipeline probably refuses it; look into the data stream's failure store.",
                )),
            },
            200..=299 | 409 => Outcome::Delivered { warning: None },
            _ => self.refused(item.status, &Failure::read(item.error)),
        }
    }

    fn refused(&self, status: u16, failure: &Failure) -> Outcome {
        let cause = |what: &str, why: &str| item_cause(self.endpoint, status, what, why, None);
        let quoted = |what: &str, why: &str| item_cause(self.endpoint, status, what, why, Some(failure));
        match status {
            429 if failure.is_block() => Outcome::Held(cause("disk_flood_stage", FLOOD_STAGE)),
            403 if failure.is_block() => Outcome::Held(quoted(
                "index_blocked",
                "the index is blocked for writing. A person, a lifecycle policy or a full disk probably blocked it: lift the block, \
                 then test again.",
            )),
            401 | 403 => Outcome::Held(quoted("forbidden", &self.forbidden())),
            404 => Outcome::Held(quoted(
                "index_missing",
                &format!(
                    "the index does not exist and is not created by itself. The cluster setting action.auto_create_index is probably \
                     restricted: allow {}, then test again.",
                    self.indices
                ),
            )),
            400 if failure.kind == "index_closed_exception" => Outcome::Held(quoted(
                "index_unusable",
                "the index is closed. A person or a lifecycle policy probably closed it. In Kibana: Stack Management → Index Management → \
                 the index → Open index; then test again.",
            )),
            400 if failure.reason.contains("no write index is defined for alias") => Outcome::Held(quoted(
                "index_unusable",
                "today's index name is an alias that no index takes writes for. Set is_write_index for one of the alias's indices, or choose \
                 another index_prefix; then test again.",
            )),
            400 if concerns_index(failure) => Outcome::Held(quoted(
                "index_unusable",
                "the index cannot take any document. See its own words below, correct that there, then test again.",
            )),
            400..=407 | 410..=428 | 430..=499 => {
                let what = if failure.kind.is_empty() { "refused" } else { &failure.kind };
                Outcome::Rejected(quoted(
                    what,
                    "it refuses this event. A field probably has another type in today's index, or the index has as many fields \
                     as it may. Other events are not held up; correct the mapping or the event, then deliver it again.",
                ))
            }
            // 408, 429, 5xx, and what is no status at all: unknown, sent again, at worst answered with 409.
            _ => Outcome::Retry(cause(
                &format!("item_{status}"),
                "it is overloaded or a shard is not available. Sending goes on by itself; if this lasts, look at the cluster's \
                 health.",
            )),
        }
    }
}

/// A 400 for the sake of the path: a node that knows no such path says so, and a service that only resembles one names the path in words of its
/// own (VictoriaLogs: `unsupported path requested: "/_bulk"`).
fn refuses_path(reply: &Reply) -> bool {
    let reason = whole_failure(reply).reason;
    reason.contains("no handler found for uri")
        || (reason.is_empty() && String::from_utf8_lossy(&reply.body).contains("/_bulk"))
}

fn whole_failure(reply: &Reply) -> Failure {
    #[derive(Deserialize)]
    struct Refusal<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    let refusal: Option<Refusal<'_>> = serde_json::from_slice(&reply.body).ok();
    Failure::read(refusal.and_then(|refusal| refusal.error))
}

/// A 400 that is not the event's fault: no other event would be taken in either.
fn concerns_index(failure: &Failure) -> bool {
    failure.kind == "invalid_index_name_exception"
        || failure.reason.contains("shards open")
        || (failure.reason.contains("pipeline with id") && failure.reason.contains("does not exist"))
}

fn item_cause(endpoint: &Endpoint, status: u16, what: &str, why: &str, failure: Option<&Failure>) -> Cause {
    let said = failure.map(|failure| endpoint.redactor.quote(&failure.sentence())).filter(|said| !said.is_empty());
    let said = said.map(|said| format!(" It said: “{said}”")).unwrap_or_default();
    Cause::coded(
        &format!("{}_{what}", endpoint.key),
        format!("{} answered {status} for this event: {why}{said}", endpoint.name),
    )
}
