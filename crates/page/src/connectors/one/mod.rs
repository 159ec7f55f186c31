//! `/integrations/siem/{id}`: one connector, on four pages. Overview (state, what to do, traffic, latest deliveries), delivery history,
//! settings, signing; and the changes that need no form of their own: pausing, the index template, the signing secret, the end.

pub(crate) mod acknowledge;
pub(crate) mod active;
pub(crate) mod charts;
pub(crate) mod delete;
mod facts;
pub(super) mod health;
pub(crate) mod settings;
pub(crate) mod signing;
pub(crate) mod template;
pub(crate) mod top;

use askama::Template;
use axum::extract::Path;
use http::header::HeaderValue;
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_wire::Connector;

use self::charts::Wanted;
use self::health::Live;
pub(crate) use self::signing::Card;
use self::top::Tab;
use crate::answer::{self, Result};
use crate::connectors::model::Owner;
use crate::deliveries::list::PUSH_URL;
use crate::error::PageError;
use crate::frame::{Frame, Notice, NoticeView, Section};
use crate::icon::Icon;
use crate::live::view::{Rendering, rendering};
use crate::show::{self, Html};
use crate::visitor::{Visitor, segment};

/// The page.
#[derive(Template)]
#[template(path = "dashboard/connectors/one.html", blocks = ["page"])]
struct Page {
    frame: Frame,
    path: String,
    connector: Connector,
    top: Html,
    health: Html,
    charts: Html,
    latest: Html,
    /// A signing secret that was just made.
    card: Option<Card>,
}

/// Where a connector's page is, or what belongs to it.
fn path(id: &str, rest: &str) -> String {
    format!("/integrations/siem/{}{rest}", segment(id))
}

/// A part of a page, to be put into it.
fn html_of(part: &impl Template) -> Result<Html> {
    part.render().map(Html::trusted).map_err(|error| PageError::broken(&error))
}

/// `GET /integrations/siem/{id}`.
pub(crate) async fn page(visitor: Visitor, Path(id): Path<String>) -> Result {
    visitor.page(&make(&visitor, &id, None).await?)
}

/// The page with a signing secret that was just made, as the answer to the form that made it.
pub(crate) async fn with_secret(visitor: &Visitor, id: ConnectorId, card: Card, notice: Notice) -> Result {
    let mut page = make(visitor, &id.to_string(), Some(card)).await?;
    if !visitor.by_script {
        page.frame.notice = Some(notice);
        return visitor.page(&page);
    }
    // In place of what was there, without a redirect that would have to carry the secret.
    let title = format!("<title>{} · Toktra SIEM</title>", show::escaped(&page.frame.title));
    let (notice, content) = (html_of(&NoticeView { notice })?, html_of(&page.as_page())?);
    let whole = format!("{title}{content}<div id=\"notices\" hx-swap-oob=\"innerHTML\">{notice}</div>");
    let mut response = answer::in_place(whole, "#page", "outerHTML show:top");
    if let Ok(path) = HeaderValue::try_from(path(&id.to_string(), "")) {
        response.headers_mut().insert(PUSH_URL, path);
    }
    Ok(response)
}

async fn make(visitor: &Visitor, id: &str, card: Option<Card>) -> Result<Page> {
    let live = Live::of(visitor, id).await?;
    let charts = charts::make(visitor, id, Wanted::read(&visitor.address)).await?;
    let (health, latest) = live.parts()?;
    let connector = live.connector().clone();
    Ok(Page {
        frame: visitor.frame(connector.name.clone(), Section::Connectors),
        path: path(id, ""),
        top: top::of(visitor, &connector, Tab::Overview)?,
        charts: html_of(&charts)?,
        connector,
        health,
        latest,
        card,
    })
}

/// `/integrations/siem/{id}/live`.
pub(crate) async fn live(visitor: &Visitor, id: &str) -> Result<Rendering> {
    Ok(rendering(Live::of(visitor, id).await?, Live::render))
}
