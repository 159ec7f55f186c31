//! Who looks at the page, and how what the API tells of connectors looks.

use toktra_siem_core::ids::{OrgId, UserId};
use toktra_siem_core::people::Role;
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::{self as wire, HealthState, LastError, StreamHealth};

use super::show::{self, Html, Mood};

/// The session of whoever looks.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// When it ends unless it is used.
    pub expires_at: Timestamp,
    /// Whose it is.
    pub user: User,
    /// Their org.
    pub org: Org,
}

/// A person.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// What it is called.
    pub name: String,
}

impl From<wire::Session> for SessionInfo {
    fn from(session: wire::Session) -> Self {
        let wire::Session { user, org, expires_at, .. } = session;
        let user = User { id: user.id, email: user.email.to_string(), name: user.name, role: user.role };
        Self { expires_at, user, org: Org { id: org.id, name: org.name } }
    }
}

/// How the state of a connector or a stream looks.
pub trait Stands: Copy {
    /// The word for people.
    fn word(self) -> &'static str;
    /// How it looks.
    fn mood(self) -> Mood;

    /// The sentence as it stands beside the badge, which has its first word already: `Action needed: token rejected …`.
    fn said_beside(self, sentence: &str) -> String {
        let Some(rest) = sentence.strip_prefix(self.word()) else { return sentence.to_owned() };
        super::error::sentence_case(rest.trim_start_matches([':', ',', ' ']))
    }
}

impl Stands for HealthState {
    fn word(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Degraded => "Retrying",
            Self::Misconfigured => "Action needed",
            Self::Off => "Paused",
            Self::Stalled => "Stalled",
        }
    }

    fn mood(self) -> Mood {
        match self {
            Self::Healthy => Mood::Good,
            Self::Degraded => Mood::Degraded,
            Self::Misconfigured | Self::Stalled => Mood::Failed,
            Self::Off => Mood::Off,
        }
    }
}

/// Whether a stream is not well for a fault of this server, and not of its SIEM.
pub fn is_our_fault(stream: &StreamHealth) -> bool {
    let ours = |error: &LastError| error.cause.is_own_failure() || error.cause.is_damage() && stream.lag_events == 0;
    stream.state == HealthState::Degraded && stream.last_error.as_ref().is_some_and(ours)
}

/// The word and the look of a stream, or of a connector by its worst stream.
pub fn badge_of(stream: &StreamHealth) -> Html {
    let word = if is_our_fault(stream) { "Server fault" } else { stream.state.word() };
    show::badge(stream.state.mood(), word)
}
