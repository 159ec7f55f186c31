//! Rotating a connector's signing secret: the new one is shown once, and for a while both sign.

use askama::Template;
use axum::extract::Path;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use toktra_siem_app::connectors::{self, IfMatch, signing};
use toktra_siem_app::named;
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::{Connector, RotationBegun, RotationEnded};

use super::top::{self, Tab};
use super::{facts, path};
use crate::answer::Result;
use crate::connectors::model::{Owner, owner};
use crate::form::Form;
use crate::frame::{Frame, Notice, Section};
use crate::icon::Icon;
use crate::show::Html;
use crate::shown::ShownSecrets;
use crate::visitor::Visitor;

/// A signing secret that was just made, as a card on the connector's page. It is in the answer to a form, so that no address, history or
/// cookie holds it.
pub(crate) struct Card {
    secret: SecretString,
    /// Until when both sign; nothing if no other secret signs.
    until: Option<Timestamp>,
}

impl Card {
    /// That of a connector that was added.
    pub(crate) fn made(secret: SecretString) -> Self {
        Self { secret, until: None }
    }

    pub(super) fn secret(&self) -> &str {
        self.secret.expose_secret()
    }

    pub(super) fn until(&self) -> Option<&Timestamp> {
        self.until.as_ref()
    }
}

/// The page.
#[derive(Template)]
#[template(path = "dashboard/connectors/signing.html")]
struct Page {
    frame: Frame,
    path: String,
    connector: Connector,
    top: Html,
    shown: ShownSecrets,
}

impl Page {
    fn changeable(&self) -> bool {
        self.frame.is_admin() && owner(&self.connector) == Owner::People
    }

    fn signing(&self) -> String {
        facts::told(&self.connector.signing_secret)
    }
}

/// The question before a new secret is activated.
#[derive(Template)]
#[template(path = "dashboard/connectors/activate.html")]
struct Ask {
    frame: Frame,
    path: String,
    name: String,
    /// How the new secret is told.
    next: String,
}

/// `GET /integrations/siem/{id}/signing`.
pub(crate) async fn show(visitor: Visitor, Path(id): Path<String>) -> Result {
    let connector = connectors::get(visitor.app(), visitor.caller(), named(&id)?).await?;
    visitor.page(&Page {
        frame: visitor.frame(format!("{}: signing", connector.name), Section::Connectors),
        path: path(&id, ""),
        top: top::of(&visitor, &connector, Tab::Signing)?,
        shown: ShownSecrets::of(&visitor).await?,
        connector,
    })
}

/// `POST /integrations/siem/{id}/signing-secret/rotate`: `grace` is how many seconds both sign; `replace` begins anew.
pub(crate) async fn rotate(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    let own: ConnectorId = named(&id)?;
    let grace: Option<u64> = form.filled("grace").and_then(|seconds| seconds.parse().ok());
    let mut body = grace.map_or_else(|| json!({}), |seconds| json!({ "grace_seconds": seconds }));
    if form.has("replace") {
        body["replace"] = true.into();
    }
    let doing =
        |app, caller, wish| async move { Ok(signing::rotate(&app, &caller, own, &IfMatch::Whatever, wish).await?.1) };
    let begun: RotationBegun = visitor.once(&format!("{own}/rotate"), &body, doing).await?;
    let card = Card {
        secret: begun.signing_secret_next.value.unwrap_or_default(),
        until: Some(begun.until).filter(|_| grace != Some(0)),
    };
    super::with_secret(&visitor, own, card, Notice::done("A new signing secret was made.")).await
}

/// `GET /integrations/siem/{id}/signing-secret/activate`.
pub(crate) async fn ask(visitor: Visitor, Path(id): Path<String>) -> Result {
    let connector = connectors::get(visitor.app(), visitor.caller(), named(&id)?).await?;
    let Some(rotation) = connector.rotation else { return Ok(visitor.go(&path(&id, "/signing"))) };
    visitor.page(&Ask {
        frame: visitor.frame(format!("Activate the new signing secret of {}", connector.name), Section::Connectors),
        path: path(&id, ""),
        name: connector.name,
        next: facts::told(&rotation.signing_secret_next),
    })
}

/// `POST /integrations/siem/{id}/signing-secret/activate`.
pub(crate) async fn activate(visitor: Visitor, Path(id): Path<String>) -> Result {
    let own: ConnectorId = named(&id)?;
    let doing =
        |app, caller, body| async move { Ok(signing::activate(&app, &caller, own, &IfMatch::Whatever, body).await?.1) };
    let _: RotationEnded = visitor.once(&format!("{own}/activate"), &json!({}), doing).await?;
    let notice = Notice::done("The new signing secret is now active. The old one is no longer used.");
    Ok(visitor.go_with(&path(&id, "/signing"), notice))
}

/// `POST /integrations/siem/{id}/signing-secret/cancel`.
pub(crate) async fn cancel(visitor: Visitor, Path(id): Path<String>) -> Result {
    let own: ConnectorId = named(&id)?;
    let doing =
        |app, caller, body| async move { Ok(signing::cancel(&app, &caller, own, &IfMatch::Whatever, body).await?.1) };
    let _: RotationEnded = visitor.once(&format!("{own}/cancel"), &json!({}), doing).await?;
    let notice = Notice::done("The rotation was cancelled. The current secret goes on signing alone.");
    Ok(visitor.go_with(&path(&id, "/signing"), notice))
}
