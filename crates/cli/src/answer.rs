//! What a server answered: kept as it came, for whoever asks for JSON, and read as a type of the API where something is said of it.
//!
//! The server may be newer than this client. Members that are not known here are in the JSON, and words that are not known are said as they
//! are ([`wire::Lenient`]).

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use toktra_siem_wire::{self as wire, Lenient};

use super::CliError;

pub(crate) type Accounting = wire::Accounting<Lenient>;
pub(crate) type AuditEntry = wire::AuditEntry<Lenient>;
pub(crate) type Connector = wire::Connector<Lenient>;
pub(crate) type ConnectorChanged = wire::ConnectorChanged<Lenient>;
pub(crate) type Delivery = wire::Delivery<Lenient>;
pub(crate) type DeliveryDetail = wire::DeliveryDetail<Lenient>;
pub(crate) type EventDetail = wire::EventDetail<Lenient>;
pub(crate) type Health = wire::Health<Lenient>;
pub(crate) type Job = wire::Job<Lenient>;
pub(crate) type Test = wire::Test<Lenient>;
pub(crate) type User = wire::User<Lenient>;

/// An answer that should be a `T`.
pub struct Answer<T> {
    text: Box<RawValue>,
    path: String,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + JsonSchema> Answer<T> {
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

impl<T: DeserializeOwned + JsonSchema> Answer<Vec<T>> {
    /// A list of what came in several answers.
    pub fn list(path: &str, items: &impl Serialize) -> Result<Self, CliError> {
        let text = serde_json::value::to_raw_value(items).map_err(CliError::failed)?;
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
const DEEPEST: usize = 100;

/// JSON with its members in the order of their names; `{:#}` lays it out over lines. Numbers and texts are as they came, to the letter.
pub struct Json<'a>(pub &'a RawValue);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        lay_out(f, self.0, 0)
    }
}

fn lay_out(f: &mut fmt::Formatter<'_>, value: &RawValue, depth: usize) -> fmt::Result {
    let text = value.get();
    if depth < DEEPEST && text.starts_with('{') {
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(|_| fmt::Error)?;
        inside(f, ('{', '}'), depth, members, |f, (name, value)| {
            let name = serde_json::to_string(&name).map_err(|_| fmt::Error)?;
            write!(f, "{name}{}", if f.alternate() { ": " } else { ":" })?;
            lay_out(f, value, depth + 1)
        })
    } else if depth < DEEPEST && text.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| fmt::Error)?;
        inside(f, ('[', ']'), depth, items, |f, value| lay_out(f, value, depth + 1))
    } else {
        f.write_str(text)
    }
}

fn inside<I>(
    f: &mut fmt::Formatter<'_>,
    (open, close): (char, char),
    depth: usize,
    items: impl IntoIterator<Item = I>,
    one: impl Fn(&mut fmt::Formatter<'_>, I) -> fmt::Result,
) -> fmt::Result {
    let line = |f: &mut fmt::Formatter<'_>, depth| {
        if f.alternate() { write!(f, "\n{:1$}", "", 2 * depth) } else { Ok(()) }
    };
    write!(f, "{open}")?;
    let mut any = false;
    for item in items {
        if any {
            f.write_str(",")?;
        }
        line(f, depth + 1)?;
        one(f, item)?;
        any = true;
    }
    if any {
        line(f, depth)?;
    }
    write!(f, "{close}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answer<T: DeserializeOwned + JsonSchema>(text: &str) -> Answer<T> {
        Answer::of("/v1/x", &Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn json_is_laid_out_and_keeps_every_number_and_text() {
        let text = r#" {"b":[],"a":{"n":1e400,"d":1.10,"i":123456789012345678901234567890,"t":"\u00e9","":[1,{"x":null}]},"c":{}} "#;
        let said = answer::<Value>(text);
        let laid = format!("{:#}", Json(&said.text));
        assert_eq!(
            format!("{}", Json(&said.text)),
            r#"{"a":{"":[1,{"x":null}],"d":1.10,"i":123456789012345678901234567890,"n":1e400,"t":"\u00e9"},"b":[],"c":{}}"#
        );
        assert!(laid.starts_with("{\n  \"a\": {\n    \"\": [\n      1,\n      {\n        \"x\": null\n"), "{laid}");
        let plain = json!({"b": [], "a": {"x": [1, {"y": "é\n"}]}, "c": {}, "d": [[]]});
        assert_eq!(format!("{:#}", Json(&answer::<Value>(&plain.to_string()).text)), format!("{plain:#}"));
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let deep: Box<RawValue> = serde_json::from_str(&deep).unwrap();
        assert_eq!(format!("{}", Json(&deep)), deep.get());
    }

    #[test]
    fn what_does_not_fit_is_said_with_what_was_expected_and_where() {
        let wrong = answer::<Vec<User>>("[{}]").read().unwrap_err().to_string();
        assert!(wrong.starts_with("/v1/x was to answer a list of User") && wrong.contains("missing field"), "{wrong}");
        assert!(!wrong.contains("at line"), "{wrong}");
    }
}
