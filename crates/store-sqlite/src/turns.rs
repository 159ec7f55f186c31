//! Turns between those who wait for the same thing: each has a line of its own, and whoever has much gets no more of it than the others.
//!
//! A turn is worth a quantum. Whoever takes more, because one piece is larger, pays it off with the turns after it; whoever has little is
//! therefore served soon, however much the others have queued. What each of them queued comes in its order. Within a line there are turns again:
//! an org's connectors share what is the org's.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Pieces of work with what they cost, in a line for each `K`, and within it for each `C`.
pub(super) struct Turns<K, C, T> {
    quantum: usize,
    /// Whose turn is next, first: everybody who waits, and everybody who has taken more than was due.
    ring: VecDeque<K>,
    lines: HashMap<K, Line<C, T>>,
    /// What all that waits costs.
    cost: usize,
    /// The last one taken had no room and was taken alone: now it is the turn of what fits.
    alone: bool,
}

struct Line<C, T> {
    waiting: Rounds<C, T>,
    /// What is left of its turn; below zero, what it has taken beyond.
    left: isize,
}

/// What waits within one line: each `C` takes turns with the others, by cost.
struct Rounds<C, T> {
    quantum: isize,
    /// Those who have something, the one whose turn it is first.
    ring: VecDeque<C>,
    queues: HashMap<C, Queue<T>>,
}

/// Pieces with what they cost, and what is left of the turn.
type Queue<T> = (VecDeque<(usize, T)>, isize);

impl<C: Copy + Eq + Hash, T> Rounds<C, T> {
    fn new(quantum: isize) -> Self {
        Self { quantum, ring: VecDeque::new(), queues: HashMap::new() }
    }

    fn push(&mut self, key: C, cost: usize, item: T) {
        let queue = self.queues.entry(key).or_insert_with(|| {
            self.ring.push_back(key);
            (VecDeque::new(), self.quantum)
        });
        queue.0.push_back((cost, item));
    }

    fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// What the next piece costs.
    fn next_cost(&self) -> Option<usize> {
        self.queues.get(self.ring.front()?)?.0.front().map(|(cost, _)| *cost)
    }

    fn pop(&mut self) -> Option<(usize, T)> {
        let key = self.ring.pop_front()?;
        let (waiting, left) = self.queues.get_mut(&key)?;
        let (cost, item) = waiting.pop_front()?;
        *left -= isize::try_from(cost).unwrap_or(isize::MAX);
        if waiting.is_empty() {
            self.queues.remove(&key);
        } else if *left > 0 {
            self.ring.push_front(key);
        } else {
            self.ring.push_back(key);
        }
        self.give_turns();
        Some((cost, item))
    }

    /// Brings somebody to the front who has not taken more than was due.
    fn give_turns(&mut self) {
        let owes = |queues: &HashMap<C, Queue<T>>, key: &C| queues.get(key).is_some_and(|(_, left)| *left <= 0);
        if self.ring.iter().all(|key| owes(&self.queues, key)) {
            // Everybody has had a turn: as many are given at once as the first of them needs to have one again.
            let most = self.queues.values().map(|(_, left)| *left).max().unwrap_or(0);
            let turns = 1 + most.saturating_neg() / self.quantum;
            self.queues.values_mut().for_each(|(_, left)| *left += turns * self.quantum);
        }
        while self.ring.front().is_some_and(|key| owes(&self.queues, key)) {
            self.ring.rotate_left(1);
        }
    }

    fn drain(self) -> impl Iterator<Item = T> {
        self.queues.into_values().flat_map(|(waiting, _)| waiting).map(|(_, item)| item)
    }
}

/// What became of somebody's turn.
enum Turn {
    /// It is over.
    Over,
    /// The next piece has no room now: it is first the next time.
    NoRoom,
    /// Nothing of it waits, and nothing is to be paid off.
    Gone,
}

impl<K: Copy + Eq + Hash, C: Copy + Eq + Hash, T> Turns<K, C, T> {
    /// Nobody waits yet. A turn is worth `quantum`.
    pub(super) fn new(quantum: usize) -> Self {
        Self { quantum, ring: VecDeque::new(), lines: HashMap::new(), cost: 0, alone: false }
    }

    /// What everything that waits costs.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Queues `item` behind what the second of the key has queued before.
    pub(super) fn push(&mut self, (key, within): (K, C), cost: usize, item: T) {
        self.cost += cost;
        let quantum = isize::try_from(self.quantum).unwrap_or(isize::MAX);
        let line = self.lines.entry(key).or_insert_with(|| {
            self.ring.push_back(key);
            Line { waiting: Rounds::new(quantum), left: 0 }
        });
        line.waiting.push(within, cost, item);
    }

