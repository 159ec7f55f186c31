//! What a line of the log tells, and the names of what it is about.

use std::collections::HashMap;

use serde_json::{Map, Value};
use toktra_siem_app::{Query, channels, health, keys, users};
use toktra_siem_wire::AuditEntry;

use crate::answer::Result;
use crate::visitor::Visitor;

/// A line of the log, side by side.
pub(super) trait Sides {
    /// What is told of the object before (`before`) or after the change.
    fn side(&self, side: &str) -> Option<&Map<String, Value>>;
    /// The text of a member that names the object, as it is now, else as it was.
    fn named(&self, member: &str) -> Option<&str>;
}

impl Sides for AuditEntry {
    fn side(&self, side: &str) -> Option<&Map<String, Value>> {
        self.detail.get(side).and_then(Value::as_object)
    }

    fn named(&self, member: &str) -> Option<&str> {
        ["after", "before"].into_iter().find_map(|side| self.side(side)?.get(member)?.as_str())
    }
}

/// What is there at present, by id.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) connectors: HashMap<String, String>,
    pub(super) people: HashMap<String, String>,
    pub(super) keys: HashMap<String, String>,
    pub(super) channels: HashMap<String, String>,
}

impl Names {
    /// Asks for all of them at once. Of people and keys the first hundred are enough: the others keep the names that the log has.
    pub(super) async fn of(visitor: &Visitor) -> Result<Self> {
        let (app, caller, first) = (visitor.app(), visitor.caller(), || Query::of([("limit", "100")]));
        let (connectors, people, keys, channels) = tokio::try_join!(
            health::of_all(app, caller),
            users::list(app, caller, first()),
            keys::list(app, caller, first()),
            channels::list(app, caller, first()),
        )?;
        Ok(Self {
            connectors: connectors.items.into_iter().map(|one| (one.connector_id.to_string(), one.name)).collect(),
            people: people.items.into_iter().map(|one| (one.id.to_string(), one.name)).collect(),
            channels: channels.items.into_iter().map(|one| (one.id.to_string(), one.name)).collect(),
            keys: keys.items.into_iter().map(|one| (one.id.to_string(), one.name)).collect(),
        })
    }
}
