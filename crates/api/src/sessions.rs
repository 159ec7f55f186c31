//! `/v1/sessions`: logging in, looking at the session, logging out. What a session is stands in [`toktra_siem_identity::sessions`].

use axum::extract::State;
use http::HeaderMap;
use toktra_siem_app::{App, Caller, sessions};

use crate::answer::{Answer, created, ok};
use crate::extract::{From, Given, NoQuery, bearer};

/// `POST /v1/sessions`.
pub(super) async fn open(
    State(app): State<App>,
    _: NoQuery,
    From(from): From,
    headers: HeaderMap,
    Given(login): Given,
) -> Answer {
    created(&sessions::open(&app, from, bearer(&headers).ok(), login).await?)
}

/// `POST /v1/sessions/current/password`.
pub(super) async fn change_password(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    From(from): From,
    Given(change): Given,
) -> Answer {
    ok(&sessions::change_password(&app, &caller, from, change).await?)
}

/// What these routes say of themselves.
pub(super) mod doc {
    use toktra_siem_wire as wire;

    use crate::doc::{Doc, Tag};
    use crate::error::Code;

    const LIMITED: &str = "Too many wrong passwords: 20 for an account from one address, 100 from all addresses, 300 from an address for all \
                           accounts; as many come back within an hour. Until `Retry-After` even the right password is refused. A known \
                           `device` has 20 of its own.";
    const CHANGE_LIMITED: &str = "Too many wrong passwords in this session: 10, and as many come back within an hour.";

    pub(crate) fn open() -> Doc {
        Doc::new("createSession", Tag::Users, "Log in")
            .about(
                "A session ends 12 hours after its last use, and 14 days after it was opened. If the request carries the token of an \
                 older session of the same user, that one ends.",
            )
            .body::<wire::NewSession>("Who logs in.")
            .created::<wire::SessionOpened>("The session was opened. This answer is the only one that shows its token.")
            .error(401, Code::Unauthorized, "Incorrect e-mail address or password.")
            .error(429, Code::RateLimited, LIMITED)
    }

    pub(crate) fn current() -> Doc {
        Doc::new("getSession", Tag::Users, "Show one's own session").ok::<wire::Session>("The session of the request.")
    }

    pub(crate) fn end() -> Doc {
        Doc::new("deleteSession", Tag::Users, "Log out").ok::<wire::SessionEnded>("The session has ended.")
    }

    pub(crate) fn change_password() -> Doc {
        Doc::new("changePassword", Tag::Users, "Change one's own password")
            .about("Every session of the user ends, the one of the request too; the answer is a new one.")
            .body::<wire::PasswordChange>("The current password and the new one.")
            .ok::<wire::SessionOpened>(
                "The password was changed. This answer is the only one that shows the new token.",
            )
            .error(429, Code::RateLimited, CHANGE_LIMITED)
    }
}
