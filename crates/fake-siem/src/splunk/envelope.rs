//! One object of a HEC body: its metadata and its event, judged by Splunk's "Format events for HTTP Event
//! Collector".

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::json::{self, Members};
use crate::receiver::Accepted;

/// How one object of the stream is taken.
pub(super) enum Taken {
    Event(Accepted),
    /// Refused with this code of the reply table; the text says why.
    Refused(u8, String),
    /// Measured: an unknown key ends the stream silently, with a success for what stood before.
    EndsSilently(String),
}

const STRINGS: [&str; 4] = ["host", "source", "sourcetype", "index"];

/// Judges the object at `position` of the body.
pub(super) fn take(body: &Bytes, raw: &RawValue, position: usize, indexes: &[String]) -> Taken {
    match judge(body, raw, position, indexes) {
        Ok(event) => Taken::Event(event),
        Err(taken) => taken,
    }
}

fn judge(body: &Bytes, raw: &RawValue, position: usize, indexes: &[String]) -> Result<Accepted, Taken> {
    let Ok(members) = Members::parse(raw.get()) else { return Err(refused(6, "not a JSON object")) };
    if let Some(name) = members.names().find(|name| !is_known(name)) {
        return Err(Taken::EndsSilently(format!("object {position}: unknown envelope key `{name}`")));
    }
    let event = members.get("event").ok_or_else(|| refused(12, "`event` is missing"))?;
    check_event(event)?;
    let mut meta = Map::new();
    if let Some(time) = members.value("time") {
        if !time.is_number() {
            return Err(refused(15, "`time` is not a number"));
        }
        meta.insert("time".to_owned(), time);
    }
    for name in STRINGS {
        match members.value(name) {
            None => {}
            Some(value @ Value::String(_)) => drop(meta.insert(name.to_owned(), value)),
            Some(_) => return Err(refused(6, &format!("`{name}` is not a string"))),
        }
    }
    if let Some(fields) = members.value("fields") {
        check_fields(&fields)?;
        meta.insert("fields".to_owned(), fields);
    }
    if let Some(index) = meta.get("index").and_then(Value::as_str)
        && !indexes.iter().any(|allowed| allowed == index)
    {
        return Err(refused(7, &format!("index `{index}` is not among the token's")));
    }
    Ok(Accepted {
        request: 0,
        position,
        event_id: json::event_id(event.get()),
        event: body.slice_ref(event.get().as_bytes()),
        meta,
    })
}

fn is_known(name: &str) -> bool {
    STRINGS.contains(&name) || ["time", "event", "fields"].contains(&name)
}

fn refused(code: u8, why: &str) -> Taken {
    Taken::Refused(code, why.to_owned())
}

/// "non-empty": neither null, a blank string, nor an object without members.
fn check_event(event: &RawValue) -> Result<(), Taken> {
    let text = event.get();
    if text == "null" {
        return Err(refused(12, "`event` is null"));
    }
    let blank_text = serde_json::from_str::<String>(text).is_ok_and(|text| text.trim().is_empty());
    let blank_object = Members::parse(text).is_ok_and(|members| members.is_empty());
    if blank_text || blank_object {
        return Err(refused(13, "`event` is blank"));
    }
    Ok(())
}

fn check_fields(fields: &Value) -> Result<(), Taken> {
    let Value::Object(fields) = fields else { return Err(refused(15, "`fields` is not an object")) };
    match fields.iter().find(|(_, value)| value.is_object() || value.is_array()) {
        Some((name, _)) => Err(refused(15, &format!("`fields.{name}` is nested"))),
        None => Ok(()),
    }
}
