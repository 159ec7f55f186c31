//! The product's own words as people read them: types of events and severities, the same on every page.

use toktra_siem_core::event::{EventType, Severity};

use super::show::Html;

/// A type of event.
pub fn event_type(event_type: EventType) -> &'static str {
    match event_type {
        EventType::PolicyViolation => "Policy violation",
        EventType::Anomaly => "Anomaly",
        EventType::BudgetAlert => "Budget alert",
        EventType::Lockout => "Lockout",
        EventType::TestConnection => "Test connection",
        EventType::Heartbeat => "Heartbeat",
        EventType::ConnectorAlert => "Connector alert",
    }
}

/// A severity.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "Low",
        Severity::Medium => "Medium",
        Severity::High => "High",
        Severity::Critical => "Critical",
    }
}

/// A severity as a table shows it: marked by the length of a bar as well as by colour.
pub fn severity_mark(of: Severity) -> Html {
    Html::trusted(format!("<span class=\"gravity {}\">{}</span>", of.as_str(), severity(of)))
}
