//! The one thread that writes: it takes from whatever is queued into one transaction and answers after the commit.
//!
//! Group commit without a timer for whoever waits: while a commit waits for the disk, the next group gathers by itself, so that one caller gets the
//! disk's latency and many callers get its throughput. A refused piece of work (`Conflict`, `Fenced` …) wrote nothing and leaves the
//! others of its group alone; so does one that meets damage, for which the group is run again without it ([`group`]). When the database itself
//! fails, the whole group is rolled back and everybody in it is told.
//!
//! Orgs take [turns](super::turns), by bytes: a group holds something of each org that waits, however much one of them has queued. Appends come
//! first, and other work (deliveries, configuration) has its share of every group: by org too, and within an org by connector ([`super::lanes`]). A group is small enough that whoever comes while it is
//! written does not wait long, and large enough that the disk is not asked more often than need be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use toktra_siem_core::ids::{ConnectorId, OrgId};
use toktra_siem_store::error::{Result, StoreError};

use super::checkpoint::Checkpoints;
use super::engine::Engine;
use super::fault::{Fault, Outcome, failure};
use super::lanes::{OTHER, Work};
use super::places::{Place, Places, Weight};
use super::turns::Turns;
use super::vitals::Pulse;

mod group;

/// What a group may cost, in bytes of payload: 4 ms or so of the writer's time.
const GROUP: usize = 2 << 20;
/// What a part of an append may cost: whoever comes while it is written waits for that much, however large the append is.
pub(super) const PART: usize = GROUP / 2;
/// The part of it that other work has where appends wait as well.
const GROUP_OTHERS: usize = GROUP / 4;
/// What a turn of an org is worth.
const QUANTUM: usize = 64 << 10;
/// What a piece of the store's own upkeep costs.
const OWN: usize = 128 << 10;
/// How long what nobody waits for is kept back for company: a group of its own would cost a sync of the disk.
const COMPANY: Duration = Duration::from_millis(2);
/// Pieces of other work that may be queued; beyond it callers wait their turn, they are never refused.
const QUEUED_OTHERS: usize = 4096;

/// A piece of work with its caller.
trait Job: Send {
    /// Events, or 1.
    fn size(&self) -> usize;
    /// Whether it adds events.
    fn appends(&self) -> bool;
    /// An error means that the transaction is lost. What adds events is run once, anything else perhaps again.
    fn run(&mut self, engine: &mut Engine) -> rusqlite::Result<()>;
    /// It is what met damage: it is told so, and not run any more.
    fn leave_out(&mut self, error: &rusqlite::Error);
    /// Answers the caller; `lost` says why where the transaction did not commit.
    fn answer(self: Box<Self>, lost: Option<&Lost>);
}

/// Why a transaction did not commit.
enum Lost {
    Failed(rusqlite::Error),
    Full,
    Poisoned,
}

struct Call<T, F> {
    work: Option<F>,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
    size: usize,
    context: &'static str,
    room: Room,
}

/// What holds a place in the queue; given back when the work is answered.
enum Room {
    Other { _permit: OwnedSemaphorePermit },
    Append(Arc<Whole>),
    Own,
}

/// An append, which may be queued in parts.
struct Whole {
    _place: Place,
    /// A part was refused or lost: those after it are left out.
    ended: AtomicBool,
}

impl<T: Send, F: FnMut(&mut Engine) -> Outcome<T> + Send> Job for Call<T, F> {
    fn size(&self) -> usize {
        self.size
    }

    fn appends(&self) -> bool {
        matches!(self.room, Room::Append(_))
    }

