//! Texts that requests give, and what bounds them.

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// Text without control characters in which something can be seen.
pub const PRINTABLE: &str =
    r"^[^\u0000-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u001F\u007F-\u009F]*$";

/// A name for people.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Name(
    #[schemars(
        length(min = 1, max = 100),
        regex(pattern = PRINTABLE)
    )]
    pub String,
);

/// A secret that is given.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, extend("writeOnly" = true))]
pub struct GivenSecret(
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String", length(min = 8, max = 512), regex(pattern = "^[ -~]*$"))]
    pub SecretString,
);

/// A password that is given. Neither the e-mail address nor one that anybody would try first; no other rules.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, extend("writeOnly" = true))]
pub struct GivenPassword(
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String", length(min = 12, max = 200))]
    pub SecretString,
);

/// A secret is sent as it is.
fn exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    secret.expose_secret().serialize(serializer)
}

/// A secret that an answer shows. Only the answer: it is in no log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ShownOnce(
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    pub SecretString,
);

impl ShownOnce {
    /// The secret, to be shown.
    pub fn text(&self) -> &str {
        self.0.expose_secret()
    }
}

/// An `Idempotency-Key`.
#[derive(JsonSchema)]
#[schemars(inline)]
pub struct IdempotencyKey(#[schemars(length(min = 1, max = 255), regex(pattern = "^[ -~]*$"))] pub String);

/// What is looked for in texts.
#[derive(JsonSchema)]
#[schemars(inline)]
pub struct SoughtText(#[schemars(length(min = 1, max = 200))] pub String);

/// An object without members, which may be left out.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct NoMembers {}
