//! Pausing a connector and letting it go on. Where events wait, whoever switches it on is asked what becomes of them.

use askama::Template;
use axum::extract::Path;
use serde_json::json;
use toktra_siem_app::connectors::{self, IfMatch};
use toktra_siem_app::{Object, health, named};
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_wire::{Connector, ConnectorChanged, Health};

use super::health::{never_on, waiting};
use super::path;
use crate::answer::Result;
use crate::form::Form;
use crate::frame::{Frame, Notice, Section};
use crate::icon::Icon;
use crate::login::local;
use crate::show;
use crate::visitor::Visitor;

/// The question.
#[derive(Template)]
#[template(path = "dashboard/connectors/resume.html")]
struct Ask {
    frame: Frame,
    path: String,
    name: String,
    waiting: u64,
    /// Some of them may be in deliveries already, which go on whatever is chosen.
    some_go_on: bool,
    /// Events whose delivery failed before: they are sent again whatever is chosen.
    failed: u64,
    /// Nothing ever came of an event here.
    untried: bool,
}

impl Ask {
    fn waiting(&self) -> String {
        show::counted(self.waiting, "event", "events")
    }
}

async fn load(visitor: &Visitor, id: ConnectorId) -> Result<(Connector, Health)> {
    let (app, caller) = (visitor.app(), visitor.caller());
    Ok((connectors::get(app, caller, id).await?, health::of_connector(app, caller, id).await?))
}

/// `GET /integrations/siem/{id}/resume`.
pub(crate) async fn ask(visitor: Visitor, Path(id): Path<String>) -> Result {
    let (connector, health) = load(&visitor, named(&id)?).await?;
    if connector.active {
        return Ok(visitor.go(&path(&id, "")));
    }
    visitor.page(&Ask {
        frame: visitor.frame(format!("Resume {}", connector.name), Section::Connectors),
        path: path(&id, ""),
        waiting: waiting(&health),
        failed: health.streams.iter().map(|stream| stream.parked.failed).max().unwrap_or(0),
        some_go_on: health.streams.iter().any(|stream| stream.undelivered.pending > 0),
        untried: health.streams.iter().all(|stream| stream.last_success.is_none() && stream.last_error.is_none()),
        name: connector.name,
    })
}

/// Whether somebody who switches it on is asked what becomes of the events that wait.
pub(crate) async fn asks(visitor: &Visitor, connector: &Connector) -> Result<bool> {
    if connector.active || never_on(connector) {
        return Ok(false);
    }
    Ok(waiting(&health::of_connector(visitor.app(), visitor.caller(), connector.id).await?) > 0)
}

/// `POST /integrations/siem/{id}/active`: `active` is `true` or `false`; `resume` says what becomes of what waits (`backlog`, `now`), and is
/// asked for where it is missing and matters; `back` is where one came from.
pub(crate) async fn set(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    let on = form.text("active") == "true";
    let resume = form.filled("resume");
    let connector = connectors::get(visitor.app(), visitor.caller(), named(&id)?).await?;
    if on && resume.is_none() && asks(&visitor, &connector).await? {
        return Ok(visitor.go(&path(&id, "/resume")));
    }
    let mut body = json!({ "active": on });
    if let Some(resume) = resume {
        body["resume"] = resume.into();
    }
    let (change, any) = (Object::of(&body), IfMatch::Whatever);
    let changed = connectors::change(visitor.app(), visitor.caller(), named(&id)?, &any, change).await?;
    let back = form.filled("back").map_or_else(|| path(&id, ""), local);
    Ok(visitor.go_with(&back, Notice::done(told(on, never_on(&connector), &changed))))
}

fn told(on: bool, is_new: bool, changed: &ConnectorChanged) -> String {
    let ConnectorChanged { connector: Connector { name, .. }, backlog, skipped } = changed;
    let events = |n: u64| show::counted(n, "event", "events");
    match (on, backlog, skipped) {
        (false, ..) => format!("“{name}” is paused. New events are queued until you resume."),
        (true, 0, _) if is_new => format!("“{name}” is on, and starts with the next event."),
        (true, 0, 0) => format!("“{name}” is on."),
        (true, 0, skipped) => {
            format!("“{name}” is on, from now: {} that had waited {} skipped.", events(*skipped), was(*skipped))
        }
        (true, backlog, _) => format!(
            "“{name}” is on. {} that had waited {} delivered beside the new ones.",
            events(*backlog),
            are(*backlog)
        ),
    }
}

fn was(n: u64) -> &'static str {
    if n == 1 { "was" } else { "were" }
}

fn are(n: u64) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told_with_its_numbers() {
        let told = |on, backlog, skipped| {
            told(
                on,
                false,
                &ConnectorChanged { connector: crate::connectors::tests::connector("Prod"), backlog, skipped },
            )
        };
        assert_eq!(told(false, 0, 0), "“Prod” is paused. New events are queued until you resume.");
        assert_eq!(told(true, 0, 0), "“Prod” is on.");
        assert_eq!(told(true, 1, 0), "“Prod” is on. 1 event that had waited is delivered beside the new ones.");
        assert_eq!(told(true, 0, 1_204), "“Prod” is on, from now: 1,204 events that had waited were skipped.");
    }
}
