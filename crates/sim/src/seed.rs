//! Randomness that can be repeated: a failing run prints its seed, and the seed replays its choices.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// Replays a run.
const VARIABLE: &str = "TOKTRA_SIM_SEED";

/// The seed of a run: the one in `TOKTRA_SIM_SEED`, or another one each time. Whoever uses it prints it.
///
/// # Panics
///
/// Where the variable holds no number.
#[expect(clippy::disallowed_methods, reason = "the one place where the simulation reads which run it is to repeat")]
pub fn of_run() -> u64 {
    match std::env::var(VARIABLE) {
        Ok(text) => text.trim().parse().unwrap_or_else(|_| panic!("{VARIABLE} is no number")),
        Err(_) => RandomState::new().build_hasher().finish(),
    }
}

/// A generator whose whole output follows from its seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Seed(u64);

impl Seed {
    /// Starts at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next word.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// A number in `low..high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.word() % (high - low).max(1)
    }

    /// A generator of its own for a part of the run.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.word())
    }
}
