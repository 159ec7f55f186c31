//! The one thread that writes: it takes whatever is queued into one transaction and answers after the commit.
//!
//! Group commit without a timer: while a commit waits for the disk, the next group gathers by itself, so that one caller gets the
//! disk's latency and many callers get its throughput. A refused piece of work (`Conflict`, `Fenced` …) wrote nothing and leaves the
//! others of its group alone; when the database itself fails, the whole group is rolled back and everybody in it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use toktra_siem_store::error::{Result, StoreError};

use super::engine::Engine;
use super::fault::{Fault, Outcome, failure, is_io};
use super::vitals::Pulse;

/// What a group may weigh: events, and a little for other work.
const GROUP_WEIGHT: usize = 8192;
/// Payload bytes of a group.
const GROUP_BYTES: usize = 16 << 20;
/// Payload bytes that may be queued before an append is answered `Busy`.
const QUEUED_BYTES: usize = 32 << 20;
/// Events that may be queued before an append is answered `Busy`.
const QUEUED_EVENTS: usize = 65_536;
/// Pieces of other work that may be queued; beyond it callers wait their turn, they are never refused.
const QUEUED_OTHERS: usize = 4096;

/// How much of a group a piece of work takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    /// Events, or 1.
    pub(super) events: usize,
    /// Of payload.
    pub(super) bytes: usize,
}

/// A piece of work with its caller.
trait Job: Send {
    fn weight(&self) -> Weight;
    /// Whether it adds events.
    fn appends(&self) -> bool;
    /// An error means that the transaction is lost.
    fn run(&mut self, engine: &mut Engine) -> rusqlite::Result<()>;
    /// Answers the caller; `lost` says why where the transaction did not commit.
    fn answer(self: Box<Self>, lost: Option<&Lost>);
}

/// Why a transaction did not commit.
enum Lost {
    Failed(rusqlite::Error),
    Poisoned,
}

struct Call<T, F> {
    work: Option<F>,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
    weight: Weight,
    context: &'static str,
    room: Room,
}

/// What holds a place in the queue; given back when the work is answered.
enum Room {
    Other { _permit: OwnedSemaphorePermit },
    Append { pulse: Arc<Pulse>, weight: Weight },
    Own,
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Self::Append { pulse, weight } = self {
            pulse.events.fetch_sub(weight.events, Ordering::Relaxed);
            pulse.bytes.fetch_sub(weight.bytes, Ordering::Relaxed);
        }
    }
}

impl<T: Send, F: FnOnce(&mut Engine) -> Outcome<T> + Send> Job for Call<T, F> {
    fn weight(&self) -> Weight {
        self.weight
    }

    fn appends(&self) -> bool {
        matches!(self.room, Room::Append { .. })
    }

    fn run(&mut self, engine: &mut Engine) -> rusqlite::Result<()> {
        let Some(work) = self.work.take() else { return Ok(()) };
        match work(engine) {
            Ok(value) => self.result = Some(Ok(value)),
            Err(Fault::Refused(error)) => self.result = Some(Err(error)),
            Err(Fault::Failed(error)) => return Err(error),
        }
        Ok(())
    }

    fn answer(self: Box<Self>, lost: Option<&Lost>) {
        let Self { result, reply, context, room, .. } = *self;
        let answer = match (lost, result) {
            (None, Some(result)) => result,
            // What was refused was refused, whatever became of the rest.
            (Some(_), Some(Err(refused))) => Err(refused),
            (Some(Lost::Failed(error)), _) => Err(failure(error, context)),
            (Some(Lost::Poisoned) | None, _) => Err(StoreError::Unavailable {
                context,
                source: "the disk failed earlier, and what it holds is uncertain: check it, then restart the server"
                    .into(),
            }),
        };
        // First the place, so that whoever was answered finds it free.
        drop(room);
        // A caller that went away does not want the answer.
        let _ = reply.send(answer);
    }
}

