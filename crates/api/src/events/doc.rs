//! What the routes of events say of themselves.

use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};
use crate::error::Code;

pub(crate) fn post() -> Doc {
    Doc::new("postEvents", Tag::Events, "Post events")
        .about(
            "Takes events in, and answers once they are on disk. One event that is not valid refuses the whole request, and `fields` names \
             every fault by event and field. The same `event_id` again is answered as a duplicate, so that a request without an answer can \
             be sent again without harm. `Idempotency-Key` is refused: the ids of the events take its place.",
        )
        .body::<wire::PostedEvents>("One event, several in an array or in `events`, or NDJSON with one event a line.")
        .body_as::<String>("application/x-ndjson")
        .accepted::<wire::Accepted>("The events are on disk.")
        .error(429, Code::QueueFull, "The org has as many undelivered events as it may have.")
}

pub(crate) fn list() -> Doc {
    Doc::new("listEvents", Tag::Events, "List events")
        .about(
            "What came lately, the newest first, as long as the history keeps it. A page looks at a bounded number of events: where what is \
             asked for is rare, a page may have fewer items than `limit`, or none, and still be followed by another. Go on while `has_more` \
             is true.",
        )
        .query::<EventType>("event_type", "Only events of this type.")
        .query::<Severity>("severity", "Only events of this severity.")
        .query::<Timestamp>("from", "Only events accepted at or after this time.")
        .query::<Timestamp>("to", "Only events accepted before this time.")
        .query::<wire::SoughtText>("user", "Only events whose user ID or e-mail address contains this text. Case is ignored.")
        .query::<wire::SoughtText>("q", "Only events whose summary, user or policy contains this text. Case is ignored.")
        .query::<wire::Outcome>("outcome", "Only events with this outcome.")
        .query::<ConnectorId>("connector", "Take the outcome in this connector alone.")
        .paged()
        .error(404, Code::NotFound, "There is no such connector.")
        .ok::<wire::List<wire::ListedEvent>>("A page of events.")
}

pub(crate) fn get() -> Doc {
    Doc::new("getEvent", Tag::Events, "Show an event")
        .about("The event, and where it stands with each stream of the org's connectors, and why.")
        .ok::<wire::EventDetail>("The event.")
}
