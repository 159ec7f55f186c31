//! `connector export`: what is there, in the format of `connector apply`.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use toktra_siem_core::connector::ManagedBy;
use toktra_siem_core::ids::PlatformId;
use toktra_siem_core::notice::Topic;
use toktra_siem_platform::descriptor::Kind;
use toktra_siem_platform::{Registry, group};

use super::described::with_placeholder;
use super::plan::shown;
use crate::answer::{Channel, Connector};
use crate::client::OrgOptions;
use crate::connector::{all, as_secret};
use crate::{CliError, World, channel};

pub(in crate::connector) async fn run(server: &OrgOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = server.client(world)?;
    let connectors = all(&client).await?.read()?;
    let channels = channel::all(&client).await?.read()?;
    world.say(yaml(&connectors, &world.registry) + &of_channels(&channels))
}

/// The file. Connectors of the environment are described there, and not in a file.
pub(super) fn yaml(connectors: &[Connector], registry: &Registry) -> String {
    let mut text = String::from(
        "# For `toktra-siem connector apply -f`. Secrets are never shown: set the variables that stand for them, or leave those\n\
         # lines out, and what is stored stays.\n",
    );
    let (own, environment): (Vec<_>, Vec<_>) =
        connectors.iter().partition(|connector| connector.managed_by != ManagedBy::Environment);
    for connector in environment {
        let _ = writeln!(
            text,
            "# Not here, because the server's environment describes it: {}",
            scalar(&json!(connector.name))
        );
    }
    text.push_str(if own.is_empty() { "connectors: []\n" } else { "connectors:\n" });
    for connector in own {
        one(&mut text, connector, registry);
    }
    text
}

/// The notification channels; nothing if there is none.
pub(super) fn of_channels(channels: &[Channel]) -> String {
    let mut text = String::from(if channels.is_empty() { "" } else { "channels:\n" });
    for channel in channels {
        let _ = writeln!(text, "  - name: {}", scalar(&json!(channel.name)));
        let _ = writeln!(text, "    kind: {}", scalar(&json!(channel.kind)));
        let mut lines = String::new();
        for (member, value) in &channel.config {
            let value = match as_secret(value) {
                Some(secret) if secret.set => format!("{{env: {}}}", variable(&channel.name, member)),
                Some(_) => continue,
                None => scalar(value),
            };
            let _ = writeln!(lines, "      {member}: {value}");
        }
        if !lines.is_empty() {
            let _ = write!(text, "    config:\n{lines}");
        }
        let events: Vec<String> = channel.events.iter().map(|topic| scalar(&json!(topic))).collect();
        if events.len() < Topic::ALL.len() {
            let _ = writeln!(text, "    events: [{}]", events.join(", "));
        }
        let _ = writeln!(text, "    active: {}", channel.active);
    }
    text
}

fn one(text: &mut String, connector: &Connector, registry: &Registry) {
    let (name, platform) = (&connector.name, connector.settings.platform);
    let _ = writeln!(text, "  - name: {}", scalar(&json!(name)));
    let _ = writeln!(text, "    platform: {}", scalar(&json!(platform)));
    let defaults = defaults(platform, registry).unwrap_or_default();
    // Some defaults follow from other settings.
    let default = |member: &str| {
        let beside =
            registry.field(platform, member).and_then(|field| field.default_beside(&connector.settings.config));
        beside.or_else(|| defaults.get(member).cloned())
    };
    let mut lines = String::new();
    for (member, value) in &connector.settings.config {
        match as_secret(value) {
            Some(secret) if secret.set => {
                let _ = writeln!(lines, "      {member}: {{env: {}}}", variable(name, member));
            }
            _ => match value {
                Value::Object(inner) => {
                    let part = |(part, value): (&String, &Value)| match as_secret(value) {
                        Some(_) => format!("{part}: {{env: {}}}", variable(name, &format!("{member}_{part}"))),
                        None => format!("{part}: {}", scalar(value)),
                    };
                    let parts: Vec<String> = inner.iter().map(part).collect();
                    let _ = writeln!(lines, "      {member}: {{{}}}", parts.join(", "));
                }
                _ if default(member).as_ref() != Some(value) => self::member(&mut lines, member, value),
                _ => {}
            },
        }
    }
    if !lines.is_empty() {
        let _ = write!(text, "    config:\n{lines}");
    }
    let filter = json!(connector.filter);
    let list = |name: &'static str| Some((name, filter[name].as_array().filter(|list| !list.is_empty())?));
    let given = ["severity", "event_types"].into_iter().filter_map(list);
    let given =
        given.map(|(name, list)| format!("{name}: [{}]", list.iter().map(scalar).collect::<Vec<_>>().join(", ")));
    let given: Vec<String> = given.collect();
    if !given.is_empty() {
        let _ = writeln!(text, "    filter: {{{}}}", given.join(", "));
    }
    let _ = writeln!(text, "    active: {}", connector.active);
}

/// A long text over several lines, anything else in one.
fn member(text: &mut String, name: &str, value: &Value) {
    match value.as_str() {
        Some(long) if long.contains('\n') && long.lines().all(|line| line.trim() == line && line.is_ascii()) => {
            let keep = if long.ends_with('\n') { "|" } else { "|-" };
            let _ = writeln!(text, "      {name}: {keep}");
            for line in long.lines() {
                let _ = writeln!(text, "        {line}");
            }
        }
        _ => {
            let _ = writeln!(text, "      {name}: {}", scalar(value));
        }
    }
}

/// What a connector of this platform has where nothing is said.
fn defaults(id: PlatformId, registry: &Registry) -> Option<Map<String, Value>> {
    let fields = &registry.descriptor(id)?.fields;
    let shared = |name: &str| fields.iter().any(|field| field.shares.is_some_and(|shares| shares.with == name));
    let mut required = Map::new();
    for field in fields.iter().filter(|field| field.required || shared(field.name)) {
        let value = match field.kind {
            Kind::Url(_) => json!("https://required.invalid"),
            Kind::Number { min, .. } => json!(min),
            Kind::Choice { words, .. } => json!(words.first().map(|(word, _)| *word)),
            Kind::Text(_) | Kind::Pem(_) => json!("required"),
            Kind::Secret(_) | Kind::SecretUrl(_) | Kind::Headers | Kind::Flag => continue,
        };
        required.insert(field.name.to_owned(), value);
    }
    let whole = group::nested(with_placeholder(registry, id, &required));
    let (settings, _) = registry.parse_new(id, &whole.into()).ok()?;
    Some(shown(registry, &settings))
}

/// The variable that stands for a secret.
fn variable(connector: &str, member: &str) -> String {
    let upper = format!("{connector}_{member}").to_uppercase();
    let mut name: String = upper.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// A value in one line. Words are plain, every other text stands in quotes: JSON's are YAML's.
fn scalar(value: &Value) -> String {
    const OTHERWISE: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    match value.as_str() {
        Some(text)
            if text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
                && !OTHERWISE.contains(&text.to_lowercase().as_str()) =>
        {
            text.to_owned()
        }
        _ => value.to_string(),
    }
}
