//! The org's connectors by id: histories name them, and know only their ids.

use toktra_siem_app::{Query, connectors};
use toktra_siem_core::ids::{ConnectorId, PlatformId};
use toktra_siem_platform::Registry;
use toktra_siem_wire::Connector;

use super::answer::Result;
use super::visitor::Visitor;

/// Pages of the list that are read at most, of 100 connectors each. Whoever has more is shown ids instead of the names beyond.
const PAGES: usize = 20;

/// A connector, as far as others name it.
#[derive(Debug, Clone)]
pub struct Named {
    /// Its id.
    pub id: ConnectorId,
    /// What it is called.
    pub name: String,
    /// Where it sends.
    pub platform: PlatformId,
    /// What takes its events, in sentences.
    pub receiver: String,
    /// Where the search for an event is pasted.
    pub search_place: &'static str,
    /// Whether it is switched on.
    pub active: bool,
}

impl Named {
    fn of(registry: &Registry, connector: Connector) -> Self {
        let Connector { id, name, settings, active, .. } = connector;
        let receiver = registry.receiver(settings.platform, &settings.config);
        let platform = registry.get(settings.platform);
        let search_place = platform.map_or("In the SIEM", |platform| platform.search_place(&settings.config));
        Self { id, name, platform: settings.platform, receiver, search_place, active }
    }
}

/// The org's connectors.
#[derive(Debug, Clone, Default)]
pub struct Connectors(Vec<Named>);

impl Connectors {
    /// Asks for them.
    pub async fn of(visitor: &Visitor) -> Result<Self> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        for _ in 0..PAGES {
            let page = Query::of([("limit", "100"), ("cursor", cursor.as_str())]);
            let page = connectors::list(visitor.app(), visitor.caller(), page).await?;
            all.extend(page.items.into_iter().map(|connector| Named::of(visitor.registry(), connector)));
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
