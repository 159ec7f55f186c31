//! `connector update`, `enable`, `disable`: a connector saved anew, refused where somebody else saved it meanwhile.

use std::path::PathBuf;

use clap::Args;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::{FilterOptions, OneOptions, find, path, revision, said_of};
use crate::client::OrgOptions;
use crate::output::{Output, counted};
use crate::{CliError, World, secret};

/// A change.
#[derive(Debug, Args)]
pub(super) struct ChangeOptions {
    /// A member of its config, such as index=security; repeat for several
    #[arg(long, value_name = "MEMBER=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// A secret of its config from a file or standard input, such as hec_token=token.txt or api_key=-
    #[arg(long, value_name = "MEMBER=FILE", value_parser = pair)]
    set_secret: Vec<(String, String)>,
    /// Bring a member of its config back to its default; repeat for several
    #[arg(long, value_name = "MEMBER")]
    reset: Vec<String>,
    #[command(flatten)]
    filter: FilterOptions,
    /// Forward all events again
    #[arg(long, conflicts_with_all = ["severity", "event_types"])]
    all_events: bool,
    /// Another signing secret, at once, in a file or on standard input (-); `rotate-secret` does it gently
    #[arg(long, value_name = "FILE")]
    signing_secret_file: Option<PathBuf>,
}

/// Which connector, and the change.
#[derive(Debug, Args)]
pub struct UpdateOptions {
    /// The connector: its name or id
    connector: String,
    /// Another name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    change: ChangeOptions,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

/// Which connector, and what becomes of what waited.
#[derive(Debug, Args)]
pub struct EnableOptions {
    /// The connector: its name or id
    connector: String,
    /// Pass by what waited while it was off
    #[arg(long)]
    from_now: bool,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give MEMBER=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

impl ChangeOptions {
    /// As the API takes it; without members where nothing was given.
    pub(super) fn patch(&self, world: &mut World<'_>) -> Result<Map<String, Value>, CliError> {
        let mut config = Map::new();
        for (name, text) in &self.set {
            config.insert(name.clone(), value(text));
        }
        for (name, file) in &self.set_secret {
            config.insert(name.clone(), secret::read(file.as_ref(), world)?.expose_secret().into());
        }
        config.extend(self.reset.iter().map(|name| (name.clone(), Value::Null)));
        let mut patch = Map::new();
        if !config.is_empty() {
            patch.insert("config".to_owned(), config.into());
        }
        if let Some(filter) = self.filter.given() {
            patch.insert("filter".to_owned(), filter);
        } else if self.all_events {
            patch.insert("filter".to_owned(), Value::Null);
        }
        if let Some(file) = &self.signing_secret_file {
            patch.insert("signing_secret".to_owned(), secret::read(file, world)?.expose_secret().into());
        }
        Ok(patch)
    }
}

/// `true`, `false` and numbers as such; everything else is text, and so is what stands in quotes.
fn value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) => value,
        _ => text.into(),
    }
}

pub(super) async fn update(options: UpdateOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let mut patch = options.change.patch(world)?;
    patch.extend(options.name.map(|name| ("name".to_owned(), name.into())));
    if patch.is_empty() {
        return Err(CliError::Usage("There is nothing to change: give --set, --name or another option.".to_owned()));
    }
    save(&options.connector, patch.into(), &options.server, options.output, world).await
}

pub(super) async fn enable(options: &EnableOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let resume = if options.from_now { "now" } else { "backlog" };
    let patch = json!({ "active": true, "resume": resume });
    save(&options.connector, patch, &options.server, options.output, world).await
}

pub(super) async fn disable(options: &OneOptions, world: &mut World<'_>) -> Result<(), CliError> {
    save(&options.connector, json!({ "active": false }), &options.server, options.output, world).await
}

async fn save(
    connector: &str,
    patch: Value,
    server: &OrgOptions,
    output: Output,
    world: &mut World<'_>,
) -> Result<(), CliError> {
    let client = server.client(world)?;
    let before = find(&client, connector).await?;
    let saved = client.patch(&path(&before, ""), &patch, revision(&before)).await?;
    output.done(world, &saved, |out| {
        let same = if revision(&before) == revision(&saved) { " Nothing was different." } else { "" };
        writeln!(out, "Saved: {}.{same}", said_of(&saved))?;
        for (member, what) in [("backlog", "that waited will be delivered"), ("skipped", "that waited were passed by")]
        {
            let events = saved[member].as_u64().unwrap_or(0);
            if events > 0 {
                writeln!(out, "{} {what}.", counted(events, "event"))?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_they_look_like() {
        assert_eq!((value("true"), value("16"), value("toktra")), (json!(true), json!(16), json!("toktra")));
        assert_eq!((value("\"16\""), value("[1]"), value("null")), (json!("16"), json!("[1]"), json!("null")));
        assert_eq!(pair("url=https://a/?b=c").unwrap(), ("url".to_owned(), "https://a/?b=c".to_owned()));
        assert!(pair("url").is_err());
    }
}
