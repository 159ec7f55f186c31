//! How much of all answers together is in memory.
//!
//! Answers of a few lines, as nearly all are, are not counted. Those that arrive and those that are complete have a limit each. Where those
//! that arrive would take more, the one that has been under way longest is given up: a receiver that sends slowly on purpose never keeps the
//! answers of others out. One for which there is no room among the complete ones is given up itself: those that others still work with
//! cost no answer that arrives.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// What the answers that arrive may take together, and those that are complete, beside the first [`FREE`] bytes of each.
const LIMIT: usize = 32 * 1024 * 1024;
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
    arriving: usize,
    complete: usize,
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
        let state = self.state.lock();
        state.arriving + state.complete
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
        state.arriving += more;
        while state.arriving > self.ledger.limit {
            let growing = |(id, entry): (&u64, &Entry)| (entry.bytes > 0 && entry.way.is_some()).then_some(*id);
            let Some(id) = state.entries.iter().find_map(growing) else { return };
            state.give_up(id);
        }
    }

    /// Completes once the answer has to give way.
    pub(super) async fn gives_way(&self) {
        self.way.cancelled().await;
    }

    /// The answer is complete: it is held until its last clone is dropped, and gives way to nobody. `None` where too many are held already,
    /// or it had to give way.
    pub(super) fn complete(self, body: Bytes) -> Option<Bytes> {
        let mut state = self.ledger.state.lock();
        let bytes = state.entries.get(&self.id)?.bytes;
        if bytes == 0 {
            return Some(body);
        }
        if state.complete + bytes > self.ledger.limit {
            state.give_up(self.id);
            return None;
        }
        (state.arriving, state.complete) = (state.arriving - bytes, state.complete + bytes);
        if let Some(entry) = state.entries.get_mut(&self.id) {
            entry.way = None;
        }
        drop(state);
        Some(Bytes::from_owner(Complete { body, _held: self }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.ledger.state.lock().give_up(self.id);
    }
}

impl State {
    /// Forgets an answer, and tells it to give way if it still arrives.
    fn give_up(&mut self, id: u64) {
        match self.entries.remove(&id) {
            Some(Entry { bytes, way: Some(way) }) => {
                self.arriving -= bytes;
                way.cancel();
            }
            Some(Entry { bytes, way: None }) => self.complete -= bytes,
            None => {}
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
