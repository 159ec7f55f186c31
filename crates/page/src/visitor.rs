//! Whoever looks at the page, and what they may ask the API.

use std::ops::Deref;
use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::response::Response;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use toktra_siem_api::door::{By, Call, Outer};
use toktra_siem_api::once::KEY;
use toktra_siem_core::ids::{OrgId, UserId};
use toktra_siem_core::people::Role;
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::Registry;

use super::answer::{self, Result};
use super::error::{PageError, Refusal};
use super::form::Form;
use super::frame::{Frame, Notice, Section, Theme};
use super::model::{Org, SessionInfo, User};
use super::site::Site;
use super::{Dashboard, answer::redirect};

/// Somebody who may or may not be logged in.
#[derive(Clone)]
pub struct Guest(Arc<GuestParts>);

/// See [`Guest`].
#[derive(Clone)]
pub struct GuestParts {
    pub(super) dashboard: Dashboard,
    pub(super) site: Site,
    pub(super) outer: Outer,
    /// What forms repeat.
    pub(super) csrf: String,
    /// The session's token, where there is one; it may have ended.
    pub(super) token: Option<SecretString>,
    /// What tells that somebody logged in with this browser before.
    pub(super) device: Option<SecretString>,
    /// Whether htmx asks, for a part of a page.
    pub(super) by_script: bool,
    pub(super) theme: Theme,
    pub(super) utc: bool,
    pub(super) notice: Option<Notice>,
    pub(super) method: Method,
    /// Path and query.
    pub(super) address: String,
    pub(super) now: Timestamp,
}

impl GuestParts {
    /// A new idempotency key. What all look at has none: the script makes one.
    fn once(&self) -> String {
        if self.csrf.is_empty() {
            return String::new();
        }
        let mut bytes = [0; 16];
        self.dashboard.random.fill(&mut bytes);
        hex::encode(bytes)
    }

    /// On whose behalf they ask the API.
    pub(super) fn by(&self) -> By {
        self.token.clone().map_or(By::Nobody, By::Session)
    }

    /// Which platforms there are.
    pub fn registry(&self) -> &Registry {
        &self.dashboard.registry
    }

    /// The query of the address, as a form sends it.
    pub fn query(&self) -> Form {
        let query = self.address.split_once('?').map_or("", |(_, query)| query);
        Form::parse(query.as_bytes())
    }
}

impl Deref for Guest {
    type Target = GuestParts;

    fn deref(&self) -> &GuestParts {
        &self.0
    }
}

/// An answer of the API that is no refusal.
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answered {
    /// Its JSON. What cannot be read is our own failure: the two sides disagree.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| PageError::broken(&error))
    }
}

impl Guest {
    pub(super) fn new(parts: GuestParts) -> Self {
        Self(Arc::new(parts))
    }

    /// Makes a call and hands its answer over as it is: for streams.
    pub(super) async fn raw(&self, by: &By, asked: Asked<'_>) -> Response {
        let Asked { counted, method, path, accept, headers, body } = asked;
        let body = body.map(|body| Bytes::from(body.to_string()));
        self.dashboard.door.call(Call { outer: &self.outer, counted, method, path, by, accept, headers, body }).await
    }

    /// Makes a call and reads its answer.
    pub(super) async fn ask(&self, by: &By, asked: Asked<'_>) -> Result<Answered> {
        let path = asked.path.to_owned();
        answered(&path, self.raw(by, asked).await).await
    }

    /// The frame of a page.
    pub(super) fn frame(&self, title: impl Into<String>, section: Section, session: Option<&SessionInfo>) -> Frame {
        Frame {
            title: title.into(),
            section,
            session: session.cloned(),
            csrf: self.csrf.clone(),
            once: self.once(),
            theme: self.theme,
            utc: self.utc,
            notice: self.notice.clone(),
            address: self.address.clone(),
            now: self.now,
            registry: self.dashboard.registry.clone(),
        }
    }
}

/// What is asked of the API.
pub struct Asked<'a> {
    pub(super) counted: bool,
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) accept: Option<&'static str>,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<&'a Value>,
}

impl<'a> Asked<'a> {
    /// A call with this method and path.
    pub fn new(method: Method, path: &'a str) -> Self {
        Self { counted: false, method, path, accept: None, headers: HeaderMap::new(), body: None }
    }

    /// With this body.
    #[must_use]
    pub fn with(self, body: &'a Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// With another answer than JSON.
    #[must_use]
    pub fn accepting(self, media: &'static str) -> Self {
        Self { accept: Some(media), ..self }
    }

    /// It counts for the session's request limit.
    #[must_use]
    pub fn counted(self) -> Self {
        Self { counted: true, ..self }
    }
}

/// An answer of the API, read in whole; what is no success is an error.
pub(super) async fn answered(path: &str, response: Response) -> Result<Answered> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| PageError::broken(&error))?.to_bytes();
    if parts.status.is_success() {
        return Ok(Answered { status: parts.status, headers: parts.headers, body });
    }
    if let Some(refusal) = Refusal::read(parts.status, &body) {
        return Err(PageError::Refused(refusal));
    }
    tracing::error!(path, status = parts.status.as_u16(), "the API answered the page with what is no error of its own");
    Err(PageError::Broken)
}

