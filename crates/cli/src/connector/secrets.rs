//! `connector rotate-secret`, `activate-secret`, `template`: what is done to a connector beside saving it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::ExposeSecret as _;
use serde_json::json;
use toktra_siem_config::value;

use super::{OneOptions, find, path};
use crate::client::OrgOptions;
use crate::output::{Output, cell};
use crate::{CliError, World, secret};

/// Which connector, and for how long both secrets sign.
#[derive(Debug, Args)]
pub struct RotateOptions {
    /// The connector: its name or id
    connector: String,
    /// How long both secrets sign, unless the new one is activated before [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = value::lifetime)]
    grace: Option<Duration>,
    /// The new secret, in a file or on standard input (-) [default: one is made]
    #[arg(long, value_name = "FILE")]
    signing_secret_file: Option<PathBuf>,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn rotate(options: &RotateOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.server.client(world)?;
    let mut body = json!({});
    if let Some(grace) = options.grace {
        body["grace_seconds"] = grace.as_secs().into();
    }
    if let Some(file) = &options.signing_secret_file {
        body["signing_secret"] = secret::read(file, world)?.expose_secret().into();
    }
    let connector = find(&client, &options.connector).await?;
    let name = cell(&connector, "name");
    // A rotation cannot be taken back. Where its secret is made by the server, and so shown once, the answer begins before there is one: an
    // output that cannot be written is found out in time.
    let begun = match (body.get("signing_secret"), options.output.json) {
        (Some(_), _) => "",
        (None, true) => "{",
        (None, false) => "The new signing secret, shown only now:\n",
    };
    if !begun.is_empty() {
        world.needs_reader()?;
        world.write(begun).map_err(|error| {
            CliError::Failed(format!("Nothing was done: standard output cannot be written to: {error}."))
        })?;
    }
    let answer = client.post(&path(&connector, "/signing-secret/rotate"), &body).await?;
    let mut text = format!("{answer:#}\n");
    if !options.output.json {
        let secret = answer["signing_secret_next"]["value"].as_str();
        let secret = secret.map(|secret| format!("{begun}\n    {secret}\n\n")).unwrap_or_default();
        let until = cell(&answer, "until");
        text = format!(
            "{secret}Both secrets sign until {until}. Teach the receiver the new one, then:\n\
             toktra-siem connector activate-secret \"{name}\"\n"
        );
    }
    world.answer(text.strip_prefix(begun).unwrap_or(&text))
}

pub(super) async fn activate(options: &OneOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.server.client(world)?;
    let connector = find(&client, &options.connector).await?;
    let answer = client.post(&path(&connector, "/signing-secret/activate"), &json!({})).await?;
    options.output.done(world, &answer, |out| writeln!(out, "From now on the new signing secret signs alone."))
}

pub(super) async fn template(options: &OneOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.server.client(world)?;
    let connector = find(&client, &options.connector).await?;
    let answer = client.post(&path(&connector, "/index-template"), &json!({})).await?;
    let template = cell(&answer, "template");
    options.output.done(world, &answer, |out| match answer["applied"].as_bool() {
        Some(true) => writeln!(out, "The index template {template} is in place."),
        _ => Ok(()),
    })?;
    match answer["warning"]["message"].as_str() {
        None => Ok(()),
        Some(warning) => Err(CliError::Failed(format!(
            "The index template {template} was not put in place; deliveries go on without it. {warning}"
        ))),
    }
}
