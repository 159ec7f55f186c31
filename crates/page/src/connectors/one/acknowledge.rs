//! Somebody knows that a connector does not deliver, or will not: until the time that they give, nobody else is told of it.

use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use http::StatusCode;
use serde_json::json;
use toktra_siem_app::{Object, acknowledge, connectors, health, named};
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::{Health, HealthState};

use super::path;
use crate::answer::{Result, html};
use crate::faults::Faults;
use crate::form::Form;
use crate::frame::{Frame, Notice, Section};
use crate::icon::Icon;
use crate::moment;
use crate::show;
use crate::visitor::Visitor;

/// Until when, as the form offers it: its word, and what it is called.
const ENDS: [(&str, &str); 4] = [
    ("1h", "For 1 hour"),
    ("4h", "For 4 hours"),
    ("morning", "Until tomorrow, 9:00"),
    ("at", "Until a time that you choose"),
];

#[derive(Template)]
#[template(path = "dashboard/connectors/acknowledge.html", blocks = ["content"])]
struct Ask {
    frame: Frame,
    path: String,
    health: Health,
    note: String,
    /// Which of [`ENDS`] is chosen.
    ends: String,
    /// The time that was chosen.
    at: String,
    faults: Faults,
}

impl Ask {
    async fn of(visitor: &Visitor, id: &str) -> Result<Self> {
        let health = health::of_connector(visitor.app(), visitor.caller(), named(id)?).await?;
        Ok(Self {
            frame: visitor.frame(format!("Acknowledge {}", health.name), Section::Connectors),
            path: path(id, ""),
            note: health.acknowledged.as_ref().map_or_else(String::new, |known| known.note.clone()),
            health,
            ends: "4h".to_owned(),
            at: String::new(),
            faults: Faults::default(),
        })
    }

    /// Whether nothing is wrong with it yet.
    fn is_maintenance(&self) -> bool {
        matches!(self.health.state, HealthState::Healthy | HealthState::Off)
    }

    fn summary(&self) -> Option<String> {
        self.faults.summary("Nothing was saved.", &["/note", "/until"])
    }

    /// Nine in the morning of tomorrow, in UTC; a script puts the reader's own in its place.
    fn morning(&self) -> Timestamp {
        morning(self.frame.now)
    }
}

fn morning(now: Timestamp) -> Timestamp {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    Timestamp((now.0.div_euclid(DAY) + 1) * DAY + 9 * 60 * 60 * 1000)
}

/// The end that was chosen, as the API takes it. What is no time is passed on, for the API to refuse.
fn until(form: &Form, now: Timestamp) -> String {
    match form.text("ends") {
        "1h" => now.plus(Duration::from_hours(1)).to_string(),
        "4h" => now.plus(Duration::from_hours(4)).to_string(),
        "morning" => form.filled("morning").map_or_else(|| morning(now).to_string(), moment::asked),
        _ => moment::asked(form.text("at")),
    }
}

/// `GET /integrations/siem/{id}/acknowledge`.
pub(crate) async fn ask(visitor: Visitor, Path(id): Path<String>) -> Result {
    visitor.page(&Ask::of(&visitor, &id).await?)
}

/// `POST /integrations/siem/{id}/acknowledge`.
pub(crate) async fn acknowledge(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    let own: ConnectorId = named(&id)?;
    let body = json!({ "note": form.text("note"), "until": until(&form, visitor.now) });
    match acknowledge::acknowledge(visitor.app(), visitor.caller(), own, Object::of(&body)).await {
        Ok(health) => {
            let until = health.acknowledged.map_or_else(String::new, |known| show::utc(known.until));
            let said = format!(
                "Acknowledged until {until}. Until then nobody is told of “{}”, unless events are about to be lost.",
                health.name
            );
            Ok(visitor.go_with(&path(&id, ""), Notice::done(said)))
        }
        Err(refusal) if refusal.status == StatusCode::UNPROCESSABLE_ENTITY => {
            let status = refusal.status;
            let page = Ask {
                note: form.text("note").to_owned(),
                ends: form.text("ends").to_owned(),
                at: form.text("at").to_owned(),
                faults: refusal.into(),
                ..Ask::of(&visitor, &id).await?
            };
            if visitor.by_script { html(status, &page.as_content()) } else { html(status, &page) }
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// `POST /integrations/siem/{id}/acknowledge/end`.
pub(crate) async fn end(visitor: Visitor, Path(id): Path<String>) -> Result {
    let own: ConnectorId = named(&id)?;
    acknowledge::take_back(visitor.app(), visitor.caller(), own).await?;
    let name = connectors::get(visitor.app(), visitor.caller(), own).await?.name;
    Ok(visitor.go_with(&path(&id, ""), Notice::done(format!("People are told of “{name}” again."))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_span_a_morning_or_a_time() {
        let now = Timestamp(1_736_937_000_000);
        let of = |form: &str| until(&Form::parse(form.as_bytes()), now);
        assert_eq!(of("ends=1h"), "2025-01-15T11:30:00.000Z");
        assert_eq!(of("ends=morning"), "2025-01-16T09:00:00.000Z");
        assert_eq!(of("ends=morning&morning=2025-01-16T08%3A00%3A00.000Z"), "2025-01-16T08:00:00.000Z");
        assert_eq!(of("ends=at&at=2025-01-15T12%3A00"), "2025-01-15T12:00:00Z");
        assert_eq!(of("ends=at&at=soon"), "soon");
    }
}
