//! What a server answered: kept as it came, for whoever asks for JSON, and read as a type of the API where something is said of it.
//!
//! The server may be newer than this client. Members that are not known here are in the JSON, and words that are not known are said as they
//! are ([`wire::Lenient`]).

use std::collections::BTreeMap;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use toktra_siem_wire::{self as wire, Lenient, Part};

use super::CliError;

pub(crate) type Accounting = wire::Accounting<Lenient>;
pub(crate) type AuditEntry = wire::AuditEntry<Lenient>;
pub(crate) type Channel = wire::Channel<Lenient>;
pub(crate) type Connector = wire::Connector<Lenient>;
pub(crate) type ConnectorChanged = wire::ConnectorChanged<Lenient>;
pub(crate) type Delivery = wire::Delivery<Lenient>;
pub(crate) type DeliveryDetail = wire::DeliveryDetail<Lenient>;
pub(crate) type EventDetail = wire::EventDetail<Lenient>;
pub(crate) type Health = wire::Health<Lenient>;
pub(crate) type ListedEvent = wire::ListedEvent<Lenient>;
pub(crate) type Job = wire::Job<Lenient>;
pub(crate) type Test = wire::Test<Lenient>;
pub(crate) type User = wire::User<Lenient>;

/// An answer that should be a `T`.
pub struct Answer<T> {
    text: Box<RawValue>,
    path: String,
    kind: PhantomData<fn() -> T>,
}

impl<T: Part> Answer<T> {
    /// What the server at `path` answered, if it is JSON.
    pub fn of(path: &str, body: &Bytes) -> Option<Self> {
        // A page that has nothing to say says nothing.
        let body = if body.is_empty() { b"null" } else { body.as_ref() };
        Some(Self { text: serde_json::from_slice(body).ok()?, path: path.to_owned(), kind: PhantomData })
    }

    /// What it says.
    pub fn read(&self) -> Result<T, CliError> {
        self.parts()
    }

    /// What it says, in another type than that which it should be: parts of it, or the same less closely.
    pub fn parts<P: DeserializeOwned>(&self) -> Result<P, CliError> {
        serde_json::from_str(self.text.get()).map_err(|error| {
            let error = error.to_string();
            let error = error.split(" at line ").next().unwrap_or_default();
            CliError::Failed(format!(
                "{} was to answer {}, as the API's documentation has it, and what came does not fit: {error}. Is the server of another \
                 version? With --json a command shows what came.",
                self.path,
                T::schema_name().replace("Array_of_", "a list of "),
            ))
        })
    }
}

impl<T: Part> Answer<Vec<T>> {
    /// A list of what came in several answers.
    pub fn list(path: &str, items: &impl Serialize) -> Result<Self, CliError> {
        let text = to_raw_value(items).map_err(CliError::failed)?;
        Ok(Self { text, path: path.to_owned(), kind: PhantomData })
    }

    /// Each of them by itself.
    pub fn each(&self) -> Result<Vec<Answer<T>>, CliError> {
        let items: Vec<Box<RawValue>> = self.parts()?;
        let one = |text| Answer { text, path: self.path.clone(), kind: PhantomData };
        Ok(items.into_iter().map(one).collect())
    }
}

impl<T> Serialize for Answer<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

/// How deep JSON is laid out. What is deeper is printed as it came.
const DEEPEST: u8 = 100;

/// A value as JSON over lines, its members in the order of their names. Numbers and texts of answers are as they came, to the letter.
pub fn json_lines(value: &impl Serialize) -> Result<String, CliError> {
    let text = to_raw_value(value).and_then(|text| serde_json::to_string_pretty(&Json(&text, 0)));
    text.map_err(CliError::failed)
}

/// The same in one line.
pub fn json_line(text: &RawValue) -> String {
    serde_json::to_string(&Json(text, 0)).unwrap_or_else(|_| text.get().to_owned())
}

/// JSON, and how deep it lies.
struct Json<'a>(&'a RawValue, u8);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(raw, depth) = self;
        let below = |raw| Json(raw, depth + 1);
        match raw.get().as_bytes() {
            [b'{', ..] if *depth < DEEPEST => {
                let members: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).map_err(S::Error::custom)?;
                serializer.collect_map(members.into_iter().map(|(name, raw)| (name, below(raw))))
            }
            [b'[', ..] if *depth < DEEPEST => {
                let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(S::Error::custom)?;
                serializer.collect_seq(items.into_iter().map(below))
            }
            _ => raw.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answer<T: Part>(text: &str) -> Answer<T> {
        Answer::of("/v1/x", &Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn json_is_laid_out_and_keeps_every_number_and_text() {
        let text = r#" {"b":[],"a":{"n":1e400,"d":1.10,"i":123456789012345678901234567890,"t":"\u00e9","":[1,{"x":null}]},"c":{}} "#;
        let short = |text: &str| json_line(&answer::<Value>(text).text);
        assert_eq!(
            short(text),
            r#"{"a":{"":[1,{"x":null}],"d":1.10,"i":123456789012345678901234567890,"n":1e400,"t":"\u00e9"},"b":[],"c":{}}"#
        );
        let plain = json!({"b": [], "a": {"x": [1, {"y": "é\n"}]}, "c": {}, "d": [[]]});
        assert_eq!(json_lines(&answer::<Value>(&plain.to_string())).unwrap(), format!("{plain:#}"));
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(short(&deep), deep);
    }

    #[test]
    fn what_does_not_fit_is_said_with_what_was_expected_and_where() {
        let wrong = answer::<Vec<User>>("[{}]").read().unwrap_err().to_string();
        assert!(wrong.starts_with("/v1/x was to answer a list of User") && wrong.contains("missing field"), "{wrong}");
        assert!(!wrong.contains("at line"), "{wrong}");
    }
}
