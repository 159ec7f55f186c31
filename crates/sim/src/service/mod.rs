//! The way of an event through the real dispatcher and store, in virtual time: from the append to the SIEM, by way of whatever befalls it.
//!
//! A [`Plan`] says what does: SIEMs that are slow, wrong, partial or silent, nodes that are killed or cut off, a clock that is set, a full disk,
//! a damaged event, connectors that are switched off or filter otherwise. It follows from a seed, and so does everything that chance decides. The oracle stands outside: it
//! knows what was promised and what the strict fakes took. Whatever fails is repeated with less and less of its plan, so that the story
//! that is told is short.

mod node;
mod oracle;
pub mod plan;
mod siem;
mod world;

use plan::Plan;
use world::World;

/// What one run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that were promised.
    pub promised: u64,
    /// What the SIEMs took, copies included.
    pub taken: u64,
    /// Events that a SIEM has more than once.
    pub copies: u64,
    /// Events that are listed as damaged and not delivered.
    pub damaged: u64,
    /// Nodes that were killed, cut off for long, or left.
    pub nodes: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.promised += other.promised;
        self.taken += other.taken;
        self.copies += other.copies;
        self.damaged += other.damaged;
        self.nodes += other.nodes;
    }
}

/// A promise that was broken.
#[derive(Debug, thiserror::Error)]
#[error("seed {seed}: {}\n\nthe shortest story that ends like this:\n{story}", .broken.join("\n"))]
pub struct Broken {
    /// Under which it is repeated.
    pub seed: u64,
    /// What is not as it was promised.
    pub broken: Vec<String>,
    /// What is left of the plan.
    pub story: Plan,
}

/// Plays what follows from a seed.
pub fn run(seed: u64) -> Result<Tally, Box<Broken>> {
    let plan = Plan::of(seed);
    play(&plan).map_err(|broken| Box::new(shortest(plan, broken)))
}

/// Plays a plan; what was promised and not kept, if anything.
///
/// # Panics
///
/// Where the machine has no room for a runtime.
pub fn play(plan: &Plan) -> Result<Tally, Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O").block_on(async {
        let mut world = World::new(plan.seed).await;
        world.suffer(plan).await;
        world.heal().await;
        world.judge().await
    })
}

/// Takes deeds away as long as something is broken without them: large pieces first, then single ones.
fn shortest(mut story: Plan, mut broken: Vec<String>) -> Broken {
    let seed = story.seed;
    let mut piece = story.deeds.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < story.deeds.len() {
            let less = story.without(at, at + piece);
            match play(&less) {
                Err(still) => (story, broken) = (less, still),
                Ok(_) => at += piece,
            }
        }
        if piece == 1 {
            return Broken { seed, broken, story };
        }
        piece = piece.div_ceil(2);
    }
}
