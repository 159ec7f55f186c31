//! Indexer acknowledgement ("About HTTP Event Collector Indexer Acknowledgment" in Splunk's documentation): ids per channel, `true` read once
//! and then forgotten, unknown ids `false`.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

#[derive(Debug, Default)]
pub(super) struct Acks {
    held: bool,
    channels: HashMap<String, Channel>,
}

#[derive(Debug, Default)]
struct Channel {
    next: u64,
    indexed: BTreeSet<u64>,
}

impl Acks {
    /// The id for a request that has just been accepted on this channel.
    pub(super) fn issue(&mut self, channel: &str) -> u64 {
        let channel = self.channels.entry(channel.to_owned()).or_default();
        let id = channel.next;
        channel.next += 1;
        channel.indexed.insert(id);
        id
    }

    /// The answer to a poll: the members of `acks`.
    pub(super) fn poll(&mut self, channel: &str, ids: &[u64]) -> Map<String, Value> {
        let held = self.held;
        let mut known = self.channels.get_mut(channel);
        let mut read = |id: &u64| !held && known.as_mut().is_some_and(|channel| channel.indexed.remove(id));
        ids.iter().map(|id| (id.to_string(), Value::Bool(read(id)))).collect()
    }

    pub(super) fn hold(&mut self, hold: bool) {
        self.held = hold;
    }

    pub(super) fn forget(&mut self) {
        self.channels.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn true_is_read_once_and_per_channel() {
        let mut acks = Acks::default();
        assert_eq!((acks.issue("a"), acks.issue("a"), acks.issue("b")), (0, 1, 0));
        assert_eq!(Value::Object(acks.poll("a", &[0, 7])), json!({"0": true, "7": false}));
        assert_eq!(Value::Object(acks.poll("a", &[0, 1])), json!({"0": false, "1": true}));
        assert_eq!(Value::Object(acks.poll("c", &[0])), json!({"0": false}));
    }

    #[test]
    fn held_acks_stay_false_until_released() {
        let mut acks = Acks::default();
        acks.issue("a");
        acks.hold(true);
        assert_eq!(Value::Object(acks.poll("a", &[0])), json!({"0": false}));
        acks.hold(false);
        assert_eq!(Value::Object(acks.poll("a", &[0])), json!({"0": true}));
    }
}
