//! Nodes in memory: several may share one store.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use tokio::sync::broadcast;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::ids::{NodeId, OrgId, StreamId};
use toktra_siem_core::time::Timestamp;

use super::open::conflict;
use super::{Memory, State};
use crate::cluster::{Beat, Claim, Cluster, DEAD_AFTER, NodeRecord, Role, TAKES_WITHIN, Told};
use crate::deliveries::{Lease, StreamRecord};
use crate::error::{Result, StoreError};

impl Memory {
    /// Has calls of the cluster by this node fail, as though the store did not answer it, until it is let in again.
    pub fn cut_off(&self, node: NodeId) {
        self.lock().nodes.cut_off.insert(node);
    }

    /// Answers the node again.
    pub fn let_in(&self, node: NodeId) {
        self.lock().nodes.cut_off.remove(&node);
    }
}

/// What is told and not heard yet, at most.
const UNHEARD: usize = 256;

/// Everybody who ever joined, and who has which role.
#[derive(Default)]
pub(super) struct Nodes {
    known: BTreeMap<NodeId, Node>,
    /// The last owner of each role, and its number.
    roles: BTreeMap<Role, (Option<NodeId>, u64)>,
    /// Whom a test keeps away from the store.
    cut_off: BTreeSet<NodeId>,
}

struct Node {
    record: NodeRecord,
    beaten: Timestamp,
    retired: bool,
    dead: bool,
}

pub(super) fn channel() -> broadcast::Sender<Told> {
    broadcast::channel(UNHEARD).0
}

impl Nodes {
    /// Whoever was silent for too long is dead for ever, also if the clock goes back afterwards.
    fn bury(&mut self, now: Timestamp) {
        for node in self.known.values_mut() {
            // The clock was set back: a node that says nothing more must not live until it is that late again.
            node.beaten = node.beaten.min(now);
            node.dead |= node.beaten.plus(DEAD_AFTER) <= now;
        }
    }

    fn living(&mut self, id: NodeId, now: Timestamp) -> Result<&mut Node> {
        self.bury(now);
        if self.cut_off.contains(&id) {
            let (context, source) = ("asking the cluster", "a test keeps the node away".into());
            return Err(StoreError::Unavailable { context, source });
        }
        self.known.get_mut(&id).filter(|node| !node.dead).ok_or(StoreError::Fenced)
    }

    /// Whether the node is known, and lives.
    pub(super) fn lives(&mut self, id: NodeId, now: Timestamp) -> bool {
        self.bury(now);
        self.known.get(&id).is_some_and(|node| !node.dead)
    }

    /// Whether `node`, which lives, may take what `owner` has, or had.
    fn may_take(&self, node: NodeId, owner: Option<NodeId>, now: Timestamp) -> bool {
        let Some(owner) = owner else { return true };
        let dead = self.known.get(&owner).is_none_or(|owner| owner.dead);
        dead && self.known.get(&node).is_some_and(|node| now < node.beaten.plus(TAKES_WITHIN))
    }
}

impl State {
    /// The streams of active connectors.
    fn wanted(&self) -> Vec<StreamId> {
        let active = self.connectors.values().map(|row| &row.record.connector).filter(|connector| connector.active);
        active.flat_map(Connector::streams).collect()
    }

    fn claim(&mut self, node: NodeId, claim: Claim, most: usize, now: Timestamp) -> Result<Vec<(OrgId, Lease)>> {
        let most = if self.nodes.living(node, now)?.retired { 0 } else { most };
        let mut claimed = Vec::new();
        for id in self.wanted() {
            let Some(stream) = self.streams.get_mut(&id).filter(|_| claimed.len() < most) else { continue };
            let meant = match claim {
                Claim::Free => true,
                Claim::Former(former) => stream.owner == Some(former),
                Claim::Stream(wanted) => id == wanted,
            };
            if meant && self.nodes.may_take(node, stream.owner, now) {
                stream.owner = Some(node);
                stream.epoch += 1;
                claimed.push((stream.org, Lease { stream: id, epoch: stream.epoch }));
            }
        }
        Ok(claimed)
    }

