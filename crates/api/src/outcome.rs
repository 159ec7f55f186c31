//! Where an event is for each stream, and why: the answer to the question that a missing event raises.

use schemars::JsonSchema;
use serde::Serialize;
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::{Delivery, Status};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::filter::{Filter, FilterRule};
use toktra_siem_core::ids::{ConnectorId, DeliveryId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::Registry;
use toktra_siem_store::{EventRecord, StreamFate, Whereabouts};

use super::phrase;

/// Where an event can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// It was accepted before the connector was made.
    Before,
    /// On its way, or waiting for its turn. What waits is pending even where the filter will pass it by.
    Pending,
    /// The platform has it.
    Delivered,
    /// The platform refused it for good.
    Rejected,
    /// Parked after its delivery failed; it is sent again.
    Failed,
    /// Undelivered when its retention (for metrics, the hour for which their platform takes them) ended.
    Expired,
    /// Given up by a person.
    Discarded,
    /// Passed over when the connector was switched on "from now".
    Skipped,
    /// Passed by according to the filter of its time.
    Filtered,
}

/// What one stream did with an event.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EventOutcome")]
pub(super) struct OutcomeView {
    /// The connector.
    connector_id: ConnectorId,
    /// The connector's name; `null` once it was deleted.
    connector_name: Option<String>,
    /// Its connector was deleted; this is what had become of the event by then.
    connector_deleted: bool,
    /// Which of its streams.
    stream: StreamKind,
    /// Where it is.
    outcome: Outcome,
    /// Why, in a sentence or two for a person.
    why: String,
    /// The delivery that holds it, brought it, was refused, or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<DeliveryId>,
    /// When it came to this outcome, where that is known: delivered, rejected, failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    /// When the next attempt is due, while it is pending in a delivery; when the breaker's next probe is due, while it waits behind that.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Timestamp>,
    /// Why it was rejected, failed, or waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
    /// The rule of the filter by which it was passed by.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<FilterRule>,
}

impl OutcomeView {
    /// What `there` says of `event`.
    pub(super) fn of(registry: &Registry, event: &EventRecord, there: Whereabouts) -> Self {
        let Whereabouts { stream, present, fate, delivery, filter } = there;
        let teller =
            Teller { registry, event, connector: present.as_ref().map(|(connector, _)| connector), delivery, filter };
        let breaker = present.as_ref().map(|(_, record)| &record.breaker);
        let told = teller.tell(&fate, stream.kind, breaker);
        Self {
            connector_id: stream.connector,
            connector_name: present.as_ref().map(|(connector, _)| connector.name.clone()),
            connector_deleted: present.is_none(),
            stream: stream.kind,
            outcome: told.outcome,
            why: told.why,
            delivery: fate.delivery(),
            at: told.at,
            next_attempt_at: told.next_attempt_at,
            cause: told.cause,
            rule: match fate {
                StreamFate::Filtered { rule } => Some(rule),
                _ => None,
            },
        }
    }
}

impl OutcomeView {
    /// What came of a test delivery's event in the stream that was tried; `connector` as long as it is there.
    pub(super) fn of_test(registry: &Registry, test: &Delivery, connector: Option<&Connector>) -> Self {
        let platform = label(registry, connector);
        let when = test.settled_at.map(|at| format!(" at {at}")).unwrap_or_default();
        let said = test.cause.as_ref().map(|cause| format!(" {}", cause.message)).unwrap_or_default();
        let (outcome, why) = match test.status {
            Status::Pending => (Outcome::Pending, "The test is under way.".to_owned()),
            Status::Delivered => (Outcome::Delivered, format!("{platform} took it{when}.{said}")),
            Status::Rejected => (Outcome::Rejected, format!("The test was refused{when}.{said}")),
            Status::Failed | Status::Partial | Status::Split => {
                (Outcome::Failed, format!("The test failed{when}, and is not sent again.{said}"))
            }
        };
        Self {
            connector_id: test.stream.connector,
            connector_name: connector.map(|connector| connector.name.clone()),
            connector_deleted: connector.is_none(),
            stream: test.stream.kind,
            outcome,
            why,
            delivery: Some(test.id),
            at: test.settled_at,
            next_attempt_at: None,
            cause: test.cause.clone().filter(|_| outcome != Outcome::Delivered),
            rule: None,
        }
    }
}

/// What there is to say.
struct Told {
    outcome: Outcome,
    why: String,
    at: Option<Timestamp>,
    next_attempt_at: Option<Timestamp>,
    cause: Option<Cause>,
}

impl Told {
    fn new(outcome: Outcome, why: impl Into<String>) -> Self {
        Self { outcome, why: why.into(), at: None, next_attempt_at: None, cause: None }
    }
}

/// What a connector's platform is called.
fn label(registry: &Registry, connector: Option<&Connector>) -> String {
    connector.map_or_else(|| "The platform".to_owned(), |connector| registry.label(connector.settings.platform))
}

struct Teller<'a> {
    registry: &'a Registry,
    event: &'a EventRecord,
    connector: Option<&'a Connector>,
    delivery: Option<Delivery>,
    filter: Option<Filter>,
}

