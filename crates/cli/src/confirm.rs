//! Asking a person: before something is lost that cannot be brought back, and for what only they can decide.

use super::{CliError, World};

/// Goes on where `yes` was given or a person says so on a terminal; elsewhere it is refused, so that no script waits for an answer.
pub fn ask(question: &str, yes: bool, world: &mut World<'_>) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if !can_ask(world) {
        return Err(CliError::Usage(format!("{question} Give --yes to do it.")));
    }
    match line(&format!("{question} Go on? [y/N] "), world)?.to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::Failed("Nothing was done.".to_owned())),
    }
}

/// Whether there is a person to ask.
pub fn can_ask(world: &World<'_>) -> bool {
    world.stdin_terminal && world.stderr_terminal
}

/// The line that a person answers `question` with.
pub fn line(question: &str, world: &mut World<'_>) -> Result<String, CliError> {
    write!(world.stderr, "{question}")?;
    world.stderr.flush()?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while world.stdin.read(&mut byte)? == 1 && byte[0] != b'\n' {
        answer.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&answer).trim().to_owned())
}
