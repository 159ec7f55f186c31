//! Events: as they are posted, kept, listed and looked for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::event::body::MAX_EVENTS;
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::filter::FilterRule;
use toktra_siem_core::ids::{ConnectorId, DeliveryId, EventId, OrgId, Seq, StreamKind};
use toktra_siem_core::time::Timestamp;

use crate::word::{Exact, Words};

/// What is kept of an event after its payload.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EventSummary")]
pub struct EventSummary<W: Words = Exact> {
    /// Its id.
    pub event_id: EventId,
    /// Its number within the org: 1, 2, 3 … without gaps. `null` for the event of a test delivery, which is in no account.
    pub sequence: Option<Seq>,
    /// What happened.
    pub event_type: W::Word<EventType>,
    /// How serious it is.
    pub severity: W::Word<Severity>,
    /// The event's own time.
    pub timestamp: Timestamp,
    /// When it was accepted. `null` for the event of a test delivery.
    pub accepted_at: Option<Timestamp>,
    /// It is the synthetic event of a test delivery.
    pub test: bool,
}

/// An event, in short.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ListedEvent")]
pub struct ListedEvent<W: Words = Exact> {
    /// What is kept of it.
    #[serde(flatten)]
    pub event: EventSummary<W>,
    /// What happened, in words; `null` once its payload is past its retention.
    pub summary: Option<String>,
    /// Who caused it, where the producer said so; `null` once its payload is past its retention, too.
    pub user_email: Option<String>,
    /// What became of it in all streams, in one word: what needs somebody goes before what arrived. With `connector`, in the streams of that
    /// one. `null` if there is no connector, or if too many streams would have to be asked.
    pub outcome: Option<W::Word<Outcome>>,
}

/// An event, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EventDetail")]
pub struct EventDetail<W: Words = Exact> {
    /// What is kept of it.
    #[serde(flatten)]
    pub summary: EventSummary<W>,
    /// The event as it is delivered; `null` once its payload is past its retention, or if it is damaged.
    #[schemars(with = "Option<StoredEvent>")]
    pub event: Option<Box<RawValue>>,
    /// When it was found that its stored bytes do not match their checksum any more. Only if they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged_at: Option<Timestamp>,
    /// Where it stands with each stream of the org's connectors; deleted connectors that had taken it up come last.
    pub outcomes: Vec<EventOutcome<W>>,
}

/// The source of every event.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "snake_case")]
pub enum Source {
    #[expect(missing_docs, reason = "a comment would stand in the document")]
    Toktra,
}

/// A security event as a producer sends it. A member that is `null` counts as left out.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEvent {
    /// Identifies the event within its org: the same id again is answered as a duplicate, so that a request can be sent again. Without
    /// it a version 7 UUID is made.
    pub event_id: Option<EventId>,
    /// What happened.
    pub event_type: PostedType,
    /// How serious it is.
    pub severity: Severity,
    /// When it happened: not before 2000, and at most 24 hours ahead. Without it, now.
    pub timestamp: Option<Timestamp>,
    /// The org. A key of an org can name its own only; without it, that one. With a platform key, any org that exists.
    pub org_id: Option<OrgId>,
    /// Whom it is about.
    #[schemars(length(max = 256))]
    pub user_id: Option<String>,
    /// Their e-mail address.
    #[schemars(length(max = 320))]
    pub user_email: Option<String>,
    /// The provider of the model, such as `openai`.
    #[schemars(length(max = 256))]
    pub provider: Option<String>,
    /// The model, such as `gpt-4`.
    #[schemars(length(max = 256))]
    pub model: Option<String>,
    /// The policy that was breached.
    #[schemars(length(max = 256))]
    pub policy_id: Option<String>,
    /// A sentence for people. Without it one is made of type and details.
    #[schemars(length(max = 8192))]
    pub summary: Option<String>,
    /// Always `toktra`.
    pub source: Option<Source>,
    /// Whatever belongs to the event: any object, at most 32 levels deep.
    pub details: Option<Map<String, Value>>,
    /// Labels of your own: an object of strings.
    pub tags: Option<BTreeMap<String, String>>,
}

