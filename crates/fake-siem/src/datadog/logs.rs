//! Log entries: the rules of Datadog's API reference ("Send logs", v2).

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::json::Members;
use crate::receiver::Accepted;

/// Older than this, in seconds, and an entry's own time is not accepted as such.
const OLDEST: i64 = 18 * 3600;
/// Further ahead than this, in seconds, and neither.
const FURTHEST_AHEAD: i64 = 2 * 3600;

const ATTRIBUTES: [&str; 6] = ["ddsource", "ddtags", "hostname", "service", "status", "message"];

/// What a request's entries became.
pub(super) struct Taken {
    pub(super) accepted: Vec<Accepted>,
    pub(super) violations: Vec<String>,
}

/// The entries of a body, which must be an array of objects.
pub(super) fn entries(body: &Bytes) -> Result<Vec<&RawValue>, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body is not a JSON array: {error}"))
}

/// Takes all entries or, where one breaks a rule that is answered with 400, none.
pub(super) fn take(body: &Bytes, entries: &[&RawValue], max_entry: usize, now: i64) -> Result<Taken, String> {
    let mut taken = Taken { accepted: Vec::with_capacity(entries.len()), violations: Vec::new() };
    for (position, raw) in entries.iter().enumerate() {
        let at = |why: String| format!("entry {position}: {why}");
        let members = Members::parse(raw.get()).map_err(|_| at("not an object".to_owned()))?;
        let mut meta = attributes(&members).map_err(at)?;
        if let Some(name) = members.duplicate() {
            taken.violations.push(format!("entry {position}: `{name}` stands twice"));
        }
        match time_of(&members) {
            Ok(Some(time)) if !(now - OLDEST..=now + FURTHEST_AHEAD).contains(&time) => {
                meta.insert("time_replaced".to_owned(), Value::Bool(true));
            }
            Ok(_) => {}
            Err(why) => taken.violations.push(format!("entry {position}: {why}")),
        }
        let mut event = body.slice_ref(raw.get().as_bytes());
        if event.len() > max_entry {
            taken.violations.push(format!("entry {position}: {} bytes, truncated at {max_entry}", event.len()));
            event.truncate(max_entry);
        }
        taken.accepted.push(Accepted { request: 0, position, event_id: members.string("event_id"), event, meta });
    }
    Ok(taken)
}

/// Datadog's own attributes of an entry: all strings, `message` required.
fn attributes(members: &Members<'_>) -> Result<Map<String, Value>, String> {
    let mut attributes = Map::new();
    for name in ATTRIBUTES {
        match members.value(name) {
            None if name == "message" => return Err("`message` is missing".to_owned()),
            None => {}
            Some(value @ Value::String(_)) => drop(attributes.insert(name.to_owned(), value)),
            Some(_) if name == "ddtags" => return Err("`ddtags` is not one comma-joined string".to_owned()),
            Some(_) => return Err(format!("`{name}` is not a string")),
        }
    }
    Ok(attributes)
}

/// The entry's own time in epoch seconds: ISO 8601, or an integer of epoch milliseconds.
fn time_of(members: &Members<'_>) -> Result<Option<i64>, String> {
    match members.value("timestamp") {
        None => Ok(None),
        Some(Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(time) => Ok(Some(time.as_second())),
            Err(_) => Err(format!("`timestamp` is not ISO 8601: {text}")),
        },
        Some(Value::Number(number)) => match number.as_i64() {
            Some(milliseconds) => Ok(Some(milliseconds.div_euclid(1000))),
            None => Err(format!("`timestamp` is not an integer: {number}")),
        },
        Some(_) => Err("`timestamp` is neither a string nor an integer".to_owned()),
    }
}
