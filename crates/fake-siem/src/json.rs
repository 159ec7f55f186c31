//! JSON at the level that strictness needs: members with their exact bytes and duplicates visible, and a counter of
//! values that is cheap enough for a benchmark's sink.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// An object's members in order, each value as sent.
#[derive(Debug)]
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    pub(crate) fn parse(json: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// The value of the last member of this name, as most parsers read duplicates.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The member's value, parsed.
    pub(crate) fn value(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    /// The member's value, where it is a string.
    pub(crate) fn string(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_ref())
    }

    /// The first name that occurs twice.
    pub(crate) fn duplicate(&self) -> Option<&str> {
        let mut names: Vec<&str> = self.names().collect();
        names.sort_unstable();
        names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A key, borrowed from the text where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some((Key(name), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Collect).map(Members)
    }
}

/// The `event_id` of an event, where it is an object that has one.
pub(crate) fn event_id(event: &str) -> Option<String> {
    Members::parse(event).ok()?.string("event_id")
}

/// Counts the objects at nesting depth `depth` without parsing them: depth 0 for a run of objects, 1 for the elements
/// of an array. What is not JSON gives a meaningless count, never a panic.
pub(crate) fn count_objects(text: &[u8], depth: usize) -> usize {
    let mut level = 0_usize;
    let mut objects = 0;
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => skip_string(&mut rest),
            b'{' | b'[' => {
                objects += usize::from(level == depth && *byte == b'{');
                level += 1;
            }
            b'}' | b']' => level = level.saturating_sub(1),
            _ => {}
        }
    }
    objects
}

fn skip_string(rest: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(rest.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_bytes_and_show_duplicates() {
        let members = Members::parse(r#"{"a": 1.50, "b\u0061":"x", "a":2}"#).unwrap();
        assert_eq!(members.names().collect::<Vec<_>>(), ["a", "ba", "a"]);
        assert_eq!(members.duplicate(), Some("a"));
        assert_eq!(members.get("a").unwrap().get(), "2");
        assert_eq!(members.string("ba").as_deref(), Some("x"));
        assert!(Members::parse("[1]").is_err());
    }

    #[test]
    fn objects_are_counted_through_strings_and_nesting() {
        assert_eq!(count_objects(br#"{"a":"}{\"{"}{"b":{"c":[{}]}} {}"#, 0), 3);
        assert_eq!(count_objects(br#"[{"a":{}},{"b":"]"},{}]"#, 1), 3);
        assert_eq!(count_objects(b"", 0), 0);
    }

    #[test]
    fn the_event_id_is_found_only_in_objects() {
        assert_eq!(event_id(r#"{"event_id":"e-1"}"#).as_deref(), Some("e-1"));
        assert_eq!(event_id("\"text\""), None);
        assert_eq!(event_id(r#"{"event_id":7}"#), None);
    }
}
