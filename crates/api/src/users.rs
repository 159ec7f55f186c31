//! `/v1/users`: the people of an org. A change of role or password ends their sessions at once, and an org that has people keeps an admin
//! among them.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use toktra_siem_base::random::Random;
use toktra_siem_core::fault::Wrong;
use toktra_siem_core::ids::{OrgId, UserId};
use toktra_siem_core::people::{Email, Role};
use toktra_siem_core::time::Timestamp;
use toktra_siem_identity::passwords;
use toktra_siem_store::{
    Actor, AuditEntry, Change, KeptKind, PasswordHash, StoreError, UserOutcome, UserRecord, UserSave,
};

use super::error::{ApiError, Result};
use super::guard::Caller;
use super::named::InOrg;
use super::object::{Member, Object};
use super::query::{Position, Query};
use super::state::AppState;
use super::{answer, shown};

/// What the API calls this in its messages.
const USER: &str = "user";
/// Changes that are tried where somebody else changes the same person at the same moment.
const TRIES: usize = 4;
/// What roles are called, for messages.
const ROLES: &str = "one of admin, viewer";

fn failed(error: StoreError) -> ApiError {
    ApiError::store(USER, error)
}

/// A person of an org.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(super) struct UserView {
    /// Identifies the person.
    id: UserId,
    /// What they log in with.
    email: Email,
    /// For people.
    name: String,
    /// What they may do.
    role: Role,
    /// When they were added.
    created_at: Timestamp,
    /// When they last logged in; `null` where they never did.
    last_login_at: Option<Timestamp>,
}

pub(super) fn view(user: &UserRecord) -> UserView {
    let UserRecord { id, email, name, role, created_at, last_login_at, .. } = user.clone();
    UserView { id, email, name, role, created_at, last_login_at }
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
pub(super) async fn list(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    let mut query = Query::of(request.uri());
    let paging = query.paging();
    query.finish()?;
    let all = state.parts.store.users(caller.org()?).await.map_err(failed)?;
    let list = paging.page(all, |user| Position(user.created_at, user.id.0), |user| Ok(view(user)))?;
    Ok(answer::json(StatusCode::OK, &list))
}

/// One of them.
pub(super) async fn get(State(state): State<AppState>, InOrg { org, id, .. }: InOrg<UserId>) -> Result<Response> {
    let user = state.parts.store.user(org, id).await.map_err(failed)?;
    Ok(answer::json(StatusCode::OK, &view(&user)))
}

/// A person with the password that was made up for them.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UserWithPassword")]
struct HandedView<'a> {
    #[serde(flatten)]
    user: UserView,
    /// What was made up where the request has `make_password`: it is shown here, and for ten minutes to whoever asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    password: Option<&'a str>,
}

