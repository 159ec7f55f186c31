//! How much of all answers together is in memory.
//!
//! Answers of a few lines, as nearly all are, are not counted. Where the others would take more than their limit, the one that has been
//! under way longest is given up: a receiver that sends slowly on purpose never keeps the answers of others out.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// What all answers together may take, beside the first [`FREE`] bytes of each.
const LIMIT: usize = 64 * 1024 * 1024;
/// The bytes of an answer that are not counted.
const FREE: usize = 64 * 1024;

/// The answers in memory. Clones are the same ledger.
#[derive(Clone)]
pub(super) struct Ledger {
    limit: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    total: usize,
    next: u64,
    entries: BTreeMap<u64, Entry>,
}

struct Entry {
    bytes: usize,
    /// To be cancelled where the answer has to give way; `None` once it is complete.
    way: Option<CancellationToken>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::with_limit(LIMIT)
    }
}

impl Ledger {
    pub(super) fn with_limit(limit: usize) -> Self {
        Self { limit, state: Arc::default() }
    }

    /// A place for one more answer.
    pub(super) fn answer(&self) -> Held {
        let way = CancellationToken::new();
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        state.entries.insert(id, Entry { bytes: 0, way: Some(way.clone()) });
        Held { ledger: self.clone(), id, way }
    }

    #[cfg(test)]
    pub(super) fn total(&self) -> usize {
        self.state.lock().total
    }
}

/// The place of one answer. Dropping it gives its bytes back.
pub(super) struct Held {
    ledger: Ledger,
    id: u64,
    way: CancellationToken,
}

impl Held {
    /// The answer now takes `len` bytes. The oldest ones give way where that is too much, this one among them.
    pub(super) fn grow(&self, len: usize) {
        let mut state = self.ledger.state.lock();
        let Some(entry) = state.entries.get_mut(&self.id) else { return };
        let bytes = len.saturating_sub(FREE);
        let more = bytes - entry.bytes;
        entry.bytes = bytes;
        state.total += more;
        while state.total > self.ledger.limit {
            let growing = |(id, entry): (&u64, &Entry)| (entry.bytes > 0 && entry.way.is_some()).then_some(*id);
            let Some(entry) = state.entries.iter().find_map(growing).and_then(|id| state.entries.remove(&id)) else {
                return;
            };
            state.total -= entry.bytes;
            if let Some(way) = entry.way {
                way.cancel();
            }
        }
    }

    /// Completes once the answer has to give way.
    pub(super) async fn gives_way(&self) {
        self.way.cancelled().await;
    }

    /// The answer is complete: it is held until its last clone is dropped, and gives way to nobody.
    pub(super) fn complete(self, body: Bytes) -> Bytes {
        match self.ledger.state.lock().entries.get_mut(&self.id) {
            Some(entry) if entry.bytes > 0 => entry.way = None,
            _ => return body,
        }
        Bytes::from_owner(Complete { body, _held: self })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.ledger.state.lock();
        if let Some(entry) = state.entries.remove(&self.id) {
            state.total -= entry.bytes;
        }
    }
}

struct Complete {
    body: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Complete {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}
