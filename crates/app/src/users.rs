//! `/v1/users`: the people of an org. A change of role or password ends their sessions at once, and an org that has people keeps an admin
//! among them.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use toktra_siem_base::random::Random;
use toktra_siem_core::fault::Wrong;
use toktra_siem_core::ids::{OrgId, UserId};
use toktra_siem_core::people::{Email, Role};
use toktra_siem_identity::passwords;
use toktra_siem_store::{
    Actor, AuditEntry, Change, KeptKind, PasswordHash, Scope, StoreError, UserOutcome, UserRecord, UserSave,
};
use toktra_siem_wire as wire;

use crate::object::{Member, Object};
use crate::query::{Position, Query};
use crate::{App, Caller, Refusal, Result, secrets};

/// What the API calls this in its messages.
const USER: &str = "user";
/// Changes that are tried where somebody else changes the same person at the same moment.
const TRIES: usize = 4;
/// What roles are called, for messages.
const ROLES: &str = "one of admin, viewer";

fn failed(error: StoreError) -> Refusal {
    Refusal::store(USER, error)
}

pub(super) fn view(user: &UserRecord) -> wire::User {
    let UserRecord { id, email, name, role, created_at, last_login_at, .. } = user.clone();
    wire::User { id, email, name, role, created_at, last_login_at }
}

/// What the audit log keeps of a person.
#[derive(Serialize)]
struct Kept<'a> {
    email: &'a Email,
    name: &'a str,
    role: Role,
}

fn kept(user: &UserRecord) -> Kept<'_> {
    Kept { email: &user.email, name: &user.name, role: user.role }
}

/// The detail of a line of the audit log.
#[derive(Serialize)]
struct Detail<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Kept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Kept<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    password_changed: bool,
}

fn detail(before: Option<&UserRecord>, after: Option<&UserRecord>, password_changed: bool) -> serde_json::Value {
    serde_json::json!(Detail { before: before.map(kept), after: after.map(kept), password_changed })
}

/// The people of the org.
pub async fn list(app: &App, caller: &Caller, mut query: Query) -> Result<wire::List<wire::User>> {
    let org = caller.org(Scope::Admin)?;
    let paging = query.paging();
    query.finish()?;
    let all = app.parts.store.users(org).await.map_err(failed)?;
    paging.page(all, |user| Position(user.created_at, user.id.0), |user| Ok(view(user)))
}

/// One of them.
pub async fn get(app: &App, caller: &Caller, id: UserId) -> Result<wire::User> {
    let org = caller.org(Scope::Admin)?;
    let user = app.parts.store.user(org, id).await.map_err(failed)?;
    Ok(view(&user))
}

/// Answers with the person; a password that was made up is shown once.
async fn handed(app: &App, caller: &Caller, user: &UserRecord, made: Option<SecretString>) -> wire::UserWithPassword {
    if let Some(password) = &made {
        secrets::keep(app, caller, KeptKind::Password, user.id, password).await;
    }
    wire::UserWithPassword { user: view(user), password: made.map(wire::ShownOnce) }
}

/// What a request says of a person.
struct Given {
    email: Option<Email>,
    name: Option<String>,
    role: Option<Role>,
    password: Option<SecretString>,
    /// Whether that was made up.
    made_up: bool,
}

impl Given {
    /// Everything has to be there where the person is new.
    fn read(mut object: Object, new: bool, random: &dyn Random) -> Result<Self> {
        let email = text(&mut object, "email", new).and_then(|text| {
            let email = text.parse::<Email>();
            email.map_err(|wrong| object.fault("email", wrong.to_string())).ok()
        });
        let name = object.name(new);
        let role = text(&mut object, "role", new).and_then(|text| {
            let role = crate::words::read(&text);
            if role.is_none() {
                object.fault("role", Wrong::malformed(ROLES));
            }
            role
        });
        let made_up = object.flag("make_password").unwrap_or(false);
        let given = password(&mut object, "password", new && !made_up, email.as_ref());
        if made_up && given.is_some() {
            object.fault("make_password", "cannot be true beside a password");
        }
        object.finish()?;
        let password = if made_up { Some(passwords::made_up(random)) } else { given };
        Ok(Self { email, name, role, password, made_up })
    }
}

/// A string that cannot be `null`, and has to be there where it is `required`.
pub(super) fn text(object: &mut Object, name: &str, required: bool) -> Option<String> {
    match object.text(name) {
        Member::Value(text) => return Some(text),
        Member::Null => object.fault(name, Wrong::null()),
        Member::Absent if required && !object.faulted(name) => object.fault(name, Wrong::missing()),
        Member::Absent => {}
    }
    None
}

/// A new password of whoever logs in with `email`.
pub(super) fn password(object: &mut Object, name: &str, required: bool, email: Option<&Email>) -> Option<SecretString> {
    let password = SecretString::from(text(object, name, required)?);
    match passwords::check(password.expose_secret(), email) {
        Ok(()) => Some(password),
        Err(why) => {
            object.fault(name, why);
            None
        }
    }
}

async fn hash(app: &App, password: SecretString) -> Result<PasswordHash> {
    app.parts.passwords.hash(password).await.map_err(|_| Refusal::unavailable())
}

