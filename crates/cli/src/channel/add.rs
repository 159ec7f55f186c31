//! `channel add`: a channel by options, which each kind's descriptor tells.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Subcommand, value_parser};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use toktra_siem_notify::{Descriptor, Field, descriptors};
use toktra_siem_wire::{Name, NewChannel};

use super::{CHANNELS, EventOptions, path};
use crate::answer::Channel;
use crate::client::Call;
use crate::connector::as_secret;
use crate::{CliError, World, secret};

/// Exit codes of these commands.
const EXIT_CODES: &str =
    "Exit codes: 0 made; 1 it failed, or the server refused; 2 wrong usage. If it is not 0, no channel was made.";

/// Of which kind, and the options that were given.
#[derive(Debug, Clone)]
pub struct AddCommand {
    of: &'static Descriptor,
    given: ArgMatches,
}

impl FromArgMatches for AddCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let kind = matches.subcommand();
        let found = kind.and_then(|(kind, given)| Some((descriptors().find(|of| of.kind.as_str() == kind)?, given)));
        match found {
            Some((of, given)) => Ok(Self { of, given: given.clone() }),
            None => Err(clap::Error::new(clap::error::ErrorKind::MissingSubcommand)),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for AddCommand {
    fn augment_subcommands(command: Command) -> Command {
        command.subcommand_required(true).arg_required_else_help(true).subcommands(descriptors().map(of_kind))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        descriptors().any(|of| of.kind.as_str() == name)
    }
}

fn of_kind(of: &'static Descriptor) -> Command {
    let about = format!("Make a channel of the kind {}", of.label);
    let kind = of.kind.as_str();
    let needed = of.fields.iter().filter(|field| field.required);
    let needed = needed.map(|field| {
        let value = if field.secret { "-" } else { field.example };
        format!(" --{} {value}", long(of, field))
    });
    let example = format!("toktra-siem channel add {kind}{}", needed.collect::<String>());
    let more = format!("{about}\n\n{}\n\nExample: {example}", of.preparation);
    let args = of.fields.iter().map(|field| argument(of, field));
    CommonOptions::augment_args(Command::new(kind).args(args)).about(about).long_about(more).after_help(EXIT_CODES)
}

/// The option of a setting, without its dashes: of a secret the name of a file. `--url` is the server's.
fn long(of: &Descriptor, field: &Field) -> String {
    let plain = field.name.replace('_', "-");
    match (field.secret, field.url) {
        (true, _) => format!("{plain}-file"),
        (false, true) => format!("{}-{plain}", of.kind.as_str()),
        (false, false) => plain,
    }
}

/// The variable that holds a secret, if no option names a file.
fn variable(of: &Descriptor, field: &Field) -> String {
    format!("NOTIFY_{}_{}", of.kind.as_str(), field.name).to_ascii_uppercase()
}

/// What clap calls the option of a setting.
fn id_of(field: &Field) -> String {
    format!("config.{}", field.name)
}

fn argument(of: &Descriptor, field: &Field) -> Arg {
    let help = field.help.trim_end_matches('.');
    let arg = Arg::new(id_of(field)).long(long(of, field));
    if field.secret {
        let variable = variable(of, field);
        let help = format!("{help}. In a file or on standard input (-) [default: {variable}]");
        return arg.value_name("FILE").value_parser(value_parser!(PathBuf)).help(help);
    }
    let arg = arg.value_name(if field.url { "URL" } else { "VALUE" }).required(field.required);
    if field.list {
        let help = format!("{help}. Separated by commas, or the option repeated");
        return arg.action(ArgAction::Append).value_delimiter(',').help(help);
    }
    arg.help(help.to_owned())
}

/// What all kinds have, beside settings.
#[derive(Debug, Args)]
struct CommonOptions {
    /// Its name, unique within the org [default: the kind's]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    events: EventOptions,
    /// Make it switched off
    #[arg(long)]
    off: bool,
    #[command(flatten)]
    call: Call,
}

pub(super) async fn run(command: AddCommand, world: &mut World<'_>) -> Result<(), CliError> {
    let AddCommand { of, given } = command;
    let common = CommonOptions::from_arg_matches(&given).map_err(|error| CliError::Usage(error.to_string()))?;
    let mut config = Map::new();
    for field in of.fields {
        if let Some(value) = member(of, field, &given, world)? {
            config.insert(field.name.to_owned(), value);
        }
    }
    if of.fields.iter().any(|field| field.secret && !field.required && !config.contains_key(field.name)) {
        world.needs_reader()?;
    }
    let body = NewChannel {
        name: Name(common.name.unwrap_or_else(|| of.label.to_owned())),
        kind: of.kind,
        config,
        events: common.events.given(),
        active: common.off.then_some(false),
    };
    let Call { server, output } = &common.call;
    let client = server.client(world)?;
    let answer = client.post::<Channel>(CHANNELS, &body).await?;
    let made = answer.read()?;
    let said = || {
        let text = format!("Made: {} ({}), id {}.\n", made.name, made.kind, made.id);
        let tail = format!("Try it with: toktra-siem channel test \"{}\"\n", made.name);
        Ok(text + &secrets(&made) + &tail)
    };
    let undo = async || client.undo(&path(made.id, "")).await;
    world.made(&format!("the notification channel {}", made.id), &output.rendered(&answer, said)?, undo).await
}

/// The secrets that were made along, which no other answer shows.
pub(crate) fn secrets(made: &Channel) -> String {
    let secret = |(name, member): (&String, &Value)| {
        let value = as_secret(member)?.value?;
        Some(format!("\nIts {}, shown only now:\n\n    {}\n\n", name.replace('_', " "), value.expose_secret()))
    };
    made.config.iter().filter_map(secret).collect()
}

/// One setting, of the options or of the environment.
fn member(
    of: &Descriptor,
    field: &Field,
    given: &ArgMatches,
    world: &mut World<'_>,
) -> Result<Option<Value>, CliError> {
    let id = id_of(field);
    if field.list {
        return Ok(given.get_many::<String>(&id).map(|items| json!(items.collect::<Vec<_>>())));
    }
    if !field.secret {
        return Ok(given.get_one::<String>(&id).map(|text| text.as_str().into()));
    }
    let variable = variable(of, field);
    let secret = secret::given(given.get_one::<PathBuf>(&id).map(PathBuf::as_path), &variable, world)?;
    if secret.is_none() && field.required {
        return Err(CliError::Usage(format!(
            "The {} is needed: --{} FILE (\"-\" reads it from standard input), or the variable {variable}.",
            field.label,
            long(of, field)
        )));
    }
    Ok(secret.map(|secret| secret.expose_secret().into()))
}
