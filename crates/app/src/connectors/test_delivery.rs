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

/// A test of no stream, which there is not, is our own failure.
fn view_of(tried: &Tried, report: &TestReport) -> Result<wire::Test> {
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
    Ok(Ready { tried: Tried { app: app.clone(), record, temporary_secret }, saved: false, audit })
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
    Ok(Ready { tried: Tried { app: app.clone(), record, temporary_secret: false }, saved, audit })
}

impl Ready {
    /// Runs the test to its end. If the caller goes away, the event is not searched for.
    pub async fn run(self) -> Result<wire::Test> {
        let (request, _told) = self.request();
        view_of(&self.tried, &self.tried.app.parts.dispatch.test(request).await.map_err(not_made)?)
    }

    /// Makes the test in a task of its own, which goes on if nobody listens any more.
    pub fn begin(self) -> Running {
        let (request, told) = self.request();
        let app = self.tried.app.clone();
        let test = tokio::spawn(async move { app.parts.dispatch.test(request).await });
        Running { tried: self.tried, told, test }
    }

    fn request(&self) -> (TestRequest, mpsc::UnboundedReceiver<Progress>) {
        let (sender, told) = mpsc::unbounded_channel();
        let (record, audit) = (self.tried.record.clone(), self.audit.clone());
        (TestRequest { record, saved: self.saved, audit, listener: Listener::new(sender) }, told)
    }
}

/// A test that was begun.
pub struct Running {
    tried: Tried,
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
                Ok(outcome) => Ok(wire::TestLine::Ended { test: view_of(&self.tried, &outcome.map_err(not_made)?)? }),
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
