//! A test delivery: one synthetic event to every enabled stream of a connector, past filter and log, by the way that every other delivery
//! takes. Beside the workers: it touches neither their cursors nor their counts, and only its success closes a breaker.
//!
//! A test of a connector as it is saved stands in the history: it is opened before anything is sent and settled afterwards. One of settings
//! that are not saved leaves a line in the audit log and nothing else.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::certificate::Certificate;
use toktra_siem_core::delivery::{self, Attempt, Delivery, Input, Status, Step, Trigger, Window};
use toktra_siem_core::event::samples::{sample, test_event};
use toktra_siem_core::event::{EventType, StoredEvent};
use toktra_siem_core::ids::{DeliveryId, EventId, OrgId, RangeId, StreamId, StreamKind};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use toktra_siem_egress::{Stage, StageName};
use toktra_siem_platform::destination::{Pacing, Receipt, Tally};
use toktra_siem_platform::search::Span;
use toktra_siem_store::{AuditEntry, Change, StoreError, TestEvent, TestOpen, TestSettlement};

use super::Context;
use super::attempt::{Judged, attempt};
use super::link::{Link, SendLimits};

mod search;
mod watched;

pub use search::Searched;
use watched::Watched;
pub use watched::{Listener, Progress};

/// Between two questions whether the event is indexed.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A test that somebody asked for.
pub struct TestOrder {
    /// The ways to the streams that are tried, made for this test: nothing is resolved, connected or prepared yet. At least one.
    pub links: Vec<(StreamKind, Link)>,
    /// Whether it stands in the history and may close breakers: the connector is stored exactly so.
    pub kept: bool,
    /// The type of which a sample is sent instead of the event of a test delivery. Nobody looks for a sample in the SIEM.
    pub sample: Option<EventType>,
    /// The line of the audit log, to which the event's id is added.
    pub audit: AuditEntry,
    /// Who hears of it while it is under way.
    pub listener: Listener,
}

/// What came of a test.
#[derive(Debug, Clone)]
pub struct TestReport {
    /// The event that was sent.
    pub event_id: EventId,
    /// The search that finds it in that SIEM.
    pub search: String,
    /// The address that shows the event to a person, if it was delivered and one is known.
    pub open_url: Option<String>,
    /// By stream, in the platform's order.
    pub streams: Vec<StreamReport>,
    /// A breaker was closed: the workers have to look.
    pub closed: bool,
}

/// What came of a test in one stream.
#[derive(Debug, Clone)]
pub struct StreamReport {
    /// Which.
    pub stream: StreamKind,
    /// The platform has the event.
    pub delivered: bool,
    /// The delivery in the history, where the test stands there.
    pub delivery: Option<DeliveryId>,
    /// The status of the answer, where one came.
    pub http_status: Option<u16>,
    /// The start of the answer, redacted.
    pub response: Option<String>,
    /// From start to end, the confirmation included.
    pub duration: Duration,
    /// What happened on the way.
    pub stages: Vec<Stage>,
    /// What a person should know or do.
    pub hint: Option<String>,
    /// Why it failed, or what its success has to say.
    pub cause: Option<Cause>,
    /// The certificate that was refused, if one was.
    pub certificate: Option<Certificate>,
    /// What came of looking for the event, if the stream has it and events can be looked for there.
    pub searched: Option<Searched>,
}

/// Makes the test: all streams at once, each once.
pub async fn run(ctx: Arc<Context>, order: TestOrder) -> Result<TestReport, StoreError> {
    let TestOrder { links, kept, sample, mut audit, listener } = order;
    let started = Instant::now();
    let Some(connector) = links.first().map(|(_, link)| link.connector.clone()) else {
        return Err(StoreError::NotFound);
    };
    let event = Arc::new(synthetic(&ctx, connector.org, sample)?);
    let deliveries: Vec<Delivery> = links
        .iter()
        .map(|(kind, link)| draft(&ctx, link, StreamId { connector: connector.id, kind: *kind }, &event))
        .collect();
    audit.detail["event_id"] = json!(event.event_id);
    if sample.is_some() {
        audit.detail["sample"] = json!(event.event_type);
    }
    let test_event =
        TestEvent { event_id: event.event_id, event_time: event.event_time, payload: event.payload.clone() };
    let value = TestOpen {
        event: test_event,
        deliveries: if kept { deliveries.clone() } else { Vec::new() },
        node: ctx.node.member().id(),
    };
    ctx.store.open_tests(connector.org, Change { value, audit }).await?;
    listener.tell(|| Progress::Begun(event.event_id));

    let mut running = JoinSet::new();
    for (place, ((_, link), delivery)) in links.into_iter().zip(deliveries).enumerate() {
        let (ctx, event, until, listener) = (ctx.clone(), event.clone(), started + ctx.timing.test, listener.clone());
        let trial = Trial { ctx, link, delivery, event, searches: sample.is_none(), until, listener };
        running.spawn(async move { (place, trial.run(kept).await) });
    }
    let mut streams = Vec::new();
    while let Some(done) = running.join_next().await {
        streams.push(done.map_err(|panicked| abnormal(Box::new(panicked)))?);
    }
    streams.sort_unstable_by_key(|(place, _)| *place);
    let (mut reports, mut closed) = (Vec::new(), false);
    for (_, ended) in streams {
        let (report, by_this) = ended?;
        reports.push(report);
        closed |= by_this;
    }
    let search = ctx.registry.search(&connector.settings, event.event_id);
    let shown = reports.iter().filter(|report| report.delivered).find_map(|report| {
        ctx.registry.open_url(&connector.settings, report.stream, &[event.event_id], Span::around(event.event_time))
    });
    Ok(TestReport { event_id: event.event_id, search, open_url: shown, streams: reports, closed })
}

