//! Typed identifiers: an organisation's id can never be passed where a connector's is wanted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
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
    /// Identifies a job. Version 7: ids sort by the time at which somebody asked for it.
    JobId
);
uuid_id!(
    /// Identifies a backlog range: events set apart from the live flow, with a cursor of their own.
    RangeId
);

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
    /// The only stream of a Splunk or Elasticsearch connector.
    Events,
    /// Datadog's log intake.
    Logs,
    /// Datadog's metric intake, in closed windows of acceptance time.
    Metrics,
}

impl StreamKind {
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
        [Self::Events, Self::Logs, Self::Metrics].into_iter().find(|k| k.as_str() == text).ok_or(())
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
