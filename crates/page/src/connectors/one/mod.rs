//! `/integrations/siem/{id}`: one connector. How it stands and what to do about it, what flowed, what was sent last, its settings, and the
//! changes that need no form of their own: pausing, the index template, the signing secret, the end.

pub(crate) mod active;
pub(crate) mod charts;
pub(crate) mod delete;
mod facts;
mod health;
pub(crate) mod signing;
pub(crate) mod template;

use askama::Template;
use axum::extract::Path;
use toktra_siem_wire::Connector;

use self::charts::Wanted;
use self::facts::Fact;
use self::health::Live;
use crate::answer::Result;
use crate::connectors::model::{Owner, owner};
use crate::error::PageError;
use crate::frame::{Frame, Section};
use crate::icon::Icon;
use crate::live::view::{Rendering, rendering};
use crate::show::{self, Html};
use crate::shown::ShownSecrets;
use crate::visitor::{Visitor, segment};

/// The page.
#[derive(Template)]
#[template(path = "dashboard/connectors/one.html")]
struct Page {
    frame: Frame,
    path: String,
    connector: Connector,
    place: String,
    health: Html,
    charts: Html,
    latest: Html,
    facts: Vec<Fact>,
    id: Html,
    shown: ShownSecrets,
}

impl Page {
    /// Whether whoever looks may change the connector.
    fn changeable(&self) -> bool {
        self.frame.is_admin() && owner(&self.connector) == Owner::People
    }

    /// Whether they may remove it.
    fn removable(&self) -> bool {
        self.frame.is_admin() && owner(&self.connector) != Owner::Environment
    }

    /// What is put in place at its endpoint by a button, where anything is.
    fn prepared(&self) -> Option<&'static str> {
        self.frame.registry.descriptor(self.connector.settings.platform)?.prepared
    }

    fn signing(&self) -> String {
        facts::told(&self.connector.signing_secret)
    }
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
    let live = Live::of(&visitor, &id).await?;
    let charts = charts::make(&visitor, &id, Wanted::read(&visitor.address)).await?;
    let (health, latest) = live.parts()?;
    let connector = live.connector().clone();
    visitor.page(&Page {
        frame: visitor.frame(connector.name.clone(), Section::Connectors),
        path: path(&id, ""),
        place: facts::place(visitor.registry(), &connector),
        facts: facts::of(visitor.registry(), &connector),
        charts: html_of(&charts)?,
        id: show::id(&connector.id),
        shown: ShownSecrets::of(&visitor).await?,
        connector,
        health,
        latest,
    })
}

/// `/integrations/siem/{id}/live`.
pub(crate) async fn live(visitor: &Visitor, id: &str) -> Result<Rendering> {
    Ok(rendering(Live::of(visitor, id).await?, Live::render))
}