fn abnormal(source: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    StoreError::Unavailable { context: "making a test delivery", source }
}

/// The event, through the door that every other event comes in by.
fn synthetic(ctx: &Context, org: OrgId, kind: Option<EventType>) -> Result<StoredEvent, StoreError> {
    let now = ctx.clock.now();
    let id = EventId(ctx.random.uuid_v7(now));
    let made = kind.map_or_else(|| test_event(org, now, id), |kind| sample(kind, org, now, id));
    made.map_err(|faults| {
        let faults = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        abnormal(faults.into())
    })
}

/// The delivery of one stream, not sent yet. For metrics a window with the one event; it starts between the windows of the live flow, so
/// that its point replaces none of theirs.
fn draft(ctx: &Context, link: &Link, stream: StreamId, event: &StoredEvent) -> Delivery {
    let now = ctx.clock.now();
    let id = DeliveryId(ctx.random.uuid_v7(now));
    let window = match link.destination.pacing() {
        Pacing::Live | Pacing::Linger { .. } => None,
        Pacing::Windowed { window, .. } => {
            let mut tally = Tally::default();
            tally.add(event.event_type, event.severity);
            Some(Window { start: between(now, window), tally })
        }
    };
    let org = link.connector.org;
    Delivery { window, ..Delivery::new(id, org, stream, Trigger::Test, Members::default(), now) }
}

/// The whole second before `now`, or the one before that where windows start there.
fn between(now: Timestamp, window: Duration) -> Timestamp {
    let (second, window) = (now.as_secs(), i64::try_from(window.as_secs()).unwrap_or(i64::MAX).max(1));
    Timestamp((if second % window == 0 { second - 1 } else { second }) * 1000)
}

/// The test of one stream.
struct Trial {
    ctx: Arc<Context>,
    link: Link,
    delivery: Delivery,
    event: Arc<StoredEvent>,
    /// Whether the event is looked for once it was delivered.
    searches: bool,
    until: Instant,
    listener: Listener,
}

impl Trial {
    /// Sends, judges, waits for the confirmation, settles, and looks for the event; with the report whether that closed the stream's breaker.
    async fn run(mut self, kept: bool) -> Result<(StreamReport, bool), StoreError> {
        let started = Instant::now();
        let stream = self.delivery.stream.kind;
        let direct = self.link.sender.clone();
        let watched = Watched::new(direct.clone(), self.until, stream, self.listener.clone());
        self.link.sender = watched.clone();
        let events = self.delivery.window.is_none().then(|| vec![self.event.clone()]);
        let judged = attempt(&self.ctx, &self.link, &self.delivery, events, self.limits(), &|| true).await;
        let Judged { input, attempt, unprepared, followed: _ } = judged.unwrap_or_else(|failure| {
            tracing::error!(delivery = %self.delivery.id, error = %failure, "a test delivery could not be made");
            Judged {
                input: Input::Unsendable { omitted: Vec::new() },
                attempt: None,
                unprepared: None,
                followed: Vec::new(),
            }
        });
        let (mut stages, certificate) = (watched.stages(), watched.certificate());
        let answered = stages.last().is_some_and(|stage| stage.name == StageName::Http && stage.ok);
        let accepted = Instant::now();
        let mut step = self.decide(&self.delivery, input);
        if let Some(awaiting) = step.delivery.awaiting.clone() {
            let input = self.confirm(awaiting.reference).await;
            step = self.decide(&step.delivery, input);
        }
        if answered {
            let written = written(&step.delivery, accepted.elapsed());
            self.listener.tell(|| Progress::Stage(stream, written.clone()));
            stages.push(written);
        }
        let watched = (stages, certificate);
        let mut report = self.report(&step.delivery, attempt.as_ref(), unprepared, watched, started.elapsed(), kept);
        let closed = if kept { self.settle(step, attempt).await? } else { false };
        if report.delivered && self.searches {
            // What it asks is no stage of the delivery's way, and has a time of its own.
            self.link.sender = direct;
            report.searched = self.look(accepted).await;
            if let Some(stage) = report.searched.as_ref().and_then(Searched::stage) {
                self.listener.tell(|| Progress::Stage(stream, stage.clone()));
                report.stages.push(stage);
            }
        }
        Ok((report, closed))
    }

