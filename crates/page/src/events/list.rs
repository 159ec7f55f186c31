//! The newest events, and the field that finds one.

use askama::Template;
use http::StatusCode;
use toktra_siem_app::{Query, events};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_wire::{List, ListedEvent};

use super::find;
use super::model::Told as _;
use crate::answer::{self, Result};
use crate::form::Form;
use crate::frame::{Frame, Section};
use crate::show;
use crate::visitor::{Visitor, with_query};
use crate::words;

const PATH: &str = "/events";

/// A word to choose in a filter.
struct Choice {
    value: &'static str,
    name: &'static str,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "dashboard/events/list.html")]
struct ListPage {
    frame: Frame,
    /// What was looked for, where there is no id in it.
    sought: String,
    fault: Option<&'static str>,
    events: Vec<ListedEvent>,
    kinds: Vec<Choice>,
    gravities: Vec<Choice>,
    /// Whether something narrows the list.
    filtered: bool,
    /// Whether this is not the first page.
    later: bool,
    newest: String,
    older: Option<String>,
    /// How to post the first event.
    example: String,
}

/// `GET /events`.
pub(crate) async fn show(visitor: Visitor) -> Result {
    let query = Form::parse(visitor.address.split_once('?').map_or("", |(_, query)| query).as_bytes());
    let sought = query.text("id");
    if let Some(id) = find::event_id(sought) {
        return Ok(visitor.go(&format!("{PATH}/{id}")));
    }
    let (kind_word, severity, cursor) = (query.text("type"), query.text("severity"), query.text("cursor"));
    let asked = [("event_type", kind_word), ("severity", severity), ("cursor", cursor), ("limit", "50")];
    let List { items, next_cursor, .. } = events::list(visitor.app(), visitor.caller(), Query::of(asked)).await?;
    let to = |cursor: &str| with_query(PATH, [("type", kind_word), ("severity", severity), ("cursor", cursor)]);
    let page = ListPage {
        frame: visitor.frame("Events", Section::Events),
        sought: sought.to_owned(),
        fault: (!sought.is_empty()).then_some(
            "There is no event id in this. An id looks like 0195a2b4-7c1e-7f00-8a2b-1c2d3e4f5a6b; a whole event, or a link with the id in it, \
             will do as well.",
        ),
        events: items,
        kinds: choices(EventType::ALL, kind_word, EventType::as_str, words::event_type),
        gravities: choices(Severity::ALL, severity, Severity::as_str, words::severity),
        filtered: !kind_word.is_empty() || !severity.is_empty(),
        later: !cursor.is_empty(),
        newest: to(""),
        older: next_cursor.as_deref().map(to),
        example: example(&visitor.site.address()),
    };
    let status = if page.fault.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    answer::html(status, &page)
}

fn choices<T: Copy>(
    all: &[T],
    chosen: &str,
    word: impl Fn(T) -> &'static str,
    name: impl Fn(T) -> &'static str,
) -> Vec<Choice> {
    all.iter().map(|one| Choice { value: word(*one), name: name(*one), chosen: word(*one) == chosen }).collect()
}

fn example(address: &str) -> String {
    format!(
        "curl {address}/v1/events \\\n  -H \"Authorization: Bearer $TOKTRA_API_KEY\" \\\n  -H \"Content-Type: application/json\" \\\n  \
         -d '{{\"event_type\":\"anomaly\",\"severity\":\"high\",\"summary\":\"My first event\"}}'"
    )
}