    pub(super) fn lease(&mut self, node: NodeId, id: StreamId, now: Timestamp) -> Result<(Lease, StreamRecord)> {
        let stream = self.streams.get(&id).ok_or(StoreError::NotFound)?;
        let (owner, lease) = (stream.owner, Lease { stream: id, epoch: stream.epoch });
        self.nodes.living(node, now)?;
        if owner != Some(node) {
            return Err(StoreError::Fenced);
        }
        Ok((lease, self.record(self.stream(id)?)))
    }

    /// Frees the streams of the node that `which` names. Returns whether there were any.
    fn free(&mut self, node: NodeId, which: impl Fn(StreamId) -> bool) -> bool {
        let mut any = false;
        for stream in self.streams.values_mut().filter(|stream| stream.owner == Some(node) && which(stream.id)) {
            (stream.owner, any) = (None, true);
        }
        any
    }
}

#[async_trait]
impl Cluster for Memory {
    fn is_alone(&self) -> bool {
        false
    }

    async fn join(&self, record: NodeRecord) -> Result<()> {
        let (beaten, mut state) = (self.now(), self.lock());
        if state.nodes.known.contains_key(&record.id) {
            return Err(conflict("there was a node with this id"));
        }
        state.nodes.known.insert(record.id, Node { record, beaten, retired: false, dead: false });
        Ok(())
    }

    async fn beat(&self, node: NodeId) -> Result<Beat> {
        let (now, mut state) = (self.now(), self.lock());
        state.nodes.living(node, now)?.beaten = now;
        let alive = state.nodes.known.values().filter(|node| !node.dead && !node.retired);
        let alive = alive.map(|node| node.record.clone()).collect();
        Ok(Beat { alive, wanted: state.wanted().len(), now })
    }

    async fn claim(&self, node: NodeId, claim: Claim, most: usize) -> Result<Vec<(OrgId, Lease)>> {
        self.answers().await;
        let now = self.now();
        self.lock().claim(node, claim, most, now)
    }

    async fn owner(&self, stream: StreamId) -> Result<Option<NodeId>> {
        let (now, mut state) = (self.now(), self.lock());
        let owner = state.streams.get(&stream).and_then(|stream| stream.owner);
        Ok(owner.filter(|owner| state.nodes.lives(*owner, now)))
    }

    async fn release(&self, node: NodeId, streams: Vec<StreamId>) -> Result<()> {
        if self.lock().free(node, |id| streams.contains(&id)) {
            self.say(Told::Streams);
        }
        Ok(())
    }

    async fn role(&self, node: NodeId, role: Role) -> Result<Option<u64>> {
        let (now, mut state) = (self.now(), self.lock());
        state.nodes.living(node, now)?;
        let (owner, number) = state.nodes.roles.get(&role).copied().unwrap_or((None, 0));
        if owner == Some(node) {
            return Ok(Some(number));
        }
        if !state.nodes.may_take(node, owner, now) {
            return Ok(None);
        }
        state.nodes.roles.insert(role, (Some(node), number + 1));
        Ok(Some(number + 1))
    }

    async fn retire(&self, node: NodeId) -> Result<()> {
        let now = self.now();
        self.lock().nodes.living(node, now)?.retired = true;
        Ok(())
    }

    async fn leave(&self, node: NodeId) -> Result<()> {
        let mut state = self.lock();
        if let Some(left) = state.nodes.known.get_mut(&node) {
            left.dead = true;
        }
        if state.free(node, |_| true) {
            self.say(Told::Streams);
        }
        for (role, (owner, _)) in &mut state.nodes.roles {
            if *owner == Some(node) {
                *owner = None;
                self.say(Told::Role(*role));
            }
        }
        Ok(())
    }

    async fn tell(&self, told: Told) -> Result<()> {
        self.say(told);
        Ok(())
    }

    fn listen(&self) -> broadcast::Receiver<Told> {
        self.told.subscribe()
    }
}

impl Memory {
    fn say(&self, told: Told) {
        // Nobody may be listening.
        let _ = self.told.send(told);
    }
}
