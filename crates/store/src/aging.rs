//! How old things are, whatever becomes of the wall clock.
//!
//! Whoever removes something because of its age asks here for the time, and not the wall clock, which may be wrong: a machine that starts with the
//! clock 60 days ahead would otherwise expire everything that waits. Time counts as it was seen to pass by a clock that does not jump, going on
//! from where the last process ended. If the wall clock is further ahead than that, since it was set, or since nothing ran for a while, nothing
//! grows older by the difference until the clock has been steady for [`STEADY`], or an operator says that it is right. A clock that was set back is
//! believed at once, and its way forward again is such a jump: otherwise what was written meanwhile would be too old at a stroke.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use toktra_siem_core::time::Timestamp;

use crate::Clock;

/// For how long the wall clock has to agree with the one that does not jump until it is believed.
pub const STEADY: Duration = Duration::from_hours(24);
/// By how much two clocks may differ that agree: one of them is adjusted all the time.
const AGREES: Duration = Duration::from_mins(1);

/// Whether the wall clock is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClockTrust {
    /// Whatever it says, for ever: for callers who move the clock themselves.
    #[default]
    Always,
    /// What it says at the start; an operator says so.
    AtStart,
    /// What it says once it has been steady.
    Steady,
}

/// Tells the time by which things age.
pub struct Aging {
    wall: Clock,
    /// `None` if the wall clock is believed in any case.
    state: Option<Mutex<State>>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// The time by which things aged at `since`; it has gone on since then.
    from: Timestamp,
    since: Instant,
    /// The wall clock is ahead, and has been so, by the same, since this moment; and what it said then.
    ahead: Option<(Instant, Timestamp)>,
}

impl Aging {
    /// Goes on from `seen`, where the last process ended; `None` if there was none.
    pub fn new(wall: Clock, trust: ClockTrust, seen: Option<Timestamp>) -> Self {
        let from = seen.filter(|_| trust == ClockTrust::Steady).unwrap_or_else(|| wall());
        let state = State { from, since: Instant::now(), ahead: None };
        Self { wall, state: (trust != ClockTrust::Always).then(|| Mutex::new(state)) }
    }

    /// The time by which things age: never ahead of the wall clock.
    pub fn now(&self) -> Timestamp {
        self.look().0
    }

    /// By how much the wall clock is ahead of it.
    pub fn ahead(&self) -> Duration {
        let (aged, wall) = self.look();
        wall.since(aged)
    }

    /// Both times.
    fn look(&self) -> (Timestamp, Timestamp) {
        let wall = (self.wall)();
        let Some(state) = &self.state else { return (wall, wall) };
        let (mut state, now) = (state.lock(), Instant::now());
        let seen = state.from.plus(now - state.since);
        let most = seen.plus(AGREES);
        if wall <= most {
            state.ahead = None;
            if seen.since(wall) > AGREES {
                // It was set back. What is written now bears this time; if the clock is right again later, that is a jump as well.
                *state = State { from: wall, since: now, ahead: None };
            }
            return (wall, wall);
        }
        let (since, said) = *state.ahead.get_or_insert((now, wall));
        let expected = said.plus(now - since);
        if wall.since(expected).max(expected.since(wall)) > AGREES {
            // It has jumped again.
            state.ahead = Some((now, wall));
        } else if now - since >= STEADY {
            *state = State { from: wall, since: now, ahead: None };
            return (wall, wall);
        }
        (most, wall)
    }
}

