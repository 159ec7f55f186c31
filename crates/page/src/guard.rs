//! What stands before every handler of the page: whose session it is, whether a change really comes from the page, and what every answer
//! carries. A route cannot be mounted without it ([`super::routes`]).

use askama::Template;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, SET_COOKIE};
use http::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use toktra_siem_api::error::ApiError;
use toktra_siem_app::{Caller, Refusal, sessions};
use toktra_siem_edge::Arrival;
use toktra_siem_edge::bodies::Owner;
use toktra_siem_edge::body::{self, Fault, Purse};
use toktra_siem_edge::limits::OPEN_FORM;

use super::Dashboard;
use super::answer::{self, Result};
use super::cookies::Cookie;
use super::error::PageError;
use super::form::Form;
use super::frame::{Frame, Notice, Section, Theme};
use super::icon::Icon;
use super::routes::Access;
use super::show;
use super::site::Site;
use super::visitor::{Guest, GuestParts, Visitor, with_query};

/// Set by htmx on its requests.
const BY_SCRIPT: HeaderName = HeaderName::from_static("hx-request");
/// Where scripts put what forms have as a field.
const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
/// Its name in forms.
const CSRF_FIELD: &str = "csrf";
/// Bytes of a form of somebody who is logged in, at most: settings with a certificate authority fit several times.
const LONGEST: usize = 256 * 1024;

/// A token that cookies hold; whoever presents it may have to be given a new one.
struct Presented {
    value: String,
    fresh: bool,
}

/// The middleware of every route of the page.
pub(super) async fn guard(
    State((dashboard, access)): State<(Dashboard, Access)>,
    request: Request,
    next: Next,
) -> Response {
    let site = Site::of(request.headers(), dashboard.public_url.as_ref());
    let csrf = csrf_cookie(&dashboard, &site, request.headers());
    let guest = guest(dashboard, site, &csrf.value, &request);
    let shows_notice = guest.notice.is_some() && request.method() == Method::GET && !guest.by_script;
    let mut visitor = None;
    let mut response = match admit(&guest, access, request, &mut visitor).await {
        Ok(request) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    if let Some(error) = response.extensions_mut().remove::<PageError>() {
        response = shown(&guest, visitor.as_ref(), &error, response);
    }
    let jar = guest.site.jar;
    let notice = response.extensions_mut().remove::<Notice>();
    let headers = response.headers_mut();
    answer::protect(headers);
    let cookies = [
        csrf.fresh.then(|| jar.set(Cookie::Csrf, &csrf.value)).flatten(),
        match notice {
            Some(notice) => jar.set(Cookie::Notice, &notice.written()),
            None if shows_notice => jar.clear(Cookie::Notice),
            None => None,
        },
    ];
    for cookie in cookies.into_iter().flatten() {
        headers.append(SET_COOKIE, cookie);
    }
    response
}

/// Answers what no route takes. Somebody who looks with a browser gets `error` as a page, within its frame as far as they are logged in;
/// whatever else asks gets `otherwise`, the API's answer.
pub(super) async fn stray(dashboard: Dashboard, request: Request, error: PageError, otherwise: ApiError) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) || !wants_page(request.headers()) {
        return otherwise.into_response();
    }
    let site = Site::of(request.headers(), dashboard.public_url.as_ref());
    let csrf = csrf_cookie(&dashboard, &site, request.headers());
    let guest = guest(dashboard, site, &csrf.value, &request);
    drop(request);
    let visitor = if guest.token.is_some() { logged_in(&guest, Access::Person).await.ok() } else { None };
    let mut response = shown(&guest, visitor.as_ref(), &error, error.clone().into_response());
    answer::protect(response.headers_mut());
    // The frame has forms.
    if csrf.fresh
        && let Some(cookie) = guest.site.jar.set(Cookie::Csrf, &csrf.value)
    {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Whether a browser goes there, rather than a program that would take anything (`*/*`).
fn wants_page(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value
            .split(',')
            .filter_map(|media| media.split(';').next())
            .any(|media| media.trim().eq_ignore_ascii_case("text/html"))
    })
}

