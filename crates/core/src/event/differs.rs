//! Whether a repeated event says the same as its original (architecture.md, "How an event flows" 1).

use super::NewEvent;

/// Whether `new` says something else than `original`, the stored form of the event that was accepted under the same id.
pub fn differs(original: &[u8], new: &NewEvent) -> bool {
    original != new.payload
}