impl std::fmt::Debug for Aging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aging").field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;

    const START: Timestamp = Timestamp(1_736_937_000_000);
    const DAY: Duration = Duration::from_hours(24);
    const MINUTE: Duration = Duration::from_mins(1);

    /// A wall clock that goes with tokio's, but for the jumps that the test makes.
    struct World {
        ahead: Arc<AtomicI64>,
        clock: Clock,
    }

    impl World {
        fn new() -> Self {
            let (ahead, began) = (Arc::new(AtomicI64::new(0)), Instant::now());
            let by = Arc::clone(&ahead);
            let clock: Clock = Arc::new(move || {
                let passed = i64::try_from(began.elapsed().as_millis()).unwrap();
                Timestamp(START.0 + passed + by.load(Ordering::SeqCst))
            });
            Self { ahead, clock }
        }

        fn jump(&self, ms: i64) {
            self.ahead.fetch_add(ms, Ordering::SeqCst);
        }

        fn aging(&self, trust: ClockTrust, seen: Option<Timestamp>) -> Aging {
            Aging::new(Arc::clone(&self.clock), trust, seen)
        }
    }

    fn ms(duration: Duration) -> i64 {
        i64::try_from(duration.as_millis()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_makes_nothing_older_until_the_clock_was_steady_for_a_day() {
        let world = World::new();
        let aging = world.aging(ClockTrust::Steady, None);
        assert_eq!(aging.now(), START);
        world.jump(ms(DAY * 60));
        for _ in 0..23 {
            assert!(aging.now() <= START.plus(DAY + MINUTE), "{:?}", aging.now());
            assert!(aging.ahead() >= DAY * 59);
            advance(DAY / 24).await;
        }
        // Another jump begins the day anew, also one back.
        world.jump(-ms(DAY));
        assert!(aging.ahead() >= DAY * 58);
        advance(DAY / 24 * 23).await;
        assert!(aging.ahead() >= DAY * 58);
        advance(DAY / 24).await;
        assert_eq!((aging.now(), aging.ahead()), ((world.clock)(), Duration::ZERO));
        advance(DAY).await;
        assert_eq!(aging.now(), (world.clock)());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_behind_and_is_right_again_has_jumped() {
        let world = World::new();
        let aging = world.aging(ClockTrust::Steady, None);
        world.jump(-ms(DAY * 60));
        let written = aging.now();
        assert_eq!((written, aging.ahead()), ((world.clock)(), Duration::ZERO));
        advance(DAY / 24).await;
        world.jump(ms(DAY * 60));
        assert_eq!(aging.now(), written.plus(DAY / 24 + MINUTE));
        advance(DAY).await;
        assert_eq!(aging.now(), (world.clock)());
        // What clocks do all the time is none.
        world.jump(-ms(MINUTE));
        assert_eq!(aging.now(), (world.clock)());
        world.jump(ms(MINUTE));
        assert_eq!(aging.now(), (world.clock)());
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_goes_on_from_where_the_last_one_ended() {
        let world = World::new();
        let seen = Timestamp(START.0 - ms(DAY * 60));
        let aging = world.aging(ClockTrust::Steady, Some(seen));
        assert_eq!((aging.now(), aging.ahead()), (seen.plus(MINUTE), (DAY * 60).saturating_sub(MINUTE)));
        assert_eq!(world.aging(ClockTrust::AtStart, Some(seen)).now(), START);
        assert_eq!(world.aging(ClockTrust::Always, Some(seen)).now(), START);
        // A restart that took a moment is none to speak of.
        assert_eq!(world.aging(ClockTrust::Steady, Some(Timestamp(START.0 - 30_000))).now(), START);
        // A clock that is right again is believed at once.
        world.jump(-ms(DAY * 60));
        assert_eq!((aging.now(), aging.ahead()), (seen, Duration::ZERO));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// However the wall clock jumps, what is asked within a day has not grown older than the day, and never than the wall clock says.
        #[test]
        fn within_a_day_nothing_grows_older_than_a_day(jumps in prop::collection::vec((-90i64..90, 1u64..120), 1..10)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let world = World::new();
                let (aging, began) = (world.aging(ClockTrust::Steady, None), Instant::now());
                for (days, minutes) in jumps {
                    world.jump(days * ms(DAY));
                    advance(MINUTE * u32::try_from(minutes).unwrap()).await;
                    let aged = aging.now();
                    prop_assert!(aged <= (world.clock)());
                    prop_assert!(aged <= START.plus(began.elapsed() + AGREES), "{aged:?}");
                }
                Ok(())
            })?;
        }
    }
}
