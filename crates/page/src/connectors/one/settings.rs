//! `/integrations/siem/{id}/settings`: how a connector is set up, and its end.

use askama::Template;
use axum::extract::Path;
use toktra_siem_app::{connectors, named};
use toktra_siem_wire::Connector;

use super::facts::{self, Fact};
use super::path;
use super::top::{self, Tab};
use crate::answer::Result;
use crate::connectors::model::{Owner, owner};
use crate::frame::{Frame, Section};
use crate::icon::Icon;
use crate::show::{self, Html};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "dashboard/connectors/settings.html")]
struct Page {
    frame: Frame,
    path: String,
    connector: Connector,
    top: Html,
    place: String,
    facts: Vec<Fact>,
    id: Html,
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
}

/// `GET /integrations/siem/{id}/settings`.
pub(crate) async fn show(visitor: Visitor, Path(id): Path<String>) -> Result {
    let connector = connectors::get(visitor.app(), visitor.caller(), named(&id)?).await?;
    visitor.page(&Page {
        frame: visitor.frame(format!("{}: settings", connector.name), Section::Connectors),
        path: path(&id, ""),
        top: top::of(&visitor, &connector, Tab::Settings)?,
        place: facts::place(visitor.registry(), &connector),
        facts: facts::of(visitor.registry(), &connector),
        id: show::id(&connector.id),
        connector,
    })
}
