//! What is said of deliveries, in words.

use toktra_siem_core::delivery::{Status, Trigger};
use toktra_siem_core::ids::{PlatformId, StreamKind};
use toktra_siem_platform::Registry;
use toktra_siem_wire::{Delivery, DeliveryDetail as Detail, DeliveryOutage};

use crate::names::Named;
use crate::show::{Html, Mood, badge, count, counted, millis, utc};

/// The word for a status.
pub fn status_word(status: Status) -> &'static str {
    match status {
        Status::Pending => "Pending",
        Status::Delivered => "Delivered",
        Status::Partial => "Partly delivered",
        Status::Split => "Split",
        Status::Rejected => "Rejected",
        Status::Failed => "Failed",
    }
}

/// How a status looks.
pub fn mood(status: Status) -> Mood {
    match status {
        Status::Pending => Mood::Waiting,
        Status::Delivered => Mood::Good,
        Status::Partial | Status::Split => Mood::Degraded,
        Status::Rejected | Status::Failed => Mood::Failed,
    }
}

/// How a delivery stands, as a badge. What failed and has arrived since, or is an outage that is over, is nothing to look at any more.
pub fn status(delivery: &Delivery) -> Html {
    let (ended, deleted) = delivery.outage.map_or((false, false), |outage| (outage.until.is_some(), outage.deleted));
    let over = delivery.recovered_by.is_some() || ended;
    match delivery.status {
        Status::Failed if deleted => badge(Mood::Off, "Failed, connector deleted"),
        Status::Failed if over => badge(Mood::Off, "Failed, recovered"),
        Status::Partial if delivery.recovered_by.is_some() => badge(Mood::Off, "Partly delivered, recovered"),
        status => badge(mood(status), status_word(status)),
    }
}

/// The word for a trigger.
pub fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Live => "Live",
        Trigger::Test => "Test",
        Trigger::Redelivery => "Redelivery",
        Trigger::Replay => "Replay",
        Trigger::Recovery => "Recovery",
    }
}

/// Why a delivery with this trigger was made.
pub fn why(trigger: Trigger, probe: bool) -> &'static str {
    match trigger {
        Trigger::Live => "Live: events as they arrived",
        Trigger::Test => "Test: somebody pressed Test delivery",
        Trigger::Redelivery => "Redelivery: events that were sent before, or parked",
        Trigger::Replay => "Replay: somebody sent a range of the past again",
        Trigger::Recovery if probe => "Recovery probe: one event, to see whether the SIEM accepts events again",
        Trigger::Recovery => "Recovery: events that had waited while the SIEM took none",
    }
}

/// The word for a stream.
pub fn stream(kind: StreamKind) -> &'static str {
    match kind {
        StreamKind::Events => "Events",
        StreamKind::Logs => "Logs",
        StreamKind::Metrics => "Metrics",
    }
}

/// How long the last request of a delivery took.
pub fn took(delivery: &Delivery) -> String {
    delivery.duration_ms.map_or_else(|| "–".to_owned(), millis)
}

/// What there is to say about how a delivery ended. What an attempt ran into that a later one did not is past.
pub fn remark(delivery: &Delivery) -> Option<String> {
    let overcome = delivery.status == Status::Delivered && delivery.attempt_count > 1;
    let cause = delivery.cause.as_ref().filter(|_| !overcome).map(|cause| cause.message.clone())?;
    Some(delivery.outage.map_or(cause.clone(), |outage| format!("{}. {cause}", lasted(&outage))))
}

/// How long an outage lasted.
fn lasted(outage: &DeliveryOutage) -> String {
    let (since, probes) = (utc(outage.since), counted(outage.probes.into(), "probe", "probes"));
    match outage.until {
        Some(until) if outage.deleted => {
            format!("Down from {since} until the connector was deleted at {}, {probes}", utc(until))
        }
        Some(until) => format!("Down from {since} to {}, {probes}", utc(until)),
        None => format!("Down since {since}, {probes}"),
    }
}

fn events(n: u64) -> String {
    counted(n, "event", "events")
}

