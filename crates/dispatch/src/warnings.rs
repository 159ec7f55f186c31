//! What a stream goes without although its events arrive, such as an index template: shown for as long as it is so. Kept in memory, since
//! every start and every saved setting prepares the endpoint anew.

use std::collections::HashMap;

use parking_lot::Mutex;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::ids::StreamId;

/// The warning of each stream that has one.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<HashMap<StreamId, Cause>>);

impl Warnings {
    /// Its endpoint was prepared, wholly or but for this.
    pub fn prepared(&self, stream: StreamId, warning: Option<Cause>) {
        let mut warnings = self.0.lock();
        match warning {
            Some(cause) => warnings.insert(stream, cause),
            None => warnings.remove(&stream),
        };
    }

    /// What `stream` goes without.
    pub fn of(&self, stream: StreamId) -> Option<Cause> {
        self.0.lock().get(&stream).cloned()
    }
}
