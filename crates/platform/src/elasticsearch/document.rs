//! The document that an event becomes. A node refuses a document for good for one name or value that its mapping cannot take, so whatever
//! an accepted event may hold in `details` and `tags` is brought into a form that every node takes:
//!
//! - What the mapping gives a type ([`NUMBERS`], [`WORDS`]) is searched as `details.<name>`.
//! - Everything else in `details` is searched in `details_terms`, as `<path>=<value>`.
//! - What is too long for that stands in the document all the same, and `unindexed` names it.
//! - `details` and `tags` that no node would parse are kept as text in `details_original` and `tags_original`; what can be parsed of them
//!   stays at its place.
//!
//! Of nearly all events, the document is the stored form as it is, with `@timestamp` in front. What nodes refuse was asked of Elasticsearch
//! 7.17 to 9.2 and OpenSearch 2.19 and 3.4; see `lifecycle/elasticsearch_details.rs` in the journeys.

use std::borrow::Cow;
use std::io::Write as _;

use toktra_siem_core::cause::Cause;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::event::spans::{elements, member, members};
use toktra_siem_core::fault::segment;

use crate::body;

/// What is a number in `details` of the events that the product spec shows, and of those that the service makes.
pub(super) const NUMBERS: [&str; 19] = [
    "threshold",
    "actual",
    "expected",
    "score",
    "ratio",
    "amount",
    "budget",
    "spend",
    "spent",
    "remaining",
    "forecast",
    "cost_usd",
    "tokens",
    "input_tokens",
    "output_tokens",
    "requests",
    "count",
    "every_seconds",
    "down_seconds",
];
/// What is a word there.
pub(super) const WORDS: [&str; 15] = [
    "policy_name",
    "budget_name",
    "department",
    "unit",
    "measure",
    "scope",
    "subject",
    "period",
    "currency",
    "pattern",
    "reason",
    "actor",
    "channel",
    "connector",
    "state",
];
/// The longest word or term that is indexed, in bytes. A node takes at most 32,766.
pub(super) const LONGEST: usize = 8_000;
/// All terms of one event together, in bytes: each repeats its path, which could make many times the event of it.
const MOST_TERMS: usize = 64 * 1024;
/// How many places `unindexed` names one by one, and how long each may be.
const MOST_PLACES: usize = 16;
const LONGEST_PLACE: usize = 256;
/// OpenSearch takes at most 20 arrays within each other.
const DEEPEST_ARRAY: usize = 16;

/// What a node's JSON reader takes at most (Jackson's `StreamReadConstraints`): digits of a number, and, on OpenSearch, characters of a name.
const LONGEST_NUMBER: usize = 1_000;
const LONGEST_NAME: usize = 50_000;

const BEFORE_TIMESTAMP: &[u8] = br#"{"@timestamp":"#;

/// A document in pieces, as they follow each other.
pub(super) struct Document<'a> {
    timestamp: &'a [u8],
    /// Members that the event does not have, each with a comma before it.
    added: Vec<u8>,
    /// The event's own members, up to the brace.
    members: Cow<'a, [u8]>,
}

impl<'a> Document<'a> {
    /// The document of `event`.
    pub(super) fn of(event: &'a StoredEvent) -> Result<Self, Cause> {
        let payload = &event.payload[..];
        let timestamp = body::raw_members(payload)?.timestamp.get().as_bytes();
        let mut terms = Terms::default();
        let details = member(payload, "details").and_then(|details| fit_details(details, &mut terms));
        let tags = member(payload, "tags").and_then(|tags| fit_tags(tags, &mut terms));
        let mut added = Vec::new();
        push_list(&mut added, "details_terms", &terms.found);
        push_list(&mut added, "unindexed", &terms.unindexed);
        let members = if details.is_none() && tags.is_none() {
            Cow::Borrowed(payload.strip_prefix(b"{").unwrap_or_default())
        } else {
            for (name, kept) in [("details", &details), ("tags", &tags)] {
                if let (Some(_), Some(original)) = (kept, member(payload, name)) {
                    push_text(&mut added, &format!("{name}_original"), original);
                }
            }
            Cow::Owned(with(payload, details.as_deref(), tags.as_deref()))
        };
        Ok(Self { timestamp, added, members })
    }

