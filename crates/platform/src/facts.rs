//! A connector's settings as facts for people: what each is called, and what it is.

use serde_json::{Map, Value};
use url::Url;

use crate::descriptor::{Field, Kind};
use crate::group;

/// A setting, told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is called.
    pub name: &'static str,
    /// What it is.
    pub value: Told,
}

/// What a setting is, by the way it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Something that stands like this elsewhere as well, and may be copied.
    Code(String),
    /// A sentence, or a word.
    Text(String),
    /// What is told of the secret of this name, where there is one.
    Secret(&'static str),
}

impl Fact {
    /// Something that may be copied.
    pub fn code(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: Told::Code(value.into()) }
    }

    /// A sentence, or a word.
    pub fn text(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: Told::Text(value.into()) }
    }

    /// What is told of a secret.
    pub fn secret(name: &'static str, secret: &'static str) -> Self {
        Self { name, value: Told::Secret(secret) }
    }
}

/// Each setting with its label.
pub fn plain(fields: &[Field], config: &Map<String, Value>) -> Vec<Fact> {
    let told = |field: &Field| match (field.kind, group::member(config, field.name)?) {
        _ if field.is_secret() => Some(Fact::secret(field.label, field.name)),
        (Kind::Flag, flag) => Some(Fact::text(field.label, if flag == &Value::Bool(true) { "Yes" } else { "No" })),
        (Kind::Choice { words, .. }, Value::String(text)) => {
            let called = words.iter().find(|(word, _)| word == text).map_or(text.as_str(), |(_, called)| called);
            Some(Fact::text(field.label, called))
        }
        (Kind::Pem(_), _) => Some(Fact::text(field.label, "Given")),
        (_, Value::String(text)) => Some(Fact::code(field.label, text.as_str())),
        (_, value) => Some(Fact::code(field.label, value.to_string())),
    };
    fields.iter().filter_map(told).collect()
}

/// Those of these settings that are there, each with its label.
pub fn of(fields: &[Field], config: &Map<String, Value>, names: &[&str]) -> Vec<Fact> {
    let wanted: Vec<Field> = fields.iter().filter(|field| names.contains(&field.name)).cloned().collect();
    plain(&wanted, config)
}

/// The host of a URL with its port, where that is not the scheme's own; the text itself where it is no URL.
pub fn host(url: &str) -> String {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(|url| url.host_str().map(|host| (host.to_owned(), url.port())));
    host.map_or_else(
        || url.to_owned(),
        |(host, port)| port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")),
    )
}
