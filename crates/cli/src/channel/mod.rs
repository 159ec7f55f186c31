//! `channel`: notification channels, looked at and changed over the API. Their kinds and settings are told by descriptors: nothing here knows
//! a kind.

use clap::{Args, Subcommand};
use serde_json::Value;
use toktra_siem_core::ids::ChannelId;
use toktra_siem_core::notice::Topic;
use toktra_siem_wire::{ChannelChange, ChannelDeleted, ChannelTest, NoMembers};

use super::answer::{Answer, Channel};
use super::client::{Call, Client};
use super::connector::{as_secret, secret};
use super::output::{EXIT_CODES, cell, facts, plain, table};
use super::{CliError, World, cells, confirm, members};

mod add;
mod change;

pub(crate) use add::secrets;

/// Where the API has them.
pub(crate) const CHANNELS: &str = "/v1/notification-channels";

/// What a channel can be told, as the API calls it.
const TOPICS: &[&str] =
    &["down", "misconfigured", "recovered", "expiring", "stalled", "certificate", "key", "silence", "disk"];

/// What can be done with notification channels.
#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// List the channels: name, kind, whether they work, id
    ///
    /// Example: toktra-siem channel list
    #[command(after_help = EXIT_CODES)]
    List(Call),
    /// Show one channel; of its secrets only that they are set, and how they end
    ///
    /// Example: toktra-siem channel get "SOC on call"
    #[command(after_help = EXIT_CODES)]
    Get(OneOptions),
    /// Make a channel
    #[command(subcommand)]
    Add(add::AddCommand),
    /// Change a channel: what is given is replaced, the rest stays
    ///
    /// Example: toktra-siem channel update "SOC on call" --event down,misconfigured,recovered
    #[command(after_help = EXIT_CODES)]
    Update(change::UpdateOptions),
    /// Switch a channel on: it is told what happens from now on
    ///
    /// Example: toktra-siem channel enable "SOC on call"
    #[command(after_help = EXIT_CODES)]
    Enable(OneOptions),
    /// Switch a channel off
    ///
    /// Example: toktra-siem channel disable "SOC on call"
    #[command(after_help = EXIT_CODES)]
    Disable(OneOptions),
    /// Delete a channel
    ///
    /// Example: toktra-siem channel delete "SOC on call" --yes
    #[command(after_help = EXIT_CODES)]
    Delete(DeleteOptions),
    /// Send a message that says that it is a test, and show what the receiver answered
    ///
    /// Example: toktra-siem channel test "SOC on call"
    #[command(after_help = "Exit codes: 0 it was taken; 1 it was not, or the server refused; 2 wrong usage.")]
    Test(OneOptions),
}

/// One of them.
#[derive(Debug, Args)]
pub struct OneOptions {
    /// The channel: its name or id
    channel: String,
    #[command(flatten)]
    call: Call,
}

/// Which channel goes.
#[derive(Debug, Args)]
pub struct DeleteOptions {
    /// The channel: its name or id
    channel: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    call: Call,
}

pub(super) async fn run(command: ChannelCommand, world: &mut World<'_>) -> Result<(), CliError> {
    match command {
        ChannelCommand::List(call) => list(&call, world).await,
        ChannelCommand::Get(options) => {
            let channel = look_up(&options.call.server.client(world)?, &options.channel).await?;
            options.call.output.show(world, &channel, describe)
        }
        ChannelCommand::Add(command) => add::run(command, world).await,
        ChannelCommand::Update(options) => change::update(options, world).await,
        ChannelCommand::Enable(options) => switch(&options, true, world).await,
        ChannelCommand::Disable(options) => switch(&options, false, world).await,
        ChannelCommand::Delete(options) => delete(&options, world).await,
        ChannelCommand::Test(options) => test(&options, world).await,
    }
}

/// Every channel of the org.
pub(crate) async fn all(client: &Client) -> Result<Answer<Vec<Channel>>, CliError> {
    client.list(CHANNELS, None).await
}

/// The channel that `text` names, or whose id it is.
async fn look_up(client: &Client, text: &str) -> Result<Answer<Channel>, CliError> {
    if let Ok(id) = text.parse::<ChannelId>() {
        return client.get(&path(id, "")).await;
    }
    for one in all(client).await?.each()? {
        if one.read()?.name == text {
            return Ok(one);
        }
    }
    Err(CliError::Usage(format!(
        "There is no notification channel named \"{text}\". `toktra-siem channel list` shows all."
    )))
}

/// The path of a channel, and of what is below it.
pub(crate) fn path(id: ChannelId, below: &str) -> String {
    format!("{CHANNELS}/{id}{below}")
}

