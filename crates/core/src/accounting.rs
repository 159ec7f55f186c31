//! Where every event is, as numbers: for each stream, each accepted event is counted in exactly one place (invariant D1).

use serde::{Deserialize, Serialize};

/// How many events of a stream stand where. Also used as a set of deltas: a transaction moves events by adding one that sums to zero
/// (or, where it takes events off the log, to their number).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Accepted by the platform (and indexed, where acknowledgement is on).
    pub delivered: i64,
    /// Refused by the platform for good, parked with its reason.
    pub rejected: i64,
    /// Parked after three attempts, waiting for recovery, a redelivery or a person.
    pub failed: i64,
    /// Outlived its retention (or, for metrics, the hour that Datadog accepts) undelivered.
    pub expired: i64,
    /// Undelivered when it was found that its stored bytes do not match their checksum any more. Counts that an earlier version wrote know
    /// of none.
    #[serde(default)]
    pub damaged: i64,
    /// Given up by a person.
    pub discarded: i64,
    /// Passed over when a connector was switched on again "from now".
    pub skipped: i64,
    /// In an open delivery or in a backlog range. Events that the cursor has not reached are pending too; they are not counted here
    /// but known from the cursor and the org's head: see [`Accounting::pending`].
    pub pending: i64,
    /// Passed by according to the filter in force at its sequence.
    pub filtered: i64,
}

impl Counts {
    /// The sum of all places.
    pub fn total(&self) -> i64 {
        self.delivered
            + self.rejected
            + self.failed
            + self.expired
            + self.damaged
            + self.discarded
            + self.skipped
            + self.pending
            + self.filtered
    }
}

impl std::ops::Sub for Counts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            delivered: self.delivered - other.delivered,
            rejected: self.rejected - other.rejected,
            failed: self.failed - other.failed,
            expired: self.expired - other.expired,
            damaged: self.damaged - other.damaged,
            discarded: self.discarded - other.discarded,
            skipped: self.skipped - other.skipped,
            pending: self.pending - other.pending,
            filtered: self.filtered - other.filtered,
        }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.rejected += other.rejected;
        self.failed += other.failed;
        self.expired += other.expired;
        self.damaged += other.damaged;
        self.discarded += other.discarded;
        self.skipped += other.skipped;
        self.pending += other.pending;
        self.filtered += other.filtered;
    }
}

/// A stream's whole account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Accounting {
    /// Events accepted since the stream exists.
    pub accepted: u64,
    /// Events that the cursor has not reached yet.
    pub waiting: u64,
    /// Where all the others are.
    pub counts: Counts,
}

impl Accounting {
    /// Every event that has not come to an end yet: those before the cursor in open deliveries and ranges, and those behind it.
    pub fn pending(&self) -> i64 {
        self.counts.pending + i64::try_from(self.waiting).unwrap_or(i64::MAX)
    }

    /// Every event that waits, and the one definition of it: it is on its way, in a backlog range, behind the cursor, or parked as failed
    /// and tried again by itself. Lag, health, metrics and alerts speak of these. A rejected event is undelivered but does not wait: only a
    /// person sends it again. Nor does what a job sends beside the account.
    pub fn undelivered(&self) -> u64 {
        u64::try_from(self.pending() + self.counts.failed).unwrap_or(0)
    }

    /// Invariant D1: each accepted event is in exactly one place. `waiting` comes from the cursor, the counts from the transactions
    /// that moved it, so this fails when a cursor moved without accounting for what it passed.
    pub fn adds_up(&self) -> bool {
        let c = &self.counts;
        i64::try_from(self.accepted) == Ok(c.total() + i64::try_from(self.waiting).unwrap_or(i64::MAX))
            && [c.delivered, c.rejected, c.failed, c.expired, c.damaged, c.discarded, c.skipped, c.pending, c.filtered]
                .iter()
                .all(|n| *n >= 0)
    }
}
