//! The one-time links ([`toktra_siem_identity::first_login`]): the form that makes the first admin of a new server, and the way into the demo. Both end
//! where a login does, with a session that was opened there.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use http::header::HeaderName;
use http::{HeaderMap, Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use toktra_siem_app::{Object, Refusal, first_admin, sessions};
use toktra_siem_identity::first_login::{Claim, Welcome};
use toktra_siem_wire::SessionOpened;

use super::answer::{self, Result, redirect};
use super::error::PageError;
use super::faults::Faults;
use super::form::Form;
use super::frame::{Frame, Section};
use super::login::{HOME, signed_in};
use super::visitor::Guest;

/// Set by browsers that load a page before anybody asked for it.
const PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");

#[derive(Template)]
#[template(path = "dashboard/entrance/setup.html", blocks = ["form"])]
struct SetupPage {
    frame: Frame,
    token: String,
    name: String,
    email: String,
    faults: Faults,
}

impl SetupPage {
    fn summary(&self) -> Option<String> {
        self.faults.summary("Nothing was made yet.", &["/name", "/email", "/password"])
    }
}

/// What a link led to that is void, or never was one.
#[derive(Template)]
#[template(path = "dashboard/entrance/void.html")]
struct VoidPage {
    frame: Frame,
    /// Whether nobody has an account yet.
    empty: bool,
    /// Whether it is a link of the demo.
    demo: bool,
}

/// Whether nobody can log in yet, so that the setup link is what people need.
pub(super) async fn is_empty(guest: &Guest) -> Result<bool> {
    match &guest.dashboard.entrance.setup {
        Some(link) if link.holds().await => first_admin_is_wanted(guest).await,
        _ => Ok(false),
    }
}

async fn first_admin_is_wanted(guest: &Guest) -> Result<bool> {
    first_admin::is_wanted(&guest.dashboard.app).await.map_err(|error| PageError::broken(&error))
}

/// The setup link, for whoever brings its token. It is void as soon as anybody has an account, however they came to it.
async fn claimed<'a>(guest: &'a Guest, token: &str) -> Result<Option<Claim<'a>>> {
    let Some(link) = &guest.dashboard.entrance.setup else { return Ok(None) };
    let Some(claim) = link.claim(token).await else { return Ok(None) };
    if first_admin_is_wanted(guest).await? {
        return Ok(Some(claim));
    }
    claim.void();
    Ok(None)
}

/// `GET /setup/{token}`.
pub(super) async fn ask(guest: Guest, Path(token): Path<String>) -> Result {
    if claimed(&guest, &token).await?.is_none() {
        return void(&guest, false).await;
    }
    let page =
        SetupPage { frame: frame(&guest), token, name: String::new(), email: String::new(), faults: Faults::default() };
    answer::html(StatusCode::OK, &page)
}

fn frame(guest: &Guest) -> Frame {
    guest.frame("Set up Toktra SIEM", Section::None, None)
}

/// `POST /setup/{token}`.
pub(super) async fn set_up(guest: Guest, Path(token): Path<String>, form: Form) -> Result {
    let Some(claim) = claimed(&guest, &token).await? else { return void(&guest, false).await };
    let (name, email) = (form.text("name").to_owned(), form.text("email").to_owned());
    let password = form.secret("password").unwrap_or_default();
    let body = json!({ "name": name, "email": email, "role": "admin", "password": password.expose_secret() });
    match first_admin::create(&guest.dashboard.app, Object::of(&body)).await {
        Ok(_) => claim.void(),
        Err(refusal) => {
            let status = refusal.status;
            let page = SetupPage { frame: frame(&guest), token, name, email, faults: refusal.into() };
            if guest.by_script {
                return answer::html(status, &page.as_form());
            }
            return answer::html(status, &page);
        }
    }
    tracing::info!("the first admin was made with the one-time link, which is void now");
    // Where the session cannot be opened at once, the login says why.
    match open(&guest, &email, &password).await {
        Ok(opened) => signed_in(&guest, &opened, HOME),
        Err(_) => Ok(redirect("/login", guest.by_script)),
    }
}

async fn open(guest: &Guest, email: &str, password: &SecretString) -> Result<SessionOpened, Refusal> {
    let body = json!({ "email": email, "password": password.expose_secret() });
    sessions::open(&guest.dashboard.app, guest.address_of_client(), guest.held(), Object::of(&body)).await
}

/// `GET /welcome/{token}`: logs in, which is all that a link can do.
pub(super) async fn welcome(guest: Guest, Path(token): Path<String>, headers: HeaderMap) -> Result {
    // A browser that only looks ahead must not use it up.
    let ahead = headers.get(PURPOSE).is_some_and(|value| value.as_bytes().starts_with(b"prefetch"));
    if ahead || guest.method != Method::GET {
        return Err(PageError::Unreadable(
            StatusCode::SERVICE_UNAVAILABLE,
            "This link logs in. Open it rather than loading it ahead.",
        ));
    }
    let Some(Welcome { link, email, password }) = &guest.dashboard.entrance.welcome else {
        return void(&guest, true).await;
    };
    let Some(claim) = link.claim(&token).await else { return void(&guest, true).await };
    let opened = open(&guest, email, password).await?;
    claim.void();
    signed_in(&guest, &opened, HOME)
}

/// Whoever is in already goes on; others are told what to do.
async fn void(guest: &Guest, demo: bool) -> Result<Response> {
    if let Some(token) = guest.held()
        && guest.dashboard.app.keys.authenticate(token, guest.now, true).await.is_ok()
    {
        return Ok(redirect(HOME, guest.by_script));
    }
    let frame = guest.frame("This link does not work", Section::None, None);
    answer::html(StatusCode::NOT_FOUND, &VoidPage { frame, empty: is_empty(guest).await?, demo })
}
