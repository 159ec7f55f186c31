//! Secrets that were shown once, for whoever lost one: on the page of what they belong to, for ten minutes, once again.

use askama::Template;
use axum::extract::Path;
use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use toktra_siem_core::time::Timestamp;
use uuid::Uuid;

use super::answer::Result;
use super::frame::{Frame, Section};
use super::model::List;
use super::visitor::{Asked, Visitor, segment};

/// A secret that can be shown once again.
#[derive(Debug, Clone, Deserialize)]
pub struct ShownSecret {
    /// Its id.
    pub id: Uuid,
    kind: SecretKind,
    object_id: String,
    /// Until when it can be shown again.
    pub until: Timestamp,
}

/// What a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SecretKind {
    ApiKey,
    SigningSecret,
    Password,
}

impl SecretKind {
    /// What it is called.
    fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "API key",
            Self::SigningSecret => "signing secret",
            Self::Password => "password",
        }
    }

    /// Where somebody looks who lost it.
    fn place(self, object: &str) -> String {
        match self {
            Self::ApiKey => "/api-keys".to_owned(),
            Self::SigningSecret => format!("/integrations/siem/{}", segment(object)),
            Self::Password => format!("/users/{}", segment(object)),
        }
    }

    fn section(self) -> Section {
        match self {
            Self::ApiKey => Section::Keys,
            Self::SigningSecret => Section::Connectors,
            Self::Password => Section::Users,
        }
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
        let all: List<ShownSecret> = visitor.get("/v1/secrets").await?;
        Ok(Self(all.items))
    }

    /// The newest that belongs to what has this id.
    pub fn find(&self, object: &impl ToString) -> Option<&ShownSecret> {
        let object = object.to_string();
        self.0.iter().rev().find(|shown| shown.object_id == object)
    }
}

#[derive(Deserialize)]
struct Again {
    #[serde(flatten)]
    shown: ShownSecret,
    secret: SecretString,
}

#[derive(Template)]
#[template(path = "dashboard/shown_again.html")]
struct AgainPage {
    frame: Frame,
    kind: SecretKind,
    back: String,
    secret: SecretString,
}

/// `POST /secrets/{id}/reveal`.
pub(super) async fn reveal(visitor: Visitor, Path(id): Path<String>) -> Result {
    let path = format!("/v1/secrets/{}/reveal", segment(&id));
    let Again { shown, secret } = visitor.ask(Asked::new(Method::POST, &path).with(&json!({}))).await?.read()?;
    let kind = shown.kind;
    let frame = visitor.frame(format!("The {} again", kind.name()), kind.section());
    visitor.page(&AgainPage { frame, kind, back: kind.place(&shown.object_id), secret })
}
