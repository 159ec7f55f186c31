//! What is wrong with something a person or a script sent: one sentence per place, as the API's `fields` list shows it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What kind of thing is wrong. Scripts, the page and the command line tell faults apart by it, never by the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FaultCode {
    /// A required member or parameter is not there.
    Missing,
    /// `null` was given for something that needs a value.
    Null,
    /// The value has another type or form; `expected` says which one it needs.
    Malformed,
    /// A text has too few or too many characters: `min`, `max`.
    Length,
    /// A number is out of its bounds: `min`, `max`.
    Range,
    /// The value is none of the words, or not of the form, that `expected` names: `given`, `expected`.
    NotOneOf,
    /// There is no such member or parameter here: `given`.
    Unknown,
    /// The same member or parameter is given more than once.
    Repeated,
    /// The name is reserved for the service.
    Reserved,
    /// Two things that exclude each other, or that need each other: `with` names the other one.
    Conflict,
    /// What it refers to does not exist.
    NotFound,
    /// Objects or arrays are nested too deeply: `max`.
    TooDeep,
    /// Something else; the message says what. Also a code that this version does not know.
    #[default]
    #[serde(other)]
    Invalid,
}

impl FaultCode {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Null => "null",
            Self::Malformed => "malformed",
            Self::Length => "length",
            Self::Range => "range",
            Self::NotOneOf => "not_one_of",
            Self::Unknown => "unknown",
            Self::Repeated => "repeated",
            Self::Reserved => "reserved",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::TooDeep => "too_deep",
            Self::Invalid => "invalid",
        }
    }
}

/// What is wrong with one value: the kind, its figures, and the words that the API says of it. This is the API's one table of such words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    code: FaultCode,
    message: String,
    parameters: Map<String, Value>,
}

impl Wrong {
    /// Something of this kind, in these words.
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), parameters: Map::new() }
    }

    /// With one of the figures that faces put into their own words.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.parameters.insert(name.to_owned(), value.into());
        self
    }

    /// It is required and not there.
    pub fn missing() -> Self {
        Self::new(FaultCode::Missing, "is missing")
    }

    /// It is required and `null` was given.
    pub fn null() -> Self {
        Self::new(FaultCode::Null, "cannot be null")
    }

    /// It has another type or form: `expected` as in "must be …".
    pub fn malformed(expected: &str) -> Self {
        Self::new(FaultCode::Malformed, format!("must be {expected}")).with("expected", expected)
    }

    /// It has too few or too many characters; `of` says which characters, as in "must have 1 to 100 …".
    pub fn length(min: usize, max: usize, of: &str) -> Self {
        Self::new(FaultCode::Length, format!("must have {min} to {max} {of}")).with("min", min).with("max", max)
    }

    /// It is no whole number in these bounds.
    pub fn range(min: u64, max: u64) -> Self {
        Self::new(FaultCode::Range, format!("must be a whole number from {min} to {max}"))
            .with("min", min)
            .with("max", max)
    }

    /// The beginning of a range does not lie before its end, which `end` names.
    pub fn not_before(end: &str) -> Self {
        Self::new(FaultCode::Conflict, format!("must be before `{end}`")).with("with", end)
    }

    /// `given` is none of the words, or not of the form, that `expected` names.
    pub fn not_one_of(given: &str, expected: &str) -> Self {
        let given = shown(given);
        Self::new(FaultCode::NotOneOf, format!("`{given}` is not {expected}"))
            .with("given", given)
            .with("expected", expected)
    }
}

/// Words alone say what it is.
impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self::new(FaultCode::Invalid, message)
    }
}

