//! Notification channels, and what somebody knows of an outage already.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::ids::ChannelId;
use toktra_siem_core::notice::{ChannelKind, Topic};
use toktra_siem_core::time::Timestamp;

use crate::text::Name;
use crate::word::{Exact, Words};

/// A notification channel: a way to tell people that something is wrong.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "NotificationChannel")]
pub struct Channel<W: Words = Exact> {
    /// Identifies it.
    pub id: ChannelId,
    /// For people; unique in the org.
    pub name: String,
    /// How it reaches them.
    pub kind: W::Word<ChannelKind>,
    /// Its settings: of `email` the recipients `to`; of `slack`, `teams` and `webhook` the `url`; of `pagerduty` the `routing_key`. Secrets are
    /// shown as in connectors: that they are set, and how they end.
    #[schemars(example = &serde_json::json!({ "to": ["soc@company.com"] }))]
    pub config: Map<String, Value>,
    /// What it is told.
    pub events: Vec<W::Word<Topic>>,
    /// Whether anything is sent.
    pub active: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When something was last sent; `null` if nothing was yet.
    pub last_sent_at: Option<Timestamp>,
    /// Why nothing gets through at present; `null` if it does.
    pub failing: Option<ChannelFailure>,
}

/// Why nothing gets through a channel. What could not be sent waits for the next attempt.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ChannelFailure {
    /// The first of the attempts that failed in a row.
    pub since: Timestamp,
    /// How many.
    pub attempts: u32,
    /// When the next attempt is due.
    pub next_attempt_at: Timestamp,
    /// What happened the last time.
    pub cause: Cause,
}

/// A new notification channel.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewChannel {
    /// For people; unique in the org.
    pub name: Name,
    /// How it reaches them.
    pub kind: ChannelKind,
    /// Its settings. `email`: `to`, a list of 1 to 20 addresses. `slack` and `teams`: `url`. `pagerduty`: `routing_key`, and `url` for another region than the US.
    /// `webhook`: `url`, and `signing_secret`, which is made if you do not give one.
    #[schemars(example = &serde_json::json!({ "to": ["soc@company.com"] }))]
    pub config: Map<String, Value>,
    /// What it is told; all of it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Topic>", length(min = 1))]
    pub events: Option<Vec<Topic>>,
    /// Whether anything is sent; `true` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub active: Option<bool>,
}

/// What is to change of a notification channel. Members that are absent stay as they are, those of `config` too.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelChange {
    /// For people; unique in the org.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Its settings. `null` removes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Map<String, Value>")]
    pub config: Option<Map<String, Value>>,
    /// What it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Topic>", length(min = 1))]
    pub events: Option<Vec<Topic>>,
    /// Whether anything is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub active: Option<bool>,
}

/// What became of a test message.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ChannelTest {
    /// Whether it was taken.
    pub sent: bool,
    /// What the receiver answered; or what happened and what to do about it.
    pub message: String,
    /// Why it was not taken; `null` if it was.
    pub cause: Option<Cause>,
}

/// That it is removed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ChannelDeleted {
    /// Always `true`.
    pub deleted: bool,
}

/// That somebody knows.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledge {
    /// What is known about it, such as the number of a change: 1 to 200 characters.
    #[schemars(length(min = 1, max = 200), regex(pattern = crate::text::PRINTABLE), example = &"CHG-123")]
    pub note: String,
    /// Until when nothing more is told of the connector: in the future, at most 30 days.
    pub until: Timestamp,
}
