//! What a line of the log tells, and the names of what it is about.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};
use toktra_siem_app::{Query, audit, channels, health, keys, users};
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
    /// What things were called that are gone.
    pub(super) former: HashMap<String, String>,
}

/// Kinds of things that can go, by the actions on them and by how they go.
const GONE: [(&str, &str); 3] = [
    ("connector", "connector.delete"),
    ("notification_channel", "notification_channel.delete"),
    ("user", "user.delete"),
];

impl Names {
    /// Asks for all of them at once. Of people and keys the first hundred are enough: the others keep the names that the log has.
    pub(super) async fn of(visitor: &Visitor, entries: &[AuditEntry]) -> Result<Self> {
        let (app, caller, first) = (visitor.app(), visitor.caller(), || Query::of([("limit", "100")]));
        let (connectors, people, keys, channels) = tokio::try_join!(
            health::of_all(app, caller),
            users::list(app, caller, first()),
            keys::list(app, caller, first()),
            channels::list(app, caller, first()),
        )?;
        let mut names = Self {
            former: HashMap::new(),
            connectors: connectors.items.into_iter().map(|one| (one.connector_id.to_string(), one.name)).collect(),
            people: people.items.into_iter().map(|one| (one.id.to_string(), one.name)).collect(),
            channels: channels.items.into_iter().map(|one| (one.id.to_string(), one.name)).collect(),
            keys: keys.items.into_iter().map(|one| (one.id.to_string(), one.name)).collect(),
        };
        for (object, gone) in names.missing(entries) {
            let query = Query::of([("object", object), ("action", gone), ("limit", "1")]);
            let found = audit::list(app, caller, query).await?.items;
            if let Some(name) = found.first().and_then(|entry| entry.named("name")) {
                names.former.insert(object.to_owned(), name.to_owned());
            }
        }
        Ok(names)
    }

    /// What `entries` are about and is not there any more, with the action by which it went.
    fn missing<'e>(&self, entries: &'e [AuditEntry]) -> BTreeSet<(&'e str, &'static str)> {
        let about = |entry: &'e AuditEntry| {
            let (kind, _) = entry.action.split_once('.')?;
            match entry.detail.get("connector_id").and_then(Value::as_str) {
                Some(connector) if kind == "job" => Some((connector, "connector.delete")),
                _ => GONE.iter().find(|(one, _)| *one == kind).map(|(_, gone)| (&*entry.object, *gone)),
            }
        };
        let there = |id: &str| [&self.connectors, &self.people, &self.channels].iter().any(|all| all.contains_key(id));
        entries.iter().filter_map(about).filter(|(id, _)| id.len() == 36 && !there(id)).collect()
    }

    /// What something was called that is gone.
    pub(super) fn former(&self, id: &str) -> Option<&str> {
        self.former.get(id).map(String::as_str)
    }
}
