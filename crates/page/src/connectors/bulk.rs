//! Pausing and resuming many connectors at once: asked about first, with their names. What is changed are those that were asked about.

use askama::Template;
use http::StatusCode;
use serde_json::json;
use toktra_siem_app::connectors::{self, IfMatch};
use toktra_siem_app::{Object, Refusal, health, named};
use toktra_siem_wire::Health;

use super::list::of_the_environment;
use super::one::health::waiting;
use super::wanted::{LIST, Wanted};
use crate::answer::Result;
use crate::error::PageError;
use crate::form::Form;
use crate::frame::{Frame, Notice, Section};
use crate::icon::Icon;
use crate::show;
use crate::visitor::Visitor;

/// Names that the question tells; of the others it says how many there are.
const NAMED: usize = 10;

/// The question.
#[derive(Template)]
#[template(path = "dashboard/connectors/bulk.html")]
struct Ask {
    frame: Frame,
    /// Whether they are to be active.
    active: bool,
    /// Those that match and would change.
    found: Vec<Health>,
    back: String,
}

impl Ask {
    fn connectors(&self) -> String {
        show::counted(self.found.len() as u64, "connector", "connectors")
    }

    fn verb(&self) -> &'static str {
        if self.active { "Resume" } else { "Pause" }
    }

    fn named(&self) -> impl Iterator<Item = &str> {
        self.found.iter().take(NAMED).map(|health| health.name.as_str())
    }

    fn more(&self) -> usize {
        self.found.len().saturating_sub(NAMED)
    }

    /// Whether events wait for any of them.
    fn waits(&self) -> bool {
        self.found.iter().any(|health| waiting(health) > 0)
    }
}

/// `GET /integrations/siem/bulk?active=…`, with what the list is asked for.
pub(crate) async fn ask(visitor: Visitor) -> Result {
    let wanted = Wanted { page: 0, ..Wanted::read(&visitor.address) };
    let form = Form::parse(visitor.address.split_once('?').map_or("", |(_, query)| query).as_bytes());
    let active = form.text("active") == "true";
    let fixed = of_the_environment(&visitor).await?;
    let matches = |health: &Health| {
        let platform = visitor.registry().label(health.platform);
        health.active != active && !fixed.contains_key(&health.connector_id) && wanted.matches(health, &platform)
    };
    let all = health::of_all(visitor.app(), visitor.caller()).await?.items;
    let found = all.into_iter().filter(matches).collect();
    let frame = visitor.frame("", Section::Connectors);
    let mut page = Ask { frame, active, found, back: wanted.address(LIST) };
    page.frame.title = format!("{} {}", page.verb(), page.connectors());
    visitor.page(&page)
}

/// `POST /integrations/siem/bulk`: each `id` becomes `active` or not; `resume` says what becomes of what waits.
pub(crate) async fn set(visitor: Visitor, form: Form) -> Result {
    let active = match form.text("active") {
        "true" => true,
        "false" => false,
        _ => return Err(NOTHING_SAID),
    };
    let mut body = json!({ "active": active });
    if let (true, Some(resume)) = (active, form.filled("resume")) {
        body["resume"] = resume.into();
    }
    let (mut done, mut refused) = (0_u64, Vec::new());
    for id in form.all("id") {
        let change = Object::of(&body);
        match connectors::change(visitor.app(), visitor.caller(), named(id)?, &IfMatch::Whatever, change).await {
            Ok(_) => done += 1,
            Err(refusal) => refused.push(refusal),
        }
    }
    let number = refused.len();
    let first = match refused.into_iter().next() {
        Some(refusal) if done == 0 => return Err(refusal.into()),
        first => first,
    };
    let verb = if active { "resumed" } else { "paused" };
    let said = format!("{} {verb}.", show::counted(done, "connector", "connectors"));
    let notice = match first {
        None => Notice::done(said),
        Some(Refusal { problem, .. }) => Notice::failed(format!("{said} {number} not changed. {}", problem.message)),
    };
    Ok(visitor.go_with(LIST, notice))
}

const NOTHING_SAID: PageError = PageError::Unreadable(
    StatusCode::UNPROCESSABLE_ENTITY,
    "The form does not say whether to pause or to resume. Go back to the list, and begin there.",
);
