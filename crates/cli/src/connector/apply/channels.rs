//! Notification channels as code: read beside the connectors, compared with what is there, and applied by the same rules. What a kind's
//! settings are, its descriptor tells.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use toktra_siem_core::fault::shown as quoted;
use toktra_siem_core::ids::ChannelId;
use toktra_siem_core::notice::{ChannelKind, Topic};
use toktra_siem_notify::{Field, Settings, descriptor, descriptors};
use toktra_siem_platform::endpoint;
use toktra_siem_platform::view::SecretView;
use toktra_siem_wire::{ChannelChange, ChannelDeleted, Name, NewChannel};

use super::described::{Fault, Reader};
use super::plan::{Change, Rules, hint};
use super::yaml::{Node, Tree};
use crate::CliError;
use crate::answer::Channel;
use crate::channel::{CHANNELS, path, secrets};
use crate::client::Client;
use crate::connector::as_secret;
use crate::output::plain;

const MEMBERS: &str = "name, kind, config, events, active";

/// A channel as a file describes it.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: String,
    kind: ChannelKind,
    /// As they hold; of the secrets those that the file gives.
    settings: Settings,
    events: Vec<Topic>,
    active: bool,
    pub(super) file: PathBuf,
    pub(super) node: Node,
}

impl Described {
    /// A fault at the place of a JSON Pointer.
    pub(super) fn fault(&self, pointer: &str, message: impl Into<String>) -> Fault {
        Fault { file: self.file.clone(), line: self.node.line_at(pointer), message: message.into() }
    }

    fn fields(&self) -> &'static [Field] {
        descriptor(self.kind).fields
    }
}

impl Reader<'_> {
    /// One channel; `None` where something is wrong with it.
    pub(super) fn channel(&mut self, node: &Node) -> Option<Described> {
        let before = self.faults.len();
        let Tree::Map(members) = &node.tree else {
            self.fault(node.line, format!("a channel must be a map of {MEMBERS}"));
            return None;
        };
        for member in members.iter().filter(|member| !MEMBERS.split(", ").any(|known| known == member.name)) {
            let name = quoted(&member.name);
            self.fault(member.line, format!("`{name}` is not a member of a channel; known are {MEMBERS}"));
        }
        let name = self.name(node);
        let kind = self.kind(node);
        let active = self.active(node);
        let events = self.events(node);
        let settings = self.channel_settings(node, kind?)?;
        if self.faults.len() > before {
            return None;
        }
        let (file, node) = (self.file.to_owned(), node.clone());
        Some(Described { name: name?, kind: kind?, settings, events: events?, active, file, node })
    }

    fn kind(&mut self, node: &Node) -> Option<ChannelKind> {
        let known = || descriptors().map(|of| of.kind.as_str()).collect::<Vec<_>>().join(", ");
        let Some(member) = node.member("kind") else {
            self.fault(node.line, format!("`kind` is missing: one of {}", known()));
            return None;
        };
        let found = serde_json::from_value(member.value.json()).ok();
        if found.is_none() {
            self.fault(member.line, format!("`kind` must be one of {}", known()));
        }
        found
    }

    fn events(&mut self, node: &Node) -> Option<Vec<Topic>> {
        let Some(member) = node.member("events") else { return Some(sorted(Topic::ALL.to_vec())) };
        let events: Option<Vec<Topic>> = serde_json::from_value(member.value.json()).ok();
        let events = events.filter(|events| !events.is_empty());
        if events.is_none() {
            let known: Vec<&str> = Topic::ALL.iter().map(|topic| topic.as_str()).collect();
            self.fault(member.line, format!("`events` must be a list of at least one of {}", known.join(", ")));
        }
        events.map(sorted)
    }

    /// The settings, with every reference followed. Required secrets may be left out: what is stored stays.
    fn channel_settings(&mut self, node: &Node, kind: ChannelKind) -> Option<Settings> {
        let of = descriptor(kind);
        let mut given = Map::new();
        match node.member("config").map(|member| &member.value) {
            None => {}
            Some(Node { tree: Tree::Map(members), .. }) => {
                for member in members {
                    let secret = of.fields.iter().any(|field| field.secret && field.name == member.name);
                    let value = if secret {
                        self.referenced(&member.value, &member.name).map(Value::from)
                    } else {
                        Some(member.value.json())
                    };
                    given.extend(value.map(|value| (member.name.clone(), value)));
                }
            }
            Some(other) => {
                self.fault(other.line, "`config` must be a map");
                return None;
            }
        }
        let absent = || of.fields.iter().filter(|field| field.secret && !given.contains_key(field.name));
        let kept = Settings {
            config: open(of.fields, &given),
            secrets: absent().map(|field| (field.name.to_owned(), SecretString::default())).collect(),
        };
        match toktra_siem_notify::read(kind, &given, Some(&kept)) {
            Ok(mut settings) => {
                settings.secrets.retain(|name, _| given.contains_key(name));
                Some(settings)
            }
            Err(faults) => {
                for fault in faults {
                    let pointer = format!("/config{}", fault.pointer);
                    let member = fault.pointer.trim_start_matches('/');
                    let named = if fault.bare().starts_with('`') {
                        fault.bare().to_owned()
                    } else {
                        format!("`{member}` {}", fault.bare())
                    };
                    self.fault(node.line_at(&pointer), named);
                }
                None
            }
        }
    }
}