    fn run(&mut self, engine: &mut Engine) -> rusqlite::Result<()> {
        let Some(work) = &mut self.work else { return Ok(()) };
        if let Room::Append(whole) = &self.room
            && whole.ended.load(Ordering::Relaxed)
        {
            // Whoever waits for it was answered by the part that ended it.
            self.result = Some(Err(stopped(self.context)));
            return Ok(());
        }
        match work(engine) {
            Ok(value) => self.result = Some(Ok(value)),
            Err(Fault::Refused(error)) => self.result = Some(Err(error)),
            Err(Fault::Failed(error)) => return Err(error),
        }
        if self.appends() {
            self.work = None;
        }
        if let (Room::Append(whole), Some(Err(_))) = (&self.room, &self.result) {
            whole.ended.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn leave_out(&mut self, error: &rusqlite::Error) {
        self.work = None;
        self.result = Some(Err(failure(error, self.context)));
        if let Room::Append(whole) = &self.room {
            whole.ended.store(true, Ordering::Relaxed);
        }
    }

    fn answer(self: Box<Self>, lost: Option<&Lost>) {
        let Self { result, reply, context, room, .. } = *self;
        let answer = match (lost, result) {
            (None, Some(result)) => result,
            // What was refused was refused, whatever became of the rest.
            (Some(_), Some(Err(refused))) => Err(refused),
            (Some(Lost::Failed(error)), _) => Err(failure(error, context)),
            (Some(Lost::Full), _) => Err(StoreError::Full),
            (Some(Lost::Poisoned) | None, _) => Err(StoreError::Unavailable {
                context,
                source: "the disk failed earlier, and what it holds is uncertain: check it, then restart the server"
                    .into(),
            }),
        };
        if let (Room::Append(whole), Some(_)) = (&room, lost) {
            whole.ended.store(true, Ordering::Relaxed);
        }
        // First the place, so that whoever was answered finds it free.
        drop(room);
        // A caller that went away does not want the answer.
        let _ = reply.send(answer);
    }
}

/// What is not an append waits by org, and within an org by connector.
type Others = Turns<Option<OrgId>, Option<ConnectorId>, Box<dyn Job>>;

/// What waits for the writer.
struct Queue {
    appends: Turns<OrgId, (), Box<dyn Job>>,
    others: Others,
    /// Nothing more is taken in.
    closed: bool,
    /// Somebody waits for what is queued.
    urgent: bool,
    idle: Idle,
}

/// What the thread waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Idle {
    /// Nothing: it works, or was told.
    No,
    /// Something to do.
    Empty,
    /// Company for what it has.
    Alone,
}

impl Queue {
    /// Takes the next group.
    fn gather(&mut self) -> Vec<Box<dyn Job>> {
        let share = self.others.cost().min(GROUP_OTHERS);
        let (mut group, cost) = self.appends.take(GROUP - share);
        group.extend(self.others.take(GROUP.saturating_sub(cost).max(share)).0);
        self.urgent = !self.is_empty();
        group
    }

    fn is_empty(&self) -> bool {
        self.appends.cost() == 0 && self.others.cost() == 0
    }
}

/// Where work is handed over.
struct Desk {
    queue: Mutex<Queue>,
    wake: Condvar,
}

/// The way to the writer.
#[derive(Clone)]
pub(super) struct Writer {
    desk: Arc<Desk>,
    pulse: Arc<Pulse>,
    places: Arc<Places>,
    others: Arc<Semaphore>,
}

impl Writer {
    /// Makes the queue; [`Self::start`] puts a thread behind it.
    pub(super) fn new() -> (Self, Inbox) {
        let (appends, others) = (Turns::new(QUANTUM), Turns::new(OTHER));
        let queue = Mutex::new(Queue { appends, others, closed: false, urgent: false, idle: Idle::No });
        let desk = Arc::new(Desk { queue, wake: Condvar::new() });
        let writer = Self {
            desk: Arc::clone(&desk),
            pulse: Arc::default(),
            places: Arc::default(),
            others: Arc::new(Semaphore::new(QUEUED_OTHERS)),
        };
        let pulse = Arc::clone(&writer.pulse);
        (writer, Inbox { desk, pulse })
    }

    /// Starts the thread. It ends after [`Self::stop`], with everything that was queued before written.
    pub(super) fn start(
        inbox: Inbox,
        mut engine: Engine,
        mut checkpoints: Checkpoints,
    ) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("toktra-writer".into()).spawn(move || {
            while let Some(group) = inbox.next() {
                inbox.serve(&mut engine, group);
                checkpoints.committed(&engine.conn);
            }
            checkpoints.stop();
            engine.close(inbox.pulse.is_poisoned());
        })
    }

