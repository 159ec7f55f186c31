//! The jobs of an org, or of one connector, newest first.

use askama::Template;
use axum::extract::Path;
use http::StatusCode;
use toktra_siem_app::{Query, jobs};
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_wire::{Job, List};

use super::model::{self, Told as _};
use crate::answer::{Result, html};
use crate::error::PageError;
use crate::form::Form;
use crate::frame::{Frame, Section};
use crate::names::{Connectors, Named};
use crate::visitor::{Visitor, with_query};

#[derive(Template)]
#[template(path = "dashboard/jobs/list.html")]
struct JobsPage {
    frame: Frame,
    /// Whose jobs they are; `None` for those of all.
    connector: Option<Named>,
    connectors: Connectors,
    jobs: List<Job>,
    path: String,
    /// Whether it is not the first page.
    further: bool,
}

impl JobsPage {
    fn older(&self) -> Option<String> {
        Some(with_query(&self.path, [("cursor", self.jobs.next_cursor.as_deref()?)]))
    }
}

/// `GET /jobs`.
pub(crate) async fn of_all(visitor: Visitor) -> Result {
    show(&visitor, None).await
}

/// `GET /integrations/siem/{id}/jobs`.
pub(crate) async fn of_connector(visitor: Visitor, Path(id): Path<String>) -> Result {
    let id: ConnectorId = id.parse().map_err(|_| PageError::Missing)?;
    show(&visitor, Some(id)).await
}

async fn show(visitor: &Visitor, id: Option<ConnectorId>) -> Result {
    let connectors = Connectors::of(visitor).await?;
    let connector = match id {
        Some(id) => Some(connectors.get(id).cloned().ok_or(PageError::Missing)?),
        None => None,
    };
    let query = visitor.address.split_once('?').map_or("", |(_, query)| query);
    let form = Form::parse(query.as_bytes());
    let cursor = form.text("cursor");
    let of = id.map(|id| id.to_string()).unwrap_or_default();
    let asked = Query::of([("connector", of.as_str()), ("cursor", cursor)]);
    let jobs = jobs::list(visitor.app(), visitor.caller(), asked).await?;
    let (path, section) = match id {
        Some(id) => (format!("/integrations/siem/{id}/jobs"), Section::Connectors),
        None => ("/jobs".to_owned(), Section::Deliveries),
    };
    let further = !cursor.is_empty();
    let page = JobsPage { frame: visitor.frame("Jobs", section), connector, connectors, jobs, path, further };
    html(StatusCode::OK, &page)
}
