//! The people of an org: how they are addressed, and what they may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

/// An e-mail address in its one spelling, lower-case and without space around it: two that reach the same person never count as two.
/// Read leniently, because only a message to it could tell whether it exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub struct Email(String);

/// The longest address, in bytes (RFC 5321, section 4.5.3.1.3, without its brackets).
const LONGEST: usize = 254;

impl Email {
    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What was given is no e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address, such as jo@company.com")]
pub struct NotAnEmail;

impl FromStr for Email {
    type Err = NotAnEmail;

    fn from_str(text: &str) -> Result<Self, NotAnEmail> {
        let address = text.trim().to_lowercase();
        let (name, host) = address.split_once('@').ok_or(NotAnEmail)?;
        let dotted = host.split('.').count() > 1 && host.split('.').all(|label| !label.is_empty());
        let clean = !address.contains(|c: char| c.is_whitespace() || c.is_control());
        if name.is_empty() || !dotted || !clean || host.contains('@') || address.len() > LONGEST {
            return Err(NotAnEmail);
        }
        Ok(Self(address))
    }
}

impl<'de> Deserialize<'de> for Email {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a person may do in their org.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// See connectors, history and events.
    Viewer,
}

/// What an API key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Scope {
    /// Post events.
    #[serde(rename = "events:write")]
    EventsWrite,
    /// Read connectors, history, events.
    #[serde(rename = "siem:read")]
    SiemRead,
    /// Change connectors, deliver again.
    #[serde(rename = "siem:write")]
    SiemWrite,
    /// Keys, users, audit log; includes the others.
    #[serde(rename = "admin")]
    Admin,
    /// Any org, and the orgs themselves.
    #[serde(rename = "platform")]
    Platform,
}

impl Scope {
    /// The word that stands for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventsWrite => "events:write",
            Self::SiemRead => "siem:read",
            Self::SiemWrite => "siem:write",
            Self::Admin => "admin",
            Self::Platform => "platform",
        }
    }
}

/// What kind of actor changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// Whoever holds an API key.
    ApiKey,
    /// A person who is logged in.
    User,
    /// File and environment, at a start.
    Environment,
    /// The service by itself, or whoever has its data directory.
    System,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_is_read_as_it_is_written() {
        for scope in [Scope::EventsWrite, Scope::SiemRead, Scope::SiemWrite, Scope::Admin, Scope::Platform] {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
    }

    #[test]
    fn an_address_has_one_spelling() {
        let email: Email = " Jo.Doe@Company.COM\n".parse().unwrap();
        assert_eq!(email.as_str(), "jo.doe@company.com");
        assert_eq!("jo.doe@company.com".parse(), Ok(email));
    }

    #[test]
    fn what_cannot_be_an_address_is_refused() {
        let long = format!("{}@company.com", "x".repeat(300));
        for text in ["", "jo", "@company.com", "jo@", "jo@company", "jo@.com", "jo@a@b.com", "j o@company.com", &long] {
            assert_eq!(text.parse::<Email>(), Err(NotAnEmail), "{text}");
        }
        assert!("jo\u{0}@company.com".parse::<Email>().is_err());
    }
}
