//! `connector`: an org's connectors, looked at and changed over the API. A file per kind of command.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::Value;
use uuid::Uuid;

use super::client::{Client, OrgOptions};
use super::output::{EXIT_CODES, Output, Table, cell, facts, items, plain};
use super::{CliError, World};

mod add;
mod apply;
mod change;
mod delete;
mod filter;
mod secrets;
mod state;
mod trial;

pub(super) use add::with_platforms;
pub(super) use filter::FilterOptions;

/// What can be done with connectors.
#[derive(Debug, Subcommand)]
pub enum ConnectorCommand {
    /// List the connectors: name, platform, whether they send, id
    ///
    /// Example: toktra-siem connector list
    #[command(after_help = EXIT_CODES)]
    List(ListOptions),
    /// Show one connector; of its secrets only that they are set, and how they end
    ///
    /// Example: toktra-siem connector get Splunk
    #[command(after_help = EXIT_CODES)]
    Get(OneOptions),
    /// Make a connector
    #[command(subcommand)]
    Add(add::AddCommand),
    /// Change a connector: what is given is replaced, the rest stays
    ///
    /// Example: toktra-siem connector update Splunk --set index=security --severity high,critical
    #[command(after_help = EXIT_CODES)]
    Update(change::UpdateOptions),
    /// Switch a connector on
    ///
    /// What waited while it was off is delivered beside what is new, or passed by with --from-now.
    ///
    /// Example: toktra-siem connector enable Splunk
    #[command(after_help = EXIT_CODES)]
    Enable(change::EnableOptions),
    /// Switch a connector off; from then on its events wait
    ///
    /// Example: toktra-siem connector disable Splunk
    #[command(after_help = EXIT_CODES)]
    Disable(OneOptions),
    /// Delete a connector, and give up the events that wait for it
    ///
    /// Says how many events that are, and asks; in a script, --yes answers.
    ///
    /// Example: toktra-siem connector delete Splunk --yes
    #[command(after_help = EXIT_CODES)]
    Delete(delete::DeleteOptions),
    /// Deliver a test event, and show what the SIEM answered, stage by stage
    ///
    /// With changes (--set and the like) they are tried with the stored secrets, and not saved.
    ///
    /// Example: toktra-siem connector test Splunk
    #[command(after_help = "Exit codes: 0 delivered; 1 not delivered, or the server refused; 2 wrong usage.")]
    Test(trial::TestOptions),
    /// Bring the connectors in line with files: connectors as code
    #[command(
        long_about = apply::HELP,
        after_help = "Exit codes: 0 applied, or nothing to do; 1 it failed, or the server refused; 2 faults in the files, nothing was \
                      done; 3 with --dry-run: there is something to do."
    )]
    Apply(apply::ApplyOptions),
    /// Print the connectors as a file for `connector apply`, secrets as references to variables
    ///
    /// Example: toktra-siem connector export > connectors.yaml
    #[command(after_help = EXIT_CODES)]
    Export(ExportOptions),
    /// Show whether connectors work, and how far they are behind; all of them where none is named
    ///
    /// Example: toktra-siem connector health
    #[command(
        after_help = "Exit codes: 0 all that are on are healthy; 1 one is not, or the server refused; 2 wrong usage."
    )]
    Health(state::StateOptions),
    /// Show where every event of a connector is; all connectors where none is named
    ///
    /// Example: toktra-siem connector accounting Splunk
    #[command(after_help = EXIT_CODES)]
    Accounting(state::StateOptions),
    /// Begin to change the signing secret: the new one is shown once, and both sign until it is activated
    ///
    /// Example: toktra-siem connector rotate-secret Splunk --grace 24h
    #[command(after_help = EXIT_CODES)]
    RotateSecret(secrets::RotateOptions),
    /// End the change of the signing secret: from now on the new one signs alone
    ///
    /// Example: toktra-siem connector activate-secret Splunk
    #[command(after_help = EXIT_CODES)]
    ActivateSecret(OneOptions),
    /// Create or update the index template of an Elasticsearch connector
    ///
    /// Example: toktra-siem connector template Elasticsearch
    #[command(after_help = EXIT_CODES)]
    Template(OneOptions),
}

