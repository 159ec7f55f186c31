//! From what a producer sent to the stored form (ARCHITECTURE.md, "One event, from 202 to settled"): the only way into the log.
//!
//! One pass over the bytes copies each value, without whitespace and otherwise as it stands, and checks it on the way. The stored form is
//! put together from the values, in the order of [`Field::STORED`]. All faults of an event are collected, so that a producer does not find
//! them one by one.

use std::borrow::Cow;
use std::ops::Range;
use std::str::FromStr;

use bytes::Bytes;
use uuid::Uuid;

use super::body::line_column;
use super::field::Field;
pub use super::field::SentFields;
pub use super::room::Room;
use super::spans::members;
use super::strict::{Scanner, Stop, unescape};
use super::summary::{Pieces, summary};
use super::{EventType, MAX_DEPTH, MAX_EVENT_BYTES, NewEvent, Severity, instant};
use crate::fault::{FaultCode, FieldFault, Wrong, meant, segment, shown};
use crate::ids::{EventId, OrgId};
use crate::time::Timestamp;

/// Which org an event may belong to; decided by the API key alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrgRule {
    /// The key's org: `org_id` must be it, and is filled in where absent.
    Only(OrgId),
    /// A platform key: any org that the event names. The caller checks that it exists.
    Any {
        /// Where the event names none; without it such an event is refused.
        default: Option<OrgId>,
    },
}

/// What an event is completed from.
pub struct Intake<'a> {
    /// Which org.
    pub org: OrgRule,
    /// The service's clock.
    pub now: Timestamp,
    /// Makes a version 7 UUID that was never given before, for events without an id.
    pub fresh_id: &'a dyn Fn() -> EventId,
}

/// Room for the values that are made where they are missing.
const MADE: usize = 256;
/// The most faults that are named for one event.
pub(super) const MAX_FAULTS: usize = 20;
/// Validates one event and brings it into its stored form. Pointers are below the event; the caller puts the event's own in front
/// ([`FieldFault::under`]).
pub fn normalise(raw: &[u8], ctx: &Intake<'_>) -> Result<NewEvent, Vec<FieldFault>> {
    normalise_in(&mut Room::new(raw.len()), raw, ctx)
}

/// The same for one event of several.
pub fn normalise_in(room: &mut Room, raw: &[u8], ctx: &Intake<'_>) -> Result<NewEvent, Vec<FieldFault>> {
    intake(raw, Draft::new(ctx, room, raw.len()))
}

/// The same for an event that the service makes itself: the only way for a test event, a heartbeat or a connector alert.
pub fn normalise_own(raw: &[u8], ctx: &Intake<'_>) -> Result<NewEvent, Vec<FieldFault>> {
    let mut room = Room::new(raw.len());
    intake(raw, Draft { own: true, ..Draft::new(ctx, &mut room, raw.len()) })
}

fn intake(raw: &[u8], mut draft: Draft<'_>) -> Result<NewEvent, Vec<FieldFault>> {
    if raw.len() > MAX_EVENT_BYTES {
        let message = format!("the event has {} bytes; at most {MAX_EVENT_BYTES} are accepted", raw.len());
        let wrong = Wrong::new(FaultCode::Length, message).with("max", MAX_EVENT_BYTES);
        return Err(vec![FieldFault::new("", wrong)]);
    }
    let text = str::from_utf8(raw).map_err(|error| {
        let message = format!("the event is not valid UTF-8 from byte {} on; send UTF-8", error.valid_up_to());
        vec![FieldFault::new("", message)]
    })?;
    match draft.read(&mut Scanner::new(text)) {
        Ok(()) => draft.complete(),
        Err(stop) => draft.fault(stopped(stop, raw)),
    }
    draft.finish(raw.len())
}

fn stopped(stop: Stop, raw: &[u8]) -> FieldFault {
    match stop {
        Stop::Syntax { at, what } => {
            let (line, column) = line_column(raw, at);
            // In NDJSON every event is one line, and that is another one of the request.
            let line = if raw.contains(&b'\n') { format!("line {line}, ") } else { String::new() };
            FieldFault::new("", format!("the event cannot be read: {what} ({line}column {column} of the event)"))
        }
        Stop::TooDeep { pointer } => FieldFault::new(
            pointer,
            Wrong::new(FaultCode::TooDeep, format!("is nested more than {MAX_DEPTH} levels deep; flatten it"))
                .with("max", MAX_DEPTH),
        ),
    }
}

