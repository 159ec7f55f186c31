//! `/integrations/siem/{id}`: one connector. How it stands and what to do about it, what flowed, what was sent last, its settings, and the
//! changes that need no form of their own: pausing, the index template, the signing secret, the end.

pub(crate) mod active;
pub(crate) mod charts;
pub(crate) mod delete;
mod facts;
mod health;
mod model;
pub(crate) mod signing;
pub(crate) mod template;

use askama::Template;
use axum::extract::Path;
use toktra_siem_core::connector::Platform;

use self::charts::Wanted;
use self::facts::Fact;
use self::health::Live;
use self::model::{Connector, Owner};
use crate::answer::Result;
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
        self.frame.is_admin() && self.connector.owner() == Owner::People
    }

    /// Whether they may remove it.
    fn removable(&self) -> bool {
        self.frame.is_admin() && self.connector.owner() != Owner::Environment
    }

    /// Whether it has an index template to put in place.
    fn has_template(&self) -> bool {
        self.connector.platform() == Platform::Elasticsearch
    }

    /// The mark of its platform.
    fn mark(&self) -> Icon {
        match self.connector.platform() {
            Platform::Splunk => Icon::Splunk,
            Platform::Datadog => Icon::Datadog,
            Platform::Elasticsearch => Icon::Elasticsearch,
        }
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
        place: facts::place(&connector.settings),
        facts: facts::of(&connector),
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