/// How a delivery stands, in a sentence or two. Why, its cause says.
pub fn told(detail: &Detail, connector: Option<&Named>) -> String {
    let d = &detail.delivery;
    let siem = connector.map_or("The SIEM", |connector| connector.receiver.as_str());
    let all = if d.event_count == 1 { "the event".to_owned() } else { format!("all {}", events(d.event_count)) };
    let by_itself = if d.event_count == 1 {
        "The event is kept, and sent again by itself"
    } else {
        "The events are kept, and sent again by themselves"
    };
    if let Some(outage) = &d.outage {
        let then = if outage.until.is_some() { "" } else { " It is tried again by itself." };
        return format!(
            "{}.{then} Each probe sent one event, to see whether {siem} takes events again.",
            lasted(outage)
        );
    }
    let attempts = counted(d.attempt_count.into(), "attempt", "attempts");
    match d.status {
        Status::Pending if d.attempt_count == 0 => "The first attempt is under way, or about to start.".to_owned(),
        Status::Pending if d.next_attempt_at.is_none() => {
            format!("{siem} accepted {all} and has not confirmed yet that this is indexed.")
        }
        Status::Pending => {
            format!("Attempt {} did not bring it there. The next one follows by itself.", d.attempt_count)
        }
        Status::Delivered => match d.attempt_count {
            0 | 1 => format!("{siem} took {all}."),
            attempts => format!("{siem} took {all}, at attempt {attempts}."),
        },
        Status::Partial => partly(detail, siem),
        Status::Split => format!(
            "{siem} refused the batch as a whole, so it was cut in two to find what is at fault. The halves are deliveries of their own."
        ),
        Status::Rejected if d.trigger == Trigger::Test => format!("{siem} refused the test."),
        Status::Rejected => format!(
            "{siem} refused {all} for good. You can deliver again once the cause is fixed: what was refused is kept."
        ),
        Status::Failed if d.trigger == Trigger::Test => "The test failed. It is not sent again.".to_owned(),
        Status::Failed if d.rejected > 0 => format!(
            "{siem} refused {all}, and the delivery was given up after {attempts}. You can deliver again once the cause is fixed: what was \
             refused is kept."
        ),
        Status::Failed if d.recovered_by.is_some() => format!("Given up after {attempts}. It arrived later."),
        Status::Failed => {
            let siem = connector.map_or("the SIEM", |connector| connector.receiver.as_str());
            format!("Given up after {attempts}. {by_itself} once {siem} takes events.")
        }
    }
}

fn partly(detail: &Detail, siem: &str) -> String {
    let d = &detail.delivery;
    let rest = d.event_count.saturating_sub(d.delivered + d.rejected);
    let refused = if d.rejected > 0 { format!(" and refused {} for good", count(d.rejected)) } else { String::new() };
    let (others, go, by_itself) = match rest {
        1 => ("other one".to_owned(), "goes", "is kept, and sent again by itself"),
        rest => (format!("other {}", count(rest)), "go", "are kept, and sent again by themselves"),
    };
    let then = match rest {
        0 => String::new(),
        _ if detail.children.is_empty() => format!(" The {others} {by_itself}."),
        _ => format!(" The {others} {go} on in the deliveries below."),
    };
    format!("{siem} took {} of {}{refused}.{then}", count(d.delivered), events(d.event_count))
}

/// Whether a delivery can be sent again, and if not, why. What the API refuses, it says itself; this saves people the try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// It can: what it does, and what may come of it.
    Possible {
        /// What it does.
        does: String,
        /// What may come of it.
        risk: String,
    },
    /// It cannot, for this reason.
    Not(String),
}

/// See [`Again`].
pub fn again(detail: &Detail, connector: Option<&Named>, registry: &Registry) -> Again {
    let d = &detail.delivery;
    let not = |why: &str| Again::Not(why.to_owned());
    let Some(connector) = connector else {
        return not(
            "Its connector was deleted, so there is nowhere to send it. Replay the events on another connector.",
        );
    };
    if d.stream == StreamKind::Metrics {
        let once = registry.descriptor(connector.platform).map_or("", |platform| platform.metrics_once);
        let because = if once.is_empty() { String::new() } else { format!(": {once}") };
        return Again::Not(format!(
            "Metrics are not sent again by hand{because}. The log entries of the same events can be delivered again."
        ));
    }
    if d.trigger == Trigger::Test {
        return not("The event of a test is in no log. Run the test again instead.");
    }
    if d.status == Status::Pending {
        return not("It is still on its way. It can be delivered again once it has come to its end.");
    }
    if !connector.active {
        return Again::Not(format!("{} is switched off. Switch it on, then deliver again.", connector.name));
    }
    let what = if d.event_count == 1 { "the event".to_owned() } else { format!("all {}", events(d.event_count)) };
    let taken = if d.delivered > 0 { ", also what it has taken already" } else { "" };
    Again::Possible {
        does: format!("Sends {what} of this delivery to {} again{taken}.", connector.name),
        risk: risk(registry, connector.platform, &connector.receiver),
    }
}