/// An event while it is being read.
struct Draft<'a> {
    ctx: &'a Intake<'a>,
    /// The service made it.
    own: bool,
    room: &'a mut Room,
    /// Where each field's stored value is in the room's.
    values: [Option<Range<usize>>; Field::ALL.len()],
    /// Every known field that was seen, `null` or not.
    seen: SentFields,
    sent: SentFields,
    faults: Vec<FieldFault>,
    untold: usize,
    org: Option<OrgId>,
    event_id: Option<EventId>,
    event_type: Option<EventType>,
    severity: Option<Severity>,
    time: Timestamp,
}

impl<'a> Draft<'a> {
    fn new(ctx: &'a Intake<'a>, room: &'a mut Room, size: usize) -> Self {
        room.values.clear();
        room.values.reserve(size + MADE);
        Self {
            ctx,
            own: false,
            room,
            values: [const { None }; Field::ALL.len()],
            seen: SentFields::default(),
            sent: SentFields::default(),
            faults: Vec::new(),
            untold: 0,
            org: None,
            event_id: None,
            event_type: None,
            severity: None,
            time: ctx.now,
        }
    }

    /// Whether another fault would only be counted: then it need not be put into words.
    fn full(&self) -> bool {
        self.faults.len() >= MAX_FAULTS
    }

    fn fault(&mut self, fault: FieldFault) {
        if self.full() { self.untold += 1 } else { self.faults.push(fault) }
    }

    fn wrong(&mut self, field: Field, what: impl Into<Wrong>) {
        self.fault(FieldFault::of(field.name(), what));
    }

    /// Reads the event object and nothing after it.
    fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Stop> {
        scanner.expect(b'{', "an event must be an object")?;
        if scanner.peek() == Some(b'}') {
            scanner.expect(b'}', "expected `}`")?;
        } else {
            loop {
                let name = scanner.text("expected a name in double quotes")?.decode();
                scanner.expect(b':', "expected `:`")?;
                match Field::of(&name) {
                    Some(field) => self.member(field, scanner)?,
                    None => self.unknown(&name, scanner)?,
                }
                if scanner.peek() != Some(b',') {
                    break;
                }
                scanner.expect(b',', "expected `,`")?;
            }
            scanner.expect(b'}', "expected `,` or `}`")?;
        }
        if scanner.peek().is_some() {
            return Err(scanner.syntax(
                "more follows after it; to send several events use an array, or NDJSON as application/x-ndjson",
            ));
        }
        Ok(())
    }

    fn unknown(&mut self, name: &str, scanner: &mut Scanner<'_>) -> Result<(), Stop> {
        if self.full() {
            self.untold += 1;
        } else if name == "integrity" {
            self.fault(FieldFault::of(
                "integrity",
                Wrong::new(FaultCode::Reserved, "is reserved for the service; leave it out"),
            ));
        } else {
            let given = shown(name);
            let meant = meant(name, Field::ALL.iter().map(|field| field.name()));
            let message = match (name, &*meant) {
                ("event" | "events", _) => format!(
                    "`{given}` is not a field of an event: send the event itself as the body, or several as {{\"events\": […]}} with no other \
                     member"
                ),
                (_, "") => format!("`{given}` is not a field of an event; put it into `details` or `tags`"),
                _ => format!("`{given}` is not a field of an event.{meant}"),
            };
            self.fault(FieldFault::new(segment(name), Wrong::new(FaultCode::Unknown, message).with("given", given)));
        }
        let start = self.room.values.len();
        let read = scanner.copy_value(&mut self.room.values, 2);
        self.room.values.truncate(start);
        scanner.take_faults();
        read.map_err(|stop| below(stop, &segment(name)))
    }

    fn member(&mut self, field: Field, scanner: &mut Scanner<'_>) -> Result<(), Stop> {
        let at = self.room.values.len();
        scanner.copy_value(&mut self.room.values, 2).map_err(|stop| below(stop, &format!("/{}", field.name())))?;
        for fault in scanner.take_faults() {
            let fault = fault.under(&format!("/{}", field.name()));
            self.fault(fault);
        }
        if self.seen.contains(field) {
            self.wrong(field, Wrong::new(FaultCode::Repeated, "stands more than once in the event; keep one of them"));
            self.room.values.truncate(at);
            return Ok(());
        }
        self.seen.insert(field);
        if self.room.values[at..] == *b"null" {
            self.room.values.truncate(at);
            return Ok(());
        }
        self.sent.insert(field);
        if let Err(what) = self.check(field, at) {
            self.wrong(field, what);
        }
        self.values[field as usize] = Some(at..self.room.values.len());
        Ok(())
    }