/// The members of `config` that are no secrets.
fn open(fields: &[Field], config: &Map<String, Value>) -> Map<String, Value> {
    let plain = fields.iter().filter(|field| !field.secret);
    plain.filter_map(|field| Some((field.name.to_owned(), config.get(field.name)?.clone()))).collect()
}

fn sorted(mut events: Vec<Topic>) -> Vec<Topic> {
    events.sort_unstable();
    events.dedup();
    events
}

/// What is done with one channel.
#[derive(Debug)]
pub(super) enum Step {
    /// Make it.
    Add { members: Vec<Change>, body: NewChannel },
    /// Save it with these changes.
    Change { channel: Channel, members: Vec<Change>, patch: ChannelChange },
    /// Remove it.
    Delete { channel: Channel },
}

impl Step {
    /// The channel's name and kind.
    pub(super) fn of(&self) -> (&str, String) {
        match self {
            Self::Add { body, .. } => (&body.name.0, body.kind.as_str().to_owned()),
            Self::Change { channel, .. } | Self::Delete { channel } => (&channel.name, channel.kind.to_string()),
        }
    }

    /// Whether the server makes a secret along, which is shown once.
    pub(super) fn shows_secret(&self) -> bool {
        let Self::Add { body, .. } = self else { return false };
        let mut fields = descriptor(body.kind).fields.iter();
        fields.any(|field| field.secret && !field.required && !body.config.contains_key(field.name))
    }
}

/// All steps.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Channels that are as described.
    pub(super) unchanged: usize,
    /// Channels that no file names and that stay.
    pub(super) others: Vec<String>,
}

/// The secrets that differ from the stored ones, by channel, as the server has compared them.
pub(super) type Compared = HashMap<ChannelId, BTreeSet<String>>;

/// The described secrets of which the channel has one already, for the server to compare.
pub(super) fn comparable(one: &Described, channel: &Channel) -> Option<ChannelChange> {
    let stored = |name: &str| channel.config.get(name).and_then(as_secret).is_some_and(|view| view.set);
    let secrets = one.settings.secrets.iter().filter(|(name, _)| channel.kind == one.kind && stored(name));
    let config: Map<String, Value> =
        secrets.map(|(name, secret)| (name.clone(), secret.expose_secret().into())).collect();
    (!config.is_empty()).then(|| ChannelChange { config: Some(config), ..ChannelChange::default() })
}

/// The plan from what is there to what is described; or what stands in its way.
pub(super) fn plan(
    described: &[Described],
    present: &[Channel],
    compared: &Compared,
    rules: Rules,
) -> Result<Plan, Vec<Fault>> {
    let (mut plan, mut faults) = (Plan::default(), Vec::new());
    for one in described {
        let step = match present.iter().find(|channel| channel.name == one.name) {
            None => add(one).map(Some),
            Some(channel) => change(one, channel, compared.get(&channel.id), rules),
        };
        match step {
            Ok(Some(step)) => plan.steps.push(step),
            Ok(None) => plan.unchanged += 1,
            Err(fault) => faults.push(fault),
        }
    }
    for channel in present.iter().filter(|channel| !described.iter().any(|one| channel.name == one.name)) {
        if rules.prune {
            plan.steps.push(Step::Delete { channel: channel.clone() });
        } else {
            plan.others.push(format!("channel {}", channel.name));
        }
    }
    if faults.is_empty() { Ok(plan) } else { Err(faults) }
}

/// What may be told of a secret.
fn view(field: &Field, secret: &SecretString) -> SecretView {
    let origin = if field.url { endpoint::origin(secret) } else { None };
    SecretView { origin, ..SecretView::of(secret) }
}

fn listed(events: &[Topic]) -> String {
    if events.len() == Topic::ALL.len() {
        return "all".to_owned();
    }
    events.iter().map(|topic| topic.as_str()).collect::<Vec<_>>().join(", ")
}

fn add(one: &Described) -> Result<Step, Fault> {
    let Settings { config, secrets } = &one.settings;
    let lacks = one.fields().iter().find(|field| field.secret && field.required && !secrets.contains_key(field.name));
    if let Some(field) = lacks {
        let name = field.name;
        let message = format!("`{name}` is missing: there is no channel of this name yet, and a new one needs it");
        return Err(one.fault("/config", message));
    }
    let mut whole = config.clone();
    let mut members: Vec<Change> =
        config.iter().map(|(name, value)| made(&format!("config.{name}"), plain(value))).collect();
    for field in one.fields() {
        if let Some(secret) = secrets.get(field.name) {
            members.push(made(&format!("config.{}", field.name), hint(&view(field, secret))));
            whole.insert(field.name.to_owned(), secret.expose_secret().into());
        }
    }
    members.extend([made("events", listed(&one.events)), made("active", one.active.to_string())]);
    let body = NewChannel {
        name: Name(one.name.clone()),
        kind: one.kind,
        config: whole,
        events: Some(one.events.clone()),
        active: Some(one.active),
    };
    Ok(Step::Add { members, body })
}

