//! The list of connectors, live: is it flowing, and what broke?

use askama::Template;
use axum::response::Response;

use crate::dashboard::answer::{Result, html};
use crate::dashboard::error::PageError;
use crate::dashboard::frame::{Frame, Section};
use crate::dashboard::live;
use crate::dashboard::model::{Health, List};
use crate::dashboard::show;
use crate::dashboard::visitor::Visitor;

#[derive(Template)]
#[template(path = "dashboard/connectors/list.html", blocks = ["rows"])]
struct ListPage {
    frame: Frame,
    connectors: Vec<Health>,
}

async fn make(visitor: &Visitor) -> Result<ListPage> {
    let health: List<Health> = visitor.get("/v1/siem/health").await?;
    Ok(ListPage { frame: visitor.frame("SIEM connectors", Section::Connectors), connectors: health.items })
}

/// `GET /integrations/siem`.
pub(in crate::dashboard) async fn show(visitor: Visitor) -> Result {
    html(http::StatusCode::OK, &make(&visitor).await?)
}

/// `GET /integrations/siem/live`.
pub(in crate::dashboard) async fn live(visitor: Visitor) -> Response {
    live::follow(visitor, |visitor| async move {
        let page = make(&visitor).await?;
        page.as_rows().render().map_err(|error| PageError::broken(&error))
    })
}
