//! `connector add`: a connector by options, which each platform's descriptor tells: nothing here knows a platform.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Subcommand, value_parser};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use toktra_siem_platform::descriptor::Kind;
use toktra_siem_platform::{Descriptor, Field, Registry, group};
use toktra_siem_wire::{GivenSecret, Name, NewConnector, NewSettings};

use super::{FilterOptions, said_of, trial};
use crate::answer::{Connector, Test};
use crate::client::Call;
use crate::{CliError, World, secret};

/// Exit codes of these commands.
const EXIT_CODES: &str = "Exit codes: 0 made; 1 it failed, the server refused, or with --test the test event was not delivered; 2 wrong \
                          usage. With any other code than 0, no connector was made.";

/// For which platform, and the options that were given. [`with_platforms`] says which there are.
#[derive(Debug, Clone)]
pub struct AddCommand {
    platform: String,
    given: ArgMatches,
}

impl FromArgMatches for AddCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand() {
            Some((platform, given)) => Ok(Self { platform: platform.to_owned(), given: given.clone() }),
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
        command.subcommand_required(true).arg_required_else_help(true)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(_: &str) -> bool {
        true
    }
}

/// The command with a subcommand for each platform.
pub(crate) fn with_platforms(command: Command, registry: &Registry) -> Command {
    command.subcommands(registry.descriptors().map(|platform| of_platform(platform, registry)))
}

fn of_platform(platform: &Descriptor, registry: &Registry) -> Command {
    let about = format!("Make a connector to {}", platform.leads_to);
    let more = format!(
        "{about}\n\n{}\n\nExample: toktra-siem connector add {} {} --test --active",
        platform.preparation, platform.id, platform.example
    );
    let taken = CommonOptions::augment_args(Command::new("taken"));
    let mut args = Vec::new();
    for field in registry.fields(platform.id) {
        let plain = field.command_line_option();
        let is_taken = taken.get_arguments().any(|arg| arg.get_long() == Some(&plain));
        let long = if is_taken { format!("{}-{plain}", platform.id.as_str().replace('_', "-")) } else { plain };
        args.push(argument(platform, field, long));
    }
    // The words come last: the common options bring their own.
    CommonOptions::augment_args(Command::new(platform.id.to_string()).args(args))
        .about(about)
        .long_about(more)
        .after_help(EXIT_CODES)
}

/// What clap calls the option of a setting: a platform may name one as an option of every command is named.
fn id_of(field: &str) -> String {
    format!("config.{field}")
}

/// The option of a setting.
fn argument(platform: &Descriptor, field: &Field, long: String) -> Arg {
    let help = field.help.trim_end_matches('.');
    let by_default = field.default.filter(|_| !matches!(field.kind, Kind::Flag));
    let default = by_default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
    let value = long.rsplit('-').next().unwrap_or_default().to_uppercase();
    let arg = Arg::new(id_of(field.name)).long(long).help(format!("{help}{default}"));
    let arg = match field.kind {
        Kind::Flag => {
            let negated = field.default == Some("true");
            let help =
                if negated { format!("Turn off: {}", help.replacen("Whether", "whether", 1)) } else { help.to_owned() };
            arg.action(ArgAction::SetTrue).help(help)
        }
        Kind::Secret(_) | Kind::SecretUrl(_) | Kind::Headers => {
            let variable = field.variable(platform.id);
            arg.value_name("FILE")
                .value_parser(value_parser!(std::path::PathBuf))
                .help(format!("{help}, in a file or on standard input (-) [default: {variable}]"))
        }
        Kind::Pem(_) => arg.value_name("FILE").value_parser(value_parser!(std::path::PathBuf)),
        Kind::Number { min, max } => arg.value_name("COUNT").value_parser(value_parser!(u64).range(min..=max)),
        Kind::Choice { words, read: None } => {
            arg.value_name(value).value_parser(PossibleValuesParser::new(words.iter().map(|(word, _)| *word)))
        }
        Kind::Url(_) => arg.value_name("URL").required(field.required),
        Kind::Text(_) | Kind::Choice { .. } => arg.value_name(value).required(field.required),
    };
    related(platform, field, arg)
}

/// What an option excludes, and what it cannot be without.
fn related(platform: &Descriptor, field: &Field, mut arg: Arg) -> Arg {
    if let Some(other) =
        platform.fields.iter().find(|other| other.shares.is_some_and(|shares| shares.with == field.name))
    {
        arg = arg.required_unless_present(id_of(other.name)).conflicts_with(id_of(other.name));
    }
    let Some(when) = field.when else { return arg };
    for other in platform.fields.iter().filter(|other| other.name != field.name) {
        match other.when {
            Some(beside) if beside.choice == when.choice && beside.word != when.word => {
                arg = arg.conflicts_with(id_of(other.name));
            }
            Some(beside) if beside == when && field.is_secret() && !other.is_secret() => {
                arg = arg.requires(id_of(other.name));
            }
            _ => {}
        }
    }
    arg
}

/// What all platforms have, beside settings.
#[derive(Debug, Args)]
pub(super) struct CommonOptions {
    /// Its name, unique within the org [default: the platform's]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    filter: FilterOptions,
    /// The signing secret, in a file or on standard input (-) [default: one is made, and shown once]
    #[arg(long, value_name = "FILE")]
    signing_secret_file: Option<std::path::PathBuf>,
    /// Switch it on at once
    #[arg(long)]
    active: bool,
    /// Deliver a test event first, and make the connector only if that arrives
    #[arg(long)]
    test: bool,
    #[command(flatten)]
    call: Call,
}

