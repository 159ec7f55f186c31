//! `/v1/sessions`: logging in, looking at the session, logging out. What a session is stands in [`toktra_siem_identity::sessions`].

use std::net::IpAddr;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Request, StatusCode};
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use toktra_siem_core::fault::FieldFault;
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_edge::Arrival;
use toktra_siem_identity::sessions::{self, Credentials, Login, LoginError};

use super::error::{ApiError, Result};
use super::guard::Caller;
use super::object::Object;
use super::query::Query;
use super::state::AppState;
use super::users::{self, UserView};
use super::{answer, auth};

/// A session that was just opened.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SessionOpened")]
struct Opened<'a> {
    /// To be sent as `Authorization: Bearer <token>`; shown in this one answer.
    token: &'a str,
    /// When it ends, if it is not used until then.
    expires_at: Timestamp,
    /// Whose it is.
    user: UserView,
    /// To be kept, and sent as `device` with the next login from the same place: wrong passwords that others try do not hold that one up.
    device: &'a str,
    /// Attempts to log in as the user that failed since the login before this one.
    failed_attempts: u64,
    /// When the user logged in before; `null` where they never did, and after a change of the password.
    previous_login_at: Option<Timestamp>,
}

/// A session that is open.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Session")]
struct Current {
    /// When it was opened.
    created_at: Timestamp,
    /// When it ends, if it is not used until then.
    expires_at: Timestamp,
    /// Whose it is.
    user: UserView,
    /// The org of that person.
    org: OrgView,
}

/// The org of a person.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct OrgView {
    /// Its id.
    id: OrgId,
    /// For people.
    name: String,
}

/// That it has ended.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Ended {
    /// Always `true`.
    ended: bool,
}

fn opened(status: StatusCode, login: &Login) -> Response {
    let Login { token, session, device, failed_attempts, previous_login_at } = login;
    let (failed_attempts, previous_login_at) = (*failed_attempts, *previous_login_at);
    let (user, expires_at) = (users::view(&session.user), session.expires_at());
    let (token, device) = (token.expose_secret(), device.expose_secret());
    answer::json(status, &Opened { token, expires_at, user, device, failed_attempts, previous_login_at })
}

/// Logs in. A client that shows the token of an older session of the same person gives that one up.
pub(super) async fn open(State(state): State<AppState>, request: Request<Body>) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let from = address(&request);
    let older = older(request.headers());
    let mut object = Object::read(&state, request).await?;
    let email = users::text(&mut object, "email", true).unwrap_or_default();
    let password = SecretString::from(users::text(&mut object, "password", true).unwrap_or_default());
    let device = users::text(&mut object, "device", false);
    object.finish()?;
    let given = Credentials { email: &email, password, from, device: device.as_deref(), older };
    let login = state.sessions.open(given).await.map_err(|error| match error {
        LoginError::Wrong => ApiError::unauthorized(
            "E-mail address and password do not belong together. Check both; an admin of your org can set a new password.",
        ),
        other => refused(other),
    })?;
    if older.is_some() {
        state.keys.forget();
    }
    Ok(opened(StatusCode::CREATED, &login))
}

/// Where a request comes from; `None` where it came over no socket.
fn address(request: &Request<Body>) -> Option<IpAddr> {
    request.extensions().get().map(Arrival::address)
}

fn older(headers: &HeaderMap) -> Option<[u8; 32]> {
    auth::bearer(headers).ok().filter(|token| token.starts_with(sessions::PREFIX)).map(sessions::hash)
}

/// The session of the request.
pub(super) async fn current(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let session = caller.session()?;
    let org = state.parts.store.org(session.user.org).await.map_err(|error| ApiError::store("org", error))?;
    let view = Current {
        created_at: session.record.created_at,
        expires_at: session.expires_at(),
        user: users::view(&session.user),
        org: OrgView { id: org.id, name: org.name },
    };
    Ok(answer::json(StatusCode::OK, &view))
}

/// Logs out.
pub(super) async fn end(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    state.sessions.end(caller.session()?).await.map_err(|error| ApiError::store("session", error))?;
    state.keys.forget();
    Ok(answer::json(StatusCode::OK, &Ended { ended: true }))
}

