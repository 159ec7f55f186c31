//! What the API answers about changes, and the names of what they are about.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use toktra_siem_core::time::Timestamp;

use crate::answer::Result;
use crate::model::List;
use crate::visitor::Visitor;

/// A line of the log.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Entry {
    /// When.
    pub(super) at: Timestamp,
    /// Who, as it was called then.
    pub(super) actor: String,
    /// Of which kind that is.
    pub(super) actor_kind: ActorKind,
    /// Its id, where it has one.
    pub(super) actor_id: Option<String>,
    /// What was done.
    pub(super) action: String,
    /// To what: its id.
    pub(super) object: String,
    /// Before and after, and what else is worth knowing.
    pub(super) detail: Map<String, Value>,
}

impl Entry {
    /// What is told of the object before (`before`) or after the change.
    pub(super) fn side(&self, side: &str) -> Option<&Map<String, Value>> {
        self.detail.get(side).and_then(Value::as_object)
    }

    /// The text of a member that names the object, as it is now, else as it was.
    pub(super) fn named(&self, member: &str) -> Option<&str> {
        ["after", "before"].into_iter().find_map(|side| self.side(side)?.get(member)?.as_str())
    }
}

/// Kinds of actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ActorKind {
    /// Whoever holds an API key.
    ApiKey,
    /// A person who is logged in.
    User,
    /// File and environment, at a start.
    Environment,
    /// The service by itself, or whoever has its data directory.
    System,
}

/// What is there at present, by id.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) connectors: HashMap<String, String>,
    pub(super) people: HashMap<String, String>,
    pub(super) keys: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(alias = "connector_id")]
    id: String,
    name: String,
}

impl Names {
    /// Asks for all of them at once. Of people and keys the first hundred are enough: the others keep the names that the log has.
    pub(super) async fn of(visitor: &Visitor) -> Result<Self> {
        let (connectors, people, keys) = tokio::try_join!(
            visitor.get::<List<Named>>("/v1/siem/health"),
            visitor.get::<List<Named>>("/v1/users?limit=100"),
            visitor.get::<List<Named>>("/v1/api-keys?limit=100"),
        )?;
        let by_id = |list: List<Named>| list.items.into_iter().map(|one| (one.id, one.name)).collect();
        Ok(Self { connectors: by_id(connectors), people: by_id(people), keys: by_id(keys) })
    }
}
