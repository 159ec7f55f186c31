//! Whoever looks at the page, and what they may ask for.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::response::Response;
use http::header::HeaderMap;
use http::request::Parts;
use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use toktra_siem_app::once::{self, Earlier, Once};
use toktra_siem_app::{App, Caller, Object, Refusal};
use toktra_siem_core::ids::{OrgId, UserId};
use toktra_siem_core::people::Role;
use toktra_siem_core::time::Timestamp;
use toktra_siem_edge::Arrival;
use toktra_siem_platform::Registry;

use super::answer::{self, Result};
use super::error::PageError;
use super::form::Form;
use super::frame::{Frame, Notice, Section, Theme};
use super::model::{Org, SessionInfo, User};
use super::site::Site;
use super::tour::Tour;
use super::{Dashboard, answer::redirect};

/// Somebody who may or may not be logged in.
#[derive(Clone)]
pub struct Guest(Arc<GuestParts>);

/// See [`Guest`].
#[derive(Clone)]
pub struct GuestParts {
    pub(super) dashboard: Dashboard,
    pub(super) site: Site,
    /// What is known of the connection.
    pub(super) arrival: Option<Arrival>,
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
    /// A new idempotency key. A live view, which is made once for all who look, has none: the script makes one.
    fn once(&self) -> String {
        if self.csrf.is_empty() {
            return String::new();
        }
        let mut bytes = [0; 16];
        self.dashboard.random.fill(&mut bytes);
        hex::encode(bytes)
    }

    /// The token of the session that this browser holds.
    pub(super) fn held(&self) -> Option<&str> {
        self.token.as_ref().map(ExposeSecret::expose_secret)
    }

    /// The address that they come from, if it is known.
    pub(super) fn address_of_client(&self) -> Option<IpAddr> {
        self.arrival.as_ref().map(Arrival::address)
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

impl Guest {
    pub(super) fn new(parts: GuestParts) -> Self {
        Self(Arc::new(parts))
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

/// Somebody who is logged in.
#[derive(Clone)]
pub struct Visitor {
    guest: Guest,
    caller: Caller,
    session: Arc<SessionInfo>,
    /// The idempotency key of the form that was sent.
    once: Option<String>,
}

impl Deref for Visitor {
    type Target = GuestParts;

    fn deref(&self) -> &GuestParts {
        &self.guest
    }
}

impl Visitor {
    pub(super) fn new(guest: Guest, caller: Caller, session: SessionInfo) -> Self {
        Self { guest, caller, session: Arc::new(session), once: None }
    }

    /// All people of `org` with this role, for what is shown to each of them: it may read, and nothing of it names anybody.
    pub(super) fn onlooker(dashboard: &Dashboard, org: OrgId, role: Role) -> Self {
        let now = dashboard.clock.now();
        let guest = Guest::new(GuestParts {
            dashboard: dashboard.clone(),
            site: Site::of(&HeaderMap::new(), None),
            arrival: None,
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
        Self { guest, caller: Caller::onlookers(org), session: Arc::new(session), once: None }
    }

    /// The same, who sent `form`: what it asks for is done once, however often it is sent.
    #[must_use]
    pub(super) fn sending(self, form: &Form) -> Self {
        let once = form.filled("idempotency_key").map(str::to_owned);
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

    /// What can be asked for.
    pub fn app(&self) -> &App {
        &self.guest.dashboard.app
    }

    /// The demo's tour, if this is one. Only admins can go on it.
    pub fn tour(&self) -> Option<&Tour> {
        self.guest.dashboard.tour.as_ref().filter(|_| self.is_admin())
    }

    /// Whether this is the demo.
    pub fn is_demo(&self) -> bool {
        self.guest.dashboard.tour.is_some()
    }

    /// On whose behalf.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Runs a use case with what a form says. A form that is sent twice is done once, at `place`: what came of it is shown again.
    ///
    /// # Errors
    ///
    /// Those of the use case.
    pub async fn once<T, F>(
        &self,
        place: &str,
        said: &Value,
        doing: impl FnOnce(App, Caller, Object) -> F,
    ) -> Result<T, Refusal>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        let (app, object) = (self.app(), Object::of(said));
        let doing = doing(app.clone(), self.caller.clone(), object);
        let Some(key) = &self.once else { return doing.await };
        let place = [b"page".as_slice(), place.as_bytes()];
        let once = Once::new(app, &self.caller, key.as_bytes(), &place, &[said.to_string().as_bytes()])?;
        once::run(app, once, doing).await.map_err(in_words_of_a_form)
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

/// What stands in the way of a form that was sent before. A person sees the form and not its key, so the sentence speaks of the form.
fn in_words_of_a_form(mut refusal: Refusal) -> Refusal {
    let words = match Earlier::of(&refusal) {
        Some(Earlier::UnderWay) => {
            "This form was sent a moment ago, and the service is still busy with it. Wait a moment, then look whether it was done."
        }
        Some(Earlier::Unknown) => {
            "This form was sent before, and nobody knows what came of it, because the service failed in the middle. Look whether it was \
             done. If it was not, send the form once more."
        }
        Some(Earlier::Other) => {
            "This form was sent before, and something else stood in it. Look whether that was done. To do this as well, send the form once \
             more."
        }
        Some(Earlier::Hidden) | None => return refusal,
    };
    words.clone_into(&mut refusal.problem.message);
    refusal
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

/// A part of a path: what is no letter, digit, `-` or `_` is encoded, so that it cannot become a path of its own.
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
