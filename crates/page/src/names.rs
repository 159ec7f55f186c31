//! The org's connectors by id: histories name them, and know only their ids.

use serde::Deserialize;
use toktra_siem_core::ids::{ConnectorId, PlatformId};

use super::answer::Result;
use super::model::List;
use super::visitor::{Visitor, with_query};

/// Pages of the list that are read at most, of 100 connectors each. Whoever has more is shown ids instead of the names beyond.
const PAGES: usize = 20;

/// A connector, as far as others name it.
#[derive(Debug, Clone, Deserialize)]
pub struct Named {
    /// Its id.
    pub id: ConnectorId,
    /// What it is called.
    pub name: String,
    /// Where it sends.
    pub platform: PlatformId,
    /// Whether it is switched on.
    pub active: bool,
}

/// The org's connectors.
#[derive(Debug, Clone, Default)]
pub struct Connectors(Vec<Named>);

impl Connectors {
    /// Asks for them.
    pub async fn of(visitor: &Visitor) -> Result<Self> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        for _ in 0..PAGES {
            let path = with_query("/v1/siem/connectors", [("limit", "100"), ("cursor", cursor.as_str())]);
            let page: List<Named> = visitor.get(&path).await?;
            all.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = next,
                None => break,
            }
        }
        Ok(Self(all))
    }

    /// The connector with this id; `None` once it was deleted.
    pub fn get(&self, id: ConnectorId) -> Option<&Named> {
        self.0.iter().find(|connector| connector.id == id)
    }

    /// What it is called, also once it was deleted.
    pub fn name(&self, id: ConnectorId) -> &str {
        self.get(id).map_or("Deleted connector", |connector| connector.name.as_str())
    }

    /// All of them.
    pub fn all(&self) -> &[Named] {
        &self.0
    }
}

#[cfg(test)]
impl From<Vec<Named>> for Connectors {
    fn from(all: Vec<Named>) -> Self {
        Self(all)
    }
}