enum Message {
    Job(Box<dyn Job>),
    Stop,
}

/// The way to the writer.
#[derive(Clone)]
pub(super) struct Writer {
    sender: Sender<Message>,
    pulse: Arc<Pulse>,
    others: Arc<Semaphore>,
    stopping: Arc<AtomicBool>,
}

impl Writer {
    /// Makes the queue; [`Self::start`] puts a thread behind it.
    pub(super) fn new() -> (Self, Inbox) {
        let (sender, receiver) = channel();
        let writer = Self {
            sender,
            pulse: Arc::default(),
            others: Arc::new(Semaphore::new(QUEUED_OTHERS)),
            stopping: Arc::default(),
        };
        let pulse = Arc::clone(&writer.pulse);
        (writer, Inbox { receiver, pulse })
    }

    /// Starts the thread. It ends after [`Self::stop`], with everything that was queued before written.
    pub(super) fn start(inbox: Inbox, mut engine: Engine) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("toktra-writer".into()).spawn(move || {
            let poisoned = run(&inbox, &mut engine);
            engine.close(poisoned);
        })
    }

    /// Appends: refused with `Busy` when the queue is full.
    pub(super) async fn append<T, F>(&self, weight: Weight, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Engine) -> Outcome<T> + Send + 'static,
    {
        let events = self.pulse.events.fetch_add(weight.events, Ordering::Relaxed);
        let bytes = self.pulse.bytes.fetch_add(weight.bytes, Ordering::Relaxed);
        let room = Room::Append { pulse: Arc::clone(&self.pulse), weight };
        if events > 0 && (events + weight.events > QUEUED_EVENTS || bytes + weight.bytes > QUEUED_BYTES) {
            return Err(StoreError::Busy);
        }
        self.send("appending events", weight, room, work)?.await.map_err(|_| stopped("appending events"))?
    }

    /// Anything else: waits for its turn.
    pub(super) async fn call<T, F>(&self, context: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Engine) -> Outcome<T> + Send + 'static,
    {
        let permit = Arc::clone(&self.others).acquire_owned().await.map_err(|_| stopped(context))?;
        let weight = Weight { events: 1, bytes: 0 };
        self.send(context, weight, Room::Other { _permit: permit }, work)?.await.map_err(|_| stopped(context))?
    }

    /// Anything that nobody waits for: what is sent afterwards finds it done. It is left out where so much is queued that it would have to
    /// wait for a place.
    pub(super) fn note<F>(&self, context: &'static str, work: F)
    where
        F: FnOnce(&mut Engine) -> Outcome<()> + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.others).try_acquire_owned() else { return };
        let weight = Weight { events: 1, bytes: 0 };
        // A store that is closed takes no notes.
        let _ = self.send(context, weight, Room::Other { _permit: permit }, work);
    }

    /// As [`Self::call`], from a thread of the store's own.
    pub(super) fn call_blocking<T, F>(&self, context: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Engine) -> Outcome<T> + Send + 'static,
    {
        let weight = Weight { events: 64, bytes: 0 };
        self.send(context, weight, Room::Own, work)?.blocking_recv().map_err(|_| stopped(context))?
    }

    fn send<T, F>(
        &self,
        context: &'static str,
        weight: Weight,
        room: Room,
        work: F,
    ) -> Result<oneshot::Receiver<Result<T>>>
    where
        T: Send + 'static,
        F: FnOnce(&mut Engine) -> Outcome<T> + Send + 'static,
    {
        if self.stopping.load(Ordering::Acquire) {
            return Err(stopped(context));
        }
        let (reply, answer) = oneshot::channel();
        let call = Call { work: Some(work), result: None, reply, weight, context, room };
        self.sender.send(Message::Job(Box::new(call))).map_err(|_| stopped(context))?;
        Ok(answer)
    }

    /// What the thread lets others see.
    pub(super) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Pieces of other work that wait or are being written.
    pub(super) fn queued_others(&self) -> usize {
        QUEUED_OTHERS.saturating_sub(self.others.available_permits())
    }

    /// Refuses further work and lets the thread end once the queue is empty.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // Where nobody listens any more, the thread has ended already.
        let _ = self.sender.send(Message::Stop);
    }
}

