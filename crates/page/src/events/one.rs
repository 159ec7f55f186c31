//! One event: its fields, its text, and what every connector did with it and why.

use askama::Template;
use axum::extract::Path;
use http::StatusCode;
use serde_json::{Map, Value};
use toktra_siem_app::{events, named};
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::{EventDetail, EventOutcome, EventSummary};

use super::model::{Became, Told as _};
use crate::answer::{self, Result};
use crate::error::PageError;
use crate::frame::{Frame, Section};
use crate::json_text;
use crate::live::view::{Rendering, rendering};
use crate::names::Connectors;
use crate::show;
use crate::visitor::Visitor;

/// The members that every event may have, with their names for people, in the order in which they are shown. What the top of the page says
/// already is not among them.
const MEMBERS: [(&str, &str); 5] = [
    ("user_email", "Person"),
    ("user_id", "Person's id"),
    ("provider", "Provider"),
    ("model", "Model"),
    ("policy_id", "Policy"),
];

/// A member of an event.
#[derive(Clone)]
struct Fact {
    name: String,
    value: String,
}

/// What is shown of the payload.
struct Payload {
    /// The sentence.
    summary: String,
    facts: Vec<Fact>,
    details: Vec<Fact>,
    tags: Vec<Fact>,
    /// The JSON, on several lines.
    text: String,
    /// The JSON as it is kept and delivered.
    stored: String,
}

#[derive(Template)]
#[template(path = "dashboard/events/one.html", blocks = ["outcomes"])]
struct EventPage {
    frame: Frame,
    event: EventSummary,
    payload: Option<Payload>,
    damaged_at: Option<Timestamp>,
    outcomes: Vec<EventOutcome>,
    connectors: Connectors,
}

#[derive(Template)]
#[template(path = "dashboard/events/missing.html")]
struct MissingPage {
    frame: Frame,
    sought: String,
}

impl EventPage {
    /// The link that shows it in the SIEM.
    fn open(&self, told: &EventOutcome) -> Option<show::Html> {
        let (url, connector) = (told.open_url.as_ref()?, self.connectors.get(told.connector_id)?);
        Some(show::open_in(self.frame.registry.descriptor(connector.platform)?.opens, url))
    }

    /// What is pasted where to find it in the SIEM.
    fn search<'t>(&self, told: &'t EventOutcome) -> Option<(&'static str, &'t String)> {
        Some((self.connectors.get(told.connector_id)?.search_place, told.search.as_ref()?))
    }

    /// Whether something still happens by itself.
    fn moves(&self) -> bool {
        self.outcomes.iter().any(Became::moves)
    }
}

async fn make(visitor: &Visitor, id: &str) -> Result<EventPage> {
    let EventDetail { summary, event, damaged_at, outcomes } =
        events::get(visitor.app(), visitor.caller(), named(id)?).await?;
    let connectors = if outcomes.iter().any(|told| told.open_url.is_some() || told.search.is_some()) {
        Connectors::of(visitor).await?
    } else {
        Connectors::default()
    };
    Ok(EventPage {
        frame: visitor.frame(format!("{} event", summary.what()), Section::Events),
        payload: event.as_deref().map(|raw| payload(raw.get())),
        damaged_at,
        outcomes,
        connectors,
        event: summary,
    })
}

/// `GET /events/{id}`.
pub(crate) async fn show(visitor: Visitor, Path(id): Path<String>) -> Result {
    match make(&visitor, &id).await {
        Err(PageError::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => {
            let frame = visitor.frame("No such event", Section::Events);
            answer::html(StatusCode::NOT_FOUND, &MissingPage { frame, sought: id })
        }
        made => visitor.page(&made?),
    }
}

/// `/events/{id}/live`.
pub(crate) async fn live(visitor: &Visitor, id: &str) -> Result<Rendering> {
    Ok(rendering(make(visitor, id).await?, |page| page.as_outcomes().render()))
}

fn payload(stored: &str) -> Payload {
    let members: Map<String, Value> = serde_json::from_str(stored).unwrap_or_default();
    let text = |name: &str| members.get(name).map(written).filter(|text| !text.is_empty());
    let within = |name: &str| match members.get(name) {
        Some(Value::Object(inner)) => {
            inner.iter().map(|(name, value)| Fact { name: name.clone(), value: written(value) }).collect()
        }
        _ => Vec::new(),
    };
    Payload {
        summary: text("summary").unwrap_or_default(),
        facts: MEMBERS
            .iter()
            .filter_map(|(member, name)| Some(Fact { name: (*name).to_owned(), value: text(member)? }))
            .collect(),
        details: within("details"),
        tags: within("tags"),
        text: json_text::pretty(stored),
        stored: stored.to_owned(),
    }
}

/// A value for people: text without its quotes, everything else as JSON.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
