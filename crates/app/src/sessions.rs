//! `/v1/sessions`: logging in, looking at the session, logging out. What a session is stands in [`toktra_siem_identity::sessions`].

use std::net::IpAddr;

use secrecy::{ExposeSecret as _, SecretString};
use toktra_siem_core::fault::FieldFault;
use toktra_siem_identity::sessions::{self, Credentials, Login, LoginError};
use toktra_siem_wire as wire;

use crate::{App, Caller, Object, Refusal, Result, users};

fn opened(login: &Login) -> wire::SessionOpened {
    let Login { token, session, device, failed_attempts, previous_login_at } = login;
    wire::SessionOpened {
        token: wire::ShownOnce(token.clone()),
        expires_at: session.expires_at(),
        user: users::view(&session.user),
        device: wire::ShownOnce(device.clone()),
        failed_attempts: *failed_attempts,
        previous_login_at: *previous_login_at,
    }
}

/// Logs in, from an address. A client that shows the token of an older session of the same person gives that one up.
pub async fn open(
    app: &App,
    from: Option<IpAddr>,
    older: Option<&str>,
    mut object: Object,
) -> Result<wire::SessionOpened> {
    let older = older.filter(|token| token.starts_with(sessions::PREFIX)).map(sessions::hash);
    let email = users::text(&mut object, "email", true).unwrap_or_default();
    let password = SecretString::from(users::text(&mut object, "password", true).unwrap_or_default());
    let device = users::text(&mut object, "device", false);
    object.finish()?;
    let given = Credentials { email: &email, password, from, device: device.as_deref(), older };
    let login = app.sessions.open(given).await.map_err(|error| match error {
        LoginError::Wrong => Refusal::unauthorized(
            "Incorrect e-mail address or password. If you forgot your password, ask an admin to reset it.",
        ),
        other => refused(other),
    })?;
    if older.is_some() {
        app.keys.forget();
    }
    Ok(opened(&login))
}

/// The session of the request.
pub async fn current(app: &App, caller: &Caller) -> Result<wire::Session> {
    let session = caller.session()?;
    let org = app.parts.store.org(session.user.org).await.map_err(|error| Refusal::store("org", error))?;
    Ok(wire::Session {
        created_at: session.record.created_at,
        expires_at: session.expires_at(),
        user: users::view(&session.user),
        org: wire::SessionOrg { id: org.id, name: org.name },
    })
}

/// Logs out.
pub async fn end(app: &App, caller: &Caller) -> Result<wire::SessionEnded> {
    app.sessions.end(caller.session()?).await.map_err(|error| Refusal::store("session", error))?;
    app.keys.forget();
    Ok(wire::SessionEnded { ended: true })
}

/// Changes the password of whoever calls. Every session of theirs ends, this one too; the answer is a new one.
pub async fn change_password(
    app: &App,
    caller: &Caller,
    from: Option<IpAddr>,
    mut object: Object,
) -> Result<wire::SessionOpened> {
    let session = caller.session()?;
    let current = SecretString::from(users::text(&mut object, "current", true).unwrap_or_default());
    let new = users::password(&mut object, "new", true, Some(&session.user.email));
    if new.as_ref().is_some_and(|new| new.expose_secret() == current.expose_secret()) {
        object.fault("new", "is the current password; choose another");
    }
    object.finish()?;
    let new = new.unwrap_or_default();
    let login = app.sessions.change_password(session, current, new, from).await.map_err(|error| match error {
        LoginError::Wrong => Refusal::invalid(vec![FieldFault::of("current", "is not your current password")]),
        other => refused(other),
    })?;
    app.keys.forget();
    Ok(opened(&login))
}

fn refused(error: LoginError) -> Refusal {
    match error {
        LoginError::Limited { wait } => {
            Refusal::guesses_limited(u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1))
        }
        LoginError::Store(error) => Refusal::store("user", error),
        LoginError::Busy(_) | LoginError::Wrong => Refusal::unavailable(),
    }
}
