//! The tenants.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::time::Timestamp;

use crate::text::Name;

/// A tenant.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// For people.
    pub name: String,
    /// Whether it is the one that the service made at its first start. It cannot be removed.
    pub is_default: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Bytes that its stored events take on the server's disk, payloads and records. If the disk budget is used up, the org that takes most
    /// gives way first.
    #[serde(default)]
    pub stored_bytes: u64,
}

/// What was given up with an org.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct OrgRemoved {
    /// Undelivered events, counted for each connector that had them.
    pub discarded: u64,
}

/// A new org.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrg {
    /// For people.
    pub name: Name,
    /// The id by which the tenant is known elsewhere; without it one is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<OrgId>,
}

/// What of an org can be changed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrgChange {
    /// For people.
    #[serde(default)]
    #[schemars(with = "Name")]
    pub name: Option<String>,
}
