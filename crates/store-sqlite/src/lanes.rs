//! Whose a piece of work is that is no append, and what it costs: orgs take turns, and within an org its connectors. So an org gets no more of the
//! writer's time because it has many connectors, nor because one of its pieces is large.

use toktra_siem_core::ids::{ConnectorId, OrgId};
use toktra_siem_store::deliveries::{Open, Settlement};

use super::Sqlite;
use super::engine::Engine;

/// What a piece of work costs, as so many bytes of payload.
pub(super) const OTHER: usize = 16 << 10;
/// And each parked event that it writes or moves.
const PARKED: usize = 4 << 10;

/// A piece of work, as the writer's queue sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    /// Whose turn it takes: an org's, or that of everything else.
    pub(super) org: Option<OrgId>,
    /// Within that: a connector's, or that of everything else.
    pub(super) connector: Option<ConnectorId>,
    /// Of the writer's time, as so many bytes.
    pub(super) cost: usize,
    /// Somebody waits for it.
    pub(super) urgent: bool,
}

impl Work {
    /// What belongs to no connector.
    pub(super) const REST: Self = Self { org: None, connector: None, cost: OTHER, urgent: true };

    /// A delivery's pinning.
    pub(super) fn opening(self, open: &Open) -> Self {
        Self { cost: OTHER * open.deliveries.len().max(1), ..self }
    }

    /// A delivery's end.
    pub(super) fn settling(self, settlement: &Settlement) -> Self {
        let parked = settlement.parked.len() + settlement.held.len();
        Self { cost: OTHER * (1 + settlement.children.len()) + PARKED * parked, ..self }
    }
}

impl Sqlite {
    /// Work on a connector's deliveries.
    pub(super) fn work_of(&self, connector: ConnectorId) -> Work {
        let org = self.shared.owners.read().get(&connector).copied();
        Work { org, connector: Some(connector), ..Work::REST }
    }

    /// Remembers whose connector it is. Whoever works on one has leased its streams first.
    pub(super) fn note_owner(&self, connector: ConnectorId, org: OrgId) {
        if self.shared.owners.read().get(&connector) != Some(&org) {
            self.shared.owners.write().insert(connector, org);
        }
    }
}

impl Engine {
    /// The connector is gone, for good.
    pub(super) fn forget_owner(&self, connector: ConnectorId) {
        self.shared.owners.write().remove(&connector);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use toktra_siem_store::OrgStore as _;
    use toktra_siem_store::conformance::flow::Flow;
    use toktra_siem_store::conformance::{Fixture, World};

    use super::super::fault::Fault;
    use super::super::{SqliteOptions, connectors};
    use super::*;

    #[tokio::test]
    async fn work_on_a_connector_takes_its_orgs_turn_for_as_long_as_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut opened = None;
        let world = World::new(|clock| {
            let store = Sqlite::open(dir.path(), SqliteOptions { clock, ..SqliteOptions::default() }).unwrap();
            opened = Some(Arc::clone(&store));
            Fixture { store, damages: None, keep: Box::new(()) }
        })
        .await;
        let store = opened.unwrap();
        let stream = world.stream().await;
        assert_eq!(store.work_of(stream.connector).org, None);
        let flow = Flow::take_over(&world, stream).await;
        assert_eq!(flow.stream, stream);
        let work = store.work_of(stream.connector);
        assert_eq!((work.org, work.connector), (Some(world.org), Some(stream.connector)));
        let audit = world.audit("connector.delete", &stream.connector);
        // A removal that comes to nothing leaves it where it is.
        let (org, lost) = (world.org, audit.clone());
        let delete = move |engine: &mut Engine| {
            connectors::delete(engine, org, stream.connector, None, &lost)?;
            Err::<(), _>(Fault::Failed(rusqlite::Error::InvalidQuery))
        };
        store.writer.call("testing", delete).await.unwrap_err();
        assert_eq!(store.work_of(stream.connector).org, Some(world.org));
        store.delete_connector(world.org, stream.connector, None, audit).await.unwrap();
        assert!(store.shared.owners.read().is_empty());
    }
}
