//! What the API answers, as far as the page shows it. The page is a client: members that it does not know it passes over.

use serde::Deserialize;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::ids::{ConnectorId, DeliveryId, OrgId, PlatformId, StreamKind, UserId};
use toktra_siem_core::people::Role;
use toktra_siem_core::time::Timestamp;

use super::show::Mood;

/// A list, or a page of one.
#[derive(Debug, Clone, Deserialize)]
pub struct List<T> {
    /// What is in it.
    pub items: Vec<T>,
    /// Where the next page begins.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// `GET /v1/sessions/current`.
#[derive(Debug, Clone, Deserialize)]
pub struct SessionInfo {
    /// When it ends unless it is used.
    pub expires_at: Timestamp,
    /// Whose it is.
    pub user: User,
    /// Their org.
    pub org: Org,
}

/// A person.
#[derive(Debug, Clone, Deserialize)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their address.
    pub email: String,
    /// What they are called.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// A tenant.
#[derive(Debug, Clone, Deserialize)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// What it is called.
    pub name: String,
}

/// `GET /v1/siem/health`, and of one connector.
#[derive(Debug, Clone, Deserialize)]
pub struct Health {
    /// The connector.
    pub connector_id: ConnectorId,
    /// Its name.
    pub name: String,
    /// Its platform.
    pub platform: PlatformId,
    /// Whether it is switched on.
    pub active: bool,
    /// That of its worst stream.
    pub state: State,
    /// The same for a person.
    pub sentence: String,
    /// Its streams.
    pub streams: Vec<StreamHealth>,
}

/// How a connector or a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It delivers, or would.
    Healthy,
    /// It fails, or is behind.
    Degraded,
    /// Somebody has to act.
    Misconfigured,
    /// It is switched off.
    Off,
}

impl State {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Degraded => "Degraded",
            Self::Misconfigured => "Misconfigured",
            Self::Off => "Off",
        }
    }

    /// The API's sentence as it stands beside the badge, which has its first word already: `Misconfigured: token rejected …`.
    pub fn said_beside(self, sentence: &str) -> String {
        let rest = sentence.strip_prefix(self.word()).and_then(|rest| rest.strip_prefix(": "));
        rest.map_or_else(|| sentence.to_owned(), super::error::sentence_case)
    }

    /// How it looks.
    pub fn mood(self) -> Mood {
        match self {
            Self::Healthy => Mood::Good,
            Self::Degraded => Mood::Degraded,
            Self::Misconfigured => Mood::Failed,
            Self::Off => Mood::Off,
        }
    }
}

/// How a stream stands.
#[derive(Debug, Clone, Deserialize)]
pub struct StreamHealth {
    /// Which.
    pub stream: StreamKind,
    /// How it stands.
    pub state: State,
    /// The same for a person.
    pub sentence: String,
    /// Events on their way or waiting.
    pub lag_events: u64,
    /// The age of the oldest of them.
    pub lag_seconds: u64,
    /// Events that still shall arrive.
    pub undelivered: Undelivered,
    /// Events that a delivery left behind.
    pub parked: Parked,
    /// How fast events flow.
    pub rates: Rates,
    /// How long they take.
    pub latency: Option<Latency>,
    /// When the SIEM last took something.
    pub last_success: Option<Timestamp>,
    /// What last went wrong.
    pub last_error: Option<LastError>,
    /// While it does not send: when it tries again.
    pub next_probe_at: Option<Timestamp>,
}

/// Events that still shall arrive.
#[derive(Debug, Clone, Deserialize)]
pub struct Undelivered {
    /// All of them.
    pub total: u64,
    /// In the log.
    pub waiting: u64,
    /// In deliveries.
    pub pending: u64,
    /// Parked, and sent again by themselves.
    pub failed: u64,
}

/// Events that a delivery left behind.
#[derive(Debug, Clone, Deserialize)]
pub struct Parked {
    /// Sent again by themselves.
    pub failed: u64,
    /// Only a person sends them again.
    pub rejected: u64,
}

/// How fast events flow.
#[derive(Debug, Clone, Deserialize)]
pub struct Rates {
    /// Of the last five minutes.
    pub last_5_minutes: Rate,
    /// Of the last hour.
    pub last_hour: Rate,
}

/// Events a minute.
#[derive(Debug, Clone, Deserialize)]
pub struct Rate {
    /// Taken.
    pub delivered: f64,
    /// Not taken.
    pub failed: f64,
}

/// From acceptance to delivery.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Latency {
    /// Half of the events took no longer.
    pub p50_ms: u64,
    /// 99 of 100 took no longer.
    pub p99_ms: u64,
}

/// What last went wrong.
#[derive(Debug, Clone, Deserialize)]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// Which delivery, where it is known.
    pub delivery_id: Option<DeliveryId>,
}
