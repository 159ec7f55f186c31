//! The OpenTelemetry Collector's `splunk_hec` receiver, as the release that the suite builds (0.141) answers: it reads one object after
//! another and hands all of them on, or none. What it does not know in an envelope it passes over. Later releases take an array as well.

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::json::{self, Members};
use crate::receiver::Accepted;

const NO_DATA: u8 = 5;
const INVALID: u8 = 6;
const EVENT_REQUIRED: u8 = 12;
const EVENT_BLANK: u8 = 13;
const INDEXED_FIELDS: u8 = 15;

/// A refusal: its code, and the number of the event where it tells one.
pub type Refused = (u8, Option<usize>);
/// How many events are taken, or why none is.
pub type Sample = Result<usize, Refused>;

/// The events of a body; or why it takes none.
pub(super) fn collect(body: &Bytes) -> Result<Vec<Accepted>, Refused> {
    if body.is_empty() {
        return Err((NO_DATA, None));
    }
    let mut events = Vec::new();
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    let first = values.next().and_then(Result::ok).ok_or((INVALID, None))?;
    take(body, first, &mut events)?;
    for value in values {
        take(body, value.map_err(|_| (INVALID, None))?, &mut events)?;
    }
    Ok(events)
}

fn take(body: &Bytes, raw: &RawValue, events: &mut Vec<Accepted>) -> Result<(), Refused> {
    let invalid = (INVALID, None);
    // A null is an object without members there.
    let text = if raw.get() == "null" { "{}" } else { raw.get() };
    let members = Members::parse(text).map_err(|_| invalid)?;
    let mut meta = Map::new();
    for name in ["host", "source", "sourcetype", "index"] {
        match members.value(name) {
            None | Some(Value::Null) => {}
            Some(text @ Value::String(_)) => drop(meta.insert(name.to_owned(), text)),
            Some(_) => return Err(invalid),
        }
    }
    match members.value("time") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if text.parse::<f64>().is_err() => return Err(invalid),
        Some(time @ (Value::Number(_) | Value::String(_))) => drop(meta.insert("time".to_owned(), time)),
        Some(_) => return Err(invalid),
    }
    match members.value("fields") {
        None | Some(Value::Null) => {}
        Some(Value::Object(fields)) => {
            if !fields.values().all(is_flat) {
                return Err((INDEXED_FIELDS, Some(events.len())));
            }
            meta.insert("fields".to_owned(), fields.into());
        }
        Some(_) => return Err(invalid),
    }
    let event = members.get("event").filter(|event| event.get() != "null").ok_or((EVENT_REQUIRED, None))?;
    if event.get() == "\"\"" {
        return Err((EVENT_BLANK, None));
    }
    events.push(Accepted {
        request: 0,
        position: events.len(),
        event_id: json::event_id(event.get()),
        event: body.slice_ref(event.get().as_bytes()),
        meta,
    });
    Ok(())
}

/// Neither an object, nor a list that holds one or another list.
fn is_flat(field: &Value) -> bool {
    match field {
        Value::Object(_) => false,
        Value::Array(list) => !list.iter().any(|value| value.is_object() || value.is_array()),
        _ => true,
    }
}

/// Bodies that tell this receiver from others: a test holds [`collect`] to what is written here, another one the real receiver.
pub const SAMPLES: &[(&str, Sample)] = &[
    (r#"{"event":"a"}"#, Ok(1)),
    (r#"{"event":"a"}{"event":{"b":1}}"#, Ok(2)),
    (r#"{"event":"a","time":"1.5","unknown":[]}"#, Ok(1)),
    (r#"[{"event":"a"},{"event":"b"}]"#, Err((6, None))),
    (r#"{"event":" "}{"event":{}}"#, Ok(2)),
    ("", Err((5, None))),
    ("[]", Err((6, None))),
    ("{", Err((6, None))),
    (r#"{"event":"a"}{"#, Err((6, None))),
    (r#"[{"event":"a"}][{"event":"b"}]"#, Err((6, None))),
    (r#"{"event":"a","time":"soon"}"#, Err((6, None))),
    (r#"{"event":"a","index":1}"#, Err((6, None))),
    ("{}", Err((12, None))),
    ("null", Err((12, None))),
    ("1", Err((6, None))),
    (r#"{"event":"a"} x"#, Err((6, None))),
    (r#"{"event":"a"}{"event":""}"#, Err((13, None))),
    (r#"{"event":null}"#, Err((12, None))),
    (r#"{"event":""}"#, Err((13, None))),
    (r#"{"event":"a"}{"event":"b","fields":{"c":{"d":1}}}"#, Err((15, Some(1)))),
    (r#"{"event":"a","fields":{"c":[[1]]}}"#, Err((15, Some(0)))),
    (r#"{"event":"a","fields":{"c":[1]}}"#, Ok(1)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_as_the_receiver_does() {
        for (body, expected) in SAMPLES {
            let collected = collect(&Bytes::from_static(body.as_bytes())).map(|events| events.len());
            assert_eq!(collected, *expected, "{body}");
        }
    }
}
