//! How often a password may be guessed (docs/adr/0017-passwords-and-sessions.md).
//!
//! Only wrong guesses count: neither a login that succeeds nor one that was never evaluated takes anything away. Each wrong guess is charged
//! to several budgets at once, and the next attempt is evaluated if all of them have something left:
//!
//! - the account from that address ([`PER_PAIR`]), so that whoever guesses from elsewhere does not use up the person's own attempts;
//! - the account from anywhere ([`PER_ACCOUNT`]), so that many addresses together do not guess without end;
//! - the address, over all accounts ([`PER_ADDRESS`]), so that nobody tries one password at everybody.
//!
//! A device that the person logged in with before has a budget of its own ([`PER_DEVICE`]) and is charged nowhere else; so has a session whose
//! holder changes the password ([`PER_SESSION`]). If the person logged in from the address since the start of the server, strangers there
//! do not lock them out: the guess is charged to the account from that address, and to one budget for all people who logged in from there
//! ([`PER_HOME`]).
//!
//! A budget that is used up comes back step by step, one guess at a time, so that nobody is ever locked out for good. All of it is in memory:
//! a restart forgets, which no guesser can bring about.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use parking_lot::Mutex;
use toktra_siem_core::time::Timestamp;

/// Wrong guesses at an account from one address. As many come back within an hour, here and below.
pub const PER_PAIR: u32 = 20;
/// Wrong guesses at an account from all addresses that the person did not log in from.
pub const PER_ACCOUNT: u32 = 100;
/// Wrong guesses from one address at all accounts. An office, or everybody behind a proxy that is not trusted, shares it.
pub const PER_ADDRESS: u32 = 300;
/// Wrong guesses from one address at all accounts whose people logged in from there.
pub const PER_HOME: u32 = 100;
/// Wrong guesses with a device that the person logged in with before.
pub const PER_DEVICE: u32 = 20;
/// Wrong guesses at the present password in one session.
pub const PER_SESSION: u32 = 10;
/// In this time a budget that is used up comes back whole.
const WINDOW: Duration = Duration::from_hours(1);
/// Budgets that are kept in mind, and as many addresses that people logged in from.
const KEPT: usize = 64 * 1024;

/// One attempt too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// How long until the next one is possible.
    pub wait: Duration,
    /// Whether it is to be recorded: the first refusal within an hour.
    pub first: bool,
}

/// What somebody who tries a password shows of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing.
    Stranger,
    /// A device that the person logged in with before.
    Device([u8; 16]),
    /// The person's own session, by its hash.
    Session([u8; 32]),
}

/// An attempt at a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    account: [u8; 32],
    from: Option<IpAddr>,
    way: Way,
}

impl Attempt {
    /// At `account`: any account's own number, whether it exists or not.
    pub fn new(account: [u8; 32], from: Option<IpAddr>, way: Way) -> Self {
        Self { account, from: from.map(network), way }
    }

    /// The account's number.
    pub fn account(&self) -> &[u8; 32] {
        &self.account
    }

    /// What was shown.
    pub fn way(&self) -> Way {
        self.way
    }

    /// The address that it counts for.
    pub fn network(&self) -> Option<IpAddr> {
        self.from
    }
}

/// What a wrong guess is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Account([u8; 32]),
    Address(IpAddr),
    Home(IpAddr),
    Pair([u8; 32], Option<IpAddr>),
    Device([u8; 16]),
    Session([u8; 32]),
}

impl Key {
    fn budget(self) -> u32 {
        match self {
            Self::Account(_) => PER_ACCOUNT,
            Self::Address(_) => PER_ADDRESS,
            Self::Home(_) => PER_HOME,
            Self::Pair(..) => PER_PAIR,
            Self::Device(_) => PER_DEVICE,
            Self::Session(_) => PER_SESSION,
        }
    }

    /// In which time one guess comes back.
    fn pace(self) -> Duration {
        WINDOW / self.budget()
    }
}

/// A budget, and what was told of it.
#[derive(Debug, Clone, Copy, Default)]
struct Budget {
    /// When all of it is back: each wrong guess moves it on by the pace.
    whole_at: Option<Timestamp>,
    /// When a wrong guess was last recorded in the log.
    failure_told: Option<Timestamp>,
    /// The same for a refusal.
    refusal_told: Option<Timestamp>,
    /// Attempts that were refused since the person last logged in.
    refused: u64,
}

impl Budget {
    /// How long it takes until all of it is back. A clock that was set back makes nobody wait longer than the window.
    fn owed(&self, now: Timestamp) -> Duration {
        self.whole_at.map_or(Duration::ZERO, |at| at.since(now)).min(WINDOW)
    }

    fn charge(&mut self, key: Key, now: Timestamp) {
        self.whole_at = Some(now.plus((self.owed(now) + key.pace()).min(WINDOW)));
    }

    /// How long until it has one guess left.
    fn wait(&self, key: Key, now: Timestamp) -> Duration {
        (self.owed(now) + key.pace()).saturating_sub(WINDOW)
    }