fn made(member: &str, to: String) -> Change {
    Change { member: member.to_owned(), from: None, to }
}

fn change(
    one: &Described,
    channel: &Channel,
    compared: Option<&BTreeSet<String>>,
    rules: Rules,
) -> Result<Option<Step>, Fault> {
    if channel.kind != one.kind {
        let message = format!(
            "the channel of this name is of the kind {}: delete it first, or choose another name",
            channel.kind
        );
        return Err(one.fault("/kind", message));
    }
    let stored = |field: &Field| channel.config.get(field.name).and_then(as_secret).filter(|view| view.set);
    let there = one.fields().iter().filter(|field| field.secret && stored(field).is_some());
    let kept = Settings {
        config: open(one.fields(), &channel.config),
        secrets: there.map(|field| (field.name.to_owned(), SecretString::default())).collect::<BTreeMap<_, _>>(),
    };
    let (mut members, mut config) = (Vec::new(), Map::new());
    let mut note = |member: &str, from: String, to: String| {
        members.push(Change { member: member.to_owned(), from: Some(from), to });
    };
    let mut moved = false;
    for field in one.fields().iter().filter(|field| !field.secret) {
        let (before, after) = (kept.config.get(field.name), one.settings.config.get(field.name));
        if before != after {
            let (before, after) = (before.unwrap_or(&Value::Null), after.unwrap_or(&Value::Null));
            note(&format!("config.{}", field.name), plain(before), plain(after));
            config.insert(field.name.to_owned(), after.clone());
            moved |= field.url;
        }
    }
    for field in one.fields() {
        let Some(secret) = one.settings.secrets.get(field.name) else { continue };
        let (before, after) = (stored(field), view(field, secret));
        let same = before.as_ref().is_some_and(|before| match compared {
            Some(changed) => !changed.contains(field.name),
            None => before.hint == after.hint && before.origin == after.origin,
        });
        if !same || rules.write_secrets {
            let from = before.as_ref().map_or_else(|| "not set".to_owned(), hint);
            let how = if same { "written again" } else { "another" };
            note(&format!("config.{}", field.name), from, format!("{} ({how})", hint(&after)));
        }
        // A secret goes along with the URL that it is sent to.
        if !same || rules.write_secrets || moved {
            config.insert(field.name.to_owned(), secret.expose_secret().into());
        }
    }
    // What the server would refuse is found before anything is done.
    if let Err(faults) = toktra_siem_notify::read(one.kind, &config, Some(&kept)) {
        let said = faults.first().map(|fault| (fault.pointer.trim_start_matches('/'), fault.bare()));
        let (member, why) = said.unwrap_or_default();
        return Err(one.fault(&format!("/config/{member}"), format!("`{member}` {why}")));
    }
    let told: Vec<Topic> = sorted(channel.events.iter().filter_map(|topic| topic.known().copied()).collect());
    let mut patch = ChannelChange { config: (!config.is_empty()).then_some(config), ..ChannelChange::default() };
    if told != one.events {
        note("events", listed(&told), listed(&one.events));
        patch.events = Some(one.events.clone());
    }
    if channel.active != one.active {
        note("active", channel.active.to_string(), one.active.to_string());
        patch.active = Some(one.active);
    }
    let same = matches!(patch, ChannelChange { config: None, events: None, active: None, .. });
    Ok((!same).then(|| Step::Change { channel: channel.clone(), members, patch }))
}

/// Does a step. The answer, what is said of it, and the channel if one was made.
pub(super) async fn apply(client: &Client, step: &Step) -> Result<(Value, String, Option<Channel>), CliError> {
    let name = step.of().0;
    Ok(match step {
        Step::Add { body, .. } => {
            let answer = client.post::<Channel>(CHANNELS, body).await?;
            let made = answer.read()?;
            (json!(answer), format!("Made: channel {name}, id {}.\n{}", made.id, secrets(&made)), Some(made))
        }
        Step::Change { channel, patch, .. } => {
            let answer = client.patch::<Channel>(&path(channel.id, ""), patch, None).await?;
            (json!(answer), format!("Saved: channel {name}.\n"), None)
        }
        Step::Delete { channel } => {
            let answer = client.delete::<ChannelDeleted>(&path(channel.id, ""), None).await?;
            (json!(answer), format!("Deleted: channel {name}.\n"), None)
        }
    })
}

#[cfg(test)]
mod tests;
