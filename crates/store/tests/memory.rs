//! The reference passes the suite.

use toktra_siem_store::conformance::Fixture;
use toktra_siem_store::{Clock, Memory};

fn memory(clock: Clock) -> Fixture {
    Fixture::new(Memory::new(clock))
}

toktra_siem_store::conformance_tests!(memory);

/// The model test against the reference itself: the operations are sound, and the account adds up after each of them.
#[test]
fn agrees_with_itself() {
    toktra_siem_store::conformance::model::agrees(memory, 200);
}

/// Retention gives up a delivery of old events and younger ones.
#[test]
fn younger_events_of_a_delivery_are_kept() {
    toktra_siem_store::conformance::run(memory, toktra_siem_store::conformance::retention::younger_ones_are_parked);
}
