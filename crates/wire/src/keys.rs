//! API keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toktra_siem_core::ids::{ApiKeyId, OrgId};
use toktra_siem_core::people::Scope;
use toktra_siem_core::time::Timestamp;

use crate::text::{Name, ShownOnce};
use crate::word::{Exact, Words};

/// An API key, without the key itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ApiKey")]
pub struct ApiKey<W: Words = Exact> {
    /// Identifies it; not the key itself.
    pub id: ApiKeyId,
    /// The org that it belongs to; `null` for a platform key.
    pub org_id: Option<OrgId>,
    /// For people.
    pub name: String,
    /// The first characters of the key, by which it can be recognised.
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<W::Word<Scope>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it; `null` where that was not recorded yet.
    pub created_by: Option<String>,
    /// From when on it is refused; `null` for never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute; `null` where it never was.
    pub last_used_at: Option<Timestamp>,
}

/// An API key that was just made.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ApiKeyMade")]
pub struct ApiKeyMade<W: Words = Exact> {
    /// What lists show of it.
    #[serde(flatten)]
    pub record: ApiKey<W>,
    /// The key itself. It is shown here, and never again.
    pub key: ShownOnce,
}

/// That it is revoked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ApiKeyRevoked {
    /// Always `true`.
    pub revoked: bool,
}

/// A new API key.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// For people.
    pub name: Name,
    /// What it may do. With `platform` among them it belongs to no org.
    #[schemars(length(min = 1))]
    pub scopes: Vec<Scope>,
    /// From when on it is refused, in the future; without it, never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}
