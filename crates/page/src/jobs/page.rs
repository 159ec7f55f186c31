//! One job: how far it is, live, and what came of it.

use askama::Template;
use axum::extract::Path;
use http::{Method, StatusCode};
use toktra_siem_core::job::JobKind;

use super::model::{self, Job};
use crate::answer::{Result, html};
use crate::frame::{Frame, Notice, Section};
use crate::live::view::{Rendering, rendering};
use crate::names::{Connectors, Named};
use crate::show;
use crate::visitor::{Asked, Visitor, segment};

#[derive(Template)]
#[template(path = "dashboard/jobs/page.html", blocks = ["job"])]
struct JobPage {
    frame: Frame,
    job: Job,
    /// `None` once it was deleted.
    connector: Option<Named>,
}

async fn make(visitor: &Visitor, id: &str) -> Result<JobPage> {
    let job: Job = visitor.get(&format!("/v1/siem/jobs/{}", segment(id))).await?;
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
    let path = format!("/v1/siem/jobs/{}", segment(&id));
    let job: Job = visitor.ask(Asked::new(Method::DELETE, &path)).await?.read()?;
    let notice = if job.state == model::JobState::Cancelled {
        Notice::done("The job was cancelled. Nothing more is sent for it.")
    } else {
        Notice::failed("The job had ended before it could be cancelled.")
    };
    Ok(visitor.go_with(&format!("/jobs/{}", job.id), notice))
}
