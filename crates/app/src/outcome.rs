//! Where an event is for each stream, and why: the answer to the question that a missing event raises.

use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::{Delivery, Status};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::filter::{Filter, FilterRule};
use toktra_siem_core::ids::{EventId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::Registry;
use toktra_siem_platform::search::Span;
use toktra_siem_store::{EventRecord, StreamFate, TestEvent, Whereabouts};

use toktra_siem_wire as wire;

use crate::phrase;

/// What `there` says of `event`.
pub(crate) fn of(registry: &Registry, event: &EventRecord, there: Whereabouts) -> wire::EventOutcome {
    let Whereabouts { stream, present, fate, delivery, filter } = there;
    let teller =
        Teller { registry, event, connector: present.as_ref().map(|(connector, _)| connector), delivery, filter };
    let breaker = present.as_ref().map(|(_, record)| &record.breaker);
    let told = teller.tell(&fate, stream.kind, breaker);
    let open_url = present.as_ref().filter(|_| told.outcome == wire::Outcome::Delivered).and_then(|(connector, _)| {
        let span = Span::over([event.event_time, event.accepted_at].into_iter().chain(told.at))?;
        registry.open_url(&connector.settings, stream.kind, &[event.event_id], span)
    });
    let connector =
        present.as_ref().map(|(connector, _)| connector).filter(|_| told.outcome == wire::Outcome::Delivered);
    let search = connector.and_then(|connector| search(registry, connector, stream.kind, event.event_id));
    wire::EventOutcome {
        connector_id: stream.connector,
        connector_name: present.as_ref().map(|(connector, _)| connector.name.clone()),
        former_name: None,
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
        open_url,
        search,
    }
}

/// The search that finds an event that was delivered. Metrics have windows, and no events.
fn search(registry: &Registry, connector: &Connector, kind: StreamKind, event: EventId) -> Option<String> {
    let search = registry.search(&connector.settings, event);
    (kind != StreamKind::Metrics && !search.is_empty()).then_some(search)
}

/// What came of a test delivery's event in the stream that was tried; `connector` as long as it is there.
pub(crate) fn of_test(
    registry: &Registry,
    event: &TestEvent,
    test: &Delivery,
    connector: Option<&Connector>,
) -> wire::EventOutcome {
    let platform = label(registry, connector);
    let when = test.settled_at.map(|at| format!(" at {at}")).unwrap_or_default();
    let said = test.cause.as_ref().map(|cause| format!(" {}", cause.message)).unwrap_or_default();
    let (outcome, why) = match test.status {
        Status::Pending => (wire::Outcome::Pending, "The test is under way.".to_owned()),
        Status::Delivered => (wire::Outcome::Delivered, format!("{platform} took it{when}.{said}")),
        Status::Rejected => (wire::Outcome::Rejected, format!("The test was refused{when}.{said}")),
        Status::Failed | Status::Partial | Status::Split => {
            (wire::Outcome::Failed, format!("The test failed{when}, and is not sent again.{said}"))
        }
    };
    wire::EventOutcome {
        connector_id: test.stream.connector,
        connector_name: connector.map(|connector| connector.name.clone()),
        former_name: None,
        connector_deleted: connector.is_none(),
        stream: test.stream.kind,
        outcome,
        why,
        delivery: Some(test.id),
        at: test.settled_at,
        next_attempt_at: None,
        cause: test.cause.clone().filter(|_| outcome != wire::Outcome::Delivered),
        rule: None,
        search: connector
            .filter(|_| outcome == wire::Outcome::Delivered)
            .and_then(|connector| search(registry, connector, test.stream.kind, event.event_id)),
        open_url: connector.filter(|_| outcome == wire::Outcome::Delivered).and_then(|connector| {
            let span = Span::around(event.event_time);
            registry.open_url(&connector.settings, test.stream.kind, &[event.event_id], span)
        }),
    }
}

/// What there is to say.
struct Told {
    outcome: wire::Outcome,
    why: String,
    at: Option<Timestamp>,
    next_attempt_at: Option<Timestamp>,
    cause: Option<Cause>,
}

impl Told {
    fn new(outcome: wire::Outcome, why: impl Into<String>) -> Self {
        Self { outcome, why: why.into(), at: None, next_attempt_at: None, cause: None }
    }
}

/// What takes a connector's events, in sentences.
fn label(registry: &Registry, connector: Option<&Connector>) -> String {
    let receiver = |connector: &Connector| registry.receiver(connector.settings.platform, &connector.settings.config);
    connector.map_or_else(|| "The platform".to_owned(), receiver)
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
                wire::Outcome::Before,
                "It was accepted before this connector was made, and only later events are forwarded by themselves. A replay can still send it.",
            ),
            StreamFate::Pending { .. } => self.tell_pending(kind, breaker),
            StreamFate::Delivered { .. } => {
                let warning = self.delivery.as_ref().and_then(|delivery| delivery.cause.as_ref());
                let note = warning.map(|cause| format!(" Note: {}", cause.message)).unwrap_or_default();
                let why = format!("{} took it{when}.{note}", self.platform());
                Told { at: settled_at, ..Told::new(wire::Outcome::Delivered, why) }
            }
            StreamFate::Rejected { cause, .. } => {
                let why = format!(
                    "It was refused{when}, and is not sent again by itself. {} You can deliver it again.",
                    cause.message
                );
                Told { at: settled_at, cause: Some(cause.clone()), ..Told::new(wire::Outcome::Rejected, why) }
            }
            StreamFate::Failed { cause, .. } => {
                let then = match (self.connector.is_some_and(|connector| connector.active), breaker) {
                    (false, _) => "It is sent again once the connector is switched on.",
                    (true, Some(open @ Breaker::Open { .. })) if open.next_probe().is_none() => {
                        "It is sent again once somebody saves the connector, or a test delivery arrives."
                    }
                    (true, Some(Breaker::Open { .. })) => "It is sent again by itself once the endpoint takes events.",
                    (true, _) => "It is sent again by itself.",
                };
                let why = format!("Its delivery failed{when}, and it is kept. {} {then}", cause.message);
                Told { at: settled_at, cause: Some(cause.clone()), ..Told::new(wire::Outcome::Failed, why) }
            }
            StreamFate::Expired if kind == StreamKind::Metrics => Told::new(
                wire::Outcome::Expired,
                format!(
                    "It could not be counted within the hour for which {} takes points, or within its retention.",
                    self.platform()
                ),
            ),
            StreamFate::Expired => Told::new(
                wire::Outcome::Expired,
                "It was still undelivered when its retention ended, and its payload was removed.",
            ),
            StreamFate::Damaged => Told::new(
                wire::Outcome::Damaged,
                "Its stored bytes do not match their checksum any more: the disk, or something else that wrote to the database file, has \
                 changed them. It cannot be delivered, and toktra-siem repair cannot bring it back. Its producer can send it again under a \
                 new id.",
            ),
            StreamFate::Discarded if self.connector.is_none() => {
                Told::new(wire::Outcome::Discarded, "The connector was deleted before the event had arrived.")
            }
            StreamFate::Discarded => Told::new(wire::Outcome::Discarded, "A person gave it up."),
            StreamFate::Skipped => Told::new(
                wire::Outcome::Skipped,
                "It came while the connector was off, and was skipped when the connector was switched on from then on only.",
            ),
            StreamFate::Filtered { rule } => Told::new(wire::Outcome::Filtered, self.by_rule(*rule)),
        }
    }

    fn platform(&self) -> String {
        label(self.registry, self.connector)
    }

    fn tell_pending(&self, kind: StreamKind, breaker: Option<&Breaker>) -> Told {
        let pending = |why: String| Told::new(wire::Outcome::Pending, why);
        match self.connector {
            Some(connector) if connector.was_never_on() => {
                return pending(
                    "The connector was not switched on yet. It starts with the first event after that, and skips this one. A replay can still send \
                     it."
                    .to_owned(),
                );
            }
            Some(connector) if !connector.active => {
                return pending("It waits: the connector is switched off.".to_owned());
            }
            _ => {}
        }
        if let Some(delivery) = &self.delivery {
            return self.tell_on_its_way(delivery);
        }
        match breaker {
            Some(breaker @ Breaker::Open { cause, since, .. }) => Told {
                next_attempt_at: breaker.next_probe(),
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
                format!("Attempt {attempts} failed.{cause}{next}")
            }
        };
        let next_attempt_at = delivery.due_at.filter(|_| delivery.awaiting.is_none());
        Told { next_attempt_at, cause: delivery.cause.clone(), ..Told::new(wire::Outcome::Pending, why) }
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
