//! What commands print: the API's JSON where a script reads, aligned tables where a person does. And what becomes of an answer that cannot be
//! written, which is decided here and nowhere else:
//!
//! - [`Output::show`] and [`World::say`]: what was asked for. Whoever reads it may have seen enough (`| head`); that is no failure, and the exit
//!   code is what it would have been. Anything else is one.
//! - [`Output::done`] and [`World::answer`]: what was done and stays done. The answer goes to standard error, and the command fails.
//! - [`Output::made`]: what was made is removed again, so that nothing exists whose answer nobody has, least of all a secret that is shown once.

use std::io::{self, ErrorKind, Write};

use clap::Args;
use serde_json::Value;

use super::{CliError, World};

/// How the answer is printed.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// Answer as JSON, as the API does
    #[arg(long)]
    pub json: bool,
}

impl Output {
    /// Prints `value` as JSON, or what `text` says of it.
    pub fn show(
        self,
        world: &mut World<'_>,
        value: &Value,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), CliError> {
        world.say(self.rendered(value, text)?)
    }

    /// The same for the answer to something that was done and stays done.
    pub fn done(
        self,
        world: &mut World<'_>,
        value: &Value,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), CliError> {
        world.answer(&self.rendered(value, text)?)
    }

    /// The same for `what` was made: where the answer cannot be written, `undo` removes it again.
    pub async fn made(
        self,
        world: &mut World<'_>,
        what: &str,
        value: &Value,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
        undo: impl AsyncFnOnce() -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        world.made(what, &self.rendered(value, text)?, undo).await
    }

    fn rendered(self, value: &Value, text: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<String, CliError> {
        if self.json {
            return Ok(format!("{value:#}\n"));
        }
        let mut out = Vec::new();
        text(&mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
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

/// Rows under a head, each column as wide as its widest cell.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&name| name.to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    /// Writes it; nothing is written after the last cell of a row.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.rows.first().map_or(0, Vec::len);
        let widest = |at: usize| self.rows.iter().map(|row| row.get(at).map_or(0, |c| c.chars().count())).max();
        let widths: Vec<usize> = (0..columns).map(|at| widest(at).unwrap_or(0)).collect();
        for row in &self.rows {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(out, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Names and values, one a line, the values below each other.
pub fn facts(out: &mut dyn Write, facts: &[(&str, String)]) -> io::Result<()> {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    facts.iter().try_for_each(|(name, value)| writeln!(out, "{name:width$}  {}", one_line(value)))
}

/// Nothing that a server sends may move a terminal's cursor.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A member as a cell: texts as they are, `-` for what is not there.
pub fn cell(value: &Value, name: &str) -> String {
    plain(&value[name])
}

/// A value as a cell.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The items of a list that an answer holds.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
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
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(["Größe".into(), "on".into()]);
        table.row(["a\u{1b}[2J\nb".into(), String::new()]);
        let mut text = Vec::new();
        table.write(&mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "NAME     STATE\nGröße    on\na [2J b\n");
        let mut text = Vec::new();
        facts(&mut text, &[("id", "1".into()), ("name", "x".into())]).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "id    1\nname  x\n");
    }

    #[test]
    fn values_are_plain() {
        assert_eq!(plain(&json!(["a", 1, null])), "a, 1, -");
        assert_eq!((plain(&json!([])), plain(&json!(true))), ("-".to_owned(), "true".to_owned()));
        assert_eq!((counted(1, "event"), counted(0, "event")), ("1 event".to_owned(), "0 events".to_owned()));
    }
}
