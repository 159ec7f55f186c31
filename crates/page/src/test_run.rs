//! A test delivery as somebody watches it: the stages tick off as they complete, then what the SIEM said, how to find the event there, and,
//! where it failed, what to change (product spec, "Test delivery"). One panel for settings that are not saved, for a change that is not, and
//! for a connector as it stands.
//!
//! By htmx the panel comes again with each stage, as server-sent events; without script it is a page, once all is over.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};
use toktra_siem_app::connectors::test_delivery::{self, Running};
use toktra_siem_app::{Object, connectors, named};
use toktra_siem_core::connector::ManagedBy;
use toktra_siem_core::delivery::StageName;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::event::samples::{SAMPLED, sample};
use toktra_siem_core::ids::{ConnectorId, EventId, OrgId, PlatformId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::descriptor::Step;
use toktra_siem_platform::{Registry, group};
use toktra_siem_wire::{Connector, TestLine};

use super::answer::{self, Result};
use super::connectors::form::faults::Faults;
use super::connectors::form::fields::{self, Input};
use super::connectors::form::{FINGERPRINT, draft};
use super::form::Form;
use super::frame::{Frame, Section};
use super::live;
use super::show::{self, Html};
use super::visitor::Visitor;
use super::words;

mod run;

pub use run::Run;
use run::{Told as _, Way};

/// The panel, as it stands at this moment.
#[derive(Template)]
#[template(path = "dashboard/test_run.html")]
struct Panel<'a> {
    run: &'a Run,
}

/// What htmx puts into the panel's place, and beside the fields of the form.
#[derive(Template)]
#[template(path = "dashboard/test_run_answer.html")]
struct Answer<'a> {
    run: &'a Run,
    marks: Html,
}

/// The page for whoever has no script.
#[derive(Template)]
#[template(path = "dashboard/test_run_page.html")]
struct TestPage<'a> {
    frame: Frame,
    run: &'a Run,
    /// Where the connector is, if it is saved.
    connector: Option<String>,
    from_form: bool,
    /// What is wrong with the settings: the label of each, and why.
    faults: Vec<(String, String)>,
}

/// What is asked before samples are sent: rules that watch the SIEM take them for real ones.
#[derive(Template)]
#[template(path = "dashboard/samples.html", blocks = ["question"])]
struct SamplesPage {
    frame: Frame,
    path: String,
    receiver: String,
    /// Type and severity of each, and the event.
    samples: Vec<(&'static str, &'static str, String)>,
}

/// The samples as they would be sent; each gets an id of its own then.
fn previewed(org: OrgId, now: Timestamp) -> Vec<(&'static str, &'static str, String)> {
    let made = SAMPLED.into_iter().filter_map(|kind| sample(kind, org, now, EventId(org.0)).ok());
    let shown = |event: StoredEvent| {
        let mut members: Map<String, Value> = serde_json::from_slice(&event.payload).unwrap_or_default();
        members.remove("event_id");
        let text = serde_json::to_string_pretty(&members).unwrap_or_default();
        (words::event_type(event.event_type), words::severity(event.severity), text)
    };
    made.map(shown).collect()
}

/// What is tried.
struct Trial {
    /// The connector, if it is one that is saved.
    stored: Option<ConnectorId>,
    body: Option<Value>,
    /// Samples are sent instead of a test event.
    samples: bool,
    platform: PlatformId,
    /// The settings, as far as they are told.
    config: Map<String, Value>,
    name: String,
    /// It is tried from the form, whose fields show what is wrong.
    from_form: bool,
    managed_by: ManagedBy,
}

/// `POST /integrations/siem/test`: settings that are not saved.
pub(super) async fn unsaved(visitor: Visitor, form: Form) -> Result {
    let mut body = draft::creation(visitor.registry(), &form);
    if body["name"] == "" {
        // A name is for the list; settings can be tried before one comes to mind.
        body["name"] = "Test delivery".into();
    }
    let config = body["config"].as_object().cloned().unwrap_or_default();
    let trial = Trial {
        config,
        stored: None,
        body: Some(body),
        samples: false,
        platform: draft::platform(visitor.registry(), form.text("platform")),
        name: form.text("name").to_owned(),
        from_form: true,
        managed_by: ManagedBy::Api,
    };
    make(visitor, trial).await
}

/// `POST /integrations/siem/{id}/test`: a connector as it stands, or with what stands in its form laid over it.
pub(super) async fn saved(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    let stored = connectors::get(visitor.app(), visitor.caller(), named(&id)?).await?;
    let from_form = form.has("revision");
    if form.text("samples") == "ask" && !from_form {
        let page = SamplesPage {
            frame: visitor.frame(format!("Send samples to {}", stored.name), Section::Connectors),
            path: format!("/integrations/siem/{}", stored.id),
            receiver: visitor.registry().receiver(stored.settings.platform, &stored.settings.config),
            samples: previewed(visitor.session().org.id, visitor.now),
        };
        return if visitor.by_script { answer::html(StatusCode::OK, &page.as_question()) } else { visitor.page(&page) };
    }
    let body = from_form.then(|| draft::change(visitor.registry(), &form, &stored));
    let Connector { id, settings, name, managed_by, .. } = stored;
    let changed = body.as_ref().and_then(|body| body["config"].as_object()).cloned();
    let config = settings.config.into_iter().chain(changed.unwrap_or_default()).collect();
    let (samples, platform) = (form.has("samples") && !from_form, settings.platform);
    let trial = Trial { config, stored: Some(id), body, samples, platform, name, from_form, managed_by };
    make(visitor, trial).await
}

