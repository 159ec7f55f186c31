//! `POST …/connectors/test` and `…/{id}/test`: does it work? Of settings that are not saved, of a saved connector, or of one with a patch
//! laid over it (product spec, "Test delivery").

use axum::extract::State;
use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::mpsc;
use toktra_siem_app::connectors::test_delivery::{self, Ready, Running};
use toktra_siem_app::{App, Caller, Refusal};
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_wire::TestLine;

use crate::accept::{self, NDJSON};
use crate::answer::{Answer, ok, pieces};
use crate::extract::{Given, NoQuery, OnlyId};

/// `POST …/connectors/test`.
pub(crate) async fn unsaved(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    headers: HeaderMap,
    Given(settings): Given,
) -> Answer {
    answered(test_delivery::unsaved(&app, &caller, settings).await?, &headers).await
}

/// `POST …/{id}/test`.
pub(crate) async fn saved(
    State(app): State<App>,
    caller: Caller,
    OnlyId(id): OnlyId<ConnectorId>,
    headers: HeaderMap,
    Given(change): Given,
) -> Answer {
    answered(test_delivery::saved(&app, &caller, id, change).await?, &headers).await
}

async fn answered(ready: Ready, headers: &HeaderMap) -> Answer {
    let wants_lines = accept::preferred(headers, |media_type| (media_type == NDJSON).then_some(())).is_some();
    if !wants_lines {
        return ok(&ready.run().await?);
    }
    let mut running = ready.begin();
    // What keeps it from beginning is an ordinary answer.
    let first = running.next().await?;
    let (lines, taken) = mpsc::channel(AHEAD);
    tokio::spawn(tell(Ok(first), running, lines));
    Ok(pieces(NDJSON, taken))
}

/// Lines that wait for a client that reads slowly.
const AHEAD: usize = 16;

/// A line for each thing, and the answer that the test comes to as the last one.
async fn tell(
    mut next: Result<TestLine, Refusal>,
    mut running: Running,
    lines: mpsc::Sender<serde_json::Result<Bytes>>,
) {
    loop {
        let line = next.unwrap_or_else(|refusal| TestLine::Failed(refusal.envelope()));
        let over = matches!(line, TestLine::Ended { .. } | TestLine::Failed(_));
        if lines.send(written(&line)).await.is_err() || over {
            return;
        }
        next = running.next().await;
    }
}

fn written(line: &TestLine) -> serde_json::Result<Bytes> {
    let mut line = serde_json::to_vec(line)?;
    line.push(b'\n');
    Ok(line.into())
}

/// What these routes say of themselves.
pub(crate) mod doc {
    use toktra_siem_wire as wire;

    use super::super::doc::{FORBIDDEN, READ_ONLY};
    use crate::accept::NDJSON;
    use crate::doc::{Doc, Tag};
    use crate::error::Code;

    const TESTED: &str = "The test was made; `delivered` says what came of it.";

    pub(crate) fn unsaved() -> Doc {
        Doc::new("testSettings", Tag::Connectors, "Test unsaved settings")
            .about(
                "Sends a synthetic `test_connection` event to every stream of these settings, once and by the way of every other event, and \
                 answers within about 15 seconds, or within a minute if `config.search` has a credential to look for the event with. Nothing is stored but a line of the audit log. If no signing secret is given and one \
                 would be made for the connector, the test is signed with one that nobody knows.\n\nWith `Accept: application/x-ndjson` the \
                 answer begins at once and tells, a line each, of the event and of every stage at its end; the last line has the outcome.",
            )
            .body::<wire::NewConnector>("The connector as it would be made.")
            .ok::<wire::Test>(TESTED)
            .or_as::<wire::TestLine>(NDJSON)
            .error(403, Code::DestinationForbidden, FORBIDDEN)
    }

    pub(crate) fn saved() -> Doc {
        Doc::new("testConnector", Tag::Connectors, "Test a connector")
            .about(
                "Sends a synthetic `test_connection` event to every enabled stream of the connector, on or off, past its filter, once and by \
                 the way of every other event, and answers within about 15 seconds, or within a minute if `config.search` has a credential to look for the event with. The test stands in the history and is found by its \
                 event id; its success closes the stream's breaker, and what has waited is delivered. With a change laid over the \
                 connector, which is not saved, the stored credential is used where the change brings none; such a test leaves neither \
                 history nor breaker behind.\n\nWith `samples` a sample of each event type that producers post is sent instead, one after \
                 the other, each a test delivery of its own: its summary says that it is a sample, and its tag `sample` is `true`. Nobody \
                 looks for samples in the SIEM.\n\nWith `Accept: application/x-ndjson` the answer begins at once and tells, a line each, of the \
                 event and of every stage at its end; the last line has the outcome.",
            )
            .optional_body::<wire::TestOfConnector>("A change to be tried, as it would be saved, and what is sent.")
            .ok::<wire::Test>(TESTED)
            .or_as::<wire::TestLine>(NDJSON)
            .error(403, Code::DestinationForbidden, FORBIDDEN)
            .error(409, Code::Conflict, READ_ONLY)
            .error(409, Code::Conflict, "The connector cannot be used: its secrets do not open, say.")
    }
}
