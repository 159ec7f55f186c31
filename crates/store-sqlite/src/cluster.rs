//! The one node of the embedded backend: no other process can open the data directory, so it owns whatever it asks for, and never dies of silence.
//! Who it is stands in memory only: with the process everything that it owned is free.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::{Mutex, broadcast};
use tokio::time::Instant;
use toktra_siem_core::ids::{NodeId, OrgId, StreamId};
use toktra_siem_store::cluster::{Beat, Claim, Cluster, NodeRecord, Role, Told};
use toktra_siem_store::deliveries::Lease;
use toktra_siem_store::error::{Result, StoreError};

use super::Sqlite;
use super::connectors;
use super::fault::Outcome;
use super::streams::{self, StreamRow};

/// How often a stream is looked at for damage at most, however often its lease is asked for: the look walks over all that is parked.
const LOOKED_AT_EVERY: Duration = Duration::from_mins(5);
/// What is told and not heard yet, at most.
const UNHEARD: usize = 4096;

/// The node of this process.
pub(super) struct Alone {
    state: Mutex<State>,
    told: broadcast::Sender<Told>,
}

#[derive(Default)]
struct State {
    /// The living one.
    node: Option<NodeRecord>,
    /// Whether that one takes no more streams.
    retired: bool,
    /// All that ever joined.
    known: BTreeSet<NodeId>,
    /// By the number of the stream: one that is made again is another.
    streams: HashMap<i64, (StreamId, NodeId)>,
    /// When those were last looked at for damage, by their number.
    looked_at: HashMap<i64, Instant>,
    roles: BTreeMap<Role, (Option<NodeId>, u64)>,
}

impl Default for Alone {
    fn default() -> Self {
        Self { state: Mutex::default(), told: broadcast::channel(UNHEARD).0 }
    }
}

impl Alone {
    fn say(&self, told: Told) {
        // Nobody may be listening.
        let _ = self.told.send(told);
    }

    /// Refuses whoever has not claimed the stream with this number, or is dead.
    pub(super) async fn check_owner(&self, node: NodeId, num: i64) -> Result<()> {
        let state = self.state.lock().await;
        state.living(node)?;
        if state.owner(num) == Some(node) { Ok(()) } else { Err(StoreError::Fenced) }
    }

    /// Whether the stream with this number is to be looked at for damage: at its first lease, and when it was not for a while.
    pub(super) async fn is_due(&self, num: i64) -> bool {
        let (now, mut state) = (Instant::now(), self.state.lock().await);
        let due = state.looked_at.get(&num).is_none_or(|before| now - *before >= LOOKED_AT_EVERY);
        if due {
            state.looked_at.insert(num, now);
        }
        due
    }

    /// The node that lives.
    pub(super) async fn living(&self) -> Option<NodeId> {
        self.state.lock().await.node.as_ref().map(|node| node.id)
    }
}

impl State {
    fn living(&self, id: NodeId) -> Result<&NodeRecord> {
        self.node.as_ref().filter(|node| node.id == id).ok_or(StoreError::Fenced)
    }

    /// Whether `node`, which lives, may take this stream.
    fn is_meant(&self, node: NodeId, claim: Claim, num: i64) -> bool {
        let owner = self.owner(num);
        owner != Some(node)
            && match claim {
                Claim::Free | Claim::Stream(_) => true,
                Claim::Former(former) => owner == Some(former),
            }
    }

    fn owner(&self, num: i64) -> Option<NodeId> {
        self.streams.get(&num).map(|(_, owner)| *owner)
    }
}

#[async_trait]
impl Cluster for Sqlite {
    fn is_alone(&self) -> bool {
        true
    }

    /// The node that was there is dead from now on.
    async fn join(&self, node: NodeRecord) -> Result<()> {
        let mut state = self.alone.state.lock().await;
        if !state.known.insert(node.id) {
            return Err(StoreError::Conflict(format!("there was a node {} before", node.id)));
        }
        (state.node, state.retired) = (Some(node), false);
        Ok(())
    }

    async fn beat(&self, node: NodeId) -> Result<Beat> {
        let alive = {
            let state = self.alone.state.lock().await;
            Some(state.living(node)?.clone()).filter(|_| !state.retired).into_iter().collect()
        };
        let wanted = self.readers.run("reading the streams that are wanted", |conn| Ok(wanted(conn)?.len())).await?;
        let now = self.writer.call("asking for the time", |engine| Ok(engine.now())).await?;
        Ok(Beat { alive, wanted, now })
    }

