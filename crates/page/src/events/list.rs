//! The newest events, and the field that finds one.

use askama::Template;
use http::StatusCode;
use toktra_siem_app::{Query, Refusal, events};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::{List, ListedEvent};

use super::find;
use super::model::{Told as _, badge};
use crate::answer::{self, Result};
use crate::error::of_field;
use crate::first_run;
use crate::form::Form;
use crate::frame::{Frame, Section};
use crate::moment::{self, Preset};
use crate::show::{self, Html};
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
    wanted: Wanted,
    kinds: Vec<Choice>,
    gravities: Vec<Choice>,
    outcomes: Vec<Choice>,
    presets: Vec<Preset>,
    /// Why the API did not understand the filter.
    refusal: Option<Refusal>,
    /// Whether something narrows the list.
    filtered: bool,
    /// Whether this is not the first page.
    later: bool,
    newest: String,
    older: Option<String>,
    /// If none of those that were looked at is wanted: when the newest of the others was accepted.
    unseen: Option<Timestamp>,
    /// How to post the first event.
    example: String,
}

/// What narrows the list, as it was typed.
struct Wanted {
    kind: String,
    severity: String,
    outcome: String,
    user: String,
    q: String,
    from: String,
    to: String,
}

impl Wanted {
    fn of(query: &Form) -> Self {
        let text = |name| query.text(name).trim().to_owned();
        Self {
            kind: text("type"),
            severity: text("severity"),
            outcome: text("outcome"),
            user: text("user"),
            q: text("q"),
            from: text("from"),
            to: text("to"),
        }
    }

    fn pairs(&self) -> [(&'static str, &str); 7] {
        [
            ("type", &self.kind),
            ("severity", &self.severity),
            ("outcome", &self.outcome),
            ("user", &self.user),
            ("q", &self.q),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn is_set(&self) -> bool {
        self.pairs().iter().any(|(_, value)| !value.is_empty())
    }

    fn address(&self, cursor: &str) -> String {
        with_query(PATH, self.pairs().into_iter().chain([("cursor", cursor)]))
    }

    /// The address of the same from another time on.
    fn since(&self, from: &str) -> String {
        let pairs = self.pairs().into_iter().filter(|(name, _)| *name != "from" && *name != "to");
        with_query(PATH, pairs.chain([("from", from)]))
    }

    fn asked(&self, cursor: &str) -> Query {
        let (from, to) = (moment::asked(&self.from), moment::asked(&self.to));
        Query::of([
            ("event_type", &*self.kind),
            ("severity", &*self.severity),
            ("outcome", &*self.outcome),
            ("user", &*self.user),
            ("q", &*self.q),
            ("from", &*from),
            ("to", &*to),
            ("cursor", cursor),
            ("limit", "50"),
        ])
    }
}

impl ListPage {
    /// What became of an event; a dash if that was not asked for.
    #[expect(clippy::unused_self, reason = "the template calls it")]
    fn outcome(&self, event: &ListedEvent) -> Html {
        let unknown = "<span class=\"soft\" aria-hidden=\"true\">–</span><span class=\"hidden\">Unknown</span>";
        event.outcome.map_or_else(|| Html::trusted(unknown.to_owned()), badge)
    }

    fn fault_of(&self, name: &str) -> Option<String> {
        of_field(self.refusal.as_ref()?, &format!("/{name}"))
    }
}

/// `GET /events`.
pub(crate) async fn show(visitor: Visitor) -> Result {
    let query = Form::parse(visitor.address.split_once('?').map_or("", |(_, query)| query).as_bytes());
    let sought = query.text("id");
    if let Some(id) = find::event_id(sought) {
        return Ok(visitor.go(&format!("{PATH}/{id}")));
    }
    let (wanted, cursor) = (Wanted::of(&query), query.text("cursor"));
    let listed = events::list(visitor.app(), visitor.caller(), wanted.asked(cursor)).await;
    let (List { items, next_cursor, .. }, refusal) = match listed {
        Ok(list) => (list, None),
        Err(refusal) if !refusal.fields.is_empty() => (List::whole(Vec::new()), Some(refusal)),
        Err(refusal) => return Err(refusal.into()),
    };
    let unseen = match &next_cursor {
        Some(next) if items.is_empty() => {
            let rest = Query::of([("cursor", next.as_str()), ("limit", "1")]);
            let rest = events::list(visitor.app(), visitor.caller(), rest).await?;
            rest.items.first().and_then(|newest| newest.event.accepted_at)
        }
        _ => None,
    };
    let page = ListPage {
        frame: visitor.frame("Events", Section::Events),
        sought: sought.to_owned(),
        fault: (!sought.is_empty()).then_some(
            "No event ID found in this text. An ID looks like 0195a2b4-7c1e-7f00-8a2b-1c2d3e4f5a6b; a whole event, or a link with the id in it, \
             will do as well.",
        ),
        events: items,
        kinds: choices(&listed_types(), &wanted.kind, EventType::as_str, words::event_type),
        gravities: choices(Severity::ALL, &wanted.severity, Severity::as_str, words::severity),
        outcomes: choices(&OUTCOMES, &wanted.outcome, |of| of.0, |of| of.1),
        presets: moment::presets(visitor.now, &wanted.from, &wanted.to, |from| wanted.since(from)),
        filtered: wanted.is_set(),
        later: !cursor.is_empty(),
        newest: wanted.address(""),
        older: next_cursor.as_deref().map(|cursor| wanted.address(cursor)),
        unseen,
        wanted,
        refusal,
        example: first_run::curl(&visitor.site.address()),
    };
    let status =
        if page.fault.is_some() || page.refusal.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    answer::html(status, &page)
}

/// The types that the list can be filtered by. Events of test deliveries are not in the list.
fn listed_types() -> Vec<EventType> {
    EventType::ALL.iter().copied().filter(|kind| *kind != EventType::TestConnection).collect()
}

/// What can have become of an event, as the API calls it and as people read it.
const OUTCOMES: [(&str, &str); 10] = [
    ("delivered", "Delivered"),
    ("pending", "Waiting, on its way"),
    ("failed", "Waiting, failed before"),
    ("rejected", "Rejected"),
    ("expired", "Expired"),
    ("damaged", "Damaged"),
    ("discarded", "Discarded"),
    ("skipped", "Skipped"),
    ("filtered", "Filtered out"),
    ("before", "Before the connector"),
];

fn choices<T: Copy>(
    all: &[T],
    chosen: &str,
    word: impl Fn(T) -> &'static str,
    name: impl Fn(T) -> &'static str,
) -> Vec<Choice> {
    all.iter().map(|one| Choice { value: word(*one), name: name(*one), chosen: word(*one) == chosen }).collect()
}
