//! What people are told outside of the page: a [`Notice`] is one thing that happened, told once, and a channel is a way to tell it.
//! Pure: who tells, and how, is in the crate `notify`.

use serde::{Deserialize, Serialize};

use crate::ids::ConnectorId;
use crate::time::Timestamp;

/// How a channel reaches people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// Mail, through the operator's SMTP server.
    Email,
    /// An incoming webhook of Slack.
    Slack,
    /// A workflow of Microsoft Teams that begins with a webhook request.
    Teams,
    /// An integration of PagerDuty for its Events API v2.
    Pagerduty,
    /// Any HTTPS address: signed JSON, by Standard Webhooks.
    Webhook,
}

impl ChannelKind {
    /// All of them, in the order in which people see them.
    pub const ALL: &'static [Self] = &[Self::Email, Self::Slack, Self::Teams, Self::Pagerduty, Self::Webhook];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Pagerduty => "pagerduty",
            Self::Webhook => "webhook",
        }
    }
}

/// What a notice is about. A channel chooses among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// A SIEM does not answer.
    Down,
    /// A SIEM refuses what it is sent until somebody changes something.
    Misconfigured,
    /// A SIEM takes events again, or something else that people were told of is over.
    Recovered,
    /// Events will soon be older than the service keeps them, and have not arrived.
    Expiring,
    /// A certificate expires soon.
    Certificate,
    /// An API key expires soon.
    Key,
    /// No event has come from the producer for long.
    Silence,
    /// The disk is nearly full.
    Disk,
    /// A stream has events to send and does not get on, although its SIEM answers.
    Stalled,
}

impl Topic {
    /// All of them, in the order in which people see them.
    pub const ALL: &'static [Self] = &[
        Self::Down,
        Self::Misconfigured,
        Self::Recovered,
        Self::Expiring,
        Self::Stalled,
        Self::Certificate,
        Self::Key,
        Self::Silence,
        Self::Disk,
    ];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Misconfigured => "misconfigured",
            Self::Recovered => "recovered",
            Self::Expiring => "expiring",
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::Silence => "silence",
            Self::Disk => "disk",
            Self::Stalled => "stalled",
        }
    }
}

/// One thing that happened, and that people are told once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Identifies it within its org, also after a restart: nothing with the same key is told again.
    pub key: String,
    /// What it is about.
    pub topic: Topic,
    /// The same for all that is told of one thing, `down` and the `recovered` that ends it: what PagerDuty resolves, what mails are
    /// threaded by.
    pub thread: String,
    /// The connector that it concerns, if it is one.
    pub connector: Option<ConnectorId>,
    /// The name of what it concerns: a connector's, an API key's, the org's.
    pub subject: String,
    /// When it happened.
    pub at: Timestamp,
    /// What happened, for one subject: "does not answer since 2026-11-29 01:51 UTC". The subject's name comes before it.
    pub what: String,
    /// The same for several of them at once: "do not answer". A number of subjects comes before it.
    pub what_of_many: String,
    /// Why, in whole sentences; the same for those that have one cause. Empty if there is nothing to say.
    pub cause: String,
    /// What to do now, in whole sentences.
    pub advice: String,
    /// Where the page shows it: a path that begins with `/`.
    pub path: String,
    /// What it is the end of: the topic that people were told of. `None` if it ends nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Topic>,
}

impl Notice {
    /// Whether a channel of this kind that chose these topics tells it. An end goes to those who are told of such beginnings; PagerDuty gets it
    /// in any case, because an incident that it opened would stay open.
    pub fn is_for(&self, kind: ChannelKind, events: &[Topic]) -> bool {
        let outage = [Topic::Down, Topic::Misconfigured];
        let Some(begun) = self.ends else { return events.contains(&self.topic) };
        let is_outage = outage.contains(&begun);
        let was_told = events.contains(&begun) || is_outage && events.iter().any(|topic| outage.contains(topic));
        let wants = events.contains(&self.topic) && (was_told || is_outage);
        wants || was_told && kind == ChannelKind::Pagerduty
    }
}

/// Somebody knows that a connector does not deliver: nothing more of it is told until the end that they gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Acknowledgement {
    /// What is known about it, such as the number of a change.
    #[cfg_attr(feature = "schema", schemars(example = &"CHG-123"))]
    pub note: String,
    /// Until when.
    pub until: Timestamp,
    /// Who said so.
    pub by: String,
    /// When they did.
    pub at: Timestamp,
}

impl Acknowledgement {
    /// Whether it holds at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }
}
