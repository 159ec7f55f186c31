//! What is read again and again, remembered for a second: keys and orgs. Short enough that what another process changes is seen within
//! a second; what this process changes is forgotten at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::time::Instant;

/// How long an entry is believed.
const TTL: Duration = Duration::from_secs(1);
/// Entries that are kept before all are forgotten: a bound for memory, far above what is in use within a second.
const KEPT: usize = 16 * 1024;

/// Says how many times the cache was cleared before a value was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket(u64);

/// Values with the time they were read.
#[derive(Debug)]
pub(crate) struct TtlCache<K, V> {
    entries: RwLock<HashMap<K, (V, Instant)>>,
    clears: AtomicU64,
}

impl<K, V> Default for TtlCache<K, V> {
    fn default() -> Self {
        Self { entries: RwLock::default(), clears: AtomicU64::new(0) }
    }
}

impl<K: Eq + Hash, V: Clone> TtlCache<K, V> {
    /// What was read for `key` within the last second.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let entries = self.entries.read();
        let (value, read) = entries.get(key)?;
        (read.elapsed() < TTL).then(|| value.clone())
    }

    /// To be drawn before a value is read, and handed in with it.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket(self.clears.load(Ordering::Acquire))
    }

    /// Remembers a value, unless the cache was cleared since the ticket was drawn: it may be from before the change.
    pub(crate) fn put(&self, ticket: Ticket, key: K, value: V) {
        let mut entries = self.entries.write();
        if self.clears.load(Ordering::Acquire) != ticket.0 {
            return;
        }
        if entries.len() >= KEPT {
            entries.clear();
        }
        entries.insert(key, (value, Instant::now()));
    }

    /// Forgets everything: something was changed.
    pub(crate) fn clear(&self) {
        let mut entries = self.entries.write();
        self.clears.fetch_add(1, Ordering::AcqRel);
        entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn forgets_after_a_second_and_at_once_when_told() {
        let cache = TtlCache::default();
        cache.put(cache.ticket(), 1, "a");
        assert_eq!(cache.get(&1), Some("a"));
        tokio::time::advance(TTL).await;
        assert_eq!(cache.get(&1), None);
        cache.put(cache.ticket(), 1, "b");
        cache.clear();
        assert_eq!(cache.get(&1), None);
    }

    #[tokio::test]
    async fn a_value_read_before_a_change_is_not_remembered_after_it() {
        let cache = TtlCache::default();
        let ticket = cache.ticket();
        cache.clear();
        cache.put(ticket, 1, "stale");
        assert_eq!(cache.get(&1), None);
    }
}
