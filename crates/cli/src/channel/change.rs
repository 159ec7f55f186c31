//! `channel update`: a channel saved anew.

use std::path::Path;

use clap::Args;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use toktra_siem_core::notice::Topic;
use toktra_siem_notify::descriptor;
use toktra_siem_wire::{ChannelChange, Name};

use super::{EventOptions, items, look_up, path, secrets, state};
use crate::answer::Channel;
use crate::client::Call;
use crate::given::pair;
use crate::{CliError, World, secret};

/// Which channel, and the change.
#[derive(Debug, Args)]
pub struct UpdateOptions {
    /// The channel: its name or id
    channel: String,
    /// Another name
    #[arg(long)]
    name: Option<String>,
    /// A member of its config, such as to=soc@company.com,jo@company.com; repeat for several
    #[arg(long, value_name = "MEMBER=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// A secret of its config from a file or standard input, such as url=url.txt or routing_key=-
    #[arg(long, value_name = "MEMBER=FILE", value_parser = pair)]
    set_secret: Vec<(String, String)>,
    /// Take a member of its config away, or have another signing secret made; repeat for several
    #[arg(long, value_name = "MEMBER")]
    reset: Vec<String>,
    #[command(flatten)]
    events: EventOptions,
    /// Tell it everything again
    #[arg(long, conflicts_with = "events")]
    all_events: bool,
    #[command(flatten)]
    call: Call,
}

pub(super) async fn update(options: UpdateOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let mut config = Map::new();
    for (member, file) in &options.set_secret {
        config.insert(member.clone(), secret::read(Path::new(file), world)?.expose_secret().into());
    }
    config.extend(options.reset.iter().map(|member| (member.clone(), Value::Null)));
    let events = options.events.given().or(options.all_events.then(|| Topic::ALL.to_vec()));
    let name = options.name.map(Name);
    if name.is_none() && events.is_none() && config.is_empty() && options.set.is_empty() {
        return Err(CliError::Usage("There is nothing to change: give --set, --name or another option.".to_owned()));
    }
    if !options.reset.is_empty() {
        world.needs_reader()?;
    }
    let client = options.call.server.client(world)?;
    let channel: Channel = look_up(&client, &options.channel).await?.read()?;
    let of = channel.kind.known().map(|kind| descriptor(*kind));
    for (member, text) in options.set {
        let field = of.and_then(|of| of.fields.iter().find(|field| field.name == member));
        let value = if field.is_some_and(|field| field.list) { items(&text) } else { text.into() };
        config.insert(member, value);
    }
    let config = (!config.is_empty()).then_some(config);
    let change = ChannelChange { name, config, events, active: None };
    let saved = client.patch::<Channel>(&path(channel.id, ""), &change, None).await?;
    options
        .call
        .output
        .done(world, &saved, |saved| format!("Saved: {} ({}).\n{}", saved.name, state(saved), secrets(saved)))
}
