//! The reference documentation of the settings, made from their table: `toktra-siem config reference` prints it, `docs/configuration.md`
//! holds it, and a test keeps the two the same.

use std::fmt::Write as _;

use super::settings::{CLIENT_VARIABLES, Setting, Table};

const INTRODUCTION: &str = "\
# Configuration

This page is printed by `toktra-siem config reference`; change the table in `crates/config/src/settings.rs`, or the
platform's descriptor, not this file.

Settings come from the file `toktra-siem.toml` (`--config` or `TOKTRA_SIEM_CONFIG` names another) and from environment variables, which
win, setting by setting. An empty variable counts as absent. `toktra-siem config check` shows the settings in effect, and everything that is wrong.

A setting can also be a file. If `CREDENTIALS_DIRECTORY` names a directory, a file in it that has the name of a variable
(such as `TOKTRA_SIEM_API_KEY`) gives that setting. systemd sets `CREDENTIALS_DIRECTORY` for services with `LoadCredential=`; in a container,
set it to the directory where the secrets are mounted. A line break at the end of the file is ignored. Variables win over these files, and
these files win over `toktra-siem.toml`.

Values are taken literally. A value in quotation marks, a value with a line break at its end, and a path that begins with `~` are refused:
only a shell understands them. Signing secrets are taken as they are, with a note in the log. In `toktra-siem.toml`, numbers, `true` and
`false` may stand with or without quotation marks; secrets need them.

A connector that the environment or the file describes is created at startup in the default org, and is active. If its settings are
gone at a later start, it is switched off; what waits for it is kept, and delivered once they are back.
";

/// The reference, as Markdown.
pub fn markdown(table: &Table) -> String {
    let mut text = INTRODUCTION.to_owned();
    for (title, settings) in table.sections() {
        let _ = write!(
            text,
            "\n## {title}\n\n| Variable | In the file | Value | Default | What it does |\n|---|---|---|---|---|\n"
        );
        for setting in settings {
            let Setting { variable, key, kind, doc, .. } = setting;
            let default = setting.default.map_or("–".to_owned(), |default| format!("`{default}`"));
            let secret = if setting.secret { " Secret: never shown." } else { "" };
            let expects = kind.expects();
            let _ = writeln!(text, "| `{variable}` | `{key}` | {expects} | {default} | {doc}{secret} |");
        }
    }
    text.push_str("\n## The command line\n\n| Variable | What it does |\n|---|---|\n");
    for (variable, doc) in CLIENT_VARIABLES {
        let _ = writeln!(text, "| `{variable}` | {doc} |");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_documentation_is_what_the_table_says() {
        let written = include_str!("../../../docs/configuration.md");
        assert!(
            written == super::markdown(&super::Table::default()),
            "docs/configuration.md is out of date: write `toktra-siem config reference` into it"
        );
    }
}
