//! What is known of a stream although its events arrive: what it goes without, such as an index template, and until when its endpoint's
//! certificate is valid. Kept in memory, since every start and every saved setting connects and prepares anew.

use std::collections::HashMap;

use parking_lot::Mutex;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::ids::StreamId;
use toktra_siem_core::time::Timestamp;

/// What is known of each stream.
#[derive(Debug, Default)]
pub struct Warnings {
    lacking: Mutex<HashMap<StreamId, Cause>>,
    certificates: Mutex<HashMap<StreamId, Timestamp>>,
}

impl Warnings {
    /// Its endpoint was prepared, wholly or but for this.
    pub fn prepared(&self, stream: StreamId, warning: Option<Cause>) {
        let mut warnings = self.lacking.lock();
        match warning {
            Some(cause) => warnings.insert(stream, cause),
            None => warnings.remove(&stream),
        };
    }

    /// What `stream` goes without.
    pub fn of(&self, stream: StreamId) -> Option<Cause> {
        self.lacking.lock().get(&stream).cloned()
    }

    /// A certificate was seen that is valid until then, or none.
    pub fn certificate(&self, stream: StreamId, until: Option<Timestamp>) {
        let mut certificates = self.certificates.lock();
        match until {
            Some(until) => certificates.insert(stream, until),
            None => certificates.remove(&stream),
        };
    }

    /// Until when the certificate of the stream's endpoint is valid, as far as one was seen.
    pub fn certificate_until(&self, stream: StreamId) -> Option<Timestamp> {
        self.certificates.lock().get(&stream).copied()
    }
}