impl From<&str> for Wrong {
    fn from(message: &str) -> Self {
        Self::new(FaultCode::Invalid, message)
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FieldFault {
    /// JSON Pointer (RFC 6901) into what was sent; `""` means all of it.
    pub pointer: String,
    /// The kind of fault, for scripts to compare.
    #[serde(default)]
    pub code: FaultCode,
    /// What is wrong and what to do about it. Never holds a secret, and never a long value.
    pub message: String,
    /// The figures of the message, by the names that `code` documents.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
}

impl FieldFault {
    /// A fault at `pointer`, in words that name no member.
    pub fn new(pointer: impl Into<String>, wrong: impl Into<Wrong>) -> Self {
        let Wrong { code, message, parameters } = wrong.into();
        Self { pointer: pointer.into(), code, message, parameters }
    }

    /// A fault of the member `name` of the object at the root; its message begins with the name.
    pub fn of(name: &str, wrong: impl Into<Wrong>) -> Self {
        let wrong = wrong.into();
        Self::new(segment(name), Wrong { message: format!("{name}: {}", wrong.message), ..wrong })
    }

    /// The same fault, seen from further out: `prefix` is the pointer of what `self` points into.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }

    /// The message without the name of the member before it, for a face that shows it beside its field.
    pub fn bare(&self) -> &str {
        let name = self.pointer.rsplit('/').next().unwrap_or_default();
        self.message.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&self.message)
    }
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.bare().len() < self.message.len();
        match self.pointer.matches('/').count() {
            0 => f.write_str(&self.message),
            1 if named => f.write_str(&self.message),
            _ => write!(f, "{}: {}", self.pointer, self.bare()),
        }
    }
}

/// The one of `known` that was probably meant by `name`, as the end of a sentence; nothing if none is near.
pub fn meant<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let name = shown(name).to_lowercase();
    let distance = |known: &str| {
        let longer = known.len() > 2 && name.starts_with(known) || name.len() > 2 && known.starts_with(&name);
        if longer { 0 } else { strsim::damerau_levenshtein(&name, known) }
    };
    let near = known.into_iter().map(|known| (distance(known), known)).min();
    near.filter(|(distance, _)| *distance <= 1 + name.len() / 4)
        .map(|(_, near)| format!(" Did you mean `{near}`?"))
        .unwrap_or_default()
}

/// The longest part of a name or value that a fault repeats, in characters.
const SHOWN: usize = 60;

/// `text` cut for a message: a fault names what it is about without echoing it at length. Control characters become spaces.
pub fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        cut.push('…');
    }
    cut
}

/// `name` as one segment of a JSON Pointer, with its slash in front; cut like [`shown`].
pub fn segment(name: &str) -> String {
    format!("/{}", shown(name).replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant_is_told() {
        let known = ["event_type", "event_id", "user", "q"];
        assert_eq!(meant("event_typ", known), " Did you mean `event_type`?");
        assert_eq!(meant("Event_Tpye", known), " Did you mean `event_type`?");
        assert_eq!(meant("user_id", known), " Did you mean `user`?");
        assert_eq!(meant("colour", known), "");
    }

    #[test]
    fn pointers_escape_what_would_read_as_a_separator_and_stay_short() {
        assert_eq!(segment("a/b~c"), "/a~1b~0c");
        assert_eq!(segment(&"x".repeat(500)).chars().count(), 1 + SHOWN + 1);
        assert_eq!(FieldFault::new("/severity", "no").under("/events/3").pointer, "/events/3/severity");
        assert_eq!(shown("a\nb"), "a b");
    }

    #[test]
    fn a_fault_is_data_and_its_words_name_the_member_once() {
        let fault = FieldFault::of("name", Wrong::length(1, 100, "characters"));
        let told = serde_json::json!({
            "pointer": "/name", "code": "length", "message": "name: must have 1 to 100 characters",
            "parameters": { "min": 1, "max": 100 },
        });
        assert_eq!(serde_json::to_value(&fault).unwrap(), told);
        assert_eq!(fault.bare(), "must have 1 to 100 characters");
        assert_eq!(fault.to_string(), "name: must have 1 to 100 characters");
        assert_eq!(fault.under("/events/3").to_string(), "/events/3/name: must have 1 to 100 characters");
        assert_eq!(FieldFault::new("/config/x", "is empty").to_string(), "/config/x: is empty");
        // A newer server may know more codes.
        let newer = serde_json::json!({ "pointer": "/x", "code": "brand_new", "message": "x: no" });
        assert_eq!(serde_json::from_value::<FieldFault>(newer).unwrap().code, FaultCode::Invalid);
    }
}
