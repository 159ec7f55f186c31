//! The reference passes the suite.

use toktra_siem_store::conformance::Fixture;
use toktra_siem_store::{Clock, Memory};

fn memory(clock: Clock) -> Fixture {
    Fixture::new(Memory::new(clock))
}

toktra_siem_store::conformance_tests!(memory);
