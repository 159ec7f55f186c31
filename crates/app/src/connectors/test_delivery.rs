//! `POST …/connectors/test` and `…/{id}/test`: does it work? Of settings that are not saved, of a saved connector, or of one with a patch
//! laid over it (product spec, "Test delivery"). Of a saved connector, also with a sample of each type of event, so that people can build
//! rules and dashboards on them: each is a test delivery of its own, one after the other.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use toktra_siem_core::connector::Credentials;
use toktra_siem_core::delivery::SearchOutcome;
use toktra_siem_core::event::EventType;
use toktra_siem_core::event::samples::SAMPLED;
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_dispatch::links::trust;
use toktra_siem_dispatch::test_delivery::{Listener, Progress, Searched, StreamReport, TestReport};
use toktra_siem_egress::{Stage, Trust};
use toktra_siem_store::{AuditEntry, ConnectorRecord, Scope};
use toktra_siem_wire as wire;

use super::{CONNECTOR, Owner, assemble, check_change, check_targets, check_tls, draft, load, patch, view};
use crate::{App, Caller, Object, Refusal, Result, TestFailure, TestRequest, setup};

/// What the audit log calls it.
const ACTION: &str = "connector.test";

fn stage(stage: &Stage) -> wire::TestStage {
    let detail = stage.detail.clone();
    wire::TestStage { stage: stage.name, ok: stage.ok, duration_ms: ms(stage.duration), detail }
}

fn searchable(searched: &Searched) -> wire::Searchable {
    let found = searched.outcome == SearchOutcome::Found;
    wire::Searchable {
        outcome: searched.outcome,
        searchable_after_ms: searched.after.filter(|_| found).map(ms),
        message: searched.message.clone(),
    }
}

/// What is tried.
struct Tried {
    app: App,
    record: ConnectorRecord,
    /// Its signing secret was made for this test, so that no receiver can know it.
    temporary_secret: bool,
    /// The types of which samples are sent; none for a test delivery.
    samples: &'static [EventType],
}

fn stream(tried: &Tried, report: &StreamReport) -> wire::StreamTest {
    let Tried { app, record, .. } = tried;
    wire::StreamTest {
        stream: report.stream,
        delivered: report.delivered,
        delivery_id: report.delivery,
        http_status: report.http_status,
        response: report.response.clone(),
        duration_ms: ms(report.duration),
        stages: report.stages.iter().map(stage).collect(),
        hint: report.hint.clone(),
        cause: report.cause.clone(),
        certificate: report.certificate.clone().map(Box::new),
        searchable: report.searched.as_ref().map(searchable),
        reproduce: (!report.delivered).then(|| setup::reproduce(app, record, report.stream)).flatten(),
    }
}

/// What the tests came to, each by itself where they are samples; the rest is that of the first that failed.
fn view_of(tried: &Tried, reports: &[TestReport]) -> Result<wire::Test> {
    let sample = |(kind, report): (&EventType, &TestReport)| wire::SampleTest {
        event_type: *kind,
        event_id: report.event_id,
        delivered: arrived(report),
        search: report.search.clone(),
        open_url: report.open_url.clone(),
        streams: report.streams.iter().map(|report| stream(tried, report)).collect(),
    };
    let shown = reports.iter().find(|report| !arrived(report)).or(reports.first()).ok_or_else(Refusal::internal)?;
    Ok(wire::Test { samples: tried.samples.iter().zip(reports).map(sample).collect(), ..view_of_one(tried, shown)? })
}

/// Whether the event is in every stream.
fn arrived(report: &TestReport) -> bool {
    report.streams.iter().all(|stream| stream.delivered)
}

/// Whether anything answered.
fn answered(report: &TestReport) -> bool {
    report.streams.iter().any(|stream| stream.delivered || stream.http_status.is_some())
}

/// A test of no stream, which there is not, is our own failure.
fn view_of_one(tried: &Tried, report: &TestReport) -> Result<wire::Test> {
    let TestReport { event_id, search, open_url, streams, closed: _ } = report;
    let shown = streams.iter().find(|stream| !stream.delivered).or(streams.first()).ok_or_else(Refusal::internal)?;
    let stream = |report| stream(tried, report);
    let wire::StreamTest { delivered, http_status, response, duration_ms, stages, hint, certificate, .. } =
        stream(shown);
    let searched = streams.iter().find_map(|stream| stream.searched.as_ref()).map(searchable);
    let (event_id, search, streams) = (*event_id, search.clone(), streams.iter().map(stream).collect());
    Ok(wire::Test {
        event_id,
        delivered,
        http_status,
        response,
        duration_ms,
        stages,
        hint,
        certificate,
        search,
        open_url: open_url.clone(),
        searchable: searched,
        streams,
        temporary_secret: tried.temporary_secret,
        samples: Vec::new(),
    })
}

fn ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A test that can begin.
pub struct Ready {
    tried: Tried,
    saved: bool,
    audit: AuditEntry,
}