    /// How many bytes [`Self::push`] appends.
    pub(super) fn len(&self) -> usize {
        BEFORE_TIMESTAMP.len() + self.timestamp.len() + self.added.len() + b",".len() + self.members.len()
    }

    /// Appends the document, on one line.
    pub(super) fn push(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(BEFORE_TIMESTAMP);
        body.extend_from_slice(self.timestamp);
        body.extend_from_slice(&self.added);
        body.push(b',');
        body.extend_from_slice(&self.members);
    }
}

/// What is searched in `details_terms`, and what nowhere.
#[derive(Default)]
struct Terms {
    found: Vec<String>,
    bytes: usize,
    unindexed: Vec<String>,
    /// Where the walk is: the path with dots, and the JSON Pointer.
    path: String,
    place: String,
}

impl Terms {
    /// Walks through the member `name` of what is walked through.
    fn member(&mut self, name: &str, value: &[u8]) {
        let (path, place) = (self.path.len(), self.place.len());
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
        self.place.push_str(&segment(name));
        self.walk(value);
        self.path.truncate(path);
        self.place.truncate(place);
    }

    /// Adds every value in `value`.
    fn walk(&mut self, value: &[u8]) {
        match value.first() {
            Some(b'{') => members(value).for_each(|(name, inner)| self.member(&text_of(name), inner)),
            Some(b'[') => elements(value).for_each(|inner| self.walk(inner)),
            Some(b'"') => self.add(&text_of(&value[1..value.len() - 1])),
            Some(b'n') | None => {}
            Some(_) => self.add(&String::from_utf8_lossy(value)),
        }
    }

    fn add(&mut self, value: &str) {
        let length = self.path.len() + 1 + value.len();
        if length > LONGEST || self.bytes + length > MOST_TERMS {
            return self.leave_out();
        }
        self.bytes += length;
        self.found.push(format!("{}={value}", self.path));
    }

    /// Names the place where the walk is, or all of `details` or `tags` where that would be too much.
    fn leave_out(&mut self) {
        let named = self.unindexed.len() + 1 < MOST_PLACES && self.place.len() <= LONGEST_PLACE;
        let place = if named { &self.place[..] } else { self.place.get(..=self.root()).unwrap_or_default() };
        if !self.unindexed.iter().any(|known| known == place) {
            self.unindexed.push(place.to_owned());
        }
    }

    /// Where the first part of the pointer ends.
    fn root(&self) -> usize {
        self.place.bytes().skip(1).position(|byte| byte == b'/').unwrap_or(self.place.len().saturating_sub(1))
    }
}

/// Puts into `terms` what is not searched as `details.<name>`. `None` where every node takes `details` as it is; else what it takes of it.
fn fit_details(details: &[u8], terms: &mut Terms) -> Option<Vec<u8>> {
    let mut refused = false;
    let mut kept = Vec::new();
    "/details".clone_into(&mut terms.place);
    for (raw, value) in members(details) {
        let name = text_of(raw);
        let typed = if NUMBERS.contains(&&*name) {
            Some(value.first().is_some_and(|byte| *byte == b'-' || byte.is_ascii_digit()))
        } else if WORDS.contains(&&*name) {
            Some(value.first().is_some_and(|byte| !matches!(byte, b'{' | b'[')) && value.len() <= LONGEST)
        } else {
            None
        };
        let misfit = is_refused(&name)
            || raw.len() > LONGEST_NAME
            || is_unreadable(value)
            || arrays_in(value) > DEEPEST_ARRAY
            || (typed == Some(false) && holds_object(value));
        if misfit || typed != Some(true) {
            terms.member(&name, value);
        }
        if misfit {
            refused = true;
        } else {
            push_member(&mut kept, raw, value);
        }
    }
    refused.then(|| braced(&kept))
}

