//! How often a password may be tried: so many times an hour for each account, and for each address that tries (threats.md, "guessing
//! passwords"). Every attempt that is let through counts, also the right one: only then the bound holds whatever the answers were. In
//! memory: a restart forgets, which no guesser can bring about.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use parking_lot::Mutex;
use toktra_siem_core::time::Timestamp;

/// Attempts an hour for each account.
pub const PER_ACCOUNT: usize = 20;
/// Attempts an hour from each address: an office behind one address logs in within this.
pub const PER_ADDRESS: usize = 100;
/// The length of the window in which attempts are counted.
const WINDOW: Duration = Duration::from_hours(1);
/// Accounts, and addresses, that are kept in mind.
const KEPT: usize = 32 * 1024;

/// One attempt too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// How long until the next one is possible.
    pub wait: Duration,
    /// Whether the limit was reached only now: the first refusal of a row.
    pub first: bool,
}

/// The attempts of the last hour.
#[derive(Debug)]
pub struct Guesses {
    windows: Mutex<(Windows<[u8; 32]>, Windows<IpAddr>)>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self { windows: Mutex::new((Windows::new(PER_ACCOUNT), Windows::new(PER_ADDRESS))) }
    }
}

impl Guesses {
    /// Counts an attempt at `account` (any account's own number, whether it exists or not) from an address, or refuses it: then it counts
    /// nowhere.
    pub fn attempt(&self, account: [u8; 32], from: Option<IpAddr>, now: Timestamp) -> Result<(), Limited> {
        let from = from.map(network);
        let mut windows = self.windows.lock();
        let (accounts, addresses) = &mut *windows;
        let refusals = [accounts.refusal(&account, now), from.and_then(|from| addresses.refusal(&from, now))];
        let longest = refusals.into_iter().flatten().max_by_key(|limited| limited.wait);
        if let Some(Limited { wait, .. }) = longest {
            let first = refusals.iter().flatten().any(|limited| limited.first);
            return Err(Limited { wait, first });
        }
        accounts.count(account, now);
        if let Some(from) = from {
            addresses.count(from, now);
        }
        Ok(())
    }
}

/// Whoever has one IPv6 address usually has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[derive(Debug, Default)]
struct Attempts {
    /// Oldest first.
    at: VecDeque<Timestamp>,
    /// Whether somebody was refused since the last one that was let through.
    refused: bool,
}

impl Attempts {
    /// Drops what is past. A clock that was set back makes nobody wait longer than the window.
    fn settle(&mut self, now: Timestamp) {
        for at in &mut self.at {
            *at = (*at).min(now);
        }
        while self.at.front().is_some_and(|at| at.plus(WINDOW) <= now) {
            self.at.pop_front();
        }
    }
}

#[derive(Debug)]
struct Windows<K> {
    limit: usize,
    kept: HashMap<K, Attempts>,
}

impl<K: Eq + Hash> Windows<K> {
    fn new(limit: usize) -> Self {
        Self { limit, kept: HashMap::new() }
    }

    fn refusal(&mut self, key: &K, now: Timestamp) -> Option<Limited> {
        let attempts = self.kept.get_mut(key)?;
        attempts.settle(now);
        if attempts.at.len() < self.limit {
            return None;
        }
        let wait = attempts.at.front()?.plus(WINDOW).since(now);
        let first = !std::mem::replace(&mut attempts.refused, true);
        Some(Limited { wait, first })
    }

    fn count(&mut self, key: K, now: Timestamp) {
        if self.kept.len() >= KEPT {
            self.make_room(now);
        }
        let attempts = self.kept.entry(key).or_default();
        attempts.refused = false;
        attempts.at.push_back(now);
    }

