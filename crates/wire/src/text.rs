//! Texts that requests give, and what bounds them.

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text without control characters in which something can be seen.
pub const PRINTABLE: &str =
    r"^[^\u0000-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u001F\u007F-\u009F]*$";

/// A name for people.
#[derive(JsonSchema)]
#[schemars(inline)]
pub struct Name(
    #[schemars(
        length(min = 1, max = 100),
        regex(pattern = PRINTABLE)
    )]
    pub String,
);

/// A secret that is given.
#[derive(JsonSchema)]
#[schemars(inline, extend("writeOnly" = true))]
pub struct GivenSecret(#[schemars(length(min = 8, max = 512), regex(pattern = "^[ -~]*$"))] pub String);

/// A password that is given. Neither the e-mail address nor one that anybody would try first; no other rules.
#[derive(JsonSchema)]
#[schemars(inline, extend("writeOnly" = true))]
pub struct GivenPassword(#[schemars(length(min = 12, max = 200))] pub String);

/// A secret that an answer shows. Only the answer: it is in no log.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(inline)]
pub struct ShownOnce(#[schemars(with = "String")] pub SecretString);

impl ShownOnce {
    /// The secret, to be shown.
    pub fn text(&self) -> &str {
        self.0.expose_secret()
    }
}

impl Serialize for ShownOnce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ShownOnce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

/// An `Idempotency-Key`.
#[derive(JsonSchema)]
#[schemars(inline)]
pub struct IdempotencyKey(#[schemars(length(min = 1, max = 255), regex(pattern = "^[ -~]*$"))] pub String);

/// An object without members, which may be left out.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct NoMembers {}