pub(super) async fn run(command: AddCommand, world: &mut World<'_>) -> Result<(), CliError> {
    let registry = world.registry.clone();
    let AddCommand { platform, given } = command;
    let platform = registry
        .find(&platform)
        .ok_or_else(|| CliError::Usage(format!("`{platform}` is not a platform; it is {}.", registry.listed())))?;
    let common = CommonOptions::from_arg_matches(&given).map_err(|error| CliError::Usage(error.to_string()))?;
    let mut config = Map::new();
    for field in registry.fields(platform.id) {
        if let Some(value) = member(&config, field, &given, platform, world)? {
            config.insert(field.name.to_owned(), value);
        }
    }
    let signing_secret = common.signing_secret_file.as_ref().map(|file| secret::verbatim(file, world)).transpose()?;
    let body = NewConnector {
        name: Name(common.name.clone().unwrap_or_else(|| platform.label.to_owned())),
        settings: NewSettings { platform: platform.id, config: group::nested(config) },
        filter: common.filter.given(),
        signing_secret: signing_secret.map(GivenSecret),
        active: common.active,
        resume: None,
    };
    save(&body, &common, world).await
}

/// Reads one setting from the form into `config`, which holds the earlier ones.
fn member(
    config: &Map<String, Value>,
    field: &Field,
    given: &ArgMatches,
    platform: &Descriptor,
    world: &mut World<'_>,
) -> Result<Option<Value>, CliError> {
    let file = || given.get_one::<std::path::PathBuf>(&id_of(field.name));
    Ok(match field.kind {
        Kind::Flag => given.get_flag(&id_of(field.name)).then(|| Value::from(field.default != Some("true"))),
        Kind::Number { .. } => given.get_one::<u64>(&id_of(field.name)).map(|number| Value::from(*number)),
        Kind::Pem(_) => match file() {
            None => None,
            Some(path) => {
                let read = toktra_siem_config::files::pem(path);
                Some(
                    read.map_err(|error| CliError::Usage(format!("{} cannot be read: {error}.", path.display())))?
                        .into(),
                )
            }
        },
        Kind::Secret(_) | Kind::SecretUrl(_) | Kind::Headers if file().is_none() && !counts(field, given, platform) => {
            None
        }
        Kind::Secret(_) | Kind::SecretUrl(_) | Kind::Headers => {
            let variable = field.variable(platform.id);
            let secret = secret::given(file().map(std::path::PathBuf::as_path), &variable, world)?;
            if secret.is_none() && field.is_required(config) {
                let article = if field.label.starts_with(['A', 'E', 'I', 'O']) { "An" } else { "A" };
                return Err(CliError::Usage(format!(
                    "{article} {} is needed: --{} FILE (\"-\" reads it from standard input), or the variable {variable}.",
                    field.label,
                    field.command_line_option()
                )));
            }
            secret.map(|secret| secret.expose_secret().into())
        }
        Kind::Url(_) | Kind::Text(_) | Kind::Choice { .. } => {
            given.get_one::<String>(&id_of(field.name)).map(|text| Value::from(text.as_str()))
        }
    })
}

/// Whether a secret counts beside the options that were given: one of another choice is not looked for in the environment.
fn counts(field: &Field, given: &ArgMatches, platform: &Descriptor) -> bool {
    let Some(when) = field.when else { return true };
    let plain = || platform.fields.iter().filter(|other| !other.is_secret());
    let spoken = |own: bool| {
        let mut of = plain().filter(move |other| {
            other.when.is_some_and(|beside| beside.choice == when.choice && (beside.word == when.word) == own)
        });
        of.any(|other| given.contains_id(&id_of(other.name)))
    };
    let needs_company = plain().any(|other| other.when == Some(when));
    if needs_company { spoken(true) } else { !spoken(false) }
}

async fn save(body: &NewConnector, common: &CommonOptions, world: &mut World<'_>) -> Result<(), CliError> {
    if body.signing_secret.is_none() {
        world.needs_reader()?;
    }
    let Call { server, output } = &common.call;
    let client = server.client(world)?;
    if common.test {
        let tested = client.post::<Test>("/v1/siem/connectors/test", body).await?;
        if !tested.read()?.delivered {
            return trial::show(&tested, *output, world);
        }
    }
    let answer = client.post::<Connector>("/v1/siem/connectors", body).await?;
    let made = answer.read()?;
    let said = || {
        let mut text = vec![format!("Made: {}, id {}.\n", said_of(&made), made.id)];
        if common.test {
            text.push("The test event arrived.\n".to_owned());
        }
        if let Some(secret) = &made.signing_secret.value {
            text.push(format!("\nIts signing secret, shown only now:\n\n    {}\n\n", secret.expose_secret()));
        }
        if !made.active {
            text.push(format!("It is off. Switch it on with: toktra-siem connector enable \"{}\"\n", made.name));
        }
        Ok(text.concat())
    };
    let undo = async || client.undo(&super::path(&made, "")).await;
    world.made(&format!("the connector {}", made.id), &output.rendered(&answer, said)?, undo).await
}
