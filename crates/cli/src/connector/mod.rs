//! `connector`: an org's connectors, looked at and changed over the API. A file per kind of command.

use std::collections::HashMap;

use clap::{Args, Subcommand};
use serde_json::Value;
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_platform::view::SecretView;
use toktra_siem_wire::Word;

use super::answer::{Answer, Connector};
use super::client::{Call, Client, OrgOptions};
use super::output::{EXIT_CODES, cell, facts, plain, table};
use super::{CliError, World, cells, members};

mod acknowledge;
mod add;
mod apply;
mod change;
mod delete;
mod filter;
mod secrets;
mod setup;
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
    List(Call),
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
    /// What waited while it was off is delivered beside what is new, or skipped with --from-now.
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
    /// Changes (--set and the like) are tried with the stored secrets, and are not saved.
    ///
    /// With --samples a sample of each event type that producers post is sent, to build detection rules and dashboards on.
    ///
    /// Example: toktra-siem connector test Splunk
    #[command(after_help = "Exit codes: 0 delivered; 1 not delivered, or the server refused; 2 wrong usage.")]
    Test(trial::TestOptions),
    /// Print the set-up steps for your SIEM administrator; with --curl, a command that sends the connector's request again
    ///
    /// Nothing is changed, and no secret is printed.
    ///
    /// Example: toktra-siem connector setup Splunk
    #[command(after_help = EXIT_CODES)]
    Setup(setup::SetupOptions),
    /// Apply connectors and notification channels from files: connectors as code
    #[command(
        long_about = apply::HELP,
        after_help = "Exit codes: 0 applied, or nothing to do; 1 it failed, or the server refused; 2 faults in the files, nothing was \
                      done; 3 with --dry-run: there is something to do."
    )]
    Apply(apply::ApplyOptions),
    /// Print connectors and notification channels as a file for `connector apply`, secrets as references to variables
    ///
    /// Example: toktra-siem connector export > connectors.yaml
    #[command(after_help = EXIT_CODES)]
    Export(OrgOptions),
    /// Show whether connectors work, and how far they are behind; all of them if none is named
    ///
    /// Example: toktra-siem connector health
    #[command(
        after_help = "Exit codes: 0 all that are on are healthy; 1 one is not, or the server refused; 2 wrong usage."
    )]
    Health(state::StateOptions),
    /// Acknowledge that a connector does not deliver, or will not for a while: until a time that you give, nobody is told of it
    ///
    /// People are told all the same if events are about to be lost.
    ///
    /// Example: toktra-siem connector acknowledge Splunk --note "CHG-123" --until 4h
    #[command(after_help = EXIT_CODES)]
    Acknowledge(acknowledge::AcknowledgeOptions),
    /// Show where every event of a connector is; all connectors if none is named
    ///
    /// Example: toktra-siem connector accounting Splunk
    #[command(after_help = EXIT_CODES)]
    Accounting(state::StateOptions),
    /// Rotate the signing secret: the new one is shown once, and both sign until it is activated
    ///
    /// Example: toktra-siem connector rotate-secret Splunk --grace 24h
    #[command(after_help = EXIT_CODES)]
    RotateSecret(secrets::RotateOptions),
    /// Activate the new signing secret: from now on it signs alone
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

/// One of them.
#[derive(Debug, Args)]
pub struct OneOptions {
    /// The connector: its name or id
    connector: String,
    #[command(flatten)]
    call: Call,
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
        ConnectorCommand::Setup(options) => setup::run(&options, world).await,
        ConnectorCommand::Apply(options) => apply::run(&options, world).await,
        ConnectorCommand::Export(options) => apply::export::run(&options, world).await,
        ConnectorCommand::Health(options) => state::health(&options, world).await,
        ConnectorCommand::Acknowledge(options) => acknowledge::run(options, world).await,
        ConnectorCommand::Accounting(options) => state::accounting(&options, world).await,
        ConnectorCommand::RotateSecret(options) => secrets::rotate(&options, world).await,
        ConnectorCommand::ActivateSecret(options) => secrets::activate(&options, world).await,
        ConnectorCommand::Template(options) => secrets::template(&options, world).await,
    }
}

/// Every connector of the org.
pub(super) async fn all(client: &Client) -> Result<Answer<Vec<Connector>>, CliError> {
    client.list("/v1/siem/connectors", None).await
}

/// What connectors are called, for those who know their ids.
pub(super) struct Names(HashMap<ConnectorId, String>);

impl Names {
    /// Those of the org; where only JSON is wanted, none are asked for.
    pub(super) async fn of(client: &Client, json: bool) -> Result<Self, CliError> {
        let all = if json { Vec::new() } else { all(client).await?.read()? };
        Ok(Self(all.into_iter().map(|connector| (connector.id, connector.name)).collect()))
    }

    /// The name; of a connector that is gone, the id.
    pub(super) fn name(&self, id: ConnectorId) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }
}

impl Call {
    /// A client, and the connector that `text` names, or whose id it is.
    pub(super) async fn connector(&self, text: &str, world: &World<'_>) -> Result<(Client, Connector), CliError> {
        let client = self.server.client(world)?;
        let connector = find(&client, text).await?;
        Ok((client, connector))
    }
}