    /// Per request; what is left of the whole test caps it (see [`Watched`]).
    fn limits(&self) -> SendLimits {
        SendLimits::within(self.ctx.timing.test)
    }

    fn decide(&self, delivery: &Delivery, input: Input) -> Step {
        delivery::step(delivery, input, self.ctx.clock.now(), &self.ctx.policy)
    }

    /// Asks whether the event is indexed until it is, until it never will be, or until the time is over.
    async fn confirm(&self, reference: Receipt) -> Input {
        let refs = [reference];
        let destination = &self.link.destination;
        while let Some(request) = destination.confirm(&refs) {
            if let Ok(reply) = self.link.ask(&request, &*self.ctx.clock, &*self.ctx.random, self.limits()).await {
                let confirmed = destination.confirmed(&reply, &refs);
                if !confirmed.receipts.is_empty() {
                    return Input::Confirmed;
                }
                if let Some(cause) = confirmed.never {
                    return Input::Unconfirmed(cause);
                }
            }
            if Instant::now() + ASK_AGAIN >= self.until {
                break;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        Input::Unconfirmed(destination.unconfirmed(true))
    }

    fn report(
        &self,
        delivery: &Delivery,
        attempt: Option<&Attempt>,
        unprepared: Option<Cause>,
        (stages, certificate): (Vec<Stage>, Option<Certificate>),
        duration: Duration,
        kept: bool,
    ) -> StreamReport {
        let settings = &self.link.connector.settings;
        let cause = delivery.cause.clone();
        let mut said: Vec<String> = Vec::new();
        if let Some(cause) = &cause {
            said.push(cause.message.clone());
            said.extend(self.ctx.registry.advice(settings, &cause.code, certificate.as_ref()));
        }
        let (delivered, http_status) =
            (delivery.status == Status::Delivered, attempt.and_then(|attempt| attempt.http_status));
        match http_status {
            // Where nothing was delivered there is one thing to mend first.
            _ if delivered => {
                said.extend(unprepared.map(|warning| warning.message));
                said.extend(self.ctx.registry.onward(settings).map(str::to_owned));
            }
            Some(408 | 425 | 429 | 500..=599) => said.push("Test again in a moment.".to_owned()),
            _ => {}
        }
        StreamReport {
            stream: delivery.stream.kind,
            delivered,
            delivery: kept.then_some(delivery.id),
            http_status,
            response: attempt.and_then(|attempt| attempt.excerpt.clone()),
            duration,
            stages,
            hint: (!said.is_empty()).then(|| said.join(" ")),
            cause,
            certificate,
            searched: None,
        }
    }

    /// Writes the end down. Where the connector was deleted meanwhile, the store has done so already.
    async fn settle(&self, step: Step, attempt: Option<Attempt>) -> Result<bool, StoreError> {
        let range = RangeId(self.ctx.random.uuid_v7(self.ctx.clock.now()));
        let id = step.delivery.id;
        let settlement = TestSettlement { delivery: step.delivery, attempt, range };
        loop {
            match self.ctx.store.settle_test(settlement.clone()).await {
                Err(failure @ (StoreError::Conflict(_) | StoreError::NotFound)) => {
                    tracing::info!(delivery = %id, why = %failure, "a test was settled by somebody else");
                    return Ok(false);
                }
                Err(failure) if failure.is_retryable() && Instant::now() < self.until => {
                    tracing::warn!(delivery = %id, error = %failure, "the outcome of a test could not be recorded yet");
                    tokio::time::sleep(self.ctx.timing.after_store_failure).await;
                }
                outcome => return outcome,
            }
        }
    }
}

/// What the platform made of the event: the stage that transport cannot tell.
fn written(delivery: &Delivery, duration: Duration) -> Stage {
    let ok = delivery.status == Status::Delivered;
    let detail = match &delivery.cause {
        None => "the platform has the event".to_owned(),
        Some(cause) => cause.message.clone(),
    };
    Stage { name: StageName::Write, ok, duration, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tests_point_lies_between_the_windows() {
        let window = Duration::from_secs(10);
        assert_eq!(between(Timestamp(1_736_937_000_999), window), Timestamp(1_736_936_999_000));
        assert_eq!(between(Timestamp(1_736_937_001_500), window), Timestamp(1_736_937_001_000));
        assert_eq!(between(Timestamp(1_736_937_009_500), window), Timestamp(1_736_937_009_000));
    }
}
