//! Asking before something is lost that cannot be brought back.

use super::{CliError, World};

/// Goes on where `yes` was given or a person says so on a terminal; elsewhere it is refused, so that no script waits for an answer.
pub(super) fn ask(question: &str, yes: bool, world: &mut World<'_>) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if !(world.stdin_terminal && world.stderr_terminal) {
        return Err(CliError::Usage(format!("{question} Give --yes to do it.")));
    }
    write!(world.stderr, "{question} Go on? [y/N] ")?;
    world.stderr.flush()?;
    let mut answer = String::new();
    let mut byte = [0];
    while world.stdin.read(&mut byte)? == 1 && byte[0] != b'\n' {
        answer.push(char::from(byte[0]));
    }
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::Failed("Nothing was done.".to_owned())),
    }
}
