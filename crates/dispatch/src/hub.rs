//! Claims streams for this node and runs a worker for each; tells it of saves, and ends it if the connector is switched off or deleted, or the
//! node has more than its share. A stream is given back once its worker has ended.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::ids::{ConnectorId, NodeId, OrgId, StreamId, StreamKind};
use toktra_siem_store::{Claim, StoreError, Told};

use super::Context;
use super::node::Member;
use super::run;
use super::worker::Control;

/// The pause before what the store failed to do is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The longest that a removal waits for the connector's workers. They end once what is on its way has been answered: a SIEM that hangs keeps
/// nobody longer.
const END: Duration = Duration::from_secs(5);

/// How often there is a look for streams that are free, at the least: a dead node tells nobody of its end.
const LOOKED: Duration = Duration::from_secs(2);

/// For so long a node that was given up takes back only what was its own: after the store was away, everybody does.
const OWN_FIRST: Duration = Duration::from_secs(2);

/// How often it turns although nothing happens, so that the watchdog sees that it does.
const TURNS: Duration = Duration::from_secs(5);

/// What is taken up in one turn, at most.
const AT_ONCE: usize = 1024;

/// What the hub is asked to do.
#[derive(Debug)]
enum Asked {
    /// Tell all nodes, this one among them.
    Tell(Told),
    /// Look at a connector once more.
    Look(OrgId, ConnectorId),
    /// Look at all of them.
    LookAtAll,
    /// The connector was removed, and the sender waits until its workers have ended.
    Removed(OrgId, ConnectorId, oneshot::Sender<()>),
    /// The worker with this number has ended.
    Ended(StreamId, u64),
}

/// A handle for telling the hub that a connector was saved or deleted, or has a new job.
#[derive(Clone)]
pub struct HubHandle(mpsc::UnboundedSender<Asked>);

impl HubHandle {
    /// Has the owner of its streams look at the connector again, whichever node that is. Changes are taken up in the order in which they are
    /// told.
    pub fn connector_changed(&self, org: OrgId, connector: ConnectorId) {
        // The hub is gone only while the process ends, when nothing is to be started any more.
        let _ = self.0.send(Asked::Tell(Told::Connector(org, connector)));
    }

    /// The connector was removed: returns once this node sends nothing more for it, or after a while. Others are told.
    pub async fn connector_removed(&self, org: OrgId, connector: ConnectorId) {
        let (ended, wait) = oneshot::channel();
        let _ = self.0.send(Asked::Removed(org, connector, ended));
        // Nobody answers while the process ends.
        let _ = tokio::time::timeout(END, wait).await;
    }

    /// Has the connector's workers look for their next job, on whichever node they are.
    pub fn job_changed(&self, connector: ConnectorId) {
        let _ = self.0.send(Asked::Tell(Told::Job(connector)));
    }
}

/// The owner of all workers of this node.
pub struct Hub {
    ctx: Arc<Context>,
    asked: mpsc::UnboundedReceiver<Asked>,
    ask: mpsc::UnboundedSender<Asked>,
    heard: broadcast::Receiver<Told>,
    members: watch::Receiver<Arc<Member>>,
    /// The node as it is now.
    member: Arc<Member>,
    /// Whom it was until it was given up, and until when it takes back only what was its own.
    former: Option<(NodeId, Instant)>,
    /// How many streams each node should have, as was last known.
    share: usize,
    /// When to look for streams that are free; `None` if none can become so.
    look_at: Option<Instant>,
    running: HashMap<StreamId, Running>,
    /// The number of the last worker.
    started: u64,
    /// Streams without a worker that are still to be given back.
    left: Vec<StreamId>,
    /// What the connectors are called, as they were last read: a failure is told by name.
    names: HashMap<ConnectorId, String>,
    drain: CancellationToken,
}

struct Running {
    org: OrgId,
    number: u64,
    changed: watch::Sender<u64>,
    jobs: watch::Sender<u64>,
    stop: CancellationToken,
    /// It is to be another node's.
    given_away: bool,
    /// Cancelled once the worker has ended.
    ended: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// Tells the hub of a worker's end, whatever it was.
struct Ends(mpsc::UnboundedSender<Asked>, StreamId, u64);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.send(Asked::Ended(self.1, self.2));
    }
}

