//! What holds for test deliveries in every backend: what one looks like when it is opened and when it ends, and what becomes of one that
//! nobody ends.

use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Attempt, Delivery, Status, Trigger};
use toktra_siem_core::ids::OrgId;

use crate::error::{Result, StoreError};

/// Whether `delivery` is a test of the org that has not begun.
pub fn is_new(delivery: &Delivery, org: OrgId) -> bool {
    delivery.org == org
        && delivery.trigger == Trigger::Test
        && delivery.status == Status::Pending
        && delivery.members.is_empty()
        && !delivery.accounted
}

/// Refuses an end that is none: a test has one attempt at most, and nothing goes on after it.
pub fn check_end(delivery: &Delivery, attempt: Option<&Attempt>) -> Result<()> {
    let settled = delivery.status != Status::Pending && delivery.settled_at.is_some();
    if settled && delivery.attempts == u32::from(attempt.is_some()) {
        return Ok(());
    }
    Err(StoreError::Unaccounted(format!("test delivery {} does not end with what is recorded of it", delivery.id)))
}

/// Why a test has no outcome.
pub fn interrupted() -> Cause {
    Cause::new(
        "interrupted",
        "The service ended while this test was under way, so its outcome is unknown. Its log says why it ended. Test again.",
    )
}
