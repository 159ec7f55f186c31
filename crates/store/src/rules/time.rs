//! Acceptance times, if the clock is set back.

use std::time::Duration;

use toktra_siem_core::time::Timestamp;

/// By how much a clock may step back without being followed: so the acceptance times of an org do not go back with every correction.
pub const STEP: Duration = Duration::from_secs(5);
/// What lies further ahead of the clock than this was written when the clock was wrong.
const AHEAD: Duration = Duration::from_mins(1);

/// When an event is accepted that comes at `now` and after one that was accepted at `last`: never more than [`STEP`] ahead of the clock. The
/// order of events is that of their sequences, whatever their times say.
pub fn accepted_at(last: Timestamp, now: Timestamp) -> Timestamp {
    if last.since(now) > STEP { now } else { last.max(now) }
}

/// Whether a stored time lies so far ahead of the clock that the clock must have been wrong.
pub fn is_ahead(at: Timestamp, now: Timestamp) -> bool {
    at.since(now) > AHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_back_is_followed_from_five_seconds_on() {
        let last = Timestamp(1_000_000);
        for (step, expected) in
            [(-90_000, 1_090_000), (0, 1_000_000), (4_000, 1_000_000), (5_000, 1_000_000), (5_001, 994_999)]
        {
            assert_eq!(accepted_at(last, Timestamp(last.0 - step)), Timestamp(expected), "{step}");
        }
        assert!(!is_ahead(last, Timestamp(last.0 - 60_000)) && is_ahead(last, Timestamp(last.0 - 60_001)));
        assert!(!is_ahead(last, Timestamp(last.0 + 90_000)));
    }
}