/// Adds a person.
pub async fn create(app: &App, caller: &Caller, object: Object) -> Result<wire::UserWithPassword> {
    let org = caller.org(Scope::Admin)?;
    let (user, made) = add(app, org, object, caller.principal.actor()).await?;
    Ok(handed(app, caller, &user, made).await)
}

/// Adds the person that `object` describes, on behalf of `actor`; with the password, where it was made up.
pub(super) async fn add(
    app: &App,
    org: OrgId,
    object: Object,
    actor: Actor,
) -> Result<(UserRecord, Option<SecretString>)> {
    let given = Given::read(object, true, &*app.parts.random)?;
    let Given { email: Some(email), name: Some(name), role: Some(role), password: Some(password), made_up } = given
    else {
        tracing::error!("a person was read without all of their members");
        return Err(Refusal::internal());
    };
    let now = app.parts.clock.now();
    let made = made_up.then(|| password.clone());
    let user = UserRecord {
        id: UserId(app.parts.random.uuid_v7(now)),
        org,
        email,
        name,
        role,
        password: hash(app, password).await?,
        created_at: now,
        last_login_at: None,
    };
    let (action, object) = ("user.create".to_owned(), user.id.to_string());
    let audit = AuditEntry { at: now, actor, action, object, detail: detail(None, Some(&user), false) };
    let change = Change { value: user.clone(), audit };
    accept(app.parts.store.create_user(org, change).await.map_err(failed)?)?;
    Ok((user, made))
}

/// Changes a person: members that are given replace, absent ones stay.
pub async fn change(app: &App, caller: &Caller, id: UserId, object: Object) -> Result<wire::UserWithPassword> {
    let org = caller.org(Scope::Admin)?;
    let before = app.parts.store.user(org, id).await.map_err(failed)?;
    let given = Given::read(object, false, &*app.parts.random)?;
    if let Some(password) = &given.password {
        refuse_own_password(caller, id)?;
        // The address that is not given may be the one that the password repeats.
        let email = given.email.as_ref().unwrap_or(&before.email);
        if let Err(why) = passwords::check(password.expose_secret(), Some(email)) {
            let fault = toktra_siem_core::fault::FieldFault::of("password", why);
            return Err(Refusal::invalid(vec![fault]));
        }
    }
    let made = given.password.clone().filter(|_| given.made_up);
    let password = match given.password {
        Some(password) => Some(hash(app, password).await?),
        None => None,
    };
    let mut before = before;
    for _ in 0..TRIES {
        let after = UserRecord {
            email: given.email.clone().unwrap_or_else(|| before.email.clone()),
            name: given.name.clone().unwrap_or_else(|| before.name.clone()),
            role: given.role.unwrap_or(before.role),
            password: password.clone().unwrap_or_else(|| before.password.clone()),
            ..before.clone()
        };
        let detail = detail(Some(&before), Some(&after), password.is_some());
        let audit = caller.audit(app.parts.clock.now(), "user.update", id, detail);
        let value = UserSave { before, after: after.clone(), keep_admin: keeps_admin(caller), opens: None };
        match app.parts.store.save_user(org, Change { value, audit }).await.map_err(failed)? {
            UserOutcome::Moved => before = app.parts.store.user(org, id).await.map_err(failed)?,
            outcome => {
                accept(outcome)?;
                // Their sessions have ended, or go on under another name.
                app.keys.forget();
                return Ok(handed(app, caller, &after, made).await);
            }
        }
    }
    Err(Refusal::conflict("Others keep changing this user at the same moment. Try again."))
}

/// Whoever holds a stolen session must not get at the password without knowing the present one.
fn refuse_own_password(caller: &Caller, id: UserId) -> Result<()> {
    if caller.principal.session.as_ref().is_some_and(|session| session.user.id == id) {
        return Err(Refusal::conflict(
            "Your own password is changed with `POST /v1/sessions/current/password`, which asks for the present one.",
        ));
    }
    Ok(())
}

/// Removes a person. Their sessions end at once.
pub async fn delete(app: &App, caller: &Caller, id: UserId) -> Result<wire::UserDeleted> {
    let org = caller.org(Scope::Admin)?;
    let before = app.parts.store.user(org, id).await.map_err(failed)?;
    let audit = caller.audit(app.parts.clock.now(), "user.delete", id, detail(Some(&before), None, false));
    accept(app.parts.store.delete_user(org, id, keeps_admin(caller), audit).await.map_err(failed)?)?;
    app.keys.forget();
    Ok(wire::UserDeleted { deleted: true })
}

/// Platform keys may leave an org without an admin: who holds one can make another.
fn keeps_admin(caller: &Caller) -> bool {
    !caller.principal.is_platform()
}

fn accept(outcome: UserOutcome) -> Result<()> {
    match outcome {
        UserOutcome::Done => Ok(()),
        UserOutcome::EmailTaken => Err(Refusal::conflict(
            "This e-mail address cannot be used; it may be taken already. Choose another address.",
        )),
        UserOutcome::LastAdmin => Err(Refusal::conflict(
            "This is the last admin of the org. Make somebody else an admin first (`PATCH /v1/users/{id}` with `\"role\":\"admin\"`), or \
             have it done with a platform key.",
        )),
        UserOutcome::Moved => Err(Refusal::conflict("The user was changed at the same moment. Try again.")),
    }
}
