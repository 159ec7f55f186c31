//! The demo's tour: four steps above the list of connectors that end in an event delivered by a connector of one's own, and the receivers
//! that one can try it with, their credentials shown. A server that is no demo has none.

use toktra_siem_wire::{Health, HealthState};

/// What the demo shows of itself.
#[derive(Debug, Clone)]
pub struct Tour {
    /// The receivers that connectors can lead to.
    pub receivers: Vec<Receiver>,
    /// The name of the connector that works and can be changed.
    pub practice: String,
    /// The name of the connector that does not work until somebody repairs it.
    pub broken: String,
}

/// A receiver of the demo.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// What it is.
    pub name: String,
    /// Its address.
    pub url: String,
    /// What it accepts: a token or key, which is no secret of anybody's.
    pub credential: String,
}

/// A step, and whether somebody has done it.
pub(crate) struct Step {
    pub(crate) done: bool,
    pub(crate) title: String,
    pub(crate) text: String,
}

fn delivers(health: &Health) -> bool {
    health.streams.iter().any(|stream| stream.last_success.is_some())
}

impl Tour {
    /// The steps, with how the connectors stand; of each, whether the environment describes it.
    pub(crate) fn steps<'h>(&self, connectors: impl Iterator<Item = (&'h Health, bool)>) -> Vec<Step> {
        let (mut arrived, mut repaired, mut added, mut delivered) = (false, false, false, false);
        for (health, fixed) in connectors {
            arrived |= fixed && delivers(health);
            if health.name == self.broken {
                repaired = health.state == HealthState::Healthy && delivers(health);
            } else if !fixed && health.name != self.practice {
                added = true;
                delivered |= delivers(health);
            }
        }
        let step = |done, title: &str, text: String| Step { done, title: title.to_owned(), text };
        let broken = &self.broken;
        vec![
            step(arrived, "See events arrive", "The demo posts events all the time. Open a connector and look at its delivery history.".into()),
            step(
                repaired,
                &format!("Repair “{broken}”"),
                "Its token is wrong. Open it, press Test delivery and read the result. Then press Edit, enter the token of the practice \
                 receiver below, and press Save."
                    .into(),
            ),
            step(
                added,
                "Add a connector of your own",
                "Press Add connector, choose Splunk, enter the URL and the token of the practice receiver below, and press Test delivery. \
                 Then toggle Active and press Save."
                    .into(),
            ),
            step(delivered, "See it deliver", "Wait for the next event, then open your connector: the event is in its delivery history.".into()),
        ]
    }
}

/// Whether nothing of the tour is left to do.
pub(crate) fn are_done(steps: &[Step]) -> bool {
    steps.iter().all(|step| step.done)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn health(name: &str, state: &str, success: bool) -> Health {
        let at = success.then_some("2025-01-15T10:30:00.000Z");
        let rate = json!({ "delivered": 0.0, "failed": 0.0 });
        let stream = json!({
            "stream": "events", "state": state, "sentence": "", "lag_events": 0, "lag_seconds": 0, "oldest_undelivered_at": null,
            "oldest_undelivered_event_id": null, "undelivered": { "total": 0, "waiting": 0, "pending": 0, "failed": 0 },
            "parked": { "failed": 0, "rejected": 0 }, "rates": { "last_5_minutes": rate, "last_hour": rate }, "latency": null,
            "last_success": at, "last_error": null, "warning": null, "since": null, "next_probe_at": null,
        });
        serde_json::from_value(json!({
            "connector_id": "0194693f-6c00-7000-8000-000000000001", "name": name, "platform": "splunk", "active": true, "state": state,
            "sentence": "", "streams": [stream],
        }))
        .unwrap()
    }

    #[test]
    fn each_step_is_ticked_by_what_happened() {
        let tour = Tour { receivers: Vec::new(), practice: "Practice".into(), broken: "Broken".into() };
        let done = |all: &[(Health, bool)]| {
            let steps = tour.steps(all.iter().map(|(health, fixed)| (health, *fixed)));
            steps.iter().map(|step| step.done).collect::<Vec<_>>()
        };
        let mut all = vec![
            (health("Splunk", "healthy", false), true),
            (health("Practice", "healthy", true), false),
            (health("Broken", "misconfigured", false), false),
        ];
        assert_eq!(done(&all), [false, false, false, false]);
        all[0] = (health("Splunk", "healthy", true), true);
        all[2] = (health("Broken", "healthy", true), false);
        assert_eq!(done(&all), [true, true, false, false]);
        all.push((health("Mine", "off", false), false));
        assert_eq!(done(&all), [true, true, true, false]);
        all.push((health("Mine too", "healthy", true), false));
        assert_eq!(done(&all), [true, true, true, true]);
    }
}
