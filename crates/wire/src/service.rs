//! What `/healthz` and `/readyz` answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the service stands.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ServiceStatus {
    /// `ok`, or `ready`.
    pub status: String,
}