    /// Takes what is next, as much as there is `room` for, and what it costs. A piece that is larger than that is taken alone, and never twice
    /// in a row while something else waits that fits.
    pub(super) fn take(&mut self, room: usize) -> (Vec<T>, usize) {
        let mut taken = Vec::new();
        if !self.alone && self.next_cost().is_some_and(|cost| cost > room) {
            return self.take_alone();
        }
        let (mut left, mut no_room) = (room, Vec::new());
        while self.cost > 0 && !self.ring.is_empty() {
            let before = taken.len();
            for _ in 0..self.ring.len() {
                let Some(key) = self.ring.pop_front() else { break };
                match self.turn(key, &mut left, &mut taken) {
                    Turn::Over => self.ring.push_back(key),
                    Turn::NoRoom => no_room.push(key),
                    Turn::Gone => drop(self.lines.remove(&key)),
                }
            }
            // What is to be paid off is paid while others wait; where nobody else does, the room is better used than kept free.
            if taken.len() == before && !no_room.is_empty() {
                break;
            }
        }
        no_room.into_iter().rev().for_each(|key| self.ring.push_front(key));
        if taken.is_empty() && self.cost > 0 {
            return self.take_alone();
        }
        self.alone = false;
        self.forget_debts();
        (taken, room - left)
    }

    /// Removes everything, for somebody who can do nothing with it.
    pub(super) fn drain(&mut self) -> Vec<T> {
        self.ring.clear();
        self.cost = 0;
        self.lines.drain().flat_map(|(_, line)| line.waiting.drain()).collect()
    }

    /// What the next piece costs, if nobody has to pay something off first.
    fn next_cost(&self) -> Option<usize> {
        let line = self.lines.get(self.ring.front()?).filter(|line| line.left >= 0)?;
        line.waiting.next_cost()
    }

    fn turn(&mut self, key: K, room: &mut usize, taken: &mut Vec<T>) -> Turn {
        let Some(line) = self.lines.get_mut(&key) else { return Turn::Gone };
        let quantum = isize::try_from(self.quantum).unwrap_or(isize::MAX);
        line.left = (line.left + quantum).min(quantum);
        while line.left > 0 {
            match line.waiting.next_cost() {
                None => return Turn::Gone,
                Some(cost) if cost > *room => return Turn::NoRoom,
                Some(_) => {}
            }
            let Some((cost, item)) = line.waiting.pop() else { return Turn::Gone };
            *room -= cost;
            self.cost -= cost;
            line.left -= isize::try_from(cost).unwrap_or(isize::MAX);
            taken.push(item);
        }
        Turn::Over
    }

    /// Takes the next piece, whatever it costs.
    fn take_alone(&mut self) -> (Vec<T>, usize) {
        let waits = |key: &K| self.lines.get(key).is_some_and(|line| !line.waiting.is_empty());
        let Some(key) = self.ring.iter().position(waits).and_then(|at| self.ring.remove(at)) else {
            return (Vec::new(), 0);
        };
        self.ring.push_back(key);
        self.alone = true;
        let taken = self.lines.get_mut(&key).and_then(|line| {
            let (cost, item) = line.waiting.pop()?;
            line.left -= isize::try_from(cost).unwrap_or(isize::MAX);
            Some((cost, item))
        });
        let cost = taken.as_ref().map_or(0, |(cost, _)| *cost);
        self.cost -= cost;
        self.forget_debts();
        (taken.map(|(_, item)| item).into_iter().collect(), cost)
    }

