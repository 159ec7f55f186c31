//! `verify`: what a receiver does with `X-Toktra-Signature`, for trying it out.

use clap::Args;
use secrecy::SecretString;
use serde_json::json;
use toktra_siem_core::signing;

use super::{CliError, World};

/// The variable that gives the secret.
const SECRET: &str = "SIEM_SIGNING_SECRET";
/// The one that gives the next secret, during a rotation.
const SECRET_NEXT: &str = "SIEM_SIGNING_SECRET_NEXT";

/// What is to be verified.
#[derive(Debug, Args)]
pub struct VerifyOptions {
    /// The signing secret [default: SIEM_SIGNING_SECRET, then SIEM_SIGNING_SECRET_NEXT]
    #[arg(long, value_name = "SECRET")]
    secret: Option<SecretString>,
    /// The header's value, "sha256=…"
    #[arg(long, value_name = "HEADER")]
    signature: String,
    /// Answer as JSON: {"valid":true}
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &VerifyOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let secrets = secrets(options, world)?;
    let mut body = Vec::new();
    world.stdin.read_to_end(&mut body)?;
    let signature = options.signature.trim();
    let fits = |body: &[u8]| secrets.iter().any(|secret| signing::verify(secret, body, signature));
    let valid = fits(&body);
    if options.json {
        world.say(format!("{}\n", json!({ "valid": valid })))?;
    } else if valid {
        world.say(format!("Valid: this secret signed exactly these {} bytes.\n", body.len()))?;
    }
    if valid { Ok(()) } else { Err(CliError::Failed(format!("Invalid: {}", reason(&body, signature, fits)))) }
}

fn secrets(options: &VerifyOptions, world: &World<'_>) -> Result<Vec<SecretString>, CliError> {
    if let Some(secret) = &options.secret {
        return Ok(vec![secret.clone()]);
    }
    let named = [SECRET, SECRET_NEXT].into_iter().filter_map(|name| world.environment.get(name));
    let secrets: Vec<SecretString> = named.map(SecretString::from).collect();
    if secrets.is_empty() {
        return Err(CliError::Usage(format!("There is no secret to verify with: give --secret, or set {SECRET}.")));
    }
    Ok(secrets)
}

/// The likeliest cause, tried where it can be tried.
fn reason(body: &[u8], signature: &str, fits: impl Fn(&[u8]) -> bool) -> String {
    let hex = signature.strip_prefix("sha256=");
    if !hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
    {
        return "the signature has to be \"sha256=\" and 64 lower-case hex digits. Copy the whole value of the header \
                X-Toktra-Signature."
            .to_owned();
    }
    if let Some(without) = body.strip_suffix(b"\n")
        && fits(without)
    {
        return "the signature fits the body without the newline at its end, which was not sent. Save the body without it (an \
                editor may add one)."
            .to_owned();
    }
    if body.is_empty() {
        return "the body is empty. Give it on standard input: toktra-siem verify … < body".to_owned();
    }
    "the secret is another one, or the body is not byte for byte what was sent (parsed and printed again, re-encoded, or cut). Take \
     the body as it came, before anything reads it."
        .to_owned()
}
