//! The events that the service sends of itself to one connector: that of a test delivery, and a sample of each type that producers post, so
//! that people can build detection rules and dashboards on real shapes. None of them is in the log.
//!
//! A sample has every member that a producer of this type sends; its person, its numbers and its times are made up. Its summary begins with
//! [`MARK`], and its tag `sample` says so to a rule.

use serde::Deserialize;
use serde_json::{Value, json};

use super::intake::{Intake, OrgRule, normalise_own};
use super::{EventType, NewEvent, Severity, StoredEvent};
use crate::fault::FieldFault;
use crate::ids::{EventId, OrgId, Seq};
use crate::time::Timestamp;

/// How the summary of a sample begins.
pub const MARK: &str = "Sample, not a real event: ";

/// The types of which there is a sample: what producers post, in the product spec's order.
pub const SAMPLED: [EventType; 4] =
    [EventType::PolicyViolation, EventType::Anomaly, EventType::BudgetAlert, EventType::Lockout];

/// The event of a test delivery.
pub fn test_event(org: OrgId, now: Timestamp, id: EventId) -> Result<StoredEvent, Vec<FieldFault>> {
    made(org, now, id, &json!({ "event_type": EventType::TestConnection, "severity": Severity::Low }))
}

/// The sample of a type; the event of a test delivery for a type of which there is none.
pub fn sample(kind: EventType, org: OrgId, now: Timestamp, id: EventId) -> Result<StoredEvent, Vec<FieldFault>> {
    let mut event = match kind {
        EventType::PolicyViolation => policy_violation(now),
        EventType::Anomaly => anomaly(),
        EventType::BudgetAlert => budget_alert(),
        EventType::Lockout => lockout(now),
        EventType::TestConnection | EventType::Heartbeat | EventType::ConnectorAlert => {
            return test_event(org, now, id);
        }
    };
    event["event_type"] = json!(kind);
    let summary = event["summary"].as_str().unwrap_or_default();
    event["summary"] = json!(format!("{MARK}{summary}"));
    event["tags"]["sample"] = json!("true");
    made(org, now, id, &event)
}

/// What the stored form of such an event says that it is; that of a test delivery if it says nothing.
pub fn kind_of(payload: &[u8]) -> (EventType, Severity) {
    #[derive(Deserialize)]
    struct Said {
        event_type: EventType,
        severity: Severity,
    }
    serde_json::from_slice(payload)
        .map_or((EventType::TestConnection, Severity::Low), |Said { event_type, severity }| (event_type, severity))
}

fn made(org: OrgId, now: Timestamp, id: EventId, event: &Value) -> Result<StoredEvent, Vec<FieldFault>> {
    let intake = Intake { org: OrgRule::Only(org), now, fresh_id: &|| id };
    let NewEvent { event_id, event_time, event_type, severity, payload, .. } =
        normalise_own(event.to_string().as_bytes(), &intake)?;
    Ok(StoredEvent { org, seq: Seq(0), event_id, event_type, severity, event_time, accepted_at: now, payload })
}

/// The person that samples are about.
const PERSON: &str = "alice@company.example";
const PERSON_ID: &str = "5a3f1c9e-0000-4000-8000-000000000001";

fn policy_violation(now: Timestamp) -> Value {
    json!({
        "severity": "high",
        "user_id": PERSON_ID,
        "user_email": PERSON,
        "provider": "openai",
        "model": "gpt-4",
        "policy_id": "max-tokens",
        "summary": "Policy max-tokens breached: 150000 tokens by alice@company.example against a threshold of 100000 (openai gpt-4)",
        "details": {
            "policy_name": "max-tokens",
            "threshold": 100_000,
            "actual": 150_000,
            "unit": "tokens",
            "scope": "user",
            "subject": PERSON,
            "window": { "kind": "day", "time_zone": "UTC" },
            "requests": 42,
            "crossed_at": now,
        },
        "tags": { "department": "engineering" },
    })
}

fn anomaly() -> Value {
    json!({
        "severity": "medium",
        "user_id": PERSON_ID,
        "user_email": PERSON,
        "provider": "openai",
        "model": "gpt-4",
        "summary": "Unusual usage: 1900000 tokens by alice@company.example, usually 120000 (15.8 times)",
        "details": {
            "policy_name": "unusual-usage",
            "pattern": "unusual_usage",
            "threshold": 4.5,
            "actual": 1_900_000,
            "expected": 120_000,
            "usual_low": 80_000,
            "usual_high": 160_000,
            "unit": "tokens",
            "score": 6.1,
            "ratio": 15.8,
            "history_days": 60,
            "window": "day",
        },
        "tags": { "department": "engineering" },
    })
}

fn budget_alert() -> Value {
    json!({
        "severity": "medium",
        "summary": "Budget Engineering Monthly: 80 % spent, 40012.50 of 50000.00 USD, 11 days left",
        "details": {
            "budget_name": "Engineering Monthly",
            "threshold": 80,
            "threshold_amount": 40_000.0,
            "actual": 40_012.5,
            "spent": 40_012.5,
            "budget": 50_000.0,
            "remaining": 9_987.5,
            "currency": "USD",
            "period": "month",
            "department": "engineering",
        },
        "tags": { "department": "engineering" },
    })
}

fn lockout(now: Timestamp) -> Value {
    json!({
        "severity": "critical",
        "user_id": PERSON_ID,
        "user_email": PERSON,
        "summary": "Access of alice@company.example revoked: terminated (Okta, by it-admin@company.example)",
        "details": {
            "reason": "terminated",
            "actor": "it-admin@company.example",
            "channel": "okta",
            "previous_status": "active",
            "last_activity": now,
            "usage_14d": { "tokens": 812_000, "cost_usd": 31.4, "requests": 190 },
        },
        "tags": { "department": "engineering" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::intake::normalise;

    #[test]
    fn there_is_a_marked_sample_of_every_type_that_is_posted_and_a_producer_could_have_sent_it() {
        let (org, now, id) = (OrgId(uuid::Uuid::nil()), Timestamp(1_736_937_000_000), EventId(uuid::Uuid::nil()));
        let posted: Vec<EventType> = EventType::ALL.iter().copied().filter(|kind| kind.is_posted()).collect();
        assert_eq!(posted, SAMPLED);
        for kind in SAMPLED {
            let event = sample(kind, org, now, id).unwrap();
            let stored: Value = serde_json::from_slice(&event.payload).unwrap();
            assert_eq!(
                (event.event_type, &stored["event_type"], &stored["severity"]),
                (kind, &json!(kind), &json!(event.severity))
            );
            assert!(
                stored["summary"].as_str().unwrap().starts_with(MARK) && stored["tags"]["sample"] == "true",
                "{stored}"
            );
            assert!(!stored["details"].as_object().unwrap().is_empty() && event.payload.len() < 4096);
            assert_eq!(kind_of(&event.payload), (kind, event.severity));
            let again = normalise(&event.payload, &Intake { org: OrgRule::Only(org), now, fresh_id: &|| id }).unwrap();
            assert_eq!(again.payload, event.payload);
        }
        let other = sample(EventType::Heartbeat, org, now, id).unwrap();
        assert_eq!(
            (other.event_type, kind_of(b"")),
            (EventType::TestConnection, (EventType::TestConnection, Severity::Low))
        );
    }
}
