//! The API as types: what requests, answers and problems look like to whoever speaks with it. No logic.

use schemars::JsonSchema;
use serde::Serialize;

/// What scripts compare. Never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
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
    /// The connector's target is one that the server does not connect to.
    DestinationForbidden,
    /// Too many requests with this key.
    RateLimited,
    /// The intake is full for the moment.
    QueueFull,
    /// The disk budget is used up.
    DiskFull,
    /// The service cannot do it now.
    Unavailable,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 11] = [
        Self::BadRequest,
        Self::Invalid,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
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
            Self::DestinationForbidden => "destination_forbidden",
            Self::RateLimited => "rate_limited",
            Self::QueueFull => "queue_full",
            Self::DiskFull => "disk_full",
            Self::Unavailable => "unavailable",
        }
    }
}
