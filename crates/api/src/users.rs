//! `/v1/users`: the people of an org. A change of role or password ends their sessions at once, and an org that has people keeps an admin
//! among them.

use axum::extract::State;
use toktra_siem_app::{App, Caller, Query, users};
use toktra_siem_core::ids::UserId;

use crate::answer::{Answer, created, ok};
use crate::extract::{Given, NoQuery, OnlyId};

/// `GET /v1/users`.
pub(super) async fn list(State(app): State<App>, caller: Caller, query: Query) -> Answer {
    ok(&users::list(&app, &caller, query).await?)
}

/// `GET /v1/users/{id}`.
pub(super) async fn get(State(app): State<App>, caller: Caller, OnlyId(id): OnlyId<UserId>) -> Answer {
    ok(&users::get(&app, &caller, id).await?)
}

/// `POST /v1/users`.
pub(super) async fn create(State(app): State<App>, caller: Caller, _: NoQuery, Given(user): Given) -> Answer {
    created(&users::create(&app, &caller, user).await?)
}

/// `PATCH /v1/users/{id}`.
pub(super) async fn change(
    State(app): State<App>,
    caller: Caller,
    OnlyId(id): OnlyId<UserId>,
    Given(change): Given,
) -> Answer {
    ok(&users::change(&app, &caller, id, change).await?)
}

/// `DELETE /v1/users/{id}`.
pub(super) async fn delete(State(app): State<App>, caller: Caller, OnlyId(id): OnlyId<UserId>) -> Answer {
    ok(&users::delete(&app, &caller, id).await?)
}

/// What these routes say of themselves.
pub(super) mod doc {
    use toktra_siem_wire as wire;

    use crate::doc::{Doc, Tag};
    use crate::error::Code;

    pub(crate) fn list() -> Doc {
        Doc::new("listUsers", Tag::Users, "List users")
            .paged()
            .ok::<wire::List<wire::User>>("A page of users, oldest first.")
    }

    pub(crate) fn create() -> Doc {
        Doc::new("createUser", Tag::Users, "Add a user")
            .body::<wire::NewUser>("The user.")
            .created::<wire::UserWithPassword>("The user was added.")
            .once()
            .error(409, Code::Conflict, "The e-mail address cannot be used.")
    }

    pub(crate) fn get() -> Doc {
        Doc::new("getUser", Tag::Users, "Show a user").ok::<wire::User>("The user.")
    }

    pub(crate) fn change() -> Doc {
        Doc::new("updateUser", Tag::Users, "Change a user")
            .about("Members that are given replace, absent ones stay. Another role or password ends the user's sessions at once.")
            .body::<wire::UserChange>("What is to change.")
            .ok::<wire::UserWithPassword>("The user.")
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
            .ok::<wire::UserDeleted>("The user is gone.")
            .error(409, Code::Conflict, "It is the last admin of the org.")
    }
}
