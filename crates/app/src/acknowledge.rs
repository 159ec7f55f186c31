//! What somebody knows of a connector, so that nobody is told of it.

use std::time::Duration;

use serde_json::json;
use toktra_siem_core::fault::Wrong;
use toktra_siem_core::ids::{ConnectorId, OrgId};
use toktra_siem_core::notice::Acknowledgement;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{Change, Scope};
use toktra_siem_wire as wire;

use crate::connectors::{CONNECTOR, load};
use crate::object::{Member, Object};
use crate::users::text;
use crate::{App, Caller, Refusal, Result};

/// The longest that something is acknowledged.
const KNOWN_FOR: Duration = Duration::from_hours(30 * 24);
/// The longest note, in characters.
const NOTE: usize = 200;

/// Says that somebody knows about a connector: until then nothing is told of it but that events are about to be lost.
pub async fn acknowledge(app: &App, caller: &Caller, id: ConnectorId, mut object: Object) -> Result<wire::Health> {
    let org = caller.org(Scope::SiemWrite)?;
    let now = app.parts.clock.now();
    let note = text(&mut object, "note", true).map(|text| text.trim().to_owned());
    if let Some(note) = &note {
        let length = note.chars().count();
        if length == 0 || length > NOTE || note.chars().any(char::is_control) {
            object.fault("note", Wrong::length(1, NOTE, "characters, all of them printable"));
        }
    }
    let until = until(&mut object, now);
    object.finish()?;
    let (Some(note), Some(until)) = (note, until) else { return Err(Refusal::internal()) };
    let known = Acknowledgement { note, until, by: caller.principal.name.clone(), at: now };
    say(app, caller, org, id, Some(known)).await
}

fn until(object: &mut Object, now: Timestamp) -> Option<Timestamp> {
    let text = match object.text("until") {
        Member::Value(text) => text,
        Member::Null => {
            object.fault("until", Wrong::null());
            return None;
        }
        Member::Absent => {
            if !object.faulted("until") {
                object.fault("until", Wrong::missing());
            }
            return None;
        }
    };
    let until = crate::words::read::<Timestamp>(&text).filter(|until| *until > now && *until <= now.plus(KNOWN_FOR));
    if until.is_none() {
        let expected = "a time in RFC 3339, in the future and at most 30 days away, such as 2030-01-15T10:30:00Z";
        object.fault("until", Wrong::malformed(expected));
    }
    until
}

/// Takes that back.
pub async fn take_back(app: &App, caller: &Caller, id: ConnectorId) -> Result<wire::Health> {
    let org = caller.org(Scope::SiemWrite)?;
    say(app, caller, org, id, None).await
}

async fn say(
    app: &App,
    caller: &Caller,
    org: OrgId,
    id: ConnectorId,
    known: Option<Acknowledgement>,
) -> Result<wire::Health> {
    load(app, org, id).await?;
    let action = if known.is_some() { "connector.acknowledge" } else { "connector.acknowledge.end" };
    let detail = json!({ "after": known });
    let audit = caller.audit(app.parts.clock.now(), action, id, detail);
    let change = Change { value: known, audit };
    app.parts.store.acknowledge(org, id, change).await.map_err(|error| Refusal::store(CONNECTOR, error))?;
    crate::health::of_connector(app, caller, id).await
}