    async fn claim(&self, node: NodeId, claim: Claim, most: usize) -> Result<Vec<(OrgId, Lease)>> {
        // Held until the claim is on disk: then its streams are the node's.
        let mut state = self.alone.state.lock().await;
        state.living(node)?;
        if state.retired {
            return Ok(Vec::new());
        }
        let all = self.readers.run("reading the streams that are wanted", move |conn| match claim {
            Claim::Free | Claim::Former(_) => wanted(conn),
            Claim::Stream(id) => wanted_one(conn, id),
        });
        let all = all.await?;
        let meant: Vec<i64> =
            all.iter().map(|row| row.num).filter(|num| state.is_meant(node, claim, *num)).take(most).collect();
        if meant.is_empty() {
            return Ok(Vec::new());
        }
        let claimed = self
            .writer
            .call("claiming streams", move |engine| {
                let mut claimed = Vec::with_capacity(meant.len());
                for num in &meant {
                    // It may be gone by now.
                    let found = streams::by_number(&engine.conn, *num)?.filter(|row| !row.removed);
                    let Some(mut row) = found else { continue };
                    row.epoch += 1;
                    row.store(&engine.conn)?;
                    claimed.push((*num, row.org, Lease { stream: row.id, epoch: row.epoch }));
                }
                Ok(claimed)
            })
            .await?;
        state.streams.extend(claimed.iter().map(|(num, _, lease)| (*num, (lease.stream, node))));
        Ok(claimed.into_iter().map(|(_, org, lease)| (org, lease)).collect())
    }

    async fn owner(&self, stream: StreamId) -> Result<Option<NodeId>> {
        let state = self.alone.state.lock().await;
        let living = state.node.as_ref().map(|node| node.id);
        Ok(living.filter(|living| state.streams.values().any(|owned| *owned == (stream, *living))))
    }

    async fn release(&self, node: NodeId, streams: Vec<StreamId>) -> Result<()> {
        let mut state = self.alone.state.lock().await;
        let before = state.streams.len();
        state.streams.retain(|_, (id, owner)| *owner != node || !streams.contains(id));
        if state.streams.len() < before {
            self.alone.say(Told::Streams);
        }
        Ok(())
    }

    async fn role(&self, node: NodeId, role: Role) -> Result<Option<u64>> {
        let mut state = self.alone.state.lock().await;
        state.living(node)?;
        let (owner, number) = state.roles.get(&role).copied().unwrap_or((None, 0));
        let number = if owner == Some(node) { number } else { number + 1 };
        state.roles.insert(role, (Some(node), number));
        Ok(Some(number))
    }

    async fn retire(&self, node: NodeId) -> Result<()> {
        let mut state = self.alone.state.lock().await;
        state.living(node)?;
        state.retired = true;
        Ok(())
    }

    async fn leave(&self, node: NodeId) -> Result<()> {
        let mut state = self.alone.state.lock().await;
        state.node = state.node.take().filter(|living| living.id != node);
        let before = state.streams.len();
        state.streams.retain(|_, (_, owner)| *owner != node);
        if state.streams.len() < before {
            self.alone.say(Told::Streams);
        }
        for (role, (owner, _)) in &mut state.roles {
            if *owner == Some(node) {
                *owner = None;
                self.alone.say(Told::Role(*role));
            }
        }
        Ok(())
    }

    async fn tell(&self, told: Told) -> Result<()> {
        self.alone.say(told);
        Ok(())
    }

    fn listen(&self) -> broadcast::Receiver<Told> {
        self.alone.told.subscribe()
    }
}

/// The streams of active connectors.
fn wanted(conn: &Connection) -> Outcome<Vec<StreamRow>> {
    let mut found = Vec::new();
    for (row, connector) in streams::all_readable(conn)? {
        if connector.active {
            found.push(row);
        }
    }
    Ok(found)
}

/// The same of one stream.
fn wanted_one(conn: &Connection, id: StreamId) -> Outcome<Vec<StreamRow>> {
    let Some(row) = streams::find(conn, id)?.filter(|row| !row.removed) else { return Ok(Vec::new()) };
    let active = connectors::record(conn, row.org_num, id.connector)?.connector.active;
    Ok(active.then_some(row).into_iter().collect())
}
