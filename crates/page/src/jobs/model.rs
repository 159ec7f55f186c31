//! What is said of jobs.

use toktra_siem_core::job::JobKind;
use toktra_siem_wire::{Job, JobState};

use crate::show::{Html, Mood, badge, count, counted};

/// What a kind of job is called.
pub fn kind(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Redeliver => "Redelivery",
        JobKind::RedeliverFailed => "Redelivery of what failed",
        JobKind::Replay => "Replay",
        JobKind::Discard => "Discard",
    }
}

/// A job, in words.
pub trait Told {
    /// Whether it goes on.
    fn is_open(&self) -> bool;
    /// Its state as a badge.
    fn badge(&self) -> Html;
    /// Events that another delivery brings, or whose payload is gone.
    fn passed_over(&self) -> u64;
    /// `300 of 1,204 events`.
    fn progress(&self) -> String;
    /// How it stands, in a sentence or two.
    fn sentence(&self) -> String;
}

impl Told for Job {
    fn is_open(&self) -> bool {
        matches!(self.state, JobState::Waiting | JobState::Running)
    }

    fn badge(&self) -> Html {
        match self.state {
            JobState::Waiting => badge(Mood::Waiting, "Waiting"),
            JobState::Running => badge(Mood::Waiting, "Running"),
            JobState::Done if has_losses(self) => badge(Mood::Degraded, "Done, not all arrived"),
            JobState::Done => badge(Mood::Good, "Done"),
            JobState::Cancelled => badge(Mood::Off, "Cancelled"),
        }
    }

    fn passed_over(&self) -> u64 {
        self.processed.saturating_sub(self.delivered + self.rejected + self.failed + self.discarded)
    }

    fn progress(&self) -> String {
        format!("{} of {}", count(self.processed), counted(self.total, "event", "events"))
    }

    fn sentence(&self) -> String {
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
            JobState::Done => arrived(self),
        }
    }
}

/// Whether something of it did not arrive.
fn has_losses(job: &Job) -> bool {
    job.rejected + job.failed > 0
}

fn arrived(job: &Job) -> String {
    if job.delivered == job.total {
        return if job.total == 1 {
            "The event arrived.".to_owned()
        } else {
            format!("All {} events arrived.", count(job.total))
        };
    }
    let mut text = format!("{} of {} arrived.", count(job.delivered), counted(job.total, "event", "events"));
    if has_losses(job) {
        text.push_str(" What did not is parked, with the reason in its delivery.");
    }
    if job.passed_over() > 0 {
        text.push_str(" What was skipped is brought by another delivery, or is not stored any more.");
    }
    text
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
