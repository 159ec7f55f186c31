//! One's own account: who one is, until when, and the password.

use askama::Template;
use axum::response::Response;
use http::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;
use toktra_siem_core::time::Timestamp;

use super::answer::{self, Result};
use super::error::{PageError, Refusal, sentence};
use super::form::Form;
use super::frame::{Frame, Notice, Section};
use super::login::{Opened, signed_in};
use super::model::{Org, User};
use super::visitor::{Asked, Visitor};

const ACCOUNT: &str = "/account";

/// `GET /v1/sessions/current`, with what only this page shows.
#[derive(Deserialize)]
struct Session {
    created_at: Timestamp,
    expires_at: Timestamp,
    user: User,
    org: Org,
}

#[derive(Template)]
#[template(path = "dashboard/account.html", blocks = ["form"])]
struct AccountPage {
    frame: Frame,
    session: Session,
    refusal: Option<Refusal>,
}

impl AccountPage {
    async fn of(visitor: &Visitor, refusal: Option<Refusal>) -> Result<Self> {
        let session = visitor.get("/v1/sessions/current").await?;
        Ok(Self { frame: visitor.frame("Account", Section::Account), session, refusal })
    }

    fn fault(&self, pointer: &str) -> Option<String> {
        self.refusal.as_ref()?.of_field(pointer)
    }

    fn summary(&self) -> Option<String> {
        let refusal = self.refusal.as_ref()?;
        let beside = !refusal.fields.is_empty();
        Some(if beside { "Your password was not changed. Correct what is marked below.".to_owned() } else { sentence(&refusal.message) })
    }
}

/// `GET /account`.
pub(super) async fn show(visitor: Visitor) -> Result {
    visitor.page(&AccountPage::of(&visitor, None).await?)
}

/// `POST /account/password`. All sessions end with the old password; the browser goes on with the new one that the API opened.
pub(super) async fn change_password(visitor: Visitor, form: Form) -> Result<Response> {
    let typed = |name| form.secret(name).unwrap_or_default();
    let body = json!({ "current": typed("current").expose_secret(), "new": typed("new").expose_secret() });
    match visitor.ask(Asked::new(Method::POST, "/v1/sessions/current/password").with(&body)).await {
        Ok(answered) => {
            let mut response = signed_in(&visitor, &answered.read::<Opened>()?, ACCOUNT)?;
            response.extensions_mut().insert(Notice::done("Your password was changed. Every other session of yours has ended."));
            Ok(response)
        }
        Err(PageError::Refused(refusal)) if refusal.status != StatusCode::UNAUTHORIZED => {
            let status = refusal.status;
            let page = AccountPage::of(&visitor, Some(refusal)).await?;
            if visitor.by_script { answer::html(status, &page.as_form()) } else { answer::html(status, &page) }
        }
        Err(error) => Err(error),
    }
}
