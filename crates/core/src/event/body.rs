//! From a request body to single events: one object, an array, `{"events":[…]}`, or NDJSON (`POST /v1/events`).
//!
//! Only the frame is read here. Each event is validated on its own by [`super::intake::normalise`], so that every fault can be named by
//! the event's index.

use super::spans::{is_space, skip_space, string_end, value_end};
use super::strict::unescape;

/// The most events that one request may hold. The smallest valid event has 41 bytes, so that no request within its size limit of 4 MiB
/// reaches this; a list of millions of commas stops here instead of in memory.
pub const MAX_EVENTS: usize = 100_000;

/// How a body is to be read, by its `Content-Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// `application/json`.
    Json,
    /// `application/x-ndjson`: one event a line.
    Ndjson,
}

/// Where an event stands in its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Alone,
    Item(u32),
    EventsItem(u32),
}

/// One event of a request, not looked at yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawEvent<'a> {
    /// Its bytes as sent, without whitespace around them.
    pub bytes: &'a [u8],
    /// Of NDJSON: its line in the body, from 1.
    pub line: Option<usize>,
    place: Place,
}

impl RawEvent<'_> {
    /// The JSON Pointer of the event in its request: `""`, `/0` (by event index in NDJSON as well), or `/events/0`.
    pub fn pointer(&self) -> String {
        match self.place {
            Place::Alone => String::new(),
            Place::Item(index) => format!("/{index}"),
            Place::EventsItem(index) => format!("/events/{index}"),
        }
    }
}

/// Why a body as a whole cannot be read. The text is for the client and never repeats the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Nothing but whitespace, or a list without events.
    #[error("there are no events in the request: send one event, an array of events, {{\"events\":[…]}}, or NDJSON")]
    NoEvents,
    /// See [`MAX_EVENTS`].
    #[error("the request holds more than {MAX_EVENTS} events: send fewer at a time")]
    TooMany,
    /// The body is compressed, and nothing says so.
    #[error("the body is gzip: say so with `Content-Encoding: gzip`")]
    Gzip,
    /// The frame around the events is none of those that are taken.
    #[error("the body cannot be read as events: {what} (line {line}, column {column})")]
    Syntax {
        /// What is wrong.
        what: &'static str,
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
}

/// Cuts `body` into its events.
pub fn split_body(body: &[u8], format: BodyFormat) -> Result<Vec<RawEvent<'_>>, BodyError> {
    // Some Windows tools put a byte order mark in front of everything they write.
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    if body.starts_with(b"\x1F\x8B") {
        return Err(BodyError::Gzip);
    }
    let events = match format {
        BodyFormat::Ndjson => split_lines(body)?,
        BodyFormat::Json => split_json(body)?,
    };
    if events.is_empty() { Err(BodyError::NoEvents) } else { Ok(events) }
}

fn split_lines(body: &[u8]) -> Result<Vec<RawEvent<'_>>, BodyError> {
    let mut events = Vec::new();
    for (number, line) in body.split(|b| *b == b'\n').enumerate() {
        let bytes = line.trim_ascii();
        if !bytes.is_empty() {
            push(&mut events, bytes, Place::Item, Some(number + 1))?;
        }
    }
    Ok(events)
}

fn split_json(body: &[u8]) -> Result<Vec<RawEvent<'_>>, BodyError> {
    let start = skip_space(body, 0);
    match body.get(start) {
        None => Err(BodyError::NoEvents),
        Some(b'[') => {
            let (events, end) = split_array(body, start, Place::Item)?;
            ends(body, end, "more follows after the array of events")?;
            Ok(events)
        }
        Some(b'{') => match events_member(body, start) {
            Some(value) => split_wrapped(body, value),
            None => Ok(vec![RawEvent { bytes: body[start..].trim_ascii_end(), line: None, place: Place::Alone }]),
        },
        Some(_) => Err(syntax(body, start, "it must begin with `{` or `[`")),
    }
}