impl Teller<'_> {
    fn tell(&self, fate: &StreamFate, kind: StreamKind, breaker: Option<&Breaker>) -> Told {
        let settled_at = self.delivery.as_ref().and_then(|delivery| delivery.settled_at);
        let when = settled_at.map(|at| format!(" at {at}")).unwrap_or_default();
        match fate {
            StreamFate::Before => Told::new(
                Outcome::Before,
                "It was accepted before this connector was made, and only later events are forwarded by themselves. A replay can still send it.",
            ),
            StreamFate::Pending { .. } => self.tell_pending(kind, breaker),
            StreamFate::Delivered { .. } => {
                let warning = self.delivery.as_ref().and_then(|delivery| delivery.cause.as_ref());
                let note = warning.map(|cause| format!(" Note: {}", cause.message)).unwrap_or_default();
                let why = format!("{} took it{when}.{note}", self.platform());
                Told { at: settled_at, ..Told::new(Outcome::Delivered, why) }
            }
            StreamFate::Rejected { cause, .. } => {
                let why = format!("It was refused for good{when}. {} A redelivery can still be tried.", cause.message);
                Told { at: settled_at, cause: Some(cause.clone()), ..Told::new(Outcome::Rejected, why) }
            }
            StreamFate::Failed { cause, .. } => {
                let then = match (self.connector.is_some_and(|connector| connector.active), breaker) {
                    (false, _) => "It is sent again once the connector is switched on.",
                    (true, Some(Breaker::Open { .. })) => "It is sent again by itself once the endpoint takes events.",
                    (true, _) => "It is sent again by itself.",
                };
                let why = format!("Its delivery failed{when}, and it is kept. {} {then}", cause.message);
                Told { at: settled_at, cause: Some(cause.clone()), ..Told::new(Outcome::Failed, why) }
            }
            StreamFate::Expired if kind == StreamKind::Metrics => Told::new(
                Outcome::Expired,
                format!(
                    "It could not be counted within the hour for which {} takes points, or within its retention.",
                    self.platform()
                ),
            ),
            StreamFate::Expired => Told::new(
                Outcome::Expired,
                "It was still undelivered when its retention ended, and its payload was removed.",
            ),
            StreamFate::Discarded if self.connector.is_none() => {
                Told::new(Outcome::Discarded, "The connector was deleted before the event had arrived.")
            }
            StreamFate::Discarded => Told::new(Outcome::Discarded, "A person gave it up."),
            StreamFate::Skipped => Told::new(
                Outcome::Skipped,
                "It came while the connector was off, and was passed over when the connector was switched on from then on only.",
            ),
            StreamFate::Filtered { rule } => Told::new(Outcome::Filtered, self.by_rule(*rule)),
        }
    }

    fn platform(&self) -> String {
        label(self.registry, self.connector)
    }

    fn tell_pending(&self, kind: StreamKind, breaker: Option<&Breaker>) -> Told {
        let pending = |why: String| Told::new(Outcome::Pending, why);
        if self.connector.is_some_and(|connector| !connector.active) {
            return pending("It waits: the connector is switched off.".to_owned());
        }
        if let Some(delivery) = &self.delivery {
            return self.tell_on_its_way(delivery);
        }
        match breaker {
            Some(Breaker::Open { cause, since, probe_at, .. }) => Told {
                next_attempt_at: Some(*probe_at),
                cause: Some(cause.clone()),
                ..pending(format!(
                    "It waits with the events after it: the endpoint has taken nothing since {since} ({}). {}",
                    phrase::of(cause, self.connector.map(|connector| connector.settings.platform)),
                    cause.message
                ))
            },
            _ if kind == StreamKind::Metrics => pending(
                "It waits until its window of ten seconds is over, and the windows before it are sent.".to_owned(),
            ),
            _ => pending("It waits for its turn behind the events before it.".to_owned()),
        }
    }

    fn tell_on_its_way(&self, delivery: &Delivery) -> Told {
        let why = match (&delivery.awaiting, delivery.attempts, delivery.due_at) {
            (Some(awaiting), _, _) => format!(
                "{} accepted it at {} and has not confirmed yet that it is indexed.",
                self.platform(),
                awaiting.since
            ),
            (None, 0, _) => "It is in a delivery whose first attempt is under way or about to start.".to_owned(),
            (None, attempts, due) => {
                let cause = delivery.cause.as_ref().map(|cause| format!(" {}", cause.message)).unwrap_or_default();
                let next = due.map(|at| format!(" The next one is due at {at}.")).unwrap_or_default();
                format!("Attempt {attempts} did not bring it there.{cause}{next}")
            }
        };
        let next_attempt_at = delivery.due_at.filter(|_| delivery.awaiting.is_none());
        Told { next_attempt_at, cause: delivery.cause.clone(), ..Told::new(Outcome::Pending, why) }
    }

    fn by_rule(&self, rule: FilterRule) -> String {
        let filter = self.filter.clone().unwrap_or_default();
        let listed = |words: Vec<&str>| words.join(", ");
        match rule {
            FilterRule::Severity => format!(
                "The filter of its time forwards the severities {}; this event is {}.",
                listed(filter.severity.iter().map(|s: &Severity| s.as_str()).collect()),
                self.event.severity
            ),
            FilterRule::EventTypes => format!(
                "The filter of its time forwards the event types {}; this event is {}.",
                listed(filter.event_types.iter().map(|t: &EventType| t.as_str()).collect()),
                self.event.event_type
            ),
            FilterRule::SendMetrics => "The connector did not send metrics when it was accepted.".to_owned(),
        }
    }
}
