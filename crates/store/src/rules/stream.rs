//! A stream: who may write for it, and what a recovery sets apart.

use toktra_siem_core::delivery::Trigger;
use toktra_siem_core::ids::{OrgId, RangeId, Seq, StreamId, StreamKind};
use toktra_siem_core::time::Timestamp;

use crate::deliveries::{BacklogRange, Lease};
use crate::error::{Result, StoreError};

/// A stream as the transaction found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub id: StreamId,
    /// The tenant.
    pub org: OrgId,
    /// Up to where events were taken into deliveries, or passed by.
    pub cursor: Seq,
    /// The start of the newest window that was pinned from the cursor.
    pub last_window: Option<Timestamp>,
}

/// Whether `lease` is the newest of its stream, whose epoch is `newest`; `None` if there is no such stream (any more).
pub fn check_lease(lease: &Lease, newest: Option<u64>) -> Result<()> {
    if newest == Some(lease.epoch) { Ok(()) } else { Err(StoreError::Fenced) }
}

/// The backlog range that takes what waits between the cursor and the org's head, if anything does. The cursor then goes to the head, and the
/// range's events are pending. Metrics are sent in the order of their windows, so their cursor stays.
pub fn set_apart(stream: Found, head: Seq, id: RangeId, trigger: Trigger, now: Timestamp) -> Option<BacklogRange> {
    if stream.cursor.until(head) == 0 || stream.id.kind == StreamKind::Metrics {
        return None;
    }
    Some(BacklogRange { id, cursor: stream.cursor, to: head, trigger, since: now })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::samples::{NOW, found};
    use super::*;

    #[test]
    fn only_the_newest_lease_may_write() {
        let lease = Lease { stream: found(0).id, epoch: 3 };
        assert!(check_lease(&lease, Some(3)).is_ok());
        for newest in [Some(2), Some(4), None] {
            assert!(matches!(check_lease(&lease, newest), Err(StoreError::Fenced)), "{newest:?}");
        }
    }

    #[test]
    fn what_waits_is_set_apart_but_for_metrics() {
        let id = RangeId(Uuid::from_u128(9));
        let apart = |stream, head| set_apart(stream, Seq(head), id, Trigger::Recovery, NOW);
        let range = BacklogRange { id, cursor: Seq(4), to: Seq(7), trigger: Trigger::Recovery, since: NOW };
        assert_eq!(apart(found(4), 7), Some(range));
        assert_eq!(apart(found(7), 7), None);
        let metrics = StreamId { kind: StreamKind::Metrics, ..found(4).id };
        assert_eq!(apart(Found { id: metrics, ..found(4) }, 7), None);
    }
}