/// Somebody who is logged in.
#[derive(Clone)]
pub struct Visitor {
    guest: Guest,
    by: By,
    session: Arc<SessionInfo>,
    /// The idempotency key of the form that was sent.
    once: Option<HeaderValue>,
}

impl Deref for Visitor {
    type Target = GuestParts;

    fn deref(&self) -> &GuestParts {
        &self.guest
    }
}

impl Visitor {
    pub(super) fn new(guest: Guest, by: By, session: SessionInfo) -> Self {
        Self { guest, by, session: Arc::new(session), once: None }
    }

    /// All people of `org` with this role, for what is shown to each of them: it may read, and nothing of it names anybody.
    pub(super) fn onlooker(dashboard: &Dashboard, org: OrgId, role: Role) -> Self {
        let now = dashboard.clock.now();
        let guest = Guest::new(GuestParts {
            dashboard: dashboard.clone(),
            site: Site::of(&HeaderMap::new(), None),
            outer: Outer::default(),
            csrf: String::new(),
            token: None,
            device: None,
            by_script: true,
            theme: Theme::default(),
            utc: false,
            notice: None,
            method: Method::GET,
            address: String::new(),
            now,
        });
        let user = User { id: UserId(org.0), email: String::new(), name: String::new(), role };
        let session = SessionInfo { expires_at: now, user, org: Org { id: org, name: String::new() } };
        Self { guest, by: By::Onlookers(org), session: Arc::new(session), once: None }
    }

    /// The same, who sent `form`: what it asks of the API is done once, however often it is sent.
    #[must_use]
    pub(super) fn sending(self, form: &Form) -> Self {
        let once = form.filled("idempotency_key").and_then(|key| HeaderValue::try_from(key).ok());
        Self { once, ..self }
    }

    /// The session, with its person and org.
    pub fn session(&self) -> &SessionInfo {
        &self.session
    }

    /// Whether the person may change things.
    pub fn is_admin(&self) -> bool {
        self.session.user.role == Role::Admin
    }

    /// `GET` of the API.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.ask(Asked::new(Method::GET, path)).await?.read()
    }

    /// Any call of the API.
    pub async fn ask(&self, mut asked: Asked<'_>) -> Result<Answered> {
        if let (Some(once), true) = (&self.once, asked.method != Method::GET) {
            asked.headers.insert(KEY, once.clone());
        }
        self.guest.ask(&self.by, asked).await
    }

    /// Any call of the API whose answer is handed on as it comes.
    pub async fn stream(&self, asked: Asked<'_>) -> std::result::Result<Response, PageError> {
        let path = asked.path.to_owned();
        let response = self.guest.raw(&self.by, asked).await;
        if response.status().is_success() { Ok(response) } else { Err(refused(&path, response).await) }
    }

    /// The frame of a page.
    pub fn frame(&self, title: impl Into<String>, section: Section) -> Frame {
        self.guest.frame(title, section, Some(&self.session))
    }

    /// A page.
    pub fn page<T: Template>(&self, template: &T) -> Result {
        answer::html(StatusCode::OK, template)
    }

    /// Goes on to `path`.
    pub fn go(&self, path: &str) -> Response {
        redirect(path, self.by_script)
    }

    /// Goes on to `path`, where `notice` stands on top.
    pub fn go_with(&self, path: &str, notice: Notice) -> Response {
        let mut response = self.go(path);
        response.extensions_mut().insert(notice);
        response
    }
}

async fn refused(path: &str, response: Response) -> PageError {
    match answered(path, response).await {
        Ok(_) => PageError::Broken,
        Err(error) => error,
    }
}

/// `path` with a query of what is there.
pub fn with_query<'a>(path: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// A part of a path: what is no letter, digit, `-`, `_` or `.` is encoded, so that it cannot become a path of its own.
pub fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

impl<S: Send + Sync> FromRequestParts<S> for Guest {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        parts.extensions.get::<Self>().cloned().ok_or(PageError::Broken)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        parts.extensions.get::<Self>().cloned().ok_or(PageError::LoggedOut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_stays_one_part_of_a_path() {
        assert_eq!(segment("0195-a_b"), "0195-a_b");
        assert_eq!(segment("../v1/users?x=1#y"), "%2E%2E%2Fv1%2Fusers%3Fx%3D1%23y");
        assert_eq!(with_query("/a", [("b", "c d&e"), ("f", "")]), "/a?b=c+d%26e");
        assert_eq!(with_query("/a", []), "/a");
    }
}