/// What is posted: at most 4 MiB, each event at most 256 KiB.
#[derive(JsonSchema)]
#[serde(untagged)]
pub enum PostedEvents {
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
pub struct Wrapped {
    /// The events.
    #[schemars(length(min = 1, max = MAX_EVENTS))]
    pub events: Vec<NewEvent>,
}

/// An event as it is kept and delivered.
#[derive(JsonSchema)]
pub struct StoredEvent {
    /// Identifies it within the org.
    pub event_id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// How serious it is.
    pub severity: Severity,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The org.
    pub org_id: OrgId,
    /// Whom it is about; `null` if the producer did not say, as are the next three.
    pub user_id: Option<String>,
    /// Their e-mail address.
    pub user_email: Option<String>,
    /// The provider of the model.
    pub provider: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The policy that was breached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_id: Option<String>,
    /// A sentence for people.
    pub summary: String,
    /// Always `toktra`.
    pub source: Source,
    /// Whatever the producer put there, number for number; `{}` without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Map<String, Value>>,
    /// The producer's labels.
    pub tags: BTreeMap<String, String>,
}

/// What became of a request with events.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Accepted")]
pub struct Accepted<W: Words = Exact> {
    /// Events that are on disk now.
    pub accepted: u64,
    /// Events that the org has already.
    pub duplicates: u64,
    /// Each event, in the order of the request.
    pub events: Vec<AcceptedEvent<W>>,
}

/// What became of one event of a request.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AcceptedEvent")]
pub struct AcceptedEvent<W: Words = Exact> {
    /// Its id: the producer's, or the one that was made.
    pub event_id: EventId,
    /// What became of it.
    pub status: W::Word<AcceptedStatus>,
    /// `true` where the org has an event of this id whose fields are others; not there otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differs: Option<bool>,
}

/// What became of one event of a request.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(inline, rename_all = "snake_case")]
pub enum AcceptedStatus {
    /// It is on disk.
    Accepted,
    /// The org has an event of this id already, and that one is on disk.
    Duplicate,
}

/// Where an event can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was accepted before the connector was made.
    Before,
    /// On its way, or waiting for its turn. What waits is pending even where the filter will pass it by.
    Pending,
    /// The platform has it.
    Delivered,
    /// The platform refused it for good.
    Rejected,
    /// Parked after its delivery failed; it is sent again.
    Failed,
    /// Undelivered when its retention (for metrics, the hour for which their platform takes them) ended.
    Expired,
    /// Undelivered when it was found that its stored bytes do not match their checksum any more.
    Damaged,
    /// Given up by a person.
    Discarded,
    /// Skipped when the connector was switched on "from now".
    Skipped,
    /// Passed by according to the filter of its time.
    Filtered,
}

/// What one stream did with an event.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EventOutcome")]
pub struct EventOutcome<W: Words = Exact> {
    /// The connector.
    pub connector_id: ConnectorId,
    /// The connector's name; `null` once it was deleted.
    pub connector_name: Option<String>,
    /// What the connector was called when it was deleted. Only if it was, and the audit log still says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_name: Option<String>,
    /// Its connector was deleted; this is what had become of the event by then.
    pub connector_deleted: bool,
    /// Which of its streams.
    pub stream: W::Word<StreamKind>,
    /// Where it is.
    pub outcome: W::Word<Outcome>,
    /// Why, in a sentence or two for a person.
    pub why: String,
    /// The delivery that holds it, brought it, was refused, or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryId>,
    /// When it came to this outcome, where that is known: delivered, rejected, failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// When the next attempt is due, while it is pending in a delivery; when the breaker's next probe is due, while it waits behind that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// Why it was rejected, failed, or waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The rule of the filter by which it was passed by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<W::Word<FilterRule>>,
    /// The address that shows the event to a person there. Only if it was delivered, and the connector's `web_url` or site tells the
    /// address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_url: Option<String>,
    /// The search that finds the event there, to be pasted into the platform. Only if it was delivered and its connector is there; of metrics
    /// there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
}

/// The types that can be posted.
pub struct PostedType;

impl JsonSchema for PostedType {
    fn schema_name() -> Cow<'static, str> {
        "PostedEventType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // A client that was generated from the document may know `test_connection`: the word stays, and what it does is said.
        let named = |kind: &&EventType| kind.is_posted() || **kind == EventType::TestConnection;
        let words: Vec<&str> = EventType::ALL.iter().filter(named).map(|kind| kind.as_str()).collect();
        json_schema!({
            "description": "The event types that a producer posts. `test_connection` is refused with 422: only a test delivery makes it.",
            "type": "string",
            "enum": words,
        })
    }
}
