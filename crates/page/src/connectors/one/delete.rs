//! Deleting a connector: asked about first, with what goes with it.

use askama::Template;
use axum::extract::Path;
use toktra_siem_app::connectors::{self, IfMatch};
use toktra_siem_app::{health, named};
use toktra_siem_core::ids::Revision;
use toktra_siem_wire::{ConnectorRemoved, StreamHealth};

use super::path;
use crate::answer::Result;
use crate::connectors::model::{Owner, owner};
use crate::form::Form;
use crate::frame::{Frame, Notice, Section};
use crate::icon::Icon;
use crate::show;
use crate::visitor::Visitor;

/// The question.
#[derive(Template)]
#[template(path = "dashboard/connectors/delete.html")]
struct Ask {
    frame: Frame,
    path: String,
    name: String,
    receiver: String,
    revision: u64,
    described: bool,
    /// Events that have not arrived and still would.
    undelivered: u64,
    /// Events that were refused for good, which somebody could have sent again.
    rejected: u64,
}

impl Ask {
    /// What the button says that it does.
    fn does(&self) -> String {
        match self.undelivered {
            0 => format!("Delete {}", self.name),
            n => format!(
                "Delete {} and discard {}",
                self.name,
                show::counted(n, "undelivered event", "undelivered events")
            ),
        }
    }
}

/// `GET /integrations/siem/{id}/delete`.
pub(crate) async fn ask(visitor: Visitor, Path(id): Path<String>) -> Result {
    let (app, caller, connector) = (visitor.app(), visitor.caller(), named(&id)?);
    let health = health::of_connector(app, caller, connector).await?;
    let connector = connectors::get(app, caller, connector).await?;
    // Streams take the same events, so the one that has most of them tells how many are concerned.
    let most = |of: fn(&StreamHealth) -> u64| health.streams.iter().map(of).max().unwrap_or(0);
    visitor.page(&Ask {
        frame: visitor.frame(format!("Delete {}", connector.name), Section::Connectors),
        path: path(&id, ""),
        receiver: visitor.registry().receiver(connector.settings.platform, &connector.settings.config),
        revision: connector.revision.0.into(),
        described: owner(&connector) == Owner::Environment,
        undelivered: most(|stream| stream.undelivered.total),
        rejected: most(|stream| stream.parked.rejected),
        name: connector.name,
    })
}

/// `POST /integrations/siem/{id}/delete`. Only what was asked about is deleted: a save in between is noticed by its `revision`.
pub(crate) async fn delete(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    let (app, caller, id) = (visitor.app(), visitor.caller(), named(&id)?);
    let connector = connectors::get(app, caller, id).await?;
    // Anything else than a number is no revision that there is.
    let revision = |text: &str| IfMatch::revision(Revision(text.parse().unwrap_or(0)));
    let condition = form.filled("revision").map_or(IfMatch::Whatever, revision);
    let ConnectorRemoved { discarded } = connectors::delete(app, caller, id, &condition).await?;
    let name = connector.name;
    let notice = match discarded {
        0 => format!("“{name}” was deleted. Nothing was waiting for it."),
        n => format!(
            "“{name}” was deleted, and {} discarded.",
            show::counted(n, "undelivered event", "undelivered events")
        ),
    };
    Ok(visitor.go_with("/integrations/siem", Notice::done(notice)))
}