async fn make(visitor: Visitor, trial: Trial) -> Result {
    let (app, caller) = (visitor.app(), visitor.caller());
    let samples = trial.samples.then(|| json!({ "samples": true }));
    let body = trial.body.as_ref().or(samples.as_ref()).map_or_else(Object::empty, Object::of);
    let ready = match trial.stored {
        Some(id) => test_delivery::saved(app, caller, id, body).await,
        None => test_delivery::unsaved(app, caller, body).await,
    };
    let as_stored = trial.stored.filter(|_| trial.body.is_none());
    let way = match (as_stored, trial.managed_by) {
        (_, ManagedBy::Environment) => {
            let field = visitor.registry().field(trial.platform, FINGERPRINT);
            field.map_or(Way::Typed, |field| Way::Variable(field.variable(trial.platform)))
        }
        (Some(id), ManagedBy::Api) => Way::Page(format!("/integrations/siem/{id}/edit")),
        (None, ManagedBy::Api) if visitor.by_script && trial.from_form => Way::Script,
        (None, ManagedBy::Api) => Way::Typed,
    };
    let mut run = Run::begun(visitor.registry(), trial.platform, &trial.config, as_stored.is_some()).with(way);
    // What keeps it from beginning is an answer of its own.
    let begun = match ready {
        Ok(ready) => {
            let mut running = ready.begin();
            running.next().await.map(|first| (first, running))
        }
        Err(refusal) => Err(refusal),
    };
    let (first, mut running) = match begun {
        Ok(begun) => begun,
        Err(refusal) if refusal.status.is_client_error() => {
            let faults = Faults::of(visitor.registry(), trial.platform, &refusal);
            run.refuse(faults.sentence("Nothing was sent"));
            return refused(&visitor, &trial, &run, refusal.status, &faults);
        }
        Err(refusal) => return Err(refusal.into()),
    };
    if visitor.by_script {
        return Ok(follow(&visitor, run, (first, running), trial));
    }
    run.take(first);
    while !run.is_over() {
        run.take(next(&mut running).await);
    }
    page(&visitor, &trial, &run, StatusCode::OK, Vec::new())
}

/// What it tells next; a failure in the middle is told like everything else.
async fn next(running: &mut Running) -> TestLine {
    running.next().await.unwrap_or_else(|refusal| TestLine::Failed(refusal.envelope()))
}

fn refused(visitor: &Visitor, trial: &Trial, run: &Run, status: StatusCode, faults: &Faults) -> Result {
    if !visitor.by_script {
        return page(visitor, trial, run, status, faults.labelled(visitor.registry(), trial.platform));
    }
    let marks = if trial.from_form { faults.marks(visitor.registry())? } else { Html::default() };
    answer::html(status, &Answer { run, marks })
}

fn page(visitor: &Visitor, trial: &Trial, run: &Run, status: StatusCode, faults: Vec<(String, String)>) -> Result {
    let title =
        if trial.name.is_empty() { "Test delivery".to_owned() } else { format!("Test delivery · {}", trial.name) };
    let frame = visitor.frame(title, Section::Connectors);
    let connector = trial.stored.map(|id| format!("/integrations/siem/{id}"));
    let page = TestPage { frame, run, connector, from_form: trial.from_form, faults };
    answer::html(status, &page)
}

/// Which fields of the form a test that failed points at: the address if nothing was reached there, the credential if it was refused.
fn pointed_at(registry: &Registry, trial: &Trial, run: &Run) -> Faults {
    let mut faults = Faults::default();
    let receiver = run.receiver();
    for ended in run.ended().filter(|ended| !ended.delivered) {
        let failed = ended.stages.iter().find(|stage| !stage.ok).map(|stage| stage.stage);
        match (failed, ended.http_status) {
            (Some(StageName::Dns | StageName::Tcp), _) => {
                if let Some(address) = fields::address(registry, trial.platform) {
                    faults.add(
                        &address.name,
                        &format!("{receiver} was not reached at this address: see the test delivery."),
                    );
                }
            }
            (_, Some(401 | 403)) => {
                let is_set = |input: &Input<'_>| {
                    group::member(&trial.config, input.field.name).is_some_and(|value| !value.is_null())
                };
                let secret = |input: &Input<'_>| input.field.is_secret() && input.field.step == Step::Credentials;
                if let Some(used) = fields::of(registry, trial.platform).find(|input| secret(input) && is_set(input)) {
                    faults.add(&used.name, &format!("{receiver} did not accept this: see the test delivery."));
                }
            }
            _ => {}
        }
    }
    faults
}

/// Answers with the panel whenever something happens. Where nobody listens any more, the test goes on without us.
fn follow(visitor: &Visitor, mut run: Run, begun: (TestLine, Running), trial: Trial) -> Response {
    let (answer, sender) = live::stream();
    let closing = visitor.dashboard.closing.clone();
    // What an earlier try found wrong with the form does not hold any more.
    let cleared =
        if trial.from_form { Faults::cleared(visitor.registry()).unwrap_or_default() } else { Html::default() };
    let registry = visitor.registry().clone();
    let told = async move {
        let (first, mut running) = begun;
        let (mut first, mut marks) = (Some(first), cleared);
        loop {
            let panel = Panel { run: &run }.render().unwrap_or_default();
            if sender.send(live::event(&format!("{panel}{marks}"))).await.is_err() || run.is_over() {
                return;
            }
            marks = Html::default();
            run.take(match first.take() {
                Some(first) => first,
                None => next(&mut running).await,
            });
            if run.is_over() && trial.from_form {
                marks = pointed_at(&registry, &trial, &run).marks(&registry).unwrap_or_default();
            }
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = closing.cancelled() => {}
            () = told => {}
        }
    });
    answer
}