    /// Appends, in one part or more, which the writer does in their order and between which others have their turns. Once one is refused or
    /// lost, those after it are left out. Refused with `Busy` where too much of the org waits; `Unavailable` once the first part is kept.
    pub(super) async fn append<T, F>(&self, org: OrgId, parts: Vec<(Weight, F)>) -> Result<Vec<T>>
    where
        T: Send + 'static,
        F: FnOnce(&mut Engine) -> Outcome<T> + Send + 'static,
    {
        let context = "appending events";
        let weight = parts.iter().fold(Weight::default(), |all, (weight, _)| all.and(*weight));
        let place = self.places.take(org, weight).ok_or(StoreError::Busy)?;
        let whole = Arc::new(Whole { _place: place, ended: AtomicBool::new(false) });
        let queued = |(weight, work): (Weight, F)| {
            let mut work = Some(work);
            let once = move |engine: &mut Engine| {
                work.take().map_or_else(|| Err(stopped(context).into()), |work| work(engine))
            };
            let (call, answer) = call(context, weight.events, Room::Append(Arc::clone(&whole)), once);
            (weight.cost(), call, answer)
        };
        let mut answers = Vec::with_capacity(parts.len());
        let parts: Vec<_> = parts.into_iter().map(queued).collect();
        drop(whole);
        self.hand_over(context, true, |queue| {
            for (cost, call, answer) in parts {
                queue.appends.push((org, ()), cost, call);
                answers.push(answer);
            }
        })?;
        let mut done = Vec::with_capacity(answers.len());
        for answer in answers {
            match answer.await.unwrap_or_else(|_| Err(stopped(context))) {
                Ok(part) => done.push(part),
                Err(refused) if done.is_empty() => return Err(refused),
                // A part is kept: whatever the reason, this is no refusal.
                Err(error) => return Err(StoreError::Unavailable { context, source: error.into() }),
            }
        }
        Ok(done)
    }

    /// Anything else: waits for its turn.
    pub(super) async fn call<T, F>(&self, context: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Engine) -> Outcome<T> + Send + 'static,
    {
        self.call_as(Work::REST, context, work).await
    }

    /// The same for the deliveries of a connector. If it is not urgent, nothing depends on how soon it is done: it is written with the next
    /// group, or after a moment.
    pub(super) async fn call_as<T, F>(
        &self,
        Work { org, connector, cost, urgent }: Work,
        context: &'static str,
        work: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Engine) -> Outcome<T> + Send + 'static,
    {
        let permit = Arc::clone(&self.others).acquire_owned().await.map_err(|_| stopped(context))?;
        let (call, answer) = call(context, 1, Room::Other { _permit: permit }, work);
        self.hand_over(context, urgent, |queue| queue.others.push((org, connector), cost, call))?;
        answer.await.map_err(|_| stopped(context))?
    }

