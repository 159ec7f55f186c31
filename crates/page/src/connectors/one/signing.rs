//! Rotating a connector's signing secret: the new one is shown once, and for a while both sign.

use askama::Template;
use axum::extract::Path;
use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use toktra_siem_core::time::Timestamp;

use super::model::Connector;
use super::path;
use crate::answer::Result;
use crate::form::Form;
use crate::frame::{Frame, Notice, Section};
use crate::icon::Icon;
use crate::show;
use crate::visitor::{Asked, Visitor, segment};

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

/// The API's answer.
#[derive(Deserialize)]
struct Begun {
    signing_secret_next: Shown,
    until: Timestamp,
}

#[derive(Deserialize)]
struct Shown {
    value: SecretString,
}

/// `POST /integrations/siem/{id}/signing-secret/rotate`: `grace` is how many seconds both sign.
pub(crate) async fn rotate(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    let api = format!("/v1/siem/connectors/{}", segment(&id));
    let connector: Connector = visitor.get(&api).await?;
    let grace: Option<u64> = form.filled("grace").and_then(|seconds| seconds.parse().ok());
    let body = grace.map_or_else(|| json!({}), |seconds| json!({ "grace_seconds": seconds }));
    let api = format!("{api}/signing-secret/rotate");
    let Begun { signing_secret_next, until } = visitor.ask(Asked::new(Method::POST, &api).with(&body)).await?.read()?;
    visitor.page(&Rotated {
        frame: visitor.frame(format!("New signing secret of {}", connector.name), Section::Connectors),
        path: path(&id, ""),
        name: connector.name,
        secret: signing_secret_next.value,
        until,
        at_once: grace == Some(0),
    })
}

/// `POST /integrations/siem/{id}/signing-secret/activate`.
pub(crate) async fn activate(visitor: Visitor, Path(id): Path<String>) -> Result {
    let api = format!("/v1/siem/connectors/{}/signing-secret/activate", segment(&id));
    visitor.ask(Asked::new(Method::POST, &api)).await?;
    let notice = Notice::done("The new signing secret signs alone from now on. Receivers can forget the old one.");
    Ok(visitor.go_with(&path(&id, ""), notice))
}
