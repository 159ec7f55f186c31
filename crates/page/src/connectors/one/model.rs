//! What the API answers about one connector, as far as its page shows it.

use serde::Deserialize;
use serde_json::{Map, Value};
use toktra_siem_core::connector::ManagedBy;
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{ConnectorId, PlatformId, Revision, StreamKind};
use toktra_siem_core::time::Timestamp;

use crate::charts::Bucket;

/// `GET /v1/siem/connectors/{id}`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Connector {
    /// Its id.
    pub(super) id: ConnectorId,
    /// Its name.
    pub(super) name: String,
    /// Its platform.
    pub(super) platform: PlatformId,
    /// Its settings by name; secrets as [`Secret`].
    pub(super) config: Map<String, Value>,
    /// Which events it forwards.
    pub(super) filter: Filter,
    /// What its requests are signed with.
    pub(super) signing_secret: Secret,
    /// Whether it sends.
    pub(super) active: bool,
    /// Who may change it.
    pub(super) managed_by: ManagedBy,
    /// A change of the signing secret that is under way.
    #[serde(default)]
    pub(super) rotation: Option<Rotation>,
    /// Counts the saves.
    pub(super) revision: Revision,
    /// When it was made.
    pub(super) created_at: Timestamp,
    /// When it was last saved.
    pub(super) updated_at: Timestamp,
}

/// Who says what a connector is, as far as it decides what the page offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// People, here.
    People,
    /// The environment: everything but tests is read-only.
    Environment,
    /// The environment did, and does not describe it any more: it can only be deleted. What the environment describes is always on.
    Nobody,
}

impl Connector {
    /// Who says what it is.
    pub(super) fn owner(&self) -> Owner {
        match self.managed_by {
            ManagedBy::Api => Owner::People,
            ManagedBy::Environment if self.active => Owner::Environment,
            ManagedBy::Environment => Owner::Nobody,
        }
    }
}

/// A secret: that it is set, and how it ends.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Secret {
    /// Whether there is one.
    pub(super) set: bool,
    /// Its last four characters, after an ellipsis.
    pub(super) hint: Option<String>,
    /// The variable that it comes from, where it is not the connector's own.
    pub(super) source: Option<String>,
    /// `false` where it cannot be opened, because the encryption key is another.
    pub(super) usable: Option<bool>,
}

/// A change of the signing secret that is under way.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Rotation {
    /// The secret that takes over.
    pub(super) signing_secret_next: Secret,
    /// When it does.
    pub(super) until: Timestamp,
}

/// `GET …/traffic`.
#[derive(Debug, Deserialize)]
pub(super) struct Traffic {
    /// How long a bucket is.
    pub(super) step_seconds: u64,
    /// Its streams.
    pub(super) streams: Vec<StreamTraffic>,
}

/// What flowed through one stream.
#[derive(Debug, Deserialize)]
pub(super) struct StreamTraffic {
    /// Which.
    pub(super) stream: StreamKind,
    /// In even steps, oldest first.
    pub(super) buckets: Vec<Bucket>,
}
