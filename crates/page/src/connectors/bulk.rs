//! Pausing and resuming many connectors at once: asked about first, with how many there are.

use askama::Template;
use serde_json::json;
use toktra_siem_app::connectors::{self, IfMatch};
use toktra_siem_app::{Object, health};
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_wire::Health;

use super::one::health::waiting;
use super::wanted::{LIST, Wanted};
use crate::answer::Result;
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
    names: Vec<String>,
    more: usize,
    /// Of all that match.
    number: usize,
    /// Events that wait for them.
    waiting: u64,
    /// Where the form goes, which names what is wanted.
    action: String,
    back: String,
}

impl Ask {
    fn connectors(&self) -> String {
        show::counted(self.number as u64, "connector", "connectors")
    }

    fn verb(&self) -> &'static str {
        if self.active { "Resume" } else { "Pause" }
    }
}

/// What is wanted, and whether that is to be active.
fn read(address: &str) -> (Wanted, bool) {
    let form = Form::parse(address.split_once('?').map_or("", |(_, query)| query).as_bytes());
    (Wanted { page: 0, ..Wanted::read(address) }, form.text("active") == "true")
}

/// Those that match and would change.
async fn found(visitor: &Visitor, wanted: &Wanted, active: bool) -> Result<Vec<Health>> {
    let all = health::of_all(visitor.app(), visitor.caller()).await?.items;
    let matches = |health: &Health| {
        let platform = visitor.registry().label(health.platform);
        health.active != active && wanted.matches(health, &platform)
    };
    Ok(all.into_iter().filter(matches).collect())
}

/// `GET /integrations/siem/bulk?active=…`, with what the list is asked for.
pub(crate) async fn ask(visitor: Visitor) -> Result {
    let (wanted, active) = read(&visitor.address);
    let found = found(&visitor, &wanted, active).await?;
    let mut page = Ask {
        frame: visitor.frame("", Section::Connectors),
        active,
        names: found.iter().take(NAMED).map(|health| health.name.clone()).collect(),
        more: found.len().saturating_sub(NAMED),
        number: found.len(),
        waiting: found.iter().map(waiting).fold(0, u64::saturating_add),
        action: wanted.bulk(active),
        back: wanted.address(LIST),
    };
    page.frame.title = format!("{} {}", page.verb(), page.connectors());
    visitor.page(&page)
}

/// `POST /integrations/siem/bulk?active=…`: `resume` says what becomes of what waits.
pub(crate) async fn set(visitor: Visitor, form: Form) -> Result {
    let (wanted, active) = read(&visitor.address);
    let (mut done, mut refused) = (0_u64, Vec::new());
    for Health { connector_id, name, .. } in found(&visitor, &wanted, active).await? {
        match change(&visitor, connector_id, active, form.filled("resume")).await {
            Ok(()) => done += 1,
            Err(_) => refused.push(name),
        }
    }
    let verb = if active { "resumed" } else { "paused" };
    let mut said = format!("{} {verb}.", show::counted(done, "connector", "connectors"));
    if let [first, rest @ ..] = &refused[..] {
        let others = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        said = format!("{said} Not changed: “{first}”{others}. A connector of the environment is changed there.");
    }
    let notice = if refused.is_empty() { Notice::done(said) } else { Notice::failed(said) };
    Ok(visitor.go_with(LIST, notice))
}

async fn change(visitor: &Visitor, id: ConnectorId, active: bool, resume: Option<&str>) -> Result<()> {
    let mut body = json!({ "active": active });
    if let (true, Some(resume)) = (active, resume) {
        body["resume"] = resume.into();
    }
    connectors::change(visitor.app(), visitor.caller(), id, &IfMatch::Whatever, Object::of(&body)).await?;
    Ok(())
}
