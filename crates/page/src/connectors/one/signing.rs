//! Rotating a connector's signing secret: the new one is shown once, and for a while both sign.

use askama::Template;
use axum::extract::Path;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use toktra_siem_app::connectors::{self, IfMatch, signing};
use toktra_siem_app::named;
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::{RotationBegun, RotationEnded};

use super::path;
use crate::answer::Result;
use crate::form::Form;
use crate::frame::{Frame, Notice, Section};
use crate::icon::Icon;
use crate::show;
use crate::visitor::Visitor;

/// The one page that shows the new secret. It is the answer to the form, so that no address, history or cookie holds it.
#[derive(Template)]
#[template(path = "dashboard/connectors/rotated.html")]
struct Rotated {
    frame: Frame,
    path: String,
    name: String,
    secret: SecretString,
    until: Timestamp,
    /// Without a grace period the new one signs alone already.
    at_once: bool,
}

/// `POST /integrations/siem/{id}/signing-secret/rotate`: `grace` is how many seconds both sign.
pub(crate) async fn rotate(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    let own: ConnectorId = named(&id)?;
    let connector = connectors::get(visitor.app(), visitor.caller(), own).await?;
    let grace: Option<u64> = form.filled("grace").and_then(|seconds| seconds.parse().ok());
    let body = grace.map_or_else(|| json!({}), |seconds| json!({ "grace_seconds": seconds }));
    let doing =
        |app, caller, wish| async move { Ok(signing::rotate(&app, &caller, own, &IfMatch::Whatever, wish).await?.1) };
    let RotationBegun { signing_secret_next, until, .. } = visitor.once(&format!("{own}/rotate"), &body, doing).await?;
    visitor.page(&Rotated {
        frame: visitor.frame(format!("New signing secret of {}", connector.name), Section::Connectors),
        path: path(&id, ""),
        name: connector.name,
        secret: signing_secret_next.value.unwrap_or_default(),
        until,
        at_once: grace == Some(0),
    })
}

/// `POST /integrations/siem/{id}/signing-secret/activate`.
pub(crate) async fn activate(visitor: Visitor, Path(id): Path<String>) -> Result {
    let own: ConnectorId = named(&id)?;
    let doing =
        |app, caller, body| async move { Ok(signing::activate(&app, &caller, own, &IfMatch::Whatever, body).await?.1) };
    let _: RotationEnded = visitor.once(&format!("{own}/activate"), &json!({}), doing).await?;
    let notice = Notice::done("The new signing secret signs alone from now on. Receivers can forget the old one.");
    Ok(visitor.go_with(&path(&id, ""), notice))
}
