//! Deleting a connector: asked about first, with what goes with it.

use askama::Template;
use axum::extract::Path;
use http::header::{HeaderValue, IF_MATCH};
use http::{HeaderMap, Method};
use serde::Deserialize;

use super::model::{Connector, Owner};
use super::path;
use crate::answer::Result;
use crate::form::Form;
use crate::frame::{Frame, Notice, Section};
use crate::icon::Icon;
use crate::model::Health;
use crate::show;
use crate::visitor::{Asked, Visitor, segment};

/// The question.
#[derive(Template)]
#[template(path = "dashboard/connectors/delete.html")]
struct Ask {
    frame: Frame,
    path: String,
    name: String,
    platform: String,
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

/// What the API says of it.
#[derive(Deserialize)]
struct Removed {
    discarded: u64,
}

/// `GET /integrations/siem/{id}/delete`.
pub(crate) async fn ask(visitor: Visitor, Path(id): Path<String>) -> Result {
    let api = format!("/v1/siem/connectors/{}", segment(&id));
    let connector: Connector = visitor.get(&api).await?;
    let health: Health = visitor.get(&format!("{api}/health")).await?;
    // Streams take the same events, so the one that has most of them tells how many are concerned.
    let most = |of: fn(&crate::model::StreamHealth) -> u64| health.streams.iter().map(of).max().unwrap_or(0);
    visitor.page(&Ask {
        frame: visitor.frame(format!("Delete {}", connector.name), Section::Connectors),
        path: path(&id, ""),
        platform: visitor.registry().label(connector.platform),
        revision: connector.revision.0.into(),
        described: connector.owner() == Owner::Environment,
        undelivered: most(|stream| stream.undelivered.total),
        rejected: most(|stream| stream.parked.rejected),
        name: connector.name,
    })
}

/// `POST /integrations/siem/{id}/delete`. Only what was asked about is deleted: a save in between is noticed by its `revision`.
pub(crate) async fn delete(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    let api = format!("/v1/siem/connectors/{}", segment(&id));
    let connector: Connector = visitor.get(&api).await?;
    let mut headers = HeaderMap::new();
    if let Some(tag) =
        form.filled("revision").and_then(|revision| HeaderValue::try_from(format!("\"{revision}\"")).ok())
    {
        headers.insert(IF_MATCH, tag);
    }
    let mut asked = Asked::new(Method::DELETE, &api);
    asked.headers = headers;
    let Removed { discarded } = visitor.ask(asked).await?.read()?;
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
