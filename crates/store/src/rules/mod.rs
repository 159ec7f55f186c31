//! What a transaction on the ledger has to check, and where it moves the counts: pure functions of what a backend has read.
//!
//! A backend that keeps rows reads what a rule asks for in its transaction, under whatever locks it needs, asks the rule, and writes what
//! the rule says. So backends cannot differ in what they refuse, and a rule is tested without a database. Everything is checked before the
//! first write. What a delivery, a breaker or a job becomes is decided in `core`; here it is only applied.
//!
//! - [`open`]: a batch is pinned and a cursor moves (invariant D3). [`parked`]: what is taken out of the parked ones.
//! - [`settle`]: an attempt has ended (invariant D1).
//! - [`jobs`]: a job is made, and moves. [`stream`]: who may write for a stream, and what is set apart.
//! - [`time`]: acceptance times, if the clock is set back.
//!
//! [`crate::memory`] uses none of it on purpose: it says the same in other code, and the suite holds both to the contract.

pub mod jobs;
pub mod open;
pub mod parked;
#[cfg(test)]
mod samples;
pub mod settle;
pub mod stream;
pub mod time;

use toktra_siem_core::delivery::Delivery;
use toktra_siem_core::ids::DeliveryId;

use crate::error::{Result, StoreError};

/// A number of events as a delta of counts.
pub fn count(events: u64) -> i64 {
    i64::try_from(events).unwrap_or(i64::MAX)
}

/// That a new delivery has an id that is neither `known` to the stream nor that of one of the `earlier` new ones.
fn check_new(id: DeliveryId, earlier: &[Delivery], known: &[DeliveryId]) -> Result<()> {
    if known.contains(&id) || earlier.iter().any(|other| other.id == id) {
        return Err(conflict(format!("there is a delivery {id} already")));
    }
    Ok(())
}

fn conflict(what: String) -> StoreError {
    StoreError::Conflict(what)
}

fn unaccounted(what: String) -> StoreError {
    StoreError::Unaccounted(what)
}
