//! What stands above each of a connector's pages: its name, what can be done with it, and the way to the others.

use askama::Template;
use toktra_siem_wire::Connector;

use super::{facts, html_of, path};
use crate::answer::Result;
use crate::connectors::model::{Owner, owner};
use crate::frame::{Frame, Section};
use crate::icon::Icon;
use crate::show::Html;
use crate::visitor::Visitor;

/// One of a connector's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Overview,
    History,
    Settings,
    Signing,
}

#[derive(Template)]
#[template(path = "dashboard/connectors/top.html")]
struct Top<'a> {
    frame: Frame,
    path: String,
    connector: &'a Connector,
    place: String,
    tab: Tab,
}

impl Top<'_> {
    fn changeable(&self) -> bool {
        self.frame.is_admin() && owner(self.connector) == Owner::People
    }

    /// Each page: what it is called (product spec), and where it is.
    #[expect(clippy::unused_self, reason = "the template calls it")]
    fn tabs(&self) -> [(Tab, &'static str, &'static str); 4] {
        [
            (Tab::Overview, "Overview", ""),
            (Tab::History, "Delivery history", "/deliveries"),
            (Tab::Settings, "Settings", "/settings"),
            (Tab::Signing, "Signing", "/signing"),
        ]
    }
}

/// What stands above this page of a connector.
pub(crate) fn of(visitor: &Visitor, connector: &Connector, tab: Tab) -> Result<Html> {
    html_of(&Top {
        frame: visitor.frame(connector.name.clone(), Section::Connectors),
        path: path(&connector.id.to_string(), ""),
        connector,
        place: facts::place(visitor.registry(), connector),
        tab,
    })
}
