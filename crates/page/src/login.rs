//! Logging in and out.

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use http::header::SET_COOKIE;
use secrecy::ExposeSecret as _;
use serde_json::json;
use toktra_siem_app::{Object, sessions};
use toktra_siem_wire::SessionOpened;

use super::answer::{self, Result, redirect};
use super::cookies::Cookie;
use super::entrance;
use super::error::{PageError, sentence};
use super::form::Form;
use super::frame::{Frame, Notice, Section};
use super::show;
use super::visitor::{Guest, GuestParts, Visitor};

/// Where one is after logging in.
pub(super) const HOME: &str = "/integrations/siem";

#[derive(Template)]
#[template(path = "dashboard/login.html")]
struct LoginPage {
    frame: Frame,
    email: String,
    next: String,
    /// Why it did not work.
    fault: Option<String>,
    /// Whether nobody has an account yet.
    empty: bool,
}

/// What the person has to know: that others may have tried to be them.
fn warning(opened: &SessionOpened) -> Option<Notice> {
    let attempts = match opened.failed_attempts {
        0 => return None,
        1 => "1 failed attempt".to_owned(),
        count => format!("{count} failed attempts"),
    };
    let since = match opened.previous_login_at {
        Some(at) => format!("since your last login ({})", show::utc(at)),
        None => "before this first login".to_owned(),
    };
    Some(Notice::failed(format!(
        "{attempts} to log in as you {since}. If you did not make them, change your password on the account page."
    )))
}

/// `GET /`.
pub(super) async fn home() -> Response {
    redirect(HOME, false)
}

/// `GET /login`.
pub(super) async fn show(guest: Guest) -> Result {
    let next = local(guest.query().text("next"));
    page(&guest, StatusCode::OK, "", &next, None).await
}

async fn page(guest: &Guest, status: StatusCode, email: &str, next: &str, fault: Option<String>) -> Result {
    let frame = guest.frame("Log in", Section::None, None);
    let empty = entrance::is_empty(guest).await?;
    answer::html(status, &LoginPage { frame, email: email.to_owned(), next: next.to_owned(), fault, empty })
}

/// `POST /login`.
pub(super) async fn log_in(guest: Guest, form: Form) -> Result {
    let (email, next) = (form.text("email"), local(form.text("next")));
    let password = form.secret("password").unwrap_or_default();
    let mut body = json!({ "email": email, "password": password.expose_secret() });
    if let Some(device) = &guest.device {
        body["device"] = device.expose_secret().into();
    }
    // The session that this browser held until now is given up with it.
    let opened = sessions::open(&guest.dashboard.app, guest.address_of_client(), guest.held(), Object::of(&body)).await;
    match opened {
        Ok(opened) => signed_in(&guest, &opened, &next),
        Err(refusal) if refusal.status.is_client_error() => {
            let fault = match refusal.fields.first() {
                Some(_) => "Enter e-mail address and password.".to_owned(),
                None => sentence(&refusal.message),
            };
            page(&guest, refusal.status, email, &next, Some(fault)).await
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// Goes on with a session that was just opened.
pub(super) fn signed_in(guest: &GuestParts, opened: &SessionOpened, next: &str) -> Result {
    let mut response = redirect(next, guest.by_script);
    for (cookie, value) in [(Cookie::Session, &opened.token), (Cookie::Device, &opened.device)] {
        let cookie = guest.site.jar.set(cookie, value.text()).ok_or(PageError::Broken)?;
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    if let Some(notice) = warning(opened) {
        response.extensions_mut().insert(notice);
    }
    Ok(response)
}

/// `POST /logout`.
pub(super) async fn log_out(visitor: Visitor) -> Result {
    sessions::end(visitor.app(), visitor.caller()).await?;
    let mut response = visitor.go("/login");
    if let Some(cookie) = visitor.site.jar.clear(Cookie::Session) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// A path of this page, or its first one: a link that somebody sent must not lead elsewhere after the login.
pub(super) fn local(next: &str) -> String {
    let fine = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && next != "/login";
    if fine { next.to_owned() } else { HOME.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere_after_the_login() {
        assert_eq!(local("/deliveries?status=failed"), "/deliveries?status=failed");
        for elsewhere in
            ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a b", "javascript:x", "/login"]
        {
            assert_eq!(local(elsewhere), HOME, "{elsewhere}");
        }
    }
}
