//! `connector rotate-secret`, `activate-secret`, `template`: what is done to a connector beside saving it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::ExposeSecret as _;
use toktra_siem_config::value;
use toktra_siem_wire::{GivenSecret, IndexTemplate, NoMembers, RotationBegun, RotationEnded, RotationInput};

use super::{OneOptions, find, path};
use crate::answer::Answer;
use crate::client::Call;
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
    /// Begin anew if a rotation is under way: its new secret is discarded, and another takes its place
    #[arg(long)]
    replace: bool,
    /// Cancel the rotation that is under way: the new secret is discarded, and the current one goes on signing alone
    #[arg(long, conflicts_with_all = ["grace", "signing_secret_file", "replace"])]
    cancel: bool,
    #[command(flatten)]
    call: Call,
}

pub(super) async fn rotate(options: &RotateOptions, world: &mut World<'_>) -> Result<(), CliError> {
    if options.cancel {
        let (client, connector) = options.call.connector(&options.connector, world).await?;
        let path = path(&connector, "/signing-secret/cancel");
        let answer = client.post::<RotationEnded>(&path, &NoMembers {}).await?;
        return options.call.output.done(world, &answer, |_| {
            "The rotation is cancelled. The current signing secret goes on signing alone.".to_owned()
        });
    }
    let client = options.call.server.client(world)?;
    let file = options.signing_secret_file.as_ref();
    let body = RotationInput {
        grace_seconds: options.grace.map(|grace| grace.as_secs()),
        signing_secret: file.map(|file| secret::verbatim(file, world)).transpose()?.map(GivenSecret),
        replace: options.replace.then_some(true),
    };
    let connector = find(&client, &options.connector).await?;
    // If the server makes the new secret, it is shown once. The answer begins before there is one, so that an output that cannot be written
    // is found out in time.
    let begun = match (&body.signing_secret, options.call.output.json) {
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
    let answer: Answer<RotationBegun> = client.post(&path(&connector, "/signing-secret/rotate"), &body).await?;
    let text = options.call.output.rendered(&answer, || {
        let RotationBegun { signing_secret_next: next, until, .. } = answer.read()?;
        let secret = next.value.map(|secret| format!("{begun}\n    {}\n\n", secret.expose_secret()));
        Ok(format!(
            "{}Both secrets sign until {until}. Teach the receiver the new one, then:\n\
             toktra-siem connector activate-secret \"{}\"",
            secret.unwrap_or_default(),
            connector.name
        ))
    })?;
    world.answer(text.strip_prefix(begun).unwrap_or(&text))
}

pub(super) async fn activate(options: &OneOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let (client, connector) = options.call.connector(&options.connector, world).await?;
    let path = path(&connector, "/signing-secret/activate");
    let answer = client.post::<RotationEnded>(&path, &NoMembers {}).await?;
    options.call.output.done(world, &answer, |_| "From now on the new signing secret signs alone.".to_owned())
}

pub(super) async fn template(options: &OneOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let (client, connector) = options.call.connector(&options.connector, world).await?;
    let path = path(&connector, "/index-template");
    let answer = client.post::<IndexTemplate>(&path, &NoMembers {}).await?;
    let IndexTemplate { template, applied, warning } = answer.read()?;
    if applied || options.call.output.json {
        options.call.output.done(world, &answer, |_| format!("The index template {template} is in place."))?;
    }
    match warning {
        None => Ok(()),
        Some(warning) => Err(CliError::Failed(format!(
            "The index template {template} was not put in place; deliveries go on without it. {}",
            warning.message
        ))),
    }
}