/// The same for `tags`, whose values are strings.
fn fit_tags(tags: &[u8], terms: &mut Terms) -> Option<Vec<u8>> {
    let mut refused = false;
    let mut kept = Vec::new();
    for (raw, value) in members(tags) {
        let name = text_of(raw);
        if raw.len() + value.len() > LONGEST || name.contains('\0') || has_blank_part(&name) {
            refused = true;
            terms.place = format!("/tags{}", segment(&name));
            terms.leave_out();
        } else {
            push_member(&mut kept, raw, value);
        }
    }
    refused.then(|| braced(&kept))
}

/// Whether no node parses an object that has a member of this name, or takes it for part of one that has a type.
fn is_refused(name: &str) -> bool {
    let typed = |first: &str| NUMBERS.contains(&first) || WORDS.contains(&first);
    has_blank_part(name) || name.split_once('.').is_some_and(|(first, _)| typed(first))
}

/// A dot in a name is a path, and no part of a path may be blank.
fn has_blank_part(name: &str) -> bool {
    name.split('.').any(|part| part.chars().all(|c| c.is_whitespace() || c.is_control()))
}

/// Whether a node's reader gives up in the middle of it.
fn is_unreadable(value: &[u8]) -> bool {
    // Nothing that is shorter can hold anything that is too long.
    value.len() > LONGEST_NUMBER
        && match value.first() {
            Some(b'{') => members(value).any(|(name, inner)| name.len() > LONGEST_NAME || is_unreadable(inner)),
            Some(b'[') => elements(value).any(is_unreadable),
            Some(b'"') => false,
            _ => true,
        }
}

fn holds_object(value: &[u8]) -> bool {
    match value.first() {
        Some(b'{') => true,
        Some(b'[') => elements(value).any(holds_object),
        _ => false,
    }
}

/// How many arrays stand directly within each other.
fn arrays_in(value: &[u8]) -> usize {
    match value.first() {
        Some(b'[') => 1 + elements(value).map(arrays_in).max().unwrap_or(0),
        _ => 0,
    }
}

/// What the inside of a JSON string means.
fn text_of(raw: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(raw);
    if !raw.contains(&b'\\') {
        return text;
    }
    serde_json::from_str(&format!("\"{text}\"")).map_or(text, Cow::Owned)
}

/// The members of `payload` up to the brace, with other `details` and `tags`.
fn with(payload: &[u8], details: Option<&[u8]>, tags: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len());
    for (name, value) in members(payload) {
        let other = match name {
            b"details" => details,
            b"tags" => tags,
            _ => None,
        };
        push_member(&mut out, name, other.unwrap_or(value));
    }
    out.push(b'}');
    out
}

fn push_member(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if !out.is_empty() {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":");
    out.extend_from_slice(value);
}

fn braced(members: &[u8]) -> Vec<u8> {
    [b"{", members, b"}"].concat()
}

fn push_list(out: &mut Vec<u8>, name: &str, list: &[String]) {
    if !list.is_empty() {
        // Writing into a vector cannot fail.
        let _ = write!(out, ",\"{name}\":");
        out.extend_from_slice(&body::json(list));
    }
}

