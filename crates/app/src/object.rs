//! Reading a JSON object member by member, so that every fault is named at once, and no message repeats a value that may be secret.

use secrecy::SecretString;
use serde_json::{Map, Value};
use toktra_siem_core::fault::{FaultCode, FieldFault, Wrong, segment, shown};
use toktra_siem_core::time::Timestamp;

use crate::{Refusal, Result, json, words};

/// A member that may also be `null`.
#[derive(Debug)]
pub(crate) enum Member<T> {
    /// Not there, or wrong (then the fault is recorded).
    Absent,
    /// `null`: reset.
    Null,
    /// There.
    Value(T),
}

/// A request's JSON object, and what was found wrong in it so far.
#[derive(Debug)]
pub struct Object {
    members: Map<String, Value>,
    faults: Vec<FieldFault>,
}

impl Object {
    /// Reads `bytes`. Nothing at all is an empty object.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::new(Map::new()));
        }
        match json::read(bytes) {
            Ok((_, repeated)) if !repeated.is_empty() => Err(Refusal::invalid(repeated)),
            Ok((Value::Object(members), _)) => Ok(Self::new(members)),
            Ok(_) => Err(Refusal::bad_request("The body must be a JSON object.")),
            Err(error) => {
                // The library's own text may repeat what stands there; the place is enough.
                let (line, column) = (error.line(), error.column());
                Err(Refusal::bad_request(format!("The body is not valid JSON (line {line}, column {column}).")))
            }
        }
    }

    /// Nothing at all.
    pub fn empty() -> Self {
        Self::new(Map::new())
    }

    /// The members of an object; anything else has none.
    pub fn of(value: &Value) -> Self {
        Self::new(value.as_object().cloned().unwrap_or_default())
    }

    fn new(members: Map<String, Value>) -> Self {
        Self { members, faults: Vec::new() }
    }

    /// Whether nothing was given.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Records that something is wrong with the member `name`.
    pub(crate) fn fault(&mut self, name: &str, wrong: impl Into<Wrong>) {
        self.faults.push(FieldFault::of(name, wrong));
    }

    /// Records faults that were found elsewhere.
    pub(crate) fn add(&mut self, faults: Vec<FieldFault>) {
        self.faults.extend(faults);
    }

    /// The member `name` as it is.
    pub(crate) fn value(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name)
    }

    /// A string, or `null`.
    pub(crate) fn text(&mut self, name: &str) -> Member<String> {
        match self.value(name) {
            None => Member::Absent,
            Some(Value::Null) => Member::Null,
            Some(Value::String(text)) => Member::Value(text),
            Some(_) => {
                self.fault(name, Wrong::malformed("a string"));
                Member::Absent
            }
        }
    }

    /// A name for people: 1 to 100 characters, none of them a control character.
    pub(crate) fn name(&mut self, required: bool) -> Option<String> {
        let name = "name";
        let text = match self.text(name) {
            Member::Value(text) => text.trim().to_owned(),
            Member::Null => {
                self.fault(name, Wrong::null());
                return None;
            }
            Member::Absent => {
                if required && !self.faulted(name) {
                    self.fault(name, Wrong::missing());
                }
                return None;
            }
        };
        let length = text.chars().count();
        if length == 0 || length > NAME_CHARS || text.chars().any(char::is_control) {
            self.fault(name, Wrong::length(1, NAME_CHARS, "characters, all of them printable"));
            return None;
        }
        Some(text)
    }

    /// One of the words of a type; `expected` lists them.
    pub(crate) fn word<T: serde::de::DeserializeOwned>(&mut self, name: &str, expected: &str) -> Option<T> {
        let text = match self.text(name) {
            Member::Value(text) => text,
            Member::Null | Member::Absent => return None,
        };
        let value = words::read(&text);
        if value.is_none() {
            self.fault(name, Wrong::not_one_of(&text, expected));
        }
        value
    }

    /// A time in RFC 3339; `null` is as good as none.
    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let Member::Value(text) = self.text(name) else { return None };
        let time = words::read(&text);
        if time.is_none() {
            self.fault(name, Wrong::malformed("a time in RFC 3339, such as 2025-01-15T10:30:00Z"));
        }
        time
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        if let Value::Bool(flag) = self.value(name)? {
            return Some(flag);
        }
        self.fault(name, Wrong::malformed("true or false"));
        None
    }

    /// A secret of 8 to 512 printable ASCII characters; its value is in no message.
    pub(crate) fn secret(&mut self, name: &str) -> Member<SecretString> {
        match self.text(name) {
            Member::Absent => Member::Absent,
            Member::Null => Member::Null,
            Member::Value(text) if is_secret(&text) => Member::Value(text.into()),
            Member::Value(_) => {
                self.fault(name, Wrong::length(8, 512, "printable ASCII characters"));
                Member::Absent
            }
        }
    }

    /// Whether a fault was recorded for the member `name`.
    pub(crate) fn faulted(&self, name: &str) -> bool {
        self.faults.iter().any(|fault| fault.pointer == segment(name))
    }

    /// Refuses what was wrong, and what nobody asked for.
    pub(crate) fn finish(mut self) -> Result<()> {
        let unknown: Vec<String> = self.members.keys().take(UNKNOWN_NAMED).cloned().collect();
        for name in unknown {
            let given = shown(&name);
            let wrong = Wrong::new(FaultCode::Unknown, format!("`{given}` is not a member here")).with("given", given);
            self.faults.push(FieldFault::new(segment(&name), wrong));
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Refusal::invalid(self.faults)) }
    }
}

/// Unknown members that are named.
const UNKNOWN_NAMED: usize = 10;
/// Characters of a name.
const NAME_CHARS: usize = 100;

fn is_secret(text: &str) -> bool {
    (8..=512).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        Object::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_every_fault_and_never_a_secret() {
        let mut object = object(r#"{"name":"","active":1,"signing_secret":"hunter2","resume":"later","x":1}"#);
        object.name(true);
        object.flag("active");
        assert!(matches!(object.secret("signing_secret"), Member::Absent));
        assert_eq!(object.word::<toktra_siem_store::Resume>("resume", "backlog or now"), None);
        let error = format!("{:?}", object.finish().unwrap_err());
        for pointer in ["/name", "/active", "/signing_secret", "/resume", "/x"] {
            assert!(error.contains(&format!("{pointer:?}")), "{pointer}: {error}");
        }
        assert!(!error.contains("hunter2"));
    }

    #[test]
    fn a_syntax_error_is_told_by_its_place_alone() {
        let error = format!("{:?}", Object::parse(br#"{"hec_token":hunter2}"#).unwrap_err());
        assert!(error.contains("line 1") && !error.contains("hunter2"), "{error}");
        assert!(Object::parse(b"[]").is_err());
        assert!(Object::parse(b" ").unwrap().finish().is_ok());
    }
}
