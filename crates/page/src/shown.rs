//! Secrets that were shown once, for whoever lost one: on the page of what they belong to, for ten minutes, once again.

use askama::Template;
use axum::extract::Path;
use secrecy::{ExposeSecret as _, SecretString};
use toktra_siem_app::{Object, Query, channels, named, secrets};
use toktra_siem_wire::{SecretKind, SecretShownAgain, ShownSecret};

use super::answer::Result;
use super::frame::{Frame, Section};
use super::visitor::{Visitor, segment};

/// What a kind of secret is called.
fn name(kind: SecretKind) -> &'static str {
    match kind {
        SecretKind::ApiKey => "API key",
        SecretKind::SigningSecret => "signing secret",
        SecretKind::Password => "password",
    }
}

/// Where somebody looks who lost it.
fn place(kind: SecretKind, object: &str) -> String {
    match kind {
        SecretKind::ApiKey => "/api-keys".to_owned(),
        SecretKind::SigningSecret => format!("/integrations/siem/{}/signing", segment(object)),
        SecretKind::Password => format!("/users/{}", segment(object)),
    }
}

fn section(kind: SecretKind) -> Section {
    match kind {
        SecretKind::ApiKey => Section::Keys,
        SecretKind::SigningSecret => Section::Connectors,
        SecretKind::Password => Section::Users,
    }
}

/// The secrets that a visitor can see again.
#[derive(Debug, Clone, Default)]
pub struct ShownSecrets(Vec<ShownSecret>);

impl ShownSecrets {
    /// Asks for them. Whoever may not change anything has none.
    pub async fn of(visitor: &Visitor) -> Result<Self> {
        if !visitor.is_admin() {
            return Ok(Self::default());
        }
        Ok(Self(secrets::list(visitor.app(), visitor.caller()).await?.items))
    }

    /// The newest that belongs to what has this id.
    pub fn find(&self, object: &impl ToString) -> Option<&ShownSecret> {
        let object = object.to_string();
        self.0.iter().rev().find(|shown| shown.object_id == object)
    }
}

#[derive(Template)]
#[template(path = "dashboard/shown_again.html")]
struct AgainPage {
    frame: Frame,
    name: &'static str,
    back: String,
    secret: SecretString,
}

/// `POST /secrets/{id}/reveal`.
pub(super) async fn reveal(visitor: Visitor, Path(id): Path<String>) -> Result {
    let SecretShownAgain { about, secret } =
        secrets::reveal(visitor.app(), visitor.caller(), named(&id)?, Object::empty()).await?;
    let name = name(about.kind);
    let all = channels::list(visitor.app(), visitor.caller(), Query::of([("limit", "100")])).await?;
    let channel = all.items.iter().find(|channel| channel.id.to_string() == about.object_id);
    let (back, section) = match channel {
        Some(channel) => (format!("/notifications/{}", channel.id), Section::Notifications),
        None => (place(about.kind, &about.object_id), section(about.kind)),
    };
    let frame = visitor.frame(format!("The {name} again"), section);
    visitor.page(&AgainPage { frame, name, back, secret: secret.0 })
}