/// How a channel stands, in few words.
/// Whether the last message got through, though not to everybody: the next one goes to all of them.
fn nothing_waits(channel: &Channel) -> bool {
    channel.failing.as_ref().zip(channel.last_sent_at).is_some_and(|(failing, sent)| sent >= failing.next_attempt_at)
}

fn state(channel: &Channel) -> String {
    match (&channel.failing, channel.last_sent_at) {
        _ if !channel.active => "off".to_owned(),
        (Some(failing), _) if nothing_waits(channel) => {
            format!("works in part since {}: {} The others were told.", failing.since, failing.cause.message)
        }
        (Some(failing), _) => format!("fails since {}: {}", failing.since, failing.cause.message),
        (None, Some(last)) => format!("works, last message {last}"),
        (None, None) => "on, nothing was sent yet".to_owned(),
    }
}

async fn list(call: &Call, world: &mut World<'_>) -> Result<(), CliError> {
    let channels = all(&call.server.client(world)?).await?;
    call.output.show(world, &channels, |channels| {
        if channels.is_empty() {
            return "There are no notification channels yet, so nobody is told. `toktra-siem channel add` makes one."
                .to_owned();
        }
        let rows = channels.iter().map(|one| cells![one.name, one.kind, one.id, state(one)]);
        table(["NAME", "KIND", "ID", "STATE"], rows)
    })
}

/// Everything about a channel.
fn describe(one: &Channel) -> String {
    let mut lines = members![one => name, id, kind].to_vec();
    for (name, member) in &one.config {
        lines.push((name, shown(member)));
    }
    let events: Vec<String> = one.events.iter().map(ToString::to_string).collect();
    lines.extend([("is told", events.join(", ")), ("state", state(one))]);
    if let Some(failing) = &one.failing {
        let next = if nothing_waits(one) { "with the next message".to_owned() } else { cell(&failing.next_attempt_at) };
        lines.push(("next attempt", next));
    }
    lines.extend([("created", cell(&one.created_at)), ("changed", cell(&one.updated_at))]);
    facts(&lines)
}

/// A member of `config`; of a secret what is known of it.
pub(crate) fn shown(member: &Value) -> String {
    as_secret(member).map_or_else(|| plain(member), |view| secret(&view, ["(", ")"]))
}

async fn switch(options: &OneOptions, active: bool, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.call.server.client(world)?;
    let channel = look_up(&client, &options.channel).await?.read()?;
    let change = ChannelChange { active: Some(active), ..ChannelChange::default() };
    let saved = client.patch::<Channel>(&path(channel.id, ""), &change, None).await?;
    options.call.output.done(world, &saved, |saved| format!("Saved: {} ({}).", saved.name, state(saved)))
}

async fn delete(options: &DeleteOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.call.server.client(world)?;
    let Channel { id, name, kind, .. } = look_up(&client, &options.channel).await?.read()?;
    let question =
        format!("This deletes the notification channel \"{name}\" ({kind}): nobody is told through it any more.");
    confirm::ask(&question, options.yes, world)?;
    let answer = client.delete::<ChannelDeleted>(&path(id, ""), None).await?;
    options.call.output.done(world, &answer, |_| format!("Deleted: {name}."))
}

async fn test(options: &OneOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.call.server.client(world)?;
    let channel = look_up(&client, &options.channel).await?.read()?;
    let answer = client.post::<ChannelTest>(&path(channel.id, "/test"), &NoMembers {}).await?;
    options.call.output.show(world, &answer, |test| test.message.clone())?;
    if answer.read()?.sent {
        return Ok(());
    }
    Err(CliError::Failed("The test message was not taken.".to_owned()))
}

/// What a channel is to be told.
#[derive(Debug, Clone, Default, Args)]
struct EventOptions {
    /// What it is told, separated by commas [default: everything]
    #[arg(long = "event", value_name = "LIST", value_delimiter = ',', value_parser = crate::given::word::<Topic>(TOPICS))]
    events: Vec<Topic>,
}

impl EventOptions {
    /// As the API takes it; `None` where nothing was given.
    fn given(&self) -> Option<Vec<Topic>> {
        (!self.events.is_empty()).then(|| self.events.clone())
    }
}

/// The items of a list that is given as one text.
pub(crate) fn items(text: &str) -> Value {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_can_be_named() {
        assert_eq!(TOPICS, Topic::ALL.iter().map(|topic| topic.as_str()).collect::<Vec<_>>());
        assert_eq!(items("a@x.com, b@x.com,"), serde_json::json!(["a@x.com", "b@x.com"]));
    }
}