/// Where the value of `events` begins, if that is the first member of the object at `start`.
fn events_member(body: &[u8], start: usize) -> Option<usize> {
    let key = skip_space(body, start + 1);
    if body.get(key) != Some(&b'"') {
        return None;
    }
    let key_end = string_end(body, key)?;
    let name = str::from_utf8(&body[key + 1..key_end - 1]).ok()?;
    let colon = skip_space(body, key_end);
    (unescape(name) == "events" && body.get(colon) == Some(&b':')).then(|| skip_space(body, colon + 1))
}

fn split_wrapped(body: &[u8], value: usize) -> Result<Vec<RawEvent<'_>>, BodyError> {
    if body.get(value) != Some(&b'[') {
        return Err(syntax(body, value, "`events` must be an array"));
    }
    let (events, end) = split_array(body, value, Place::EventsItem)?;
    let close = skip_space(body, end);
    match body.get(close) {
        Some(b'}') => ends(body, close + 1, "more follows after the object around `events`")?,
        Some(b',') => {
            return Err(syntax(
                body,
                close,
                "the object around `events` cannot have another member; what an event has goes into the event",
            ));
        }
        _ => return Err(syntax(body, close, "expected `}` after the array `events`")),
    }
    Ok(events)
}

fn split_array(body: &[u8], open: usize, place: fn(u32) -> Place) -> Result<(Vec<RawEvent<'_>>, usize), BodyError> {
    let mut events = Vec::new();
    let mut at = skip_space(body, open + 1);
    if body.get(at) == Some(&b']') {
        return Ok((events, at + 1));
    }
    loop {
        let end =
            value_end(body, at).ok_or_else(|| syntax(body, body.len(), "the body ends in the middle of an event"))?;
        if end == at {
            return Err(syntax(body, at, "expected an event"));
        }
        push(&mut events, &body[at..end], place, None)?;
        at = skip_space(body, end);
        match body.get(at) {
            Some(b',') => at = skip_space(body, at + 1),
            Some(b']') => return Ok((events, at + 1)),
            _ => return Err(syntax(body, at, "expected `,` or `]` after an event")),
        }
    }
}

fn push<'a>(
    events: &mut Vec<RawEvent<'a>>,
    bytes: &'a [u8],
    place: fn(u32) -> Place,
    line: Option<usize>,
) -> Result<(), BodyError> {
    if events.len() == MAX_EVENTS {
        return Err(BodyError::TooMany);
    }
    let index = u32::try_from(events.len()).map_err(|_| BodyError::TooMany)?;
    events.push(RawEvent { bytes, line, place: place(index) });
    Ok(())
}

fn ends(body: &[u8], at: usize, what: &'static str) -> Result<(), BodyError> {
    match body[at..].iter().position(|b| !is_space(*b)) {
        Some(more) => Err(syntax(body, at + more, what)),
        None => Ok(()),
    }
}

fn syntax(body: &[u8], at: usize, what: &'static str) -> BodyError {
    let (line, column) = line_column(body, at);
    BodyError::Syntax { what, line, column }
}