    /// Forgets what is past, and then whoever tried least: so that nobody can have the count of an account under attack forgotten by
    /// trying many others once.
    fn make_room(&mut self, now: Timestamp) {
        self.kept.retain(|_, attempts| {
            attempts.settle(now);
            !attempts.at.is_empty()
        });
        for fewest in 1..=self.limit {
            if self.kept.len() < KEPT {
                break;
            }
            self.kept.retain(|_, attempts| attempts.at.len() > fewest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: [u8; 32] = [1; 32];
    const START: Timestamp = Timestamp(1_736_937_000_000);

    fn address(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn no_hour_whatsoever_has_more_than_the_limit() {
        let guesses = Guesses::default();
        let mut passed: Vec<Timestamp> = Vec::new();
        for n in 0..10_000u32 {
            let now = START.plus(Duration::from_secs(u64::from(n) * 3));
            match guesses.attempt(ACCOUNT, Some(address(n)), now) {
                Ok(()) => passed.push(now),
                Err(limited) => {
                    assert!(limited.wait <= WINDOW);
                    let free = now.plus(limited.wait);
                    assert_eq!(free, passed[passed.len() - PER_ACCOUNT].plus(WINDOW));
                }
            }
        }
        assert!(passed.windows(PER_ACCOUNT + 1).all(|w| w[PER_ACCOUNT].since(w[0]) >= WINDOW));
        assert!(passed.len() > 8 * PER_ACCOUNT, "after an hour there are attempts again: {}", passed.len());
    }

    #[test]
    fn the_first_refusal_is_told_once() {
        let guesses = Guesses::default();
        for n in 0..20 {
            guesses.attempt(ACCOUNT, Some(address(n)), START).unwrap();
        }
        let first = |now: Timestamp| guesses.attempt(ACCOUNT, Some(address(99)), now).map_err(|limited| limited.first);
        assert_eq!((first(START), first(START)), (Err(true), Err(false)));
        assert_eq!(first(START.plus(WINDOW)), Ok(()));
        for n in 0..19 {
            guesses.attempt(ACCOUNT, Some(address(n)), START.plus(WINDOW)).unwrap();
        }
        assert_eq!(first(START.plus(WINDOW)), Err(true));
    }

    #[test]
    fn an_address_is_limited_over_all_accounts_and_what_is_refused_counts_nowhere() {
        let guesses = Guesses::default();
        for n in 0..100u8 {
            guesses.attempt([n; 32], Some(address(7)), START).unwrap();
        }
        assert!(guesses.attempt([200; 32], Some(address(7)), START).is_err());
        for n in 0..20 {
            guesses.attempt([200; 32], Some(address(1000 + n)), START).unwrap();
        }
        assert!(guesses.attempt([200; 32], Some(address(8)), START).is_err());
        for n in 0..100u8 {
            guesses.attempt([n; 32], Some(address(8)), START).unwrap();
        }
        guesses.attempt([201; 32], None, START).unwrap();
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address_and_a_mapped_one_as_ipv4() {
        let at = |text: &str| network(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2:3:4:5:6"), at("2001:db8:1:2::1"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_wait_longer_than_an_hour() {
        let guesses = Guesses::default();
        for n in 0..20 {
            guesses.attempt(ACCOUNT, Some(address(n)), START.plus(Duration::from_hours(1000))).unwrap();
        }
        assert_eq!(guesses.attempt(ACCOUNT, Some(address(1)), START).map_err(|limited| limited.wait), Err(WINDOW));
        guesses.attempt(ACCOUNT, Some(address(1)), START.plus(WINDOW)).unwrap();
    }

    #[test]
    fn many_accounts_tried_once_do_not_wash_away_the_one_under_attack() {
        let guesses = Guesses::default();
        for n in 0..20 {
            guesses.attempt(ACCOUNT, Some(address(n)), START).unwrap();
        }
        for n in 0..3 * KEPT {
            let mut other = [0; 32];
            other[..8].copy_from_slice(&n.to_le_bytes());
            other[31] = 9;
            guesses.attempt(other, None, START).unwrap();
        }
        assert!(guesses.attempt(ACCOUNT, Some(address(77)), START).is_err());
        assert!(guesses.windows.lock().0.kept.len() <= KEPT);
    }
}
