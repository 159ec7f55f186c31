//! Secrets that can be shown once again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toktra_siem_core::time::Timestamp;
use uuid::Uuid;

use crate::text::ShownOnce;

/// What a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretKind {
    /// An API key.
    ApiKey,
    /// A signing secret of a connector.
    SigningSecret,
    /// A password that was made up for a user.
    Password,
}

/// A secret that can be shown once again.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ShownSecret {
    /// Identifies it; not the secret itself.
    pub id: Uuid,
    /// What it is.
    pub kind: SecretKind,
    /// The id of the API key, connector or user that it belongs to.
    pub object_id: String,
    /// When it was shown.
    pub shown_at: Timestamp,
    /// Until when it can be shown again.
    pub until: Timestamp,
}

/// The list of them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ShownSecrets {
    /// Oldest first.
    pub items: Vec<ShownSecret>,
}

/// A secret that is shown again.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SecretShownAgain {
    /// What lists show of it.
    #[serde(flatten)]
    pub about: ShownSecret,
    /// The secret itself. It is not shown another time.
    pub secret: ShownOnce,
}
