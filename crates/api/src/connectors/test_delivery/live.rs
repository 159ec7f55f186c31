//! A test as it happens: a line for each thing, and the answer that it comes to as the last one.

use axum::response::Response;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use toktra_siem_core::ids::{EventId, StreamKind};
use toktra_siem_dispatch::test_delivery::{Listener, Progress, TestReport};

use super::{StageView, TestView, not_made};
use crate::accept::NDJSON;
use crate::answer;
use crate::error::{ApiError, Result};
use crate::state::{AppState, TestFailure, TestRequest};
use toktra_siem_wire::Refused;

/// Lines that wait for a client that reads slowly.
const AHEAD: usize = 16;

/// A line of a test that is told as it happens.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "TestLine")]
pub(super) enum Line<'a> {
    /// The first: the test is under way.
    Begun {
        /// The event that is sent.
        event_id: EventId,
    },
    /// A stage has ended. Where an endpoint is prepared before the event is sent, a stage comes again, with all that it took so far.
    Stage {
        /// In which stream.
        stream: StreamKind,
        /// The stage.
        stage: StageView<'a>,
    },
    /// The last: what came of the test.
    Ended {
        /// What is answered without `Accept: application/x-ndjson`.
        test: TestView<'a>,
    },
    /// The last, where the service failed in the middle: what came of the test is not known.
    Failed(Refused),
}

/// A test that was begun, or is about to.
struct Running {
    told: mpsc::UnboundedReceiver<Progress>,
    test: JoinHandle<std::result::Result<TestReport, TestFailure>>,
}

/// What happened next.
enum Next {
    Progress(Progress),
    Ended(Result<TestReport>),
}

impl Running {
    /// What it has told, in order, and after that its end. Not to be asked again then.
    async fn next(&mut self) -> Next {
        tokio::select! {
            biased;
            Some(progress) = self.told.recv() => Next::Progress(progress),
            ended = &mut self.test => Next::Ended(match ended {
                Ok(outcome) => outcome.map_err(not_made),
                Err(panicked) => {
                    tracing::error!(error = %panicked, "a test delivery ended abnormally");
                    Err(ApiError::internal())
                }
            }),
        }
    }
}

/// Makes the test in a task of its own, which goes on where the client goes away. What keeps it from beginning is an ordinary answer.
pub(super) async fn answered(state: &AppState, mut request: TestRequest) -> Result<Response> {
    let (sender, told) = mpsc::unbounded_channel();
    request.listener = Listener::new(sender);
    let dispatch = state.parts.dispatch.clone();
    let mut running = Running { told, test: tokio::spawn(async move { dispatch.test(request).await }) };
    let first = match running.next().await {
        Next::Ended(Err(error)) => return Err(error),
        first => first,
    };
    let (lines, taken) = mpsc::channel(AHEAD);
    tokio::spawn(tell(first, running, lines));
    Ok(answer::pieces(NDJSON, taken))
}

async fn tell(first: Next, mut running: Running, lines: mpsc::Sender<serde_json::Result<Bytes>>) {
    let mut next = first;
    loop {
        if lines.send(written(&next)).await.is_err() || matches!(next, Next::Ended(_)) {
            return;
        }
        next = running.next().await;
    }
}

fn written(next: &Next) -> serde_json::Result<Bytes> {
    let internal = ApiError::internal();
    let line = match next {
        Next::Progress(Progress::Begun(event_id)) => Line::Begun { event_id: *event_id },
        Next::Progress(Progress::Stage(stream, stage)) => Line::Stage { stream: *stream, stage: StageView::of(stage) },
        Next::Ended(Ok(report)) => {
            TestView::of(report).map_or_else(|| Line::Failed(internal.envelope()), |test| Line::Ended { test })
        }
        Next::Ended(Err(error)) => Line::Failed(error.envelope()),
    };
    let mut line = serde_json::to_vec(&line)?;
    line.push(b'\n');
    Ok(line.into())
}
