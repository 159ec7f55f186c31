//! Jobs: what a person asks to be sent again, or given up, and how far that is (`…/redeliver-failed`, `…/replay`,
//! `…/discard`, `…/jobs`).

use axum::extract::State;
use toktra_siem_app::jobs::Asked;
use toktra_siem_app::{App, Caller, jobs};
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_core::job::JobKind;
use toktra_siem_wire::Job;

use crate::answer::{Answer, accepted, ok};
use crate::extract::{Given, OnlyId};

/// `POST …/{id}/redeliver-failed`.
pub(super) async fn redeliver_failed(
    State(app): State<App>,
    caller: Caller,
    OnlyId(id): OnlyId<ConnectorId>,
    Given(range): Given,
) -> Answer {
    asked(jobs::of_range(&app, &caller, JobKind::RedeliverFailed, id, range).await?)
}

/// `POST …/{id}/replay`.
pub(super) async fn replay(
    State(app): State<App>,
    caller: Caller,
    OnlyId(id): OnlyId<ConnectorId>,
    Given(range): Given,
) -> Answer {
    asked(jobs::of_range(&app, &caller, JobKind::Replay, id, range).await?)
}

/// `POST …/{id}/discard`.
pub(super) async fn discard(
    State(app): State<App>,
    caller: Caller,
    OnlyId(id): OnlyId<ConnectorId>,
    Given(range): Given,
) -> Answer {
    asked(jobs::of_range(&app, &caller, JobKind::Discard, id, range).await?)
}

/// `POST /v1/siem/deliveries/{id}/redeliver`.
pub(super) fn made(job: &Job) -> Answer {
    accepted(&format!("/v1/siem/jobs/{}", job.id), job)
}

fn asked(asked: Asked) -> Answer {
    match asked {
        Asked::Made(job) => made(&job),
        Asked::DryRun(size) => ok(&size),
    }
}

/// What these routes say of themselves.
pub(super) mod doc {
    use http::StatusCode;
    use toktra_siem_core::ids::ConnectorId;
    use toktra_siem_wire as wire;

    use crate::doc::{Doc, Tag};
    use crate::error::Code;

    const OFF: &str = "The connector is switched off, or has as many unfinished jobs as it may have.";

    fn asked(doc: Doc) -> Doc {
        doc.answer::<wire::Job>(StatusCode::ACCEPTED, "The job. Ask for it again to see how far it is.")
            .sets("Location", "The path of the job.")
    }

    fn ranged(doc: Doc) -> Doc {
        let doc =
            doc.optional_body::<wire::JobRange>("The range.").ok::<wire::JobDryRun>("The dry run: how many events.");
        asked(doc)
    }

    pub(crate) fn redeliver_failed() -> Doc {
        ranged(Doc::new("redeliverFailed", Tag::Jobs, "Redeliver failed events").once())
            .about(
                "Sends what is parked, as failed or as rejected, again. Of a connector with metrics only log entries.",
            )
            .error(409, Code::Conflict, OFF)
    }

    pub(crate) fn replay() -> Doc {
        ranged(Doc::new("replay", Tag::Jobs, "Replay a range").once())
            .about(
                "Sends every stored event of the range again that the connector's present filter matches, delivered before or not. Of a \
                 connector with metrics only log entries. Whether a platform recognises an event that it has, `GET /v1/siem/platforms` tells.",
            )
            .error(409, Code::Conflict, OFF)
    }

    pub(crate) fn discard() -> Doc {
        ranged(Doc::new("discard", Tag::Jobs, "Discard parked events").once())
            .about(
                "Gives up what is parked, as failed or as rejected, in every stream of the connector, also while it is switched off. \
                 What is on its way is not touched.",
            )
            .error(409, Code::Conflict, "The connector has as many unfinished jobs as it may have.")
    }

    pub(crate) fn redeliver() -> Doc {
        let doc = Doc::new("redeliver", Tag::Jobs, "Redeliver a delivery")
            .once()
            .optional_body::<wire::NoMembers>("Nothing.");
        asked(doc).about("Sends the events of one delivery again.").error(
            409,
            Code::Conflict,
            "The delivery is pending, a test or of metrics; its events are not stored any more; or its connector is off or deleted.",
        )
    }

    pub(crate) fn list() -> Doc {
        Doc::new("listJobs", Tag::Jobs, "List jobs")
            .query::<ConnectorId>("connector", "Only of this connector.")
            .query::<wire::JobState>("state", "Only those that stand so.")
            .paged()
            .ok::<wire::List<wire::Job>>("A page of jobs, newest first.")
    }

    pub(crate) fn get() -> Doc {
        Doc::new("getJob", Tag::Jobs, "Show a job").ok::<wire::Job>("The job.")
    }

    pub(crate) fn cancel() -> Doc {
        Doc::new("cancelJob", Tag::Jobs, "Cancel a job")
            .about("Nothing more is sent; what is on its way comes to its end. A job that has ended stays as it is.")
            .ok::<wire::Job>("The job.")
    }
}