/// Changes the password of whoever calls. Every session of theirs ends, this one too; the answer is a new one.
pub(super) async fn change_password(
    State(state): State<AppState>,
    caller: Caller,
    request: Request<Body>,
) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let session = caller.session()?;
    let from = address(&request);
    let mut object = Object::read(&state, request).await?;
    let current = SecretString::from(users::text(&mut object, "current", true).unwrap_or_default());
    let new = users::password(&mut object, "new", true, Some(&session.user.email));
    if new.as_ref().is_some_and(|new| new.expose_secret() == current.expose_secret()) {
        object.fault("new", "is the present password; choose another");
    }
    object.finish()?;
    let new = new.unwrap_or_default();
    let login = state.sessions.change_password(session, current, new, from).await.map_err(|error| match error {
        LoginError::Wrong => ApiError::invalid(vec![FieldFault::of("current", "is not your present password")]),
        other => refused(other),
    })?;
    state.keys.forget();
    Ok(opened(StatusCode::OK, &login))
}

fn refused(error: LoginError) -> ApiError {
    match error {
        LoginError::Limited { wait } => {
            ApiError::guesses_limited(u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1))
        }
        LoginError::Store(error) => ApiError::store("user", error),
        LoginError::Busy(_) | LoginError::Wrong => ApiError::unavailable(),
    }
}

/// What these routes say of themselves.
pub(super) mod doc {
    use schemars::JsonSchema;

    use super::super::doc::{Doc, Tag};
    use super::super::error::Code;
    use super::super::users::doc::GivenPassword;
    use super::{Current, Ended, Opened};

    /// Who logs in.
    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "describes what is read member by member")]
    struct NewSession {
        /// The user's e-mail address.
        email: String,
        /// The user's password.
        #[schemars(extend("writeOnly" = true))]
        password: String,
        /// The `device` that an earlier login answered, where there is one. One that this server did not make, or made for somebody else,
        /// counts as none.
        #[serde(default)]
        #[schemars(with = "String", extend("writeOnly" = true))]
        device: Option<String>,
    }

    /// A change of one's own password.
    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "describes what is read member by member")]
    struct PasswordChange {
        /// The present password.
        #[schemars(extend("writeOnly" = true))]
        current: String,
        /// The new one.
        new: GivenPassword,
    }

    const LIMITED: &str = "Too many wrong passwords: 20 for an account from one address, 100 from all addresses, 300 from an address for all \
                           accounts; as many come back within an hour. Until `Retry-After` even the right password is refused. A known \
                           `device` has 20 of its own.";
    const CHANGE_LIMITED: &str = "Too many wrong passwords in this session: 10, and as many come back within an hour.";

    pub(crate) fn open() -> Doc {
        Doc::new("createSession", Tag::Users, "Log in")
            .about(
                "A session ends 12 hours after its last use, and 14 days after it was opened. Where the request carries the token of an \
                 older session of the same user, that one ends.",
            )
            .body::<NewSession>("Who logs in.")
            .created::<Opened<'_>>("The session was opened. This answer is the only one that shows its token.")
            .error(401, Code::Unauthorized, "E-mail address and password do not belong together.")
            .error(429, Code::RateLimited, LIMITED)
    }

    pub(crate) fn current() -> Doc {
        Doc::new("getSession", Tag::Users, "Show one's own session").ok::<Current>("The session of the request.")
    }

    pub(crate) fn end() -> Doc {
        Doc::new("deleteSession", Tag::Users, "Log out").ok::<Ended>("The session has ended.")
    }

    pub(crate) fn change_password() -> Doc {
        Doc::new("changePassword", Tag::Users, "Change one's own password")
            .about("Every session of the user ends, the one of the request too; the answer is a new one.")
            .body::<PasswordChange>("The present password and the new one.")
            .ok::<Opened<'_>>("The password was changed. This answer is the only one that shows the new token.")
            .error(429, Code::RateLimited, CHANGE_LIMITED)
    }
}