/// All of them.
#[derive(Debug, Args)]
pub struct ListOptions {
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

/// All of them, as YAML.
#[derive(Debug, Args)]
pub struct ExportOptions {
    #[command(flatten)]
    server: OrgOptions,
}

/// One of them.
#[derive(Debug, Args)]
pub struct OneOptions {
    /// The connector: its name or id
    connector: String,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(command: ConnectorCommand, world: &mut World<'_>) -> Result<(), CliError> {
    match command {
        ConnectorCommand::List(options) => list(&options, world).await,
        ConnectorCommand::Get(options) => get(&options, world).await,
        ConnectorCommand::Add(command) => add::run(command, world).await,
        ConnectorCommand::Update(options) => change::update(options, world).await,
        ConnectorCommand::Enable(options) => change::enable(&options, world).await,
        ConnectorCommand::Disable(options) => change::disable(&options, world).await,
        ConnectorCommand::Delete(options) => delete::run(&options, world).await,
        ConnectorCommand::Test(options) => trial::run(options, world).await,
        ConnectorCommand::Apply(options) => apply::run(&options, world).await,
        ConnectorCommand::Export(options) => apply::export::run(&options.server, world).await,
        ConnectorCommand::Health(options) => state::health(&options, world).await,
        ConnectorCommand::Accounting(options) => state::accounting(&options, world).await,
        ConnectorCommand::RotateSecret(options) => secrets::rotate(&options, world).await,
        ConnectorCommand::ActivateSecret(options) => secrets::activate(&options, world).await,
        ConnectorCommand::Template(options) => secrets::template(&options, world).await,
    }
}

/// Every connector of the org.
pub(super) async fn all(client: &Client) -> Result<Vec<Value>, CliError> {
    client.list("/v1/siem/connectors", None).await
}

/// The connector that `text` names, or whose id it is.
pub(super) async fn find(client: &Client, text: &str) -> Result<Value, CliError> {
    if let Ok(id) = Uuid::try_parse(text) {
        return client.get(&format!("/v1/siem/connectors/{id}")).await;
    }
    let connectors = all(client).await?;
    let names: Vec<String> = connectors.iter().map(|connector| cell(connector, "name")).collect();
    let found = connectors.into_iter().find(|connector| connector["name"] == text);
    found.ok_or_else(|| {
        let near =
            names.iter().min_by_key(|name| strsim::damerau_levenshtein(&name.to_lowercase(), &text.to_lowercase()));
        let near = near.map_or("There is none yet.".to_owned(), |near| format!("Did you mean \"{near}\"?"));
        CliError::Usage(format!(
            "There is no connector named \"{text}\". {near} `toktra-siem connector list` shows all."
        ))
    })
}

/// The path of a connector, and of what is below it.
pub(super) fn path(connector: &Value, below: &str) -> String {
    format!("/v1/siem/connectors/{}{below}", cell(connector, "id"))
}

fn revision(connector: &Value) -> Option<u64> {
    connector["revision"].as_u64()
}

fn on_off(connector: &Value) -> String {
    if connector["active"] == true { "on".to_owned() } else { "off".to_owned() }
}

async fn list(options: &ListOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let connectors = Value::Array(all(&options.server.client(world)?).await?);
    options.output.show(world, &connectors, |out| {
        let connectors = items(&connectors);
        if connectors.is_empty() {
            return writeln!(out, "There are no connectors yet. `toktra-siem connector add` makes one.");
        }
        let mut table = Table::new(&["NAME", "PLATFORM", "ACTIVE", "ID"]);
        for one in connectors {
            table.row([cell(one, "name"), cell(one, "platform"), on_off(one), cell(one, "id")]);
        }
        table.write(out)
    })
}

async fn get(options: &OneOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let connector = find(&options.server.client(world)?, &options.connector).await?;
    options.output.show(world, &connector, |out| describe(out, &connector))
}

/// Everything about a connector.
fn describe(out: &mut dyn Write, connector: &Value) -> io::Result<()> {
    let mut lines: Vec<(&str, String)> = ["name", "id", "platform"].map(|name| (name, cell(connector, name))).into();
    lines.push(("active", on_off(connector)));
    lines.push(("managed by", cell(connector, "managed_by")));
    for (name, member) in connector["config"].as_object().into_iter().flatten() {
        lines.push((name, setting(member)));
    }
    lines.push(("severity", all_or(&connector["filter"]["severity"])));
    lines.push(("event types", all_or(&connector["filter"]["event_types"])));
    lines.push(("signing secret", setting(&connector["signing_secret"])));
    if let Some(until) = connector["rotation"]["until"].as_str() {
        lines.push((
            "next secret",
            format!("{}, takes over at {until}", setting(&connector["rotation"]["signing_secret_next"])),
        ));
    }
    for (shown, name) in [("revision", "revision"), ("created", "created_at"), ("changed", "updated_at")] {
        lines.push((shown, cell(connector, name)));
    }
    facts(out, &lines)
}

/// A member of `config`; a secret as what is known of it.
fn setting(value: &Value) -> String {
    match (value["set"].as_bool(), value["hint"].as_str(), value["source"].as_str()) {
        (Some(true), Some(hint), _) => format!("set ({hint})"),
        (Some(true), None, Some(source)) => format!("set (by {source})"),
        (Some(true), None, None) => "set".to_owned(),
        (Some(false), _, _) => "not set".to_owned(),
        (None, _, _) => plain(value),
    }
}

fn all_or(list: &Value) -> String {
    if items(list).is_empty() { "all".to_owned() } else { plain(list) }
}

/// What a save says of a connector, in a line.
fn said_of(connector: &Value) -> String {
    format!("{} ({}, {})", cell(connector, "name"), cell(connector, "platform"), on_off(connector))
}
