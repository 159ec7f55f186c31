//! Starts a worker for each stream of an active connector, tells it of saves, and ends it when the connector is switched off or deleted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use toktra_siem_core::ids::{ConnectorId, OrgId, StreamId, StreamKind};
use toktra_siem_store::StoreError;

use super::Context;
use super::worker::{self, Control};

/// The pause before a worker that panicked is started again, and before a connector that could not be read is looked at again.
const AGAIN: Duration = Duration::from_secs(1);

/// The longest that a removal waits for the connector's workers. They end once what is on its way has been answered: a SIEM that hangs keeps
/// nobody longer.
const END: Duration = Duration::from_secs(5);

/// What the hub is told.
#[derive(Debug)]
enum Told {
    /// A connector was made, saved or removed.
    Connector(OrgId, ConnectorId),
    /// The same, and the sender waits until the connector's workers have ended.
    Removed(OrgId, ConnectorId, oneshot::Sender<()>),
    /// A job of the connector was made, or cancelled.
    Job(ConnectorId),
}

/// A handle for telling the hub that a connector was saved or deleted, or has a new job.
#[derive(Clone)]
pub struct HubHandle(mpsc::UnboundedSender<Told>);

impl HubHandle {
    /// Has the hub look at the connector again. Changes are taken up in the order in which they are told.
    pub fn connector_changed(&self, org: OrgId, connector: ConnectorId) {
        // The hub is gone only while the process ends, when nothing is to be started any more.
        let _ = self.0.send(Told::Connector(org, connector));
    }

    /// The connector was removed: returns once nothing more is sent for it, or after a while.
    pub async fn connector_removed(&self, org: OrgId, connector: ConnectorId) {
        let (ended, wait) = oneshot::channel();
        let _ = self.0.send(Told::Removed(org, connector, ended));
        // Nobody answers while the process ends.
        let _ = tokio::time::timeout(END, wait).await;
    }

    /// Has the connector's workers look for their next job.
    pub fn job_changed(&self, connector: ConnectorId) {
        let _ = self.0.send(Told::Job(connector));
    }
}

/// The owner of all workers.
pub struct Hub {
    ctx: Arc<Context>,
    told: mpsc::UnboundedReceiver<Told>,
    tell: mpsc::UnboundedSender<Told>,
    running: HashMap<StreamId, Running>,
    /// What the connectors are called, as they were last read: a failure is told by name.
    names: HashMap<ConnectorId, String>,
    drain: CancellationToken,
}

struct Running {
    changed: watch::Sender<u64>,
    jobs: watch::Sender<u64>,
    stop: CancellationToken,
    /// Cancelled once the worker has ended.
    ended: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Hub {
    /// A hub without workers yet. `drain` is cancelled when the process ends.
    pub fn new(ctx: Arc<Context>, drain: CancellationToken) -> (Self, HubHandle) {
        let (tell, told) = mpsc::unbounded_channel();
        let handle = HubHandle(tell.clone());
        (Self { ctx, told, tell, running: HashMap::new(), names: HashMap::new(), drain }, handle)
    }

    /// Starts the workers of every active connector, then follows changes until the process ends; returns once every worker has ended.
    pub async fn run(mut self) -> Result<(), StoreError> {
        for record in self.ctx.store.all_connectors().await? {
            if record.connector.active {
                for stream in record.connector.streams() {
                    self.start(record.connector.org, stream);
                }
            }
            self.names.insert(record.connector.id, record.connector.name);
        }
        loop {
            tokio::select! {
                () = self.drain.cancelled() => break,
                Some(told) = self.told.recv() => match told {
                    Told::Connector(org, connector) => self.look_at(org, connector).await,
                    Told::Removed(org, connector, ended) => {
                        self.stop(connector);
                        self.look_at(org, connector).await;
                        self.tell_of_end(connector, ended);
                    }
                    Told::Job(connector) => self.tell_of_job(connector),
                },
            }
        }
        for (stream, running) in self.running {
            if let Err(failure) = running.task.await {
                let connector_name = self.names.get(&stream.connector);
                tracing::error!(%stream, connector_name, error = %failure, "a worker did not end as it should");
            }
        }
        Ok(())
    }

    async fn look_at(&mut self, org: OrgId, id: ConnectorId) {
        let found = self.ctx.store.connector(org, id).await;
        match &found {
            Ok(record) => drop(self.names.insert(id, record.connector.name.clone())),
            Err(StoreError::NotFound) => drop(self.names.remove(&id)),
            Err(_) => {}
        }
        match found {
            Ok(record) if record.connector.active => {
                for stream in record.connector.streams() {
                    self.start_or_tell(org, stream);
                }
            }
            Ok(_) | Err(StoreError::NotFound) => self.stop(id),
            Err(failure) => {
                let connector_name = self.names.get(&id);
                tracing::error!(connector = %id, connector_name, error = %failure, "a changed connector could not be read; trying again");
                let tell = self.tell.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(AGAIN).await;
                    let _ = tell.send(Told::Connector(org, id));
                });
            }
        }
    }

    fn start_or_tell(&mut self, org: OrgId, stream: StreamId) {
        match self.running.get(&stream) {
            Some(running) if !running.stop.is_cancelled() && !running.task.is_finished() => {
                running.changed.send_modify(|saves| *saves += 1);
            }
            _ => self.start(org, stream),
        }
    }

    fn start(&mut self, org: OrgId, stream: StreamId) {
        let ((changed, changed_rx), (jobs, jobs_rx)) = (watch::channel(0), watch::channel(0));
        let stop = CancellationToken::new();
        let control = Control { changed: changed_rx, jobs: jobs_rx, stop: stop.clone(), drain: self.drain.clone() };
        let before = self.running.remove(&stream).map(|running| running.task);
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let worker = supervised(self.ctx.clone(), org, stream, control, before);
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let _ended = guard;
            worker.await;
        }));
        self.running.insert(stream, Running { changed, jobs, stop, ended, task });
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

/// A worker under watch. It begins when its predecessor has ended, so that nothing is in flight twice; after a panic it begins again.
async fn supervised(
    ctx: Arc<Context>,
    org: OrgId,
    stream: StreamId,
    control: Control,
    before: Option<AbortOnDropHandle<()>>,
) {
    if let Some(before) = before {
        let _ = before.await;
    }
    loop {
        match AbortOnDropHandle::new(tokio::spawn(worker::run(ctx.clone(), org, stream, control.clone()))).await {
            Ok(()) => return,
            Err(failure) => {
                let name = worker::name(&ctx, org, stream).await;
                let connector_name = name.as_deref();
                tracing::error!(%stream, connector_name, error = %failure, "a worker ended abnormally; it starts again");
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}
