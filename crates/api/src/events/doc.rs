//! What the routes of events say of themselves. Bodies are read by `ingest` without a tree of values, so their types stand here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};
use toktra_siem_core::event::body::MAX_EVENTS;
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::ids::{EventId, OrgId};
use toktra_siem_core::time::Timestamp;

use super::EventView;
use super::list::ListedEvent;
use crate::doc::{Doc, Tag};
use crate::error::Code;
use crate::query::List;

/// The types that can be posted, and that a filter can name.
pub(crate) struct PostedType;

impl JsonSchema for PostedType {
    fn schema_name() -> Cow<'static, str> {
        "PostedEventType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = EventType::ALL.iter().filter(|kind| !kind.is_own()).map(|kind| kind.as_str()).collect();
        json_schema!({
            "description": "The event types but those that the service makes itself: a producer posts these, and a filter chooses among them.",
            "type": "string",
            "enum": words,
        })
    }
}

/// The source of every event.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes what is read elsewhere")]
enum Source {
    Toktra,
}

/// A security event as a producer sends it. A member that is `null` counts as left out.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is read elsewhere")]
struct NewEvent {
    /// Identifies the event within its org: the same id again is answered as a duplicate, so that a request can be sent again. Without
    /// it a version 7 UUID is made.
    event_id: Option<EventId>,
    /// What happened.
    event_type: PostedType,
    /// How serious it is.
    severity: Severity,
    /// When it happened: not before 2000, and at most 24 hours ahead. Without it, now.
    timestamp: Option<Timestamp>,
    /// The org. A key of an org can name its own only; without it, that one. With a platform key, any org that exists.
    org_id: Option<OrgId>,
    /// Whom it is about.
    #[schemars(length(max = 256))]
    user_id: Option<String>,
    /// Their e-mail address.
    #[schemars(length(max = 320))]
    user_email: Option<String>,
    /// The provider of the model, such as `openai`.
    #[schemars(length(max = 256))]
    provider: Option<String>,
    /// The model, such as `gpt-4`.
    #[schemars(length(max = 256))]
    model: Option<String>,
    /// The policy that was breached.
    #[schemars(length(max = 256))]
    policy_id: Option<String>,
    /// A sentence for people. Without it one is made of type and details.
    #[schemars(length(max = 8192))]
    summary: Option<String>,
    /// Always `toktra`.
    source: Option<Source>,
    /// Whatever belongs to the event: any object, at most 32 levels deep.
    details: Option<Map<String, Value>>,
    /// Labels of your own: an object of strings.
    tags: Option<BTreeMap<String, String>>,
}

/// What is posted: at most 4 MiB, each event at most 256 KiB.
#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "PostedEvents")]
#[expect(dead_code, reason = "describes what is read elsewhere")]
enum Posted {
    /// One event.
    One(Box<NewEvent>),
    /// Several.
    Many(#[schemars(length(min = 1, max = MAX_EVENTS))] Vec<NewEvent>),
    /// Several, in an object.
    Wrapped(Wrapped),
}

/// Several events in an object.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
#[expect(dead_code, reason = "describes what is read elsewhere")]
struct Wrapped {
    /// The events.
    #[schemars(length(min = 1, max = MAX_EVENTS))]
    events: Vec<NewEvent>,
}

/// An event as it is kept and delivered.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes what is stored as text")]
pub(super) struct StoredEvent {
    /// Identifies it within the org.
    event_id: EventId,
    /// What happened.
    event_type: EventType,
    /// How serious it is.
    severity: Severity,
    /// When it happened.
    timestamp: Timestamp,
    /// The org.
    org_id: OrgId,
    /// Whom it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// Their e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_email: Option<String>,
    /// The provider of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// The policy that was breached.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_id: Option<String>,
    /// A sentence for people.
    summary: String,
    /// Always `toktra`.
    source: Source,
    /// Whatever the producer put there, number for number.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Map<String, Value>>,
    /// The producer's labels.
    tags: BTreeMap<String, String>,
}

/// What became of a request with events.
#[derive(JsonSchema)]
#[schemars(rename = "Accepted")]
#[expect(dead_code, reason = "describes what `ingest` writes by hand, since every event is answered with it")]
struct Intake {
    /// Events that are on disk now.
    accepted: u64,
    /// Events that the org has already.
    duplicates: u64,
    /// Each event, in the order of the request.
    events: Vec<AcceptedEvent>,
}

/// What became of one event of a request.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "as above")]
struct AcceptedEvent {
    /// Its id: the producer's, or the one that was made.
    event_id: EventId,
    /// What became of it.
    status: AcceptedStatus,
    /// `true` where the org has an event of this id whose fields are others; not there otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    differs: Option<bool>,
}

/// What became of one event of a request.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "snake_case")]
#[expect(dead_code, reason = "as above")]
enum AcceptedStatus {
    /// It is on disk.
    Accepted,
    /// The org has an event of this id already, and that one is on disk.
    Duplicate,
}

pub(crate) fn post() -> Doc {
    Doc::new("postEvents", Tag::Events, "Post events")
        .about(
            "Takes events in, and answers once they are on disk. One event that is not valid refuses the whole request, and `fields` names \
             every fault by event and field. The same `event_id` again is answered as a duplicate, so that a request without an answer can \
             be sent again without harm.",
        )
        .body::<Posted>("One event, several in an array or in `events`, or NDJSON with one event a line.")
        .body_as::<String>("application/x-ndjson")
        .accepted::<Intake>("The events are on disk.")
        .error(429, Code::QueueFull, "The org has as many undelivered events as it may have.")
}

pub(crate) fn list() -> Doc {
    Doc::new("listEvents", Tag::Events, "List events")
        .about(
            "What came lately, the newest first, as long as the history keeps it. A page looks at a bounded number of events: where what is \
             asked for is rare, a page may have fewer items than `limit`, or none, and still be followed by another. Go on while `has_more` \
             is true.",
        )
        .query::<EventType>("event_type", "Only of this type.")
        .query::<Severity>("severity", "Only of this severity.")
        .query::<Timestamp>("from", "Only those accepted at or after this time.")
        .query::<Timestamp>("to", "Only those accepted before this time.")
        .paged()
        .ok::<List<ListedEvent>>("A page of events.")
}

pub(crate) fn get() -> Doc {
    Doc::new("getEvent", Tag::Events, "Show an event")
        .about("The event, and where it stands with each stream of the org's connectors, and why.")
        .ok::<EventView<'_>>("The event.")
}
