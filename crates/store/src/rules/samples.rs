//! What the tests of the rules share.

use toktra_siem_core::accounting::Counts;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Delivery, ParkKind, Parked, Trigger};
use toktra_siem_core::ids::{ConnectorId, DeliveryId, OrgId, Seq, StreamId, StreamKind};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use uuid::Uuid;

use super::stream::Found;
use crate::deliveries::Settlement;
use crate::error::{Result, StoreError};

pub(super) const NOW: Timestamp = Timestamp(1_767_225_600_000);
const ORG: OrgId = OrgId(Uuid::from_u128(3));
const STREAM: StreamId = StreamId { connector: ConnectorId(Uuid::from_u128(4)), kind: StreamKind::Events };

/// A stream with its cursor there.
pub(super) fn found(cursor: u64) -> Found {
    Found { id: STREAM, org: ORG, cursor: Seq(cursor), last_window: None }
}

pub(super) fn delivery_id(id: u128) -> DeliveryId {
    DeliveryId(Uuid::from_u128(id))
}

/// A pending delivery of the stream.
pub(super) fn delivery(id: u128, first: u64, last: u64) -> Delivery {
    let members = Members::from_ascending((first..=last).map(Seq));
    Delivery::new(delivery_id(id), ORG, STREAM, Trigger::Live, members, NOW)
}

/// An event that is parked.
pub(super) fn parked(seq: u64, kind: ParkKind) -> Parked {
    let cause = Cause::new("refused", "The receiver refused it.");
    Parked { seq: Seq(seq), events: 1, kind, cause, delivery: delivery_id(1), since: NOW }
}

/// A settlement of this delivery that moves nothing.
pub(super) fn settlement(delivery: Delivery) -> Settlement {
    Settlement {
        delivery,
        expected_attempts: 0,
        attempt: None,
        children: Vec::new(),
        parked: Vec::new(),
        arrived: Members::default(),
        counts: Counts::default(),
        breaker: None,
        held: Vec::new(),
    }
}

/// What a rule says, in a word.
pub(super) fn kind<T>(result: Result<T>) -> &'static str {
    match result.err() {
        None => "fine",
        Some(StoreError::Conflict(_)) => "conflict",
        Some(StoreError::Unaccounted(_)) => "unaccounted",
        Some(StoreError::Stale) => "stale",
        Some(_) => "something else",
    }
}
