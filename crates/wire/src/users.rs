//! The people of an org.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toktra_siem_core::ids::UserId;
use toktra_siem_core::people::{Email, Role};
use toktra_siem_core::time::Timestamp;

use crate::text::{GivenPassword, Name, ShownOnce};
use crate::word::{Exact, Words};

/// A person of an org.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "User")]
pub struct User<W: Words = Exact> {
    /// Identifies the person.
    pub id: UserId,
    /// What they log in with.
    pub email: Email,
    /// For people.
    pub name: String,
    /// What they may do.
    pub role: W::Word<Role>,
    /// When they were added.
    pub created_at: Timestamp,
    /// When they last logged in; `null` where they never did.
    pub last_login_at: Option<Timestamp>,
}

/// A person with the password that was made up for them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserWithPassword {
    /// The person.
    #[serde(flatten)]
    pub user: User,
    /// What was made up where the request has `make_password`: it is shown here, and for ten minutes to whoever asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub password: Option<ShownOnce>,
}

/// That the person is gone.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct UserDeleted {
    /// Always `true`.
    pub deleted: bool,
}

/// A new person.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The e-mail address that they log in with. No two users of the service share one.
    pub email: String,
    /// For people.
    pub name: Name,
    /// What they may do.
    pub role: Role,
    /// What they log in with. It is never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "GivenPassword")]
    pub password: Option<GivenPassword>,
    /// Has a password made up, instead of `password`. The answer shows it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub make_password: bool,
}

/// What of a person can be changed.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// The e-mail address that they log in with. No two users of the service share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub email: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Name")]
    pub name: Option<String>,
    /// What they may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Role")]
    pub role: Option<Role>,
    /// A new password for somebody else. It is never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "GivenPassword")]
    pub password: Option<GivenPassword>,
    /// Has a new password made up, instead of `password`. The answer shows it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub make_password: bool,
}
