//! What the API answers about connectors, as far as the list and the form show it.

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};
use toktra_siem_core::connector::ManagedBy;
use toktra_siem_core::event::Severity;
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{ConnectorId, PlatformId, Revision};

use crate::charts::Bucket;

/// `GET /v1/siem/connectors/{id}`.
#[derive(Debug, Clone, Deserialize)]
pub struct Connector {
    /// Its id.
    pub id: ConnectorId,
    /// Its name.
    pub name: String,
    /// Its platform.
    pub platform: PlatformId,
    /// Its settings by name; secrets as [`Secret`].
    pub config: Map<String, Value>,
    /// Which events it forwards.
    pub filter: Filter,
    /// What its requests are signed with.
    pub signing_secret: Secret,
    /// Whether it is switched on.
    pub active: bool,
    /// Who may change it.
    pub managed_by: ManagedBy,
    /// Counts the saves.
    pub revision: Revision,
}

/// A secret: that it is set, and how it ends.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Secret {
    /// Whether there is one.
    #[serde(default)]
    pub set: bool,
    /// How it ends.
    #[serde(default)]
    pub hint: Option<String>,
    /// Itself, in the one answer that made it.
    #[serde(default)]
    pub value: Option<SecretString>,
    /// The variable that it comes from, where it is not the connector's own.
    #[serde(default)]
    pub source: Option<String>,
    /// `false` where it cannot be opened any more.
    #[serde(default)]
    pub usable: Option<bool>,
}

impl Secret {
    /// What is said of it beside its field: it is never shown.
    pub fn told(&self) -> Option<String> {
        if !self.set {
            return None;
        }
        Some(match (&self.hint, &self.source, self.usable) {
            (_, _, Some(false)) => {
                "Set, but it does not open: the encryption key is another. Enter it again.".to_owned()
            }
            (_, Some(source), _) => {
                format!("{source} of the environment is used. Enter one to give this connector its own.")
            }
            (Some(hint), ..) => format!("Set, ends in {hint}. Leave it empty to keep it."),
            (None, ..) => "Set. Leave it empty to keep it.".to_owned(),
        })
    }
}

impl Connector {
    /// The secret that is this member of its settings.
    pub fn secret(&self, member: &str) -> Option<Secret> {
        let value = self.config.get(member)?;
        serde_json::from_value(value.clone()).ok().filter(|secret: &Secret| secret.set)
    }
}

/// `GET /v1/siem/connectors`, for who may change them.
#[derive(Debug, Clone, Deserialize)]
pub struct Owned {
    /// Its id.
    pub id: ConnectorId,
    /// Who may change it.
    pub managed_by: ManagedBy,
}

/// `POST /v1/siem/filter/preview`.
#[derive(Debug, Clone, Deserialize)]
pub struct Preview {
    /// How many days were looked at.
    pub days: u32,
    /// The events of that time.
    pub total: u64,
    /// Those that would have been forwarded.
    pub matching: u64,
    /// By severity.
    pub by_severity: Vec<OfSeverity>,
}

/// What there was of one severity.
#[derive(Debug, Clone, Deserialize)]
pub struct OfSeverity {
    /// Which.
    pub severity: Severity,
    /// All.
    pub total: u64,
    /// Those that would have been forwarded.
    pub matching: u64,
}

/// `GET /v1/siem/traffic`: what flowed through one connector.
#[derive(Debug, Clone, Deserialize)]
pub struct Traffic {
    /// Which.
    pub connector_id: ConnectorId,
    /// Its streams.
    pub streams: Vec<StreamTraffic>,
}

/// What flowed through one stream.
#[derive(Debug, Clone, Deserialize)]
pub struct StreamTraffic {
    /// In even steps, oldest first.
    pub buckets: Vec<Bucket>,
}