fn csrf_cookie(dashboard: &Dashboard, site: &Site, headers: &HeaderMap) -> Presented {
    let known = site
        .jar
        .read(headers, Cookie::Csrf)
        .filter(|value| value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit()));
    let fresh = known.is_none();
    Presented { value: known.unwrap_or_else(|| dashboard.random.secret().expose_secret().to_owned()), fresh }
}

fn guest(dashboard: Dashboard, site: Site, csrf: &str, request: &Request) -> Guest {
    let headers = request.headers();
    let cookie = |which| site.jar.read(headers, which);
    let address = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
    Guest::new(GuestParts {
        csrf: csrf.to_owned(),
        token: cookie(Cookie::Session).map(SecretString::from),
        device: cookie(Cookie::Device).map(SecretString::from),
        by_script: headers.contains_key(BY_SCRIPT),
        theme: Theme::read(cookie(Cookie::Theme).as_deref()),
        utc: cookie(Cookie::Zone).as_deref() == Some("utc"),
        notice: cookie(Cookie::Notice).and_then(|text| Notice::read(&text)),
        arrival: request.extensions().get().cloned(),
        now: dashboard.clock.now(),
        method: request.method().clone(),
        address,
        dashboard,
        site,
    })
}

/// Lets a request through, with everything that handlers ask for: form, guest, visitor.
async fn admit(guest: &Guest, access: Access, mut request: Request, visitor: &mut Option<Visitor>) -> Result<Request> {
    let mut person = None;
    if access != Access::Open {
        let known = logged_in(guest, access).await?;
        *visitor = Some(known.clone());
        if access == Access::Admin && !known.is_admin() {
            return Err(PageError::Unreadable(
                StatusCode::FORBIDDEN,
                "This page is for admins of your org. Ask one of them to do it, or to give you the role.",
            ));
        }
        person = Some(known);
    }
    if request.method() == Method::POST {
        let form = read_form(guest, visitor.as_ref(), &mut request).await?;
        check_csrf(guest, request.headers(), &form)?;
        person = person.map(|person| person.sending(&form));
        request.extensions_mut().insert(form);
    }
    if let Some(person) = person {
        request.extensions_mut().insert(person);
    }
    request.extensions_mut().insert(guest.clone());
    Ok(request)
}

/// Whose session it is. One request from outside counts once for the request limit of the person.
async fn logged_in(guest: &Guest, access: Access) -> Result<Visitor> {
    let Some(token) = &guest.token else { return Err(PageError::LoggedOut) };
    let app = &guest.dashboard.app;
    let used = access != Access::Watcher;
    let principal = match app.keys.authenticate(token.expose_secret(), guest.now, used).await {
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => return Err(PageError::LoggedOut),
        authenticated => authenticated?,
    };
    if let Some(arrival) = &guest.arrival {
        arrival.belongs(principal.id);
    }
    if let Some(after) = app.count(&principal).and_then(|allowance| allowance.retry_after) {
        return Err(Refusal::rate_limited(after).into());
    }
    let caller = Caller::new(app, principal, None).await?;
    let session = sessions::current(app, &caller).await?;
    Ok(Visitor::new(guest.clone(), caller, session.into()))
}

async fn read_form(guest: &Guest, visitor: Option<&Visitor>, request: &mut Request) -> Result<Form> {
    let media = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(PageError::Unreadable(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Changes are sent as a form (`application/x-www-form-urlencoded`). Scripts use the API instead: see /docs.",
        ));
    }
    let body = std::mem::replace(request.body_mut(), Body::empty());
    let address = request.extensions().get::<Arrival>().map(Arrival::address);
    let (purse, longest) = match visitor {
        Some(visitor) => (Purse::Known(Owner { key: Some(visitor.session().user.id.0), address }), LONGEST),
        None => (Purse::Open(Owner { key: None, address }), OPEN_FORM),
    };
    let read = body::read(&guest.dashboard.edge, purse, request.headers(), body, longest).await;
    let whole = read.map_err(|fault| match fault {
        Fault::TooLarge(_) => PageError::Unreadable(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The form is larger than 256 KiB, or than 16 KiB without a login. Shorten it and send it again.",
        ),
        Fault::BrokeOff(_) | Fault::Chunks(_) | Fault::NotGzip => {
            PageError::Unreadable(StatusCode::BAD_REQUEST, "The form broke off. Send it again.")
        }
        Fault::Encoding => PageError::Unreadable(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The form is compressed in a way that is not supported.",
        ),
        Fault::TooSlow => {
            PageError::Unreadable(StatusCode::REQUEST_TIMEOUT, "The form did not arrive in time. Send it again.")
        }
        Fault::NoRoom => PageError::Unreadable(
            StatusCode::TOO_MANY_REQUESTS,
            "Many forms are being sent at this moment. Nothing was changed; send it again shortly.",
        ),
        Fault::Ending => PageError::Unreadable(
            StatusCode::SERVICE_UNAVAILABLE,
            "The service is being stopped. Nothing was changed; send the form again shortly.",
        ),
        Fault::Failed(error) => PageError::broken(&error),
    })?;
    Ok(Form::parse(&whole.bytes))
}

