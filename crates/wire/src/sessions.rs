//! Sessions of people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::time::Timestamp;

use crate::text::{GivenPassword, ShownOnce};
use crate::users::User;

/// A session that was just opened.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SessionOpened {
    /// To be sent as `Authorization: Bearer <token>`; shown in this one answer.
    pub token: ShownOnce,
    /// When it ends, if it is not used until then.
    pub expires_at: Timestamp,
    /// Whose it is.
    pub user: User,
    /// To be kept, and sent as `device` with the next login from the same place: wrong passwords that others try do not hold that one up.
    pub device: ShownOnce,
    /// Attempts to log in as the user that failed since the login before this one.
    pub failed_attempts: u64,
    /// When the user logged in before; `null` where they never did, and after a change of the password.
    pub previous_login_at: Option<Timestamp>,
}

/// A session that is open.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it ends, if it is not used until then.
    pub expires_at: Timestamp,
    /// Whose it is.
    pub user: User,
    /// The org of that person.
    pub org: SessionOrg,
}

/// The org of a person.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct SessionOrg {
    /// Its id.
    pub id: OrgId,
    /// For people.
    pub name: String,
}

/// That it has ended.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct SessionEnded {
    /// Always `true`.
    pub ended: bool,
}

/// Who logs in.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// The user's e-mail address.
    pub email: String,
    /// The user's password.
    #[schemars(extend("writeOnly" = true))]
    pub password: String,
    /// The `device` that an earlier login answered, where there is one. One that this server did not make, or made for somebody else,
    /// counts as none.
    #[serde(default)]
    #[schemars(with = "String", extend("writeOnly" = true))]
    pub device: Option<String>,
}

/// A change of one's own password.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The current password.
    #[schemars(extend("writeOnly" = true))]
    pub current: String,
    /// The new one.
    pub new: GivenPassword,
}