impl Hub {
    /// A hub without workers yet. `drain` is cancelled when the process ends.
    pub fn new(ctx: Arc<Context>, drain: CancellationToken) -> (Self, HubHandle) {
        let (ask, asked) = mpsc::unbounded_channel();
        let handle = HubHandle(ask.clone());
        let (heard, members) = (ctx.store.listen(), ctx.node.members());
        let member = Arc::clone(&members.borrow());
        let hub = Self {
            ctx,
            asked,
            ask,
            heard,
            members,
            member,
            former: None,
            share: 0,
            look_at: None,
            running: HashMap::new(),
            started: 0,
            left: Vec::new(),
            names: HashMap::new(),
            drain,
        };
        (hub, handle)
    }

    /// Starts the workers of what this node can claim, then follows changes until the process ends; returns once every worker has ended.
    pub async fn run(mut self) -> Result<(), StoreError> {
        for record in self.ctx.store.all_connectors().await? {
            self.names.insert(record.connector.id, record.connector.name);
        }
        self.look().await;
        let mut batch = Vec::new();
        loop {
            self.ctx.watch.hub_turns();
            let look_at = self.look_at;
            tokio::select! {
                () = self.drain.cancelled() => break,
                _ = self.asked.recv_many(&mut batch, AT_ONCE) => self.answer(std::mem::take(&mut batch)).await,
                told = self.heard.recv() => self.hear(told).await,
                Ok(()) = self.members.changed() => self.begin_anew().await,
                () = until(look_at) => self.look().await,
                () = tokio::time::sleep(TURNS) => {}
            }
        }
        if self.retires().await {
            self.running.values().for_each(|running| running.stop.cancel());
        }
        while !self.running.is_empty() {
            self.asked.recv_many(&mut batch, AT_ONCE).await;
            let ended = batch.drain(..).filter_map(|asked| match asked {
                Asked::Ended(stream, number) => Some((stream, number)),
                Asked::Tell(_) | Asked::Look(..) | Asked::LookAtAll | Asked::Removed(..) => None,
            });
            let ended: Vec<_> = ended.collect();
            self.ended(ended).await;
        }
        Ok(())
    }

    /// Takes nothing more. Whether others are there: then what waits is theirs, and there is no end of it here.
    async fn retires(&self) -> bool {
        let (store, node) = (&self.ctx.store, &self.ctx.node);
        if store.is_alone() {
            return false;
        }
        let others = match store.retire(self.member.id()).await {
            Ok(()) => node.beat().await.map(|beat| !beat.alive.is_empty()),
            Err(failure) => Err(failure),
        };
        others.unwrap_or_else(|failure| {
            tracing::warn!(error = %failure, "the store could not be told that this node is about to leave");
            true
        })
    }

    async fn answer(&mut self, batch: Vec<Asked>) {
        let mut all_ended = Vec::new();
        for asked in batch {
            match asked {
                Asked::Tell(told) => {
                    if let Err(failure) = self.ctx.store.tell(told).await {
                        tracing::error!(error = %failure, "other nodes could not be told of a change; they find it out by themselves");
                        self.hear(Ok(told)).await;
                    }
                }
                Asked::Look(org, connector) => self.look_at(org, connector).await,
                Asked::LookAtAll => self.look_at_all().await,
                Asked::Removed(org, connector, ended) => {
                    self.stop(connector);
                    self.look_at(org, connector).await;
                    self.tell_of_end(connector, ended);
                    if let Err(failure) = self.ctx.store.tell(Told::Connector(org, connector)).await {
                        tracing::error!(error = %failure, "other nodes could not be told of a change; they find it out by themselves");
                    }
                }
                Asked::Ended(stream, number) => all_ended.push((stream, number)),
            }
        }
        let by_themselves = self.ended(all_ended).await;
        if self.ctx.store.is_alone() {
            for (org, connector) in by_themselves {
                self.look_at(org, connector).await;
            }
        }
    }