/// Settings that are not saved: the body that would make a connector. Nothing is stored but a line of the audit log.
pub async fn unsaved(app: &App, caller: &Caller, object: Object) -> Result<Ready> {
    let org = caller.org(Scope::SiemWrite)?;
    let draft = draft::read(&app.parts.registry, object)?;
    check_targets(app, &draft.settings, &draft.credentials, Trust::default()).await?;
    check_tls(app, &draft.settings, &draft.credentials)?;
    let now = app.now();
    let (record, signing) = assemble(app, org, draft, now);
    let detail = json!({ "saved": false, "connector": view::connector(app, &record) });
    let audit = caller.audit(now, ACTION, &record.connector.name, detail);
    let temporary_secret = signing.is_some_and(|signing| signing.generated);
    Ok(Ready { tried: Tried { app: app.clone(), record, temporary_secret, samples: &[] }, saved: false, audit })
}

/// A saved connector, on or off; if `object` says something beside `samples`, with that laid over it.
pub async fn saved(app: &App, caller: &Caller, id: ConnectorId, mut object: Object) -> Result<Ready> {
    let org = caller.org(Scope::SiemWrite)?;
    let stored = load(app, org, id).await?;
    let samples: &[EventType] = if object.flag("samples") == Some(true) { &SAMPLED } else { &[] };
    let saved = object.is_empty();
    let record = if saved {
        object.finish()?;
        stored.clone()
    } else {
        Owner::of(app, &stored.connector).may_change()?;
        patch::read(&app.parts.registry, object)?.apply(app, &stored)?.over(&stored)
    };
    check_targets(app, &record.connector.settings, &Credentials::none(), trust(&record.connector)).await?;
    check_change(app, &stored, &record)?;
    let detail = if saved {
        json!({ "saved": true })
    } else {
        json!({ "saved": false, "connector": view::connector(app, &record) })
    };
    let audit = caller.audit(app.now(), ACTION, id, detail);
    Ok(Ready { tried: Tried { app: app.clone(), record, temporary_secret: false, samples }, saved, audit })
}

impl Ready {
    /// Runs the test to its end. If the caller goes away, the event is not searched for.
    pub async fn run(self) -> Result<wire::Test> {
        let (listener, _told) = mpsc::unbounded_channel();
        view_of(&self.tried, &self.make(&listener).await.map_err(not_made)?)
    }

    /// Makes the test in a task of its own, which goes on if nobody listens any more.
    pub fn begin(self) -> Running {
        let (listener, told) = mpsc::unbounded_channel();
        let ready = Arc::new(self);
        let making = Arc::clone(&ready);
        let test = tokio::spawn(async move { making.make(&listener).await });
        Running { ready, told, test }
    }

    /// Sends what is to be sent, one after the other, until nothing answers any more.
    async fn make(
        &self,
        listener: &mpsc::UnboundedSender<Progress>,
    ) -> std::result::Result<Vec<TestReport>, TestFailure> {
        let Tried { app, record, samples, .. } = &self.tried;
        let request = |sample| TestRequest {
            record: record.clone(),
            saved: self.saved,
            sample,
            audit: self.audit.clone(),
            listener: Listener::new(listener.clone()),
        };
        let first = app.parts.dispatch.test(request(samples.first().copied())).await?;
        let mut reports = vec![first];
        for kind in samples.iter().skip(1) {
            if !reports.last().is_some_and(answered) {
                break;
            }
            reports.push(app.parts.dispatch.test(request(Some(*kind))).await?);
        }
        Ok(reports)
    }
}

/// A test that was begun.
pub struct Running {
    ready: Arc<Ready>,
    told: mpsc::UnboundedReceiver<Progress>,
    test: JoinHandle<std::result::Result<Vec<TestReport>, TestFailure>>,
}

impl Running {
    /// What it tells next, in order; [`wire::TestLine::Ended`], or a refusal, is the last. It is not to be asked again then.
    pub async fn next(&mut self) -> Result<wire::TestLine> {
        tokio::select! {
            biased;
            Some(progress) = self.told.recv() => Ok(match progress {
                Progress::Begun(event_id) => wire::TestLine::Begun { event_id },
                Progress::Searching(stream, since) => {
                    wire::TestLine::Searching { searching: wire::Searching { stream, after_ms: ms(since) } }
                }
                Progress::Stage(stream, ended) => wire::TestLine::Stage { stream, stage: stage(&ended) },
            }),
            ended = &mut self.test => match ended {
                Ok(outcome) => Ok(wire::TestLine::Ended { test: view_of(&self.ready.tried, &outcome.map_err(not_made)?)? }),
                Err(panicked) => {
                    tracing::error!(error = %panicked, "a test delivery ended abnormally");
                    Err(Refusal::internal())
                }
            },
        }
    }
}

fn not_made(failure: TestFailure) -> Refusal {
    match failure {
        TestFailure::Unusable(why) => Refusal::conflict(format!("This connector cannot be used: {why}.")),
        TestFailure::Busy => Refusal::tests_full(),
        TestFailure::Store(error) => Refusal::store(CONNECTOR, error),
    }
}