/// The line and column (in bytes), both from 1, of the byte at `at`.
pub(super) fn line_column(text: &[u8], at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let last = before.rsplit(|b| *b == b'\n').next().unwrap_or_default();
    (before.split(|b| *b == b'\n').count(), last.len() + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(body: &str) -> Result<Vec<(String, &str)>, String> {
        split(body, BodyFormat::Json)
    }

    fn split(body: &str, format: BodyFormat) -> Result<Vec<(String, &str)>, String> {
        let events = split_body(body.as_bytes(), format).map_err(|e| e.to_string())?;
        Ok(events.iter().map(|e| (e.pointer(), str::from_utf8(e.bytes).unwrap())).collect())
    }

    #[test]
    fn reads_the_four_frames() {
        let two = |prefix: &str| vec![(format!("{prefix}/0"), "{\"a\":[1]}"), (format!("{prefix}/1"), "{}")];
        assert_eq!(json(" {\"a\": 1} \n").unwrap(), [(String::new(), "{\"a\": 1}")]);
        assert_eq!(json("[{\"a\":[1]} , {}]").unwrap(), two(""));
        assert_eq!(json("{ \"events\" : [{\"a\":[1]},{} ] }\n").unwrap(), two("/events"));
        assert_eq!(json("{\"\\u0065vents\":[{\"a\":[1]},{}]}").unwrap(), two("/events"));
        assert_eq!(split("{\"a\":[1]}\r\n\n  \n{}", BodyFormat::Ndjson).unwrap(), two(""));
        assert_eq!(split("\u{FEFF}{}\n", BodyFormat::Ndjson).unwrap(), [("/0".to_owned(), "{}")]);
        assert_eq!(json("{\"severity\":1,\"events\":[]}").unwrap().len(), 1);
    }

    #[test]
    fn says_where_the_frame_breaks() {
        for (body, part) in [
            ("", "no events"),
            (" \n", "no events"),
            ("[]", "no events"),
            ("{\"events\":[]}", "no events"),
            ("\"x\"", "begin with `{` or `[` (line 1, column 1)"),
            ("[{}\n  {}]", "expected `,` or `]` after an event (line 2, column 3)"),
            ("[{},]", "expected an event (line 1, column 5)"),
            ("[{},{\"a\":", "ends in the middle of an event"),
            ("[{}] x", "more follows after the array of events (line 1, column 6)"),
            ("{\"events\":[{}],\"x\":1}", "cannot have another member"),
            ("{\"events\":{}}", "`events` must be an array"),
            ("{\"events\":[{}]", "expected `}`"),
        ] {
            let message = json(body).unwrap_err();
            assert!(message.contains(part), "{body}: {message}");
        }
        assert_eq!(split_body(b"\x1F\x8B\x08", BodyFormat::Json), Err(BodyError::Gzip));
        assert_eq!(split_body(b"{}\n\n{}", BodyFormat::Ndjson).unwrap()[1].line, Some(3));
        assert!(split(" \n \n", BodyFormat::Ndjson).unwrap_err().contains("no events"));
        let many = format!("[{}1]", "1,".repeat(MAX_EVENTS));
        assert!(json(&many).unwrap_err().contains("more than 100000"));
        assert!(json(&"[".repeat(4 << 20)).is_err());
    }

    proptest! {
        #[test]
        fn every_frame_gives_back_the_events(count in 1usize..20, spaces in "[ \t\r]{0,3}") {
            let events: Vec<String> = (0..count).map(|n| format!("{{\"n\":{n},\"s\":\"]}},{{[\\\"\"}}")).collect();
            let list = events.join(&format!("{spaces},{spaces}"));
            let bodies = [
                (format!("{spaces}[{spaces}{list}{spaces}]{spaces}"), BodyFormat::Json),
                (format!("{spaces}{{{spaces}\"events\"{spaces}:{spaces}[{list}]{spaces}}}"), BodyFormat::Json),
                (events.join(&format!("{spaces}\n\n{spaces}")), BodyFormat::Ndjson),
            ];
            for (body, format) in &bodies {
                let found: Vec<_> = split(body, *format).unwrap().into_iter().map(|(_, text)| text.to_owned()).collect();
                prop_assert_eq!(&found, &events);
            }
        }


        #[test]
        fn never_panics(bytes: Vec<u8>, jsonish in "[\\[\\]{}\",:\\\\1 \n]{0,40}") {
            for body in [bytes.as_slice(), jsonish.as_bytes(), format!("{{\"events\":{jsonish}").as_bytes()] {
                for format in [BodyFormat::Json, BodyFormat::Ndjson] {
                    if let Ok(events) = split_body(body, format) {
                        prop_assert!(!events.is_empty());
                    }
                }
            }
        }
    }
}
