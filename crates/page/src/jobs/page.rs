//! One job: how far it is, live, and what came of it.

use askama::Template;
use axum::extract::Path;
use http::StatusCode;
use toktra_siem_app::{jobs, named};
use toktra_siem_core::job::JobKind;
use toktra_siem_wire::{Job, JobState};

use super::model::{self, Told as _};
use crate::answer::{Result, html};
use crate::frame::{Frame, Notice, Section};
use crate::live::view::{Rendering, rendering};
use crate::names::{Connectors, Named};
use crate::show;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "dashboard/jobs/page.html", blocks = ["job"])]
struct JobPage {
    frame: Frame,
    job: Job,
    /// `None` once it was deleted.
    connector: Option<Named>,
}

async fn make(visitor: &Visitor, id: &str) -> Result<JobPage> {
    let job = jobs::get(visitor.app(), visitor.caller(), named(id)?).await?;
    let connector = Connectors::of(visitor).await?.get(job.connector_id).cloned();
    Ok(JobPage { frame: visitor.frame(model::kind(job.kind), Section::Deliveries), job, connector })
}

/// `GET /jobs/{id}`.
pub(crate) async fn show(visitor: Visitor, Path(id): Path<String>) -> Result {
    html(StatusCode::OK, &make(&visitor, &id).await?)
}

/// `/jobs/{id}/live`: while it goes on.
pub(crate) async fn live(visitor: &Visitor, id: &str) -> Result<Rendering> {
    Ok(rendering(make(visitor, id).await?, |page| page.as_job().render()))
}

/// `POST /jobs/{id}/cancel`.
pub(crate) async fn cancel(visitor: Visitor, Path(id): Path<String>) -> Result {
    let job = jobs::cancel(visitor.app(), visitor.caller(), named(&id)?).await?;
    let notice = if job.state == JobState::Cancelled {
        Notice::done("The job was cancelled. Nothing more is sent for it.")
    } else {
        Notice::failed("The job had ended before it could be cancelled.")
    };
    Ok(visitor.go_with(&format!("/jobs/{}", job.id), notice))
}