/// Three things that another site cannot have together: the browser's word for where the form is from, the cookie, and its copy in the form.
fn check_csrf(guest: &Guest, headers: &HeaderMap, form: &Form) -> Result<()> {
    if let Err(stranger) = guest.site.sent(headers) {
        return Err(PageError::Foreign(if stranger.configured {
            "It came from another site than the one that TOKTRA_SIEM_PUBLIC_URL names. Open the page by that address and try again."
        } else {
            "It came from another site than this one. If a proxy stands in between, set TOKTRA_SIEM_PUBLIC_URL to the address in your \
             browser, and restart the server."
        }));
    }
    if guest.site.jar.read(headers, Cookie::Csrf).is_none() {
        return Err(PageError::Foreign(
            "Your browser sent no cookie with it. This page sets cookies over HTTPS only, except on this very machine: open it by https://, and \
             allow its cookies.",
        ));
    }
    let sent = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_else(|| form.text(CSRF_FIELD));
    if bool::from(sent.as_bytes().ct_eq(guest.csrf.as_bytes())) {
        return Ok(());
    }
    Err(PageError::Foreign(
        "It was opened before your browser was closed, or by somebody else. Load the page again, then repeat the change.",
    ))
}

#[derive(Template)]
#[template(path = "dashboard/error.html")]
struct ErrorPage {
    frame: Frame,
    title: &'static str,
    message: String,
    icon: Icon,
    logged_out: bool,
    /// Whether the same may well work in a moment.
    again: bool,
    fields: Vec<String>,
}

#[derive(Template)]
#[template(path = "dashboard/notice.html")]
struct ErrorNotice {
    notice: Notice,
}

/// The same where the session has ended: nothing is lost, and the login opens beside it.
#[derive(Template)]
#[template(path = "dashboard/session_over.html")]
struct SessionOver;

/// An error for whoever looks: as a notice where htmx asked for a part, as a page otherwise; where nobody is logged in, the way to the login.
fn shown(guest: &Guest, visitor: Option<&Visitor>, error: &PageError, bare: Response) -> Response {
    let (status, title) = (error.status(), error.title());
    if guest.by_script {
        let made = match error {
            PageError::LoggedOut => answer::html(status, &SessionOver),
            _ => answer::html(status, &ErrorNotice { notice: Notice::failed(format!("{title}. {}", error.message())) }),
        };
        let mut response = made.unwrap_or(bare);
        answer::as_notice(&mut response);
        return response;
    }
    // Where something was to be changed, the error stays: what was typed is one step back.
    if matches!(error, PageError::LoggedOut) && guest.method == Method::GET {
        return answer::redirect(&with_query("/login", [("next", guest.address.as_str())]), false);
    }
    let fields = match error {
        PageError::Refused(refusal) => refusal.fields.iter().map(|fault| fault.message.clone()).collect(),
        _ => Vec::new(),
    };
    let session = visitor.map(Visitor::session);
    let page = ErrorPage {
        frame: guest.frame(title, Section::None, session),
        title,
        message: error.message().to_owned(),
        icon: error.icon(),
        logged_out: matches!(error, PageError::LoggedOut),
        again: guest.method == Method::GET && (status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS),
        fields,
    };
    answer::html(status, &page).unwrap_or(bare)
}