/// The connector that `text` names, or whose id it is.
pub(super) async fn find(client: &Client, text: &str) -> Result<Connector, CliError> {
    look_up(client, text).await?.read()
}

async fn look_up(client: &Client, text: &str) -> Result<Answer<Connector>, CliError> {
    if let Ok(id) = text.parse::<ConnectorId>() {
        return client.get(&format!("/v1/siem/connectors/{id}")).await;
    }
    let mut names = Vec::new();
    for one in all(client).await?.each()? {
        let name = one.read()?.name;
        if name == text {
            return Ok(one);
        }
        names.push(name);
    }
    let near = match near(&names, text) {
        Some(near) => format!(" Did you mean \"{near}\"?"),
        None if names.is_empty() => " There is none yet.".to_owned(),
        None => String::new(),
    };
    Err(CliError::Usage(format!(
        "There is no connector named \"{text}\".{near} `toktra-siem connector list` shows all."
    )))
}

/// The name that was probably meant: one that `text` is a part of, or that differs from it by a third of its letters at most.
fn near<'n>(names: &'n [String], text: &str) -> Option<&'n String> {
    let text = text.to_lowercase();
    let distance = |name: &String| {
        let name = name.to_lowercase();
        let part = text.chars().count() > 2 && name.contains(&text);
        if part { 0 } else { strsim::damerau_levenshtein(&name, &text) }
    };
    names.iter().min_by_key(|name| distance(name)).filter(|name| distance(name) * 3 <= text.chars().count())
}

/// The path of a connector, and of what is below it.
pub(super) fn path(connector: &Connector, below: &str) -> String {
    format!("/v1/siem/connectors/{}{below}", connector.id)
}

fn on_off(connector: &Connector) -> &'static str {
    if connector.active { "on" } else { "off" }
}

async fn list(call: &Call, world: &mut World<'_>) -> Result<(), CliError> {
    let connectors = all(&call.server.client(world)?).await?;
    call.output.show(world, &connectors, |connectors| {
        if connectors.is_empty() {
            return "There are no connectors yet. `toktra-siem connector add` makes one.".to_owned();
        }
        let rows = connectors.iter().map(|one| cells![one.name, one.settings.platform, on_off(one), one.id]);
        table(["NAME", "PLATFORM", "ACTIVE", "ID"], rows)
    })
}

async fn get(options: &OneOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let connector = look_up(&options.call.server.client(world)?, &options.connector).await?;
    options.call.output.show(world, &connector, describe)
}

/// Everything about a connector.
fn describe(one: &Connector) -> String {
    let brackets = ["(", ")"];
    let mut lines = members![one => name, id].to_vec();
    lines.push(("platform", cell(&one.settings.platform)));
    lines.extend([("active", on_off(one).to_owned()), ("managed by", cell(&one.managed_by))]);
    for (name, member) in &one.settings.config {
        lines.push((name, as_secret(member).map_or_else(|| plain(member), |view| secret(&view, brackets))));
    }
    let (severity, event_types) = forwarded(&one.filter);
    lines.extend([("severity", severity), ("event types", event_types)]);
    lines.push(("signing secret", secret(&one.signing_secret, brackets)));
    if let Some(rotation) = &one.rotation {
        let next = secret(&rotation.signing_secret_next, brackets);
        lines.push(("next secret", format!("{next}, takes over at {}", rotation.until)));
    }
    lines.push(("revision", cell(&one.revision)));
    lines.extend([("created", cell(&one.created_at)), ("changed", cell(&one.updated_at))]);
    facts(&lines)
}

/// Which severities and which event types a filter lets through.
fn forwarded(filter: &Word<Filter>) -> (String, String) {
    let filter = serde_json::to_value(filter).unwrap_or_default();
    let list = |name: &str| match plain(&filter[name]).as_str() {
        "-" => "all".to_owned(),
        some => some.to_owned(),
    };
    (list("severity"), list("event_types"))
}

/// What a member of `config` says of a secret, if it is one.
pub(super) fn as_secret(value: &Value) -> Option<SecretView> {
    serde_json::from_value(value.clone()).ok().filter(|_| value.is_object())
}

/// What is known of a secret, in a word or two.
pub(super) fn secret(view: &SecretView, [open, close]: [&str; 2]) -> String {
    let known: Vec<&str> = view.origin.iter().chain(&view.hint).map(String::as_str).collect();
    match (known.as_slice(), &view.source) {
        _ if !view.set => "not set".to_owned(),
        ([], Some(source)) => format!("set {open}by {source}{close}"),
        ([], None) => "set".to_owned(),
        (known, _) => format!("set {open}{}{close}", known.join(", ")),
    }
}

/// What a save says of a connector, in a line.
fn said_of(connector: &Connector) -> String {
    format!("{} ({}, {})", connector.name, connector.settings.platform, on_off(connector))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_is_near_is_suggested() {
        let names = ["Double", "Splunk production"].map(str::to_owned);
        let near = |text: &str| near(&names, text).map(String::as_str);
        assert_eq!(
            (near("Doubel"), near("splunk"), near("SPLUNK PROD")),
            (Some("Double"), Some("Splunk production"), Some("Splunk production"))
        );
        assert_eq!((near("Nope"), near("x"), near("Datadog")), (None, None, None));
    }
}
