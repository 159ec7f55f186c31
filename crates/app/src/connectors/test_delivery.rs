//! `POST …/connectors/test` and `…/{id}/test`: does it work? Of settings that are not saved, of a saved connector, or of one with a patch
//! laid over it (product spec, "Test delivery").

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use toktra_siem_core::connector::Credentials;
use toktra_siem_core::delivery::SearchOutcome;
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_dispatch::links::trust;
use toktra_siem_dispatch::test_delivery::{Listener, Progress, Searched, StreamReport, TestReport};
use toktra_siem_egress::{Stage, Trust};
use toktra_siem_store::{ConnectorRecord, Scope};
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

fn stream(app: &App, record: &ConnectorRecord, report: &StreamReport) -> wire::StreamTest {
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

/// A test of no stream, which there is not, is our own failure.
fn view_of(app: &App, record: &ConnectorRecord, report: &TestReport) -> Result<wire::Test> {
    let TestReport { event_id, search, open_url, streams, closed: _ } = report;
    let shown = streams.iter().find(|stream| !stream.delivered).or(streams.first()).ok_or_else(Refusal::internal)?;
    let stream = |report| stream(app, record, report);
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
    })
}

fn ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A test that can begin.
pub struct Ready {
    app: App,
    request: TestRequest,
}

/// Settings that are not saved: the body that would make a connector. Nothing is stored but a line of the audit log.
pub async fn unsaved(app: &App, caller: &Caller, object: Object) -> Result<Ready> {
    let org = caller.org(Scope::SiemWrite)?;
    let draft = draft::read(&app.parts.registry, object)?;
    check_targets(app, &draft.settings, &draft.credentials, Trust::default()).await?;
    check_tls(app, &draft.settings, &draft.credentials)?;
    let now = app.now();
    let (record, _) = assemble(app, org, draft, now);
    let detail = json!({ "saved": false, "connector": view::connector(app, &record) });
    let audit = caller.audit(now, ACTION, &record.connector.name, detail);
    Ok(Ready { app: app.clone(), request: TestRequest { record, saved: false, audit, listener: Listener::default() } })
}

/// A saved connector, on or off; if `object` says something, with that laid over it.
pub async fn saved(app: &App, caller: &Caller, id: ConnectorId, object: Object) -> Result<Ready> {
    let org = caller.org(Scope::SiemWrite)?;
    let stored = load(app, org, id).await?;
    let saved = object.is_empty();
    let record = if saved {
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
    Ok(Ready { app: app.clone(), request: TestRequest { record, saved, audit, listener: Listener::default() } })
}

impl Ready {
    /// Makes the test, to its end. Where nobody waits for that any more, the event is not looked for.
    pub async fn run(mut self) -> Result<wire::Test> {
        let (sender, _told) = mpsc::unbounded_channel();
        self.request.listener = Listener::new(sender);
        let record = self.request.record.clone();
        view_of(&self.app, &record, &self.app.parts.dispatch.test(self.request).await.map_err(not_made)?)
    }

    /// Makes the test in a task of its own, which goes on if nobody listens any more.
    pub fn begin(mut self) -> Running {
        let (sender, told) = mpsc::unbounded_channel();
        self.request.listener = Listener::new(sender);
        let (app, record) = (self.app.clone(), self.request.record.clone());
        let test = tokio::spawn(async move { self.app.parts.dispatch.test(self.request).await });
        Running { app, record, told, test }
    }
}

/// A test that was begun.
pub struct Running {
    app: App,
    record: ConnectorRecord,
    told: mpsc::UnboundedReceiver<Progress>,
    test: JoinHandle<std::result::Result<TestReport, TestFailure>>,
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
                Ok(outcome) => Ok(wire::TestLine::Ended {
                    test: view_of(&self.app, &self.record, &outcome.map_err(not_made)?)?,
                }),
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
