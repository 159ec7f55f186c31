//! What commands print: the API's JSON where a script reads, aligned tables where a person does.

use std::io::{self, Write};

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
        let written = if self.json { writeln!(world.stdout, "{value:#}") } else { text(&mut *world.stdout) };
        Ok(written?)
    }
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
