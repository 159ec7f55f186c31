//! One security event: what a producer sends, and the stored form that every later step passes on untouched.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{EventId, OrgId, Seq};
use crate::time::Timestamp;

pub mod body;
pub mod differs;
mod field;
mod instant;
pub mod intake;
pub mod room;
pub mod samples;
pub mod spans;
mod strict;
pub mod summary;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in the order of declaration (which is the order of its stored number).
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word used on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|v| v.as_str() == text).ok_or(())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

// From the product spec, "Event types"; the last two are the service's own.
words! {
    /// What happened. The last two are the service's own.
    EventType {
        /// A usage policy threshold is breached.
        PolicyViolation = "policy_violation",
        /// Pre-departure or unusual usage pattern detected.
        Anomaly = "anomaly",
        /// Spend crosses an alert threshold.
        BudgetAlert = "budget_alert",
        /// Employee access revoked.
        Lockout = "lockout",
        /// Manual test delivery.
        TestConnection = "test_connection",
        /// The service's own sign of life. Cannot be posted.
        Heartbeat = "heartbeat",
        /// The service's own notice that a connector needs attention. Cannot be posted.
        ConnectorAlert = "connector_alert",
    }
}

words! {
    /// How serious an event is.
    Severity {
        /// For the record.
        Low = "low",
        /// Worth a look.
        Medium = "medium",
        /// Act today.
        High = "high",
        /// Act now.
        Critical = "critical",
    }
}

impl EventType {
    /// Whether the service says this of itself: a sign of life, or a notice about a connector.
    pub fn is_own(self) -> bool {
        matches!(self, Self::Heartbeat | Self::ConnectorAlert)
    }

    /// Whether a producer can post it. Test deliveries and the service's own events are made by the service alone.
    pub fn is_posted(self) -> bool {
        !self.is_own() && self != Self::TestConnection
    }
}

/// The largest event that is accepted, in bytes as sent.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;
/// The deepest nesting of an event that is accepted; the event object itself is level 1.
pub const MAX_DEPTH: usize = 32;

/// An event on its way into the store: valid and in its stored form, but without a sequence or an acceptance time (the writer gives both).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The tenant.
    pub org: OrgId,
    /// Unique within the org; the key of idempotency.
    pub event_id: EventId,
    /// The service drew `event_id` at random for this very event, so that no other event can have it.
    pub made: bool,
    /// For filters and metrics, so that the payload need not be parsed again.
    pub event_type: EventType,
    /// As `event_type`.
    pub severity: Severity,
    /// The event's own time.
    pub event_time: Timestamp,
    /// The stored form: one line of JSON that is passed on byte for byte.
    pub payload: Bytes,
    /// Which fields the producer sent, so that a duplicate that says something else can be told from a repeated one.
    pub sent: intake::SentFields,
}

/// An accepted event. Immutable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The tenant.
    pub org: OrgId,
    /// Its dense number within the org.
    pub seq: Seq,
    /// Unique within the org.
    pub event_id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// How serious.
    pub severity: Severity,
    /// The event's own time: decides the daily index and the platform's timestamp.
    pub event_time: Timestamp,
    /// When the writer accepted it; never goes backwards within an org.
    pub accepted_at: Timestamp,
    /// The stored form: one line of JSON, small members first, ending in `}`.
    pub payload: Bytes,
}
