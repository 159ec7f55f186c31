//! What the API tells of jobs, and what is said of them.

use serde::Deserialize;
use toktra_siem_core::ids::{ConnectorId, DeliveryId, JobId};
use toktra_siem_core::job::JobKind;
use toktra_siem_core::time::Timestamp;

use crate::show::{Html, Mood, badge, count, counted};

/// A job.
#[derive(Debug, Clone, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What was asked for.
    pub kind: JobKind,
    /// Of which connector.
    pub connector_id: ConnectorId,
    /// The delivery whose events are sent again.
    pub delivery_id: Option<DeliveryId>,
    /// Events accepted at or after this.
    pub from: Option<Timestamp>,
    /// Events accepted before this.
    pub to: Option<Timestamp>,
    /// How it stands.
    pub state: JobState,
    /// While it waits: what for.
    pub reason: Option<String>,
    /// How many events it is about.
    pub total: u64,
    /// How many of them have come to their end.
    pub processed: u64,
    /// Taken by the SIEM.
    pub delivered: u64,
    /// Refused for good.
    pub rejected: u64,
    /// Not taken after three attempts.
    pub failed: u64,
    /// Given up.
    pub discarded: u64,
    /// Who asked for it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was done or cancelled.
    pub finished_at: Option<Timestamp>,
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Something stands in its way.
    Waiting,
    /// It is being worked off.
    Running,
    /// Every event has come to its end.
    Done,
    /// Somebody ended it.
    Cancelled,
}

/// What a kind of job is called.
pub fn kind(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Redeliver => "Redelivery",
        JobKind::RedeliverFailed => "Redelivery of what failed",
        JobKind::Replay => "Replay",
        JobKind::Discard => "Discard",
    }
}

impl Job {
    /// Whether it goes on.
    pub fn is_open(&self) -> bool {
        matches!(self.state, JobState::Waiting | JobState::Running)
    }

    /// Whether something of it did not arrive.
    fn has_losses(&self) -> bool {
        self.rejected + self.failed > 0
    }

    /// Its state as a badge.
    pub fn badge(&self) -> Html {
        match self.state {
            JobState::Waiting => badge(Mood::Waiting, "Waiting"),
            JobState::Running => badge(Mood::Waiting, "Running"),
            JobState::Done if self.has_losses() => badge(Mood::Degraded, "Done, not all arrived"),
            JobState::Done => badge(Mood::Good, "Done"),
            JobState::Cancelled => badge(Mood::Off, "Cancelled"),
        }
    }

    /// Events that another delivery brings, or whose payload is gone.
    pub fn passed_over(&self) -> u64 {
        self.processed.saturating_sub(self.delivered + self.rejected + self.failed + self.discarded)
    }

    /// `300 of 1,204 events`.
    pub fn progress(&self) -> String {
        format!("{} of {}", count(self.processed), counted(self.total, "event", "events"))
    }

    /// How it stands, in a sentence or two.
    pub fn sentence(&self) -> String {
        match self.state {
            JobState::Waiting => self.reason.clone().unwrap_or_else(|| "Something stands in its way.".to_owned()),
            JobState::Running => "It is under way. You can leave this page; it goes on.".to_owned(),
            JobState::Cancelled => {
                format!("It was cancelled after {}. What was on its way then still came to its end.", self.progress())
            }
            JobState::Done if self.total == 0 => "There was nothing to do: no event matched.".to_owned(),
            JobState::Done if self.kind == JobKind::Discard => {
                format!("{} given up.", counted(self.discarded, "event was", "events were"))
            }
            JobState::Done => self.arrived(),
        }
    }

    fn arrived(&self) -> String {
        if self.delivered == self.total {
            return if self.total == 1 {
                "The event arrived.".to_owned()
            } else {
                format!("All {} events arrived.", count(self.total))
            };
        }
        let mut text = format!("{} of {} arrived.", count(self.delivered), counted(self.total, "event", "events"));
        if self.has_losses() {
            text.push_str(" What did not is parked, with the reason in its delivery.");
        }
        if self.passed_over() > 0 {
            text.push_str(" What was passed over is brought by another delivery, or is not stored any more.");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(changes: &Value) -> Job {
        let mut job = json!({
            "id": "0194693f-6c00-7000-8000-000000000001", "kind": "replay", "connector_id": uuid::Uuid::nil(), "delivery_id": null,
            "from": null, "to": null, "state": "done", "reason": null, "total": 1204, "processed": 1204, "delivered": 1204, "rejected": 0,
            "failed": 0, "discarded": 0, "created_by": "Ada", "created_at": "2025-01-15T10:30:00.000Z", "finished_at": null,
        });
        for (name, value) in changes.as_object().unwrap() {
            job[name] = value.clone();
        }
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn every_state_has_its_sentence() {
        let cases = [
            json!({"state": "waiting", "reason": "The connector is switched off.", "processed": 0, "delivered": 0}),
            json!({"state": "running", "processed": 300, "delivered": 300}),
            json!({"state": "cancelled", "processed": 300, "delivered": 300}),
            json!({}),
            json!({"total": 1, "processed": 1, "delivered": 1}),
            json!({"delivered": 1200, "rejected": 4}),
            json!({"delivered": 1200}),
            json!({"delivered": 1190, "failed": 10, "rejected": 1}),
            json!({"total": 0, "processed": 0, "delivered": 0}),
            json!({"kind": "discard", "delivered": 0, "discarded": 1204}),
        ];
        let told: Vec<String> = cases.iter().map(|case| format!("{case}\n    {}", job(case).sentence())).collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn what_is_in_no_other_count_was_passed_over() {
        assert_eq!(job(&json!({"delivered": 1190, "failed": 10})).passed_over(), 4);
        assert_eq!(job(&json!({"processed": 3, "delivered": 4})).passed_over(), 0);
    }
}