/// The other end of the queue.
pub(super) struct Inbox {
    receiver: Receiver<Message>,
    pulse: Arc<Pulse>,
}

fn stopped(context: &'static str) -> StoreError {
    StoreError::Unavailable { context, source: "the store is closed".into() }
}

/// Serves until the end; whether the disk failed on the way.
fn run(inbox: &Inbox, engine: &mut Engine) -> bool {
    let mut poisoned = false;
    let mut stop = false;
    while !stop {
        let Ok(first) = inbox.receiver.recv() else { break };
        let mut group = Vec::new();
        stop = gather(&inbox.receiver, first, &mut group);
        if group.is_empty() {
            continue;
        }
        let lost = if poisoned { Some(Lost::Poisoned) } else { measured(inbox, engine, &mut group, &mut poisoned) };
        for job in group {
            job.answer(lost.as_ref());
        }
    }
    poisoned
}

/// Runs a group, and notes its size and how long it took.
fn measured(inbox: &Inbox, engine: &mut Engine, group: &mut [Box<dyn Job>], poisoned: &mut bool) -> Option<Lost> {
    let (size, began) = (group.iter().map(|job| job.weight().events).sum(), Instant::now());
    let lost = commit(engine, group, poisoned);
    inbox.pulse.group(size, began.elapsed());
    if *poisoned {
        inbox.pulse.poison();
    }
    lost
}

/// Takes what is queued up to the bounds of a group; whether the end was asked for.
fn gather(inbox: &Receiver<Message>, first: Message, group: &mut Vec<Box<dyn Job>>) -> bool {
    let (mut events, mut bytes) = (0, 0);
    let mut message = first;
    loop {
        match message {
            Message::Stop => return true,
            Message::Job(job) => {
                let weight = job.weight();
                events += weight.events;
                bytes += weight.bytes;
                group.push(job);
            }
        }
        if events >= GROUP_WEIGHT || bytes >= GROUP_BYTES {
            return false;
        }
        match inbox.try_recv() {
            Ok(next) => message = next,
            Err(_) => return false,
        }
    }
}

/// Runs a group in one transaction. On failure everything is rolled back and what the engine remembers is read anew.
fn commit(engine: &mut Engine, group: &mut [Box<dyn Job>], poisoned: &mut bool) -> Option<Lost> {
    let error = match transact(engine, group) {
        Ok(()) => {
            engine.committed();
            return None;
        }
        Err(error) => error,
    };
    // After a failed fsync the kernel may have dropped the pages: trying again could "succeed" without them being on disk.
    *poisoned = is_io(&error);
    tracing::error!(%error, poisoned = *poisoned, work = group.len(), "a group of writes failed and was rolled back");
    if let Err(error) = engine.rolled_back() {
        tracing::error!(%error, "the state could not be read again after a failure; the store refuses writes until restart");
        *poisoned = true;
    }
    Some(Lost::Failed(error))
}

/// Appends first: what they wrote is then written as one run for each org, and the rest of the group sees it.
fn transact(engine: &mut Engine, group: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    engine.begin()?;
    let (appends, others): (Vec<_>, Vec<_>) = group.iter_mut().partition(|job| job.appends());
    for job in appends {
        job.run(engine)?;
    }
    whole(engine.write_pending())?;
    for job in others {
        job.run(engine)?;
    }
    whole(engine.commit())
}

/// Nothing of the writer's own work is refused, but where what is stored cannot be read.
fn whole(outcome: Outcome<()>) -> rusqlite::Result<()> {
    outcome.map_err(|fault| match fault {
        Fault::Failed(error) => error,
        Fault::Refused(error) => rusqlite::Error::ToSqlConversionFailure(error.into()),
    })
}