/// What comes of sending a platform what it has; `name` is what takes the events.
pub fn risk(registry: &Registry, platform: PlatformId, name: &str) -> String {
    if registry.descriptor(platform).is_some_and(|platform| platform.recognises) {
        format!("{name} recognises an event that it has, so nothing will be there twice.")
    } else {
        format!("{name} does not deduplicate: events already delivered will appear twice, with the same event_id.")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use toktra_siem_core::ids::ConnectorId;

    use super::*;

    fn detail(changes: &Value) -> Detail {
        let mut detail = json!({
            "id": "0194693f-6c00-7000-8000-000000000001", "connector_id": uuid::Uuid::nil(), "stream": "events", "trigger": "live",
            "status": "delivered", "event_count": 12, "delivered": 12, "rejected": 0, "attempt_count": 1, "probe": false,
            "parent_id": null, "job_id": null, "created_at": "2025-01-15T10:30:00.000Z", "next_attempt_at": null, "settled_at": null,
            "cause": null, "attempts": [], "children": [], "events": [],
        });
        for (name, value) in changes.as_object().unwrap() {
            detail[name] = value.clone();
        }
        serde_json::from_value(detail).unwrap()
    }

    fn named(platform: PlatformId, active: bool) -> Named {
        let receiver = Registry::standard().label(platform);
        let (id, name) = (ConnectorId(uuid::Uuid::nil()), "Prod".to_owned());
        Named { id, name, platform, receiver, search_place: "In the SIEM", active }
    }

    #[test]
    fn what_failed_is_red_until_it_has_arrived() {
        let id = "0194693f-6c00-7000-8000-000000000002";
        let outage = |until: Option<&str>| json!({"status": "failed", "outage": {"since": "2025-01-15T01:51:00.000Z", "until": until, "probes": 1}});
        let looks = |changes: &Value| status(&detail(changes).delivery).to_string();
        for open in [json!({"status": "failed"}), outage(None), json!({"status": "rejected", "recovered_by": null})] {
            assert!(looks(&open).contains("badge failed"), "{open}");
        }
        for over in [json!({"status": "failed", "recovered_by": id}), outage(Some("2025-01-15T02:20:00.000Z"))] {
            assert!(looks(&over).contains("badge off") && looks(&over).contains("Failed, recovered"), "{over}");
        }
    }

    #[test]
    fn every_state_has_its_sentence() {
        let id = "0194693f-6c00-7000-8000-000000000002";
        let cases = [
            json!({"status": "pending", "attempt_count": 0}),
            json!({"status": "pending", "next_attempt_at": "2025-01-15T10:30:01.000Z"}),
            json!({"status": "pending", "event_count": 1}),
            json!({}),
            json!({"attempt_count": 3, "event_count": 1}),
            json!({"status": "partial", "delivered": 10, "rejected": 2}),
            json!({"status": "partial", "delivered": 10, "rejected": 1, "children": [id]}),
            json!({"status": "partial", "delivered": 1, "event_count": 1_200}),
            json!({"status": "split", "delivered": 0}),
            json!({"status": "rejected", "delivered": 0, "rejected": 12}),
            json!({"status": "rejected", "trigger": "test"}),
            json!({"status": "failed", "attempt_count": 3}),
            json!({"status": "failed", "attempt_count": 1, "event_count": 1}),
            json!({"status": "failed", "recovered_by": id}),
            json!({"status": "failed", "trigger": "test"}),
            json!({"status": "failed", "outage": {"since": "2025-01-15T01:51:00.000Z", "until": null, "probes": 1}}),
            json!({
                "status": "failed", "attempt_count": 87,
                "outage": {"since": "2025-01-15T01:51:00.000Z", "until": "2025-01-15T02:20:00.000Z", "probes": 87},
            }),
        ];
        let splunk = named(PlatformId::fixed("splunk"), true);
        let told: Vec<String> =
            cases.iter().map(|case| format!("{case}\n    {}", told(&detail(case), Some(&splunk)))).collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn what_cannot_be_delivered_again_says_why() {
        let splunk = named(PlatformId::fixed("splunk"), true);
        let cases = [
            (json!({}), None),
            (json!({"stream": "metrics"}), Some(named(PlatformId::fixed("datadog"), true))),
            (json!({"trigger": "test"}), Some(splunk.clone())),
            (json!({"status": "pending"}), Some(splunk.clone())),
            (json!({}), Some(named(PlatformId::fixed("splunk"), false))),
        ];
        for (case, connector) in cases {
            assert!(
                matches!(again(&detail(&case), connector.as_ref(), &Registry::standard()), Again::Not(_)),
                "{case}"
            );
        }
        let Again::Possible { does, risk } = again(&detail(&json!({})), Some(&splunk), &Registry::standard()) else {
            panic!()
        };
        assert_eq!(does, "Sends all 12 events of this delivery to Prod again, also what it has taken already.");
        assert!(risk.contains("twice, with"), "{risk}");
        let lost = detail(&json!({"status": "failed", "delivered": 0, "event_count": 1}));
        let Again::Possible { does, risk } =
            again(&lost, Some(&named(PlatformId::fixed("elasticsearch"), true)), &Registry::standard())
        else {
            panic!()
        };
        assert_eq!(does, "Sends the event of this delivery to Prod again.");
        assert!(risk.contains("nothing will be there twice"), "{risk}");
    }
}