    /// How much is lost where it is forgotten.
    fn weight(&self, key: Key, now: Timestamp) -> u64 {
        let guesses = self.owed(now).as_millis().div_ceil(key.pace().as_millis().max(1));
        u64::try_from(guesses).unwrap_or(u64::MAX).saturating_add(self.refused)
    }
}

/// Whether it is time to tell again; notes that it was told.
fn due(told: &mut Option<Timestamp>, now: Timestamp) -> bool {
    let is_due = told.is_none_or(|at| at.plus(WINDOW) <= now);
    if is_due {
        *told = Some(now);
    }
    is_due
}

#[derive(Debug, Default)]
struct State {
    budgets: HashMap<Key, Budget>,
    /// From where people logged in, and when they last did.
    homes: HashMap<([u8; 32], IpAddr), Timestamp>,
}

/// The wrong guesses of the last hour.
#[derive(Debug, Default)]
pub struct Guesses {
    state: Mutex<State>,
}

impl Guesses {
    /// Whether the attempt may be evaluated. Where it may not, it counts nowhere.
    pub fn check(&self, attempt: &Attempt, now: Timestamp) -> Result<(), Limited> {
        let mut state = self.state.lock();
        let waits = state.charged(attempt).map(|key| (key, state.wait(key, now)));
        let Some((key, wait)) = waits.filter(|(_, wait)| !wait.is_zero()).max_by_key(|(_, wait)| *wait) else {
            return Ok(());
        };
        let account = Key::Account(attempt.account);
        let mut first = false;
        // The account's own budget tells of all addresses that guess at it: one line in the log, not one for each.
        let told = if matches!(key, Key::Pair(..)) && state.budgets.contains_key(&account) { account } else { key };
        if let Some(budget) = state.budgets.get_mut(&told) {
            first = due(&mut budget.refusal_told, now);
        }
        if let Some(budget) = state.budgets.get_mut(&account) {
            budget.refused += 1;
        }
        Err(Limited { wait, first })
    }

    /// Charges a guess that was wrong. Whether it is to be recorded in the log: the first of the account within an hour.
    pub fn wrong(&self, attempt: &Attempt, now: Timestamp) -> bool {
        let mut state = self.state.lock();
        for key in state.charged(attempt) {
            state.budget(key, now).charge(key, now);
        }
        let account = state.budget(Key::Account(attempt.account), now);
        due(&mut account.failure_told, now)
    }

    /// Notes that the person logged in. How many attempts at the account were refused, without being evaluated, since they last did.
    pub fn right(&self, attempt: &Attempt, now: Timestamp) -> u64 {
        let mut state = self.state.lock();
        if let Some(from) = attempt.from {
            if state.homes.len() >= KEPT {
                state.forget_homes();
            }
            state.homes.insert((attempt.account, from), now);
        }
        let account = state.budgets.get_mut(&Key::Account(attempt.account));
        account.map_or(0, |account| {
            (account.failure_told, account.refusal_told) = (None, None);
            std::mem::take(&mut account.refused)
        })
    }
}

impl State {
    /// What the attempt is charged to.
    fn charged(&self, attempt: &Attempt) -> impl Iterator<Item = Key> + use<> {
        let Attempt { account, from, way } = *attempt;
        let keys = match way {
            Way::Device(id) => [Some(Key::Device(id)), None, None],
            Way::Session(hash) => [Some(Key::Session(hash)), None, None],
            Way::Stranger => {
                let is_home = from.is_some_and(|from| self.homes.contains_key(&(account, from)));
                let pair = Some(Key::Pair(account, from));
                if is_home {
                    [pair, from.map(Key::Home), None]
                } else {
                    [pair, Some(Key::Account(account)), from.map(Key::Address)]
                }
            }
        };
        keys.into_iter().flatten()
    }

    fn wait(&self, key: Key, now: Timestamp) -> Duration {
        self.budgets.get(&key).map_or(Duration::ZERO, |budget| budget.wait(key, now))
    }

    fn budget(&mut self, key: Key, now: Timestamp) -> &mut Budget {
        if self.budgets.len() >= KEPT && !self.budgets.contains_key(&key) {
            self.make_room(now);
        }
        self.budgets.entry(key).or_default()
    }

    /// Forgets what is whole again, and then what was guessed at least: so that nobody can have the count of an account under attack
    /// forgotten by trying many others once.
    fn make_room(&mut self, now: Timestamp) {
        let mut least = 0;
        while self.budgets.len() >= KEPT {
            self.budgets.retain(|key, budget| budget.weight(*key, now) > least);
            least = least * 2 + 1;
        }
    }

    /// Forgets the older half of the addresses that people logged in from.
    fn forget_homes(&mut self) {
        let mut times: Vec<Timestamp> = self.homes.values().copied().collect();
        let middle = times.len() / 2;
        let middle = *times.select_nth_unstable(middle).1;
        self.homes.retain(|_, at| *at > middle);
    }
}

/// Whoever has one IPv6 address usually has all of its /64. An IPv4 address stands for itself: its neighbours are other customers of the same
/// provider.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests;
