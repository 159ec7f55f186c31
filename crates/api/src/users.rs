//! `/v1/users`: the people of an org. A change of role or password ends their sessions at once, and an org that has people keeps an admin
//! among them.

use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};
use crate::error::Code;

pub(super) fn list() -> Doc {
    Doc::new("listUsers", Tag::Users, "List users")
        .paged()
        .ok::<wire::List<wire::User>>("A page of users, oldest first.")
}

pub(super) fn create() -> Doc {
    Doc::new("createUser", Tag::Users, "Add a user")
        .body::<wire::NewUser>("The user.")
        .created::<wire::UserWithPassword>("The user was added.")
        .once()
        .error(409, Code::Conflict, "The e-mail address cannot be used.")
}

pub(super) fn get() -> Doc {
    Doc::new("getUser", Tag::Users, "Show a user").ok::<wire::User>("The user.")
}

pub(super) fn change() -> Doc {
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

pub(super) fn delete() -> Doc {
    Doc::new("deleteUser", Tag::Users, "Remove a user")
        .about("Their sessions end at once. API keys that they made stay.")
        .ok::<wire::UserDeleted>("The user is gone.")
        .error(409, Code::Conflict, "It is the last admin of the org.")
}
