//! Who works on what, if several nodes share a store.
//!
//! A node is one process, from its start to its end. It joins under an id of its own and says every [`BEAT`] that it lives. It claims streams,
//! and each claim is a newer [`Lease`], so that a former owner is fenced. A node that says nothing for [`DEAD_AFTER`], or leaves, is dead; its
//! streams and roles are free, and it never comes back under that id. So nobody has to agree with anybody: the store decides.
//!
//! A backend that only one process can open has one node, which never dies of silence: nobody else could take its place.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;
use toktra_siem_core::ids::{ConnectorId, NodeId, OrgId, StreamId};
use toktra_siem_core::time::Timestamp;

use crate::deliveries::Lease;
use crate::error::Result;

/// How often a node says that it lives.
pub const BEAT: Duration = Duration::from_secs(3);
/// A node that has said nothing for so long is dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);
/// Whoever takes from the dead must have said itself less than this ago that it lives: if the store was away, nobody could say so, and the others
/// are not dead at all.
pub const TAKES_WITHIN: Duration = Duration::from_secs(3);

/// A node, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// Which; a new one each time that it joins.
    pub id: NodeId,
    /// What people know it by, such as its host's name.
    pub name: String,
    /// The version that it runs.
    pub version: String,
}

/// What a node learns whenever it says that it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// All that live and have not retired, by id.
    pub alive: Vec<NodeRecord>,
    /// How many streams are wanted, which means that their connector is active. Divided by the nodes that live, it is the share of each.
    pub wanted: usize,
    /// The store's time.
    pub now: Timestamp,
}

/// What a claim may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Whatever is free.
    Free,
    /// What this node owned when it died: itself, under the id that it had before. So each gets its own back after the store was away.
    Former(NodeId),
    /// This one: its connector was saved just now.
    Stream(StreamId),
}

/// Work that one node at a time does for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Removes what is old, and makes the log's next parts.
    Retention,
    /// Ends rotations of signing secrets.
    Rotations,
    /// Works off the jobs that give up parked events.
    Discards,
    /// Sends heartbeats and alerts of the service itself, and notices to people.
    OwnEvents,
    /// Compares the accounts of all streams.
    Accounts,
}

impl Role {
    /// Its word, for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Rotations => "rotations",
            Self::Discards => "discards",
            Self::OwnEvents => "own_events",
            Self::Accounts => "accounts",
        }
    }
}

/// What nodes tell each other. A hint: it may be lost, and whoever hears it reads what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// A connector was made, saved or removed.
    Connector(OrgId, ConnectorId),
    /// A job of the connector was made, or cancelled.
    Job(ConnectorId),
    /// Streams were released.
    Streams,
    /// A role was released.
    Role(Role),
}

/// Nodes, and what each of them owns. Calls of a dead or unknown node are refused as `Fenced`, but for `release` and `leave`, which then find
/// nothing to do.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Whether nobody else can ever be at work beside a node of this process. Then silence does not kill, and nothing becomes free but by what
    /// happens here.
    fn is_alone(&self) -> bool;

    /// Joins, alive from now on. `Conflict` if a node has had this id before, dead or alive.
    async fn join(&self, node: NodeRecord) -> Result<()>;

    /// Says that the node lives. Once it was `Fenced` it stops everything, and may join under another id.
    async fn beat(&self, node: NodeId) -> Result<Beat>;

    /// Takes streams that are wanted and have no living owner, at most `most`, each under a newer [`Lease`], which
    /// [`DeliveryStore::lease`](crate::DeliveryStore::lease) gives from then on. Those of the dead are taken only within
    /// [`TAKES_WITHIN`] of the node's own last beat.
    async fn claim(&self, node: NodeId, claim: Claim, most: usize) -> Result<Vec<(OrgId, Lease)>>;

    /// The living node that owns the stream. `None` where nobody does, or nobody that is still there.
    async fn owner(&self, stream: StreamId) -> Result<Option<NodeId>>;

    /// Gives streams back, which are free at once; those that are not the node's are passed over. A stream that is wanted no more is its owner's
    /// until then. Tells [`Told::Streams`] if any was given back.
    async fn release(&self, node: NodeId, streams: Vec<StreamId>) -> Result<()>;

    /// Takes a role, or keeps it: a number that is the same for as long as the node has it, and higher than that of any owner before that may
    /// still be at work. `None` while a living node has it. A dead node's role is taken as its streams are.
    async fn role(&self, node: NodeId, role: Role) -> Result<Option<u64>>;

    /// Has the node take no more streams: it is about to leave, and others count their shares without it. What it owns stays its own until it
    /// gives it back.
    async fn retire(&self, node: NodeId) -> Result<()>;

    /// Ends the node: it is dead, and what it owned is free at once. Tells [`Told::Streams`] and each [`Told::Role`] that it gave back.
    async fn leave(&self, node: NodeId) -> Result<()>;

    /// Tells all nodes, this one among them.
    async fn tell(&self, told: Told) -> Result<()>;

    /// Hears what is told from now on. Whoever falls behind loses some of it.
    fn listen(&self) -> broadcast::Receiver<Told>;
}
