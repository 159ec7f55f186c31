//! How many bytes of events all workers hold together, in batches that are read, encoded, or on their way.
//!
//! Each worker may always hold a small batch, or receivers that hang could keep all others from sending. Whatever it holds beyond that comes
//! from one budget. Where that is used up workers wait in a line, first come first served, and each is given one batch before it is behind the
//! others again. So memory follows the budget, and neither the number of connectors nor how much waits.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Bytes of the batches of all workers.
const ALL: usize = 32 << 20;
/// Bytes of the batch that a worker may hold however much the others do. An event that is larger goes alone.
const ONE: usize = 64 << 10;

/// The budget.
#[derive(Debug)]
pub struct Memory {
    all: usize,
    one: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: usize,
    most: usize,
    waiting: VecDeque<(usize, oneshot::Sender<Held>)>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(ALL, ONE)
    }
}

impl Memory {
    /// A budget of `all` bytes, beside `one` that each worker may hold in any case.
    pub fn new(all: usize, one: usize) -> Self {
        Self { all, one, state: Mutex::default() }
    }

    /// Bytes that are held now, and the most that ever were.
    pub fn held(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.held, state.most)
    }

    /// As much of `wanted` as there is: a quarter of the budget at most, so that nobody takes it all. `None` where a small batch is too much.
    fn take(self: &Arc<Self>, wanted: usize) -> Option<Held> {
        let mut state = self.state.lock();
        let free = if state.waiting.is_empty() { self.all.saturating_sub(state.held) } else { 0 };
        let bytes = wanted.min(self.all / 4).min(free);
        (bytes >= wanted.min(self.one)).then(|| self.grant(&mut state, bytes))
    }

    /// All of `bytes` at once, where nobody waits and there is as much.
    pub(super) fn take_all(self: &Arc<Self>, bytes: usize) -> Option<Held> {
        let mut state = self.state.lock();
        let free = state.waiting.is_empty() && state.held + bytes <= self.all;
        free.then(|| self.grant(&mut state, bytes))
    }

    /// A small batch, which everybody may have who holds nothing.
    fn take_one(self: &Arc<Self>) -> Held {
        self.grant(&mut self.state.lock(), self.one)
    }

    /// Waits in the line.
    fn wait(self: &Arc<Self>, wanted: usize) -> oneshot::Receiver<Held> {
        let (tell, told) = oneshot::channel();
        self.state.lock().waiting.push_back((wanted.min(self.all / 4), tell));
        self.serve();
        told
    }

    fn grant(self: &Arc<Self>, state: &mut State, bytes: usize) -> Held {
        state.held += bytes;
        state.most = state.most.max(state.held);
        Held { memory: Arc::clone(self), bytes }
    }

    /// Gives those who wait what there is for them.
    fn serve(self: &Arc<Self>) {
        loop {
            let mut state = self.state.lock();
            let Some((wanted, _)) = state.waiting.front() else { return };
            if state.held + wanted > self.all {
                return;
            }
            let Some((wanted, tell)) = state.waiting.pop_front() else { return };
            let held = self.grant(&mut state, wanted);
            drop(state);
            // Whoever does not wait any more gives it back at once.
            if let Err(mut held) = tell.send(held) {
                self.state.lock().held -= std::mem::take(&mut held.bytes);
            }
        }
    }
}

/// Bytes of the budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Held {
    /// How many.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What was read takes so many bytes: gives back the rest, or counts what it is more.
    pub(super) fn set(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        let mut state = self.memory.state.lock();
        state.held = state.held - before + bytes;
        state.most = state.most.max(state.held);
        drop(state);
        if bytes < before {
            self.memory.serve();
        }
    }

    /// Takes `bytes` of these for a batch of its own.
    pub(super) fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { memory: Arc::clone(&self.memory), bytes }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.memory.state.lock().held -= self.bytes;
            self.memory.serve();
        }
    }
}

/// What one worker has to do with the budget.
#[derive(Debug)]
pub(super) struct Share {
    memory: Arc<Memory>,
    given: Option<Held>,
    waits: Option<oneshot::Receiver<Held>>,
}

impl Share {
    /// Of a worker that holds nothing yet.
    pub(super) fn of(memory: &Arc<Memory>) -> Self {
        Self { memory: Arc::clone(memory), given: None, waits: None }
    }

    /// Bytes for reading about `wanted`, of which one batch takes `batch`; `idle`: the worker has nothing under way. `None` where it has to wait
    /// until [`Self::given`] says so.
    pub(super) fn claim(&mut self, wanted: usize, batch: usize, idle: bool) -> Option<Held> {
        if let Some(held) = self.given.take() {
            return Some(held);
        }
        if let Some(held) = self.memory.take(wanted) {
            // What it waits for would put it before others who hold less.
            self.waits = None;
            return Some(held);
        }
        if self.waits.is_none() {
            self.waits = Some(self.memory.wait(batch));
        }
        idle.then(|| self.memory.take_one())
    }

    /// Waits until the worker's turn comes; for ever where it does not wait for one.
    pub(super) async fn given(&mut self) {
        match &mut self.waits {
            Some(waits) => {
                self.given = waits.await.ok();
                self.waits = None;
            }
            None => std::future::pending().await,
        }
    }

    /// Gives back what there was nothing to read for.
    pub(super) fn leave(&mut self) {
        self.given = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_served_in_turn_and_everybody_has_a_small_batch() {
        let memory = Arc::new(Memory::new(100, 5));
        let [mut a, mut b, mut c] = [(), (), ()].map(|()| Share::of(&memory));
        let mut held: Vec<Held> = (0..4).map(|_| a.claim(1_000, 25, false).unwrap()).collect();
        assert!(held.iter().all(|held| held.bytes() == 25), "nobody takes it all");
        assert!(a.claim(25, 25, false).is_none());
        let small = b.claim(25, 25, true).unwrap();
        assert_eq!((small.bytes(), memory.held()), (5, (105, 105)));
        assert!(c.claim(25, 25, false).is_none());
        drop(small);
        drop(held.pop());
        a.given().await;
        assert!(c.claim(1, 1, false).is_none(), "a is before it, and b");
        held.push(a.claim(25, 25, false).unwrap());
        assert!(a.claim(25, 25, false).is_none(), "behind b and c now");
        drop(held.pop());
        b.given().await;
        drop(held.pop());
        c.given().await;
        drop((b, c, held));
        a.given().await;
        a.leave();
        drop(a);
        assert_eq!(memory.held().0, 0);
    }

    #[tokio::test]
    async fn what_is_not_needed_is_given_back() {
        let memory = Arc::new(Memory::new(100, 5));
        let mut share = Share::of(&memory);
        let mut held = share.claim(20, 20, true).unwrap();
        held.set(12);
        let batch = held.split(10);
        assert_eq!((held.bytes(), batch.bytes(), memory.held().0), (2, 10, 12));
        drop(held);
        assert_eq!(memory.held().0, 10);
        drop(batch);
        assert_eq!(memory.held(), (0, 20));
    }
}
