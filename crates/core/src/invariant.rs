//! The promises, named once. Property tests, the journeys and the simulation check them and report a breach under its name.

use std::fmt;

/// Something that always holds (ARCHITECTURE.md, "What always holds").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Every accepted event is, for each stream that existed at its sequence, exactly one of: delivered, rejected, failed, expired,
    /// damaged, discarded, skipped, pending, filtered; and the counts add up.
    D1,
    /// At most three recorded attempts without progress per delivery, but for the one that has an outage's probes as attempts.
    D2,
    /// A cursor moves only together with what accounts for every sequence it passed: the `open`, the range of a recovery, or a count.
    D3,
    /// Every observed send has an attempt row or is counted among an outage's probes, or its pinned delivery is still pending.
    D4,
    /// Every signed body verifies with the documented Python and Node.js code.
    D5,
    /// Filter edits are never retroactive.
    D6,
    /// No org-scoped store method returns another org's rows.
    D7,
}

impl Invariant {
    /// Every invariant.
    pub const ALL: [Self; 7] = [Self::D1, Self::D2, Self::D3, Self::D4, Self::D5, Self::D6, Self::D7];

    /// The name used in logs, metrics and test output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::D1 => "D1",
            Self::D2 => "D2",
            Self::D3 => "D3",
            Self::D4 => "D4",
            Self::D5 => "D5",
            Self::D6 => "D6",
            Self::D7 => "D7",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
