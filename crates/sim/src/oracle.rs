//! What was promised, and what arrived.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use parking_lot::Mutex;

/// Every event that a producer posted, by its id, in its stored form (producers send events that are in it already).
#[derive(Debug, Default)]
pub struct Oracle {
    posted: Mutex<Posted>,
}

#[derive(Debug, Default)]
struct Posted {
    promised: BTreeMap<String, Bytes>,
    /// Posted without an answer: they may be stored or not.
    uncertain: BTreeMap<String, Bytes>,
}

/// What a receiver got.
#[derive(Debug, Default, Clone)]
pub struct Arrived {
    /// How often each event was accepted.
    pub times: BTreeMap<String, u64>,
    /// The bytes of each event, where the receiver is given the stored form as it is.
    pub bytes: BTreeMap<String, Bytes>,
}

/// What the oracle found. Empty lists and `duplicates` within its bound mean that the promise was kept.
#[derive(Debug, Default)]
pub struct Findings {
    /// Promised, and never arrived.
    pub missing: Vec<String>,
    /// Arrived, but nobody posted it.
    pub invented: Vec<String>,
    /// Arrived with other bytes than the stored form's.
    pub changed: Vec<String>,
    /// Arrivals beyond the first of each event.
    pub duplicates: u64,
}

impl Oracle {
    /// A 202 was given for these events.
    pub fn promised(&self, events: Vec<(String, Bytes)>) {
        let mut posted = self.posted.lock();
        for (id, bytes) in events {
            posted.uncertain.remove(&id);
            posted.promised.insert(id, bytes);
        }
    }

    /// These events were posted, and no answer came.
    pub fn uncertain(&self, events: Vec<(String, Bytes)>) {
        self.posted.lock().uncertain.extend(events);
    }

    /// How many events were promised so far.
    pub fn promises(&self) -> usize {
        self.posted.lock().promised.len()
    }

    /// The ids of what was promised.
    pub fn promised_ids(&self) -> BTreeSet<String> {
        self.posted.lock().promised.keys().cloned().collect()
    }

    /// Compares with what a receiver got.
    pub fn judge(&self, arrived: &Arrived) -> Findings {
        let posted = self.posted.lock();
        let missing = posted.promised.keys().filter(|id| !arrived.times.contains_key(*id)).cloned().collect();
        let known = |id: &String| posted.promised.get(id).or_else(|| posted.uncertain.get(id));
        let invented = arrived.times.keys().filter(|id| known(id).is_none()).cloned().collect();
        let changed = arrived.bytes.iter().filter(|(id, bytes)| known(id).is_some_and(|posted| posted != *bytes));
        Findings {
            missing,
            invented,
            changed: changed.map(|(id, _)| id.clone()).collect(),
            duplicates: arrived.times.values().map(|times| times - 1).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str) -> (String, Bytes) {
        (id.to_owned(), Bytes::from(format!("{{\"event_id\":\"{id}\"}}")))
    }

    fn arrived(ids: &[&str]) -> Arrived {
        let mut arrived = Arrived::default();
        for (id, bytes) in ids.iter().map(|id| event(id)) {
            *arrived.times.entry(id.clone()).or_default() += 1;
            arrived.bytes.insert(id, bytes);
        }
        arrived
    }

    #[test]
    fn sees_a_loss_an_invention_a_change_and_a_duplicate() {
        let oracle = Oracle::default();
        oracle.promised(vec![event("a"), event("b")]);
        oracle.uncertain(vec![event("c")]);
        let kept = oracle.judge(&arrived(&["a", "b", "c"]));
        assert!(kept.missing.is_empty() && kept.invented.is_empty() && kept.changed.is_empty() && kept.duplicates == 0);
        let broken = oracle.judge(&arrived(&["a", "a", "x"]));
        assert_eq!((broken.missing, broken.invented, broken.duplicates), (vec!["b".into()], vec!["x".into()], 1));
        let mut other = arrived(&["a", "b"]);
        other.bytes.insert("a".into(), Bytes::from_static(b"{}"));
        assert_eq!(oracle.judge(&other).changed, ["a"]);
    }

    #[test]
    fn an_uncertain_event_that_is_promised_later_counts_as_promised() {
        let oracle = Oracle::default();
        oracle.uncertain(vec![event("a")]);
        oracle.promised(vec![event("a")]);
        assert_eq!(oracle.judge(&Arrived::default()).missing, ["a"]);
    }
}