fn push_text(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    let _ = write!(out, ",\"{name}\":");
    out.extend_from_slice(&body::json(&String::from_utf8_lossy(text)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn fitted(details: &Value) -> (Option<Value>, Vec<String>, Vec<String>) {
        let mut terms = Terms::default();
        let raw = details.to_string();
        let kept = fit_details(raw.as_bytes(), &mut terms);
        (kept.map(|kept| serde_json::from_slice(&kept).unwrap()), terms.found, terms.unindexed)
    }

    #[test]
    fn what_has_a_type_is_searched_by_its_name_and_all_else_by_a_term() {
        let spec = json!({ "policy_name": "max-tokens", "threshold": 100_000, "actual": 150_000 });
        assert_eq!(fitted(&spec), (None, vec![], vec![]));
        let more = json!({ "team": "red", "window": { "kind": "day" }, "top": ["a", 1, [true]], "no": null, "actual": "many" });
        let mut terms = fitted(&more).1;
        terms.sort();
        assert_eq!(terms, ["actual=many", "team=red", "top=1", "top=a", "top=true", "window.kind=day"]);
        assert_eq!(fitted(&more).0, None);
    }

    #[test]
    fn what_a_node_would_refuse_is_taken_out() {
        for name in ["", " ", ".", "..", ".a", "a.", "a..b", "a. .b", "actual.b", "policy_name.x"] {
            let details = json!({ (name): 1, "threshold": 2 });
            assert_eq!(
                fitted(&details),
                (Some(json!({ "threshold": 2 })), vec![format!("{name}=1")], vec![]),
                "{name}"
            );
        }
        for value in [json!({ "b": 1 }), json!([1, { "b": 1 }])] {
            assert_eq!(fitted(&json!({ "actual": value })).0, Some(json!({})));
            assert_eq!(fitted(&json!({ "policy_name": value })).0, Some(json!({})));
        }
        let deep: Value = serde_json::from_str(&format!("{{\"a\":{}1{}}}", "[".repeat(29), "]".repeat(29))).unwrap();
        assert_eq!(fitted(&deep), (Some(json!({})), vec!["a=1".to_owned()], vec![]));
        let long = format!("1.{}", "0".repeat(2_000));
        for (name, details) in
            [("actual", format!("{{\"actual\":{long}}}")), ("a.b", format!("{{\"a\":{{\"b\":[{long}]}}}}"))]
        {
            let mut terms = Terms::default();
            assert_eq!(fit_details(details.as_bytes(), &mut terms), Some(b"{}".to_vec()));
            assert_eq!(terms.found, [format!("{name}={long}")]);
        }
        let long = "n".repeat(60_000);
        for details in [json!({ (&long): 1 }), json!({ "a": [{ (&long): 1 }] })] {
            assert_eq!(fitted(&details).0, Some(json!({})));
        }
        for fine in
            [json!({ "a.b": 1 }), json!({ "a\u{0}b": 1 }), json!({ "x": { "": 1 } }), json!({ "actual": [1, "x"] })]
        {
            assert_eq!(fitted(&fine).0, None, "{fine}");
        }
    }

    #[test]
    fn what_is_too_long_is_named() {
        let prompt = "x".repeat(33_000);
        let (kept, terms, unindexed) =
            fitted(&json!({ "prompt": prompt, "policy_name": prompt, "a/b": { "c": prompt } }));
        assert_eq!((kept, terms.len()), (None, 0));
        assert_eq!(unindexed, ["/details/a~1b/c", "/details/policy_name", "/details/prompt"]);
        let many: Value = (0..40).map(|n| (format!("k{n}"), json!(prompt))).collect::<serde_json::Map<_, _>>().into();
        let (_, _, unindexed) = fitted(&many);
        assert!(unindexed.len() == MOST_PLACES && unindexed.contains(&"/details".to_owned()), "{unindexed:?}");
        // A long path before many values: their terms would be far longer than the event.
        let wide: Value = json!({ ("p".repeat(7000)): (0..1000).collect::<Vec<_>>() });
        let (_, terms, unindexed) = fitted(&wide);
        assert!(terms.iter().map(String::len).sum::<usize>() <= MOST_TERMS);
        assert_eq!(
            unindexed,
            [format!("/details/{}…", "p".repeat(60))],
            "a long path is shortened, as it is in refusals"
        );
    }

    #[test]
    fn tags_are_taken_out_one_by_one() {
        let mut terms = Terms::default();
        assert_eq!(fit_tags(br#"{"team":"red","a.b":"x"}"#, &mut terms), None);
        let kept = fit_tags(br#"{"team":"red","a\u0000":"x","":"y"}"#, &mut terms).unwrap();
        assert_eq!((kept, &terms.found), (br#"{"team":"red"}"#.to_vec(), &vec![]));
        assert_eq!(terms.unindexed, ["/tags/a ", "/tags/"]);
    }
}
