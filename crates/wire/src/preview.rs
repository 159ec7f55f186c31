//! What a filter would forward.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::ids::EventId;
use toktra_siem_core::time::Timestamp;

use crate::connectors::FilterInput;
use crate::word::{Exact, Words};

/// Days that are looked at if the request does not say.
pub const PREVIEW_DAYS: u32 = 7;
/// Days at most: payloads are rarely kept for longer, and older events say little of tomorrow's.
pub const MAX_PREVIEW_DAYS: u32 = 30;

/// What a filter would have done.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FilterPreview")]
pub struct FilterPreview<W: Words = Exact> {
    /// How many days were looked at.
    pub days: u32,
    /// Events accepted since then are counted.
    pub since: Timestamp,
    /// All of them.
    pub total: u64,
    /// Those that the filter would have forwarded.
    pub matching: u64,
    /// By type, those that occurred.
    pub by_event_type: Vec<PreviewOfType<W>>,
    /// By severity, those that occurred.
    pub by_severity: Vec<PreviewOfSeverity<W>>,
    /// The newest that match, at most 20; fewer where more would lie far back among what does not match.
    pub sample: Vec<PreviewSample<W>>,
}

/// What there was of one type.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PreviewOfType")]
pub struct PreviewOfType<W: Words = Exact> {
    /// The type.
    pub event_type: W::Word<EventType>,
    /// Events of it.
    pub total: u64,
    /// Those that the filter would have forwarded.
    pub matching: u64,
}

/// What there was of one severity.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PreviewOfSeverity")]
pub struct PreviewOfSeverity<W: Words = Exact> {
    /// The severity.
    pub severity: W::Word<Severity>,
    /// Events of it.
    pub total: u64,
    /// Those that the filter would have forwarded.
    pub matching: u64,
}

/// An event that matches.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PreviewSample")]
pub struct PreviewSample<W: Words = Exact> {
    /// Its id.
    pub event_id: EventId,
    /// What happened.
    pub event_type: W::Word<EventType>,
    /// How serious it is.
    pub severity: W::Word<Severity>,
    /// The event's own time.
    pub timestamp: Timestamp,
    /// What happened, in words; `null` once its payload is past its retention.
    pub summary: Option<String>,
}

/// A filter to try.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FilterTrial")]
pub struct FilterTrial<F = FilterInput> {
    /// The filter, as a connector has it. Left out, or `null`: everything is forwarded.
    #[serde(default)]
    pub filter: Option<F>,
    /// How many days of the past to look at.
    #[serde(default = "days")]
    #[schemars(range(min = 1, max = MAX_PREVIEW_DAYS))]
    pub days: u32,
}

fn days() -> u32 {
    PREVIEW_DAYS
}
