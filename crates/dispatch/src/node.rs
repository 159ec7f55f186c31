//! This process among those that share the store: it joins, says that it lives, and joins anew under another id once it was given up.
//!
//! What it may do hangs on a [`Member`]: its time under one id. Whoever works for a stream asks that before each request, since a node that was
//! paused, or that the store does not answer, may have been given up without knowing.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex as Turn, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toktra_siem_base::clock::Clock;
use toktra_siem_base::random::Random;
use toktra_siem_core::ids::NodeId;
use toktra_siem_store::cluster::{BEAT, Beat};
use toktra_siem_store::{NodeRecord, Role, Store, StoreError, Told};

/// For so long after the store was told that a node lives it may begin a request: nobody else takes over before
/// [`toktra_siem_store::cluster::DEAD_AFTER`].
pub const HOLDS: Duration = Duration::from_secs(10);
/// The pause before the store is told again if that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// How often, at the least, whoever waits for a role asks for it.
const ASKED: Duration = Duration::from_secs(2);

/// A node under one id, from when it joined until it is dead.
#[derive(Debug)]
pub struct Member {
    id: NodeId,
    /// Silence does not kill it.
    alone: bool,
    /// The moment before the last time that the store took its word.
    beaten: Mutex<Instant>,
    dead: CancellationToken,
}

impl Member {
    /// Its id.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Whether what it owns is certainly still its own. Otherwise nothing may be sent.
    pub fn holds(&self) -> bool {
        !self.is_dead() && (self.alone || self.beaten.lock().elapsed() < HOLDS)
    }

    /// Whether the store has given it up. What it owned is lost.
    pub fn is_dead(&self) -> bool {
        self.dead.is_cancelled()
    }

    /// Returns once the store has given it up.
    pub async fn died(&self) {
        self.dead.cancelled().await;
    }
}

/// This process as a node.
pub struct Node {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    name: String,
    member: watch::Sender<Arc<Member>>,
    /// One beat at a time: a node that was given up joins anew once.
    turn: Turn<()>,
}

impl Node {
    /// Joins. `name`: what people know it by.
    pub async fn join(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        name: String,
    ) -> Result<Arc<Self>, StoreError> {
        let first = Arc::new(joined(&*store, &*clock, &*random, &name).await?);
        let (member, turn) = (watch::Sender::new(first), Turn::default());
        Ok(Arc::new(Self { store, clock, random, name, member, turn }))
    }

    /// What it is at present.
    pub fn member(&self) -> Arc<Member> {
        Arc::clone(&self.member.borrow())
    }

    /// What it is at present, and whenever it has joined anew.
    pub fn members(&self) -> watch::Receiver<Arc<Member>> {
        self.member.subscribe()
    }

    /// Says that it lives. `Fenced` if it was given up; then it has joined anew, unless the store failed.
    pub async fn beat(&self) -> Result<Beat, StoreError> {
        let _turn = self.turn.lock().await;
        let (member, before) = (self.member(), Instant::now());
        let told = self.store.beat(member.id).await;
        match &told {
            Ok(_) => *member.beaten.lock() = before,
            Err(StoreError::Fenced) => {
                tracing::warn!(node = %member.id, "this node was given up, since nothing was heard of it: its workers end, and it joins anew");
                member.dead.cancel();
                let next = joined(&*self.store, &*self.clock, &*self.random, &self.name).await?;
                self.member.send_replace(Arc::new(next));
            }
            Err(_) => {}
        }
        told
    }

    /// Says that it lives until `stop`, and then leaves: what it still owns is free at once.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            let pause = self.said().await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        if let Err(failure) = self.store.leave(self.member().id).await {
            tracing::warn!(error = %failure, "this node could not leave; what it owned is free once it is given up");
        }
        Ok(())
    }

    /// Says that it lives; in how long to do so again.
    async fn said(&self) -> Duration {
        if self.store.is_alone() {
            // Nobody asks.
            return Duration::MAX;
        }
        match self.beat().await {
            Ok(_) => BEAT,
            Err(StoreError::Fenced) => Duration::ZERO,
            Err(failure) => {
                tracing::warn!(error = %failure, "the store could not be told that this node lives; trying again");
                AGAIN
            }
        }
    }

    /// Whether it has the role; it takes it if nobody has.
    pub async fn has(&self, role: Role) -> bool {
        match self.store.role(self.member().id, role).await {
            Ok(number) => number.is_some(),
            // Its next beat finds out.
            Err(StoreError::Fenced) => false,
            Err(failure) => {
                tracing::warn!(role = role.as_str(), error = %failure, "a role could not be asked for; trying again");
                false
            }
        }
    }

    /// Returns once it has the role. Whoever works in it asks again before each piece of work.
    pub async fn until_it_has(&self, role: Role) {
        let mut heard = self.store.listen();
        while !self.has(role).await {
            tokio::select! {
                () = tokio::time::sleep(self.within(ASKED)) => {}
                () = released(&mut heard, role) => {}
            }
        }
    }

    /// A pause of `most`, less up to a quarter: nodes that started together do not ask together for ever.
    pub(super) fn within(&self, most: Duration) -> Duration {
        most.mul_f64(1.0 - self.random.jitter() / 4.0)
    }
}

async fn joined(store: &dyn Store, clock: &dyn Clock, random: &dyn Random, name: &str) -> Result<Member, StoreError> {
    let (id, before) = (NodeId(random.uuid_v7(clock.now())), Instant::now());
    store.join(NodeRecord { id, name: name.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }).await?;
    tracing::info!(node = %id, name, "this node has joined");
    Ok(Member { id, alone: store.is_alone(), beaten: Mutex::new(before), dead: CancellationToken::new() })
}

/// Returns once somebody has given the role back.
async fn released(heard: &mut broadcast::Receiver<Told>, role: Role) {
    loop {
        match heard.recv().await {
            Ok(Told::Role(released)) if released == role => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
