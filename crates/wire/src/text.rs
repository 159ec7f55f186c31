//! Texts that requests give, and what bounds them.

use schemars::JsonSchema;

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

/// An `Idempotency-Key`.
#[derive(JsonSchema)]
#[schemars(inline)]
pub struct IdempotencyKey(#[schemars(length(min = 1, max = 255), regex(pattern = "^[ -~]*$"))] pub String);

/// An object without members, which may be left out.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct NoMembers {}
