//! Why a request was not done, as data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toktra_siem_core::fault::FieldFault;

/// What scripts compare. Never renamed. A new version may add codes: for one that you do not know go by the status. 408, 429 and 5xx may be sent
/// again; any other 4xx is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ErrorCode")]
pub enum Code {
    /// The request cannot be read.
    BadRequest,
    /// It can be read, and something in it is not acceptable.
    Invalid,
    /// No valid key.
    Unauthorized,
    /// A valid key that may not do this.
    Forbidden,
    /// There is no such thing, or not for this key.
    NotFound,
    /// Something else stands in the way: a name that is taken, a revision that moved on.
    Conflict,
    /// The idempotency key was used with another request.
    IdempotencyMismatch,
    /// The connector's target is one that the server does not connect to.
    DestinationForbidden,
    /// Too many requests with this key.
    RateLimited,
    /// The intake is full for the moment.
    QueueFull,
    /// The disk budget is used up.
    DiskFull,
    /// The service cannot do it now.
    // Also a code of a newer server: whoever reads it knows the status as well.
    #[serde(other)]
    Unavailable,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 12] = [
        Self::BadRequest,
        Self::Invalid,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::IdempotencyMismatch,
        Self::DestinationForbidden,
        Self::RateLimited,
        Self::QueueFull,
        Self::DiskFull,
        Self::Unavailable,
    ];

    /// The word in answers and figures.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::DestinationForbidden => "destination_forbidden",
            Self::RateLimited => "rate_limited",
            Self::QueueFull => "queue_full",
            Self::DiskFull => "disk_full",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The body of every answer that says why not: one envelope for API, page and command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct Refused {
    /// What went wrong.
    pub error: Problem,
}

/// Why a request was not done, as data: faces make their own sentences of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Problem {
    /// For scripts to compare. Never renamed.
    pub code: Code,
    /// For people: what happened, the likeliest cause, and the next step.
    pub message: String,
    /// What is wrong, place by place; at most the first 100.
    #[serde(default)]
    pub fields: Vec<FieldFault>,
    /// The figures of the message: `retry_after` in seconds, `found` faults, and others that the code's documentation names.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
}