    async fn hear(&mut self, told: Result<Told, RecvError>) {
        match told {
            Ok(Told::Connector(org, connector)) => self.look_at(org, connector).await,
            Ok(Told::Job(connector)) => self.tell_of_job(connector),
            // What is free here was this node's.
            Ok(Told::Streams) if self.ctx.store.is_alone() => {}
            Ok(Told::Streams) => self.look().await,
            Ok(Told::Role(_)) => {}
            Err(RecvError::Lagged(_)) => self.look_at_all().await,
            // The store is there as long as the hub.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Takes what is free up to the share of this node, and gives back what is more.
    async fn look(&mut self) {
        let (store, alone) = (Arc::clone(&self.ctx.store), self.ctx.store.is_alone());
        self.look_at = (!alone).then(|| Instant::now() + self.ctx.node.within(LOOKED));
        self.give_back().await;
        if !alone {
            match self.ctx.node.beat().await {
                Ok(beat) => self.share = beat.wanted.div_ceil(beat.alive.len().max(1)),
                // It says so itself.
                Err(_) => return,
            }
        }
        let now = Instant::now();
        self.former = self.former.filter(|(_, until)| now < *until);
        let (claim, most) = match self.former {
            Some((former, _)) => (Claim::Former(former), usize::MAX),
            None if alone => (Claim::Free, usize::MAX),
            None => (Claim::Free, self.share.saturating_sub(self.running.len())),
        };
        match store.claim(self.member.id(), claim, most).await {
            Ok(claimed) => claimed.into_iter().for_each(|(org, lease)| self.start(org, lease.stream)),
            Err(failure) => {
                tracing::error!(error = %failure, "streams could not be claimed; trying again");
                self.look_soon();
            }
        }
        if !alone {
            self.give_away();
        }
    }

    /// Ends the workers of what is more than the share of this node, by more than one and a tenth: then another has less than its own.
    fn give_away(&mut self) {
        let mut own: Vec<StreamId> = self
            .running
            .iter()
            .filter(|(_, running)| !running.stop.is_cancelled())
            .map(|(stream, _)| *stream)
            .collect();
        let over = own.len().saturating_sub(self.share);
        if over <= 1 || over * 10 <= self.share {
            return;
        }
        own.sort_unstable();
        tracing::info!(streams = over, "this node has more than its share, and gives streams away");
        for stream in own.split_off(self.share) {
            if let Some(running) = self.running.get_mut(&stream) {
                running.given_away = true;
                running.stop.cancel();
            }
        }
    }

    /// The node was given up, and has joined anew: its workers end by themselves.
    async fn begin_anew(&mut self) {
        self.former = Some((self.member.id(), Instant::now() + OWN_FIRST));
        self.member = Arc::clone(&self.members.borrow_and_update());
        self.look().await;
    }

    async fn look_at(&mut self, org: OrgId, id: ConnectorId) {
        match self.ctx.store.connector(org, id).await {
            Ok(record) => self.take_up(record.connector).await,
            Err(StoreError::NotFound) => self.forget(id),
            Err(failure) => {
                let connector_name = self.names.get(&id);
                tracing::error!(connector = %id, connector_name, error = %failure, "a changed connector could not be read; trying again");
                self.ask_later(Asked::Look(org, id));
            }
        }
    }

    /// Something that was told is lost: looks at all connectors, and for jobs.
    async fn look_at_all(&mut self) {
        let records = match self.ctx.store.all_connectors().await {
            Ok(records) => records,
            Err(failure) => {
                tracing::error!(error = %failure, "the connectors could not be read; trying again");
                self.ask_later(Asked::LookAtAll);
                return;
            }
        };
        let there: HashSet<ConnectorId> = records.iter().map(|record| record.connector.id).collect();
        let gone: Vec<ConnectorId> =
            self.running.keys().map(|stream| stream.connector).filter(|id| !there.contains(id)).collect();
        for id in gone {
            self.forget(id);
        }
        for record in records {
            self.tell_of_job(record.connector.id);
            self.take_up(record.connector).await;
        }
    }

    /// What the connector is like now.
    async fn take_up(&mut self, connector: Connector) {
        if connector.active {
            for stream in connector.streams() {
                self.start_or_tell(connector.org, stream).await;
            }
        } else {
            self.stop(connector.id);
        }
        self.names.insert(connector.id, connector.name);
    }

    fn forget(&mut self, id: ConnectorId) {
        self.names.remove(&id);
        self.stop(id);
        for stream in StreamKind::ALL.into_iter().map(|kind| StreamId { connector: id, kind }) {
            self.ctx.warnings.forget(stream);
            self.ctx.telemetry.certificate(stream, None);
        }
    }

    async fn start_or_tell(&mut self, org: OrgId, stream: StreamId) {
        match self.running.get(&stream) {
            Some(running) if running.given_away => {}
            Some(running) if !running.stop.is_cancelled() && !running.task.is_finished() => {
                running.changed.send_modify(|saves| *saves += 1);
            }
            Some(running) if running.stop.is_cancelled() => self.start(org, stream),
            // What has just ended is looked at again then.
            Some(_) => {}
            None => self.claim(org, stream).await,
        }
    }

    /// A stream has no worker here: takes it, unless another has it or this node has enough.
    async fn claim(&mut self, org: OrgId, stream: StreamId) {
        // The share is of before the save, perhaps.
        if !self.ctx.store.is_alone() && self.running.len() > self.share {
            return;
        }
        match self.ctx.store.claim(self.member.id(), Claim::Stream(stream), 1).await {
            Ok(claimed) => claimed.into_iter().for_each(|(org, lease)| self.start(org, lease.stream)),
            Err(failure) => {
                tracing::error!(%stream, error = %failure, "a stream could not be claimed; trying again");
                self.ask_later(Asked::Look(org, stream.connector));
            }
        }
    }

    fn start(&mut self, org: OrgId, stream: StreamId) {
        self.left.retain(|left| *left != stream);
        self.started += 1;
        let number = self.started;
        let ((changed, changed_rx), (jobs, jobs_rx)) = (watch::channel(0), watch::channel(0));
        let stop = CancellationToken::new();
        let (drain, member) = (self.drain.clone(), Arc::clone(&self.member));
        let control = Control { changed: changed_rx, jobs: jobs_rx, stop: stop.clone(), drain, member };
        let before = self.running.remove(&stream).map(|running| running.task);
        let ended = CancellationToken::new();
        let (guard, ends) = (ended.clone().drop_guard(), Ends(self.ask.clone(), stream, number));
        let worker = run::supervised(self.ctx.clone(), org, stream, control, before);
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let (_ended, _ends) = (guard, ends);
            worker.await;
        }));
        let running = Running { org, number, changed, jobs, stop, given_away: false, ended, task };
        self.running.insert(stream, running);
    }

    /// Gives back the streams of workers that have ended; the connectors of those that nobody here has ended. Whoever has a successor is
    /// passed over.
    async fn ended(&mut self, all: Vec<(StreamId, u64)>) -> Vec<(OrgId, ConnectorId)> {
        let mut by_themselves = Vec::new();
        for (stream, number) in all {
            if self.running.get(&stream).is_some_and(|running| running.number == number)
                && let Some(running) = self.running.remove(&stream)
            {
                self.left.push(stream);
                if !self.names.contains_key(&stream.connector) {
                    self.ctx.warnings.forget(stream);
                    self.ctx.telemetry.certificate(stream, None);
                }
                if !running.stop.is_cancelled() {
                    by_themselves.push((running.org, stream.connector));
                }
            }
        }
        self.give_back().await;
        by_themselves
    }

    async fn give_back(&mut self) {
        if self.left.is_empty() {
            return;
        }
        match self.ctx.store.release(self.member.id(), self.left.clone()).await {
            Ok(()) => self.left.clear(),
            Err(failure) => {
                tracing::error!(error = %failure, "streams could not be given back; trying again");
                self.look_soon();
            }
        }
    }

    fn look_soon(&mut self) {
        self.look_at = Some(Instant::now() + AGAIN);
    }

    fn ask_later(&self, asked: Asked) {
        let ask = self.ask.clone();
        tokio::spawn(async move {
            tokio::time::sleep(AGAIN).await;
            let _ = ask.send(asked);
        });
    }

    /// A worker that starts later looks for its job by itself.
    fn tell_of_job(&self, connector: ConnectorId) {
        for running in self.of_connector(connector) {
            running.jobs.send_modify(|changes| *changes += 1);
        }
    }

    fn stop(&mut self, connector: ConnectorId) {
        for running in self.of_connector(connector) {
            running.stop.cancel();
        }
    }

    /// Tells when the workers of a connector that are to end have ended.
    fn tell_of_end(&self, connector: ConnectorId, ended: oneshot::Sender<()>) {
        let ending = self.of_connector(connector).filter(|running| running.stop.is_cancelled());
        let ending: Vec<CancellationToken> = ending.map(|running| running.ended.clone()).collect();
        tokio::spawn(async move {
            for worker in ending {
                worker.cancelled().await;
            }
            let _ = ended.send(());
        });
    }

    fn of_connector(&self, connector: ConnectorId) -> impl Iterator<Item = &Running> {
        StreamKind::ALL.into_iter().filter_map(move |kind| self.running.get(&StreamId { connector, kind }))
    }
}

/// Waits for that moment; for ever if there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
