//! Words of sets that grow. The server says the words of its own version, and its types hold exactly those ([`Exact`]). A client may be the
//! older of the two, and reads the same types with whatever word comes ([`Lenient`]).

use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What answers are made of, and what they are.
pub trait Part: Clone + fmt::Debug + Serialize + DeserializeOwned + JsonSchema {}

impl<T: Clone + fmt::Debug + Serialize + DeserializeOwned + JsonSchema> Part for T {}

/// How the words of an answer are held.
pub trait Words {
    /// A word out of `E`.
    type Word<E: Part>: Part;
}

/// The words of this version, and no others.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Exact;

impl Words for Exact {
    type Word<E: Part> = E;
}

/// Also what a newer server says.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Lenient;

impl Words for Lenient {
    type Word<E: Part> = Word<E>;
}

/// A word, known or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Word<E> {
    /// One of this version.
    Known(E),
    /// One of a newer version, as it came.
    Newer(Value),
}

impl<E> Word<E> {
    /// The word, if this version knows it.
    pub fn known(&self) -> Option<&E> {
        match self {
            Self::Known(word) => Some(word),
            Self::Newer(_) => None,
        }
    }
}

impl<E: PartialEq> PartialEq<E> for Word<E> {
    fn eq(&self, word: &E) -> bool {
        matches!(self, Self::Known(known) if known == word)
    }
}

impl<E: Serialize> fmt::Display for Word<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::to_value(self) {
            Ok(Value::String(word)) => f.pad(&word),
            Ok(other) => other.fmt(f),
            Err(_) => Err(fmt::Error),
        }
    }
}

#[cfg(test)]
mod tests {
    use schemars::generate::SchemaSettings;
    use serde_json::{Map, json};
    use toktra_siem_core::ids::StreamKind;

    use super::*;

    /// What a newer server could answer by this schema: every word is one that is not known yet, and every object has a member more.
    fn newer(schema: &Value, whole: &Value) -> Value {
        let at = |name: &str| schema.get(name).filter(|value| !value.is_null());
        if let Some(name) = at("$ref").and_then(Value::as_str) {
            return newer(whole.pointer(name.trim_start_matches('#')).unwrap(), whole);
        }
        if at("const").or(at("enum")).is_some() {
            return json!("word_of_a_newer_server");
        }
        let choices = ["oneOf", "anyOf"].iter().find_map(|name| at(name)?.as_array());
        match choices.and_then(|choices| choices.first()).map(|first| (first, first["x-platforms"].as_str())) {
            // Which platforms there are is known to the registry alone.
            Some((_, Some("id"))) => return json!("kafka"),
            Some((first, None)) => return newer(first, whole),
            Some((_, Some(_))) | None => {}
        }
        let kind = at("type").map(|kind| kind.as_array().map_or(kind, |kinds| &kinds[0]));
        match kind.and_then(Value::as_str) {
            Some("object") => {
                let members = at("properties").and_then(Value::as_object).into_iter().flatten();
                let mut object: Map<String, Value> =
                    members.map(|(name, schema)| (name.clone(), newer(schema, whole))).collect();
                object.insert("member_of_a_newer_server".to_owned(), json!([1]));
                if choices.is_some() {
                    object.extend([
                        ("platform".to_owned(), json!("kafka")),
                        ("config".to_owned(), json!({"topic": "x"})),
                    ]);
                }
                object.into()
            }
            Some("array") => {
                let count = at("minItems").and_then(Value::as_u64).unwrap_or(1);
                (0..count).map(|_| newer(&schema["items"], whole)).collect()
            }
            Some("string") => match at("format").and_then(Value::as_str) {
                Some("uuid") => json!("0197a1b2-0000-7000-8000-000000000001"),
                Some("date-time") => json!("2025-01-15T10:30:00.000Z"),
                _ => json!("jo@company.com"),
            },
            Some("integer" | "number") => json!(1),
            Some("boolean") => json!(true),
            _ => Value::Null,
        }
    }

    /// `T` as the server says it is read as `L`, and nothing is lost of the words.
    fn is_read<T: JsonSchema, L: Part>() {
        let schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>();
        let schema = json!(schema);
        let said = newer(&schema, &schema);
        let read: L = serde_json::from_value(said.clone()).unwrap_or_else(|error| panic!("{error}: {said:#}"));
        let words = |value: &Value| value.to_string().matches("word_of_a_newer_server").count();
        assert!(words(&json!(read)) == words(&said), "{said:#}\n{read:?}");
    }

    #[test]
    fn every_answer_that_a_client_reads_may_have_words_and_members_of_a_newer_server() {
        is_read::<crate::Accepted, crate::Accepted<Lenient>>();
        is_read::<crate::Accounting, crate::Accounting<Lenient>>();
        is_read::<crate::ApiKeyMade, crate::ApiKeyMade<Lenient>>();
        is_read::<crate::AuditEntry, crate::AuditEntry<Lenient>>();
        is_read::<crate::ConnectorChanged, crate::ConnectorChanged<Lenient>>();
        is_read::<crate::ConnectorRemoved, crate::ConnectorRemoved>();
        is_read::<crate::DeliveryDetail, crate::DeliveryDetail<Lenient>>();
        is_read::<crate::EventDetail, crate::EventDetail<Lenient>>();
        is_read::<crate::FilterPreview, crate::FilterPreview<Lenient>>();
        is_read::<crate::Health, crate::Health<Lenient>>();
        is_read::<crate::IndexTemplate, crate::IndexTemplate>();
        is_read::<crate::Job, crate::Job<Lenient>>();
        is_read::<crate::JobDryRun, crate::JobDryRun>();
        is_read::<crate::List<crate::ListedEvent>, crate::List<crate::ListedEvent<Lenient>>>();
        is_read::<crate::Org, crate::Org>();
        is_read::<crate::OrgRemoved, crate::OrgRemoved>();
        is_read::<crate::RotationBegun, crate::RotationBegun>();
        is_read::<crate::SecretsCompared, crate::SecretsCompared>();
        is_read::<crate::RotationEnded, crate::RotationEnded>();
        is_read::<crate::Test, crate::Test<Lenient>>();
        is_read::<crate::UserWithPassword, crate::User<Lenient>>();
    }

    #[test]
    fn a_word_is_compared_and_said_as_it_is() {
        let read = |text: &str| serde_json::from_value::<Word<StreamKind>>(json!(text)).unwrap();
        assert!(read("logs") == StreamKind::Logs && read("traces") != StreamKind::Logs);
        assert_eq!((read("logs").to_string(), read("traces").to_string()), ("logs".to_owned(), "traces".to_owned()));
    }
}
