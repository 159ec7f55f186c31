//! Whose password is worked on next. A few are at a time; whoever is known comes first, and strangers take turns, address by address, so that
//! a flood from one address holds up nobody else.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Busy;

/// Passwords that wait for their turn; more are refused, so that a flood does not keep everybody waiting.
pub(super) const WAITING: usize = 256;

/// Where somebody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// With those whom the service knows: a device that the person logged in with, or somebody who is logged in.
    Known,
    /// With the others who come from this address, and those from no address together.
    Stranger(Option<IpAddr>),
}

type Waiter = oneshot::Sender<Turn>;

#[derive(Default)]
struct State {
    free: usize,
    known: VecDeque<Waiter>,
    /// No queue is empty. The first one is next.
    strangers: VecDeque<(Option<IpAddr>, VecDeque<Waiter>)>,
}

/// The places to work at, and the queues before them.
pub(super) struct Turns(Mutex<State>);

/// A place to work at. It is passed on where this is dropped.
#[must_use]
pub struct Turn(Option<Arc<Turns>>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

impl Turns {
    /// With this many places.
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { free: places, ..State::default() })))
    }

    /// Waits for a turn. `Busy` where too many wait, also where somebody else needs the place in the queue more.
    pub(super) async fn take(self: &Arc<Self>, lane: Lane) -> Result<Turn, Busy> {
        let waits = {
            let mut state = self.0.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Turn(Some(Arc::clone(self))));
            }
            state.queue(lane)?
        };
        waits.await.map_err(|_| Busy)
    }

    /// Gives a place to whoever is next.
    fn pass_on(self: Arc<Self>) {
        loop {
            let next = {
                let mut state = self.0.lock();
                let next = state.next();
                if next.is_none() {
                    state.free += 1;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Turn(Some(Arc::clone(&self)))) {
                Ok(()) => return,
                // They have left. Their turn is the next one's; dropping it here would pass it on twice.
                Err(mut turn) => drop(turn.0.take()),
            }
        }
    }
}

impl State {
    fn queue(&mut self, lane: Lane) -> Result<oneshot::Receiver<Turn>, Busy> {
        if self.waiting() >= WAITING {
            self.show_out_who_left();
        }
        if self.waiting() >= WAITING {
            self.make_room(lane)?;
        }
        let (waiter, waits) = oneshot::channel();
        match lane {
            Lane::Known => self.known.push_back(waiter),
            Lane::Stranger(from) => match self.strangers.iter_mut().find(|(address, _)| *address == from) {
                Some((_, queue)) => queue.push_back(waiter),
                None => self.strangers.push_back((from, VecDeque::from([waiter]))),
            },
        }
        Ok(waits)
    }

    fn waiting(&self) -> usize {
        self.known.len() + self.strangers.iter().map(|(_, queue)| queue.len()).sum::<usize>()
    }

    fn show_out_who_left(&mut self) {
        self.known.retain(|waiter| !waiter.is_closed());
        for (_, queue) in &mut self.strangers {
            queue.retain(|waiter| !waiter.is_closed());
        }
        self.strangers.retain(|(_, queue)| !queue.is_empty());
    }

    /// The last one of the longest queue gives way to whoever is known, and to whoever comes from where fewer wait.
    fn make_room(&mut self, lane: Lane) -> Result<(), Busy> {
        let own = match lane {
            Lane::Known => 0,
            Lane::Stranger(from) => {
                self.strangers.iter().find(|(address, _)| *address == from).map_or(1, |(_, queue)| queue.len() + 1)
            }
        };
        let longest = self.strangers.iter_mut().map(|(_, queue)| queue).max_by_key(|queue| queue.len());
        let longest = longest.filter(|queue| queue.len() > own).ok_or(Busy)?;
        longest.pop_back();
        self.strangers.retain(|(_, queue)| !queue.is_empty());
        Ok(())
    }

    fn next(&mut self) -> Option<Waiter> {
        if let Some(known) = self.known.pop_front() {
            return Some(known);
        }
        let (address, mut queue) = self.strangers.pop_front()?;
        let next = queue.pop_front();
        if !queue.is_empty() {
            self.strangers.push_back((address, queue));
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    fn from(n: u8) -> Lane {
        Lane::Stranger(Some(IpAddr::from([10, 0, 0, n])))
    }

    /// Queues one, whose turn is told by `name`, and returns once it waits.
    async fn waits(
        turns: &Arc<Turns>,
        tasks: &mut JoinSet<(&'static str, Result<Turn, Busy>)>,
        lane: Lane,
        name: &'static str,
    ) {
        let turns = Arc::clone(turns);
        tasks.spawn(async move { (name, turns.take(lane).await) });
        tokio::task::yield_now().await;
    }

    #[tokio::test]
    async fn who_is_known_comes_first_and_addresses_take_turns() {
        let turns = Turns::new(1);
        let first = turns.take(from(1)).await.unwrap();
        let mut tasks = JoinSet::new();
        for (lane, name) in [
            (from(1), "a1"),
            (from(1), "a2"),
            (from(1), "a3"),
            (from(2), "b1"),
            (Lane::Known, "known"),
            (from(2), "b2"),
            (Lane::Stranger(None), "c1"),
        ] {
            waits(&turns, &mut tasks, lane, name).await;
        }
        drop(first);
        let mut order = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let (name, turn) = done.unwrap();
            order.push(name);
            drop(turn.unwrap());
        }
        assert_eq!(order, ["known", "a1", "b1", "c1", "a2", "b2", "a3"]);
        assert_eq!(turns.0.lock().free, 1);
    }

    #[tokio::test]
    async fn a_full_queue_makes_room_for_others_and_for_nobody_who_fills_it() {
        let turns = Turns::new(1);
        let first = turns.take(from(1)).await.unwrap();
        let mut tasks = JoinSet::new();
        for _ in 0..WAITING {
            waits(&turns, &mut tasks, from(1), "flood").await;
        }
        assert!(turns.take(from(1)).await.is_err());
        waits(&turns, &mut tasks, from(2), "person").await;
        waits(&turns, &mut tasks, Lane::Known, "known").await;
        let refused = [tasks.join_next().await, tasks.join_next().await].map(|done| done.unwrap().unwrap());
        assert!(refused.iter().all(|(name, turn)| *name == "flood" && turn.is_err()));
        drop(first);
        let mut order = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let (name, turn) = done.unwrap();
            order.push(name);
            drop(turn.unwrap());
        }
        assert_eq!(order.len(), WAITING);
        assert_eq!(order[..3], ["known", "flood", "person"]);
    }

    #[tokio::test]
    async fn whoever_leaves_holds_no_place() {
        let turns = Turns::new(1);
        let first = turns.take(from(1)).await.unwrap();
        let mut tasks = JoinSet::new();
        for _ in 0..WAITING {
            waits(&turns, &mut tasks, from(1), "gone").await;
        }
        tasks.shutdown().await;
        waits(&turns, &mut tasks, from(1), "person").await;
        drop(first);
        let (name, turn) = tasks.join_next().await.unwrap().unwrap();
        assert!(name == "person" && turn.is_ok());
        drop(turn);
        let state = turns.0.lock();
        assert_eq!((state.free, state.waiting()), (1, 0));
    }
}
