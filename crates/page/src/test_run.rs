//! A test delivery as somebody watches it: the stages tick off as they complete, then what the SIEM said, how to find the event there, and,
//! where it failed, what to change (product spec, "Test delivery"). One panel for settings that are not saved, for a change that is not, and
//! for a connector as it stands.
//!
//! By htmx the panel comes again with each stage, as server-sent events; without script it is a page, once all is over.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use toktra_siem_core::ids::PlatformId;

use super::answer::{self, Result};
use super::connectors::form::draft;
use super::connectors::form::faults::Faults;
use super::connectors::model::Connector;
use super::error::PageError;
use super::form::Form;
use super::frame::{Frame, Section};
use super::live;
use super::show::{self, Html};
use super::visitor::{Asked, Visitor, segment};

mod run;

use run::Line;
pub use run::Run;

const NDJSON: &str = "application/x-ndjson";
/// Longer lines are none of the API's.
const LONGEST: usize = 256 * 1024;

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
}

/// What is tried.
struct Trial {
    path: String,
    body: Option<Value>,
    platform: PlatformId,
    name: String,
    /// Where the connector is, if it is saved.
    connector: Option<String>,
    /// It is tried from the form, whose fields show what is wrong.
    from_form: bool,
}

/// `POST /integrations/siem/test`: settings that are not saved.
pub(super) async fn unsaved(visitor: Visitor, form: Form) -> Result {
    let mut body = draft::creation(visitor.registry(), &form);
    if body["name"] == "" {
        // A name is for the list; settings can be tried before one comes to mind.
        body["name"] = "Test delivery".into();
    }
    let trial = Trial {
        path: "/v1/siem/connectors/test".to_owned(),
        body: Some(body),
        platform: draft::platform(visitor.registry(), form.text("platform")),
        name: form.text("name").to_owned(),
        connector: None,
        from_form: true,
    };
    make(visitor, trial).await
}

/// `POST /integrations/siem/{id}/test`: a connector as it stands, or with what stands in its form laid over it.
pub(super) async fn saved(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    let path = format!("/v1/siem/connectors/{}", segment(&id));
    let stored: Connector = visitor.get(&path).await?;
    let from_form = form.has("revision");
    let body = from_form.then(|| draft::change(visitor.registry(), &form, &stored));
    let connector = Some(format!("/integrations/siem/{}", stored.id));
    let trial = Trial {
        path: format!("{path}/test"),
        body,
        platform: stored.platform,
        name: stored.name,
        connector,
        from_form,
    };
    make(visitor, trial).await
}

async fn make(visitor: Visitor, trial: Trial) -> Result {
    let asked = Asked::new(Method::POST, &trial.path).accepting(NDJSON);
    let asked = match &trial.body {
        Some(body) => asked.with(body),
        None => asked,
    };
    let mut run = Run::begun(visitor.registry(), trial.platform, trial.connector.is_some() && trial.body.is_none());
    let response = match visitor.stream(asked).await {
        Ok(response) => response,
        Err(PageError::Refused(refusal)) if refusal.status.is_client_error() => {
            let faults = Faults::of(visitor.registry(), trial.platform, &refusal);
            run.refuse(faults.sentence("Nothing was sent"));
            return refused(&visitor, &trial, &run, refusal.status, &faults);
        }
        Err(error) => return Err(error),
    };
    if visitor.by_script {
        return Ok(follow(&visitor, run, response, &trial));
    }
    let mut lines = Lines::of(response);
    while let Some(line) = lines.next().await {
        run.take(line);
    }
    run.end();
    page(&visitor, &trial, &run, StatusCode::OK)
}

fn refused(visitor: &Visitor, trial: &Trial, run: &Run, status: StatusCode, faults: &Faults) -> Result {
    if !visitor.by_script {
        return page(visitor, trial, run, status);
    }
    let marks = if trial.from_form { faults.marks(visitor.registry())? } else { Html::default() };
    answer::html(status, &Answer { run, marks })
}

fn page(visitor: &Visitor, trial: &Trial, run: &Run, status: StatusCode) -> Result {
    let title =
        if trial.name.is_empty() { "Test delivery".to_owned() } else { format!("Test delivery · {}", trial.name) };
    let frame = visitor.frame(title, Section::Connectors);
    let page = TestPage { frame, run, connector: trial.connector.clone(), from_form: trial.from_form };
    answer::html(status, &page)
}

/// Answers with the panel whenever something happens. Where nobody listens any more, the test goes on without us.
fn follow(visitor: &Visitor, mut run: Run, response: Response, trial: &Trial) -> Response {
    let (answer, sender) = live::stream();
    let closing = visitor.dashboard.closing.clone();
    // What an earlier try found wrong with the form does not hold any more.
    let cleared =
        if trial.from_form { Faults::cleared(visitor.registry()).unwrap_or_default() } else { Html::default() };
    let told = async move {
        let mut lines = Lines::of(response);
        let mut marks = cleared;
        loop {
            let panel = Panel { run: &run }.render().unwrap_or_default();
            if sender.send(live::event(&format!("{panel}{marks}"))).await.is_err() || run.is_over() {
                return;
            }
            marks = Html::default();
            match lines.next().await {
                Some(line) => run.take(line),
                None => run.end(),
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

/// The lines of an answer, as they come. An answer that is no stream is one line: its outcome.
struct Lines {
    body: axum::body::Body,
    buffer: Vec<u8>,
    whole: bool,
    ended: bool,
}

impl Lines {
    fn of(response: Response) -> Self {
        let media = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let whole = !media.starts_with(NDJSON);
        Self { body: response.into_body(), buffer: Vec::new(), whole, ended: false }
    }

    /// The next one; `None` at the end, and where the answer breaks off.
    async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.cut() {
                if line.is_empty() {
                    continue;
                }
                match serde_json::from_slice(&line) {
                    Ok(line) => return Some(line),
                    // A line that says something new is passed over; the outcome is told by another.
                    Err(error) => tracing::warn!(error = %error, "a line of a test delivery was not understood"),
                }
                continue;
            }
            if self.ended || self.buffer.len() > LONGEST {
                return None;
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(_)) | None => self.ended = true,
            }
        }
    }

    fn cut(&mut self) -> Option<Bytes> {
        if self.whole {
            let all = self.ended && !self.buffer.is_empty();
            return all
                .then(|| Bytes::from([b"{\"test\":".as_slice(), &std::mem::take(&mut self.buffer), b"}"].concat()));
        }
        let end = self.buffer.iter().position(|byte| *byte == b'\n');
        let end = end.or_else(|| self.ended.then_some(self.buffer.len()).filter(|end| *end > 0))?;
        let line: Vec<u8> = self.buffer.drain(..end).collect();
        if !self.buffer.is_empty() {
            self.buffer.remove(0);
        }
        Some(Bytes::from(line))
    }
}
