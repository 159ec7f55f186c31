//! A process of the service: a node, its hub, and the workers behind it.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use toktra_siem_base::clock::Clock;
use toktra_siem_base::random::SeededRandom;
use toktra_siem_core::connector::Credentials;
use toktra_siem_core::ids::{ConnectorId, NodeId, OrgId, StreamId};
use toktra_siem_core::signing::SigningKeys;
use toktra_siem_dispatch::Context;
use toktra_siem_dispatch::hub::{Hub, HubHandle};
use toktra_siem_dispatch::link::{Link, LinkError, Links};
use toktra_siem_dispatch::node::Node;
use toktra_siem_platform::Registry;
use toktra_siem_store::{ConnectorRecord, Store, StoreError};
use toktra_siem_telemetry::Telemetry;

use super::siem::{Kind, SECRET, Siem, TOKEN};

/// What all processes share.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) registry: Registry,
    pub(super) siems: Vec<(ConnectorId, Arc<Siem>)>,
}

/// Leads each connector to its SIEM.
struct SimLinks(Arc<Shared>);

/// The credentials of a connector of this kind.
pub(super) fn credentials(kind: &Kind) -> Credentials {
    match kind {
        Kind::Splunk(_) => Credentials::of("hec_token", TOKEN.to_owned()),
        Kind::Elasticsearch(_) | Kind::Webhook(_) => Credentials::none(),
    }
}

#[async_trait]
impl Links for SimLinks {
    async fn link(&self, org: OrgId, stream: StreamId) -> Result<Link, LinkError> {
        let ConnectorRecord { connector, .. } = match self.0.store.connector(org, stream.connector).await {
            Err(StoreError::NotFound) => return Err(LinkError::Gone),
            other => other?,
        };
        let timeline = self.0.store.timeline(stream.connector).await?;
        let siem = self.0.siems.iter().find(|(id, _)| *id == connector.id).map(|(_, siem)| Arc::clone(siem));
        let siem = siem.ok_or(LinkError::Gone)?;
        let (registry, credentials) = (&self.0.registry, credentials(siem.kind()));
        let destination = registry.build(&connector.settings, &credentials, org, connector.id, stream.kind);
        let redactor = registry.redactor(&connector.settings, &credentials);
        Ok(Link {
            timeline,
            destination: destination.map_err(|error| LinkError::Unusable(format!("{error:?}")))?.into(),
            sender: siem,
            keys: SigningKeys { current: Some(SecretString::from(SECRET)), next: None },
            redactor,
            ready: tokio::sync::Mutex::default(),
            connector,
        })
    }
}

/// A process.
pub(super) struct Process {
    node: Arc<Node>,
    handle: HubHandle,
    drain: CancellationToken,
    leaves: CancellationToken,
    hub: JoinHandle<()>,
    beats: JoinHandle<()>,
}

impl Process {
    /// Starts one; `number` makes its chance another than that of others.
    pub(super) async fn start(shared: &Arc<Shared>, number: u64) -> Self {
        let (store, clock) = (Arc::clone(&shared.store), Arc::clone(&shared.clock));
        let random = Arc::new(SeededRandom::new(number));
        let name = format!("node {number}");
        let node =
            Node::join(store.clone(), clock.clone(), random.clone(), name).await.expect("the store takes a node");
        let telemetry = Arc::new(Telemetry::new(clock.clone(), &shared.registry));
        let links = Arc::new(SimLinks(Arc::clone(shared)));
        let context = Context::new(store, node.clone(), clock, random, links, shared.registry.clone(), telemetry);
        let (drain, leaves) = (CancellationToken::new(), CancellationToken::new());
        let (hub, handle) = Hub::new(Arc::new(context), drain.clone());
        // What fails here is told by what does not arrive.
        let hub = tokio::spawn(async move { drop(hub.run().await) });
        let beats = node.clone().run(leaves.clone());
        let beats = tokio::spawn(async move { drop(beats.await) });
        Self { node, handle, drain, leaves, hub, beats }
    }

    /// Under which the store knows it now.
    pub(super) fn id(&self) -> NodeId {
        self.node.member().id()
    }

    /// Tells it of a saved connector, as the API does.
    pub(super) fn connector_changed(&self, org: OrgId, connector: ConnectorId) {
        self.handle.connector_changed(org, connector);
    }

    /// Everything that it does ends where it is.
    pub(super) async fn kill(self) {
        self.hub.abort();
        self.beats.abort();
        let _ = (self.hub.await, self.beats.await);
    }

    /// It ends as after SIGTERM.
    pub(super) async fn leave(self) {
        self.drain.cancel();
        let _ = self.hub.await;
        self.leaves.cancel();
        let _ = self.beats.await;
    }
}
