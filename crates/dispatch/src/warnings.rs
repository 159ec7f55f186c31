//! What is known of a stream beside what is stored: what it goes without, such as an index template; until when its endpoint's certificate is
//! valid; and that this service itself keeps it from sending. Kept in memory, since every start and every saved setting connects, prepares and
//! reads anew.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::ids::StreamId;
use toktra_siem_core::time::Timestamp;

/// What is known of each stream.
#[derive(Debug, Default)]
pub struct Warnings {
    lacking: Mutex<HashMap<StreamId, Cause>>,
    certificates: Mutex<HashMap<StreamId, Timestamp>>,
    failing: Mutex<HashMap<StreamId, (Timestamp, Cause)>>,
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

    /// The stream is gone, and whatever is known of it.
    pub fn forget(&self, stream: StreamId) {
        self.lacking.lock().remove(&stream);
        self.certificates.lock().remove(&stream);
        self.failing.lock().remove(&stream);
    }

    /// Nothing is sent because this service cannot do its part. Since the first such failure, for the reason of the last.
    pub fn failed(&self, stream: StreamId, now: Timestamp, cause: Cause) {
        let mut failing = self.failing.lock();
        let since = failing.get(&stream).map_or(now, |(since, _)| *since);
        failing.insert(stream, (since, cause));
    }

    /// It can again.
    pub fn works(&self, stream: StreamId) {
        self.failing.lock().remove(&stream);
    }

    /// All for which it cannot.
    pub fn all_failing(&self) -> HashSet<StreamId> {
        self.failing.lock().keys().copied().collect()
    }

    /// Since when it cannot, and why.
    pub fn failing(&self, stream: StreamId) -> Option<(Timestamp, Cause)> {
        self.failing.lock().get(&stream).cloned()
    }
}