    /// Anything that nobody waits for: what is sent afterwards finds it done. It is left out where so much is queued that it would have to
    /// wait for a place.
    pub(super) fn note<F>(&self, context: &'static str, work: F)
    where
        F: Fn(&mut Engine) -> Outcome<()> + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.others).try_acquire_owned() else { return };
        let (call, _) = call(context, 1, Room::Other { _permit: permit }, work);
        // A store that is closed takes no notes.
        let _ = self.hand_over(context, true, |queue| queue.others.push((None, None), OTHER, call));
    }

    /// As [`Self::call`], from a thread of the store's own.
    pub(super) fn call_blocking<T, F>(&self, context: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Engine) -> Outcome<T> + Send + 'static,
    {
        let (call, answer) = call(context, 1, Room::Own, work);
        self.hand_over(context, true, |queue| queue.others.push((None, None), OWN, call))?;
        answer.blocking_recv().map_err(|_| stopped(context))?
    }

    fn hand_over(&self, context: &'static str, urgent: bool, push: impl FnOnce(&mut Queue)) -> Result<()> {
        let mut queue = self.desk.queue.lock();
        if queue.closed {
            return Err(stopped(context));
        }
        push(&mut queue);
        queue.urgent |= urgent;
        let wake = queue.idle == Idle::Empty || (queue.idle == Idle::Alone && urgent);
        if wake {
            queue.idle = Idle::No;
        }
        drop(queue);
        if wake {
            self.desk.wake.notify_one();
        }
        Ok(())
    }

    /// What the thread lets others see.
    pub(super) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Appends that wait or are being written.
    pub(super) fn queued(&self) -> Weight {
        self.places.all()
    }

    /// Pieces of other work that wait or are being written.
    pub(super) fn queued_others(&self) -> usize {
        QUEUED_OTHERS.saturating_sub(self.others.available_permits())
    }

    /// Refuses further work and lets the thread end once the queue is empty.
    pub(super) fn stop(&self) {
        self.desk.queue.lock().closed = true;
        self.desk.wake.notify_one();
    }
}

/// Work with the way back to its caller.
fn call<T, F>(context: &'static str, size: usize, room: Room, work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T>>)
where
    T: Send + 'static,
    F: FnMut(&mut Engine) -> Outcome<T> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Call { work: Some(work), result: None, reply, size, context, room }), answer)
}

fn stopped(context: &'static str) -> StoreError {
    StoreError::Unavailable { context, source: "the store is closed".into() }
}

/// The other end of the queue.
pub(super) struct Inbox {
    desk: Arc<Desk>,
    pulse: Arc<Pulse>,
}

impl Inbox {
    /// The next group, as soon as somebody waits for it, or what nobody waits for has waited for company; `None` at the end.
    fn next(&self) -> Option<Vec<Box<dyn Job>>> {
        let mut queue = self.desk.queue.lock();
        let mut until = None;
        while !queue.urgent && !queue.closed {
            if queue.is_empty() {
                queue.idle = Idle::Empty;
                self.desk.wake.wait(&mut queue);
                continue;
            }
            let until = *until.get_or_insert_with(|| Instant::now().into_std() + COMPANY);
            queue.idle = Idle::Alone;
            if self.desk.wake.wait_until(&mut queue, until).timed_out() {
                break;
            }
        }
        queue.idle = Idle::No;
        (!queue.is_empty()).then(|| queue.gather())
    }

    /// Writes a group and answers everybody in it.
    fn serve(&self, engine: &mut Engine, mut group: Vec<Box<dyn Job>>) {
        let poisoned = self.pulse.is_poisoned();
        if !poisoned && !engine.admits_events() {
            let (refused, others): (Vec<_>, Vec<_>) = group.into_iter().partition(|job| job.appends());
            if !refused.is_empty() {
                engine.refused_events();
            }
            for job in refused {
                job.answer(Some(&Lost::Full));
            }
            group = others;
        }
        if group.is_empty() {
            return;
        }
        let lost = if poisoned { Some(Lost::Poisoned) } else { self.measured(engine, &mut group) };
        for job in group {
            job.answer(lost.as_ref());
        }
    }

    /// Runs a group, and notes its size and how long it took.
    fn measured(&self, engine: &mut Engine, group: &mut [Box<dyn Job>]) -> Option<Lost> {
        let (size, began) = (group.iter().map(|job| job.size()).sum(), Instant::now());
        let mut poisoned = false;
        let lost = group::commit(engine, group, &mut poisoned);
        self.pulse.group(size, began.elapsed());
        if poisoned {
            self.pulse.poison();
        }
        lost
    }
}

impl Drop for Inbox {
    /// Whatever ended the thread: what still waits is told so.
    fn drop(&mut self) {
        let mut queue = self.desk.queue.lock();
        queue.closed = true;
        let (appends, others) = (queue.appends.drain(), queue.others.drain());
        drop(queue);
        drop((appends, others));
    }
}

#[cfg(test)]
mod tests;
