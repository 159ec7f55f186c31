//! Which events: the options for a connector's filter.

use clap::Args;
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_wire::FilterInput;

use crate::given::word;

/// A filter. Nothing given means all.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FilterOptions {
    /// Severities to forward, separated by commas [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = word::<Severity>(&["low", "medium", "high", "critical"]))]
    severity: Vec<Severity>,
    /// Event types to forward, separated by commas [default: all]
    #[arg(
        long = "event-type",
        value_name = "LIST",
        value_delimiter = ',',
        value_parser = word::<EventType>(&["policy_violation", "anomaly", "budget_alert", "lockout", "test_connection", "heartbeat", "connector_alert"])
    )]
    event_types: Vec<EventType>,
}

impl FilterOptions {
    /// As the API takes it; `None` where nothing was given.
    pub(crate) fn given(&self) -> Option<FilterInput> {
        let any = !self.severity.is_empty() || !self.event_types.is_empty();
        any.then(|| FilterInput { severity: Some(self.severity.clone()), event_types: Some(self.event_types.clone()) })
    }
}
