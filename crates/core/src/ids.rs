//! Typed identifiers: an organisation's id can never be passed where a connector's is wanted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a UUID is expected, such as 0190d3a5-7e8b-7cc3-98c4-dc0c0c07398f")]
pub struct NotAnId;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self).map_err(|_| NotAnId)
            }
        }
    };
}

uuid_id!(
    /// The tenant that an event or a connector belongs to.
    OrgId
);
uuid_id!(
    /// Identifies one event within its org. Chosen by the producer, or made as a version 7 UUID at intake.
    EventId
);
uuid_id!(
    /// Identifies a connector. Those of the environment have a stable id, so that their cursor survives restarts.
    ConnectorId
);
uuid_id!(
    /// Identifies a delivery; sent as `webhook-id`. Version 7: ids sort by the time at which the delivery was opened.
    DeliveryId
);
uuid_id!(
    /// Identifies an API key (not the key itself).
    ApiKeyId
);
uuid_id!(
    /// Identifies a person of an org.
    UserId
);
uuid_id!(
    /// Identifies a notification channel.
    ChannelId
);
uuid_id!(
    /// Identifies a job. Version 7: ids sort by the time at which somebody asked for it.
    JobId
);
uuid_id!(
    /// Identifies a node: one process that works on a store, from its start to its end.
    NodeId
);
uuid_id!(
    /// Identifies a backlog range: events set apart from the live flow, with a cursor of their own.
    RangeId
);

/// The longest id of a platform, in bytes.
const PLATFORM_ID: usize = 31;

/// Names a platform: `splunk`, say. What belongs to the name is in the registry of platforms; a stored id may name one that is not there
/// (after a downgrade).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlatformId {
    text: [u8; PLATFORM_ID],
    len: u8,
}

impl PlatformId {
    /// The id, where it is one: 1 to 31 small letters, digits and `_`, the first of them a letter.
    pub const fn new(text: &str) -> Option<Self> {
        let given = text.as_bytes();
        if given.is_empty() || given.len() > PLATFORM_ID || !given[0].is_ascii_lowercase() {
            return None;
        }
        let mut text = [0; PLATFORM_ID];
        let mut at = 0;
        while at < given.len() {
            if !(given[at].is_ascii_lowercase() || given[at].is_ascii_digit() || given[at] == b'_') {
                return None;
            }
            text[at] = given[at];
            at += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 31")]
        Some(Self { text, len: at as u8 })
    }

    /// An id that is fixed in the program.
    ///
    /// # Panics
    ///
    /// Where it is none; at compile time, where it is a constant.
    pub const fn fixed(text: &str) -> Self {
        match Self::new(text) {
            Some(id) => id,
            None => panic!("not the id of a platform"),
        }
    }

    /// The word used in the API and stored.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Display for PlatformId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PlatformId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PlatformId {
    type Err = NotAPlatformId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text).ok_or(NotAPlatformId)
    }
}

/// A text that is not the id of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not the id of a platform")]
pub struct NotAPlatformId;

impl Serialize for PlatformId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for PlatformId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for PlatformId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Platform".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        // Which there are is not known here: the mark gives way to them.
        schemars::json_schema!({ "description": "The platforms that events go to.", "oneOf": [{ "x-platforms": "id" }] })
    }
}

/// The dense number of an event within its org: 1, 2, 3 … without gaps. `Seq(0)` stands before the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// How many numbers lie after `self` up to and including `to`; zero where `to` is not ahead.
    pub fn until(self, to: Self) -> u64 {
        to.0.saturating_sub(self.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the saves of a connector: 1 at creation, one more at each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub struct Revision(pub u32);

/// Which of a connector's endpoints a stream feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StreamKind {
    /// The only stream of a connector whose platform takes events as they are.
    Events,
    /// Events as log entries, beside metrics.
    Logs,
    /// Counts of events, in closed windows of acceptance time.
    Metrics,
}

impl StreamKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Events, Self::Logs, Self::Metrics];

    /// The setting that switches streams of this kind off, where they can be. It is positional, like the filter.
    pub fn switch(self) -> Option<&'static str> {
        match self {
            Self::Events | Self::Logs => None,
            Self::Metrics => Some("send_metrics"),
        }
    }

    /// The name used in the API, the history and the logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }
}

impl FromStr for StreamKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|k| k.as_str() == text).ok_or(())
    }
}

impl fmt::Display for StreamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stream: the flow of events to one endpoint of one connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId {
    /// The connector that owns the stream.
    pub connector: ConnectorId,
    /// Which of its endpoints.
    pub kind: StreamKind,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.connector, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_platforms_are_short_plain_words() {
        for good in ["a", "splunk", "acme_hec2", &"a".repeat(31)] {
            let id: PlatformId = good.parse().unwrap();
            assert_eq!((id.as_str(), serde_json::to_string(&id).unwrap()), (good, format!("\"{good}\"")));
            assert_eq!(serde_json::from_str::<PlatformId>(&format!("\"{good}\"")).unwrap(), id);
        }
        for bad in ["", "1a", "_a", "A", "a-b", "a b", "é", &"a".repeat(32)] {
            assert!(bad.parse::<PlatformId>().is_err(), "{bad}");
        }
    }
}
