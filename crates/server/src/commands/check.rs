//! `config check`: what holds, where it comes from, and everything that is wrong with it. `config reference`: what can be set.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use toktra_siem_config::settings::Table;
use toktra_siem_config::{Config, Fault, Place, Values, reference, report};

use super::{CliError, World};
use crate::environment;

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show the configuration as it holds, secrets masked, and every fault in it
    ///
    /// Reads the same file and variables as `serve`, and changes nothing.
    ///
    /// Example: toktra-siem config check --json
    #[command(
        after_help = "Exit codes: 0 it can be used; 2 something has to be corrected: every fault is named with its line."
    )]
    Check(CheckOptions),
    /// Print every setting with its default and what it does, as Markdown
    ///
    /// Example: toktra-siem config reference > configuration.md
    #[command(after_help = toktra_siem_cli::output::EXIT_CODES)]
    Reference,
}

/// How it is shown.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &CheckOptions, file: Option<&Path>, world: &mut World<'_>) -> Result<(), CliError> {
    let values = Values::of(world.registry.clone()).read(file, &world.environment);
    let (lines, text) = (report::lines(&values), report::text(&values));
    let outcome = Config::from_values(values).and_then(environment::check);
    let notes: Vec<&Fault> = outcome.iter().flat_map(|config| config.notes.iter().chain(&config.unsigned)).collect();
    if options.json {
        let faults = outcome.as_ref().err().map(|error| error.0.as_slice()).unwrap_or_default();
        let faults: Vec<Value> = faults.iter().map(as_json).collect();
        let notes: Vec<Value> = notes.into_iter().map(as_json).collect();
        let report = json!({ "valid": outcome.is_ok(), "settings": lines, "faults": faults, "notes": notes });
        world.say(format!("{report:#}\n"))?;
    } else {
        let mut text = text;
        if outcome.is_ok() {
            text.extend(notes.iter().map(|note| format!("\nNote: {note}\n")));
            text.push_str("\nThe configuration can be used.\n");
        }
        world.say(text)?;
    }
    outcome.map(drop).map_err(CliError::from)
}

/// A fault with its place taken apart, for editors and pipelines.
fn as_json(fault: &Fault) -> Value {
    let (file, line, key, variable) = match &fault.place {
        Place::Variable(name) => (None, None, None, Some(name.as_str())),
        Place::File { path, line, key } => {
            (Some(path), Some(*line), Some(key.as_str()).filter(|k| !k.is_empty()), None)
        }
        Place::WholeFile(path) => (Some(path), None, None, None),
        Place::Missing { variable, key } => (None, None, Some(key.as_str()), Some(variable.as_str())),
        Place::Default => (None, None, None, None),
    };
    json!({
        "place": fault.place.to_string(), "message": fault.message, "file": file, "line": line, "key": key, "variable": variable,
    })
}

pub(super) fn reference(world: &mut World<'_>) -> Result<(), CliError> {
    world.say(reference::markdown(&Table::new(world.registry.clone())))
}
