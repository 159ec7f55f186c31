//! Secrets that commands are given: from a file, from standard input, or from the environment; never by need as an argument, which
//! every user of the machine can see.

use std::io::Read as _;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use toktra_siem_config::settings::Kind;
use toktra_siem_config::slip::slip;
use zeroize::Zeroizing;

use super::{CliError, World};

/// A secret is no longer than this; whoever names a film by mistake is told so.
const LONGEST: u64 = 64 * 1024;

/// The secret in `file`, or on standard input if that is `-`. A newline at its end is not part of it.
pub(super) fn read(file: &Path, world: &mut World<'_>) -> Result<SecretString, CliError> {
    let secret = verbatim(file, world)?;
    unspoilt(&named(file), secret.expose_secret())
}

/// The same, whatever is in it: receivers hold a signing secret as it is.
pub(super) fn verbatim(file: &Path, world: &mut World<'_>) -> Result<SecretString, CliError> {
    let shown = named(file);
    let unreadable = |error: std::io::Error| CliError::Usage(format!("{shown} cannot be read: {error}."));
    let mut text = Zeroizing::new(String::new());
    if is_stdin(file) {
        world.stdin.take(LONGEST).read_to_string(&mut text).map_err(unreadable)?;
    } else {
        let opened = std::fs::File::open(file).map_err(unreadable)?;
        opened.take(LONGEST).read_to_string(&mut text).map_err(unreadable)?;
    }
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(CliError::Usage(format!("A secret was expected, and {shown} is empty.")));
    }
    Ok(secret.into())
}

fn named(file: &Path) -> String {
    if is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() }
}

/// The secret in `file` where that is given, or in the environment.
pub(super) fn given(
    file: Option<&Path>,
    variable: &str,
    world: &mut World<'_>,
) -> Result<Option<SecretString>, CliError> {
    match file {
        Some(file) => read(file, world).map(Some),
        None => world.environment.get(variable).map(|secret| unspoilt(variable, secret)).transpose(),
    }
}

/// The same rule as for the settings of the server: stray characters around a secret are found before it is sent anywhere. A text of several
/// lines is one of headers.
fn unspoilt(place: &str, secret: &str) -> Result<SecretString, CliError> {
    let kind = if secret.lines().nth(1).is_some() { Kind::Headers } else { Kind::Text };
    match slip(kind, secret) {
        Some(why) => Err(CliError::Usage(format!("{place}: {why}."))),
        None => Ok(secret.into()),
    }
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}