/// Answers with the person; a password that was made up is shown once.
async fn handed(
    state: &AppState,
    caller: &Caller,
    status: StatusCode,
    user: &UserRecord,
    made: Option<SecretString>,
) -> Response {
    if let Some(password) = &made {
        shown::keep(state, caller, KeptKind::Password, user.id, password).await;
    }
    let password = made.as_ref().map(ExposeSecret::expose_secret);
    answer::json(status, &HandedView { user: view(user), password })
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
            let role = super::words::read(&text);
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

async fn hash(state: &AppState, password: SecretString) -> Result<PasswordHash> {
    state.parts.passwords.hash(password).await.map_err(|_| ApiError::unavailable())
}

/// Adds a person.
pub(super) async fn create(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let org = caller.org()?;
    let object = Object::read(&state, request).await?;
    let (user, made) = add(&state, org, object, caller.principal.actor()).await?;
    Ok(handed(&state, &caller, StatusCode::CREATED, &user, made).await)
}

/// Adds the person that `object` describes, on behalf of `actor`; with the password, where it was made up.
pub(super) async fn add(
    state: &AppState,
    org: OrgId,
    object: Object,
    actor: Actor,
) -> Result<(UserRecord, Option<SecretString>)> {
    let given = Given::read(object, true, &*state.parts.random)?;
    let Given { email: Some(email), name: Some(name), role: Some(role), password: Some(password), made_up } = given
    else {
        tracing::error!("a person was read without all of their members");
        return Err(ApiError::internal());
    };
    let now = state.parts.clock.now();
    let made = made_up.then(|| password.clone());
    let user = UserRecord {
        id: UserId(state.parts.random.uuid_v7(now)),
        org,
        email,
        name,
        role,
        password: hash(state, password).await?,
        created_at: now,
        last_login_at: None,
    };
    let (action, object) = ("user.create".to_owned(), user.id.to_string());
    let audit = AuditEntry { at: now, actor, action, object, detail: detail(None, Some(&user), false) };
    let change = Change { value: user.clone(), audit };
    accept(state.parts.store.create_user(org, change).await.map_err(failed)?)?;
    Ok((user, made))
}

/// Changes a person: members that are given replace, absent ones stay.
pub(super) async fn change(
    State(state): State<AppState>,
    InOrg { caller, org, id }: InOrg<UserId>,
    request: Request<Body>,
) -> Result<Response> {
    let before = state.parts.store.user(org, id).await.map_err(failed)?;
    let given = Given::read(Object::read(&state, request).await?, false, &*state.parts.random)?;
    if let Some(password) = &given.password {
        refuse_own_password(&caller, id)?;
        // The address that is not given may be the one that the password repeats.
        let email = given.email.as_ref().unwrap_or(&before.email);
        if let Err(why) = passwords::check(password.expose_secret(), Some(email)) {
            let fault = toktra_siem_core::fault::FieldFault::of("password", why);
            return Err(ApiError::invalid(vec![fault]));
        }
    }
    let made = given.password.clone().filter(|_| given.made_up);
    let password = match given.password {
        Some(password) => Some(hash(&state, password).await?),
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
        let audit = caller.audit(state.parts.clock.now(), "user.update", id, detail);
        let value = UserSave { before, after: after.clone(), keep_admin: keeps_admin(&caller), opens: None };
        match state.parts.store.save_user(org, Change { value, audit }).await.map_err(failed)? {
            UserOutcome::Moved => before = state.parts.store.user(org, id).await.map_err(failed)?,
            outcome => {
                accept(outcome)?;
                // Their sessions have ended, or go on under another name.
                state.keys.forget();
                return Ok(handed(&state, &caller, StatusCode::OK, &after, made).await);
            }
        }
    }
    Err(ApiError::conflict("Others keep changing this user at the same moment. Try again."))
}

/// Whoever holds a stolen session must not get at the password without knowing the present one.
fn refuse_own_password(caller: &Caller, id: UserId) -> Result<()> {
    if caller.principal.session.as_ref().is_some_and(|session| session.user.id == id) {
        return Err(ApiError::conflict(
            "Your own password is changed with `POST /v1/sessions/current/password`, which asks for the present one.",
        ));
    }
    Ok(())
}

/// That the person is gone.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Deleted {
    /// Always `true`.
    deleted: bool,
}

/// Removes a person. Their sessions end at once.
pub(super) async fn delete(
    State(state): State<AppState>,
    InOrg { caller, org, id }: InOrg<UserId>,
) -> Result<Response> {
    let before = state.parts.store.user(org, id).await.map_err(failed)?;
    let audit = caller.audit(state.parts.clock.now(), "user.delete", id, detail(Some(&before), None, false));
    accept(state.parts.store.delete_user(org, id, keeps_admin(&caller), audit).await.map_err(failed)?)?;
    state.keys.forget();
    Ok(answer::json(StatusCode::OK, &Deleted { deleted: true }))
}

/// Platform keys may leave an org without an admin: who holds one can make another.
fn keeps_admin(caller: &Caller) -> bool {
    !caller.principal.is_platform()
}

