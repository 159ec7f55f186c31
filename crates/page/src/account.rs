//! One's own account: who one is, until when, and the password.

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use secrecy::ExposeSecret as _;
use serde_json::json;
use toktra_siem_app::{Object, sessions};
use toktra_siem_wire::Session;

use super::answer::{self, Result};
use super::faults::Faults;
use super::form::Form;
use super::frame::{Frame, Notice, Section};
use super::login::signed_in;
use super::users::role_sentence;
use super::visitor::Visitor;

const ACCOUNT: &str = "/account";

#[derive(Template)]
#[template(path = "dashboard/account.html", blocks = ["form"])]
struct AccountPage {
    frame: Frame,
    session: Session,
    faults: Faults,
}

impl AccountPage {
    async fn of(visitor: &Visitor, faults: Faults) -> Result<Self> {
        let session = sessions::current(visitor.app(), visitor.caller()).await?;
        Ok(Self { frame: visitor.frame("Account", Section::Account), session, faults })
    }

    fn role(&self) -> &'static str {
        role_sentence(self.session.user.role)
    }

    fn summary(&self) -> Option<String> {
        self.faults.summary("Your password was not changed.", &["/current", "/new"])
    }
}

/// `GET /account`.
pub(super) async fn show(visitor: Visitor) -> Result {
    visitor.page(&AccountPage::of(&visitor, Faults::default()).await?)
}

/// `POST /account/password`. All sessions end with the old password; the browser goes on with the new one that was opened.
pub(super) async fn change_password(visitor: Visitor, form: Form) -> Result<Response> {
    let typed = |name| form.secret(name).unwrap_or_default();
    let body = json!({ "current": typed("current").expose_secret(), "new": typed("new").expose_secret() });
    let from = visitor.address_of_client();
    match sessions::change_password(visitor.app(), visitor.caller(), from, Object::of(&body)).await {
        Ok(opened) => {
            let mut response = signed_in(&visitor, &opened, ACCOUNT)?;
            response
                .extensions_mut()
                .insert(Notice::done("Your password was changed. Every other session of yours has ended."));
            Ok(response)
        }
        Err(refusal) if refusal.status != StatusCode::UNAUTHORIZED => {
            let status = refusal.status;
            let page = AccountPage::of(&visitor, refusal.into()).await?;
            if visitor.by_script { answer::html(status, &page.as_form()) } else { answer::html(status, &page) }
        }
        Err(refusal) => Err(refusal.into()),
    }
}
