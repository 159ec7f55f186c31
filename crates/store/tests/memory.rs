//! The reference passes the suite.

use std::sync::Arc;

use toktra_siem_store::conformance::Fixture;
use toktra_siem_store::{Clock, Cluster, Memory};

fn memory(clock: Clock) -> Fixture {
    Fixture::new(Memory::new(clock))
}

/// One whose events can be damaged.
fn damaged(clock: Clock) -> Fixture {
    let store = Arc::new(Memory::new(clock));
    let damaged = Arc::clone(&store);
    let fixture = Fixture { store, damages: None, keep: Box::new(()) };
    fixture.damaged_by(move |org, seq, broken| damaged.damage(org, seq, broken))
}

/// One that several nodes share.
fn nodes(clock: Clock) -> (Fixture, Arc<dyn Cluster>) {
    let store = Arc::new(Memory::new(clock));
    (Fixture { store: store.clone(), damages: None, keep: Box::new(()) }, store)
}

toktra_siem_store::conformance_tests!(memory);
toktra_siem_store::damage_tests!(damaged);
toktra_siem_store::node_tests!(nodes);
toktra_siem_store::cluster_tests!(nodes);

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
