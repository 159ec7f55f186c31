//! `/audit`: every change, newest first.

use askama::Template;
use http::StatusCode;
use toktra_siem_app::{Query, Refusal, audit};
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::{AuditEntry, List};

use super::diff::{self, Row};
use super::model::Names;
use super::sentence::{self, Actor, Sentence};
use crate::answer::{self, Result};
use crate::error::of_field;
use crate::form::Form;
use crate::frame::{Frame, Section};
use crate::moment::{self, Preset};
use crate::visitor::{Visitor, with_query};

const PATH: &str = "/audit";
/// What changes are about: the beginning of their actions, and a word for people.
const KINDS: [(&str, &str); 7] = [
    ("connector.", "Connectors"),
    ("job.", "Redelivery, replay, discard"),
    ("api_key.", "API keys"),
    ("notification_channel.", "Notification channels"),
    ("user.", "Users"),
    ("session.", "Logins"),
    ("org.", "Organization"),
];

/// What narrows the list, as it was typed.
struct Wanted {
    actor: String,
    kind: String,
    object: String,
    from: String,
    to: String,
}

impl Wanted {
    fn of(query: &Form) -> Self {
        let text = |name| query.text(name).to_owned();
        Self {
            actor: text("actor"),
            kind: text("kind"),
            object: text("object"),
            from: moment::field(query.text("from")),
            to: moment::field(query.text("to")),
        }
    }

    fn is_empty(&self) -> bool {
        [&self.actor, &self.kind, &self.object, &self.from, &self.to].into_iter().all(String::is_empty)
    }

    /// The address of this page with another cursor.
    fn address(&self, cursor: &str) -> String {
        let Self { actor, kind, object, from, to } = self;
        with_query(
            PATH,
            [("actor", &**actor), ("kind", kind), ("object", object), ("from", from), ("to", to), ("cursor", cursor)],
        )
    }

    /// The same question.
    fn asked(&self, cursor: &str) -> Query {
        let (from, to) = (moment::asked(&self.from), moment::asked(&self.to));
        let pairs =
            [("actor", &*self.actor), ("action", &self.kind), ("object", &self.object), ("from", &from), ("to", &to)];
        Query::of(pairs.into_iter().chain([("cursor", cursor), ("limit", "50")]))
    }
}

/// What is wrong with what was asked for.
#[derive(Default)]
struct Faults {
    actor: Option<String>,
    object: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

impl Faults {
    fn of(refusal: &Refusal) -> Self {
        let of = |name| of_field(refusal, name);
        Self { actor: of("/actor"), object: of("/object"), from: of("/from"), to: of("/to") }
    }
}

/// A change as it is shown.
struct Line {
    at: Timestamp,
    actor: Actor,
    sentence: Sentence,
    rows: Vec<Row>,
    /// Whether something was there before and after, so that the two stand side by side.
    both: bool,
    action: String,
    same_object: String,
    same_actor: String,
}

impl Line {
    fn of(entry: &AuditEntry, names: &Names) -> Self {
        let (same_object, same_actor) = sentence::links(entry);
        let rows = diff::rows(entry);
        Self {
            at: entry.at,
            actor: sentence::actor(entry, names),
            sentence: sentence::of(entry, names).unwrap_or_else(|| sentence::unknown(entry)),
            both: rows.iter().any(|row| row.before.is_some()),
            rows,
            action: entry.action.clone(),
            same_object,
            same_actor,
        }
    }
}

#[derive(Template)]
#[template(path = "dashboard/audit/list.html")]
struct AuditPage {
    frame: Frame,
    wanted: Wanted,
    faults: Faults,
    lines: Vec<Line>,
    later: bool,
    newest: String,
    older: Option<String>,
}

impl AuditPage {
    fn presets(&self) -> Vec<Preset> {
        let Wanted { actor, kind, object, from, to } = &self.wanted;
        let at = |from: &str| {
            with_query(PATH, [("actor", &**actor), ("kind", &**kind), ("object", &**object), ("from", from)])
        };
        moment::presets(self.frame.now, from, to, at)
    }
}

/// `GET /audit`.
pub(crate) async fn show(visitor: Visitor) -> Result {
    let query = Form::parse(visitor.address.split_once('?').map_or("", |(_, query)| query).as_bytes());
    let (wanted, cursor) = (Wanted::of(&query), query.text("cursor"));
    let (status, faults, list) = match audit::list(visitor.app(), visitor.caller(), wanted.asked(cursor)).await {
        Ok(list) => (StatusCode::OK, Faults::default(), list),
        Err(refusal) if refusal.status == StatusCode::UNPROCESSABLE_ENTITY => {
            (refusal.status, Faults::of(&refusal), List::whole(Vec::new()))
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let names = if list.items.is_empty() { Names::default() } else { Names::of(&visitor, &list.items).await? };
    let page = AuditPage {
        frame: visitor.frame("Audit log", Section::Audit),
        lines: list.items.iter().map(|entry| Line::of(entry, &names)).collect(),
        later: !cursor.is_empty(),
        newest: wanted.address(""),
        older: list.next_cursor.as_deref().map(|cursor| wanted.address(cursor)),
        wanted,
        faults,
    };
    answer::html(status, &page)
}
