//! What befalls the service in one run: drawn from a seed before it begins, so that a run can be repeated, and shortened.

use std::fmt;
use std::time::Duration;

use toktra_siem_base::random::{Random as _, SeededRandom};

/// Connectors that a run begins with, the first of each org's; platforms take turns.
pub const CONNECTORS: usize = 4;
/// Orgs, between which connectors and events take turns.
pub const ORGS: usize = 2;
/// How long things befall it. After that all that was broken is whole again.
pub const TROUBLE: Duration = Duration::from_mins(90);

/// How a SIEM behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mood {
    /// By its own rules, at once.
    Well,
    /// By its own rules, after so many milliseconds: more than a request may take, too.
    Slow(u64),
    /// Nobody listens.
    Away,
    /// 503.
    Busy,
    /// 429, with this many seconds in `Retry-After`.
    Limited(u64),
    /// 403: the credential was withdrawn.
    Forbidden,
    /// Takes the connection and never answers; the events are not taken.
    Silent,
    /// Takes the events, and the answer is lost.
    Loses,
    /// Takes the first events of each request and refuses the rest for now.
    Halves,
    /// Anything of this, anew for each request.
    Whims,
}

/// One thing that befalls the service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Deed {
    /// A producer of this org posts so many events.
    Post(usize, usize),
    /// A producer of this org posts its last events once more.
    Again(usize, usize),
    /// The SIEM of this connector behaves like this from now on.
    Siem(usize, Mood),
    /// The connector forwards what is high, or everything.
    Filter(usize, bool),
    /// The connector is switched on or off.
    Switch(usize, bool),
    /// Another node joins.
    Join,
    /// A node is killed: what it was doing ends in the middle.
    Kill(usize),
    /// A node leaves in good order.
    Leave(usize),
    /// The store does not answer a node for so many seconds.
    CutOff(usize, u64),
    /// The clock is set by so many seconds.
    Clock(i64),
    /// The disk is full for so many seconds.
    Full(u64),
    /// A stored event is damaged: the one so many before the newest.
    Damage(usize),
}

/// When what befalls it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where chance inside the run comes from.
    pub seed: u64,
    /// In their order.
    pub deeds: Vec<(Duration, Deed)>,
}

/// Chance.
pub struct Dice(SeededRandom);

impl Dice {
    /// The throws that follow from this seed.
    pub fn new(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&self, end: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % end
    }

    /// An index of something that has `len` elements.
    pub fn index(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// Once in `n`.
    pub fn once_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A mood, for better or worse.
    pub fn mood(&self) -> Mood {
        match self.below(11) {
            0 | 1 => Mood::Well,
            2 => Mood::Slow(self.below(40_000)),
            3 => Mood::Away,
            4 => Mood::Busy,
            5 => Mood::Limited(self.below(90)),
            6 => Mood::Forbidden,
            7 => Mood::Silent,
            8 => Mood::Loses,
            9 => Mood::Halves,
            _ => Mood::Whims,
        }
    }
}

impl Plan {
    /// What follows from a seed.
    pub fn of(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let count = 20 + dice.index(80);
        let trouble = u64::try_from(TROUBLE.as_millis()).unwrap_or(u64::MAX);
        let mut deeds: Vec<_> = (0..count).map(|_| (Duration::from_millis(dice.below(trouble)), deed(&dice))).collect();
        deeds.sort_by_key(|(at, _)| *at);
        Self { seed, deeds }
    }

    /// The same without these deeds.
    pub(super) fn without(&self, from: usize, to: usize) -> Self {
        let kept = self.deeds.iter().enumerate().filter(|(at, _)| !(from..to).contains(at)).map(|(_, deed)| *deed);
        Self { seed: self.seed, deeds: kept.collect() }
    }
}

fn deed(dice: &Dice) -> Deed {
    match dice.below(24) {
        0..=8 => Deed::Post(dice.index(ORGS), 1 + dice.index(if dice.once_in(6) { 400 } else { 12 })),
        9 => Deed::Again(dice.index(ORGS), 1 + dice.index(20)),
        10..=14 => Deed::Siem(dice.index(CONNECTORS), dice.mood()),
        15 => Deed::Filter(dice.index(CONNECTORS), dice.once_in(2)),
        16 => Deed::Switch(dice.index(CONNECTORS), !dice.once_in(3)),
        17 => Deed::Join,
        18 => Deed::Kill(dice.index(4)),
        19 => Deed::Leave(dice.index(4)),
        20 => Deed::CutOff(dice.index(4), 1 + dice.below(60)),
        21 => Deed::Clock(clock(dice)),
        22 => Deed::Full(1 + dice.below(120)),
        _ => Deed::Damage(dice.index(30)),
    }
}

/// By how much clocks are wrong in practice: a time zone, a day, a dead battery.
fn clock(dice: &Dice) -> i64 {
    let far = [1, 30, 3_600, 86_400, 3 * 86_400, 60 * 86_400][dice.index(6)];
    if dice.once_in(2) { far } else { -far }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, deed) in &self.deeds {
            writeln!(f, "{:>5}.{:03} s  {deed:?}", at.as_secs(), at.subsec_millis())?;
        }
        Ok(())
    }
}