fn accept(outcome: UserOutcome) -> Result<()> {
    match outcome {
        UserOutcome::Done => Ok(()),
        UserOutcome::EmailTaken => Err(ApiError::conflict(
            "This e-mail address cannot be used; it may be taken already. Choose another address.",
        )),
        UserOutcome::LastAdmin => Err(ApiError::conflict(
            "This is the last admin of the org. Make somebody else an admin first (`PATCH /v1/users/{id}` with `\"role\":\"admin\"`), or \
             have it done with a platform key.",
        )),
        UserOutcome::Moved => Err(ApiError::conflict("The user was changed at the same moment. Try again.")),
    }
}

/// What these routes say of themselves.
pub(super) mod doc {
    use schemars::JsonSchema;
    use toktra_siem_core::people::Role;

    use super::super::doc::{Doc, Name, Tag};
    use super::super::error::Code;
    use super::super::query::List;
    use super::{Deleted, HandedView, UserView};

    /// A password that is given. Neither the e-mail address nor one that anybody would try first; no other rules.
    #[derive(JsonSchema)]
    #[schemars(inline, extend("writeOnly" = true))]
    #[expect(dead_code, reason = "describes what is read member by member")]
    pub(crate) struct GivenPassword(#[schemars(length(min = 12, max = 200))] String);

    /// A new person.
    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "describes what is read member by member")]
    struct NewUser {
        /// The e-mail address that they log in with. No two users of the service share one.
        email: String,
        /// For people.
        name: Name,
        /// What they may do.
        role: Role,
        /// What they log in with. It is never shown.
        #[serde(default)]
        #[schemars(with = "GivenPassword")]
        password: Option<String>,
        /// Has a password made up, instead of `password`. The answer shows it.
        #[serde(default)]
        make_password: bool,
    }

    /// What of a person can be changed.
    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "describes what is read member by member")]
    struct UserChange {
        /// The e-mail address that they log in with. No two users of the service share one.
        #[serde(default)]
        #[schemars(with = "String")]
        email: Option<String>,
        /// For people.
        #[serde(default)]
        #[schemars(with = "Name")]
        name: Option<String>,
        /// What they may do.
        #[serde(default)]
        #[schemars(with = "Role")]
        role: Option<Role>,
        /// A new password for somebody else. It is never shown.
        #[serde(default)]
        #[schemars(with = "GivenPassword")]
        password: Option<String>,
        /// Has a new password made up, instead of `password`. The answer shows it.
        #[serde(default)]
        make_password: bool,
    }

    pub(crate) fn list() -> Doc {
        Doc::new("listUsers", Tag::Users, "List users").paged().ok::<List<UserView>>("A page of users, oldest first.")
    }

    pub(crate) fn create() -> Doc {
        Doc::new("createUser", Tag::Users, "Add a user")
            .body::<NewUser>("The user.")
            .created::<HandedView<'static>>("The user was added.")
            .once()
            .error(409, Code::Conflict, "The e-mail address cannot be used.")
    }

    pub(crate) fn get() -> Doc {
        Doc::new("getUser", Tag::Users, "Show a user").ok::<UserView>("The user.")
    }

    pub(crate) fn change() -> Doc {
        Doc::new("updateUser", Tag::Users, "Change a user")
            .about("Members that are given replace, absent ones stay. Another role or password ends the user's sessions at once.")
            .body::<UserChange>("What is to change.")
            .ok::<HandedView<'static>>("The user.")
            .once()
            .error(
                409,
                Code::Conflict,
                "The e-mail address cannot be used, the org would be left without an admin, or it is one's own password.",
            )
    }

    pub(crate) fn delete() -> Doc {
        Doc::new("deleteUser", Tag::Users, "Remove a user")
            .about("Their sessions end at once. API keys that they made stay.")
            .ok::<Deleted>("The user is gone.")
            .error(409, Code::Conflict, "It is the last admin of the org.")
    }
}
