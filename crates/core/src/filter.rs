//! Which events a connector forwards (product spec, "Filtering events"), and from which sequence on each version of that rule holds.

use serde::{Deserialize, Serialize};

use crate::event::{EventType, Severity};
use crate::ids::{Revision, Seq, StreamKind};

/// A connector's event filter. An absent or empty list means all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Severities to forward; empty forwards all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub severity: Vec<Severity>,
    /// Event types to forward; empty forwards all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_types: Vec<EventType>,
}

/// The rule of a filter by which an event was passed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FilterRule {
    /// Its severity is not among those listed.
    Severity,
    /// Its type is not among those listed.
    EventTypes,
    /// The connector did not send metrics when the event was accepted (`send_metrics` of its `config`).
    SendMetrics,
}

impl Filter {
    /// `None` where the filter forwards such an event, else the first rule that does not.
    pub fn refuses(&self, event_type: EventType, severity: Severity) -> Option<FilterRule> {
        if !self.severity.is_empty() && !self.severity.contains(&severity) {
            return Some(FilterRule::Severity);
        }
        if !self.event_types.is_empty() && !self.event_types.contains(&event_type) {
            return Some(FilterRule::EventTypes);
        }
        None
    }
}

/// What was saved, and from which event on it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterVersion {
    /// The revision of the connector that brought it.
    pub revision: Revision,
    /// The first sequence it applies to: the org's head at the save, plus one.
    pub effective_from: Seq,
    /// The filter itself.
    pub filter: Filter,
    /// Whether the stream of metrics, where there is one, was switched on.
    pub send_metrics: bool,
    /// Whether heartbeats and connector alerts pass the filter by, as they did in all versions that were saved before filters could
    /// name them.
    pub passes_own: bool,
}

impl FilterVersion {
    /// `None` where a stream of this kind takes such an event, else the first rule by which it passes the event by. The switch for
    /// metrics comes first: a stream that is off takes nothing, the service's own events neither.
    pub fn refuses(&self, kind: StreamKind, event_type: EventType, severity: Severity) -> Option<FilterRule> {
        if kind == StreamKind::Metrics && !self.send_metrics {
            return Some(FilterRule::SendMetrics);
        }
        self.filters(event_type, severity)
    }

    /// The same by the filter alone.
    pub fn filters(&self, event_type: EventType, severity: Severity) -> Option<FilterRule> {
        if self.passes_own && event_type.is_own() { None } else { self.filter.refuses(event_type, severity) }
    }
}

/// Every version of a connector's filter, oldest first. A save is never retroactive (invariant D6): an event is judged by the version
/// that was in force when it was accepted, however late it is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilterTimeline(Vec<FilterVersion>);

impl FilterTimeline {
    /// A timeline of `versions`, which are put into order. Of two that take effect at the same sequence the later revision counts.
    pub fn new(mut versions: Vec<FilterVersion>) -> Self {
        versions.sort_by_key(|v| (v.effective_from, v.revision));
        Self(versions)
    }

    /// The newest revision it knows of.
    pub fn revision(&self) -> Option<Revision> {
        self.0.iter().map(|v| v.revision).max()
    }

    /// The version in force for the event with this sequence; the first one for events from before the connector existed (a replay
    /// may reach back further than the connector does).
    pub fn at(&self, seq: Seq) -> Option<&FilterVersion> {
        let after = self.0.partition_point(|v| v.effective_from <= seq);
        self.0.get(after.saturating_sub(1))
    }
}