    /// Checks the value of `field`, which stands from `at` to the end, and replaces it by its stored spelling where that is another.
    fn check(&mut self, field: Field, at: usize) -> Result<(), Wrong> {
        match field {
            Field::EventType => {
                let found = self.word::<EventType>(at).ok_or_else(|| {
                    let postable = EventType::ALL.iter().filter(|t| t.is_posted()).map(|t| t.as_str());
                    self.no_word(at, &format!("one of {}", list(postable)))
                })?;
                if !found.is_posted() && !self.own {
                    let message = match found {
                        EventType::TestConnection => {
                            format!("{found} events are made by a test delivery alone and cannot be posted")
                        }
                        _ => format!("{found} events are made by the service itself and cannot be posted"),
                    };
                    return Err(Wrong::new(FaultCode::Reserved, message));
                }
                self.event_type = Some(found);
                self.replace(at, found.as_str());
            }
            Field::Severity => {
                let found = self.word::<Severity>(at).ok_or_else(|| {
                    let known = list(Severity::ALL.iter().map(|s| s.as_str()));
                    self.no_word(at, &format!("one of {known}"))
                })?;
                self.severity = Some(found);
                self.replace(at, found.as_str());
            }
            Field::Timestamp => {
                let text = self.string(at).ok_or_else(|| {
                    Wrong::malformed("a string with a time in RFC 3339, such as 2025-01-15T10:30:00Z")
                })?;
                let (time, stored) = instant::read(&text, self.ctx.now)?;
                let stored = stored.into_owned();
                self.time = time;
                self.replace(at, &stored);
            }
            Field::EventId => {
                let id = self.uuid(at)?;
                self.event_id = Some(EventId(id));
                self.replace(at, id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()));
            }
            Field::OrgId => {
                let id = self.uuid(at)?;
                if let OrgRule::Only(OrgId(own)) = self.ctx.org
                    && own != id
                {
                    return Err("is not the org of the API key; leave it out, or use that org's key".into());
                }
                self.org = Some(OrgId(id));
                self.replace(at, id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()));
            }
            Field::Source => {
                if self.string(at).as_deref() != Some("toktra") {
                    let expected = "`toktra`, the source of every event; leave it out";
                    return Err(self.no_word(at, expected));
                }
                self.replace(at, "toktra");
            }
            Field::Details => {
                if self.room.values[at] != b'{' {
                    return Err(Wrong::malformed("an object"));
                }
            }
            Field::Tags => {
                if self.room.values[at] != b'{' {
                    return Err(Wrong::malformed("an object whose values are strings"));
                }
                if let Some((name, _)) = members(&self.room.values[at..]).find(|(_, value)| !value.starts_with(b"\"")) {
                    let name = unescape(&String::from_utf8_lossy(name)).into_owned();
                    let fault = FieldFault::of(&name, Wrong::malformed("a string"));
                    self.fault(fault.under("/tags"));
                }
            }
            Field::UserId | Field::UserEmail | Field::Provider | Field::Model | Field::PolicyId | Field::Summary => {
                let most = field.max_chars().unwrap_or(usize::MAX);
                let text = self.string(at).ok_or_else(|| Wrong::malformed("a string"))?;
                if text.len() > most && text.chars().count() > most {
                    let message = format!("is longer than {most} characters; shorten it");
                    return Err(Wrong::new(FaultCode::Length, message).with("max", most));
                }
            }
        }
        Ok(())
    }

    /// What the value from `at` on means, if it is a string.
    fn string(&self, at: usize) -> Option<Cow<'_, str>> {
        let inside = self.room.values[at..].strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        str::from_utf8(inside).ok().map(unescape)
    }

    fn word<T: FromStr>(&self, at: usize) -> Option<T> {
        self.string(at)?.parse().ok()
    }

    fn uuid(&self, at: usize) -> Result<Uuid, Wrong> {
        // The other spellings that the library knows (braces, URN, no hyphens) would be one id under several names.
        let parsed = self.string(at).filter(|text| text.len() == 36).and_then(|text| Uuid::try_parse(&text).ok());
        parsed.ok_or_else(|| self.no_word(at, "a UUID with hyphens, such as 0190d3a5-7e8b-7cc3-98c4-dc0c0c07398f"))
    }

    /// The value from `at` on, for a message.
    fn given(&self, at: usize) -> Cow<'_, str> {
        self.string(at).unwrap_or_else(|| String::from_utf8_lossy(&self.room.values[at..]))
    }

    /// The value from `at` on is not what is `expected`: it has another type, or it is a string that says something else.
    fn no_word(&self, at: usize, expected: &str) -> Wrong {
        if let Some(given) = self.string(at) {
            return Wrong::not_one_of(&given, expected);
        }
        let given = shown(&self.given(at));
        let wrong = Wrong::new(FaultCode::Malformed, format!("`{given}` is not {expected}"));
        wrong.with("given", given).with("expected", expected)
    }

    /// Puts the string `text`, which needs no escapes, in place of what stands from `at` on.
    fn replace(&mut self, at: usize, text: &str) {
        self.room.values.truncate(at);
        self.room.values.push(b'"');
        self.room.values.extend_from_slice(text.as_bytes());
        self.room.values.push(b'"');
    }

    /// Makes what is missing.
    fn complete(&mut self) {
        for (field, missing) in
            [(Field::EventType, self.event_type.is_none()), (Field::Severity, self.severity.is_none())]
        {
            if missing && !self.sent.contains(field) {
                self.wrong(field, Wrong::missing());
            }
        }
        let (fallback, any) = match self.ctx.org {
            OrgRule::Only(org) => (Some(org), false),
            OrgRule::Any { default } => (default, true),
        };
        if any && fallback.is_none() && !self.sent.contains(Field::OrgId) {
            let message = "is missing; a platform key must say which org the event belongs to";
            self.wrong(Field::OrgId, Wrong::new(FaultCode::Missing, message));
        }
        if !self.faults.is_empty() {
            return;
        }
        if self.event_id.is_none() {
            let id = (self.ctx.fresh_id)();
            self.event_id = Some(id);
            self.append(Field::EventId, id.0.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        }
        if self.org.is_none()
            && let Some(org) = fallback
        {
            self.org = Some(org);
            self.append(Field::OrgId, org.0.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        }
        if !self.sent.contains(Field::Timestamp) {
            self.append(Field::Timestamp, &self.ctx.now.to_string());
        }
        if let (false, Some(event_type)) = (self.sent.contains(Field::Summary), self.event_type) {
            let text = summary(event_type, &self.pieces());
            self.append(Field::Summary, &text);
        }
        if !self.sent.contains(Field::Source) {
            self.append(Field::Source, "toktra");
        }
        for field in [Field::Tags, Field::Details] {
            if !self.sent.contains(field) {
                let at = self.room.values.len();
                self.room.values.extend_from_slice(b"{}");
                self.values[field as usize] = Some(at..self.room.values.len());
            }
        }
    }

    fn append(&mut self, field: Field, inside: &str) {
        let at = self.room.values.len();
        self.replace(at, inside);
        self.values[field as usize] = Some(at..self.room.values.len());
    }

    /// The stored form of an event that was sent in `raw` bytes.
    fn line(&mut self, raw: usize) -> Bytes {
        let values = std::mem::take(&mut self.room.values);
        let members = Field::STORED.into_iter().filter_map(|field| match &self.values[field as usize] {
            Some(range) => Some((field.name(), &values[range.clone()])),
            None if field.is_always_there() => Some((field.name(), &b"null"[..])),
            None => None,
        });
        // A member has two quotes, a colon, and a bracket or comma before it.
        let len = members.clone().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>() + 1;
        let line = self.room.place(len, raw, |line| {
            for (name, value) in members {
                line.extend_from_slice(if line.is_empty() { b"{\"" } else { b",\"" });
                line.extend_from_slice(name.as_bytes());
                line.extend_from_slice(b"\":");
                line.extend_from_slice(value);
            }
            line.extend_from_slice(b"}");
        });
        self.room.values = values;
        line
    }

    fn pieces(&self) -> Pieces<'_> {
        let value = |field: Field| self.values[field as usize].clone().map(|range| &self.room.values[range]);
        Pieces {
            details: value(Field::Details),
            provider: value(Field::Provider),
            model: value(Field::Model),
            policy_id: value(Field::PolicyId),
            user_email: value(Field::UserEmail),
            user_id: value(Field::UserId),
        }
    }

    fn finish(mut self, raw: usize) -> Result<NewEvent, Vec<FieldFault>> {
        let whole = (self.org, self.event_id, self.event_type, self.severity);
        if let ((Some(org), Some(event_id), Some(event_type), Some(severity)), true) = (whole, self.faults.is_empty()) {
            return Ok(NewEvent {
                org,
                event_id,
                made: !self.sent.contains(Field::EventId),
                event_type,
                severity,
                event_time: self.time,
                payload: self.line(raw),
                sent: self.sent,
            });
        }
        if self.untold > 0 {
            self.faults.push(FieldFault::new("", format!("and {} more faults in this event", self.untold)));
        }
        Err(self.faults)
    }
}

fn below(stop: Stop, prefix: &str) -> Stop {
    match stop {
        Stop::TooDeep { pointer } => Stop::TooDeep { pointer: format!("{prefix}{pointer}") },
        syntax @ Stop::Syntax { .. } => syntax,
    }
}

fn list(words: impl Iterator<Item = &'static str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
