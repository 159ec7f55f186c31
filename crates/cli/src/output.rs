//! What commands print: the API's JSON where a script reads, aligned tables where a person does. And what becomes of an answer that cannot be
//! written, which is decided here and nowhere else:
//!
//! - [`Output::show`] and [`World::say`]: what was asked for. Whoever reads it may have seen enough (`| head`); that is no failure, and the exit
//!   code is what it would have been. Anything else is one.
//! - [`Output::done`] and [`World::answer`]: what was done and stays done. The answer goes to standard error, and the command fails.
//! - [`World::made`]: what was made is removed again, so that nothing exists whose answer nobody has, least of all a secret that is shown once.

use std::io::{self, ErrorKind, Write};

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use toktra_siem_wire::Part;

use super::answer::{Answer, json_lines};
use super::{CliError, World};

/// How the answer is printed.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// Answer as JSON, as the API does
    #[arg(long)]
    pub json: bool,
}

impl Output {
    /// Prints an answer as JSON, or what `text` says of it.
    pub fn show<T: Part>(
        self,
        world: &mut World<'_>,
        answer: &Answer<T>,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        world.say(self.rendered(answer, || Ok(text(&answer.read()?)))?)
    }

    /// The same for the answer to something that was done and stays done.
    pub fn done<T: Part>(
        self,
        world: &mut World<'_>,
        answer: &Answer<T>,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        world.answer(&self.rendered(answer, || Ok(text(&answer.read()?)))?)
    }

    /// `value` as JSON, or `text`; with a newline at its end.
    pub fn rendered(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> Result<String, CliError>,
    ) -> Result<String, CliError> {
        let text = if self.json { json_lines(value)? } else { text()? };
        Ok(if text.ends_with('\n') { text } else { text + "\n" })
    }
}

impl World<'_> {
    /// Writes to standard output, whole.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        self.stdout.write_all(text.as_bytes())?;
        self.stdout.flush()
    }

    /// Says what was asked for.
    pub fn say(&mut self, text: impl AsRef<str>) -> Result<(), CliError> {
        match self.write(text.as_ref()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(CliError::Failed(format!("The answer could not be written to standard output: {error}.")))
            }
            _ => Ok(()),
        }
    }

    /// Answers what was done and stays done.
    pub fn answer(&mut self, text: &str) -> Result<(), CliError> {
        self.write(text).map_err(|error| {
            CliError::Failed(format!(
                "It was done, but the answer could not be written to standard output: {error}. It was:\n\n{}",
                text.trim_end()
            ))
        })
    }

    /// Answers that `what` was made, or has `undo` remove it again.
    pub async fn made(
        &mut self,
        what: &str,
        text: &str,
        undo: impl AsyncFnOnce() -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let Err(error) = self.write(text) else { return Ok(()) };
        Err(CliError::Failed(match undo().await {
            Ok(()) => format!(
                "The answer could not be written to standard output: {error}. So that nothing is left that nobody knows of, {what} was removed \
                 again: nothing was made."
            ),
            Err(why) => format!(
                "The answer could not be written to standard output: {error}. {what} was made and could not be removed again; remove it \
                 yourself. {why}"
            ),
        }))
    }

    /// Refuses to make a secret that is shown once where standard output leads nowhere.
    pub fn needs_reader(&self) -> Result<(), CliError> {
        if self.nowhere {
            return Err(CliError::Usage(
                "Standard output is closed, or leads to /dev/null: the secret, which is shown once, would be lost. Nothing was done.".to_owned(),
            ));
        }
        Ok(())
    }
}

/// Standard error, for what helps but is not needed: where it is closed or full, the command goes on.
pub struct Aside<W>(pub W);

impl<W: Write> Write for Aside<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Nobody reads it. There is nowhere to say so.
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

/// Whether standard output leads nowhere. The standard library opens /dev/null in the place of what was closed when the process began, so that a
/// closed one cannot be told from it.
pub fn leads_nowhere() -> bool {
    let null = rustix::fs::stat("/dev/null");
    let (Ok(own), Ok(null)) = (rustix::fs::fstat(io::stdout()), null) else { return false };
    (own.st_dev, own.st_ino, own.st_rdev) == (null.st_dev, null.st_ino, null.st_rdev)
}

/// Exit codes, as `--help` of nearly every command says them.
pub const EXIT_CODES: &str = "Exit codes: 0 done; 1 it failed, or the server refused; 2 wrong usage, nothing was done.";

/// Rows under a head, each column as wide as its widest cell; nothing is written after the last cell of a row.
pub fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rows = rows.into_iter().map(|row| row.map(|cell| one_line(&cell)));
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// The cells of a row.
#[macro_export]
macro_rules! cells {
    ($($value:expr),+ $(,)?) => { [$($crate::output::cell(&$value)),+] };
}

/// Members by name, for [`facts`].
#[macro_export]
macro_rules! members {
    ($of:expr => $($name:ident),+ $(,)?) => { [$((stringify!($name), $crate::output::cell(&$of.$name))),+] };
}

/// Names and values, one a line, the values below each other.
pub fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{name:width$}  {}\n", one_line(value));
    facts.iter().map(line).collect()
}

/// The same without what is not there.
pub fn known_facts<'n>(all: impl IntoIterator<Item = (&'n str, String)>) -> String {
    facts(&all.into_iter().filter(|(_, value)| value != NOTHING).collect::<Vec<_>>())
}

/// Stands for what is not there.
const NOTHING: &str = "-";

/// Nothing that a server sends may move a terminal's cursor.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A value of an answer as a cell: texts as they are, `-` for what is not there.
pub fn cell(value: &impl Serialize) -> String {
    plain(&serde_json::to_value(value).unwrap_or_default())
}

/// A JSON value as a cell.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => NOTHING.to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// `1 event`, `2 events`.
pub fn counted(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_do_not_reach_the_terminal() {
        let text = table(["NAME", "STATE"], [["Größe", "on"], ["a\u{1b}[2J\nb", ""]].map(|row| row.map(str::to_owned)));
        assert_eq!(text, "NAME     STATE\nGröße    on\na [2J b\n");
        let facts = [("id", "1"), ("gone", "-"), ("name", "x")].map(|(name, value)| (name, value.to_owned()));
        assert_eq!(known_facts(facts), "id    1\nname  x\n");
    }

    #[test]
    fn values_are_plain() {
        assert_eq!(plain(&json!(["a", 1, null])), "a, 1, -");
        assert_eq!((plain(&json!([])), plain(&json!(true))), ("-".to_owned(), "true".to_owned()));
        assert_eq!((counted(1, "event"), counted(0, "event")), ("1 event".to_owned(), "0 events".to_owned()));
    }
}
