//! What `/healthz` and `/readyz` answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the service stands.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ServiceStatus {
    /// `ok`, or `ready`.
    pub status: String,
    /// What there is not enough of, so that new events are refused with 507 while deliveries go on: `budget`, the disk budget, or
    /// `file_system`. Absent while events are taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortage: Option<String>,
    /// What of the service stands still although events are taken in: `dispatcher`, the part that starts and ends all deliveries, or
    /// `connectors`, of which some are stalled. Absent while everything moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled: Option<String>,
}
