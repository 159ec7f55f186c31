//! Which events: the options for a connector's filter.

use clap::Args;
use serde_json::{Value, json};

/// A filter. Nothing given means all.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FilterOptions {
    /// Severities to forward, separated by commas [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = ["low", "medium", "high", "critical"])]
    severity: Vec<String>,
    /// Event types to forward, separated by commas [default: all]
    #[arg(
        long = "event-type",
        value_name = "LIST",
        value_delimiter = ',',
        value_parser = ["policy_violation", "anomaly", "budget_alert", "lockout", "test_connection", "heartbeat", "connector_alert"]
    )]
    event_types: Vec<String>,
}

impl FilterOptions {
    /// As the API takes it; `None` where nothing was given.
    pub(crate) fn given(&self) -> Option<Value> {
        let any = !self.severity.is_empty() || !self.event_types.is_empty();
        any.then(|| json!({ "severity": self.severity, "event_types": self.event_types }))
    }
}
