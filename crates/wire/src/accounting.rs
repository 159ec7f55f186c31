//! Where every event is, as numbers that add up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toktra_siem_core::ids::{ConnectorId, StreamKind};

use crate::word::{Exact, Words};

/// The accounts of a connector.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Accounting")]
pub struct Accounting<W: Words = Exact> {
    /// The connector.
    pub connector_id: ConnectorId,
    /// Its name.
    pub name: String,
    /// Its streams.
    pub streams: Vec<StreamAccount<W>>,
    /// Whether `accepted` is the sum of the others in every stream. It always is; anything else is a bug, and logged as one.
    pub adds_up: bool,
}

/// Where the events of a stream are: each of them in exactly one place.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StreamAccount")]
pub struct StreamAccount<W: Words = Exact> {
    /// Which of the connector's streams.
    pub stream: W::Word<StreamKind>,
    /// Events accepted since the connector was made.
    pub accepted: u64,
    /// The platform has them.
    pub delivered: i64,
    /// Refused by the platform for good, and kept with its reason.
    pub rejected: i64,
    /// Parked after their delivery failed. They are sent again.
    pub failed: i64,
    /// Undelivered when their retention (for metrics, the hour for which their platform takes them) ended.
    pub expired: i64,
    /// Undelivered when it was found that their stored bytes do not match their checksum any more. They cannot be delivered.
    #[serde(default)]
    pub damaged: i64,
    /// Given up by a person.
    pub discarded: i64,
    /// Skipped when the connector was switched on "from now".
    pub skipped: i64,
    /// On their way, or waiting for their turn.
    pub pending: i64,
    /// Passed by according to the filter of their time.
    pub filtered: i64,
}