    /// Where nobody waits, nobody was kept waiting.
    fn forget_debts(&mut self) {
        if self.cost == 0 {
            self.ring.clear();
            self.lines.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const ROOM: usize = 100;

    #[test]
    fn one_piece_behind_a_thousand_of_somebody_else_is_in_the_next_group() {
        let mut turns = Turns::new(10);
        (0..1_000).for_each(|n| turns.push(('a', ()), 10, ('a', n)));
        turns.push(('b', ()), 1, ('b', 0));
        let (group, cost) = turns.take(ROOM);
        assert!(group.contains(&('b', 0)) && cost <= ROOM, "{group:?}");
        assert_eq!(turns.take(ROOM).0.len(), 10, "alone, it gets all of the room");
    }

    #[test]
    fn a_piece_that_has_no_room_goes_alone_and_every_second_time_at_most() {
        let mut turns = Turns::new(10);
        for n in 0..3 {
            turns.push(('a', ()), 1_000, ('a', n));
            turns.push(('c', ()), 1_000, ('c', n));
        }
        let mut groups = Vec::new();
        for n in 0..8 {
            turns.push(('b', ()), 1, ('b', n));
            groups.push(turns.take(ROOM).0);
        }
        for pair in groups.windows(2) {
            assert!(pair.iter().flatten().any(|(key, _)| *key == 'b'), "{groups:?}");
        }
        for big in ['a', 'c'] {
            assert!(groups.iter().flatten().any(|(key, _)| *key == big), "{groups:?}");
        }
    }

    #[test]
    fn what_was_taken_beyond_is_paid_off_while_others_wait_and_forgotten_when_nobody_does() {
        let mut turns = Turns::new(10);
        turns.push(('a', ()), 80, 'a');
        for _ in 0..12 {
            turns.push(('b', ()), 10, 'b');
        }
        assert_eq!(turns.take(90).0, ['a', 'b']);
        turns.push(('a', ()), 10, 'a');
        // Seven turns of the other first.
        assert_eq!(turns.take(70).0, ['b'; 7]);
        assert!(turns.take(20).0.contains(&'a'));
        while turns.cost() > 0 {
            turns.take(ROOM);
        }
        turns.push(('a', ()), 10, 'a');
        turns.push(('b', ()), 10, 'b');
        assert_eq!(turns.take(ROOM).0, ['a', 'b']);
    }

    /// However many connectors an org has, and however large its pieces are, another org's small one is in the next group but one.
    #[test]
    fn turns_are_between_orgs_first_and_then_between_an_orgs_connectors() {
        let mut turns = Turns::new(10);
        for connector in 0..100 {
            (0..5).for_each(|n| turns.push(('a', connector), 10, ('a', connector, n)));
        }
        (0..3).for_each(|n| turns.push(('b', 0), 10, ('b', 0, n)));
        let group = turns.take(60).0;
        assert_eq!(group.iter().filter(|(org, ..)| *org == 'b').count(), 3, "{group:?}");
        let mut of_a: Vec<_> =
            group.iter().filter(|(org, ..)| *org == 'a').map(|(_, connector, _)| *connector).collect();
        of_a.extend(turns.take(970).0.iter().map(|(_, connector, _)| *connector));
        of_a.sort_unstable();
        assert_eq!(of_a, (0..100).collect::<Vec<_>>(), "each connector has one turn before any has two");
    }

    #[test]
    fn a_connector_with_large_pieces_has_fewer_turns_of_its_org() {
        let mut turns = Turns::new(10);
        for n in 0..10 {
            turns.push(('a', 1), 50, (1, n));
        }
        for n in 0..40 {
            turns.push(('a', 2), 10, (2, n));
        }
        let mut spent = [0usize, 0];
        for _ in 0..8 {
            for (connector, _) in turns.take(50).0 {
                spent[connector - 1] += [50, 10][connector - 1];
            }
        }
        assert!(spent[0].abs_diff(spent[1]) <= 60, "{spent:?}");
    }

    #[derive(Debug, Clone)]
    enum Move {
        Push(u8, usize),
        Take(usize),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let push =
            (0..6u8, prop_oneof![4 => 1..20usize, 1 => 20..250usize]).prop_map(|(key, cost)| Move::Push(key, cost));
        prop::collection::vec(prop_oneof![4 => push, 1 => (1..ROOM).prop_map(Move::Take)], 1..300)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Everything comes out once, in the order of its line, in groups that keep to their room; and whoever is not paying anything off is
        /// served within two groups for each of those before it, and two more.
        #[test]
        fn everything_has_its_turn_once_in_order_and_soon(moves in moves()) {
            let mut turns = Turns::new(16);
            let mut waiting: BTreeMap<u8, VecDeque<(usize, usize)>> = BTreeMap::new();
            let (mut number, mut patience) = (0, BTreeMap::<u8, usize>::new());
            let left = moves.len();
            for step in moves.into_iter().chain(std::iter::repeat_n(Move::Take(ROOM), left * 20)) {
                match step {
                    Move::Push(key, cost) => {
                        number += 1;
                        turns.push((key, ()), cost, (key, number));
                        waiting.entry(key).or_default().push_back((number, cost));
                    }
                    Move::Take(room) => {
                        let (group, cost) = turns.take(room);
                        prop_assert_eq!(group.is_empty(), waiting.values().all(VecDeque::is_empty));
                        prop_assert!(cost <= room || group.len() == 1);
                        let served: Vec<u8> = group.iter().map(|(key, _)| *key).collect();
                        let mut costs = 0;
                        for (key, number) in group {
                            let (next, cost) = waiting.get_mut(&key).unwrap().pop_front().unwrap();
                            prop_assert_eq!(next, number);
                            costs += cost;
                        }
                        prop_assert_eq!(costs, cost);
                        for (key, line) in &waiting {
                            let waited = patience.entry(*key).or_default();
                            *waited = if line.is_empty() || served.contains(key) { 0 } else { *waited + 1 };
                            // At most 250 beyond, paid off 16 at a time.
                            prop_assert!(*waited <= 2 * 6 + 2 + 250 / 16 * 2, "{} waited {} groups", key, waited);
                        }
                    }
                }
                prop_assert_eq!(turns.cost(), waiting.values().flatten().map(|(_, cost)| cost).sum::<usize>());
            }
            prop_assert!(waiting.values().all(VecDeque::is_empty));
        }
    }
}
